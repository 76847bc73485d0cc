//! Converts policies, conditions and targets of OpenSLO v1.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    converted::ConvertedDocument,
    document::{Library, SourceDocument, items, renamed},
};
use crate::domain::slo::{
    definition::yaml::{Entry, YamlNode},
    duration::{format_duration, parse_duration},
};

/// The policies of all files, by their names in OpenSLO.
#[derive(Debug)]
pub(super) struct Policies<'a>(BTreeMap<String, ConvertedPolicy<'a>>);

/// A converted policy.
#[derive(Clone, Debug)]
pub(super) struct ConvertedPolicy<'a> {
    pub(super) name: String,
    /// The targets to notify, by our names.
    pub(super) targets: Vec<String>,
    pub(super) severities: Vec<&'static str>,
    /// The policy with the targets that are inline; empty if it is only referred to.
    pub(super) in_place: Vec<ConvertedDocument<'a>>,
}

impl<'a> Policies<'a> {
    pub(super) fn new(library: &Library<'a>) -> Self {
        let all = library.all().iter();
        let policies = all.filter(|document| document.kind == "AlertPolicy");
        let converted = policies.map(|document| {
            let converted = policy(document, library);
            (document.name.to_owned(), converted)
        });
        Self(converted.collect())
    }

    /// Returns the policies that this name is converted to.
    pub(super) fn written_by(&self, name: &str) -> Vec<ConvertedDocument<'a>> {
        let policy = self.0.get(name);
        policy.map_or_else(Vec::new, |policy| policy.in_place.clone())
    }

    /// Returns the policies that an SLO refers to, or that are inline.
    pub(super) fn used_by(
        &self,
        document: &SourceDocument<'a>,
        library: &Library<'a>,
        entry: &'a Entry,
    ) -> Vec<ConvertedPolicy<'a>> {
        let mut used = Vec::new();
        for item in items(&entry.value) {
            if let Some(inline) = document.inside(item, "AlertPolicy") {
                used.push(policy(&inline, library));
                continue;
            }
            let reference = item
                .entry("alertPolicyRef")
                .map_or(item, |entry| &entry.value);
            let name = reference.text().unwrap_or_default();
            match self.0.get(name) {
                Some(policy) => used.push(ConvertedPolicy {
                    in_place: Vec::new(),
                    ..policy.clone()
                }),
                None if library.has_our_policy(name) => used.push(ConvertedPolicy {
                    name: name.to_owned(),
                    targets: Vec::new(),
                    severities: Vec::new(),
                    in_place: Vec::new(),
                }),
                None => document.error(
                    reference.place,
                    &format!("there is no AlertPolicy `{name}` in these files"),
                    "add the file that has it",
                ),
            }
        }
        used
    }
}

fn policy<'a>(document: &SourceDocument<'a>, library: &Library<'a>) -> ConvertedPolicy<'a> {
    let (mut metadata, own) = document.metadata();
    let (targets, mut in_place) = targets(document);
    if let (Some(Value::String(name)), Some(spec)) = (own.get("policy"), own.get("spec")) {
        metadata.insert("name".to_owned(), name.as_str().into());
        in_place.push(ConvertedDocument::new(document, &metadata, spec.clone()));
        return ConvertedPolicy {
            name: name.clone(),
            targets,
            severities: severities(spec),
            in_place,
        };
    }
    report_settings(document);
    let conditions = document.spec("conditions");
    let conditions = conditions.map_or(&[][..], |entry| items(&entry.value));
    let rules: Vec<Value> = conditions
        .iter()
        .filter_map(|node| rule(&condition(document, library, node)?))
        .collect();
    if rules.is_empty() {
        document.error(
            document.node.place,
            "it has no condition that can be evaluated",
            "add a condition: a policy without one never fires",
        );
    }
    let spec = json!({ "rules": rules });
    in_place.push(ConvertedDocument {
        is_partial: rules.is_empty(),
        ..ConvertedDocument::new(document, &metadata, spec.clone())
    });
    let name = metadata.get("name").and_then(Value::as_str);
    ConvertedPolicy {
        name: name.unwrap_or_default().to_owned(),
        targets,
        severities: severities(&spec),
        in_place,
    }
}

fn severities(spec: &Value) -> Vec<&'static str> {
    let rules = spec["rules"].as_array();
    let is_any = |severity: &str| {
        let mut rules = rules.into_iter().flatten();
        rules.any(|rule| rule["severity"] == severity)
    };
    let all = ["page", "ticket"].into_iter();
    all.filter(|severity| is_any(severity)).collect()
}

fn report_settings(document: &SourceDocument<'_>) {
    for (key, usual, why) in [
        ("description", None, "a policy has no description here"),
        (
            "alertWhenBreaching",
            Some("true"),
            "an alert always begins: delete it",
        ),
        (
            "alertWhenResolved",
            Some("true"),
            "targets are always notified of the end: delete it",
        ),
        (
            "alertWhenNoData",
            Some("false"),
            "write the policy as `apiVersion: throughline/v1`, with a rule on `absence`",
        ),
    ] {
        let Some(entry) = document.spec(key) else {
            continue;
        };
        match usual {
            Some(usual) if document.scalar(&entry.value) == usual => {}
            Some(_) => document.unsupported(entry, why),
            None => document.lost(entry, why),
        }
    }
}

/// Returns the names of the targets, and the inline targets of the policy.
fn targets<'a>(document: &SourceDocument<'a>) -> (Vec<String>, Vec<ConvertedDocument<'a>>) {
    let (mut names, mut in_place) = (Vec::new(), Vec::new());
    let entry = document.spec("notificationTargets");
    for item in entry.map_or(&[][..], |entry| items(&entry.value)) {
        if let Some(inline) = document.inside(item, "AlertNotificationTarget") {
            names.push(renamed(inline.name));
            in_place.extend(target(&inline));
        } else if let Some(reference) = item.entry("targetRef") {
            names.push(renamed(reference.value.text().unwrap_or_default()));
        }
    }
    (names, in_place)
}

/// Finds the condition that a policy refers to, or that is inline.
fn condition<'a>(
    policy: &SourceDocument<'a>,
    library: &Library<'a>,
    node: &'a YamlNode,
) -> Option<SourceDocument<'a>> {
    let Some(reference) = node.entry("conditionRef") else {
        return policy.inside(node, "AlertCondition");
    };
    let name = reference.value.text().unwrap_or_default();
    let found = library.find("AlertCondition", name);
    if found.is_none() {
        policy.error(
            reference.value.place,
            &format!("there is no AlertCondition `{name}` in these files"),
            "add the file that has it",
        );
    }
    found
}

/// Converts a condition. OpenSLO has one window; ours have a short one too, so that they resolve
/// soon.
fn rule(condition: &SourceDocument<'_>) -> Option<Value> {
    let node = &condition.spec("condition")?.value;
    report_condition(condition, node);
    let text = |key: &str| node.entry(key).map(|entry| condition.scalar(&entry.value));
    let threshold = node
        .entry("threshold")
        .map(|entry| condition.json(&entry.value));
    let long = text("lookbackWindow").and_then(|text| parse_duration(&text).ok());
    let (Some(threshold), Some(long)) = (threshold, long) else {
        let help = "write both; windows are in minutes, hours, days or weeks";
        let what = "it has no `threshold` or no `lookbackWindow` that can be read";
        condition.error(node.place, what, help);
        return None;
    };
    let minutes = (long.as_secs() / 60 / 12).max(1);
    condition.warn(
        node.place,
        &format!("a short window of {minutes}m is added"),
        "a rule has two windows here; the short one ends the alert soon after the problem",
    );
    let mut rule = json!({
        "name": condition.our_name(),
        "severity": severity(condition),
        "burnRate": {
            "factor": threshold,
            "long": format_duration(long),
            "short": format!("{minutes}m"),
        },
    });
    let after = text("alertAfter").filter(|after| !after.starts_with('0'));
    if let (Some(after), Some(fields)) = (after, rule.as_object_mut()) {
        fields.insert("for".to_owned(), after.into());
    }
    Some(rule)
}

fn report_condition(condition: &SourceDocument<'_>, node: &YamlNode) {
    if let Some(description) = condition.spec("description") {
        condition.lost(description, "a rule has no description here");
    }
    condition.expect_fields(
        node,
        &["kind", "op", "threshold", "lookbackWindow", "alertAfter"],
    );
    let unusual = |key: &str, usual: &str| {
        let entry = node.entry(key);
        entry.filter(|entry| entry.value.text() != Some(usual))
    };
    if let Some(entry) = unusual("op", "gte") {
        let why = "an alert begins when the burn rate reaches the threshold";
        condition.lost(entry, why);
    }
    if let Some(entry) = unusual("kind", "burnrate") {
        condition.unsupported(entry, "only burn rates are known: write `kind: burnrate`");
    }
}

/// Converts a severity, which is free text in OpenSLO.
fn severity(condition: &SourceDocument<'_>) -> &'static str {
    let Some(entry) = condition.spec("severity") else {
        return "ticket";
    };
    let text = condition.scalar(&entry.value).to_lowercase();
    match text.as_str() {
        "page" => "page",
        "ticket" => "ticket",
        _ => {
            let severity = match text.as_str() {
                "critical" | "sev1" | "sev-1" | "p1" | "high" => "page",
                _ => "ticket",
            };
            condition.warn(
                entry.value.place,
                &format!("severity `{text}` becomes `{severity}`"),
                "severities are `page` and `ticket` here",
            );
            severity
        }
    }
}

/// Converts a target. `None` if there is no such kind of target here.
pub(super) fn target<'a>(document: &SourceDocument<'a>) -> Option<ConvertedDocument<'a>> {
    let (metadata, own) = document.metadata();
    if let Some(spec) = own.get("spec") {
        return Some(ConvertedDocument::new(document, &metadata, spec.clone()));
    }
    if let Some(description) = document.spec("description") {
        document.lost(description, "a target has no description here");
    }
    let entry = document.spec("target")?;
    let kind = document.scalar(&entry.value);
    let variable = renamed(document.name).to_uppercase().replace('-', "_");
    let kind_word = kind.to_lowercase().replace(['-', '_', ' '], "");
    let is_key = kind_word == "pagerduty";
    let variable = format!("{variable}_{}", if is_key { "ROUTING_KEY" } else { "URL" });
    let secret = json!({ "env": variable });
    let spec = match kind_word.as_str() {
        "slack" => json!({ "slack": { "url": secret } }),
        "pagerduty" => json!({ "pagerduty": { "routingKey": secret } }),
        "teams" | "msteams" | "microsoftteams" => json!({ "teams": { "url": secret } }),
        "webhook" => json!({ "webhook": { "url": secret } }),
        "alertmanager" => json!({ "alertmanager": { "urls": [secret] } }),
        _ => {
            document.error(
                entry.value.place,
                &format!("there is no kind of target `{kind}` here"),
                "known are slack, pagerduty, teams, alertmanager and webhook: declare one of these",
            );
            return None;
        }
    };
    document.warn(
        entry.value.place,
        "OpenSLO has no address of a target, so it is read from a variable",
        &format!("set {variable}, or declare the target as `apiVersion: throughline/v1`"),
    );
    Some(ConvertedDocument::new(document, &metadata, spec))
}
