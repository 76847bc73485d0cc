//! Compares two sets of files: whether they are equal, and whether the new one unintentionally
//! removes active definitions. A volume that is not mounted and a file that was truncated by a full
//! disk look like a request to monitor nothing.

use sha2::{Digest as _, Sha256};

use super::{DefinitionFile, check::load};
use crate::domain::slo::Catalog;

/// Returns a hash that is the same for the same files, in every version and on every machine.
pub fn digest(files: &[DefinitionFile]) -> i64 {
    let mut hash = Sha256::new();
    for text in files.iter().flat_map(|file| [&file.path, &file.text]) {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    let first = hash.finalize().first_chunk().copied();
    i64::from_be_bytes(first.unwrap_or_default())
}

/// Returns why `now`, which is valid, must not replace `before` unless a person confirms it.
///
/// One sentence for each loss; empty if it may. Deleting a file, or a document in it, is an
/// ordinary change as long as an SLO remains.
pub fn emptied(before: &[DefinitionFile], now: &[DefinitionFile]) -> Vec<String> {
    let catalog = |files| load(files).map_or_else(|_| Catalog::default(), |(catalog, _)| catalog);
    let mut losses = Vec::new();
    let (active, next) = (catalog(before).slos.len(), catalog(now));
    if active > 0 && next.slos.is_empty() {
        let slos = if active == 1 { "SLO is" } else { "SLOs are" };
        let (found, cure) = match &next.selector {
            Some(selector) if !next.other_slos.is_empty() => (
                format!("no SLO matches `--slo-selector {selector}`"),
                "correct the selector",
            ),
            _ => ("the files declare no SLO".to_owned(), "restore the files"),
        };
        losses.push(format!(
            "{found}, but {active} {slos} active: {cure}, or run `throughline definitions clear` if no SLO \
             is to be monitored any more"
        ));
    }
    for file in now.iter().filter(|file| file.is_blank()) {
        let had_content = |old: &&DefinitionFile| old.path == file.path && !old.is_blank();
        if before.iter().any(|old| had_content(&old)) {
            losses.push(format!(
                "`{}` has become empty: restore it, or delete it if its definitions are to be removed",
                file.path
            ));
        }
    }
    losses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> DefinitionFile {
        DefinitionFile {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    fn slo(name: &str) -> String {
        format!(
            "apiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: {name} }}\nspec:\n  \
             objective: 99%\n  window: 30d\n  indicator:\n    \
             span: {{ match: '{{ true }}', good: '{{ true }}' }}\n"
        )
    }

    #[test]
    fn s47_going_from_some_slos_to_none_needs_a_confirmation() {
        let before = [file("a.yaml", &slo("a")), file("b.yaml", &slo("b"))];
        let [loss] = &emptied(&before, &[])[..] else {
            panic!("one sentence");
        };
        assert!(loss.contains("2 SLOs are active"), "{loss}");
        assert_eq!(emptied(&before, &before[..1]), Vec::<String>::new());
        assert_eq!(emptied(&[], &[]), Vec::<String>::new());
        assert_eq!(emptied(&[], &before), Vec::<String>::new());
    }

    #[test]
    fn s47_a_file_that_becomes_empty_is_no_removal() {
        let before = [file("a.yaml", &slo("a")), file("b.yaml", &slo("b"))];
        for blank in ["", "\u{feff}", "# mine\n\n---\n", "...\n"] {
            let now = [before[0].clone(), file("b.yaml", blank)];
            let [loss] = &emptied(&before, &now)[..] else {
                panic!("one sentence for {blank:?}");
            };
            assert!(loss.starts_with("`b.yaml` has become empty"), "{loss}");
            let was_empty = [before[0].clone(), file("b.yaml", "\n")];
            assert_eq!(emptied(&was_empty, &now), Vec::<String>::new());
        }
    }
}
