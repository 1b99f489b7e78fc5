//! `lattice-provider`: serves a standard provider in a process of its own.

use clap::Parser;
use lattice_core::{Lattice, auth::LatticeKey, nats::NatsOptions};
use lattice_otel::{Guard, InstallError, Telemetry};
use lattice_provider_sdk::{Refusal, process, serve};
use lattice_providers::{Builtin, builtins};
use std::{
    collections::BTreeMap,
    env,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};
use tokio::runtime::Builder;
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, layer::SubscriberExt as _, registry, registry::LookupSpan,
    util::SubscriberInitExt as _,
};

/// Variable with the servers.
const NATS: &str = "LATTICE_NATS";
/// Variable with the key.
const KEY: &str = "LATTICE_KEY";
/// Prefix of variables with settings.
const SETTING: &str = "LATTICE_SET_";
/// How long the end of the process waits until the last telemetry is sent.
const LAST_TELEMETRY: Duration = Duration::from_secs(1);

/// Serves a standard provider of a lattice in a process of its own, until it gets SIGTERM or
/// ctrl-c. Then running calls may finish
#[derive(Parser)]
#[command(version, about)]
struct Options {
    /// The provider, such as `keyvalue-redis`. Without it, the providers are listed
    name: Option<String>,
    /// The id of the component [default: the provider's name]
    #[arg(long)]
    id: Option<String>,
    /// A setting of the provider. May be repeated [env: `LATTICE_SET_MAX_SIZE` sets `max-size`]
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// A host has started this process: it is told on its standard input what to serve
    #[arg(long, conflicts_with_all = ["id", "settings", "nats", "key_file", "trust_bus"])]
    host: bool,
    /// The lattice's name
    #[arg(long, default_value = "default", value_name = "NAME")]
    lattice: String,
    /// NATS servers of the lattice, separated by commas [env: `LATTICE_NATS`]
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
    /// Credentials file for the NATS server [env: `LATTICE_NATS_CREDS`]
    #[arg(long, value_name = "FILE")]
    creds: Option<PathBuf>,
    /// File with certificates (PEM) of the authorities to trust instead of this machine's [env:
    /// `LATTICE_NATS_CA`]
    #[arg(long, value_name = "FILE")]
    nats_ca: Option<PathBuf>,
    /// File with the lattice's key [env: `LATTICE_KEY`, which holds the key itself]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Uses no key: every client of the server may call anything
    #[arg(long, conflicts_with = "key_file")]
    trust_bus: bool,
    /// How long calls may take to finish when the process stops, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    grace: u32,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let telemetry = match start_log() {
        Ok(telemetry) => telemetry,
        Err(error) => return failed(&Refusal::from(error)),
    };
    let code = serve_as_told(&options);
    if let Some(guard) = telemetry
        && let Ok(runtime) = Builder::new_current_thread().enable_time().build()
        && let Err(error) = runtime.block_on(guard.shutdown(LAST_TELEMETRY))
    {
        tracing::warn!("{error}");
    }
    code
}

/// Starts the log, and telemetry, if the variables of OpenTelemetry name a collector.
fn start_log() -> Result<Option<Guard>, InstallError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    if !Telemetry::is_wanted() {
        registry().with(filter).with(lines()).init();
        return Ok(None);
    }
    let telemetry = Telemetry::builder()
        .service_name("lattice-provider")
        .attribute("service.version", env!("CARGO_PKG_VERSION"));
    let (layer, guard) = telemetry.layer()?;
    let lines = lines().with_filter(filter);
    registry().with(layer).with(lines).init();
    Ok(Some(guard))
}

/// Returns the layer that writes events to standard error.
fn lines<S: Subscriber + for<'s> LookupSpan<'s>>() -> impl Layer<S> {
    tracing_subscriber::fmt::layer().with_writer(io::stderr)
}

/// Serves the provider that the command line names, or lists all.
fn serve_as_told(options: &Options) -> ExitCode {
    let Some(name) = &options.name else {
        return list();
    };
    let builtin = match find(name) {
        Ok(builtin) => builtin,
        Err(refusal) => return failed(&refusal),
    };
    if options.host {
        return process::try_run(|settings: BTreeMap<String, String>| (builtin.make)(&settings));
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&Refusal::from(error)),
    };
    match runtime.block_on(options.run(&builtin)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => failed(&refusal),
    }
}

/// Prints the names of the providers.
fn list() -> ExitCode {
    let mut out = io::stdout().lock();
    for builtin in builtins() {
        if writeln!(out, "{}", builtin.name).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn failed(refusal: &Refusal) -> ExitCode {
    // If it can't be printed, there is nothing left to be told.
    let _ = writeln!(io::stderr(), "error: {refusal}");
    ExitCode::FAILURE
}

fn find(name: &str) -> Result<Builtin, Refusal> {
    let mut all = builtins().into_iter();
    all.find(|builtin| builtin.name == name).ok_or_else(|| {
        Refusal::new(format!(
            "there is no provider `{name}`; `lattice-provider` without a name lists those that there are"
        ))
    })
}

impl Options {
    /// Serves the provider until it is told to stop.
    async fn run(&self, builtin: &Builtin) -> Result<(), Refusal> {
        let mut stop = Stop::listen()?;
        let provider = (builtin.make)(&self.all_settings()?)?;
        let id = self.id.clone().unwrap_or_else(|| builtin.name.to_owned());
        let serving = async {
            let lattice = self.join().await?;
            let serving = serve(&lattice, &*id, provider).await?;
            Ok::<_, Refusal>((lattice, serving))
        };
        let (lattice, serving) = tokio::select! {
            serving = serving => serving?,
            () = stop.asked() => return Ok(()),
        };
        tracing::info!(component = id, lattice = %lattice.name(), "the provider serves");
        stop.asked().await;
        tracing::info!(
            component = id,
            "the provider stops; signal again to stop immediately"
        );
        let grace = Duration::from_secs(self.grace.into());
        let is_clean = tokio::select! {
            drained = serving.shutdown(grace) => drained.is_clean(),
            () = stop.asked() => false,
        };
        if !is_clean {
            tracing::warn!(component = id, "some calls were cut off");
        }
        Ok(())
    }

    /// Returns the settings of the command line, and those of the environment that it doesn't set.
    fn all_settings(&self) -> Result<BTreeMap<String, String>, Refusal> {
        let mut all = BTreeMap::new();
        for (name, value) in env::vars_os() {
            let Some(key) = name.to_str().and_then(|name| name.strip_prefix(SETTING)) else {
                continue;
            };
            let value = value.into_string().map_err(|_| {
                Refusal::new(format!("the variable `{SETTING}{key}` isn't valid UTF-8"))
            })?;
            all.insert(key.to_lowercase().replace('_', "-"), value);
        }
        all.extend(self.settings.iter().cloned());
        Ok(all)
    }

    async fn join(&self) -> Result<Lattice, Refusal> {
        let variable = |name: &str| env::var(name).ok().filter(|text| !text.is_empty());
        let servers = self
            .nats
            .clone()
            .or_else(|| variable(NATS))
            .ok_or_else(|| {
                Refusal::new(format!(
                    "the lattice's NATS server is missing; name it with --nats or {NATS}"
                ))
            })?;
        let file = |given: &Option<PathBuf>, name| {
            let given = given.clone();
            given.or_else(|| variable(name).map(PathBuf::from))
        };
        let mut nats = NatsOptions::from(servers);
        if let Some(creds) = file(&self.creds, "LATTICE_NATS_CREDS") {
            nats = nats.credentials_file(creds);
        }
        if let Some(authorities) = file(&self.nats_ca, "LATTICE_NATS_CA") {
            nats = nats.root_certificates(authorities);
        }
        let connect = Lattice::connect(nats, &*self.lattice);
        let connect = if self.trust_bus {
            connect.trust_bus()
        } else if let Some(file) = &self.key_file {
            connect.key(LatticeKey::from_file(file)?)
        } else if let Some(key) = variable(KEY) {
            connect.key(LatticeKey::from_hex(&key)?)
        } else {
            return Err(Refusal::new(format!(
                "the lattice's key is missing; name its file with --key-file, or set {KEY}"
            )));
        };
        let lattice = connect.await?;
        lattice.replica().check_key()?;
        Ok(lattice)
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a setting is `key=value`, as in `max-size=64MiB`".to_owned()),
    }
}

/// Waits for SIGTERM or ctrl-c.
struct Stop {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Stop {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
impl Stop {
    fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    async fn asked(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
