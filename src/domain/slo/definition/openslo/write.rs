//! Converts our definitions to documents of OpenSLO v1.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Map, Value, json};

use super::{
    Conversion, OPENSLO_VERSION, PREFIX, add,
    document::{Library, NAMESPACE, SourceDocument, SourceSheet, items, to_annotation},
    slo::SOURCE_TYPE,
};
use crate::domain::{
    model::ids::Name,
    slo::{
        definition::{
            DefinitionFile,
            yaml::{Entry, NodeValue, YamlNode},
        },
        duration::parse_duration,
    },
};

/// The window by which shares of a budget are converted to burn rates.
const BUDGET_WINDOW: Duration = Duration::from_hours(30 * 24);
const MOST_NAME: usize = 63;

/// The targets that each policy notifies, by severity.
type TargetsOfPolicies = BTreeMap<(String, String), BTreeSet<String>>;

/// Converts our definitions, which are valid, of this API version and these kinds.
pub(in crate::domain::slo::definition) fn write_openslo(
    files: &[DefinitionFile],
    version: &str,
    kinds: &[&str],
) -> Conversion {
    let sheets: Vec<SourceSheet<'_>> = files.iter().map(SourceSheet::open).collect();
    let all = sheets
        .iter()
        .flat_map(|sheet| sheet.documents(version, kinds));
    let library = Library::new(all.collect(), BTreeSet::new());
    let targets = targets_of_policies(&library);
    let mut documents = Vec::new();
    for document in library.all() {
        match document.kind {
            "SLO" => add(&mut documents, slo(document, &library)),
            "AlertPolicy" => add(&mut documents, policy(document, &targets)),
            "AlertNotificationTarget" => documents.push(target(document)),
            _ => document.warn(
                document.node.place,
                "it is not carried over",
                "OpenSLO has no planned work",
            ),
        }
    }
    drop(library);
    let problems = sheets.into_iter().flat_map(SourceSheet::into_problems);
    Conversion {
        documents,
        problems: problems.collect(),
    }
}

fn written(kind: &str, metadata: &Map<String, Value>, spec: &Value) -> Value {
    json!({ "apiVersion": OPENSLO_VERSION, "kind": kind, "metadata": metadata, "spec": spec })
}

/// Returns the metadata with these annotations, which get our prefix. OpenSLO has no namespaces.
fn metadata(document: &SourceDocument<'_>, mut own: Map<String, Value>) -> Map<String, Value> {
    let (mut metadata, _) = document.metadata();
    own.extend(metadata.remove_entry(NAMESPACE));
    let own: Map<String, Value> = own
        .into_iter()
        .map(|(key, value)| (format!("{PREFIX}{key}"), to_annotation(&value).into()))
        .collect();
    if !own.is_empty() {
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        if let Value::Object(annotations) = annotations {
            annotations.extend(own);
        }
    }
    metadata
}

/// Returns the SLO and its service.
fn slo(document: &SourceDocument<'_>, library: &Library<'_>) -> Vec<Value> {
    let mut own = Map::new();
    let mut spec = Map::new();
    let entries = document.node.entry("spec");
    let entries = entries.and_then(|entry| entry.value.entries());
    for entry in entries.unwrap_or_default() {
        let json = document.json(&entry.value);
        match entry.key.as_str() {
            "description" | "service" => drop(spec.insert(entry.key.clone(), json)),
            "indicator" => drop(spec.insert("indicator".to_owned(), indicator(document, &json))),
            "window" => drop(spec.insert("timeWindow".to_owned(), json!([window(&json)]))),
            "objective" => {
                let target = ratio(&document.scalar(&entry.value));
                spec.insert("objectives".to_owned(), json!([{ "target": target }]));
            }
            "alertPolicies" => policies(document, library, entry, &mut spec, &mut own),
            _ => drop(own.insert(entry.key.clone(), json)),
        }
    }
    spec.insert("budgetingMethod".to_owned(), "Occurrences".into());
    if document.spec("alertPolicies").is_none() {
        document.warn(
            document.node.place,
            "the built-in policy `standard` is not carried over",
            "OpenSLO has no built-in policies: declare one to carry it over",
        );
    }
    let mut all = Vec::new();
    match spec.get("service").and_then(Value::as_str) {
        Some(service) if service.parse::<Name>().is_ok() => {
            let named = Map::from_iter([("name".to_owned(), service.into())]);
            all.push(written("Service", &named, &json!({})));
        }
        Some(_) => {}
        None => {
            document.warn(
                document.node.place,
                "it has no service, so its name is the service there",
                "OpenSLO requires one",
            );
            spec.insert("service".to_owned(), document.name.into());
            own.insert("hasNoService".to_owned(), true.into());
        }
    }
    all.push(written("SLO", &metadata(document, own), &spec.into()));
    all
}

fn indicator(document: &SourceDocument<'_>, spec: &Value) -> Value {
    json!({
        "metadata": { "name": document.name },
        "spec": {
            "ratioMetric": {
                "rawType": "success",
                "raw": { "metricSource": { "type": SOURCE_TYPE, "spec": spec } },
            },
        },
    })
}

fn window(window: &Value) -> Value {
    let Some(unit) = window["calendar"].as_str() else {
        return json!({ "duration": rolling(window), "isRolling": true });
    };
    let duration = match unit {
        "day" => "1d",
        "week" => "1w",
        "month" => "1M",
        "quarter" => "1Q",
        _ => "1Y",
    };
    let zone = window["timeZone"].as_str().unwrap_or("UTC");
    // A Monday, and the first day of a year.
    let calendar = json!({ "startTime": "2024-01-01 00:00:00", "timeZone": zone });
    json!({ "duration": duration, "isRolling": false, "calendar": calendar })
}

/// Formats a rolling window. Durations of OpenSLO have one unit, and none below a minute.
fn rolling(window: &Value) -> String {
    let text = window.as_str().unwrap_or_default();
    let Ok(length) = parse_duration(text) else {
        return text.to_owned();
    };
    shorthand(length)
}

fn shorthand(length: Duration) -> String {
    let minutes = length.as_secs() / 60;
    for (unit, of) in [("d", 24 * 60), ("h", 60)] {
        if minutes > 0 && minutes.is_multiple_of(of) {
            return format!("{}{unit}", minutes / of);
        }
    }
    format!("{minutes}m")
}

/// Returns `99.5%` or `0.995` as 0.995.
fn ratio(text: &str) -> Value {
    let ratio = match text.trim().strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.trim().parse(),
    };
    // Without the digits that only binary fractions have.
    ratio.map_or(Value::Null, |ratio| json!((ratio * 1e12).round() / 1e12))
}

/// Makes references to the policies that the files declare. Others are kept in annotations.
fn policies(
    document: &SourceDocument<'_>,
    library: &Library<'_>,
    entry: &Entry,
    spec: &mut Map<String, Value>,
    own: &mut Map<String, Value>,
) {
    let mut references = Vec::new();
    for item in items(&entry.value) {
        let name = item.text();
        let declared = name.and_then(|name| library.find("AlertPolicy", name));
        let Some(policy) = declared else {
            let name = name.unwrap_or("written in place");
            document.warn(
                item.place,
                &format!("the policy `{name}` is not carried over"),
                "declare it as a document of `kind: AlertPolicy`",
            );
            own.insert("alertPolicies".to_owned(), document.json(&entry.value));
            continue;
        };
        let rules = rules(&policy).iter();
        let named = rules.filter_map(|rule| rule_name(&policy, rule));
        references.extend(named.map(|name| json!({ "alertPolicyRef": name })));
    }
    if !references.is_empty() {
        spec.insert("alertPolicies".to_owned(), references.into());
    }
}

fn rules<'a>(policy: &SourceDocument<'a>) -> &'a [YamlNode] {
    let rules = policy.spec("rules");
    rules.map_or(&[], |entry| items(&entry.value))
}

/// Returns the name for a rule. A policy of OpenSLO has one condition, so each rule becomes a
/// policy.
fn rule_name(policy: &SourceDocument<'_>, rule: &YamlNode) -> Option<String> {
    rule.entry("burnRate")?;
    let name = rule.entry("name")?.value.text()?;
    Some(format!("{}-{name}", policy.name))
}

fn targets_of_policies(library: &Library<'_>) -> TargetsOfPolicies {
    let mut targets = TargetsOfPolicies::new();
    for document in library.all() {
        let (Some(used), Some(notify)) = (document.spec("alertPolicies"), document.spec("notify"))
        else {
            continue;
        };
        let policies = items(&used.value).iter().filter_map(YamlNode::text);
        for policy in policies {
            for severity in notify.value.entries().unwrap_or_default() {
                let key = (policy.to_owned(), severity.key.clone());
                let names = items(&severity.value).iter().filter_map(YamlNode::text);
                targets
                    .entry(key)
                    .or_default()
                    .extend(names.map(str::to_owned));
            }
        }
    }
    targets
}

fn policy(document: &SourceDocument<'_>, targets: &TargetsOfPolicies) -> Vec<Value> {
    let spec = document
        .node
        .entry("spec")
        .map(|spec| document.json(&spec.value));
    let mut written_rules = Vec::new();
    for rule in rules(document) {
        let Some(name) = rule_name(document, rule) else {
            document.warn(
                rule.place,
                "a rule that is on no burn rate is kept for us alone",
                "OpenSLO v1 knows burn rates",
            );
            continue;
        };
        if name.len() > MOST_NAME {
            let help = "choose shorter names of the policy and the rule";
            document.error(rule.place, &format!("`{name}` is too long a name"), help);
        }
        let own = Map::from_iter([
            ("policy".to_owned(), document.name.into()),
            ("spec".to_owned(), spec.clone().unwrap_or_default()),
        ]);
        let mut metadata = metadata(document, own);
        metadata.insert("name".to_owned(), name.as_str().into());
        let rule = document.json(rule);
        let severity = rule.get("severity").and_then(Value::as_str);
        let severity = severity.unwrap_or("ticket");
        let key = (document.name.to_owned(), severity.to_owned());
        let of_rule = targets.get(&key).into_iter().flatten();
        let of_rule: Vec<Value> = of_rule.map(|name| json!({ "targetRef": name })).collect();
        let spec = json!({
            "alertWhenBreaching": true,
            "alertWhenResolved": true,
            "alertWhenNoData": false,
            "conditions": [condition(&name, severity, &rule)],
            "notificationTargets": of_rule,
        });
        written_rules.push(written("AlertPolicy", &metadata, &spec));
    }
    if written_rules.is_empty() {
        let help = "OpenSLO v1 knows burn rates only";
        document.error(document.node.place, "it has no rule on a burn rate", help);
    }
    written_rules
}

fn condition(name: &str, severity: &str, rule: &Value) -> Value {
    let burn = &rule["burnRate"];
    let length = |key: &str| {
        let text = burn[key].as_str().unwrap_or_default();
        parse_duration(text).unwrap_or_default()
    };
    let long = length("long");
    let threshold = if burn["factor"].is_number() {
        burn["factor"].clone()
    } else {
        let spend = &burn["spend"];
        let spend = spend.as_str().map_or_else(|| spend.clone(), ratio);
        let factor = spend.as_f64().unwrap_or_default() * BUDGET_WINDOW.as_secs_f64()
            / long.as_secs_f64().max(1.0);
        json!((factor * 1e6).round() / 1e6)
    };
    let after = rule["for"].as_str().unwrap_or("0m");
    let after = parse_duration(after).map_or_else(|_| "0m".to_owned(), shorthand);
    json!({
        "kind": "AlertCondition",
        "metadata": { "name": name },
        "spec": {
            "severity": severity,
            "condition": {
                "kind": "burnrate",
                "op": "gte",
                "threshold": threshold,
                "lookbackWindow": shorthand(long),
                "alertAfter": after,
            },
        },
    })
}

fn target(document: &SourceDocument<'_>) -> Value {
    let spec = document.node.entry("spec").map(|entry| &entry.value);
    let mut keys = spec.and_then(YamlNode::entries).unwrap_or_default().iter();
    // The kind of a target is the key of its group.
    let kind = keys.find(|entry| matches!(entry.value.value, NodeValue::Mapping(_)));
    let kind = kind.map_or("webhook", |entry| entry.key.as_str());
    let spec = spec.map(|spec| document.json(spec));
    let own = Map::from_iter([("spec".to_owned(), spec.unwrap_or_default())]);
    written(
        document.kind,
        &metadata(document, own),
        &json!({ "target": kind }),
    )
}
