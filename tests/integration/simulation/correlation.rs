//! Which spans belong to the same workflow, for the oracle: everything is looked up among all spans.

use std::collections::{BTreeMap, BTreeSet};

use throughline::domain::model::span::Span;

use super::{
    contract::{Contract, Identity},
    evidence::{number, role, text, text_on_link},
};

/// A span by its trace and its id, as text.
type Place = (String, String);

/// All spans by where they are; some share their place.
type Places<'a> = BTreeMap<Place, Vec<&'a Span>>;

/// All that is told of each workflow of one SLO.
pub(super) fn workflows<'a>(contract: &Contract, spans: &'a [Span]) -> Vec<Vec<&'a Span>> {
    let mut places = Places::new();
    for span in spans {
        places.entry(place(span)).or_default().push(span);
    }
    let mut workflows: BTreeMap<String, Vec<&Span>> = BTreeMap::new();
    for span in spans.iter().filter(|span| role(contract, span).is_some()) {
        for key in keys(contract, span, &places) {
            workflows.entry(key).or_default().push(span);
        }
    }
    match contract.identity {
        Identity::Message => with_silent_messages(contract, spans, workflows),
        Identity::Order | Identity::Trace | Identity::Links | Identity::Span => {
            workflows.into_values().collect()
        }
    }
}

/// The workflows that a span speaks of.
fn keys(contract: &Contract, span: &Span, places: &Places<'_>) -> BTreeSet<String> {
    match contract.identity {
        Identity::Order => {
            let links = span.links.iter();
            let on_links = links.filter_map(|link| text_on_link(link, "order.id"));
            text(span, "order.id").map_or_else(|| on_links.collect(), |id| BTreeSet::from([id]))
        }
        Identity::Trace => BTreeSet::from([span.trace_id.to_string()]),
        Identity::Span => BTreeSet::from([format!(
            "{:?} {:?} {}",
            place(span),
            span.kind,
            span.start_unix_nano
        )]),
        Identity::Links => {
            let mut seen = BTreeSet::new();
            let mut origins = BTreeSet::new();
            walk(&place(span), places, &mut seen, &mut origins);
            if origins.is_empty() {
                origins.insert(span.trace_id.to_string());
            }
            origins
        }
        Identity::Message => {
            if role(contract, span) == Some("start") {
                return BTreeSet::new();
            }
            if let ([], Some(parent), Some(id)) = (
                span.links.as_slice(),
                span.parent_span_id,
                text(span, "messaging.message.id"),
            ) {
                return BTreeSet::from([format!("{} {parent} {id}", span.trace_id)]);
            }
            let links = span.links.iter().filter_map(|link| {
                let id = text_on_link(link, "messaging.message.id");
                let id = id.or_else(|| text(span, "messaging.message.id"))?;
                Some(format!("{} {} {id}", link.trace_id?, link.span_id?))
            });
            links.collect()
        }
    }
}

/// A span belongs to the work of what it links to, else to that of its parent; else, or if that is
/// unknown, work began in its trace.
fn walk(
    at: &Place,
    places: &Places<'_>,
    seen: &mut BTreeSet<Place>,
    origins: &mut BTreeSet<String>,
) {
    if !seen.insert(at.clone()) {
        return;
    }
    let here = places.get(at).map(Vec::as_slice).unwrap_or_default();
    let parents: BTreeSet<Place> = here
        .iter()
        .filter_map(|span| Some((at.0.clone(), span.parent_span_id?.to_string())))
        .collect();
    let links: BTreeSet<Place> = here
        .iter()
        .flat_map(|span| &span.links)
        .filter_map(|link| Some((link.trace_id?.to_string(), link.span_id?.to_string())))
        .filter(|target| target != at && !parents.contains(target))
        .collect();
    let back = if links.is_empty() { parents } else { links };
    if back.is_empty() {
        origins.insert(at.0.clone());
    }
    for target in back {
        walk(&target, places, seen, origins);
    }
}

/// One publication starts as many workflows as it has messages, also those that nobody has heard of.
fn with_silent_messages<'a>(
    contract: &Contract,
    spans: &'a [Span],
    mut heard_of: BTreeMap<String, Vec<&'a Span>>,
) -> Vec<Vec<&'a Span>> {
    let mut silent = Vec::new();
    for publication in spans
        .iter()
        .filter(|span| role(contract, span) == Some("start"))
    {
        let context = format!("{} {} ", publication.trace_id, publication.span_id);
        let of_context = heard_of
            .iter_mut()
            .filter(|(key, _)| key.starts_with(&context));
        let mut received = 0;
        for (_, told) in of_context {
            told.push(publication);
            received += 1;
        }
        let published = number(publication, "messaging.batch.message_count").unwrap_or(1);
        silent.extend((received..published).map(|_| vec![publication]));
    }
    silent.extend(heard_of.into_values());
    silent
}

fn place(span: &Span) -> Place {
    (span.trace_id.to_string(), span.span_id.to_string())
}
