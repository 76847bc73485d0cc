//! Tests with OpenSLO files as input, definitions as output, and back.

use std::{fs, path::PathBuf};

use super::*;
use crate::domain::slo::{
    Catalog, Slo, Source,
    definition::{load, to_openslo},
};

fn fixture(path: &str) -> DefinitionFile {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    DefinitionFile {
        path: path.to_owned(),
        text: fs::read_to_string(root.join(path)).unwrap(),
    }
}

fn text(documents: &[Value]) -> String {
    let documents = documents.iter().map(serde_saphyr::to_string);
    let documents: Result<Vec<String>, _> = documents.collect();
    documents.unwrap().join("---\n")
}

/// Formats each problem with its position and its help.
fn listed(problems: &[Problem]) -> String {
    let problems = problems.iter().map(|problem| {
        let help = problem.help.as_deref().unwrap_or_default();
        let severity = format!("{:?}", problem.severity).to_lowercase();
        format!(
            "{}: {severity}: {}\n    {help}\n",
            problem.line, problem.message
        )
    });
    problems.collect()
}

fn file(documents: &[Value]) -> DefinitionFile {
    DefinitionFile {
        path: "converted.yaml".to_owned(),
        text: text(documents),
    }
}

fn loaded(file: DefinitionFile) -> Catalog {
    let text = file.text.clone();
    let loaded = load(&[file]);
    let (catalog, _) = loaded.unwrap_or_else(|problems| panic!("{}\n{text}", listed(&problems)));
    catalog
}

#[test]
fn an_indicator_of_ours_is_carried_over_with_its_policy_and_target() {
    let conversion = from_openslo(&[fixture("openslo/spans.yaml")]);
    insta::assert_snapshot!("spans", text(&conversion.documents));
    insta::assert_snapshot!("spans_problems", listed(&conversion.problems));
    let catalog = loaded(file(&conversion.documents));
    let slo = &catalog.slos[&"orders".parse().unwrap()];
    assert_eq!(slo.notify.page, ["pager".parse().unwrap()]);
    assert!(catalog.targets.contains_key(&"pager".parse().unwrap()));
}

#[test]
fn what_cannot_be_carried_over_is_listed_with_its_name_and_line() {
    let conversion = from_openslo(&[fixture("openslo/query.yaml")]);
    insta::assert_snapshot!("query", text(&conversion.documents));
    insta::assert_snapshot!("query_problems", listed(&conversion.problems));
}

/// Describes all of an SLO, except its position in the file.
fn meaning(slo: &Slo) -> String {
    let slo = Slo {
        source: Source::default(),
        ..slo.clone()
    };
    format!("{slo:#?}")
}

#[test]
fn what_is_written_and_read_again_is_the_same() {
    for path in [
        "definitions/good/everything.yaml",
        "definitions/good/one-span.yaml",
        "definitions/good/short-window.yaml",
    ] {
        let ours = fixture(path);
        let there = to_openslo(std::slice::from_ref(&ours)).unwrap();
        let back = from_openslo(&[file(&there.documents)]);
        let errors: Vec<_> = back.problems.iter().filter(|one| one.is_error()).collect();
        assert!(errors.is_empty(), "{path}: {errors:?}");
        let (before, after) = (loaded(ours), loaded(file(&back.documents)));
        assert_eq!(after.targets, before.targets, "{path}");
        assert_eq!(after.slos.len(), before.slos.len(), "{path}");
        for (name, slo) in &before.slos {
            assert_eq!(meaning(&after.slos[name]), meaning(slo), "{path}");
        }
    }
}

#[test]
fn everything_is_written_in_the_form_of_openslo() {
    let there = to_openslo(&[fixture("definitions/good/everything.yaml")]).unwrap();
    insta::assert_snapshot!("everything", text(&there.documents));
    insta::assert_snapshot!("everything_problems", listed(&there.problems));
}

#[test]
fn definitions_with_errors_are_not_written() {
    let bad = fixture("definitions/bad/objective.yaml");
    assert!(!to_openslo(&[bad]).unwrap_err().is_empty());
}

#[test]
fn in_the_folder_a_document_means_what_it_is_converted_to() {
    let everything = fixture("definitions/good/everything.yaml");
    let everything = to_openslo(&[everything]).unwrap();
    for theirs in [fixture("openslo/spans.yaml"), file(&everything.documents)] {
        let converted = from_openslo(std::slice::from_ref(&theirs));
        let (there, here) = (loaded(theirs), loaded(file(&converted.documents)));
        assert!(!there.slos.is_empty());
        assert_eq!(there.targets, here.targets);
        assert_eq!(there.slos.len(), here.slos.len());
        for (name, slo) in &here.slos {
            assert_eq!(meaning(&there.slos[name]), meaning(slo));
        }
    }
}

#[test]
fn in_the_folder_documents_of_both_formats_refer_to_each_other() {
    let (catalog, warnings) = load(&[fixture("definitions/good/openslo.yaml")]).unwrap();
    let slo = &catalog.slos[&"orders".parse().unwrap()];
    let rules = slo.alerting.rules.iter();
    let rules: Vec<&str> = rules.map(|rule| rule.name.as_str()).collect();
    assert_eq!(rules, ["fast", "slow"]);
    assert_eq!(slo.notify.ticket, ["chat".parse().unwrap()]);
    assert!(slo.customer.is_some(), "an annotation of ours");
    assert_eq!(slo.exclusions.len(), 1, "planned work of ours");
    assert_eq!(slo.source.line, 8);
    assert!(slo.source.text.starts_with("apiVersion: openslo/v1"));
    let only = "AlertCondition `slow`: a short window of 360m is added";
    let messages: Vec<&str> = warnings.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(messages, [only]);
}
