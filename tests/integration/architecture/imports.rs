//! Which module imports which, read from the text of the sources. Tests are left out: a test may
//! reach its subject through a later module.

use std::collections::{BTreeMap, BTreeSet};

use super::{File, word};

type Path = Vec<String>;

/// One path that a file names.
pub(super) struct Import {
    pub(super) line: usize,
    /// From the crate's root, items included: `domain`, `slo`, `Slo`.
    pub(super) to: Path,
}

/// The module that a file is, from the crate's root.
pub(super) fn module_of(file: &File) -> Path {
    let mut path: Path = file
        .path
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if path.last().is_some_and(|last| last == "mod") {
        path.pop();
    }
    path
}

/// Whether a file is compiled for tests only, by its name: declared `#[cfg(test)]` where it is.
pub(super) fn is_test(file: &File) -> bool {
    const NAMES: [&str; 7] = [
        "laws",
        "of_periods",
        "oracle",
        "pieces_tests",
        "sample",
        "sub_stages",
        "tests",
    ];
    file.path
        .iter()
        .any(|part| NAMES.contains(&part.to_string_lossy().trim_end_matches(".rs")))
}

/// Every path of this crate that the code names, with the line that it begins on.
pub(super) fn imports(file: &File) -> Vec<Import> {
    let text = product_code(file);
    let module = module_of(file);
    let mut found = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in text.match_indices(root) {
            let is_inner = text[..at].ends_with("super::") || text[..at].ends_with(is_word);
            if is_inner {
                continue;
            }
            let line = text[..at].matches('\n').count() + 1;
            let resolved = expand(&text[at..])
                .into_iter()
                .filter_map(|path| resolve(&module, &path));
            found.extend(resolved.map(|to| Import { line, to }));
        }
    }
    found
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | ':')
}

/// The code without comments and without its tests, as many lines as the file has.
fn product_code(file: &File) -> String {
    let tests = file.text.find("#[cfg(test)]\nmod tests {");
    let code = &file.text[..tests.unwrap_or(file.text.len())];
    let lines = code.lines().map(|line| {
        let is_comment = line.trim_start().starts_with("//");
        format!("{}\n", if is_comment { "" } else { line })
    });
    lines.collect()
}

/// The paths of a tree that `text` begins with: `a::{b, c::d}` are `a::b` and `a::c::d`.
fn expand(text: &str) -> Vec<Path> {
    let mut paths = Vec::new();
    tree(text, &Path::new(), &mut paths);
    paths
}

/// Reads one tree and returns what follows it.
fn tree<'a>(text: &'a str, prefix: &Path, paths: &mut Vec<Path>) -> &'a str {
    let mut path = prefix.clone();
    let mut rest = text.trim_start();
    loop {
        if let Some(members) = rest.strip_prefix('{') {
            rest = members.trim_start();
            while !rest.is_empty() && !rest.starts_with('}') {
                rest = tree(rest, &path, paths).trim_start_matches([',', ' ', '\n']);
            }
            return rest.strip_prefix('}').unwrap_or(rest);
        }
        let part = word(rest);
        rest = &rest[part.len()..];
        if !part.is_empty() && part != "self" {
            path.push(part);
        }
        match rest.strip_prefix("::") {
            Some(more) => rest = more,
            None => break,
        }
    }
    paths.push(path);
    // An alias, a call or anything else up to the end of this member.
    rest.trim_start_matches(|c| !matches!(c, ',' | '}' | ';' | '\n'))
}

fn resolve(module: &[String], path: &[String]) -> Option<Path> {
    let (first, rest) = path.split_first()?;
    if first == "crate" {
        return Some(rest.to_vec());
    }
    let ups = path.iter().take_while(|part| *part == "super").count();
    let base = &module[..module.len().checked_sub(ups)?];
    Some([base, &path[ups..]].concat())
}

/// Which children of the module `parent` import which others. What the parent re-exports belongs to
/// the child that it comes from.
pub(super) fn between_children(
    files: &[File],
    parent: &[&str],
) -> BTreeMap<String, BTreeSet<String>> {
    let is_below = |path: &[String]| {
        path.len() > parent.len() && path.iter().zip(parent).all(|(part, wanted)| part == wanted)
    };
    let children: BTreeSet<String> = files
        .iter()
        .map(module_of)
        .filter(|path| is_below(path))
        .map(|path| path[parent.len()].clone())
        .collect();
    let origins = re_exports(files, parent);
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| !is_test(file)) {
        let module = module_of(file);
        if !is_below(&module) {
            continue;
        }
        let from = &module[parent.len()];
        for import in imports(file).iter().filter(|import| is_below(&import.to)) {
            let name = &import.to[parent.len()];
            let to = origins.get(name).unwrap_or(name);
            if children.contains(to) && to != from {
                graph.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    graph
}

/// Item to child, by the `pub use` of the parent's own file.
fn re_exports(files: &[File], parent: &[&str]) -> BTreeMap<String, String> {
    let Some(file) = files.iter().find(|file| module_of(file) == parent) else {
        return BTreeMap::new();
    };
    let code = product_code(file);
    let mut origins = BTreeMap::new();
    for (at, found) in code.match_indices(" use ") {
        if !code[..at].ends_with("pub") && !code[..at].ends_with(')') {
            continue;
        }
        for path in expand(&code[at + found.len()..]) {
            if let (Some(first), Some(last)) = (path.first(), path.last()) {
                origins.insert(last.clone(), first.clone());
            }
        }
    }
    origins
}

/// Groups of nodes that reach each other, sorted; single nodes are none.
pub(super) fn cycles(graph: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<Vec<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> = graph
        .keys()
        .map(|node| (node, reach(graph, node)))
        .collect();
    reached
        .iter()
        .filter(|(node, seen)| seen.contains(*node))
        .map(|(node, seen)| {
            let is_mutual = |other: &&&String| {
                reached
                    .get(**other)
                    .is_some_and(|back| back.contains(*node))
            };
            seen.iter()
                .filter(is_mutual)
                .map(|other| (*other).clone())
                .collect()
        })
        .collect()
}

fn reach<'a>(
    graph: &'a BTreeMap<String, BTreeSet<String>>,
    from: &'a String,
) -> BTreeSet<&'a String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(node) = open.pop() {
        let next = graph.get(node).into_iter().flatten();
        open.extend(next.filter(|next| seen.insert(*next)));
    }
    seen
}

#[test]
fn a_tree_of_imports_is_read_as_its_paths() {
    let paths = |text| -> Vec<String> { expand(text).iter().map(|path| path.join("::")).collect() };
    assert_eq!(
        paths("crate::domain::{\n    slo::{self, Slo},\n    model::time::Timestamp as At,\n};"),
        [
            "crate::domain::slo",
            "crate::domain::slo::Slo",
            "crate::domain::model::time::Timestamp"
        ]
    );
    assert_eq!(paths("super::super::Tx, x)"), ["super::super::Tx"]);
}

#[test]
fn what_reaches_itself_is_a_cycle() {
    let edges = [("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")];
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in edges {
        graph
            .entry(from.to_owned())
            .or_default()
            .insert(to.to_owned());
    }
    let found: Vec<Vec<String>> = cycles(&graph).into_iter().collect();
    assert_eq!(found, [["b", "c"]]);
}
