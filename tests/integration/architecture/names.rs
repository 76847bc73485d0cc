//! One word for one thing: a type's name is borne by one type in the whole crate.

use std::{collections::BTreeMap, fs, path::Path};

use super::{File, module_of, sources, word};

const KEYWORDS: [&str; 3] = ["struct ", "enum ", "trait "];

/// Names of types that `file` declares.
fn declared(file: &File) -> impl Iterator<Item = (usize, String)> {
    file.code().filter_map(|(at, line)| {
        let line = line.trim_start();
        let item = match line.strip_prefix("pub") {
            Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
            Some(rest) => rest.trim_start(),
            None => line,
        };
        let name = KEYWORDS
            .iter()
            .find_map(|keyword| item.strip_prefix(keyword))?;
        Some((at, word(name)))
    })
}

#[test]
fn no_two_types_have_the_same_name() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in &sources("src") {
        for (line, name) in declared(file) {
            let place = format!("{}:{line}", file.path.display());
            places.entry(name).or_default().push(place);
        }
    }
    assert!(places.len() > 500, "{} types", places.len());
    places.retain(|_, places| places.len() > 1);
    assert!(places.is_empty(), "{places:#?}");
}

/// Comments of columns name the types that define JSON, as `domain::notify::Notification`.
#[test]
fn types_that_migrations_name_are_there() {
    let files = sources("src");
    let is_there = |path: &str| {
        let (module, name) = path.rsplit_once("::").unwrap();
        let module: Vec<&str> = module.split("::").collect();
        files.iter().any(|file| {
            module_of(file).iter().zip(&module).all(|(a, b)| a == b)
                && declared(file).any(|(_, declared)| declared == name)
        })
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut named = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let paths = text.match_indices("domain::").map(|(at, _)| {
            let path = text[at..].chars();
            path.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':'))
                .collect::<String>()
        });
        named.extend(paths);
    }
    assert!(!named.is_empty());
    named.retain(|path| !is_there(path));
    assert!(named.is_empty(), "no such types: {named:?}");
}
