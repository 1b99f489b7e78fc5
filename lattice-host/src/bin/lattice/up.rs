//! `lattice up`.

use crate::{
    access::AccessOptions,
    app::apply,
    failure::Failure,
    ingress::IngressOptions,
    log,
    metrics::MetricsOptions,
    options::{LatticeOptions, parsed},
    page::PageOptions,
    programs::ProgramOptions,
    registry::Registries,
    stop::StopSignal,
    telemetry::TelemetryOptions,
};
use clap::Args;
use lattice_core::{Drained, app::App, membership::check_labels, name::HostId};
use lattice_host::{ByteSize, Engine, Host, HostBuilder, ui::UiServer};
use std::{path::PathBuf, time::Duration};

/// The least memory for guests that can be set. With less, hardly any actor starts.
const LEAST_GUEST_MEMORY: ByteSize = ByteSize::mib(16);

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// The host's id, random by default
    #[arg(long)]
    id: Option<String>,
    /// A label of the host, for placement. May be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// A manifest to apply after the host has started
    #[arg(long, value_name = "FILE")]
    app: Option<PathBuf>,
    /// Folder for fetched components
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// File for the last snapshot of the store. The host starts from it while the server is down
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    snapshot: Option<PathBuf>,
    /// Memory that all actors of the host may use together, such as `4GiB`, and at least 16 MiB.
    /// One actor may use half of it. The default is half of the memory that this process can use
    /// [env: `LATTICE_GUEST_MEMORY`]
    #[arg(long, value_name = "SIZE")]
    guest_memory: Option<ByteSize>,
    #[command(flatten)]
    programs: ProgramOptions,
    #[command(flatten)]
    access: AccessOptions,
    /// How long calls may take to finish when the host stops, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    grace: u32,
    #[command(flatten)]
    served: ServedOptions,
    #[command(flatten)]
    registries: Registries,
    #[command(flatten)]
    pub(crate) telemetry: TelemetryOptions,
}

/// What a host serves beside calls.
#[derive(Debug, Args)]
struct ServedOptions {
    #[command(flatten)]
    ingress: IngressOptions,
    #[command(flatten)]
    metrics: MetricsOptions,
    #[command(flatten)]
    page: PageOptions,
}

impl ServedOptions {
    /// Adds what the host itself serves. The page is served before the host has started.
    fn add_to(&self, builder: HostBuilder) -> Result<HostBuilder, Failure> {
        self.metrics.add_to(self.ingress.add_to(builder))
    }
}

impl Up {
    /// Runs a host. Without a NATS server or a file, the lattice is in memory and ends with the
    /// process.
    pub(crate) async fn run(self, options: &LatticeOptions) -> Result<(), Failure> {
        let wrong = |error: &dyn std::error::Error| Failure::Usage(error.to_string());
        // Everything that can be checked without the lattice is checked first.
        if let Some(id) = &self.id {
            HostId::new(id).map_err(|error| wrong(&error).in_front("--id: "))?;
        }
        let labels = self.label.iter();
        check_labels(labels.map(|(name, value)| (&**name, &**value)))
            .map_err(|error| wrong(&error).in_front("--label: "))?;
        self.served.ingress.check()?;
        self.served.page.check()?;
        let access = self.access.access()?;
        let programs = self.programs.checked()?;
        let engine = engine(self.guest_memory)?;
        let app = self.app.map(App::load).transpose()?;
        // Listens for signals before it starts anything that would have to be stopped.
        let mut stop = StopSignal::listen()
            .map_err(|error| Failure::failed("can't listen for signals", &error))?;
        let artifacts = self.registries.artifacts(self.cache)?;
        let lattice = tokio::select! {
            lattice = options.open_for_host(self.snapshot.as_deref()) => lattice?,
            () = stop.asked() => return Ok(()),
        };
        log::joined();
        // Before the host, so that its start can be watched.
        let page = self.served.page.serve(&lattice, &artifacts).await?;
        let mut builder = Host::builder(&lattice)
            .artifacts(artifacts.clone())
            .provider_access(access);
        if let Some(id) = &self.id {
            builder = builder.id(id);
        }
        for (name, value) in &self.label {
            builder = builder.label(name, value);
        }
        builder = programs.add_to(builder);
        if let Some(engine) = engine {
            builder = builder.engine(engine);
        }
        builder = self.served.add_to(builder)?;
        let host = tokio::select! {
            host = builder.start() => host.map_err(|error| Failure::failed("the host did not start", &error))?,
            () = stop.asked() => return Ok(()),
        };
        tracing::info!(host = %host.id(), lattice = %lattice.name(), "the host is up");
        self.served.ingress.log(&host);
        // They are read only where telemetry is sent.
        let _observed = lattice_otel::observe(host.metrics_source());
        let applied = match app {
            None => Ok(()),
            Some(app) => tokio::select! {
                plan = apply(&lattice, app, &artifacts, |note| tracing::warn!("{note}")) => plan.map(|plan| tracing::info!("{plan}")),
                () = stop.asked() => Ok(()),
            },
        };
        if applied.is_ok() && !stop.was_asked {
            stop.asked().await;
        }
        tracing::info!(host = %host.id(), "the host hands over and stops; signal again to stop immediately");
        let drained = tokio::select! {
            drained = hand_over(&host, page, Duration::from_secs(self.grace.into())) => drained,
            () = stop.asked() => {
                host.kill();
                Drained::CutOff
            }
        };
        if drained == Drained::CutOff {
            tracing::warn!(host = %host.id(), "some calls were cut off");
        }
        applied
    }
}

/// Stops the host, and then the page, which shows meanwhile how the host hands over.
async fn hand_over(host: &Host, page: Option<UiServer>, grace: Duration) -> Drained {
    let drained = host.shutdown(grace).await;
    if let Some(page) = page {
        page.shutdown().await;
    }
    drained
}

/// Returns the engine of a host with this much memory for guests, or `None` if no size is set.
fn engine(guest_memory: Option<ByteSize>) -> Result<Option<Engine>, Failure> {
    let parse = |text: &str| text.parse().map_err(|error| format!("{error}"));
    let Some(memory) = parsed::<ByteSize>(guest_memory, "LATTICE_GUEST_MEMORY", parse)? else {
        return Ok(None);
    };
    if memory < LEAST_GUEST_MEMORY {
        return Err(Failure::Usage(format!(
            "{memory} is too little memory for guests; set at least {LEAST_GUEST_MEMORY} with `--guest-memory` or LATTICE_GUEST_MEMORY"
        )));
    }
    let engine = Engine::builder().guest_memory(memory).build();
    engine
        .map(Some)
        .map_err(|error| Failure::failed("the host did not start", &error))
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a label is `name=value`, as in `zone=a`".to_owned()),
    }
}
