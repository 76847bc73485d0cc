//! The last definition files without errors, for a start on files that have errors.

use crate::{
    domain::{model::time::Timestamp, slo::definition::DefinitionFile},
    store::{StoreError, Tx},
};

impl Tx<'_> {
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

    /// `None` if none was ever kept.
    pub async fn kept_definitions(&mut self) -> Result<Option<Vec<DefinitionFile>>, StoreError> {
        type Pairs = Vec<(String, String)>;
        let kept: Option<sqlx::types::Json<Pairs>> = sqlx::query_scalar(
            "-- last_valid_definitions.read\nselect files from last_valid_definitions",
        )
        .fetch_optional(&mut *self.inner)
        .await
        .map_err(|source| self.failed(source))?;
        Ok(kept.map(|pairs| {
            pairs
                .0
                .into_iter()
                .map(|(path, text)| DefinitionFile { path, text })
                .collect()
        }))
    }
}
