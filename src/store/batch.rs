//! Statements that are sent as one.

use std::fmt::Write as _;

use sqlx::{
    Arguments as _, AssertSqlSafe, Encode, Postgres, Type, error::BoxDynError,
    postgres::PgArguments,
};

use super::{StoreError, Tx};

/// Statements that insert, update or delete, sent as one: a transaction then waits for the database
/// once instead of once for each.
///
/// They see the same snapshot, so none may read what another writes, and no two may write the same
/// table.
#[derive(Debug, Default)]
pub(super) struct Batch {
    sql: String,
    arguments: PgArguments,
    error: Option<BoxDynError>,
}

impl Batch {
    /// Adds a statement, whose parameters are numbered from `$1`. They must be bound before the next
    /// statement is added.
    pub(super) fn add(&mut self, statement: &str) -> &mut Self {
        let separator = if self.sql.is_empty() { "with" } else { "," };
        let bound = self.arguments.len();
        self.sql.push_str(separator);
        // Unique names; nothing refers to them.
        let _written = writeln!(self.sql, " at_{bound}_{} as (", self.sql.len());
        push_renumbered(&mut self.sql, statement, bound);
        self.sql.push_str("\n)\n");
        self
    }

    /// Binds the next parameter of the statement that was added last.
    pub(super) fn bind<'t, T: Encode<'t, Postgres> + Type<Postgres>>(
        &mut self,
        value: T,
    ) -> &mut Self {
        if let Err(error) = self.arguments.add(value) {
            self.error.get_or_insert(error);
        }
        self
    }
}

impl Tx<'_> {
    /// Runs all statements of `batch`, which is named `name` in the server's statistics.
    pub(super) async fn run_batch(
        &mut self,
        name: &'static str,
        batch: Batch,
    ) -> Result<(), StoreError> {
        if let Some(error) = batch.error {
            return Err(self.failed(sqlx::Error::Encode(error)));
        }
        if batch.sql.is_empty() {
            return Ok(());
        }
        // Made of constants alone.
        let sql = AssertSqlSafe(format!("-- {name}\n{}select 1", batch.sql));
        self.execute(sqlx::query_with(sql, batch.arguments))
            .await
            .map(drop)
    }
}

/// Appends `statement` with each parameter `$n` as `$(n + bound)`.
fn push_renumbered(sql: &mut String, statement: &str, bound: usize) {
    let mut parts = statement.split('$');
    sql.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit());
        let (number, rest) = part.split_at(digits.unwrap_or(part.len()));
        let number: usize = number.parse().unwrap_or_default();
        let _written = write!(sql, "${}{rest}", number + bound);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_through_all_statements() {
        let mut batch = Batch::default();
        batch
            .add("insert into a select * from unnest($1::bigint[], $2::text[])")
            .bind(vec![1_i64])
            .bind(vec!["one"]);
        batch
            .add("update b set c = $2 where d = $1")
            .bind(1)
            .bind(2);
        assert!(batch.sql.contains("unnest($1::bigint[], $2::text[])"));
        assert!(batch.sql.contains("set c = $4 where d = $3"));
    }
}
