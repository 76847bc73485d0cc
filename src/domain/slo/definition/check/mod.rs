//! From files to a catalog: every problem of every file, or a set that is valid as a whole.

mod alerting;
mod document;
mod selector;
mod slo;
mod values;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use self::{
    alerting::{
        fallback,
        policy::{self, Policy},
        target,
    },
    document::{DocumentKind, Named, Sheet},
    slo::exclusion,
};
use super::{
    DefinitionFile, Problem,
    file::{ExclusionSpec, PolicySpec, SloSpec},
    target_file::TargetSpec,
};
use crate::domain::{
    model::ids::Name,
    slo::{Catalog, Slo, Target, exclusion::Exclusion},
};

/// Everything that `files` declare, with what is doubtful about it; or all that is wrong with them.
pub fn load(files: &[DefinitionFile]) -> Result<(Catalog, Vec<Problem>), Vec<Problem>> {
    let sheets: Vec<Sheet<'_>> = files.iter().map(Sheet::open).collect();
    let catalog = catalog(&sheets);
    let problems: Vec<Problem> = sheets.into_iter().flat_map(Sheet::into_problems).collect();
    if problems.iter().any(Problem::is_error) {
        Err(problems)
    } else {
        Ok((catalog, problems))
    }
}

/// What an SLO may refer to. Names of definitions that are wrong themselves are known too, so that
/// one mistake is reported once.
#[derive(Debug)]
struct References {
    policies: BTreeMap<Name, Option<Policy>>,
    targets: BTreeSet<Name>,
}

/// Of what is valid; where something is not, that is among the findings.
fn catalog<'a>(sheets: &'a [Sheet<'a>]) -> Catalog {
    let targets = fallback::link(unique(
        sheets,
        DocumentKind::AlertNotificationTarget,
        |named: &Named<'a, TargetSpec>| target::check(named),
    ));
    let mut policies = unique(
        sheets,
        DocumentKind::AlertPolicy,
        |named: &Named<'_, PolicySpec>| policy::check(named),
    );
    if let Some(standard) = policy::standard() {
        policies
            .entry(standard.name.clone())
            .or_insert(Some(standard));
    }
    let known = References {
        policies,
        targets: targets.keys().cloned().collect(),
    };
    let mut slos = unique(sheets, DocumentKind::Slo, |named: &Named<'_, SloSpec>| {
        slo::check(named, &known)
    });
    let names: BTreeSet<Name> = slos.keys().cloned().collect();
    let exclusions = unique(
        sheets,
        DocumentKind::Exclusion,
        |named: &Named<'_, ExclusionSpec>| exclusion::check(named, &names),
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
    }
}

fn valid<T>(all: BTreeMap<Name, Option<T>>) -> BTreeMap<Name, Arc<T>> {
    all.into_iter()
        .filter_map(|(name, value)| Some((name, Arc::new(value?))))
        .collect()
}

/// All documents of a kind by name, `None` for those that are wrong. A name that is taken already is
/// a problem of the later document.
fn unique<'a, S: serde::de::DeserializeOwned, T>(
    sheets: &'a [Sheet<'a>],
    kind: DocumentKind,
    check: impl Fn(&Named<'a, S>) -> Option<T>,
) -> BTreeMap<Name, Option<T>> {
    let mut all = BTreeMap::new();
    let mut first_places: BTreeMap<Name, String> = BTreeMap::new();
    for named in sheets.iter().flat_map(|sheet| sheet.named::<S>(kind)) {
        let value = check(&named);
        let Some((name, place)) = &named.name else {
            continue;
        };
        let findings = named.findings;
        if let Some(first) = first_places.get(name) {
            findings.error_with_help(
                *place,
                format!("there are two of kind {} named `{name}`", kind.as_str()),
                format!("the other one is in {first}: rename one of them"),
            );
            continue;
        }
        let here = format!("`{}`, line {}", findings.path(), findings.line_of(place.0));
        first_places.insert(name.clone(), here);
        all.insert(name.clone(), value);
    }
    all
}
