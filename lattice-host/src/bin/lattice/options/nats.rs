//! The options for the NATS servers of a lattice. Each has an environment variable, which is used
//! when the option isn't given.

use super::{
    duration,
    variable::{parsed, readable, secret_in, secret_variable, switch, variable},
};
use crate::failure::Failure;
use clap::Args;
use lattice_core::{nats::NatsOptions, quantity::ByteSize};
use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

/// Variable with the servers.
pub(crate) const NATS: &str = "LATTICE_NATS";

/// How long to try to connect by default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The servers, the login and TLS.
#[derive(Debug, Args)]
#[command(next_help_heading = "NATS")]
pub(crate) struct NatsArguments {
    /// NATS servers of the lattice, separated by commas [env: `LATTICE_NATS`]. In a user, a
    /// password or a token write `%2C` for a comma, `%2F` for `/`, `%3F` for `?`, `%23` for `#`,
    /// `%40` for `@`, `%3A` for `:` and `%25` for `%`
    #[arg(long, global = true, value_name = "URL")]
    nats: Option<String>,
    /// Credentials file for the NATS server [env: `LATTICE_NATS_CREDS`]
    #[arg(long, global = true, value_name = "FILE", group = "login")]
    creds: Option<PathBuf>,
    /// File with a token for the NATS server [env: `LATTICE_NATS_TOKEN`, which holds the token
    /// itself]
    #[arg(long, global = true, value_name = "FILE", group = "login")]
    nats_token_file: Option<PathBuf>,
    /// File with an nkey seed (`SU…`) for the NATS server [env: `LATTICE_NATS_NKEY`, which holds
    /// the seed itself]
    #[arg(long, global = true, value_name = "FILE", group = "login")]
    nats_nkey_file: Option<PathBuf>,
    /// File with certificates (PEM) of the authorities to trust instead of this machine's [env:
    /// `LATTICE_NATS_CA`]
    #[arg(long, global = true, value_name = "FILE")]
    nats_ca: Option<PathBuf>,
    /// File with a client certificate (PEM) [env: `LATTICE_NATS_CERT`]
    #[arg(long, global = true, value_name = "FILE")]
    nats_cert: Option<PathBuf>,
    /// File with the private key (PEM) of the client certificate [env: `LATTICE_NATS_CERT_KEY`]
    #[arg(long, global = true, value_name = "FILE")]
    nats_cert_key: Option<PathBuf>,
    /// Starts with the TLS handshake, for servers with `handshake_first` [env:
    /// `LATTICE_NATS_TLS_FIRST`, set to `1`]
    #[arg(long, global = true)]
    nats_tls_first: bool,
    /// Prefix of the subjects for replies, for users who may not use `_INBOX` [env:
    /// `LATTICE_NATS_INBOX_PREFIX`]
    #[arg(long, global = true, value_name = "PREFIX")]
    nats_inbox_prefix: Option<String>,
    /// `JetStream` domain with the lattice's store, if it isn't the server's own: that of the hub
    /// of a leaf node [env: `LATTICE_JETSTREAM_DOMAIN`]
    #[arg(long, global = true, value_name = "NAME")]
    jetstream_domain: Option<String>,
    /// Largest message, such as `64KiB`, where that of the account is smaller than that of its
    /// server [env: `LATTICE_NATS_MAX_PAYLOAD`]
    #[arg(long, global = true, value_name = "SIZE")]
    nats_max_payload: Option<ByteSize>,
    /// How long to try to connect, 5 s by default. `up` and `apply` wait up to this long for a
    /// server that isn't running yet [env: `LATTICE_CONNECT_TIMEOUT`]
    #[arg(long, global = true, value_name = "TIME", value_parser = duration)]
    connect_timeout: Option<Duration>,
}

/// The options of [`NatsArguments`], for `conflicts_with_all`.
pub(crate) const ARGUMENTS: [&str; 12] = [
    "nats",
    "creds",
    "nats_token_file",
    "nats_nkey_file",
    "nats_ca",
    "nats_cert",
    "nats_cert_key",
    "nats_tls_first",
    "nats_inbox_prefix",
    "jetstream_domain",
    "nats_max_payload",
    "connect_timeout",
];

/// The store of a lattice on NATS, for the process that creates it.
#[derive(Debug, Args)]
#[command(next_help_heading = "NATS")]
pub(crate) struct StoreArguments {
    /// How many servers of a NATS cluster keep the store, if this creates it: by default 3, or 1
    /// without a cluster [env: `LATTICE_STORE_REPLICAS`]
    #[arg(long, global = true, value_name = "COUNT", value_parser = replicas)]
    store_replicas: Option<NonZeroUsize>,
    /// The most bytes of the store on each server, such as `64MiB`, if this creates it. Some NATS
    /// accounts require it [env: `LATTICE_STORE_MAX_BYTES`]
    #[arg(long, global = true, value_name = "SIZE")]
    store_max_bytes: Option<ByteSize>,
}

/// NATS servers, and the option or variable that named them.
pub(crate) struct Servers {
    pub(crate) options: NatsOptions,
    pub(crate) named_by: &'static str,
}

impl NatsArguments {
    /// Returns whether servers are named, other than by a variable.
    pub(super) fn names_servers(&self) -> bool {
        self.nats.is_some()
    }

    /// Returns the servers and how to connect to them; `None` if no server is named.
    pub(crate) fn servers(&self) -> Result<Option<Servers>, Failure> {
        let names_one = |text: &str| text.split(',').any(|server| !server.trim().is_empty());
        let (text, named_by) = match &self.nats {
            Some(text) if names_one(text) => (text.clone(), "--nats"),
            Some(_) => {
                return Err(Failure::Usage(
                    "--nats names no server; write it as nats://host:4222".to_owned(),
                ));
            }
            None => match variable(NATS)?.filter(|text| names_one(text)) {
                Some(text) => (text, NATS),
                None => return self.without_servers().map(|()| None),
            },
        };
        let options = self.login(NatsOptions::from(text))?;
        let options = self.connection(self.tls(options)?)?;
        Ok(Some(Servers { options, named_by }))
    }

    /// Fails if an option is given that has an effect only with a server.
    fn without_servers(&self) -> Result<(), Failure> {
        let given = [
            ("--creds", self.creds.is_some()),
            ("--nats-token-file", self.nats_token_file.is_some()),
            ("--nats-nkey-file", self.nats_nkey_file.is_some()),
            ("--nats-ca", self.nats_ca.is_some()),
            ("--nats-cert", self.nats_cert.is_some()),
            ("--nats-cert-key", self.nats_cert_key.is_some()),
            ("--nats-tls-first", self.nats_tls_first),
            ("--nats-inbox-prefix", self.nats_inbox_prefix.is_some()),
            ("--jetstream-domain", self.jetstream_domain.is_some()),
            ("--nats-max-payload", self.nats_max_payload.is_some()),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => Err(Failure::Usage(format!(
                "{option} is for a NATS server, and none is named; name it with --nats or {NATS}"
            ))),
            None => Ok(()),
        }
    }

    fn login(&self, options: NatsOptions) -> Result<NatsOptions, Failure> {
        if let Some(file) = &self.creds {
            readable("--creds", file)?;
            return Ok(options.credentials_file(file));
        }
        if let Some(file) = &self.nats_token_file {
            return Ok(options.token(secret_in("--nats-token-file", file)?));
        }
        if let Some(file) = &self.nats_nkey_file {
            return Ok(options.nkey_seed(secret_in("--nats-nkey-file", file)?.trim()));
        }
        let variables = [
            ("LATTICE_NATS_CREDS", variable("LATTICE_NATS_CREDS")?),
            ("LATTICE_NATS_TOKEN", secret_variable("LATTICE_NATS_TOKEN")?),
            ("LATTICE_NATS_NKEY", variable("LATTICE_NATS_NKEY")?),
        ];
        let found: Vec<(&str, String)> = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        match &found[..] {
            [] => Ok(options),
            [(name @ "LATTICE_NATS_CREDS", file)] => {
                readable(name, Path::new(file))?;
                Ok(options.credentials_file(file))
            }
            [("LATTICE_NATS_TOKEN", token)] => Ok(options.token(token)),
            [(_, seed)] => Ok(options.nkey_seed(seed.trim())),
            [(one, _), (other, _), ..] => Err(Failure::Usage(format!(
                "{one} and {other} are both set; set only one of them"
            ))),
        }
    }

    fn tls(&self, mut options: NatsOptions) -> Result<NatsOptions, Failure> {
        if let Some((name, file)) = path(self.nats_ca.as_ref(), "--nats-ca", "LATTICE_NATS_CA")? {
            readable(name, &file)?;
            options = options.root_certificates(file);
        }
        let certificate = path(self.nats_cert.as_ref(), "--nats-cert", "LATTICE_NATS_CERT")?;
        let key = path(
            self.nats_cert_key.as_ref(),
            "--nats-cert-key",
            "LATTICE_NATS_CERT_KEY",
        )?;
        match (certificate, key) {
            (Some((certificate_by, certificate)), Some((key_by, key))) => {
                readable(certificate_by, &certificate)?;
                readable(key_by, &key)?;
                options = options.client_certificate(certificate, key);
            }
            (Some(_), None) => {
                return Err(Failure::Usage(
                    "the client certificate needs its key; name it with --nats-cert-key or LATTICE_NATS_CERT_KEY".to_owned(),
                ));
            }
            (None, Some(_)) => {
                return Err(Failure::Usage(
                    "the key of a client certificate needs the certificate; name it with --nats-cert or LATTICE_NATS_CERT".to_owned(),
                ));
            }
            (None, None) => {}
        }
        if self.nats_tls_first || switch("LATTICE_NATS_TLS_FIRST")? {
            options = options.tls_first();
        }
        Ok(options)
    }

    fn connection(&self, mut options: NatsOptions) -> Result<NatsOptions, Failure> {
        let or = |given: &Option<String>, name| match given {
            Some(given) => Ok(Some(given.clone())),
            None => variable(name),
        };
        if let Some(prefix) = or(&self.nats_inbox_prefix, "LATTICE_NATS_INBOX_PREFIX")? {
            options = options.inbox_prefix(prefix.trim());
        }
        if let Some(domain) = or(&self.jetstream_domain, "LATTICE_JETSTREAM_DOMAIN")? {
            options = options.jetstream_domain(domain.trim());
        }
        let parse = |text: &str| text.parse().map_err(|error| format!("{error}"));
        let largest = parsed::<ByteSize>(self.nats_max_payload, "LATTICE_NATS_MAX_PAYLOAD", parse)?;
        if let Some(size) = largest {
            options = options.max_payload(size);
        }
        Ok(options.connect_timeout(self.patience()?))
    }

    /// Returns how long to try to connect.
    pub(crate) fn patience(&self) -> Result<Duration, Failure> {
        let time = parsed(self.connect_timeout, "LATTICE_CONNECT_TIMEOUT", duration)?;
        Ok(time.unwrap_or(CONNECT_TIMEOUT))
    }
}

impl StoreArguments {
    pub(crate) fn replicas(&self) -> Result<Option<NonZeroUsize>, Failure> {
        parsed(self.store_replicas, "LATTICE_STORE_REPLICAS", replicas)
    }

    pub(crate) fn max_bytes(&self) -> Result<Option<ByteSize>, Failure> {
        let parse = |text: &str| text.parse().map_err(|error| format!("{error}"));
        parsed::<ByteSize>(self.store_max_bytes, "LATTICE_STORE_MAX_BYTES", parse)
    }
}

/// Returns a path, and the option or the variable that it is from.
fn path(
    given: Option<&PathBuf>,
    option: &'static str,
    name: &'static str,
) -> Result<Option<(&'static str, PathBuf)>, Failure> {
    Ok(match given {
        Some(file) => Some((option, file.clone())),
        None => variable(name)?.map(|file| (name, PathBuf::from(file))),
    })
}

fn replicas(text: &str) -> Result<NonZeroUsize, String> {
    match text.parse() {
        Ok(count @ 1..=5) => Ok(NonZeroUsize::MIN.saturating_add(count - 1)),
        _ => Err("a NATS cluster keeps 1 to 5 copies of a stream; use 1, 3 or 5".to_owned()),
    }
}
