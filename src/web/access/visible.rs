//! The SLOs that a request may see and change.
//!
//! Handlers extract [`WebState`] itself, not axum's `State`: [`check`](super::check) has replaced
//! its catalog by one that contains only the SLOs of the caller. So a handler cannot forget the
//! check. What a handler reads from the database by another key than the SLO must pass
//! [`WebState::sees`].

use std::{collections::BTreeMap, convert::Infallible, sync::Arc};

use axum::{
    RequestPartsExt as _,
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use tokio::sync::watch;

use super::{caller::Caller, error::AccessError};
use crate::{
    domain::{
        access::{AccessRole, SloScope, is_within, may_see},
        alerting::silence::SilenceTerms,
        model::ids::Name,
        slo::{Catalog, Slo},
    },
    web::{
        error::WebError,
        pages::slo,
        state::{DefinitionsStatus, WebState},
    },
};

/// The teams and namespaces that a request is restricted to.
#[derive(Clone, Debug)]
pub struct Restriction {
    scopes: Arc<[SloScope]>,
    /// All SLOs, to reject changes of SLOs that belong to others.
    pub(super) all: Arc<Catalog>,
}

impl FromRequestParts<WebState> for WebState {
    type Rejection = Infallible;

    /// Extracts the state. A route without a check before it shows no SLO.
    async fn from_request_parts(parts: &mut Parts, state: &Self) -> Result<Self, Infallible> {
        let narrowed = parts.extensions.get::<Self>().cloned();
        Ok(narrowed.unwrap_or_else(|| state.narrowed(&[])))
    }
}

impl WebState {
    /// Returns the same state with only the SLOs of `scopes`.
    pub(super) fn narrowed(&self, scopes: &[SloScope]) -> Self {
        if scopes.contains(&SloScope::All) {
            return self.clone();
        }
        let all = Arc::clone(&self.catalog.borrow());
        let visible = |slos: &BTreeMap<Name, Arc<Slo>>| {
            let mut slos = slos.clone();
            slos.retain(|_, slo| may_see(scopes, &slo.labels));
            slos
        };
        let catalog = Catalog {
            slos: visible(&all.slos),
            selector: all.selector.clone(),
            other_slos: visible(&all.other_slos),
            targets: all.targets.clone(),
            former_targets: all.former_targets.clone(),
        };
        // Problems in the files may name SLOs of other teams.
        let definitions = self.definitions.borrow();
        let definitions = DefinitionsStatus {
            folder: definitions.folder.clone(),
            loaded_at: definitions.loaded_at,
            ..DefinitionsStatus::default()
        };
        Self {
            catalog: watch::channel(Arc::new(catalog)).1,
            definitions: watch::channel(Arc::new(definitions)).1,
            restriction: Some(Restriction {
                scopes: scopes.into(),
                all,
            }),
            ..self.clone()
        }
    }

    /// Returns whether the caller may see only some SLOs.
    pub(in crate::web) const fn is_restricted(&self) -> bool {
        self.restriction.is_some()
    }

    /// Returns whether the caller may see the SLO of this name. An SLO that is no longer declared
    /// belongs to no team.
    pub(in crate::web) fn sees(&self, slo: &Name) -> bool {
        !self.is_restricted() || self.catalog.borrow().slos.contains_key(slo)
    }

    /// Returns the names of the SLOs that the caller may see; `None` if they may see all.
    pub(in crate::web) fn seen_names(&self) -> Option<Vec<Name>> {
        let slos = &self.catalog.borrow().slos;
        self.is_restricted().then(|| slos.keys().cloned().collect())
    }

    /// Returns whether the caller may see a silence, because it may match one of their SLOs.
    pub(in crate::web) fn sees_silence(&self, terms: &SilenceTerms) -> bool {
        let slos = &self.catalog.borrow().slos;
        !self.is_restricted() || slos.values().any(|slo| terms.may_match(slo))
    }

    /// Checks that a silence matches only SLOs of the caller.
    pub(in crate::web) fn check_silence(&self, terms: &SilenceTerms) -> Result<(), AccessError> {
        let Some(Restriction { scopes, all }) = &self.restriction else {
            return Ok(());
        };
        let slos: Vec<&Slo> = all.slos.values().map(AsRef::as_ref).collect();
        if is_within(scopes, terms, &slos) {
            return Ok(());
        }
        Err(AccessError::SilencesOthers)
    }

    /// Checks that the caller may write the definition `name`. `written` is the SLO that it would
    /// declare; `None` if it declares none.
    pub(in crate::web) fn check_definition(
        &self,
        name: &Name,
        written: Option<&Slo>,
    ) -> Result<(), AccessError> {
        let Some(Restriction { scopes, all }) = &self.restriction else {
            return Ok(());
        };
        let is_own = |slo: &Slo| may_see(scopes, &slo.labels);
        let was_own = all.declared(name).is_none_or(|slo| is_own(slo));
        match written {
            _ if !was_own => Err(AccessError::NameOfOthers(name.to_string())),
            Some(slo) if is_own(slo) => Ok(()),
            _ => Err(AccessError::OtherLabels {
                wanted: labels_text(scopes),
            }),
        }
    }
}

/// Formats `team=payments` or `namespace=shop`.
fn labels_text(scopes: &[SloScope]) -> String {
    let labels = scopes.iter().filter_map(SloScope::label);
    let texts: Vec<_> = labels
        .map(|(name, value)| format!("`{name}: {value}`"))
        .collect();
    texts.join(" or ")
}

/// Returns the state for a request of `caller` that needs `role`. An SLO in the path that the
/// caller may not see is answered like one that does not exist.
pub(super) async fn narrow(
    state: &WebState,
    parts: &mut Parts,
    caller: &Caller,
    role: AccessRole,
) -> Result<WebState, WebError> {
    let narrowed = state.narrowed(&caller.permissions.scopes(role));
    if !narrowed.is_restricted() {
        return Ok(narrowed);
    }
    let Some(name) = slo_in_path(parts).await else {
        return Ok(narrowed);
    };
    if slo::declared(&narrowed, &name).is_some() {
        return Ok(narrowed);
    }
    let seen = state.narrowed(&caller.permissions.scopes(AccessRole::Viewer));
    if slo::declared(&seen, &name).is_some() {
        return Err(AccessError::OtherTeam { needed: role, name }.into());
    }
    Err(slo::unknown(&seen, &name))
}

async fn slo_in_path(parts: &mut Parts) -> Option<String> {
    let params = parts.extract::<RawPathParams>().await.ok()?;
    let slo = params.iter().find(|(key, _)| *key == "slo");
    slo.map(|(_, name)| name.to_owned())
}
