//! The rules of the house (`src/lib.rs` tells why), checked: who may use whom, which crates stop at
//! which edge, what the core must not know, and that files stay short and say what they are for.

mod circles;
mod imports;
mod names;
mod walkthroughs;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use imports::{imports, is_test, module_of};

/// Modules that `crate::` may lead to, from each module.
const MAY_USE: [(&str, &[&str]); 21] = [
    ("domain", &[]),
    ("postgres", &[]),
    ("clock", &["domain"]),
    ("failpoint", &[]),
    ("config", &["domain", "postgres"]),
    ("telemetry", &["config"]),
    ("store", &["domain", "telemetry"]),
    ("recording", &["clock", "domain", "store"]),
    ("server", &["telemetry"]),
    ("http", &[]),
    ("installations", &["config", "domain", "http"]),
    ("oidc", &["domain", "http"]),
    ("remote_write", &["domain", "http"]),
    (
        "ingest",
        &[
            "clock",
            "domain",
            "recording",
            "server",
            "store",
            "telemetry",
        ],
    ),
    ("evaluate", &["domain", "failpoint", "recording", "store"]),
    ("deliver", &["domain", "failpoint", "store"]),
    ("monitor", &["domain", "store"]),
    (
        "web",
        &[
            "clock",
            "config",
            "domain",
            "installations",
            "oidc",
            "server",
            "store",
            "telemetry",
        ],
    ),
    (
        "app",
        &[
            "clock",
            "config",
            "deliver",
            "domain",
            "evaluate",
            "http",
            "ingest",
            "installations",
            "postgres",
            "recording",
            "remote_write",
            "server",
            "store",
            "telemetry",
            "monitor",
            "oidc",
            "web",
        ],
    ),
    (
        "demo",
        &["app", "clock", "config", "domain", "recording", "store"],
    ),
    (
        "cli",
        &[
            "app",
            "clock",
            "config",
            "demo",
            "domain",
            "failpoint",
            "telemetry",
        ],
    ),
];

/// Crates that are named only in these modules, or parts of them.
const STOPS_AT: [(&str, &[&str]); 18] = [
    ("sqlx", &["store"]),
    ("sqlx_macros", &["store"]),
    ("axum", &["ingest", "server", "web"]),
    ("tonic", &["ingest"]),
    ("prost", &["ingest", "remote_write", "web/metrics/protobuf"]),
    ("snap", &["remote_write"]),
    ("opentelemetry_proto", &["ingest"]),
    ("rdkafka", &["ingest/kafka"]),
    ("opentelemetry", &["telemetry", "demo"]),
    ("opentelemetry_otlp", &["telemetry", "demo"]),
    ("opentelemetry_sdk", &["telemetry", "demo"]),
    ("tracing_opentelemetry", &["telemetry"]),
    ("openidconnect", &["oidc"]),
    (
        "reqwest",
        &[
            "cli/client/api",
            "deliver",
            "http",
            "installations",
            "oidc",
            "remote_write",
        ],
    ),
    ("ipnet", &["config", "deliver"]),
    ("askama", &["web"]),
    ("clap", &["cli", "config", "main"]),
    ("toml", &["config"]),
];

/// What would make the core impure.
const CRATES_NOT_IN_DOMAIN: [&str; 3] = ["rand", "tokio", "tracing"];
const WORDS_NOT_IN_DOMAIN: [&str; 11] = [
    "async fn",
    ".await",
    "SystemTime",
    "Instant::now",
    "Utc::now",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "println!",
];

/// The contexts of the core, in reading order: each imports only those before it.
const CONTEXTS: [&str; 9] = [
    "model", "traceql", "slo", "workflow", "counting", "alerting", "notify", "health", "access",
];

const MAX_LINES: usize = 500;
const MAX_FILES: usize = 12;

struct File {
    path: PathBuf,
    /// The first part of the path below `src`, without its ending.
    module: String,
    text: String,
}

impl File {
    /// Lines of code with their number; comments are not rules' business.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn complaint(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path.display())
    }
}

fn sources(folder: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    assert!(!files.is_empty());
    files
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let below = path.strip_prefix(root).unwrap();
            let first = below
                .components()
                .next()
                .unwrap()
                .as_os_str()
                .to_string_lossy();
            let module = first.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).unwrap();
            files.push(File {
                path: below.to_owned(),
                module,
                text,
            });
        }
    }
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The modules that a line leads to by `crate::x` or `crate::{x::.., y}`.
fn led_to(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let line = text[..at].matches('\n').count() + 1;
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => {
                found.extend(heads(group).into_iter().map(|head| (line, head)));
            }
            None => found.push((line, word(rest))),
        }
    }
    found
}

/// The first words of the members of a group, whose opening brace is already read.
fn heads(group: &str) -> Vec<String> {
    let (mut depth, mut heads, mut is_start) = (0_i32, Vec::new(), true);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => return heads,
            '}' => depth -= 1,
            ',' if depth == 0 => is_start = true,
            c if is_start && c.is_alphabetic() => {
                heads.push(word(&group[at..]));
                is_start = false;
            }
            _ => {}
        }
    }
    heads
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

fn names_crate(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let is_word_start =
            before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':' && c != '"');
        is_word_start && line[at + name.len()..].starts_with("::")
    })
}

#[test]
fn stations_use_domain_and_store_and_never_each_other() {
    let mut complaints = Vec::new();
    for file in sources("src") {
        let Some((_, allowed)) = MAY_USE.iter().find(|(module, _)| *module == file.module) else {
            continue;
        };
        let code: String = file
            .code()
            .map(|(_, line)| format!("{line}\n"))
            .collect::<Vec<_>>()
            .concat();
        for (line, module) in led_to(&code) {
            let is_module = MAY_USE.iter().any(|(known, _)| *known == module);
            if is_module && module != file.module && !allowed.contains(&module.as_str()) {
                let what = format!("`{}` must not use `{module}`", file.module);
                complaints.push(file.complaint(line, &what));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn every_module_has_its_rule() {
    for file in sources("src") {
        let is_root = matches!(file.module.as_str(), "lib" | "main");
        let is_known = MAY_USE.iter().any(|(module, _)| *module == file.module);
        assert!(
            is_root || is_known,
            "`{}` has no line in MAY_USE",
            file.module
        );
    }
}

#[test]
fn crates_stop_at_their_edge() {
    let mut complaints = Vec::new();
    for file in sources("src") {
        let path = file.path.with_extension("");
        let is_at = |place: &&str| path.starts_with(place);
        let abroad = |places: &[&str]| !places.iter().any(is_at);
        for (name, modules) in STOPS_AT.into_iter().filter(|(_, modules)| abroad(modules)) {
            let what = format!("`{name}` is named only in {modules:?}");
            let lines = file.code().filter(|(_, text)| names_crate(text, name));
            complaints.extend(lines.map(|(line, _)| file.complaint(line, &what)));
        }
    }
    assert_none(&complaints);
}

/// axum's `State` has every SLO, `WebState` itself those that the sender of the request may see.
#[test]
fn a_page_shows_what_its_reader_may_see() {
    let mut complaints = Vec::new();
    let folders = ["src/web/pages", "src/web/alertmanager"].map(sources);
    for file in folders.iter().flatten() {
        let lines = file.code().filter(|(_, text)| text.contains("State<"));
        let what = "a handler takes `WebState` without `State`";
        complaints.extend(lines.map(|(line, _)| file.complaint(line, what)));
    }
    assert_none(&complaints);
}

/// What in this line would make the core impure.
fn impurities(line: &str) -> impl Iterator<Item = &'static str> + '_ {
    let crates = CRATES_NOT_IN_DOMAIN
        .into_iter()
        .filter(move |name| names_crate(line, name));
    let words = WORDS_NOT_IN_DOMAIN
        .into_iter()
        .filter(move |word| line.contains(word));
    crates.chain(words)
}

#[test]
fn the_core_knows_no_io_no_clock_and_no_chance() {
    let mut complaints = Vec::new();
    for file in sources("src")
        .iter()
        .filter(|file| file.module == "domain" && !is_test(file))
    {
        for (line, text) in file.code() {
            let found = impurities(text).map(|found| format!("`{found}` in the pure core"));
            complaints.extend(found.map(|what| file.complaint(line, &what)));
        }
    }
    assert_none(&complaints);
}

#[test]
fn a_context_of_the_core_imports_only_those_before_it() {
    let rank = |name: &String| CONTEXTS.iter().position(|context| context == name);
    let mut complaints = Vec::new();
    for file in sources("src") {
        let module = module_of(&file);
        if file.module != "domain" || module.len() < 2 || is_test(&file) {
            continue;
        }
        let own = rank(&module[1]);
        assert!(own.is_some(), "`{}` is in no context", file.path.display());
        for import in imports(&file) {
            if let [domain, context, ..] = import.to.as_slice()
                && domain == "domain"
                && rank(context) > own
            {
                let what = format!("`{}` must not use `{context}`", module[1]);
                complaints.push(file.complaint(import.line, &what));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn every_file_says_what_it_is_for_and_stays_short() {
    let mut complaints = Vec::new();
    for file in sources("src").into_iter().chain(sources("tests")) {
        if !file.text.starts_with("//!") {
            complaints.push(file.complaint(1, "does not begin with `//!`"));
        }
        let lines = file.text.lines().count();
        if lines > MAX_LINES {
            complaints.push(file.complaint(lines, "more than 500 lines"));
        }
    }
    assert_none(&complaints);
}

#[test]
fn a_folder_of_the_sources_has_few_files() {
    let mut folders: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for file in sources("src") {
        let folder = file.path.parent().unwrap().to_owned();
        *folders.entry(folder).or_default() += 1;
    }
    folders.retain(|_, files| *files > MAX_FILES);
    assert!(folders.is_empty(), "{folders:?}");
}

#[test]
fn the_rules_find_what_breaks_them() {
    let grouped = "use crate::{\n    store::{Store, StoreError},\n    web,\n};";
    let modules: Vec<_> = led_to(grouped)
        .into_iter()
        .map(|(_, module)| module)
        .collect();
    assert_eq!(modules, ["store", "web"]);
    assert_eq!(
        led_to("x\ncrate::deliver::y()"),
        [(2, "deliver".to_owned())]
    );
    assert!(names_crate("use sqlx::Row;", "sqlx"));
    assert!(names_crate("    let x: sqlx::Error = y;", "sqlx"));
    assert!(!names_crate("use not_sqlx::Row;", "sqlx"));
}
