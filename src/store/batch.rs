//! Statements that are sent as one.

use std::fmt::Write as _;

use sqlx::{
    Arguments as _, AssertSqlSafe, Encode, Postgres, Row as _, Type, error::BoxDynError,
    postgres::PgArguments,
};

use super::{StoreError, Tx};

/// Statements that insert, update or delete, sent as one: a transaction then waits for the database
/// once instead of once for each.
///
/// They see the same snapshot, so none may read what another writes, and no two may write the same
/// row.
#[derive(Debug, Default)]
pub(super) struct Batch {
    sql: String,
    arguments: PgArguments,
    error: Option<BoxDynError>,
    /// Statements that run before all others, in this order, and how many rows each must change.
    first: Vec<(String, usize)>,
}

impl Batch {
    /// Adds a statement, whose parameters are numbered from `$1`. They must be bound before the next
    /// statement is added.
    pub(super) fn add(&mut self, statement: &str) -> &mut Self {
        self.push(statement);
        self
    }

    /// Adds a statement that runs before those of [`add`](Self::add), must change so many rows, and
    /// returns one for each. If it changes fewer, another transaction was first.
    pub(super) fn add_first(&mut self, statement: &str, rows: usize) -> &mut Self {
        let name = self.push(statement);
        self.first.push((name, rows));
        self
    }

    /// Returns the name of the statement, which is unique.
    fn push(&mut self, statement: &str) -> String {
        let separator = if self.sql.is_empty() { "with" } else { "," };
        let bound = self.arguments.len();
        let name = format!("at_{bound}_{}", self.sql.len());
        let _written = writeln!(self.sql, "{separator} {name} as (");
        push_renumbered(&mut self.sql, statement, bound);
        self.sql.push_str("\n)\n");
        name
    }

    /// Returns the statement that runs all of them. What its result is made of runs first, from left
    /// to right; the rest follows.
    fn sql(&self, name: &str) -> String {
        let counts = self.first.iter();
        let counts: Vec<_> = counts
            .map(|(name, _)| format!("(select count(*) from {name})"))
            .collect();
        let counts = counts.join(", ");
        format!("-- {name}\n{}select array[{counts}]::bigint[]", self.sql)
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
    /// Runs all statements of `batch`, which is named `name` in the server's statistics. Fails with a
    /// conflict if one of those that run first has changed fewer rows than it must.
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
        let sql = AssertSqlSafe(batch.sql(name));
        let query = sqlx::query_with(sql, batch.arguments);
        let row = query.fetch_one(&mut self.inner).await;
        let changed: Vec<i64> = row
            .and_then(|row| row.try_get(0))
            .map_err(|source| self.failed(source))?;
        let mut wanted = batch.first.iter().zip(changed);
        if wanted.any(|((_, rows), changed)| usize::try_from(changed) != Ok(*rows)) {
            return Err(self.conflict());
        }
        Ok(())
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

    #[test]
    fn the_result_counts_what_runs_first_in_its_order() {
        let mut batch = Batch::default();
        batch.add("insert into a values ($1)").bind(1);
        assert!(batch.sql("a").ends_with("select array[]::bigint[]"));
        batch
            .add_first("delete from b where c = $1 returning 1", 1)
            .bind(1);
        batch.add_first("delete from d returning 1", 2);
        let names: Vec<_> = batch.first.iter().map(|(name, _)| name).collect();
        let (b, d) = (names[0], names[1]);
        let counts =
            format!("select array[(select count(*) from {b}), (select count(*) from {d})]");
        assert!(batch.sql("a").contains(&counts), "{}", batch.sql("a"));
        assert!(batch.sql.contains(&format!("{b} as (")));
    }
}
