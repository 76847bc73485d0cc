//! Checks the references of targets: a fallback exists and does not lead back, and a former name is
//! unused.

use std::collections::{BTreeMap, BTreeSet};

use super::target::TargetDraft;
use crate::domain::{
    model::ids::Name,
    slo::{
        Target,
        definition::{
            diagnostics::{Diagnostics, SourceSpan},
            suggest,
            value::Checked,
        },
    },
};

/// A target whose references are not checked yet.
#[derive(Debug)]
pub(crate) struct Unlinked<'a> {
    pub(crate) findings: &'a Diagnostics<'a>,
    pub(crate) draft: TargetDraft,
}

/// The declared fallbacks.
struct Fallbacks {
    names: BTreeSet<Name>,
    /// By the name of the target, valid or not.
    written: BTreeMap<Name, String>,
}

/// Returns the targets with their references; `None` where a reference is invalid, which is then
/// reported.
pub(crate) fn link(
    unlinked: BTreeMap<Name, Option<Unlinked<'_>>>,
) -> BTreeMap<Name, Option<Target>> {
    let written = unlinked.values().flatten().filter_map(|one| {
        let (text, _) = one.draft.fallback.as_ref().ok()?.as_ref()?;
        Some((one.draft.name.clone(), text.clone()))
    });
    let fallbacks = Fallbacks {
        names: unlinked.keys().cloned().collect(),
        written: written.collect(),
    };
    unlinked
        .into_iter()
        .map(|(name, one)| (name, one.and_then(|one| fallbacks.link(one).ok())))
        .collect()
}

impl Fallbacks {
    fn link(&self, one: Unlinked<'_>) -> Checked<Target> {
        let fallback = match &one.draft.fallback {
            Ok(Some((text, place))) => self.resolved(&one, text, *place).map(Some),
            Ok(None) => Ok(None),
            Err(reported) => Err(*reported),
        };
        let previous_name = match &one.draft.previous_name {
            Ok(Some((name, place))) => self.free(&one, name, *place).map(Some),
            Ok(None) => Ok(None),
            Err(reported) => Err(*reported),
        };
        Ok(Target {
            fallback: fallback?,
            previous_name: previous_name?,
            ..one.draft.target?
        })
    }

    fn free(&self, one: &Unlinked<'_>, former: &Name, place: SourceSpan) -> Checked<Name> {
        if !self.names.contains(former) {
            return Ok(former.clone());
        }
        Err(one.findings.error_with_help(
            place,
            format!("`{former}` is the name of a target"),
            "name a target that is not declared any more, or leave `previousName` out".to_owned(),
        ))
    }

    fn resolved(&self, one: &Unlinked<'_>, text: &str, place: SourceSpan) -> Checked<Name> {
        let name = &one.draft.name;
        let Some(fallback) = self.names.iter().find(|known| known.as_str() == text) else {
            let help = suggest::did_you_mean(text, self.names.iter().map(Name::as_str))
                .unwrap_or_else(|| "declare it: `kind: AlertNotificationTarget`".to_owned());
            let message = format!("there is no target `{text}`");
            return Err(one.findings.error_with_help(place, message, help));
        };
        match way_back(name, fallback, &self.written) {
            None => Ok(fallback.clone()),
            Some(way) => Err(one.findings.error_with_help(
                place,
                format!("`{name}` would be its own fallback: {way}"),
                "name a target that does not lead back here".to_owned(),
            )),
        }
    }
}

/// Formats `a falls back to b, b falls back to a`, if the fallbacks form a cycle.
fn way_back(start: &Name, first: &Name, written: &BTreeMap<Name, String>) -> Option<String> {
    let mut steps = vec![format!("`{start}` falls back to `{first}`")];
    let mut at = first.as_str();
    // A cycle that does not contain the start is reported at its own members.
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
