//! The catalogue of failures that alerting must survive, held against the tests: each entry has a test
//! whose name begins with its number, or a reason why it cannot happen here.

use std::{collections::BTreeSet, fs, path::Path};

/// What can go wrong, as T1, T2 and so on.
const FAILURES: [&str; 36] = [
    "no data is taken for no errors, and a firing alert resolves",
    "data stops altogether, and nobody notices for weeks",
    "evaluation was paused, and what nobody looked at counts as bad or as quiet",
    "clocks of replicas differ or jump, and alerts repeat or vanish",
    "a rate around the threshold fires and resolves in turns",
    "one of three requests failed at night, and somebody is paged",
    "an SLO is edited, renamed or deleted while it fires, and its alert stays open or is repeated",
    "definitions are read again, and alerts are lost or repeated",
    "several replicas send the same page",
    "two evaluators write different verdicts",
    "the database is away while alerts fire",
    "a restored backup sends old pages again",
    "one 429 drops an alert",
    "an alert is over before its beginning got through, and both vanish",
    "a restart forgets to say that an alert is over",
    "an end overtakes its beginning, and the incident stays open for ever",
    "a slow receiver holds up all others",
    "a receiver that took longer than it may had taken it, and is told again",
    "retries come as a wave",
    "a message that is refused is repeated for ever, or dropped at the first refusal",
    "a target that is gone is disabled without a word",
    "an answer says no with 200, or yes with something else",
    "a name cannot be resolved for a while",
    "an answer has no end",
    "a redirect leads a secret elsewhere",
    "a target's address leads into the own network",
    "a secret is shown in a log, a row or a page",
    "a user's template fails and swallows the alert",
    "a message is too long and is refused",
    "a value of a span mentions a channel or breaks the form",
    "hundreds of alerts at once, and the target refuses all",
    "a target is deleted with deliveries waiting for it",
    "a test message works, and no real one does",
    "a silence hides alerts for longer than anybody meant",
    "a wake-up is lost, and with it a notification",
    "one failed channel stops the others, and nobody watches the watcher",
];

/// Why an entry cannot happen here.
const REASONS: [(usize, &str); 2] = [
    (
        28,
        "There are no templates of users: every message is rendered by fixed code from typed facts, of \
         which property tests prove that it cannot fail.",
    ),
    (
        35,
        "Nothing is woken: replicas look every second for what is due, and Postgres is never asked to \
         notify anybody.",
    ),
];

/// The numbers that the names of tests begin with, as 20 and 25 in `t20_t25_an_unknown_refusal`.
fn tested() -> BTreeSet<usize> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut numbers = BTreeSet::new();
    for folder in ["src", "tests"] {
        collect(&root.join(folder), &mut numbers);
    }
    numbers
}

fn collect(folder: &Path, numbers: &mut BTreeSet<usize>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, numbers);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            numbers.extend(text.lines().flat_map(numbers_of));
        }
    }
}

fn numbers_of(line: &str) -> Vec<usize> {
    let line = line.trim_start();
    let line = line.strip_prefix("async ").unwrap_or(line);
    let Some(name) = line.strip_prefix("fn ") else {
        return Vec::new();
    };
    name.split('_')
        .map_while(|word| word.strip_prefix('t')?.parse().ok())
        .collect()
}

#[test]
fn every_failure_has_a_test_that_bears_its_number_or_a_reason() {
    let tested = tested();
    let missing: Vec<_> = (1..=FAILURES.len())
        .filter(|number| !tested.contains(number))
        .filter(|number| REASONS.iter().all(|(reasoned, _)| reasoned != number))
        .map(|number| format!("T{number}: {}", FAILURES[number - 1]))
        .collect();
    assert!(missing.is_empty(), "\n{}\n", missing.join("\n"));
}

#[test]
fn no_failure_is_both_proved_and_explained_away() {
    let tested = tested();
    for (number, reason) in REASONS {
        assert!(!tested.contains(&number), "T{number} has a test: {reason}");
    }
    let unknown: Vec<_> = tested
        .iter()
        .filter(|number| !(1..=FAILURES.len()).contains(*number))
        .collect();
    assert!(
        unknown.is_empty(),
        "no entry has these numbers: {unknown:?}"
    );
}

#[test]
fn the_numbers_of_a_test_stand_at_the_beginning_of_its_name() {
    assert_eq!(numbers_of("    async fn t20_t25_a_refusal() {"), [20, 25]);
    assert_eq!(numbers_of("fn t07_an_edit() {"), [7]);
    assert_eq!(numbers_of("fn the_t20_is_elsewhere() {"), [] as [usize; 0]);
    assert_eq!(numbers_of("let t20_x = 1;"), [] as [usize; 0]);
}
