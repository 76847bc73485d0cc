//! Makes a catalog from files: either the set is valid as a whole, or all problems of all files are
//! returned.

mod alerting;
pub(super) mod document;
mod foreign;
mod in_place;
mod selected;
mod selector;
mod slo;
mod values;
mod written;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

pub use self::written::{
    WrittenDefinition, check_written, has_files, with_replaced, with_written, written,
};
use self::{
    alerting::{
        fallback::{self, Unlinked},
        policy::{self, Policy},
        target,
    },
    document::{DocumentKind, Named, ReadSpec, Sheet},
    slo::exclusion,
};
use super::{
    DefinitionFile, Problem,
    diagnostics::Diagnostics,
    shape::{GroupShape, Outline},
    value::YamlValue,
};
use crate::domain::{
    model::ids::Name,
    slo::{Catalog, Slo, Target, exclusion::Exclusion},
};

/// Everything that `files` declare, with what is doubtful about it; or all that is wrong with them.
///
/// What the API wrote counts unless a file declares the same. SLOs that the installation leaves to others
/// are checked like those that it judges.
pub fn load(files: &[DefinitionFile]) -> Result<(Catalog, Vec<Problem>), Vec<Problem>> {
    let sheets: Vec<Sheet<'_>> = in_place::open(effective(files));
    let catalog = catalog(&sheets);
    let problems: Vec<Problem> = sheets.into_iter().flat_map(Sheet::into_problems).collect();
    if problems.iter().any(Problem::is_error) {
        Err(problems)
    } else {
        Ok((selected::of_installation(catalog, files)?, problems))
    }
}

/// Returns the SLOs that `file` declares, which may refer to declarations of `others` and replace
/// their SLOs; or all errors in it.
pub fn load_beside(
    file: &DefinitionFile,
    others: &[DefinitionFile],
) -> Result<Vec<Arc<Slo>>, Vec<Problem>> {
    // Of two definitions with one name the first counts.
    let files = std::iter::once(file).chain(effective(others));
    let sheets: Vec<Sheet<'_>> = in_place::open(files);
    let catalog = catalog(&sheets);
    let own = sheets.into_iter().next().map(Sheet::into_problems);
    let own = own.unwrap_or_default();
    if own.iter().any(Problem::is_error) {
        return Err(own);
    }
    let slos = catalog.slos.into_values();
    Ok(slos.filter(|slo| slo.source.file == file.path).collect())
}

/// The files with definitions, without what the API wrote and a file overrides.
fn effective(files: &[DefinitionFile]) -> impl Iterator<Item = &DefinitionFile> {
    let overridden = written(files).into_iter();
    let overridden = overridden.filter(|one| one.overridden_by.is_some());
    let overridden: BTreeSet<String> = overridden.map(|one| one.name).collect();
    let files = files.iter().filter(|file| !file.is_slo_selector());
    files.filter(move |file| {
        let name = file.written_name();
        name.is_none_or(|name| !overridden.contains(name))
    })
}

/// The definitions that an SLO may refer to. Names of invalid definitions are known too, so that
/// one mistake is reported once.
#[derive(Debug, Default)]
struct References {
    policies: BTreeMap<Name, Option<Policy>>,
    targets: BTreeSet<Name>,
    /// Policies that do not fit windows of these lengths, and for which a warning was already
    /// given.
    misfits: RefCell<BTreeSet<(Name, Duration)>>,
}

/// Returns all groups of fields that are read; those of the four kinds are named after the kind.
pub(super) fn shapes() -> Vec<GroupShape> {
    let nothing = DefinitionFile {
        path: String::new(),
        text: String::new(),
    };
    let findings = Diagnostics::new(&nothing);
    let groups = RefCell::default();
    let outline = Outline::new(Some(&groups));
    let value = YamlValue::outline(&findings, &outline);
    let (known, slos) = (References::default(), BTreeSet::new());
    for kind in DocumentKind::ALL {
        // The result does not matter, only what is recorded in `groups`.
        let _reported = match kind {
            DocumentKind::Slo => {
                document::read(value, kind, &|value, name| slo::read(value, name, &known)).is_ok()
            }
            DocumentKind::AlertPolicy => document::read(value, kind, &policy::read).is_ok(),
            DocumentKind::AlertNotificationTarget => {
                document::read(value, kind, &target::read).is_ok()
            }
            DocumentKind::Exclusion => document::read(value, kind, &|value, name| {
                exclusion::read(value, name, &slos)
            })
            .is_ok(),
        };
    }
    groups.into_inner()
}

/// Returns the names of all kinds, in the order of the reference.
pub(super) fn kinds() -> [&'static str; 4] {
    DocumentKind::ALL.map(DocumentKind::as_str)
}

/// Makes a catalog of the valid parts; errors in the others are reported.
fn catalog<'a>(sheets: &'a [Sheet<'a>]) -> Catalog {
    let targets = fallback::link(unique(
        sheets,
        DocumentKind::AlertNotificationTarget,
        &target::read,
        |named| {
            let findings = named.findings;
            let draft = named.spec.ok()?;
            Some(Unlinked { findings, draft })
        },
    ));
    let mut policies = unique(sheets, DocumentKind::AlertPolicy, &policy::read, |named| {
        named.spec.ok()
    });
    if let Some(standard) = policy::standard() {
        policies
            .entry(standard.name.clone())
            .or_insert(Some(standard));
    }
    let known = References {
        policies,
        targets: targets.keys().cloned().collect(),
        misfits: RefCell::default(),
    };
    let mut slos = unique(
        sheets,
        DocumentKind::Slo,
        &|value, name| slo::read(value, name, &known),
        slo::complete,
    );
    let names: BTreeSet<Name> = slos.keys().cloned().collect();
    let exclusions = unique(
        sheets,
        DocumentKind::Exclusion,
        &|value, name| exclusion::read(value, name, &names),
        |named| named.spec.ok(),
    );
    let exclusions: Vec<Arc<Exclusion>> =
        exclusions.into_values().flatten().map(Arc::new).collect();
    for slo in slos.values_mut().flatten() {
        let of_slo = exclusions.iter().filter(|one| one.scope.covers(&slo.name));
        slo.exclusions = of_slo.cloned().collect();
    }
    Catalog {
        slos: valid::<Slo>(slos),
        targets: valid::<Target>(targets),
        ..Catalog::default()
    }
}

fn valid<T>(all: BTreeMap<Name, Option<T>>) -> BTreeMap<Name, Arc<T>> {
    all.into_iter()
        .filter_map(|(name, value)| Some((name, Arc::new(value?))))
        .collect()
}

/// Returns all documents of a kind by name, `None` for invalid ones. A duplicate name is a problem
/// of the later document.
fn unique<'a, S, T>(
    sheets: &'a [Sheet<'a>],
    kind: DocumentKind,
    read: ReadSpec<'_, S>,
    complete: impl Fn(Named<'a, S>) -> Option<T>,
) -> BTreeMap<Name, Option<T>> {
    let mut all = BTreeMap::new();
    let mut first_places: BTreeMap<Name, String> = BTreeMap::new();
    for named in sheets.iter().flat_map(|sheet| sheet.named(kind, read)) {
        let Ok((name, place)) = named.metadata.name.clone() else {
            continue;
        };
        let findings = named.findings;
        if let Some(first) = first_places.get(&name) {
            findings.error_with_help(
                place,
                format!("there are two of kind {} named `{name}`", kind.as_str()),
                format!("the other one is in {first}: rename one of them"),
            );
            continue;
        }
        let here = format!("`{}`, line {}", findings.path(), findings.line_of(place.0));
        first_places.insert(name.clone(), here);
        all.insert(name, complete(named));
    }
    all
}
