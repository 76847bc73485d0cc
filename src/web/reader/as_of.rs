//! The time that a page shows: now, or an earlier time with the data of that time (`?at=`).

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

/// The time that a page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) struct AsOf {
    /// The end of all ranges.
    pub(in crate::web) at: Timestamp,
    pub(in crate::web) is_past: bool,
}

/// The definitions that were active at a time.
#[derive(Clone, Debug)]
pub(in crate::web) struct CatalogAsOf {
    pub(in crate::web) catalog: Arc<Catalog>,
    /// The time of their activation, if it is later than the requested time because older
    /// definitions are not kept.
    pub(in crate::web) in_force_later: Option<Timestamp>,
}

impl AsOf {
    pub(in crate::web) fn now(state: &WebState) -> Self {
        Self {
            at: state.clock.now(),
            is_past: false,
        }
    }

    /// Parses the parameter `at`; empty means now.
    ///
    /// # Errors
    /// If it is not a valid time, or one in the future.
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

    /// Returns the definitions that were active.
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

    /// Replaces the last evaluation of each record by the last one stored before that time.
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

/// Parses a stored set of definitions, outside of the threads that handle requests. `None` if an
/// earlier version accepted what this one does not.
pub(in crate::web) async fn parse_set(files: Vec<DefinitionFile>) -> Option<Catalog> {
    let loaded = tokio::task::spawn_blocking(move || load(&files)).await;
    loaded.ok()?.ok().map(|(catalog, _)| catalog)
}
