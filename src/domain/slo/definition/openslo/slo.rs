//! Converts an SLO of OpenSLO v1, with its indicator, window and objective.

use serde_json::{Map, Value, json};

use super::{
    alerting::{ConvertedPolicy, Policies},
    document::{Library, SourceDocument, at, items},
};
use crate::domain::slo::definition::yaml::{Entry, YamlNode};

const FIELDS: [&str; 8] = [
    "description",
    "service",
    "indicator",
    "indicatorRef",
    "timeWindow",
    "budgetingMethod",
    "objectives",
    "alertPolicies",
];
/// `metricSource.type` of our own indicators.
pub(super) const SOURCE_TYPE: &str = "throughline";

/// Returns the SLO, and its inline policies and targets.
pub(super) fn read<'a>(
    document: &SourceDocument<'a>,
    library: &Library<'a>,
    policies: &Policies,
) -> Vec<Value> {
    let (metadata, mut own) = document.metadata();
    let mut spec = Map::new();
    if let Some(entry) = document.node.entry("spec") {
        document.expect_fields(&entry.value, &FIELDS);
    }
    let has_service = own.remove("hasNoService").is_none();
    for key in ["description", "service"] {
        if key == "service" && !has_service {
            continue;
        }
        if let Some(entry) = document.spec(key) {
            spec.insert(key.to_owned(), document.scalar(&entry.value).into());
        }
    }
    if let Some(service) = spec.get("service").and_then(Value::as_str) {
        library.find("Service", service);
    }
    budgeting(document);
    spec.extend(objective(document).map(|objective| ("objective".to_owned(), objective)));
    spec.extend(window(document).map(|window| ("window".to_owned(), window)));
    spec.extend(indicator(document, library).map(|found| ("indicator".to_owned(), found)));
    let used = document.spec("alertPolicies");
    let used = used.map_or_else(Vec::new, |entry| policies.used_by(document, library, entry));
    add_alerting(&mut spec, &used);
    spec.extend(own);
    let mut written: Vec<Value> = used.into_iter().flat_map(|used| used.in_place).collect();
    written.push(json!({
        "apiVersion": "throughline/v1",
        "kind": "SLO",
        "metadata": metadata,
        "spec": spec,
    }));
    written
}

fn budgeting(document: &SourceDocument<'_>) {
    let Some(method) = document.spec("budgetingMethod") else {
        return;
    };
    let method_text = document.scalar(&method.value);
    if method_text != "Occurrences" {
        document.error(
            method.value.place,
            &format!("`{method_text}` becomes `Occurrences`"),
            "events are counted here, not slices of time: check that the objective still fits",
        );
    }
}

fn objective(document: &SourceDocument<'_>) -> Option<Value> {
    let missing = |place| {
        document.error(
            place,
            "it has no objective",
            "add `target`, such as 0.995, or `targetPercent`",
        );
    };
    let Some(objectives) = document.spec("objectives") else {
        missing(document.node.place);
        return None;
    };
    let (first, rest) = items(&objectives.value).split_first()?;
    for further in rest {
        document.error(
            further.place,
            "only its first objective is carried over",
            "an SLO has one objective here: make an SLO of each",
        );
    }
    let entries = first.entries().unwrap_or_default();
    for entry in entries {
        match entry.key.as_str() {
            "target" | "targetPercent" => {}
            "displayName" => document.lost(entry, "the title of an SLO is `metadata.displayName`"),
            "op" | "value" => {
                document.lost(
                    entry,
                    "the threshold belongs into the selectors of the indicator",
                );
            }
            _ => document.lost(entry, "only `target` and `targetPercent` are known here"),
        }
    }
    let percent = [("target", 100.0), ("targetPercent", 1.0)]
        .into_iter()
        .find_map(|(key, factor)| {
            let text = document.scalar(&first.entry(key)?.value);
            Some(text.parse::<f64>().ok()? * factor)
        });
    let Some(percent) = percent else {
        missing(first.place);
        return None;
    };
    // Without the digits that only binary fractions have.
    let percent = format!("{percent:.9}");
    let percent = percent.trim_end_matches('0').trim_end_matches('.');
    Some(format!("{percent}%").into())
}

fn window(document: &SourceDocument<'_>) -> Option<Value> {
    let Some(entry) = document.spec("timeWindow") else {
        document.warn(
            document.node.place,
            "it has no `timeWindow`, so the window is 30 days",
            "write the window that is meant",
        );
        return Some("30d".into());
    };
    let window = items(&entry.value).first()?;
    let duration = document.scalar(&window.entry("duration")?.value);
    match window.entry("calendar") {
        Some(calendar) if !document.is_true(window.entry("isRolling")) => {
            calendar_window(document, &duration, calendar)
        }
        _ => {
            let days = match duration.trim_start_matches(|c: char| c.is_ascii_digit()) {
                "M" => 30,
                "Q" => 90,
                "Y" => 365,
                _ => return Some(duration.into()),
            };
            let number = duration.trim_end_matches(char::is_alphabetic);
            let days = number.parse::<u64>().ok()? * days;
            let what = format!("the window `{duration}` becomes `{days}d`");
            document.warn(
                window.place,
                &what,
                "a rolling window has a length in days here",
            );
            Some(format!("{days}d").into())
        }
    }
}

fn calendar_window(
    document: &SourceDocument<'_>,
    duration: &str,
    calendar: &Entry,
) -> Option<Value> {
    let unit = match duration {
        "1d" => "day",
        "1w" => "week",
        "1M" => "month",
        "1Q" | "3M" => "quarter",
        "1Y" => "year",
        _ => {
            document.error(
                calendar.value.place,
                &format!("`{duration}` is no period of the calendar here"),
                "write `window: { calendar: month }` or day, week, quarter or year",
            );
            return None;
        }
    };
    let start = calendar.value.entry("startTime");
    let written = start.map(|start| document.scalar(&start.value));
    if let (Some(start), Some(written)) = (start, written)
        && !written.ends_with("-01 00:00:00")
    {
        let why = "periods begin at midnight of the first day; weeks on Monday";
        document.lost(start, why);
    }
    let zone = calendar.value.entry("timeZone");
    let zone = zone.map_or_else(|| "UTC".to_owned(), |zone| document.scalar(&zone.value));
    Some(json!({ "calendar": unit, "timeZone": zone }))
}

fn indicator<'a>(document: &SourceDocument<'a>, library: &Library<'a>) -> Option<Value> {
    let add = "add `indicator.workflow` or `indicator.span`, which select spans";
    let sli = match (document.spec("indicatorRef"), document.spec("indicator")) {
        (Some(reference), _) => {
            let name = reference.value.text().unwrap_or_default();
            let found = library.find("SLI", name);
            if found.is_none() {
                let what = format!("there is no SLI `{name}` in these files");
                document.error(reference.value.place, &what, add);
            }
            found?
        }
        (None, Some(inline)) => SourceDocument {
            node: &inline.value,
            ..*document
        },
        (None, None) => {
            document.error(document.node.place, "it has no indicator", add);
            return None;
        }
    };
    if let Some(description) = sli.spec("description") {
        sli.lost(description, "describe the SLO");
    }
    let source = ["raw", "total", "good", "bad"]
        .into_iter()
        .find_map(|part| at(sli.node, &["spec", "ratioMetric", part, "metricSource"]))
        .or_else(|| at(sli.node, &["spec", "thresholdMetric", "metricSource"]));
    let Some(source) = source else {
        document.error(sli.node.place, "its indicator has no `metricSource`", add);
        return None;
    };
    let kind = source
        .value
        .entry("type")
        .map(|kind| sli.scalar(&kind.value));
    if kind.as_deref() != Some(SOURCE_TYPE) {
        let kind = kind.unwrap_or_else(|| "another system".to_owned());
        let what = format!("its indicator is a query of {kind}, so it is written without one");
        document.error(source.value.place, &what, add);
        return None;
    }
    let spec: Option<&YamlNode> = source.value.entry("spec").map(|spec| &spec.value);
    spec.map(|spec| sli.json(spec))
}

/// Adds alerting. In OpenSLO targets belong to a policy; here they belong to the SLO, by the
/// severity of the rules.
fn add_alerting(spec: &mut Map<String, Value>, used: &[ConvertedPolicy]) {
    if used.is_empty() {
        return;
    }
    let names = unique(used.iter().map(|policy| &policy.name));
    spec.insert("alertPolicies".to_owned(), json!(names));
    let mut notify = Map::new();
    for severity in ["page", "ticket"] {
        let of_severity = used
            .iter()
            .filter(|policy| policy.severities.contains(&severity));
        let targets = unique(of_severity.flat_map(|policy| &policy.targets));
        if !targets.is_empty() {
            notify.insert(severity.to_owned(), json!(targets));
        }
    }
    if !notify.is_empty() {
        spec.insert("notify".to_owned(), notify.into());
    }
}

/// Returns each name once, in the order of the first.
fn unique<'a>(names: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    let mut known = Vec::new();
    for name in names {
        if !known.contains(&name.as_str()) {
            known.push(name.as_str());
        }
    }
    known
}
