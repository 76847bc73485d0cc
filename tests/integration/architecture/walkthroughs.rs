//! ARCHITECTURE names files that exist, and its walkthroughs are short.

use std::{collections::BTreeSet, fs, path::Path};

/// The most files that a span and an alert pass, by the title of the walkthrough.
const MOST_FILES: [(&str, usize); 2] = [("A span", 12), ("An alert", 20)];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn architecture() -> String {
    fs::read_to_string(root().join(".github/ARCHITECTURE.md")).unwrap()
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The files of the second column of a section's table, each once.
fn walked(text: &str, title: &str) -> BTreeSet<String> {
    let section = text.split_once(&format!("\n## {title}\n")).unwrap().1;
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let files = rows.filter_map(|row| row.split('|').nth(2));
    files.flat_map(quoted).map(str::to_owned).collect()
}

#[test]
fn a_span_and_an_alert_pass_few_files() {
    let text = architecture();
    for (title, most) in MOST_FILES {
        let files = walked(&text, title);
        assert!((5..=most).contains(&files.len()), "{title}: {files:#?}");
        for file in files {
            assert!(root().join(&file).is_file(), "{title}: {file}");
        }
    }
}

/// The number that a text begins with: `24,800` or `24,800 |`.
fn number(text: &str) -> u32 {
    let mut numbers = text.trim().split(|c: char| !c.is_ascii_digit() && c != ',');
    numbers.next().unwrap().replace(',', "").parse().unwrap()
}

#[test]
fn the_parts_are_as_large_as_the_whole() {
    let text = architecture();
    let size = text.split_once("\n## Size\n\n").unwrap().1;
    let table = size.split_once("|---|---|\n").unwrap().1;
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let parts =
        rows.map(|row| number(row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap()));
    assert_eq!(parts.sum::<u32>(), number(size));
}

#[test]
fn every_path_is_there() {
    let text = architecture();
    let paths = quoted(&text).filter(|path| {
        ["src/", "tests/", "migrations/", ".deploy/", ".docker/"]
            .iter()
            .any(|folder| path.starts_with(folder))
    });
    let gone: Vec<_> = paths.filter(|path| !root().join(path).exists()).collect();
    assert!(gone.is_empty(), "{gone:#?}");
}

/// `claim.rs` beside a path means a file of this name, somewhere.
#[test]
fn every_short_name_is_that_of_a_file() {
    let mut names = BTreeSet::new();
    for file in super::sources("src") {
        names.insert(
            file.path
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned(),
        );
    }
    let text = architecture();
    let gone: Vec<_> = quoted(&text)
        .filter(|name| {
            Path::new(name)
                .extension()
                .is_some_and(|ending| ending == "rs")
        })
        .filter(|name| !name.contains('/') && !names.contains(*name))
        .collect();
    assert!(gone.is_empty(), "{gone:#?}");
}
