//! The standard providers: what a call costs in which a server is asked too.
//!
//! | row | ours | baseline |
//! | --- | --- | --- |
//! | `kv.memory.p50` | an actor's `get` from an open bucket in memory, provider on its host | an actor's call of a provider that returns what it gets: `local.provider.16B` |
//! | `kv.redis.rate` | calls/s of an actor that makes such a `get` from Redis, 64 in flight | one after the other: a `GET` by the bare crate `redis`, and a call of an actor that calls a provider |
//! | `sql.postgres.rate` | the same with a query of one row by its key | the same with `tokio-postgres` and `deadpool-postgres` |
//! | `blob.growth_MiB` | how much a host grows while an actor writes and reads an object of 256 MiB: the most of the two rows below | none |
//! | `blob.file.growth_MiB`, `blob.s3.growth_MiB` | that of one backend | none |
//! | `provider.process.added_p50` | how much larger the p50 of a call is if the provider is in a process of its own | the p50 of a request of bare async-nats |
//!
//! A value has 16 B. Redis, PostgreSQL and a server of S3 are started here. The row of a server
//! that this machine doesn't have, or that refuses its bare client, is left out, and says why.

mod blob;
mod bucket;
mod kv;
mod process;
mod sql;

pub(crate) use blob::respond_with_blobs;

use crate::load::requests::Driven;
use crate::{
    Failure,
    lookup::{IN_FLIGHT, LookupScene},
    scene::{Callee, Scene},
    summary::Row,
};
use bytes::Bytes;
use lattice_benches_common::{
    cell::Cell,
    compare::{Side, in_turns},
    measure::{Calls, Loops},
    report::Report,
};

/// Bytes of a value.
const SIZE: usize = 16;
const VALUE: [u8; SIZE] = [7; SIZE];

pub(crate) async fn compare(report: &mut Report) -> Result<(), Failure> {
    kv::compare(report).await?;
    sql::compare(report).await?;
    blob::compare(report).await?;
    process::compare(report).await
}

/// Values that an actor reads.
struct Lookups(LookupScene);

impl Loops for Lookups {
    async fn run(&self, calls: u32, _: u32) -> Result<u64, Failure> {
        Ok(self.0.lookup().run(calls).await??)
    }
}

impl Calls for Lookups {
    async fn call(&self, _: usize, _: &Bytes) -> Result<usize, Failure> {
        Ok(self.0.lookup().once().await??.len())
    }
}

/// Returns the calls per second of an actor that reads values of a provider, next to those of both
/// of its parts one after the other: the client of the server alone, and a call to a provider.
async fn rate<C: Calls>(
    report: &Report,
    row: &'static str,
    ours: Lookups,
    client: C,
) -> Result<Row, Failure> {
    let cell = Cell {
        path: row,
        in_flight: IN_FLIGHT,
        size: SIZE,
    };
    let local = Side::here(Driven(Scene::start(Callee::Provider).await?));
    let (ours, client) = (Side::here(ours), Side::here(client));
    let [ours, client, local] = in_turns(report, cell, &ours, &client, &local).await?;
    let one_after_the_other = 1.0 / (1.0 / client.rate + 1.0 / local.rate);
    Ok(Row::new(
        row,
        ours.rate,
        Some(one_after_the_other),
        "calls/s",
    ))
}
