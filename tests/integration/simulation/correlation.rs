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

/// What the key of evidence begins with that may belong to any of several workflows.
const SEVERAL: &str = "several starts in ";

/// The spans of one workflow.
pub(super) struct WorkflowSpans<'a> {
    pub(super) spans: Vec<&'a Span>,
    /// Which of several workflows they belong to is unknown.
    pub(super) is_ambiguous: bool,
}

/// All that is told of each workflow of one SLO.
pub(super) fn workflows<'a>(contract: &Contract, spans: &'a [Span]) -> Vec<WorkflowSpans<'a>> {
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
    if contract.identity == Identity::Message {
        let workflows = with_silent_messages(contract, spans, workflows).into_iter();
        let told = workflows.map(|spans| WorkflowSpans {
            spans,
            is_ambiguous: false,
        });
        return told.collect();
    }
    let told = workflows.into_iter().map(|(key, spans)| WorkflowSpans {
        spans,
        is_ambiguous: key.starts_with(SEVERAL),
    });
    told.collect()
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
            let ends = ChainEnds { contract, places };
            let origins = ends.of(&place(span));
            if role(contract, span) == Some("start") {
                // One that passes work on starts nothing.
                let own = start_key(&place(span));
                return origins.into_iter().filter(|key| *key == own).collect();
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

fn start_key((trace_id, span_id): &Place) -> String {
    format!("start {trace_id} {span_id}")
}

/// Finds where chains of links end, each by itself.
struct ChainEnds<'a> {
    contract: &'a Contract,
    places: &'a Places<'a>,
}

impl ChainEnds<'_> {
    /// The start furthest back on each chain; where there is none, what the starts share of the trace that
    /// it ends in, or that trace.
    fn of(&self, from: &Place) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        for (start, end) in self.furthest(from) {
            if let Some(start) = start {
                keys.insert(start_key(&start));
                continue;
            }
            let of_trace = self.places.keys().filter(|at| at.0 == end.0);
            let of_trace = of_trace.filter(|at| self.is_start(at));
            let of_starts: BTreeSet<_> = of_trace.map(|start| self.of_start(start)).collect();
            match of_starts.first() {
                None => drop(keys.insert(format!("trace {}", end.0))),
                Some(shared) if of_starts.len() == 1 => keys.extend(shared.iter().cloned()),
                Some(_) => drop(keys.insert(format!("{SEVERAL}{}", end.0))),
            }
        }
        keys
    }

    fn of_start(&self, start: &Place) -> BTreeSet<String> {
        let furthest = self.furthest(start).into_iter();
        let starts = furthest.filter_map(|(start, _)| start);
        starts.map(|start| start_key(&start)).collect()
    }

    /// Of each chain its furthest start and its end.
    fn furthest(&self, from: &Place) -> BTreeSet<(Option<Place>, Place)> {
        let chains = self.chains(from);
        let starts_on = |chain: &[Place]| -> Vec<Place> {
            let on = chain.iter().filter(|at| self.is_start(at));
            on.cloned().collect()
        };
        let passing_on: BTreeSet<Place> = chains
            .iter()
            .flat_map(|chain| starts_on(chain).into_iter().rev().skip(1))
            .collect();
        let found = chains.iter().map(|chain| {
            let furthest = starts_on(chain).pop();
            let furthest = furthest.filter(|start| !passing_on.contains(start));
            (furthest, chain.last().unwrap().clone())
        });
        found.collect()
    }

    fn is_start(&self, at: &Place) -> bool {
        let here = self.places.get(at).into_iter().flatten();
        let mut roles = here.map(|span| role(self.contract, span));
        roles.any(|role| role == Some("start"))
    }

    /// One that comes to a place again leads nowhere; if all do, the work began where it is.
    fn chains(&self, from: &Place) -> Vec<Vec<Place>> {
        let (mut whole, mut growing) = (Vec::new(), vec![vec![from.clone()]]);
        while let Some(chain) = growing.pop() {
            let back = self.back(chain.last().unwrap());
            if back.is_empty() {
                whole.push(chain);
                continue;
            }
            let new = back.into_iter().filter(|target| !chain.contains(target));
            growing.extend(new.map(|target| [chain.as_slice(), &[target]].concat()));
        }
        if whole.is_empty() {
            whole.push(vec![from.clone()]);
        }
        whole
    }

    /// A span belongs to the work of what it links to, else to that of its parent.
    fn back(&self, at: &Place) -> BTreeSet<Place> {
        let here = self.places.get(at).map(Vec::as_slice).unwrap_or_default();
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
        if links.is_empty() { parents } else { links }
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
