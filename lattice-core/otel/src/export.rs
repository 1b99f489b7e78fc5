//! Sends requests to the collector, on a thread of its own, so that whatever the collector does,
//! nothing else in the process waits for it.

use crate::InstallError;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError, ResponseBodyTooLarge};
use reqwest::{Certificate, Client, redirect::Policy};
use std::{fmt, sync::Arc, time::Duration};
use tokio::runtime::{Builder, Handle, Runtime};

/// Longest response of a collector that is read. A success is a few bytes.
const MAX_RESPONSE: usize = 64 << 10;

/// Most threads of the client that wait: for names of hosts, and for the SDK to end or to flush.
/// They begin when they are needed. With few, a flush that waits would keep the name from being
/// found.
const WAITING: usize = 16;

/// The client for all signals. Cheap to clone; clones share it.
#[derive(Clone)]
pub(crate) struct Exporter {
    shared: Arc<Shared>,
    /// How long one request may take.
    timeout: Duration,
}

struct Shared {
    client: Client,
    handle: Handle,
    /// Taken when it is dropped.
    runtime: Option<Runtime>,
}

impl Exporter {
    /// Creates the client, which gives up a request after `timeout`.
    pub(crate) fn new(is_https: bool, timeout: Duration) -> Result<Self, InstallError> {
        let client = client(is_https)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(WAITING)
            .thread_name("lattice-otel")
            .enable_all()
            .build()
            .map_err(InstallError::NoThread)?;
        let shared = Arc::new(Shared {
            client,
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        });
        Ok(Self { shared, timeout })
    }

    /// Returns the same client with another time for each request.
    pub(crate) fn within(&self, timeout: Duration) -> Self {
        let shared = self.shared.clone();
        Self { shared, timeout }
    }

    /// The runtime of the client's own thread.
    pub(crate) fn handle(&self) -> &Handle {
        &self.shared.handle
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // In an async task, one may not wait for it.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for Exporter {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // The threads of the SDK, which call this, have no runtime.
        let Shared { client, handle, .. } = &*self.shared;
        handle
            .spawn(send(client.clone(), request, self.timeout))
            .await?
    }
}

async fn send(
    client: Client,
    request: Request<Bytes>,
    timeout: Duration,
) -> Result<Response<Bytes>, HttpError> {
    let (parts, body) = request.into_parts();
    let request = client
        .request(parts.method, parts.uri.to_string())
        .headers(parts.headers)
        // From the connection to the end of the response.
        .timeout(timeout)
        .body(body);
    let mut response = request.send().await?;
    let mut read = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if read.len() + chunk.len() > MAX_RESPONSE {
            return Err(ResponseBodyTooLarge::new().into());
        }
        read.extend_from_slice(&chunk);
    }
    let mut received = Response::new(read.freeze());
    *received.status_mut() = response.status();
    *received.headers_mut() = std::mem::take(response.headers_mut());
    Ok(received)
}

fn client(is_https: bool) -> Result<Client, InstallError> {
    // This fails when the program has installed another provider, which then stays in use.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        // With a proxy of the environment, telemetry would take another way than is said.
        .no_proxy()
        .redirect(Policy::none())
        .user_agent(concat!("lattice-otel/", env!("CARGO_PKG_VERSION")));
    if is_https {
        // The library panics when it looks for this machine's certificates and there are none.
        if rustls_native_certs::load_native_certs().certs.is_empty() {
            return Err(InstallError::NoRoots);
        }
    } else {
        let none: [Certificate; 0] = [];
        builder = builder.tls_certs_only(none);
    }
    builder.build().map_err(InstallError::NoClient)
}
