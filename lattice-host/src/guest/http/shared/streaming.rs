//! A body that a guest writes in an instance with others.

use super::{
    super::{
        flow::{Flow, Unread, Watched},
        response::{Next, Tasks, failure_of},
    },
    instance::Slot,
};
use crate::http::exchange::{ErrorCode, code_of_wasi};
use bytes::Bytes;
use http_body::Body as HttpBody;
use lattice_core::sync::Mutex;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::task::AbortHandle;
use wasmtime_wasi_http::WasiBody;

/// The rest of a body. Dropping it, the guest sees that nothing of it is read any more.
pub(super) struct Streaming {
    /// Taken away when nothing moves.
    body: Arc<Mutex<Option<Watched<WasiBody>>>>,
    flow: Arc<Flow>,
    /// The guest has ended it, or broken it.
    is_over: bool,
    _unread: Unread,
    /// The instance stays as long as its bodies are read, also when the actor is replaced.
    slot: Slot,
    /// Waits until nothing moves.
    idle: AbortHandle,
}

impl Streaming {
    /// Makes a body that breaks when nothing of it moves for so long.
    pub(super) fn new(
        (body, unread): (WasiBody, Unread),
        (flow, slot): (Arc<Flow>, Slot),
        limit: Duration,
        tasks: &Tasks,
    ) -> Self {
        let body = Arc::new(Mutex::new(Some(flow.watch(body))));
        let (idle, stalled) = (flow.clone(), body.clone());
        let idle = tasks.spawn(async move {
            let reason = idle.idle(limit).await;
            idle.ended(Err(reason));
            let stalled = stalled.lock().take();
            drop(stalled);
        });
        Self {
            body,
            flow,
            is_over: false,
            _unread: unread,
            slot,
            idle,
        }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.idle.abort();
        // Before its other fields are dropped, with which the request is over.
        if !self.is_over {
            self.slot.abandon();
        }
    }
}

impl HttpBody for Streaming {
    type Data = Bytes;
    type Error = ErrorCode;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next> {
        let this = self.get_mut();
        let has_failed = failure_of(&this.flow, cx);
        let next = match &mut *this.body.lock() {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Pending,
        };
        match (next, has_failed) {
            (Poll::Ready(Some(Ok(frame))), _) => Poll::Ready(Some(Ok(frame))),
            (Poll::Ready(Some(Err(error))), _) => {
                this.is_over = true;
                let code = failure_of(&this.flow, cx).unwrap_or_else(|| code_of_wasi(error));
                Poll::Ready(Some(Err(code)))
            }
            (Poll::Pending, None) => Poll::Pending,
            (Poll::Pending, Some(code)) => Poll::Ready(Some(Err(code))),
            // The guest may have failed since it ended the body.
            (Poll::Ready(None), _) => {
                this.is_over = true;
                let failed = failure_of(&this.flow, cx);
                Poll::Ready(failed.map(Err))
            }
        }
    }
}
