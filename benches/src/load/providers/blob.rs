//! A large object that an actor writes and reads again, by `wasi:blobstore`.
//!
//! The actor and the providers are a host in a process of its own, which is small before. It is the
//! process that is measured.

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
use lattice_core::{Lattice, auth::LatticeKey, error::chain, link::Link};
use lattice_host::{Actor, Host, HostBuilder, Limits};
use lattice_provider_sdk::{IntoService, Secret, serve};
use lattice_providers::blobstore::{File, FileSettings, S3, S3Settings};
use std::{env, path::PathBuf, pin::pin, time::Duration};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

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
/// How long a server of S3 may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(2);

/// Variable with the folder of the objects.
const FOLDER: &str = "LATTICE_BENCH_FOLDER";
/// Variable with a bucket of a server of S3, such as `http://127.0.0.1:9000/bench`.
const S3_URL: &str = "LATTICE_BENCH_S3";
/// Variables with an access key of that server.
const S3_KEY: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

pub(super) async fn compare(report: &mut Report) -> Result<(), Failure> {
    let wants = |store: &Store| report.wants(GROWTH) || report.wants(store.row);
    let mut stores = Vec::new();
    if wants(&FILES) {
        stores.push(FILES);
    }
    if wants(&BUCKET) {
        match answering().await {
            Ok(()) => stores.push(BUCKET),
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
    let variables = [(FOLDER, folder.path().as_os_str())];
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

/// Succeeds when there is a bucket of a server of S3. Fails with the reason why there is none.
async fn answering() -> Result<(), String> {
    let Some((endpoint, bucket)) = bucket()? else {
        return Err(format!(
            "there is no server of S3; name a bucket with {S3_URL}, such as `http://127.0.0.1:9000/bench`, and its access key with {} and {}",
            S3_KEY[0], S3_KEY[1]
        ));
    };
    let address = address_of(&endpoint);
    match timeout(CONNECT, TcpStream::connect(&address)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(format!("no server of S3 answers at {address}: {error}")),
        Err(_) => return Err(format!("no server of S3 answers at {address} in time")),
    }
    let unusable = format!("the bucket `{bucket}` can't be used at {address}");
    let checked = usable(s3(endpoint, bucket)).await;
    checked.map_err(|reason| format!("{unusable}: {}", chain(&*reason)))
}

/// Fails if a provider with these settings isn't well: there is no such bucket, or no access to it.
async fn usable(settings: S3Settings) -> Result<(), Failure> {
    let lattice = Lattice::in_memory(LATTICE).await?;
    let provider = S3::new(settings).into_service();
    let _serving = serve(&lattice, BUCKET.provider, provider.clone()).await?;
    Ok(provider.health().await?)
}

/// Returns the endpoint and the name of the bucket of S3, if there is one.
fn bucket() -> Result<Option<(String, String)>, String> {
    let Some(url) = env::var(S3_URL).ok().filter(|url| !url.is_empty()) else {
        return Ok(None);
    };
    match split(&url) {
        Some((endpoint, bucket)) => Ok(Some((endpoint.to_owned(), bucket.to_owned()))),
        None => Err(format!(
            "{S3_URL} isn't a bucket, such as `http://127.0.0.1:9000/bench`"
        )),
    }
}

/// Splits the URL of a bucket into that of its server, and its name.
fn split(url: &str) -> Option<(&str, &str)> {
    let (endpoint, bucket) = url.rsplit_once('/')?;
    let (_, authority) = endpoint.split_once("://")?;
    let is_bucket = !authority.is_empty() && !authority.contains('/') && !bucket.is_empty();
    is_bucket.then_some((endpoint, bucket))
}

/// Returns the host and the port of a URL without a path.
fn address_of(endpoint: &str) -> String {
    let (scheme, authority) = endpoint.split_once("://").unwrap_or(("http", endpoint));
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match (has_port, scheme) {
        (true, _) => authority.to_owned(),
        (false, "https") => format!("{authority}:443"),
        (false, _) => format!("{authority}:80"),
    }
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
    if let Ok(Some((endpoint, bucket))) = bucket() {
        host = with(host, &BUCKET, S3::new(s3(endpoint, bucket)))?;
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

fn s3(endpoint: String, bucket: String) -> S3Settings {
    let [id, key] = S3_KEY.map(|name| env::var(name).ok());
    S3Settings {
        bucket,
        region: None,
        endpoint: Some(endpoint),
        anonymous: id.is_none(),
        access_key_id: id,
        secret_access_key: key.map(Secret::new),
        session_token: None,
        virtual_hosted: false,
        ca_file: None,
        prefix: String::new(),
        timeout: Duration::from_secs(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_named_by_its_url() {
        let found = split("http://127.0.0.1:9000/bench");
        assert_eq!(found, Some(("http://127.0.0.1:9000", "bench")));
        for wrong in ["", "bench", "http://", "http://host/", "http://host/a/b"] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
        for (endpoint, address) in [
            ("http://127.0.0.1:9000", "127.0.0.1:9000"),
            ("http://s3.local", "s3.local:80"),
            ("https://s3.local", "s3.local:443"),
            ("http://[::1]", "[::1]:80"),
        ] {
            assert_eq!(address_of(endpoint), address);
        }
    }
}
