//! `wasmcloud:postgres/query@0.1.1-draft`, for components that import it.
//!
//! Parameters have every type that the interface has. In results, a value has the case of its
//! column's own type, such as `int4`. Columns of types that `lattice:sql` lacks fail, as do arrays
//! with null elements and intervals, which the interface has no cases for: cast them to text.

mod floats;
mod parameters;
mod results;

/// Generated from `wasmcloud:postgres`.
mod wit {
    lattice_provider_sdk::provider!({ inline: "
        package lattice:postgres-provider;
        world databases {
            import wasmcloud:postgres/query@0.1.1-draft;
            export wasmcloud:postgres/query@0.1.1-draft;
        }
    " });
}

pub use wit::wasmcloud::postgres::{query, types};

use super::PostgresBackend;
use crate::sql::{
    database::{self, Error},
    provider::{Sql, in_span},
    rows::out_of_time,
};
use lattice_provider_sdk::{
    __private::{Answer, Arguments, ResourceType},
    Call, Dispatch, Provider,
    world::{Interface, WitWorld},
};
use query::Query;
use std::sync::Arc;
use tokio::time::timeout_at;
use types::{PgValue, QueryError, ResultRow};

/// The interfaces of [`Postgres`](super::Postgres).
#[derive(Debug)]
pub enum PostgresWorld {}

impl WitWorld for PostgresWorld {
    const EXPORTS: &'static [&'static Interface] = &[&database::INTERFACE, &query::INTERFACE];
    const IMPORTS: &'static [&'static Interface] = &[];
    /// That of `lattice:sql`. The other one is published elsewhere.
    const WIT: Option<&'static [u8]> = crate::sql::World::WIT;
}

impl<P> Dispatch<P> for PostgresWorld
where
    P: Provider,
    crate::sql::World: Dispatch<P>,
    wit::World: Dispatch<P>,
{
    fn dispatch(provider: Arc<P>, call: Call<P>, args: Arguments) -> Answer {
        let key = call.function().0;
        let mut own = database::INTERFACE.functions().iter();
        if own.any(|function| function.key == key) {
            crate::sql::World::dispatch(provider, call, args)
        } else {
            wit::World::dispatch(provider, call, args)
        }
    }

    fn resources() -> Vec<ResourceType> {
        <crate::sql::World as Dispatch<P>>::resources()
    }
}

impl Query for Sql<PostgresBackend> {
    async fn query(
        &self,
        call: &Call<Self>,
        query: String,
        params: Vec<PgValue>,
    ) -> Result<Vec<ResultRow>, QueryError> {
        let parameters = params.into_iter().map(parameters::value);
        let parameters = parameters.collect::<Result<Vec<_>, _>>();
        let parameters = parameters.map_err(QueryError::InvalidParams)?;
        let set = self.run(call, query, parameters).await.map_err(failed)?;
        results::rows(set).map_err(QueryError::Unexpected)
    }

    /// A batch may end the read-only transaction in which it would run, so read-only links have
    /// none.
    async fn query_batch(&self, call: &Call<Self>, query: String) -> Result<(), QueryError> {
        if call.binding().is_read_only() {
            return Err(QueryError::InvalidQuery(
                "the link is read-only, and takes single queries alone".to_owned(),
            ));
        }
        let done = async {
            let (session, until) = self.session(call).await?;
            let done = timeout_at(until, session.batch(&query)).await;
            done.unwrap_or_else(|_| Err(out_of_time()))
        };
        in_span(call, "BATCH", done).await.map_err(failed)
    }
}

fn failed(error: Error) -> QueryError {
    match error {
        Error::Parameter(reason) => QueryError::InvalidParams(reason),
        Error::Syntax(reason)
        | Error::UnsupportedType(reason)
        | Error::ReadOnly(reason)
        | Error::Denied(reason) => QueryError::InvalidQuery(reason),
        Error::Conflict(reason)
        | Error::TooLarge(reason)
        | Error::Unavailable(reason)
        | Error::Lost(reason)
        | Error::Timeout(reason)
        | Error::TransactionOver(reason) => QueryError::Unexpected(reason),
        Error::Constraint(violation) => QueryError::Unexpected(violation.message),
        Error::Failed(failure) => QueryError::Unexpected(failure.message),
    }
}
