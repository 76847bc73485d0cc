//! Modules of one folder do not import each other in circles, except where that has a reason.

use std::collections::BTreeSet;

use super::{
    imports::{between_children, cycles, module_of},
    sources,
};

/// Groups of modules with one parent that import each other on purpose: the parent, the group, the reason.
const MEANT_CYCLES: [(&str, &[&str], &str); 9] = [
    (
        "app",
        &["access", "database", "kafka", "loops", "monitoring"],
        "`loops` starts the loops that the others define with its `Periodic`",
    ),
    (
        "domain/slo/definition",
        &["fields", "value"],
        "a group has values, and a value may be a group",
    ),
    (
        "postgres",
        &[
            "binaries",
            "cluster",
            "error",
            "folder",
            "log",
            "process",
            "server",
            "socket",
            "supervise",
        ],
        "one component in many files, behind `EmbeddedServer`; nothing outside sees them",
    ),
    (
        "web",
        &[
            "access",
            "alertmanager",
            "assets",
            "chart",
            "chart_image",
            "error",
            "health",
            "hosts",
            "metrics",
            "page",
            "pages",
            "query",
            "reader",
            "state",
            "write",
        ],
        "all handlers share one state, which has what each of them needs, and one error, which is a page",
    ),
    (
        "web/access",
        &["caller", "provider", "record", "session"],
        "a session is one way to know a caller, and its beginning and end are recorded with the caller",
    ),
    (
        "web/pages",
        &["explain", "history", "overview", "reports", "slo"],
        "pages show parts of each other",
    ),
    (
        "web/pages/incidents",
        &["answers", "then_and_now", "view"],
        "the parts of one view, made from it",
    ),
    (
        "web/pages/slo",
        &["charts", "load", "view"],
        "one page in several files",
    ),
    (
        "web/pages/workflow",
        &["load", "steps", "view"],
        "one page in several files",
    ),
];

#[test]
fn modules_of_one_parent_do_not_import_each_other_in_circles() {
    let files = sources("src");
    let mut parents = BTreeSet::new();
    for module in files.iter().map(module_of) {
        parents.extend((0..module.len()).map(|depth| module[..depth].to_vec()));
    }
    let mut found = BTreeSet::new();
    for parent in &parents {
        let names: Vec<&str> = parent.iter().map(String::as_str).collect();
        let cycles = cycles(&between_children(&files, &names));
        found.extend(cycles.into_iter().map(|cycle| (names.join("/"), cycle)));
    }
    let meant = MEANT_CYCLES.map(|(parent, cycle, reason)| {
        assert!(!reason.is_empty());
        let cycle: Vec<String> = cycle.iter().map(|&module| module.to_owned()).collect();
        (parent.to_owned(), cycle)
    });
    assert_eq!(found, BTreeSet::from(meant));
}
