//! The options that select a lattice and say how to connect to it.

use crate::{failure::Failure, output::note};
use clap::Args;
use lattice_core::{
    Backend, Connect, Lattice, OnNats, auth::LatticeKey, error::chain, nats::NatsOptions,
};
use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

/// Variable with the key, used when no file is given.
const KEY: &str = "LATTICE_KEY";
/// Variable with the servers, used when none are given.
const NATS: &str = "LATTICE_NATS";

/// Common options.
#[derive(Debug, Args)]
#[command(next_help_heading = "Lattice")]
pub(crate) struct LatticeOptions {
    /// The lattice's name
    #[arg(long, global = true, default_value = "default", value_name = "NAME")]
    pub(crate) lattice: String,
    /// NATS servers of the lattice, separated by commas [env: `LATTICE_NATS`]
    #[arg(long, global = true, value_name = "URL")]
    nats: Option<String>,
    /// Credentials file for the NATS server
    #[arg(long, global = true, value_name = "FILE")]
    creds: Option<PathBuf>,
    /// `JetStream` domain with the lattice's store, if it isn't the server's own: that of the hub
    /// of a leaf node
    #[arg(long, global = true, value_name = "NAME")]
    jetstream_domain: Option<String>,
    /// File of a lattice on this machine only. One process can open it at a time
    #[arg(long, global = true, value_name = "FILE", conflicts_with_all = ["nats", "creds", "jetstream_domain"])]
    data: Option<PathBuf>,
    /// File with the lattice's key [env: `LATTICE_KEY`, which holds the key itself]
    #[arg(long, global = true, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Uses no key: every client of the server may call anything
    #[arg(long, global = true, conflicts_with = "key_file")]
    trust_bus: bool,
}

impl LatticeOptions {
    /// Joins the lattice.
    pub(crate) async fn open(&self) -> Result<Lattice, Failure> {
        let lattice = match self.location()? {
            Some(StoreLocation::File(path)) => {
                self.join(Lattice::on_disk(path, &self.lattice)).await?
            }
            Some(StoreLocation::Nats(nats)) => self.join(self.on_nats(*nats)).await?,
            None => {
                return Err(Failure::Usage(format!(
                    "the lattice's location is missing; give its NATS server with --nats or {NATS}, or its file with --data"
                )));
            }
        };
        self.tell_of_refused(&lattice)?;
        Ok(lattice)
    }

    /// Joins the lattice for a host. Without a location, this is a lattice in memory. The last
    /// snapshot of the store can be kept in a file.
    pub(crate) async fn open_for_host(&self, snapshot: Option<&Path>) -> Result<Lattice, Failure> {
        match self.location()? {
            None => self.join(Lattice::in_memory(&self.lattice)).await,
            Some(StoreLocation::File(path)) => {
                self.join(Lattice::on_disk(path, &self.lattice)).await
            }
            Some(StoreLocation::Nats(nats)) => {
                let connect = self.on_nats(*nats);
                let connect = match snapshot {
                    Some(path) => connect.snapshot(path),
                    None => connect,
                };
                self.join(connect).await
            }
        }
    }

    fn on_nats(&self, nats: NatsOptions) -> Connect<OnNats> {
        let connect = Lattice::connect(nats, &self.lattice);
        if self.trust_bus {
            connect.trust_bus()
        } else {
            connect
        }
    }

    /// Joins the lattice and checks its key. With another key, the lattice would look empty.
    async fn join<B: Backend>(&self, connect: Connect<B>) -> Result<Lattice, Failure> {
        let connect = match self.key()? {
            Some(key) => connect.key(key),
            None => connect,
        };
        let lattice = connect.await?;
        let other = |error| Failure::Refused(format!("lattice `{}`: {error}", self.lattice));
        lattice.replica().check_key().map_err(other)?;
        Ok(lattice)
    }

    /// Prints a warning when values in the store are refused, because they are ignored.
    fn tell_of_refused(&self, lattice: &Lattice) -> Result<(), Failure> {
        match lattice.replica().health().refused {
            0 => Ok(()),
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
        let servers = match &self.nats {
            Some(servers) => servers.clone(),
            None => match env::var(NATS) {
                Ok(servers) => servers,
                Err(env::VarError::NotPresent) => return Ok(None),
                Err(error) => return Err(Failure::Usage(format!("{NATS}: {error}"))),
            },
        };
        Ok(Some(StoreLocation::Nats(Box::new(
            self.nats_options(&servers),
        ))))
    }

    fn nats_options(&self, servers: &str) -> NatsOptions {
        let options = NatsOptions::from(servers);
        let options = match &self.creds {
            Some(file) => options.credentials_file(file),
            None => options,
        };
        match &self.jetstream_domain {
            Some(domain) => options.jetstream_domain(domain),
            None => options,
        }
    }

    /// Returns the lattice's key. `None` when there is none, or with `--trust-bus`.
    fn key(&self) -> Result<Option<LatticeKey>, Failure> {
        let key = match &self.key_file {
            _ if self.trust_bus => return Ok(None),
            Some(file) => LatticeKey::from_file(file),
            None if env::var_os(KEY).is_some() => LatticeKey::from_env(KEY),
            None => return Ok(None),
        };
        key.map(Some).map_err(|error| Failure::Usage(chain(&error)))
    }
}

/// Where the bus and the store of a lattice are.
enum StoreLocation {
    File(PathBuf),
    Nats(Box<NatsOptions>),
}

/// Waits until the live hosts have sent their heartbeats. A process that has just joined knows none.
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
