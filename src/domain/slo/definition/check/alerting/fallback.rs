//! Which target stands in for which: that it exists, and that none stands in for itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{
    model::ids::Name,
    slo::{
        Target,
        definition::{
            diagnostics::{Diagnostics, SourceSpan},
            suggest,
        },
    },
};

/// A target whose fallback is still a word.
#[derive(Debug)]
pub(crate) struct Unlinked<'a> {
    pub(crate) findings: &'a Diagnostics<'a>,
    pub(crate) target: Target,
    pub(crate) fallback: Option<(String, SourceSpan)>,
}

/// The targets with their fallbacks; `None` where one is wrong, which is then among the findings.
pub(crate) fn link(
    unlinked: BTreeMap<Name, Option<Unlinked<'_>>>,
) -> BTreeMap<Name, Option<Target>> {
    let names: BTreeSet<Name> = unlinked.keys().cloned().collect();
    let written: BTreeMap<Name, String> = unlinked
        .values()
        .flatten()
        .filter_map(|one| Some((one.target.name.clone(), one.fallback.as_ref()?.0.clone())))
        .collect();
    let link = |one: Unlinked<'_>| {
        let fallback = match &one.fallback {
            None => None,
            Some((text, place)) => Some(resolved(&one, (text, *place), (&names, &written))?),
        };
        Some(Target {
            fallback,
            ..one.target
        })
    };
    unlinked
        .into_iter()
        .map(|(name, one)| (name, one.and_then(link)))
        .collect()
}

fn resolved(
    one: &Unlinked<'_>,
    (text, place): (&str, SourceSpan),
    (names, written): (&BTreeSet<Name>, &BTreeMap<Name, String>),
) -> Option<Name> {
    let name = &one.target.name;
    let Some(fallback) = names.iter().find(|known| known.as_str() == text) else {
        let help = suggest::did_you_mean(text, names.iter().map(Name::as_str))
            .unwrap_or_else(|| "declare it: `kind: AlertNotificationTarget`".to_owned());
        let message = format!("there is no target `{text}`");
        one.findings.error_with_help(place, message, help);
        return None;
    };
    let way = way_back(name, fallback, written);
    if let Some(way) = way {
        one.findings.error_with_help(
            place,
            format!("`{name}` would stand in for itself: {way}"),
            "name a target that does not lead back here".to_owned(),
        );
        return None;
    }
    Some(fallback.clone())
}

/// `a falls back to b, b falls back to a`, if that is where it leads.
fn way_back(start: &Name, first: &Name, written: &BTreeMap<Name, String>) -> Option<String> {
    let mut steps = vec![format!("`{start}` falls back to `{first}`")];
    let mut at = first.as_str();
    // A circle that does not lead through the start is told at its own members.
    for _ in 0..=written.len() {
        if at == start.as_str() {
            return Some(steps.join(", "));
        }
        let (name, next) = written.iter().find(|(name, _)| name.as_str() == at)?;
        steps.push(format!("`{name}` to `{next}`"));
        at = next;
    }
    None
}
