//! Tests with whole files as input, and problems or a catalog as output.

use std::{fs, time::Duration};

use super::*;
use crate::domain::{
    model::time::{TimeRange, Timestamp},
    slo::{Alerting, Guard, Indicator, Slo, Target, WorkflowIndicator},
    traceql::Selector,
};

fn slo(text: &str) -> DefinitionFile {
    DefinitionFile {
        path: "slo.yaml".to_owned(),
        text: text.to_owned(),
    }
}

#[test]
fn a_definition_becomes_what_it_says() {
    let root = env!("CARGO_MANIFEST_DIR");
    let path = format!("{root}/tests/fixtures/definitions/good/everything.yaml");
    let (catalog, _) = load(&[slo(&fs::read_to_string(path).unwrap())]).unwrap();
    let slos: Vec<String> = catalog.slos.values().map(|slo| describe(slo)).collect();
    let targets: Vec<&Target> = catalog.targets.values().map(AsRef::as_ref).collect();
    insta::assert_snapshot!(
        "good__everything",
        format!("{}\n{targets:#?}", slos.join("\n"))
    );
}

/// Describes all of an SLO, with selectors as text.
fn describe(slo: &Slo) -> String {
    let Slo {
        name,
        display_name,
        labels,
        annotations,
        description,
        service,
        objective,
        window,
        indicator,
        customer,
        customer_details,
        group_by,
        grace,
        clock_skew,
        weighing,
        exclusions,
        alerting,
        notify,
        runbook,
        source,
    } = slo;
    let indicator = match indicator {
        Indicator::Workflow(workflow) => format!(
            "start {} {:?} {:?}\nfinish {} {:?}\nfail {:?}\ncancel {:?} {:?}\npause {:?}\n{:?}\nwithin {:?}\n{:?}\nstages {:?}\n\
             from the {:?}",
            workflow.start.text(),
            workflow.opens.as_ref().map(Selector::text),
            workflow.started_at,
            workflow.finish.text(),
            workflow.finish_at,
            workflow.fail.as_ref().map(Selector::text),
            workflow.cancel.as_ref().map(Selector::text),
            workflow.cancelled,
            workflow.pause.as_ref().map(Selector::text),
            workflow.legs,
            workflow.within,
            workflow.correlate,
            workflow.stages,
            workflow.start_at
        ),
        Indicator::Span(span) => format!(
            "match {}\ngood {}\n{:?}",
            span.matches.text(),
            span.good.text(),
            span.started_at
        ),
    };
    format!(
        "{name} ({display_name}) {labels:?} {annotations:?} {description:?} {service:?}\n{objective} over {window:?}, \
         grace {grace:?}, clock skew {clock_skew:?}, {customer:?} {customer_details:?}, {group_by:?}, {runbook:?}\n{weighing:?} {exclusions:?}\n{indicator}\n{alerting:#?}\n{notify:?}\n{source:#?}\n"
    )
}

#[test]
fn the_standard_policy_has_the_factors_of_the_workbook() {
    let (catalog, warnings) = load(&[slo(
        "apiVersion: throughline/v1\nkind: SLO\nmetadata: { name: a }\nspec:\n  objective: 99.9%\n  \
         window: 30d\n  indicator: { span: { match: '{ true }', good: '{ true }' } }\n",
    )])
    .unwrap();
    let alerting = &catalog.slos.values().next().unwrap().alerting;
    let factors: Vec<String> = alerting
        .rules
        .iter()
        .map(|rule| format!("{} {:.4}", rule.name, rule.factor))
        .collect();
    let expected = [
        "fast-burn 14.4000",
        "slow-burn 6.0000",
        "day-burn 3.0000",
        "trickle 1.0000",
    ];
    assert_eq!(factors, expected);
    assert_eq!(alerting.guard, Guard { bad_events: 5 });
    assert_eq!(alerting.resolve_after, Duration::from_mins(5));
    let messages: Vec<_> = warnings.iter().map(|w| w.message.as_str()).collect();
    assert_eq!(messages, ["no target is notified about `a`"]);
}

/// Makes one SLO with the standard policy, whose alerts are sent.
fn with_standard_policy(objective: &str, window: &str) -> DefinitionFile {
    slo(&format!(
        "apiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: a }}\nspec:\n  \
         objective: {objective}\n  window: {window}\n  notify: {{ page: [hook] }}\n  \
         indicator: {{ span: {{ match: '{{ true }}', good: '{{ true }}' }} }}\n---\n\
         apiVersion: throughline/v1\nkind: AlertNotificationTarget\nmetadata: {{ name: hook }}\n\
         spec: {{ webhook: {{ url: \"http://localhost\" }} }}\n"
    ))
}

/// Checks `fast-burn`, `slow-burn`, `day-burn` and `trickle` against the documentation.
#[test]
fn the_standard_policy_fits_its_window_and_objective_without_a_word() {
    for (objective, window, expected) in [
        ("99.9%", "90d", &[20.0, 18.0, 9.0, 3.0][..]),
        ("97%", "30d", &[14.4, 6.0, 3.0, 1.0]),
        ("95%", "30d", &[14.4, 6.0, 3.0, 1.0]),
        ("90%", "30d", &[8.0, 6.0, 3.0, 1.0]),
        ("50%", "30d", &[1.6, 1.6, 1.6, 1.0]),
        ("10%", "30d", &[1.0, 1.0, 1.0, 1.0]),
        ("99.9%", "28d", &[13.44, 5.6, 2.8, 1.0]),
        ("99.9%", "7d", &[3.36, 2.0, 1.0, 1.0]),
        ("99.9%", "1d", &[2.0, 2.0, 1.0]),
        ("99.9%", "1h", &[2.0]),
    ] {
        let (catalog, warnings) = load(&[with_standard_policy(objective, window)]).unwrap();
        assert_eq!(warnings, [], "{objective} in {window}");
        let alerting = &catalog.slos.values().next().unwrap().alerting;
        let factors = alerting.rules.iter();
        let factors: Vec<f64> = factors
            .map(|rule| (rule.factor * 1e6).round() / 1e6)
            .collect();
        assert_eq!(factors, expected, "{objective} in {window}");
    }
}

#[test]
fn a_file_named_standard_replaces_the_built_in_policy() {
    let text = "apiVersion: throughline/v1\nkind: AlertPolicy\nmetadata: { name: standard }\nspec:\n  \
        rules: [{ name: only, severity: page, burnRate: { factor: 2, long: 1h, short: 5m } }]\n---\n\
        apiVersion: throughline/v1\nkind: SLO\nmetadata: { name: a }\nspec:\n  objective: 99.9%\n  \
        window: 30d\n  indicator: { span: { match: '{ true }', good: '{ true }' } }\n";
    let (catalog, _) = load(&[slo(text)]).unwrap();
    let slo = catalog.slos.values().next().unwrap();
    assert_eq!(slo.alerting.rules.len(), 1);
    assert_eq!(slo.source.line, 7);
    assert!(slo.source.text.starts_with("apiVersion") && slo.source.text.ends_with("} }"));
}

#[test]
fn the_schema_describes_what_is_read() {
    let schema = json_schema();
    insta::assert_json_snapshot!("schema", schema);
}

#[test]
fn the_reference_explains_every_field_and_leads_to_every_group() {
    let groups = reference();
    let names: Vec<&str> = groups.iter().map(|group| group.name).collect();
    for kind in ["SLO", "AlertPolicy", "AlertNotificationTarget", "Exclusion"] {
        assert!(names.contains(&kind), "{names:?}");
    }
    assert!(groups.len() > 25, "{names:?}");
    // The envelope is the same everywhere and self-explanatory.
    let envelope = ["apiVersion", "kind", "metadata", "spec"];
    for group in &groups {
        assert!(
            group.about.ends_with('.'),
            "{}: {}",
            group.name,
            group.about
        );
        for field in &group.fields {
            let place = format!("{}.{}", group.name, field.name);
            let is_explained = field.about.ends_with('.') || envelope.contains(&field.name);
            assert!(is_explained, "{place}: {}", field.about);
            for of in &field.groups {
                assert!(names.contains(of), "{place} is of {of}");
            }
        }
        for key in &group.exactly_one_of {
            let mut fields = group.fields.iter();
            assert!(fields.any(|field| field.name == *key), "{}", group.name);
        }
    }
}

/// A default in the reference is read as such; code that makes an SLO without a file must use the
/// same.
#[test]
fn what_is_left_out_in_a_file_is_what_is_left_out_in_code() {
    let (catalog, _) = load(&[slo(
        "apiVersion: throughline/v1\nkind: SLO\nmetadata: { name: a }\nspec:\n  objective: 99%\n  \
         window: 30d\n  indicator:\n    workflow: { start: '{ true }', finish: '{ true }', within: 1m, \
         correlate: [trace] }\n",
    )])
    .unwrap();
    let of_file = catalog.slos.values().next().unwrap();
    let Indicator::Workflow(workflow) = &of_file.indicator else {
        panic!("a workflow");
    };
    let of_code = Slo::new(
        of_file.name.clone(),
        of_file.objective,
        of_file.window,
        Indicator::Workflow(WorkflowIndicator::new(
            workflow.start.clone(),
            workflow.finish.clone(),
            workflow.within,
            workflow.correlate.clone(),
        )),
    );
    let of_code = Slo {
        alerting: of_file.alerting.clone(),
        source: of_file.source.clone(),
        ..of_code
    };
    assert_eq!(describe(of_file), describe(&of_code));
    let defaults = Alerting::default();
    let alerting = &of_file.alerting;
    assert_eq!(
        (alerting.guard, alerting.burn, alerting.resolve_after),
        (defaults.guard, defaults.burn, defaults.resolve_after)
    );
}

#[test]
fn directives_of_yaml_belong_to_the_document_behind_them() {
    let text = "# ours\n%YAML 1.2\n%TAG ! tag:example.com,2026:\n---\napiVersion: throughline/v1\nkind: SLO\n\
                metadata: { name: a }\nspec:\n  objective: 99%\n  window: 30d\n  \
                indicator: { span: { match: '{ true }', good: '{ true }' } }\n...\n%YAML 1.2\n---\n# nothing\n";
    let (catalog, _) = load(&[slo(text)]).unwrap();
    assert_eq!(catalog.slos.len(), 1);
}

/// London's clocks go forward on 28 March 2027 and back on 31 October.
#[test]
fn an_exclusion_keeps_its_time_of_day_when_the_clocks_change() {
    let text = "apiVersion: throughline/v1\nkind: SLO\nmetadata: { name: a }\nspec:\n  \
        objective: 99.9%\n  window: 30d\n  \
        indicator: { span: { match: '{ true }', good: '{ true }' } }\n---\n\
        apiVersion: throughline/v1\nkind: Exclusion\nmetadata: { name: weekly }\nspec:\n  \
        { from: 2027-03-22T02:00:00Z, for: 1h, repeat: FREQ=WEEKLY, timeZone: Europe/London, \
        reason: upgrade }\n";
    let (catalog, _) = load(&[slo(text)]).unwrap();
    let slo = catalog.slos.values().next().unwrap();
    let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
    let begins = |from: &str, to: &str| -> Vec<String> {
        let excluded = slo.excluded(TimeRange::new(at(from), at(to)));
        excluded
            .iter()
            .map(|stretch| stretch.from.to_rfc3339())
            .collect()
    };
    assert_eq!(
        begins("2027-03-20T00:00:00Z", "2027-04-01T00:00:00Z"),
        ["2027-03-22T02:00:00.000Z", "2027-03-29T01:00:00.000Z"]
    );
    assert_eq!(
        begins("2027-10-24T00:00:00Z", "2027-11-02T00:00:00Z"),
        ["2027-10-25T01:00:00.000Z", "2027-11-01T02:00:00.000Z"]
    );
    assert_eq!(
        begins("2040-01-01T00:00:00Z", "2040-01-15T00:00:00Z").len(),
        2
    );
}

#[test]
fn nothing_declared_is_a_valid_set() {
    let (catalog, warnings) = load(&[]).unwrap();
    assert!(catalog.slos.is_empty() && warnings.is_empty());
}
