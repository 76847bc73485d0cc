//! Definitions that were written by the API. They are part of the active set like files, one per
//! text, under a path that no file has. A definition in a file takes precedence over one of the
//! same kind and name.

use std::collections::BTreeMap;

use super::{
    super::{DefinitionFile, Problem},
    document::{DocumentKind, Sheet},
    in_place,
};
use crate::domain::model::ids::Name;

/// Files end with `.yaml`, `.yml` or `.json`.
const PREFIX: &str = "api:";

/// One definition that was written by the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenDefinition {
    pub name: String,
    pub kind: &'static str,
    /// YAML or JSON, as it was sent.
    pub text: String,
    /// The file and line of the definition that takes precedence.
    pub overridden_by: Option<String>,
}

impl DefinitionFile {
    pub fn written(name: &Name, text: String) -> Self {
        let path = format!("{PREFIX}{name}");
        Self { path, text }
    }

    /// Returns the name under which the API wrote it; `None` for a file.
    pub fn written_name(&self) -> Option<&str> {
        self.path.strip_prefix(PREFIX)
    }
}

/// Returns `files` together with what the API wrote in `in_force`.
pub fn with_written(files: &[DefinitionFile], in_force: &[DefinitionFile]) -> Vec<DefinitionFile> {
    let written = in_force.iter().filter(|file| file.written_name().is_some());
    files.iter().chain(written).cloned().collect()
}

/// Returns `in_force` with `file` in place of what the API wrote under its name.
pub fn with_replaced(in_force: &[DefinitionFile], file: DefinitionFile) -> Vec<DefinitionFile> {
    let mut all = in_force.to_vec();
    match all.iter_mut().find(|known| known.path == file.path) {
        Some(known) => *known = file,
        None => all.push(file),
    }
    all
}

/// Returns whether both have the same files and the same selector of SLOs, regardless of what the API wrote.
pub fn has_files(one: &[DefinitionFile], other: &[DefinitionFile]) -> bool {
    let of_folder = |file: &&DefinitionFile| file.written_name().is_none();
    one.iter()
        .filter(of_folder)
        .eq(other.iter().filter(of_folder))
}

/// Returns all definitions of `files` that the API wrote, by name.
pub fn written(files: &[DefinitionFile]) -> Vec<WrittenDefinition> {
    let own = files
        .iter()
        .filter_map(|file| Some((file.written_name()?, file)));
    let own: BTreeMap<&str, &DefinitionFile> = own.collect();
    if own.is_empty() {
        return Vec::new();
    }
    let declared = declared(files);
    let definition = |(name, file): (&str, &DefinitionFile)| {
        let sheets = in_place::open(std::iter::once(file));
        let (kind, ..) = sheets.first()?.documents().next()?;
        Some(WrittenDefinition {
            name: name.to_owned(),
            kind: kind.as_str(),
            text: file.text.clone(),
            overridden_by: declared.get(&(kind.as_str(), name.to_owned())).cloned(),
        })
    };
    own.into_iter().filter_map(definition).collect()
}

/// Returns the positions of all declarations in files, without what the API wrote.
fn declared(files: &[DefinitionFile]) -> BTreeMap<(&'static str, String), String> {
    let mut all = BTreeMap::new();
    let of_folder =
        |file: &&DefinitionFile| file.written_name().is_none() && !file.is_slo_selector();
    for sheet in in_place::open(files.iter().filter(of_folder)) {
        for (kind, name, line) in sheet.documents() {
            if let Some(name) = name {
                let place = format!("{}:{line}", sheet.findings.path());
                all.entry((kind.as_str(), name.to_owned())).or_insert(place);
            }
        }
    }
    all
}

/// Returns why `file` is not a definition of this name that the API may write. Errors in the
/// definition itself are not included.
pub fn check_written(file: &DefinitionFile, name: &Name) -> Vec<Problem> {
    let sheets = in_place::open(std::iter::once(file));
    let documents = sheets.iter().flat_map(Sheet::documents);
    let documents: Vec<_> = documents.collect();
    let problem = |message: String, help: &str| {
        vec![Problem::of_file(&file.path, message, Some(help.to_owned()))]
    };
    match documents[..] {
        [] if sheets.iter().all(|sheet| !sheet.findings.has_errors()) => {
            problem("there is no definition".to_owned(), ONE)
        }
        [(DocumentKind::AlertNotificationTarget, ..)] => problem(
            "a target cannot be written by the API".to_owned(),
            "declare it in a file: it names secrets of the machine, which would be sent to its address",
        ),
        [(_, Some(written), _)] if written != name.as_str() => problem(
            format!("the definition is named `{written}`, and the address `{name}`"),
            "write the same name in both",
        ),
        // Other errors are found when it is read.
        [] | [_] => Vec::new(),
        _ => problem(format!("there are {} definitions", documents.len()), ONE),
    }
}

const ONE: &str = "send one definition in each request";

#[cfg(test)]
mod tests {
    use super::{super::load, *};

    fn slo(name: &str) -> String {
        format!(
            "apiVersion: throughline/v1\nkind: SLO\nmetadata: {{ name: {name} }}\nspec:\n  \
             objective: 99%\n  window: 30d\n  indicator:\n    \
             span: {{ match: '{{ true }}', good: '{{ true }}' }}\n"
        )
    }

    fn openslo(policy: &str) -> String {
        format!(
            "apiVersion: openslo/v1\nkind: SLO\nmetadata: {{ name: a }}\nspec:\n  \
             objectives: [{{ target: 0.99 }}]\n  timeWindow: [{{ duration: 30d }}]\n  \
             alertPolicies: [{policy}]\n  indicator: {{ spec: {{ thresholdMetric: {{ metricSource: {{\n    \
             type: throughline, spec: {{ span: {{ match: '{{ true }}', good: '{{ true }}' }} }} }} }} }} }}\n"
        )
    }

    fn file(path: &str, text: String) -> DefinitionFile {
        let path = path.to_owned();
        DefinitionFile { path, text }
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn sources(files: &[DefinitionFile]) -> Vec<String> {
        let (catalog, _) = load(files).unwrap();
        let slos = catalog.slos.values();
        slos.map(|slo| slo.source.file.clone()).collect()
    }

    #[test]
    fn what_the_api_wrote_counts_until_a_file_declares_the_same() {
        let api = DefinitionFile::written(&name("a"), slo("a"));
        let files = [file("b.yaml", slo("b"))];
        let both = with_replaced(&files, api.clone());
        assert_eq!(sources(&both), ["api:a", "b.yaml"]);
        assert_eq!(written(&both)[0].overridden_by, None);

        let files = [file("c.yaml", format!("{}---\n{}", slo("b"), slo("a")))];
        let both = with_written(&files, &both);
        assert_eq!(sources(&both), ["c.yaml", "c.yaml"]);
        let [overridden] = &written(&both)[..] else {
            panic!("one was written");
        };
        assert_eq!((&*overridden.name, overridden.kind), ("a", "SLO"));
        assert_eq!(overridden.overridden_by.as_deref(), Some("c.yaml:9"));
        assert!(has_files(&both, &files) && !has_files(&both, &[]));
        assert_eq!(sources(&with_written(&[], &both)), ["api:a"]);
    }

    #[test]
    fn a_definition_is_written_again_in_its_place() {
        let [first, other] = ["a", "b"].map(|of| DefinitionFile::written(&name(of), slo(of)));
        let both = with_replaced(std::slice::from_ref(&first), other.clone());
        let changed = DefinitionFile::written(&name("a"), slo("a").replace("99%", "95%"));
        assert_eq!(with_replaced(&both, changed.clone()), [changed, other]);
    }

    #[test]
    fn one_definition_of_the_name_in_the_address_may_be_written() {
        let problem = |text: &str| {
            let file = DefinitionFile::written(&name("a"), text.to_owned());
            let problems = check_written(&file, &name("a"));
            problems.first().map(|problem| problem.message.clone())
        };
        assert_eq!(problem(&slo("a")), None);
        assert_eq!(problem(&openslo("{ alertPolicyRef: b }")), None);
        assert_eq!(problem("kind: [").as_deref(), None, "that is wrong itself");
        for (text, message) in [
            (slo("b"), "the definition is named `b`, and the address `a`"),
            (
                format!("{}---\n{}", slo("a"), slo("a")),
                "there are 2 definitions",
            ),
            (
                openslo("{ kind: AlertPolicy, metadata: { name: b } }"),
                "there are 2 definitions",
            ),
            (
                "apiVersion: openslo/v1\nkind: Service\nmetadata: { name: a }\n".to_owned(),
                "there is no definition",
            ),
            (
                slo("a").replace("SLO", "AlertNotificationTarget"),
                "a target cannot be written by the API",
            ),
        ] {
            assert_eq!(problem(&text).as_deref(), Some(message));
        }
    }
}
