//! One word for one thing: a type's name is borne by one type in the whole crate.

use std::collections::BTreeMap;

use super::{File, sources, word};

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
