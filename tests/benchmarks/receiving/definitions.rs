//! Definitions as people write them, by the hundred: three shapes of SLO in turn.

use std::fmt::Write as _;

use throughline::domain::slo::{
    Catalog,
    definition::{DefinitionFile, load},
};

/// The service that sends the load; every fiftieth SLO speaks of it.
pub(super) const SENDER: &str = "service-7";
/// The name of the spans that begin a workflow of one SLO.
pub(super) const START: &str = "product-7 publish";

/// Whether the SLOs are told where the time of their workflows goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum StagesWord {
    None,
    Auto,
}

/// `count` SLOs, checked and compiled.
pub(super) fn catalog(count: usize, stages: StagesWord) -> Catalog {
    let stages = match stages {
        StagesWord::None => "none",
        StagesWord::Auto => "auto",
    };
    let mut text = String::new();
    for number in 0..count {
        let indicator = match number % 3 {
            0 => by_queue(number),
            1 => by_name(number, stages),
            _ => by_attribute(number, stages),
        };
        write!(
            text,
            "---\napiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: product-{number} }}\n\
             spec:\n  service: service-{service}\n  objective: 99.5%\n  window: 30d\n\
             \x20 customer: span.customer.id\n  indicator:\n{indicator}",
            service = number % 50,
        )
        .unwrap();
    }
    let path = "benchmark.yaml".to_owned();
    load(&[DefinitionFile { path, text }]).unwrap().0
}

/// A workflow that begins and ends with spans of certain names.
fn by_name(number: usize, stages: &str) -> String {
    let service = number % 50;
    format!(
        "    workflow:
      start: '{{ name = \"product-{number} publish\" && kind = producer && resource.service.name = \"service-{service}\" }}'
      finish: '{{ name = \"product-{number} send\" && resource.service.name = \"mailer-{service}\" && status != error }}'
      within: 5m
      correlate: [span.order.id, trace]
      stages: {stages}
"
    )
}

/// A workflow whose steps say in an attribute of their own how it stands.
fn by_attribute(number: usize, stages: &str) -> String {
    let service = number % 50;
    format!(
        "    workflow:
      start: '{{ name = \"product-{number} request\" && resource.service.name = \"service-{service}\" }}'
      finish: '{{ span.product_{number}.state = \"settled\" }}'
      fail: '{{ span.product_{number}.state = \"rejected\" }}'
      cancel: '{{ span.product_{number}.state =~ \"cancelled|withdrawn\" }}'
      within: 1h
      correlate: [{{ attribute: span.order.id, run: span.refund.id }}]
      stages: {stages}
"
    )
}

/// One span that decides: how long a message waited in its queue.
fn by_queue(number: usize) -> String {
    format!(
        "    span:
      match: '{{ kind = consumer && span.messaging.destination.name = \"queue-{number}\" && span.messaging.operation.type = \"process\" }}'
      good: '{{ workflow:duration <= 1m }}'
      startedAt: {{ attribute: span.order.placed_at, unit: ms }}
"
    )
}
