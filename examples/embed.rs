//! A host inside an existing axum service: an actor serves one of its routes, and wormholes what
//! its routes don't.
//!
//! ```text
//! GET /welcome/Ada ──► web (this service) ──► front-desk ──► greeter ──► store
//! GET /hello/Ada ────► wormhole ────► hello
//! ```
//!
//! Listens on `ADDRESS`, by default a free port of this machine, and prints the address. Ends on
//! Ctrl-C or SIGTERM, after it has responded to every request.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::get,
};
use lattice_core::{
    Drained, Lattice,
    call::{CallError, DEFAULT_DEADLINE, Ran},
    client::Caller,
    link::Link,
    wormholes::NewWormhole,
};
use lattice_examples::{
    Report,
    desk::DeskClient,
    guests::{DESK, GREETER, front_desk, greeter, hello},
    store::{MemoryStore, STORE},
};
use lattice_host::{Host, Instances, http::wormhole_service};
use std::{env, time::Duration};
use tokio::net::TcpListener;

/// How long calls may continue after the last response was sent.
const GRACE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Report> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();

    // The new part of this service: a lattice with a host in it. With `Lattice::connect`, the
    // actors could also run elsewhere, and nothing below would change.
    let lattice = Lattice::in_memory("web").await?;
    let host = Host::builder(&lattice)
        .actor(
            "front-desk",
            front_desk("this service")?.instances(Instances::warm()),
        )
        .actor(
            "greeter",
            greeter("this service")?.instances(Instances::warm()),
        )
        .actor("hello", hello()?)
        .provider("store", MemoryStore::default())
        .start()
        .await?;
    for link in [
        Link::new("web", DESK, "front-desk")?,
        Link::new("front-desk", GREETER, "greeter")?,
        Link::new("greeter", STORE, "store")?,
    ] {
        lattice.links().put(link).await?;
    }
    // Requests for `/hello` go to this actor. It could be opened and closed from the command line.
    let wormhole = NewWormhole::new("hello")?.any_host().path("/hello");
    lattice.wormholes().create(wormhole).await?;
    // The caller uses the host's own node, so that a call to an actor on this host never leaves it.
    let desk = DeskClient::new(host.node().caller("web")?);

    // The existing part: routes, a listener and an orderly shutdown.
    let app = Router::new()
        .route("/health", get(|| async { "ok" }))
        .route("/welcome/{name}", get(welcome))
        .with_state(desk)
        .fallback_service(wormhole_service(&lattice));
    let address = env::var("ADDRESS").unwrap_or_else(|_| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app)
        .with_graceful_shutdown(asked_to_stop())
        .await?;

    // No request is in flight any more, so the host can leave the lattice.
    let drained = host.shutdown(GRACE).await;
    match drained {
        Drained::Clean => println!("stopped, nothing was cut off"),
        Drained::CutOff(cut_off) => println!("stopped, cut off: {cut_off}"),
    }
    Ok(())
}

/// Welcomes the person in the path. A header sets how long the client is willing to wait.
async fn welcome(
    State(desk): State<DeskClient<Caller>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<String, Failure> {
    let mut call = desk.welcome(&name);
    if let Some(value) = headers.get("x-deadline-ms") {
        let millis = value
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(Failure::BadHeader)?;
        call = call.timeout(Duration::from_millis(millis).min(DEFAULT_DEADLINE));
    }
    call.await?.map_err(Failure::Desk)
}

/// Why a request failed.
enum Failure {
    /// The header isn't a number.
    BadHeader,
    /// The desk returned an error.
    Desk(String),
    /// The call to the desk failed.
    Call(CallError),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let error = match self {
            Self::BadHeader => {
                return (
                    StatusCode::BAD_REQUEST,
                    "x-deadline-ms is a number of milliseconds",
                )
                    .into_response();
            }
            Self::Desk(reason) => {
                return (StatusCode::UNPROCESSABLE_ENTITY, reason).into_response();
            }
            Self::Call(error) => error,
        };
        let body = Json(serde_json::json!({
            "error": error.to_string(),
            "ran": error.ran().to_string(),
            "retryable": error.is_retryable(),
        }));
        // When the call certainly did not run, the client can repeat the request without doing
        // anything twice.
        if error.is_retryable() && error.ran() == Ran::No {
            (status(&error), [(RETRY_AFTER, "1")], body).into_response()
        } else {
            (status(&error), body).into_response()
        }
    }
}

/// Returns the HTTP status for an error, by the party at fault.
fn status(error: &CallError) -> StatusCode {
    match error {
        CallError::DeadlineExceeded { .. } => StatusCode::GATEWAY_TIMEOUT,
        CallError::TooLarge { .. } if error.ran() == Ran::No => StatusCode::PAYLOAD_TOO_LARGE,
        // The fault of the actor, or of the host that had the call.
        _ if error.ran() != Ran::No => StatusCode::BAD_GATEWAY,
        // Temporary conditions: full queues, hosts that join and leave.
        _ if error.is_retryable() => StatusCode::SERVICE_UNAVAILABLE,
        // The fault of this service: a missing link, an interface that doesn't match.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(unix)]
async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    // When listening for the signal fails, the default stays: the process ends immediately.
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn asked_to_stop() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
