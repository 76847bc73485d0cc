//! Tests that templates judge spans as the libraries' documentation describes them. Templates of
//! libraries that run here are also tested with real workers, in `tests/integration/instrumented`.

use super::*;
use crate::domain::{
    model::span::OwnedValue,
    slo::{
        DefinitionTemplate, TEMPLATES,
        definition::{DefinitionFile, load},
    },
};

fn loaded(template: DefinitionTemplate) -> Slo {
    let file = DefinitionFile {
        path: format!("{}.yaml", template.name),
        text: template.text.to_owned(),
    };
    let (catalog, warnings) =
        load(&[file]).unwrap_or_else(|problems| panic!("{}: {problems:#?}", template.name));
    // The reader must add the target to notify.
    let [warning] = warnings.as_slice() else {
        panic!("{}: {warnings:#?}", template.name);
    };
    assert!(
        warning.message.starts_with("no target is notified"),
        "{warning:?}"
    );
    (**catalog.slos.values().next().unwrap()).clone()
}

/// Returns the template with its placeholders, under test.
fn template(name: &str) -> SloUnderTest {
    SloUnderTest::new(loaded(DefinitionTemplate::named(name).unwrap()).indicator)
}

fn of(span: Span, attributes: &[(&str, &str)]) -> Span {
    let with = |span: Span, (key, value): &(&str, &str)| span.with(key, *value);
    attributes.iter().fold(span, with)
}

fn with_exception(mut span: Span) -> Span {
    span.events.push(Event {
        name: "exception".to_owned(),
        time_unix_nano: span.end_unix_nano,
        attributes: vec![(
            "exception.type".to_owned(),
            OwnedValue::from("ApplicationError"),
        )],
    });
    span
}

#[test]
fn every_template_is_a_definition_that_lacks_only_targets() {
    for template in TEMPLATES {
        loaded(template);
        assert!(template.about().len() > 20, "{}", template.name);
        assert!(!template.about().contains('#'), "{}", template.name);
    }
    let mut names = TEMPLATES.map(|template| template.name);
    names.sort_unstable();
    assert_eq!(names, TEMPLATES.map(|template| template.name));
}

#[test]
fn every_line_with_a_placeholder_is_marked() {
    let is_placeholder = |word: &str| {
        let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
        let states = [
            "SUCCESS",
            "FAILURE",
            "SUCCEEDED",
            "FAILED",
            "COMPLETED",
            "TERMINATED",
            "CANCELED",
            "EDIT",
            "SLO",
        ];
        word.len() > 2 && word.chars().all(is_name) && !states.contains(&word)
    };
    for template in TEMPLATES {
        let lines = template.text.lines();
        for line in lines.filter(|line| !line.trim_start().starts_with('#')) {
            let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            if words.any(is_placeholder) {
                assert!(line.contains("# EDIT"), "{}: {line}", template.name);
            }
        }
    }
}

#[test]
fn temporal_says_only_by_an_event_that_a_workflow_failed() {
    let begun = || {
        let id = [("temporalWorkflowID", "w1")];
        let started = span("a:1", "StartWorkflow:WORKFLOW", [0.0, 0.1]).of_kind(SpanKind::Client);
        let run = span("a:2", "RunWorkflow:WORKFLOW", [0.2, 0.2]).of_kind(SpanKind::Server);
        // An activity that failed and is retried.
        let attempt = span("a:3", "RunActivity:Charge", [0.3, 0.4]).failed();
        [started, run, with_exception(attempt)].map(|span| of(span, &id))
    };
    let completed = || {
        let end = span("a:4", "CompleteWorkflow:WORKFLOW", [5.0, 5.0]).of_kind(SpanKind::Internal);
        of(end, &[("temporalWorkflowID", "w1")])
    };
    template("temporal").receive(&begun()).stays_open();
    let good = template("temporal").receive(&begun());
    good.receive(&[completed()]).has(Outcome::Good, 5.0);
    let failed = template("temporal").receive(&begun());
    failed
        .receive(&[with_exception(completed())])
        .has(Outcome::Failed, 5.0);
    let hangs = template("temporal").receive(&begun());
    hangs.until(2.0 * 3_600.0).has(Outcome::Timeout, 3_600.0);
}

#[test]
fn dapr_tells_the_end_by_the_runtime_status() {
    let id = [
        ("durabletask.type", "orchestration"),
        ("durabletask.task.name", "WORKFLOW"),
        ("durabletask.task.instance_id", "w1"),
    ];
    let created = span("a:1", "create_orchestration||WORKFLOW", [0.0, 0.1]);
    let created = of(created.of_kind(SpanKind::Client), &id);
    let ended = |status: &str, at: f64| {
        let whole = span("a:2", "orchestration||WORKFLOW", [0.2, at]).of_kind(SpanKind::Server);
        of(whole, &id).with("durabletask.runtime_status", status)
    };
    for (status, outcome) in [
        ("COMPLETED", Outcome::Good),
        ("FAILED", Outcome::Failed),
        ("TERMINATED", Outcome::Cancelled),
    ] {
        let spans = [created.clone(), ended("CONTINUED_AS_NEW", 3.0)];
        let world = template("dapr").receive(&spans).stays_open();
        let world = world.receive(&[ended(status, 5.0)]);
        assert_eq!(world.verdicts()[0].0, outcome, "{status}");
    }
}

#[test]
fn durable_functions_that_hang_are_known_by_their_first_invocation() {
    let arn = "arn:aws:lambda:eu-west-1:123456789012:function:FUNCTION:1/durable-execution/a/b";
    let id = [("durable.execution.arn", arn)];
    let invocation = of(span("a:1", "Invocation", [1.0, 2.0]), &id);
    let whole = |status: &str| {
        let whole = of(span("a:2", "Workflow", [0.0, 9.0]), &id);
        whole.with("durable.execution.status", status)
    };
    let hangs = template("aws-durable-functions").receive(std::slice::from_ref(&invocation));
    hangs.until(2.0 * 3_600.0).has(Outcome::Timeout, 3_601.0);
    for (status, outcome) in [("SUCCEEDED", Outcome::Good), ("FAILED", Outcome::Failed)] {
        let world = template("aws-durable-functions");
        let world = world.receive(&[invocation.clone(), whole(status)]);
        world.has(outcome, 9.0);
    }
}

#[test]
fn runs_of_a_dag_are_known_by_their_tasks_before_they_end() {
    let id = [
        ("airflow.dag_id", "DAG"),
        ("airflow.dag_run.run_id", "scheduled__2026-11-29"),
    ];
    let task = of(span("a:1", "task_run.extract", [1.0, 2.0]).failed(), &id);
    let run = of(span("a:2", "dag_run.DAG", [0.0, 9.0]), &id);
    let hangs = template("airflow").receive(std::slice::from_ref(&task));
    hangs.until(3.0 * 3_600.0).has(Outcome::Timeout, 7_201.0);
    let good = template("airflow").receive(&[task.clone(), run.clone()]);
    good.has(Outcome::Good, 9.0);
    let bad = template("airflow").receive(&[task, run.failed()]);
    bad.has(Outcome::Failed, 9.0);
}

#[test]
fn sidekiq_s_first_attempt_without_error_is_the_success() {
    let job = |id: &str, [from, to]: [f64; 2]| {
        let id = span(id, "default process", [from, to]);
        of(
            id,
            &[
                ("messaging.system", "sidekiq"),
                ("messaging.sidekiq.job_class", "JOB"),
                ("messaging.message_id", "jid"),
            ],
        )
    };
    let pushed = job("a:1", [0.0, 0.1]).of_kind(SpanKind::Producer);
    // Each attempt is a trace of its own.
    let failed = job("b:1", [1.0, 2.0]).failed();
    let world = template("sidekiq").receive(&[pushed, failed]).stays_open();
    let done = job("c:1", [20.0, 21.0]);
    world.receive(&[done]).has(Outcome::Good, 21.0);
}
