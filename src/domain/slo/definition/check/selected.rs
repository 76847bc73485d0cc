//! The setting `--slo-selector`. It is stored with the files of the active set, under a path that no file
//! has, so every earlier set has its selector too: an SLO that a new selector leaves to other
//! installations counts as removed.

use super::super::{DefinitionFile, Problem};
use crate::domain::slo::{Catalog, SloSelector};

const PATH: &str = "--slo-selector";

impl DefinitionFile {
    pub fn slo_selector(selector: &SloSelector) -> Self {
        Self {
            path: PATH.to_owned(),
            text: selector.to_string(),
        }
    }

    pub fn is_slo_selector(&self) -> bool {
        self.path == PATH
    }
}

/// Returns the part of `catalog` that an installation with these files judges.
pub(super) fn of_installation(
    catalog: Catalog,
    files: &[DefinitionFile],
) -> Result<Catalog, Vec<Problem>> {
    let Some(file) = files.iter().find(|file| file.is_slo_selector()) else {
        return Ok(catalog);
    };
    let selector = file.text.parse();
    let selector =
        selector.map_err(|error| vec![Problem::of_file(PATH, format!("{error}"), None)])?;
    Ok(catalog.selected_by(selector))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{has_files, load, load_beside, with_written, written},
        *,
    };
    use crate::domain::slo::definition::{digest, emptied};

    fn slo(name: &str, team: &str) -> String {
        format!(
            "apiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: {name}, labels: {{ team: {team} }} }}\n\
             spec:\n  objective: 99%\n  window: 30d\n  indicator:\n    \
             span: {{ match: '{{ true }}', good: '{{ true }}' }}\n"
        )
    }

    fn file(path: &str, text: &str) -> DefinitionFile {
        DefinitionFile {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    fn files(selector: &str) -> Vec<DefinitionFile> {
        let selector = DefinitionFile::slo_selector(&selector.parse().unwrap());
        vec![
            file("a.yaml", &slo("orders", "checkout")),
            file("b.yaml", &slo("refunds", "payments")),
            selector,
        ]
    }

    #[test]
    fn the_slos_that_match_are_judged_and_the_others_are_known() {
        let (catalog, _) = load(&files("team=checkout")).unwrap();
        let names = |slos: &std::collections::BTreeMap<_, _>| {
            let names: Vec<_> = slos.keys().map(ToString::to_string).collect();
            names.join(" ")
        };
        assert_eq!(names(&catalog.slos), "orders");
        assert_eq!(names(&catalog.other_slos), "refunds");
        assert_eq!(catalog.selector.unwrap().to_string(), "team=checkout");
        let (all, _) = load(&files("team")[..2]).unwrap();
        assert_eq!((all.slos.len(), all.other_slos.len()), (2, 0));
    }

    #[test]
    fn an_slo_that_is_left_to_others_is_checked_like_every_other() {
        let mut files = files("team=checkout");
        files[1].text = slo("refunds", "payments").replace("99%", "101%");
        let problem = |files: &[DefinitionFile]| {
            let mut problems = load(files).unwrap_err().into_iter();
            problems.rfind(Problem::is_error).unwrap()
        };
        assert_eq!(problem(&files).file, "b.yaml");
        files[1].text = slo("orders", "payments");
        let message = problem(&files).message;
        assert!(message.contains("two of kind SLO"), "{message}");
    }

    #[test]
    fn an_exclusion_may_name_an_slo_that_is_left_to_others() {
        let mut files = files("team=checkout");
        files[0].text += "---\napiVersion: throughline/v1\nkind: Exclusion\n\
            metadata: { name: planned }\nspec:\n  slos: [refunds]\n  reason: planned work\n  \
            from: 2026-12-01T00:00:00Z\n  for: 1h\n";
        assert!(load(&files).is_ok(), "{:?}", load(&files));
    }

    #[test]
    fn another_selector_makes_another_set() {
        let (one, other) = (files("team=checkout"), files("team=payments"));
        assert!(has_files(&one, &files("team = checkout")) && !has_files(&one, &other));
        assert!(!has_files(&one, &one[..2]));
        assert_ne!(digest(&one), digest(&other));
        assert_eq!(
            with_written(&one, &other),
            one,
            "that of the set before is not kept"
        );
    }

    #[test]
    fn a_selector_that_matches_no_slo_any_more_needs_a_confirmation() {
        let (before, now) = (files("team=checkout"), files("team=nobody"));
        let [loss] = &emptied(&before, &now)[..] else {
            panic!("one sentence");
        };
        assert!(
            loss.starts_with("no SLO matches `--slo-selector team=nobody`, but 1 SLO is active"),
            "{loss}"
        );
        assert_eq!(
            emptied(&before, &files("team=payments")),
            Vec::<String>::new()
        );
    }

    #[test]
    fn the_selector_is_no_definition() {
        let mut files = files("team=checkout");
        let name = "returns".parse().unwrap();
        files.push(DefinitionFile::written(&name, slo("returns", "payments")));
        assert_eq!(written(&files).len(), 1);
        assert!(load(&files).unwrap().0.other_slos.contains_key(&name));
        let own = file("c.yaml", &slo("other", "payments"));
        assert_eq!(
            load_beside(&own, &files).unwrap().len(),
            1,
            "any installation judges it"
        );
    }
}
