//! The sets of definition files that are or were active, numbered in the order of their activation.
//!
//! All replicas use the newest set, even if their own files differ. The last
//! [`DefinitionSet::MOST`] are kept, since workflows that started under older ones may still end.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use crate::{
    domain::{
        model::{ids::Revision, time::Timestamp},
        slo::definition::DefinitionFile,
    },
    store::{StoreError, Tx},
};

/// Files that were activated together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionSet {
    pub number: Revision,
    pub in_force_from: Timestamp,
    pub files: Vec<DefinitionFile>,
}

impl DefinitionSet {
    /// The number of sets that are kept; each is read when a replica starts.
    pub const MOST: i32 = 64;

    /// The delay between writing a set and its activation. Every replica checks each second, so all
    /// know the set by then: spans that concern no SLO are answered without a database query.
    const LEAD: Duration = Duration::from_secs(2);

    /// Returns the oldest set that is kept while this one is active.
    pub fn oldest_kept(&self) -> Revision {
        Revision((self.number.0 - Self::MOST + 1).max(1))
    }
}

impl Tx<'_> {
    /// Blocks other writers of sets until the end of the transaction, and returns the newest set: what
    /// replaces it has to keep what the API wrote.
    pub async fn lock_definitions(&mut self) -> Result<Option<DefinitionSet>, StoreError> {
        let statement =
            sqlx::query("-- definition_sets.lock\nlock table definition_sets in exclusive mode");
        self.execute(statement).await?;
        self.newest_definitions().await
    }

    /// Returns the newest set; `None` before the first.
    pub async fn newest_definitions(&mut self) -> Result<Option<DefinitionSet>, StoreError> {
        let newest = self.definitions_in_force().await?;
        self.definition_set(newest).await
    }

    /// Activates `files` shortly after `now`, if they are not active already, and deletes the
    /// oldest of more than [`DefinitionSet::MOST`] sets. Call [`Self::lock_definitions`] before.
    pub async fn put_definitions_in_force(
        &mut self,
        files: &[DefinitionFile],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "-- definition_sets.put
             with newest as (
                 select number, in_force_from, files from definition_sets
                 order by number desc limit 1)
             insert into definition_sets (number, in_force_from, files)
             select coalesce((select number from newest), 0) + 1,
                 greatest($2, (select in_force_from from newest)), $1
             where not exists (select 1 from newest where files = $1)",
        )
        .bind(Json(pairs(files)))
        .bind((now + DefinitionSet::LEAD).to_chrono());
        self.execute(statement).await?;
        let statement = sqlx::query(
            "-- definition_sets.forget
             delete from definition_sets
             where number <= (select max(number) from definition_sets) - $1",
        )
        .bind(DefinitionSet::MOST);
        self.execute(statement).await.map(drop)
    }

    /// Returns the number of the set in force; 0 before the first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn definitions_in_force(&mut self) -> Result<Revision, StoreError> {
        let query = sqlx::query_as(
            "-- definition_sets.newest
             select coalesce(max(number), 0) from definition_sets",
        );
        let (number,) = self.fetch_one(query).await?;
        Ok(Revision(number))
    }

    /// Returns the numbers of the sets that are kept and when they came into force, oldest first.
    pub async fn definition_times(&mut self) -> Result<Vec<(Revision, Timestamp)>, StoreError> {
        let query = sqlx::query_as(
            "-- definition_sets.times
             select number, in_force_from from definition_sets order by number",
        );
        let rows: Vec<(i32, DateTime<Utc>)> = self.fetch_all(query).await?;
        let time = |(number, from): (i32, DateTime<Utc>)| (Revision(number), from.into());
        Ok(rows.into_iter().map(time).collect())
    }

    /// Returns the set of this number, if it is kept.
    pub async fn definition_set(
        &mut self,
        number: Revision,
    ) -> Result<Option<DefinitionSet>, StoreError> {
        let query = sqlx::query_as(
            "-- definition_sets.read
             select number, in_force_from, files from definition_sets where number = $1",
        )
        .bind(number.0);
        let row: Option<DefinitionSetRow> = self.fetch_optional(query).await?;
        Ok(row.map(DefinitionSet::from))
    }

    /// Returns the sets that were activated after `known`, oldest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn definition_sets_after(
        &mut self,
        known: Revision,
    ) -> Result<Vec<DefinitionSet>, StoreError> {
        let query = sqlx::query_as(
            "-- definition_sets.after
             select number, in_force_from, files from definition_sets
             where number > $1 order by number",
        )
        .bind(known.0);
        let rows: Vec<DefinitionSetRow> = self.fetch_all(query).await?;
        Ok(rows.into_iter().map(DefinitionSet::from).collect())
    }

    /// Returns the set that was in force at a time, or the oldest that is kept if that is newer; `None`
    /// before the first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn definition_set_at(
        &mut self,
        at: Timestamp,
    ) -> Result<Option<DefinitionSet>, StoreError> {
        let query = sqlx::query_as(
            "-- definition_sets.at
             select number, in_force_from, files from definition_sets
             order by in_force_from <= $1 desc,
                 case when in_force_from <= $1 then -number else number end
             limit 1",
        )
        .bind(at.to_chrono());
        let row: Option<DefinitionSetRow> = self.fetch_optional(query).await?;
        Ok(row.map(DefinitionSet::from))
    }
}

type DefinitionSetRow = (i32, DateTime<Utc>, Json<Vec<(String, String)>>);

impl From<DefinitionSetRow> for DefinitionSet {
    fn from((number, in_force_from, Json(pairs)): DefinitionSetRow) -> Self {
        let files = pairs.into_iter();
        Self {
            number: Revision(number),
            in_force_from: in_force_from.into(),
            files: files
                .map(|(path, text)| DefinitionFile { path, text })
                .collect(),
        }
    }
}

fn pairs(files: &[DefinitionFile]) -> Vec<(&str, &str)> {
    let pairs = files.iter();
    pairs
        .map(|file| (file.path.as_str(), file.text.as_str()))
        .collect()
}
