//! Setting telemetry up: what is sent, where to, and how much of it.

use crate::{
    Guard, InstallError,
    environment::{Environment, Signal, is_share},
    guard::Providers,
    layer::{self, LayerBox},
    logs, metrics,
    setup::Setup,
    traces,
};
use lattice_core::trace;
use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::Resource;
use std::time::Duration;
use tracing::Subscriber;
use tracing_subscriber::{
    layer::SubscriberExt as _, registry::LookupSpan, util::SubscriberInitExt as _,
};

/// Telemetry of this process, by OpenTelemetry. The front page of the [crate] has an example.
#[derive(Debug, Clone, Copy)]
pub struct Telemetry;

/// What of the process is sent, and where to. What isn't set here is read from the standard
/// [variables](crate#variables) of OpenTelemetry.
#[derive(Debug, Clone, Default)]
#[must_use = "nothing is sent until it is installed"]
pub struct Builder {
    endpoint: Option<String>,
    service_name: Option<String>,
    attributes: Vec<KeyValue>,
    sample: Option<f64>,
    timeout: Option<Duration>,
    leaves_out: Vec<Signal>,
}

impl Telemetry {
    /// Starts with what the variables say.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Returns whether the variables of this process name a collector and don't switch telemetry
    /// off, for programs that send telemetry only where it is wanted.
    pub fn is_wanted() -> bool {
        let environment = Environment::PROCESS;
        environment.has_endpoint() && !environment.is_disabled()
    }
}

impl Builder {
    /// Sets the address of the collector, such as `http://localhost:4318`, which is the default.
    /// Each signal is sent to its path below it, by OTLP over HTTP, in protobuf.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// Sets the name of the service, unless `OTEL_SERVICE_NAME` has one. The default is `lattice`.
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.service_name = Some(name.into());
        self
    }

    /// Adds an attribute of the process, such as `service.version`, unless
    /// `OTEL_RESOURCE_ATTRIBUTES` has one.
    pub fn attribute(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes
            .push(KeyValue::new(key.into(), value.into()));
        self
    }

    /// Sets the share of traces that are sampled, from 0 to 1, of those that start in this process.
    /// The others follow the decision of the process where they started. The default is 1.
    pub fn sample(mut self, share: f64) -> Self {
        self.sample = Some(share);
        self
    }

    /// Sets how long the collector may take for one request. The default is 10 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Leaves metrics out.
    pub fn without_metrics(self) -> Self {
        self.without(Signal::Metrics)
    }

    /// Leaves logs out. Within traces, they stay events of their spans.
    pub fn without_logs(self) -> Self {
        self.without(Signal::Logs)
    }

    fn without(mut self, signal: Signal) -> Self {
        self.leaves_out.push(signal);
        self
    }

    /// Installs telemetry as this process's global subscriber of `tracing`. Does nothing if
    /// `OTEL_SDK_DISABLED` is `true`.
    ///
    /// # Errors
    /// Fails with an [`InstallError`]. An unreachable collector isn't one: telemetry is
    /// dropped, with a warning.
    pub fn install(self) -> Result<Guard, InstallError> {
        let (layer, guard) = self.layer()?;
        let subscriber = tracing_subscriber::registry().with(layer);
        let installed = subscriber.try_init();
        installed.map_err(|_| InstallError::AlreadyInstalled)?;
        Ok(guard)
    }

    /// Returns telemetry as a layer for the program's own subscriber, which has to become the
    /// global one. Spans and events that other layers filter out are not lost to this one.
    ///
    /// ```
    /// use lattice_otel::Telemetry;
    /// use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};
    ///
    /// let (layer, _guard) = Telemetry::builder().sample(0.01).layer()?;
    /// tracing_subscriber::registry()
    ///     .with(layer)
    ///     // .with(tracing_subscriber::fmt::layer().with_filter(…))
    ///     .init();
    /// # Ok::<_, lattice_otel::InstallError>(())
    /// ```
    ///
    /// # Errors
    /// As [`install`](Self::install).
    pub fn layer<S>(self) -> Result<(LayerBox<S>, Guard), InstallError>
    where
        S: Subscriber + for<'s> LookupSpan<'s> + Send + Sync,
    {
        let environment = Environment::PROCESS;
        if environment.is_disabled() {
            return Ok((layer::all([]), Guard::idle()));
        }
        let ratio = match self.sample {
            Some(share) if is_share(share) => share,
            Some(share) => return Err(InstallError::NoShare(share)),
            None => environment.ratio()?,
        };
        let queue = environment.queue()?;
        let resource = self.resource(&environment);
        let setup = Setup::new(
            &environment,
            self.endpoint.as_deref(),
            self.timeout,
            resource,
        )?;
        let is_sent = |signal| {
            let is_off = environment.is_off(signal)? || self.leaves_out.contains(&signal);
            Ok::<_, InstallError>(!is_off)
        };

        let mut providers = Providers::default();
        let mut layers = Vec::new();
        if is_sent(Signal::Traces)? {
            let (tracer, losses) = traces::provider(&setup, (ratio, queue))?;
            layers.push(layer::of_traces(&tracer));
            providers.traces = Some(tracer);
            providers.losses = losses;
        }
        if is_sent(Signal::Logs)? {
            let logger = logs::provider(&setup)?;
            layers.push(layer::of_logs(&logger));
            providers.logs = Some(logger);
        }
        if is_sent(Signal::Metrics)? {
            providers.metrics = Some(metrics::provider(&setup));
        }
        if providers.traces.is_some() {
            let tracer = traces::Propagation::new(ratio);
            trace::set_tracer(tracer).map_err(|_| InstallError::AlreadyInstalled)?;
        }
        if let Some(metrics) = &providers.metrics {
            // For the program's own instruments.
            global::set_meter_provider(metrics.clone());
        }
        Ok((layer::all(layers), Guard::new(providers, setup.client)))
    }

    /// What all that is sent says of this process.
    fn resource(&self, environment: &Environment<'_>) -> Resource {
        let mut resource = Resource::builder();
        let is_named = environment.names_attribute("service.name");
        if environment.value("OTEL_SERVICE_NAME").is_none() && !is_named {
            let name = self.service_name.clone();
            resource = resource.with_service_name(name.unwrap_or_else(|| "lattice".to_owned()));
        }
        // Several processes of one service are told apart by it.
        let instance = format!("{:032x}", fastrand::u128(..));
        let instance = KeyValue::new("service.instance.id", instance);
        let own = [instance]
            .into_iter()
            .chain(self.attributes.iter().cloned());
        // The variables are set by the person who runs the program, and take precedence.
        let own = own.filter(|own| !environment.names_attribute(own.key.as_str()));
        resource.with_attributes(own).build()
    }
}
