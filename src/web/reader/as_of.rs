//! The moment that a page shows: now, or an earlier one as it was known then (`?at=`).

use std::sync::Arc;

use crate::{
    domain::{
        model::{ids::SloId, text, time::Timestamp},
        slo::{
            Catalog,
            definition::{DefinitionFile, load},
        },
    },
    store::{SloRecord, StoreError, Tx},
    web::{error::WebError, state::WebState},
};

/// The moment that a page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) struct AsOf {
    /// All ranges end here.
    pub(in crate::web) at: Timestamp,
    pub(in crate::web) is_past: bool,
}

/// The definitions of a moment.
#[derive(Clone, Debug)]
pub(in crate::web) struct CatalogAsOf {
    pub(in crate::web) catalog: Arc<Catalog>,
    /// Since when they are in force, if that is later than the moment because older ones are not kept.
    pub(in crate::web) in_force_later: Option<Timestamp>,
}

impl AsOf {
    pub(in crate::web) fn now(state: &WebState) -> Self {
        Self {
            at: state.clock.now(),
            is_past: false,
        }
    }

    /// Reads the parameter `at`; empty is now.
    ///
    /// # Errors
    /// If it is no time, or one in the future.
    pub(in crate::web) fn asked(state: &WebState, at: &str) -> Result<Self, WebError> {
        let now = Self::now(state);
        if at.is_empty() {
            return Ok(now);
        }
        let shown = text::plain(at, 40);
        let at = Timestamp::parse_iso8601(at).ok_or_else(|| {
            WebError::Unreadable(format!(
                "`at` is `{shown}`, which is no time with a zone such as `2026-11-22T10:08Z`"
            ))
        })?;
        if at > now.at {
            return Err(WebError::Unreadable(format!(
                "`at` is `{shown}`, which is in the future"
            )));
        }
        Ok(Self { at, is_past: true })
    }

    /// Returns the definitions that were in force.
    pub(in crate::web) async fn catalog(&self, state: &WebState) -> Result<CatalogAsOf, WebError> {
        let current = CatalogAsOf {
            catalog: Arc::clone(&state.catalog.borrow()),
            in_force_later: None,
        };
        if !self.is_past {
            return Ok(current);
        }
        let mut tx = state
            .store
            .begin("read the definitions of a moment")
            .await?;
        let Some(set) = tx.definition_set_at(self.at).await? else {
            return Ok(current);
        };
        let Some(mut catalog) = parse_set(set.files).await else {
            return Ok(CatalogAsOf {
                in_force_later: Some(self.at),
                ..current
            });
        };
        catalog.slos.retain(|name, _| state.sees(name));
        Ok(CatalogAsOf {
            catalog: Arc::new(catalog),
            in_force_later: Some(set.in_force_from).filter(|from| *from > self.at),
        })
    }

    /// Replaces the last evaluation of each record by the last one that is kept of that moment.
    pub(in crate::web) async fn evaluations<'a>(
        &self,
        tx: &mut Tx<'_>,
        records: impl Iterator<Item = &'a mut SloRecord>,
    ) -> Result<(), StoreError> {
        if !self.is_past {
            return Ok(());
        }
        let records: Vec<&mut SloRecord> = records.collect();
        let ids: Vec<SloId> = records.iter().map(|record| record.id).collect();
        let mut statuses = tx.statuses_at(&ids, self.at).await?;
        for record in records {
            record.status = statuses.remove(&record.id);
        }
        Ok(())
    }
}

/// What a kept set of definitions declares, parsed beside the tasks of requests. `None` if an earlier
/// version has accepted what this one does not.
pub(in crate::web) async fn parse_set(files: Vec<DefinitionFile>) -> Option<Catalog> {
    let loaded = tokio::task::spawn_blocking(move || load(&files)).await;
    loaded.ok()?.ok().map(|(catalog, _)| catalog)
}
