//! A large object that an actor writes and reads again, by `wasi:blobstore`.
//!
//! The actor and the providers are a host in a process of its own, which is small before. It is the
//! process that is measured. A server of S3 is started beside it, unless there is one already.

use super::bucket::Bucket;
use crate::load::options::Responder;
use crate::{
    Failure,
    bars::Bar,
    guests::Guest,
    process,
    program::START,
    responder::{self, KEY, LATTICE, end_of_input, ready},
    server::Server,
    summary::Row,
};
use lattice_benches_common::report::Report;
use lattice_core::{Lattice, auth::LatticeKey, link::Link};
use lattice_host::{Actor, Host, HostBuilder, Limits};
use lattice_provider_sdk::IntoService;
use lattice_providers::blobstore::{File, FileSettings, S3};
use std::{env, ffi::OsStr, path::PathBuf, pin::pin, time::Duration};
use tokio::time::{sleep, timeout};

mod generated {
    lattice_provider_sdk::client!({ inline: "
        package lattice-test:blobs@0.1.0;
        interface checks { pass-through: func(size: u64) -> result<u64, string>; }
    " });
}
use generated::lattice_test::blobs::checks::{ChecksClient, INTERFACE};

const GROWTH: &str = "blob.growth_MiB";
/// The most that a host may grow.
const MOST: f64 = 32.0;

/// What objects are kept in. Actor and provider are named after it.
struct Store {
    row: &'static str,
    actor: &'static str,
    provider: &'static str,
}

const FILES: Store = Store {
    row: "blob.file.growth_MiB",
    actor: "file-user",
    provider: "file-store",
};
const BUCKET: Store = Store {
    row: "blob.s3.growth_MiB",
    actor: "s3-user",
    provider: "s3-store",
};
const BLOBSTORE: &str = "wasi:blobstore/blobstore@0.2.0-draft";

/// Bytes of the object.
const SIZE: u64 = 256 << 20;
/// Bytes of the object in a quick run, and of the warm-up.
const SHORT: u64 = 8 << 20;
/// Rounds with less time than this are those of a quick run.
const QUICK: Duration = Duration::from_millis(100);
/// Interval between two measurements of memory. The largest one counts.
const LOOK: Duration = Duration::from_millis(10);
/// Far longer than an object takes.
const LONG: Duration = Duration::from_mins(5);
/// Variable with the folder of the objects.
const FOLDER: &str = "LATTICE_BENCH_FOLDER";

pub(super) async fn compare(report: &mut Report) -> Result<(), Failure> {
    let wants = |store: &Store| report.wants(GROWTH) || report.wants(store.row);
    let mut stores = Vec::new();
    if wants(&FILES) {
        stores.push(FILES);
    }
    let mut bucket = None;
    if wants(&BUCKET) {
        match Bucket::find().await {
            Ok(found) => {
                stores.push(BUCKET);
                bucket = Some(found);
            }
            Err(reason) if report.wants(GROWTH) => {
                let reason = format!("{reason}; `{GROWTH}` is measured on files alone");
                report.leave_out(BUCKET.row, reason);
            }
            Err(reason) => report.leave_out(BUCKET.row, reason),
        }
    }
    if stores.is_empty() {
        return Ok(());
    }
    // Removed after the process has ended that uses it.
    let folder = tempfile::tempdir()?;
    let server = Server::start().await?;
    let key = LatticeKey::generate();
    let of_bucket = bucket.as_ref().map(Bucket::variables).unwrap_or_default();
    let mut variables = vec![(FOLDER, folder.path().as_os_str())];
    variables.extend(
        of_bucket
            .iter()
            .map(|(name, value)| (*name, OsStr::new(value))),
    );
    let role = Responder::Blobs.name();
    let host = responder::start_with(role, &server, &key, &variables).await?;
    let lattice = Lattice::connect(&server.url, LATTICE).key(key).await?;
    let size = if report.time() < QUICK { SHORT } else { SIZE };
    let mut most = 0.0_f64;
    for store in stores {
        let grown = growth(&lattice, &store, host.program.id()?, size).await?;
        most = most.max(grown);
        if report.wants(store.row) {
            report.add_row(Row::new(store.row, grown, None, "MiB"), Bar::None);
        }
    }
    if report.wants(GROWTH) {
        report.add_row(Row::new(GROWTH, most, None, "MiB"), Bar::AtMost(MOST));
    }
    Ok(())
}

/// Returns by how many MiB the process grows while its actor passes an object through the store.
async fn growth(lattice: &Lattice, store: &Store, pid: u32, size: u64) -> Result<f64, Failure> {
    for link in [
        Link::new(store.actor, BLOBSTORE, store.provider)?,
        Link::new("driver", INTERFACE.name(), store.actor)?.named(store.actor)?,
    ] {
        lattice.links().put(link).await?;
    }
    timeout(START, lattice.served(store.actor)).await??;
    timeout(START, lattice.served(store.provider)).await??;
    let checks = ChecksClient::new(lattice.caller("driver")?.via(store.actor)?);
    let pass = async |size| {
        let passed = checks.pass_through(size).timeout(LONG).await??;
        if passed == size {
            Ok::<_, Failure>(())
        } else {
            Err(format!("{passed} bytes were read of {size}").into())
        }
    };
    // What is only taken once is taken now.
    pass(SHORT).await?;
    let before = process::resident(pid)?;
    let mut most = before;
    let mut passing = pin!(pass(size));
    loop {
        tokio::select! {
            passed = &mut passing => {
                passed?;
                break;
            }
            () = sleep(LOOK) => most = most.max(process::resident(pid)?),
        }
    }
    most = most.max(process::resident(pid)?);
    Ok((most - before) as f64 / f64::from(1 << 20))
}

/// Runs the host with an actor and a provider for each store.
pub(crate) async fn respond_with_blobs(url: &str) -> Result<(), Failure> {
    let lattice = Lattice::connect(url, LATTICE)
        .key(LatticeKey::from_env(KEY)?)
        .await?;
    let folder = env::var_os(FOLDER).map(PathBuf::from);
    let files = File::new(FileSettings {
        path: folder.ok_or("the objects have no folder")?.into(),
        max_object_size: None,
    });
    let mut host = with(Host::builder(&lattice), &FILES, files)?;
    // One that can't be used isn't measured.
    if let Ok(Some(bucket)) = Bucket::named() {
        host = with(host, &BUCKET, S3::new(bucket.settings()))?;
    }
    let host = host.start().await?;
    ready();
    end_of_input().await?;
    let _ = host.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

fn with(
    host: HostBuilder,
    store: &Store,
    provider: impl IntoService,
) -> Result<HostBuilder, Failure> {
    let limits = Limits::default().cpu(LONG).wall(LONG);
    let actor = Actor::from_file(Guest::Blobs.path()?).limits(limits);
    Ok(host
        .provider(store.provider, provider)
        .actor(store.actor, actor))
}
