//! The server: one task for each connection.

use super::{
    Answer,
    received::{LogRecord, SpanRecord},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use prost::Message;
use std::{
    convert::Infallible,
    future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};

/// Largest request that is read.
const MAX_BODY: usize = 16 << 20;

/// What has come.
#[derive(Debug, Default)]
pub(super) struct State {
    taken: Mutex<Taken>,
    /// A request has come.
    pub(super) came: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) answer: Option<Answer>,
    pub(super) requests: usize,
    pub(super) spans: Vec<SpanRecord>,
    pub(super) logs: Vec<LogRecord>,
    pub(super) metrics: Vec<ExportMetricsServiceRequest>,
}

impl State {
    pub(super) fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one request, and returns the status of the response.
    fn take(&self, path: &str, body: Bytes) -> StatusCode {
        let mut taken = self.lock();
        taken.requests += 1;
        if taken.answer == Some(Answer::Refuse) {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        let decoded = match path {
            "/v1/traces" => ExportTraceServiceRequest::decode(body)
                .map(|request| taken.spans.extend(SpanRecord::all(request))),
            "/v1/logs" => ExportLogsServiceRequest::decode(body)
                .map(|request| taken.logs.extend(LogRecord::all(request))),
            "/v1/metrics" => {
                ExportMetricsServiceRequest::decode(body).map(|request| taken.metrics.push(request))
            }
            _ => return StatusCode::NOT_FOUND,
        };
        decoded.map_or(StatusCode::BAD_REQUEST, |()| StatusCode::OK)
    }
}

/// Accepts connections until it is dropped, which ends them.
pub(super) async fn run(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let state = state.clone();
                connections.spawn(async move {
                    let service = service_fn(|request| answer(state.clone(), request));
                    let connection = http1::Builder::new();
                    // It ends with an error when the sender gives up.
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let status = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => state.take(parts.uri.path(), body.to_bytes()),
        Err(_) => StatusCode::BAD_REQUEST,
    };
    let answer = state.lock().answer.unwrap_or(Answer::Take);
    state.came.notify_waiters();
    let body = match answer {
        Answer::Never => future::pending().await,
        Answer::Garbage => Bytes::from_static(b"\xff\xff\xffthis is no message of OTLP"),
        Answer::Take | Answer::Refuse => Bytes::new(),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    Ok(response)
}
