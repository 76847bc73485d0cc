//! Converts an SLO of OpenSLO v1, with its indicator, window and objective.

use serde_json::{Map, Value, json};

use super::{
    alerting::{ConvertedPolicy, Policies},
    converted::ConvertedDocument,
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
const ADD_INDICATOR: &str = "select spans: `metricSource: { type: throughline, spec: ... }`, with `workflow` or `span` in `spec`";

/// Returns the SLO, and its inline policies and targets.
pub(super) fn read<'a>(
    document: &SourceDocument<'a>,
    library: &Library<'a>,
    policies: &Policies<'a>,
) -> Vec<ConvertedDocument<'a>> {
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
    let indicator = indicator(document, library);
    let parts = [
        ("objective", objective(document)),
        ("window", window(document)),
        ("indicator", indicator.map(|(node, sli)| sli.json(node))),
    ];
    let is_partial = parts.iter().any(|(_, part)| part.is_none());
    for (key, part) in parts {
        spec.extend(part.map(|part| (key.to_owned(), part)));
    }
    let used = document.spec("alertPolicies");
    let used = used.map_or_else(Vec::new, |entry| policies.used_by(document, library, entry));
    add_alerting(&mut spec, &used);
    spec.extend(own);
    let slo = ConvertedDocument {
        is_partial,
        indicator: indicator.map(|(node, _)| node),
        ..ConvertedDocument::new(document, &metadata, spec)
    };
    let in_place = used.into_iter().flat_map(|used| used.in_place);
    in_place.chain([slo]).collect()
}

fn budgeting(document: &SourceDocument<'_>) {
    let Some(method) = document.spec("budgetingMethod") else {
        return;
    };
    if document.scalar(&method.value) != "Occurrences" {
        let why = "an objective is a share of events here, and no share of slices of time equals one: write \
                   `Occurrences`, with the share of events that must be good as `target`";
        document.unsupported(method, why);
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
    let Some((first, rest)) = items(&objectives.value).split_first() else {
        missing(objectives.value.place);
        return None;
    };
    for further in rest {
        document.error(
            further.place,
            "it has more than one objective",
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
            "timeSliceTarget" | "timeSliceWindow" => {
                document.lost(
                    entry,
                    "it is about slices of time, which are not counted here",
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
    let only = match items(&entry.value) {
        [window] => window.entry("duration").map(|duration| (window, duration)),
        _ => None,
    };
    let Some((window, duration)) = only else {
        let help = "write one, such as `timeWindow: [{ duration: 30d, isRolling: true }]`";
        document.error(
            entry.value.place,
            "`timeWindow` has no single `duration`",
            help,
        );
        return None;
    };
    let duration = document.scalar(&duration.value);
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
        let why = "periods begin at midnight of the first day, weeks on Monday: write such a time";
        document.unsupported(start, why);
    }
    let zone = calendar.value.entry("timeZone");
    let zone = zone.map_or_else(|| "UTC".to_owned(), |zone| document.scalar(&zone.value));
    Some(json!({ "calendar": unit, "timeZone": zone }))
}

/// Returns the indicator and the document that it is in; `None` if there is none, which is reported.
fn indicator<'a>(
    document: &SourceDocument<'a>,
    library: &Library<'a>,
) -> Option<(&'a YamlNode, SourceDocument<'a>)> {
    let sli = match (document.spec("indicatorRef"), document.spec("indicator")) {
        (Some(reference), _) => {
            let name = reference.value.text().unwrap_or_default();
            let found = library.find("SLI", name);
            if found.is_none() {
                let what = format!("there is no SLI `{name}` in these files");
                document.error(reference.value.place, &what, ADD_INDICATOR);
            }
            found?
        }
        (None, Some(inline)) => SourceDocument {
            node: &inline.value,
            ..*document
        },
        (None, None) => {
            document.error(document.node.place, "it has no indicator", ADD_INDICATOR);
            return None;
        }
    };
    if let Some(description) = sli.spec("description") {
        sli.lost(description, "describe the SLO");
    }
    let ratio = ["raw", "total", "good", "bad"].into_iter();
    let ratio = ratio
        .filter_map(|part| at(sli.node, &["spec", "ratioMetric", part, "metricSource"]))
        .chain(at(sli.node, &["spec", "thresholdMetric", "metricSource"]));
    let sources: Vec<&Entry> = ratio.collect();
    if sources.is_empty() {
        let what = "its indicator has no `metricSource`";
        sli.error(sli.node.place, what, ADD_INDICATOR);
        return None;
    }
    our_indicator(&sli, &sources).map(|indicator| (indicator, sli))
}

/// One of the sources has the whole indicator. OpenSLO wants the others to be there.
fn our_indicator<'a>(sli: &SourceDocument<'a>, sources: &[&'a Entry]) -> Option<&'a YamlNode> {
    let mut indicator: Option<&'a YamlNode> = None;
    for source in sources {
        let kind = source.value.entry("type");
        let kind = kind.map(|kind| sli.scalar(&kind.value));
        if kind.as_deref() != Some(SOURCE_TYPE) {
            let kind = kind.unwrap_or_else(|| "another system".to_owned());
            let what = format!("its indicator is a query of {kind}, which is not evaluated here");
            sli.error(source.value.place, &what, ADD_INDICATOR);
            return None;
        }
        let Some(spec) = source.value.entry("spec").map(|spec| &spec.value) else {
            continue;
        };
        if spec.entries().is_some_and(<[Entry]>::is_empty) {
            continue;
        }
        match indicator {
            Some(first) if sli.json(first) != sli.json(spec) => {
                let help =
                    "one `spec` says which events count and which are good: leave the others empty";
                sli.error(spec.place, "its indicator has two of `spec`", help);
            }
            Some(_) => {}
            None => indicator = Some(spec),
        }
    }
    if indicator.is_none() {
        let place = sources
            .first()
            .map_or(sli.node.place, |source| source.value.place);
        sli.error(place, "its indicator has no `spec`", ADD_INDICATOR);
    }
    indicator
}

/// Adds alerting. In OpenSLO targets belong to a policy; here they belong to the SLO, by the
/// severity of the rules.
fn add_alerting(spec: &mut Map<String, Value>, used: &[ConvertedPolicy<'_>]) {
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
