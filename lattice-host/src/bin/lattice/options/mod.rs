//! The options that select a lattice and determine how to connect to it.

mod hints;
mod nats;
mod variable;

use crate::{failure::Failure, output::note};
use clap::Args;
use lattice_core::{
    Backend, Connect, ConnectError, Lattice, OnNats,
    auth::{KeyError, LatticeKey},
    error::chain,
};
use nats::{ARGUMENTS, NATS, NatsArguments, Servers, StoreArguments};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep};
pub(crate) use variable::{new_secret, parsed, secret_in, secret_variable, unreadable, variable};

/// Variable with the key, used when no file is given.
const KEY: &str = "LATTICE_KEY";

/// Pause between two attempts to connect.
const RETRY: Duration = Duration::from_millis(500);

/// Common options.
#[derive(Debug, Args)]
#[command(next_help_heading = "Lattice")]
pub(crate) struct LatticeOptions {
    /// The lattice's name
    #[arg(long, global = true, default_value = "default", value_name = "NAME")]
    pub(crate) lattice: String,
    /// File of a lattice on this machine only. One process can open it at a time
    #[arg(long, global = true, value_name = "FILE", conflicts_with_all = ARGUMENTS)]
    data: Option<PathBuf>,
    /// File with the lattice's key [env: `LATTICE_KEY`, which holds the key itself]
    #[arg(long, global = true, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Uses no key: every client of the server may call anything
    #[arg(long, global = true, conflicts_with = "key_file")]
    trust_bus: bool,
    #[command(flatten)]
    nats: NatsArguments,
    #[command(flatten)]
    store: StoreArguments,
}

impl LatticeOptions {
    /// Joins the lattice.
    pub(crate) async fn open(&self) -> Result<Lattice, Failure> {
        self.open_from(None).await
    }

    /// Joins the lattice. While its store is unavailable, the contents are those of the file with
    /// the last snapshot.
    pub(crate) async fn open_from(&self, snapshot: Option<&Path>) -> Result<Lattice, Failure> {
        let lattice = match self.location()?.ok_or_else(no_location)? {
            StoreLocation::File(path) => self.join_file(path).await?,
            StoreLocation::Nats(servers) => self.join_nats(&servers, snapshot).await?,
        };
        self.warn_about_refused(&lattice);
        Ok(lattice)
    }

    /// Joins the lattice, and waits for a server that isn't running yet: it may have been started
    /// at the same moment.
    pub(crate) async fn open_early(&self) -> Result<Lattice, Failure> {
        let lattice = match self.location()?.ok_or_else(no_location)? {
            StoreLocation::File(path) => self.join_file(path).await?,
            StoreLocation::Nats(servers) => self.await_nats(&servers, None).await?,
        };
        self.warn_about_refused(&lattice);
        Ok(lattice)
    }

    /// Joins the lattice for a host. Without a location, this is a lattice in memory. The last
    /// snapshot of the store can be kept in a file.
    pub(crate) async fn open_for_host(&self, snapshot: Option<&Path>) -> Result<Lattice, Failure> {
        match self.location()? {
            None => self.join(Lattice::in_memory(&self.lattice), None).await,
            Some(StoreLocation::File(path)) => self.join_file(path).await,
            Some(StoreLocation::Nats(servers)) => self.await_nats(&servers, snapshot).await,
        }
    }

    /// Fails if the command line says where a lattice is, for a command with a lattice of its own.
    pub(crate) fn refuse_location(&self, command: &str) -> Result<(), Failure> {
        if self.data.is_some() || self.nats.names_servers() {
            return Err(Failure::Usage(format!(
                "`{command}` runs a lattice of its own; leave --nats and --data out"
            )));
        }
        Ok(())
    }

    async fn join_file(&self, path: PathBuf) -> Result<Lattice, Failure> {
        self.join(Lattice::on_disk(path, &self.lattice), None).await
    }

    /// Tries to join for as long as the connection may take.
    async fn await_nats(
        &self,
        servers: &Servers,
        snapshot: Option<&Path>,
    ) -> Result<Lattice, Failure> {
        let end = Instant::now() + self.nats.patience()?;
        loop {
            match self.join_nats(servers, snapshot).await {
                Err(Failure::Away(why)) if Instant::now() < end => {
                    tracing::info!("{why}; trying again");
                    sleep(RETRY).await;
                }
                joined => return joined,
            }
        }
    }

    async fn join_nats(
        &self,
        servers: &Servers,
        snapshot: Option<&Path>,
    ) -> Result<Lattice, Failure> {
        let named_by = servers.named_by;
        let options = servers.options.clone();
        let mut connect: Connect<OnNats> = Lattice::connect(options, &self.lattice);
        if self.trust_bus {
            connect = connect.trust_bus();
        }
        if let Some(path) = snapshot {
            connect = connect.snapshot(path);
        }
        if let Some(count) = self.store.replicas()? {
            connect = connect.store_replicas(count);
        }
        if let Some(size) = self.store.max_bytes()? {
            connect = connect.store_max_bytes(size);
        }
        self.join(connect, Some(named_by)).await
    }

    /// Joins the lattice and checks its key. With another key, the lattice would look empty.
    async fn join<B: Backend>(
        &self,
        connect: Connect<B>,
        named_by: Option<&str>,
    ) -> Result<Lattice, Failure> {
        let connect = match self.key()? {
            Some(key) => connect.key(key),
            None => connect,
        };
        let failed = |error: ConnectError| hints::with_options(error, named_by);
        let lattice = connect.await.map_err(failed)?;
        let other = |error| Failure::Refused(format!("lattice `{}`: {error}", self.lattice));
        lattice.replica().check_key().map_err(other)?;
        Ok(lattice)
    }

    /// Prints a warning when values in the store are refused, because they are ignored.
    fn warn_about_refused(&self, lattice: &Lattice) {
        match lattice.replica().health().refused {
            0 => {}
            refused => note(&format!(
                "warning: {refused} of the values in the store of lattice `{}` are refused and ignored; RUST_LOG=warn shows which",
                self.lattice
            )),
        }
    }

    fn location(&self) -> Result<Option<StoreLocation>, Failure> {
        if let Some(path) = &self.data {
            return Ok(Some(StoreLocation::File(path.clone())));
        }
        let servers = self.nats.servers()?;
        Ok(servers.map(|servers| StoreLocation::Nats(Box::new(servers))))
    }

    /// Returns the lattice's key. `None` when there is none, or with `--trust-bus`.
    fn key(&self) -> Result<Option<LatticeKey>, Failure> {
        if self.trust_bus {
            return Ok(None);
        }
        if let Some(file) = &self.key_file {
            return LatticeKey::from_file(file)
                .map(Some)
                .map_err(|error| bad_key("--key-file", &error));
        }
        match variable(KEY)? {
            None => Ok(None),
            Some(text) => LatticeKey::from_hex(&text)
                .map(Some)
                .map_err(|error| bad_key(KEY, &error)),
        }
    }
}

fn no_location() -> Failure {
    Failure::Usage(format!(
        "the lattice's location is missing; give its NATS server with --nats or {NATS}, or its file with --data"
    ))
}

/// Names the option or variable with the wrong key. A path is repeated only if there is a file.
fn bad_key(named_by: &str, error: &KeyError) -> Failure {
    match error {
        KeyError::Unreadable { source, .. } => variable::unreadable(named_by, source),
        error => Failure::Usage(format!("{named_by}: {}", chain(error))),
    }
}

/// The location of a lattice's bus and store.
enum StoreLocation {
    File(PathBuf),
    Nats(Box<Servers>),
}

/// Waits until the live hosts have sent their heartbeats. A process that has just joined has
/// received none.
pub(crate) async fn hear_hosts(lattice: &Lattice) {
    if !lattice.is_in_process() {
        lattice.constellation().settled().await;
    }
}

/// Parses `500ms`, `2s`, `1m` or `1h`, written without spaces and of a sensible length.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    number
        .parse::<u32>()
        .ok()
        .and_then(|_| lattice_core::quantity::parse_duration(text))
        .ok_or_else(|| {
            format!("`{text}` isn't a valid time; write it as `500ms`, `2s`, `1m` or `1h`")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, seconds) in [("500ms", 0.5), ("2s", 2.0), ("3m", 180.0), ("1h", 3_600.0)] {
            let time = duration(text).expect(text);
            assert!((time.as_secs_f64() - seconds).abs() < 1e-9, "{text}");
        }
        for text in ["", "2", "s", "-1s", "1.5s", "2d", "99999999999s", "2 s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
