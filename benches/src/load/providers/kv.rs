//! Values of key-value stores.

use super::{Lookups, SIZE, VALUE, rate};
use crate::load::requests::Driven;
use crate::{
    Failure,
    bars::Bar,
    guests::Guest,
    lookup::{LookupScene, STORE},
    scene::{Callee, Scene},
    summary::Row,
};
use bytes::Bytes;
use lattice_benches_common::{
    cell::Cell,
    compare::{Side, round_of_loops},
    figures::Figures,
    measure::Calls,
    report::Report,
};
use lattice_core::error::chain;
use lattice_provider_sdk::IntoService;
use lattice_providers::keyvalue::{MemoryConfig, MemoryKeyValue, RedisConfig, RedisKeyValue};
use lattice_test_servers::RedisServer;
use redis::aio::MultiplexedConnection;

const MEMORY: &str = "kv.memory.p50";
const REDIS: &str = "kv.redis.rate";

/// What the guest reads.
const BUCKET: &str = "bench";
const KEY: &str = "key";

pub(super) async fn compare(report: &mut Report) -> Result<(), Failure> {
    if report.wants(MEMORY) {
        let row = memory(report).await?;
        report.add_row(row, Bar::Ratio(1.5));
    }
    if report.wants(REDIS) {
        match redis().await {
            Ok((server, client)) => {
                let ours = lookups(RedisKeyValue::new(RedisConfig::new(server.url()))).await?;
                let row = rate(report, REDIS, ours, client).await?;
                report.add_row(row, Bar::RatioAtLeast(0.8));
            }
            Err(reason) => report.leave_out(REDIS, chain(&*reason)),
        }
    }
    Ok(())
}

async fn memory(report: &Report) -> Result<Row, Failure> {
    let ours = MemoryKeyValue::new(MemoryConfig::default());
    let ours = Side::here(lookups(ours).await?);
    let baseline = Side::here(Driven(Scene::start(Callee::Provider).await?));
    let cell = Cell {
        path: MEMORY,
        in_flight: 1,
        size: SIZE,
    };
    let (mut of_ours, mut of_baseline) = (Vec::new(), Vec::new());
    for _ in 0..report.rounds() {
        of_ours.push(round_of_loops(&ours, cell, report.time()).await?);
        of_baseline.push(round_of_loops(&baseline, cell, report.time()).await?);
    }
    let (ours, baseline) = (Figures::of(&of_ours).p50, Figures::of(&of_baseline).p50);
    Ok(Row::new(MEMORY, ours, Some(baseline), "µs"))
}

/// Returns an actor that reads a value of this store.
async fn lookups(store: impl IntoService + Send) -> Result<Lookups, Failure> {
    let scene = LookupScene::start(Guest::Kv, STORE, store).await?;
    scene.set(BUCKET, KEY, &VALUE).await?;
    Ok(Lookups(scene))
}

/// Starts a server, and connects the bare client, of which one call has succeeded.
async fn redis() -> Result<(RedisServer, Redis), Failure> {
    let server = RedisServer::start(&[]).await?;
    let client = Redis::connect(&server.url()).await?;
    client.call(0, &Bytes::new()).await?;
    Ok((server, client))
}

/// The bare client, whose tasks share a connection, as those of the provider do.
struct Redis(MultiplexedConnection);

impl Redis {
    async fn connect(url: &str) -> Result<Self, Failure> {
        let client = redis::Client::open(url)?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut set = redis::cmd("SET");
        set.arg(KEY).arg(&VALUE[..]);
        set.query_async::<()>(&mut connection).await?;
        Ok(Self(connection))
    }
}

impl Calls for Redis {
    async fn call(&self, _: usize, _: &Bytes) -> Result<usize, Failure> {
        let mut connection = self.0.clone();
        let mut get = redis::cmd("GET");
        get.arg(KEY);
        let value: Vec<u8> = get.query_async(&mut connection).await?;
        Ok(value.len())
    }
}
