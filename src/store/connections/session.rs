//! The connection of one transaction, directly or through a pooler.

use futures_core::{future::BoxFuture, stream::BoxStream};
use sqlx::{
    Either, Error, Execute, Executor, Postgres, SqlStr, Transaction,
    error::BoxDynError,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

/// A transaction's connection. Behind a pooler in transaction mode, the next transaction may use
/// another connection of the server. So statements get no names there: another client may have
/// given the name to another statement.
#[derive(Debug)]
pub(in crate::store) struct Session<'c> {
    pub(super) transaction: Transaction<'c, Postgres>,
    pub(super) is_pooled: bool,
}

impl Session<'_> {
    pub(in crate::store) async fn commit(self) -> Result<(), Error> {
        self.transaction.commit().await
    }
}

impl<'t> Executor<'t> for &'t mut Session<'_> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        't: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.is_pooled {
            self.transaction.fetch_many(Unnamed(query))
        } else {
            self.transaction.fetch_many(query)
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        't: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.is_pooled {
            self.transaction.fetch_optional(Unnamed(query))
        } else {
            self.transaction.fetch_optional(query)
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        't: 'e,
    {
        self.transaction.prepare_with(sql, parameters)
    }
}

/// A query whose statement gets no name on the server.
struct Unnamed<E>(E);

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Unnamed<E> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}
