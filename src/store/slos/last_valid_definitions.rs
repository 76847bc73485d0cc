//! The definition files that were accepted last, by any replica: for a start on files that have errors,
//! and to notice files that declare nothing any more.

use chrono::{DateTime, Utc};

use crate::{
    domain::{model::time::Timestamp, slo::definition::DefinitionFile},
    store::{StoreError, Tx},
};

impl Tx<'_> {
    /// Replaces them.
    pub async fn keep_definitions(
        &mut self,
        files: &[DefinitionFile],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let pairs: Vec<(&str, &str)> = files
            .iter()
            .map(|file| (file.path.as_str(), file.text.as_str()))
            .collect();
        sqlx::query(concat!(
            "-- last_valid_definitions.keep\n",
            "insert into last_valid_definitions (files, loaded_at) values ($1, $2) ",
            "on conflict (singleton) do update ",
            "set files = excluded.files, loaded_at = excluded.loaded_at",
        ))
        .bind(sqlx::types::Json(pairs))
        .bind(now.to_chrono())
        .execute(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(())
    }

    /// With the time they were accepted at; `None` if none ever were.
    pub async fn kept_definitions(
        &mut self,
    ) -> Result<Option<(Vec<DefinitionFile>, Timestamp)>, StoreError> {
        type Pairs = sqlx::types::Json<Vec<(String, String)>>;
        let kept: Option<(Pairs, DateTime<Utc>)> = sqlx::query_as(
            "-- last_valid_definitions.read\nselect files, loaded_at from last_valid_definitions",
        )
        .fetch_optional(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(kept.map(|(pairs, loaded_at)| {
            let file = |(path, text)| DefinitionFile { path, text };
            let files = pairs.0.into_iter().map(file).collect();
            (files, loaded_at.into())
        }))
    }
}
