//! Finds out whether a write took effect when its response was lost.
//!
//! A lost write may still be on its way: in the client, on the wire, or in the stream's own queue.
//! So this writes a marker first, with no expectation on its key. The marker takes the same route
//! after the lost write. When the server has confirmed it, the write has either happened or never
//! will. The exception is a write sent through a server that this connection has lost since, when
//! that server holds it back from the stream for longer than the new way takes.
//!
//! Then the keys show what happened: stored messages keep the id of their write.

use super::{Inner, commit::Attempt, message};
use crate::store::{CommitError, Revision, StoreError};
use async_nats::{
    HeaderMap, Request,
    jetstream::{publish::PublishAck, response::Response},
};
use std::time::Duration;
use tokio::time::Instant;

/// The key of the markers. Watches skip it.
pub(super) const FENCE: &str = "fence";
/// A fence isn't needed any more once the server has confirmed it.
const FENCE_TTL: u64 = 1;
/// Longest wait for the response to one fence before it is written again.
const FENCE_WAIT: Duration = Duration::from_secs(1);
/// Pause before that, when the server refused the fence or the connection is down.
const PAUSE: Duration = Duration::from_millis(50);

impl Inner {
    /// Returns the result of `attempt`. Fails when it is not known by `deadline`.
    pub(super) async fn settle(
        &self,
        attempt: &Attempt<'_>,
        deadline: Instant,
    ) -> Result<Revision, CommitError> {
        let found = tokio::time::timeout_at(deadline, async {
            while !self.fence().await {
                tokio::time::sleep(PAUSE).await;
            }
            self.read_back(attempt).await
        });
        found.await.unwrap_or(Err(CommitError::Unknown))
    }

    async fn fence(&self) -> bool {
        let connects = self.connection.connects();
        if self.connected().is_err() {
            return false;
        }
        let mut headers = HeaderMap::new();
        message::make_marker(&mut headers, FENCE_TTL);
        let request = Request::new()
            .headers(headers)
            .inbox(self.client().new_inbox())
            .timeout(Some(FENCE_WAIT));
        let subject = self.bucket.publish_subject(FENCE);
        tokio::select! {
            answer = self.client().send_request(subject, request) => answer.is_ok_and(|message| {
                matches!(
                    serde_json::from_slice::<Response<PublishAck>>(&message.payload),
                    Ok(Response::Ok(_))
                )
            }),
            _ = self.connection.lost(connects) => false,
        }
    }

    /// Reads the keys from the last to the first, until one of them shows the result.
    async fn read_back(&self, attempt: &Attempt<'_>) -> Result<Revision, CommitError> {
        let count = attempt.ops.len();
        for at in (0..count).rev() {
            let Ok(last) = self.last_message(&attempt.ops[at].key).await else {
                continue;
            };
            let sequence = last.as_ref().map_or(0, |message| message.sequence);
            if last.is_some_and(|message| message::write_id(&message.headers) == Some(&attempt.id))
            {
                // A batch is stored in one piece.
                return Ok(Revision(sequence + (count - 1 - at) as u64));
            }
            if attempt.expected[at] == Some(sequence) {
                return Err(StoreError::Unavailable(
                    "the response was lost; nothing was written".into(),
                )
                .into());
            }
        }
        Err(CommitError::Unknown)
    }
}
