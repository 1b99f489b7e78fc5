//! The connections of one link.
//!
//! Links don't share connections, so that one never uses a connection that another one's rules
//! allowed. A connection is used again while it is idle, and by many requests at once if it speaks
//! HTTP/2.

use super::{
    body::{RequestBody, ResponseBody},
    config::Settings,
    connect::{Connector, ConnectorParts, TlsConnector},
    failure::Failure,
    permits::Permits,
    resolve::Resolve,
    target::Target,
    tasks::{Spawner, Tasks},
    timeouts::{Progress, Timeouts},
};
use crate::http::exchange::ErrorCode;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{self, ResponseFuture, connect::capture_connection},
    rt::TokioTimer,
};
use lattice_core::sync::Mutex;
use rustls::ClientConfig;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};

/// How long a connection stays open that isn't used. Many servers close theirs after a minute.
const IDLE: Duration = Duration::from_secs(30);
/// The largest head of a response, as large as the fields that guests may make.
const LARGEST_HEAD: usize = 128 * 1024;
/// How often a connection of HTTP/2 is checked while it is used, and how long the reply may take.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_WITHIN: Duration = Duration::from_secs(10);
/// How much longer than the connector a request waits, so that the connector can say why there is
/// no connection.
const LATER: Duration = Duration::from_secs(1);

type Client = legacy::Client<TlsConnector, RequestBody>;

/// The connections of one link.
pub(super) struct Pool {
    client: Mutex<Client>,
    connector: TlsConnector,
    permits: Arc<Permits>,
    /// To one authority.
    connections: usize,
    spawner: Spawner,
    tasks: Arc<Tasks>,
}

impl Pool {
    pub(super) fn new(settings: &Settings, tls: ClientConfig, resolver: Arc<dyn Resolve>) -> Self {
        let within = settings.timeouts.connect;
        let permits = Arc::new(Permits::new(settings.connections));
        let connector = Connector::new(ConnectorParts {
            allow: settings.allow.clone(),
            resolver,
            permits: permits.clone(),
            within,
            stalled: settings.timeouts.between_bytes,
        });
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls);
        let builder = builder.https_or_http().enable_http1();
        let connector = TlsConnector {
            inner: if settings.http2 {
                builder.enable_http2().wrap_connector(connector)
            } else {
                builder.wrap_connector(connector)
            },
            within,
        };
        let (tasks, spawner) = Tasks::new();
        Self {
            client: Mutex::new(client(&spawner, &connector, settings.connections)),
            connector,
            permits,
            connections: settings.connections,
            spawner,
            tasks: Arc::new(tasks),
        }
    }

    /// Sends a request, and returns the response once its head is there.
    ///
    /// # Errors
    /// Fails when there is no response within the timeouts.
    ///
    /// # Cancel safety
    /// Dropping the future aborts the request.
    pub(super) async fn send(
        &self,
        mut request: Request<RequestBody>,
        target: &Target,
        timeouts: Timeouts,
    ) -> Result<Response<ResponseBody>, Failure> {
        let progress = request.body().progress().clone();
        let mut captured = capture_connection(&mut request);
        let mut sending = self.client().request(request);
        let connected = async { drop(captured.wait_for_connection_metadata().await) };
        let early = tokio::select! {
            biased;
            response = &mut sending => Some(response),
            () = connected => None,
            () = sleep(self.patience(timeouts.connect)) => return Err(self.not_connected(target)),
        };
        let response = if let Some(response) = early {
            response
        } else {
            progress.moved();
            head(&mut sending, &progress, timeouts.first_byte).await?
        };
        let response = response.map_err(|error| Failure::of(&error))?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failure::new(
                ErrorCode::HttpUpgradeFailed,
                "the server switched to another protocol, which was not requested",
            ));
        }
        let tasks = self.tasks.clone();
        Ok(response.map(|body| ResponseBody::new(body, timeouts.between_bytes, tasks)))
    }

    /// Returns the client. If there are as many connections as there may be, those that are idle
    /// are closed, because they may be to other servers.
    fn client(&self) -> Client {
        let mut current = self.client.lock();
        if self.permits.are_taken() {
            *current = client(&self.spawner, &self.connector, self.connections);
        }
        current.clone()
    }

    /// Returns how long a request waits for its connection.
    fn patience(&self, connect: Duration) -> Duration {
        if connect < self.connector.within {
            return connect;
        }
        connect.saturating_add(LATER)
    }

    fn not_connected(&self, target: &Target) -> Failure {
        if self.permits.are_taken_for(&target.to_string()) {
            return Failure::new(
                ErrorCode::ConnectionLimitReached,
                format!("all connections to `{target}` are in use; let the link have more"),
            );
        }
        let text = format!("`{target}` wasn't connected to in time");
        Failure::new(ErrorCode::ConnectionTimeout, text)
    }
}

fn client(spawner: &Spawner, connector: &TlsConnector, connections: usize) -> Client {
    let largest = u32::try_from(LARGEST_HEAD).unwrap_or(u32::MAX);
    legacy::Client::builder(spawner.clone())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(connections)
        .http1_max_buf_size(LARGEST_HEAD)
        .http2_max_header_list_size(largest)
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PING_WITHIN)
        .build(connector.clone())
}

/// Waits for the head of a response. The time starts again whenever a part of the request's body is
/// sent.
async fn head(
    sending: &mut ResponseFuture,
    progress: &Progress,
    first_byte: Duration,
) -> Result<Result<Response<Incoming>, legacy::Error>, Failure> {
    loop {
        let last = progress.last();
        // A time that is too far away for the clock is never reached: the call ends before.
        let until = last.checked_add(first_byte);
        let until = until.unwrap_or_else(|| Instant::now() + Duration::from_hours(24));
        tokio::select! {
            biased;
            response = &mut *sending => return Ok(response),
            () = sleep_until(until) => {}
        }
        if progress.last() == last {
            let text = format!("the server sent no response for {first_byte:?}");
            return Err(Failure::new(ErrorCode::HttpResponseTimeout, text));
        }
    }
}
