//! Writes: a single message, or an atomic batch of them.
//!
//! The members of a batch are sent one after the other without waiting. Only the last one requests
//! a response, and nothing is written until it has arrived. When a commit is dropped, or its
//! connection breaks, before the last member is sent, the server discards it.
//!
//! The server compares the last sequence of each key. A deleted key has one too, that of its
//! marker. So [`Expect::Absent`] is first sent as 0, and when that is refused and the key holds a
//! marker, again with the marker's sequence.

use super::{Inner, message, refusal, unavailable};
use crate::{
    backoff::Backoff,
    entropy,
    store::{CommitError, Expect, MARKER_TTL, Op, Revision, StoreError},
};
use async_nats::{
    HeaderMap, Request, RequestError, RequestErrorKind,
    jetstream::{ErrorCode, publish::PublishAck, response::Response},
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{
        SemaphorePermit,
        broadcast::{Receiver, error::RecvError},
    },
    time::Instant,
};

/// Most false conflicts in one commit: the markers of its absent keys may change between a look and
/// the next attempt.
const CONFLICTS: usize = 4;
/// The most batches that one store sends at a time. A stream accepts 50 from all its clients
/// together.
pub(super) const BATCHES: usize = 8;
/// Longest pause before a batch is sent again after the server had too many of them. A random part
/// of it is taken, so that clients that collided don't retry together.
const PAUSE: Backoff = Backoff::constant(Duration::from_millis(200));
/// Concurrent reads when a conflict has to be explained.
const READS: usize = 32;

/// One write as it is sent.
pub(super) struct Attempt<'a> {
    pub(super) id: String,
    pub(super) ops: &'a [Op],
    /// The sequence that each key's last message must have; `None` when any will do.
    pub(super) expected: &'a [Option<u64>],
    ttl: Option<u64>,
}

/// The server's response to a write.
enum Answer {
    Done(Revision),
    /// A key is not as expected.
    Conflict,
    /// There were too many batches at one time, or a member was lost. Nothing was written.
    Busy,
    /// Nothing was written.
    Refused(StoreError),
    /// No response arrived.
    Lost,
}

impl Inner {
    pub(super) async fn commit(
        &self,
        ops: &[Op],
        ttl: Option<u64>,
    ) -> Result<Revision, CommitError> {
        let begun = Instant::now();
        let deadline = begun + self.timeout;
        // The rest of the time is for reading back after a lost response.
        let answer_by = begun + self.timeout * 3 / 5;
        let _permit = self.batch_permit(ops, answer_by).await?;
        let mut expected: Vec<_> = ops.iter().map(|op| first_guess(op.expect)).collect();
        let mut conflicts = 0;
        while Instant::now() < answer_by && conflicts < CONFLICTS {
            let inbox = self.client().new_inbox();
            let attempt = Attempt {
                id: inbox.rsplit('.').next().unwrap_or_default().to_owned(),
                ops,
                expected: &expected,
                ttl,
            };
            match self.attempt(&attempt, inbox, answer_by).await {
                Answer::Done(revision) => return Ok(revision),
                Answer::Refused(error) => return Err(error.into()),
                Answer::Lost => return self.settle(&attempt, deadline).await,
                Answer::Busy => {
                    tokio::time::sleep(PAUSE.with_full_jitter(1, entropy::share())).await;
                }
                Answer::Conflict => {
                    conflicts += 1;
                    let explained = tokio::time::timeout_at(deadline, self.explain(ops)).await;
                    expected = explained.map_err(|_| too_late())??;
                }
            }
        }
        Err(StoreError::Unavailable("it was too busy; nothing was written".into()).into())
    }

    /// Waits for a permit to send a batch. A single message needs none.
    async fn batch_permit(
        &self,
        ops: &[Op],
        answer_by: Instant,
    ) -> Result<Option<SemaphorePermit<'_>>, StoreError> {
        if ops.len() == 1 {
            return Ok(None);
        }
        match tokio::time::timeout_at(answer_by, self.batches.acquire()).await {
            Ok(permit) => permit.map(Some).map_err(|_| StoreError::Closed),
            Err(_) => Err(too_late()),
        }
    }

    /// Sends one write and waits for the response.
    async fn attempt(&self, attempt: &Attempt<'_>, inbox: String, answer_by: Instant) -> Answer {
        let connects = self.connection.connects();
        let mut complaints = self.connection.server_errors();
        if let Err(error) = self.connected() {
            return Answer::Refused(error);
        }
        match tokio::time::timeout_at(answer_by, self.send_members(attempt)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Answer::Refused(error),
            Err(_) => return Answer::Refused(too_late()),
        }
        let (subject, headers, value) = self.member(attempt, attempt.ops.len() - 1);
        let request = Request::new()
            .headers(headers)
            .payload(value)
            .inbox(inbox)
            .timeout(None);
        tokio::select! {
            answer = self.client().send_request(subject, request) => match answer {
                Ok(message) => read_answer(&message.payload, &self.bucket.name),
                Err(error) => no_answer(error),
            },
            complaint = self.complaint(attempt.ops, &mut complaints) => {
                Answer::Refused(StoreError::Forbidden(format!(
                    "{complaint}; allow this user to publish there"
                )))
            }
            _ = self.connection.lost(connects) => Answer::Lost,
            () = tokio::time::sleep_until(answer_by) => Answer::Lost,
        }
    }

    /// Waits for the server's complaint about one of the keys, that the user may not publish there.
    /// Nothing is written then.
    async fn complaint(&self, ops: &[Op], complaints: &mut Receiver<Arc<str>>) -> Arc<str> {
        let is_ours = |complaint: &str| {
            ops.iter().any(|op| {
                let subject = self.bucket.publish_subject(op.key.as_str());
                complaint.contains(&format!("\"{subject}\""))
            })
        };
        loop {
            match complaints.recv().await {
                Ok(complaint) if is_ours(&complaint) => return complaint,
                Err(RecvError::Closed) => std::future::pending().await,
                _ => {}
            }
        }
    }

    /// Sends every member but the last.
    async fn send_members(&self, attempt: &Attempt<'_>) -> Result<(), StoreError> {
        for at in 0..attempt.ops.len() - 1 {
            let (subject, headers, value) = self.member(attempt, at);
            self.client()
                .publish_with_headers(subject, headers, value)
                .await
                .map_err(unavailable)?;
        }
        Ok(())
    }

    fn member(&self, attempt: &Attempt<'_>, at: usize) -> (String, HeaderMap, Bytes) {
        let op = &attempt.ops[at];
        let mut headers = HeaderMap::new();
        if attempt.ops.len() == 1 {
            headers.insert(message::WRITE_ID, attempt.id.as_str());
        } else {
            headers.insert(message::BATCH_ID, attempt.id.as_str());
            headers.insert(message::BATCH_SEQUENCE, (at + 1).to_string());
            if at + 1 == attempt.ops.len() {
                headers.insert(message::BATCH_COMMIT, "1");
            }
        }
        if let Some(sequence) = attempt.expected[at] {
            headers.insert(message::EXPECTED, sequence.to_string());
        }
        let ttl = op.ttl.map(|ttl| ttl.as_secs()).or(attempt.ttl);
        match (&op.value, ttl) {
            (None, _) => message::make_marker(&mut headers, MARKER_TTL.as_secs()),
            (Some(_), Some(ttl)) => headers.insert(message::TTL, ttl.to_string()),
            (Some(_), None) => {}
        }
        let subject = self.bucket.publish_subject(op.key.as_str());
        (subject, headers, op.value.clone().unwrap_or_default())
    }

    /// Explains a conflict. Fails with the first key that is not as its operation expects, or
    /// returns what to expect of each key in the next round.
    async fn explain(&self, ops: &[Op]) -> Result<Vec<Option<u64>>, CommitError> {
        let looks: Vec<_> = ops.iter().map(|op| self.look(op)).collect();
        futures_util::stream::iter(looks)
            .buffered(READS)
            .try_collect()
            .await
    }

    async fn look(&self, op: &Op) -> Result<Option<u64>, CommitError> {
        if op.expect == Expect::Any {
            return Ok(None);
        }
        let last = self.last_message(&op.key).await?;
        let sequence = last.as_ref().map_or(0, |message| message.sequence);
        let holds = match op.expect {
            Expect::At(revision) => last.is_some() && sequence == revision.0,
            _ => last.is_none_or(|message| message::is_marker(&message.headers)),
        };
        if holds {
            return Ok(Some(sequence));
        }
        Err(CommitError::Conflict {
            key: op.key.clone(),
        })
    }
}

fn first_guess(expect: Expect) -> Option<u64> {
    match expect {
        Expect::Any => None,
        Expect::Absent => Some(0),
        Expect::At(revision) => Some(revision.0),
    }
}

fn no_answer(error: RequestError) -> Answer {
    match error.kind() {
        RequestErrorKind::NoResponders => Answer::Refused(StoreError::Unavailable(
            "no stream accepts its writes: the bucket was deleted, or has no leader now".into(),
        )),
        RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
            Answer::Refused(unavailable(error))
        }
        _ => Answer::Lost,
    }
}

fn read_answer(payload: &[u8], stream: &str) -> Answer {
    let error = match serde_json::from_slice::<Response<PublishAck>>(payload) {
        Ok(Response::Ok(ack)) => return Answer::Done(Revision(ack.sequence)),
        Ok(Response::Err { error }) => error,
        // An error of any other form doesn't show that nothing was written.
        Err(_) => return Answer::Lost,
    };
    match error.error_code() {
        ErrorCode::STREAM_WRONG_LAST_SEQUENCE | ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT => {
            Answer::Conflict
        }
        ErrorCode::ATOMIC_PUBLISH_TOO_MANY_INFLIGHT
        | ErrorCode::ATOMIC_PUBLISH_INCOMPLETE_BATCH => Answer::Busy,
        ErrorCode::ATOMIC_PUBLISH_DISABLED => Answer::Refused(StoreError::Unsupported(
            "the bucket no longer has `allow_atomic`; set it again".into(),
        )),
        _ => Answer::Refused(match refusal::store_error(&error, stream) {
            StoreError::Unavailable(reason) => {
                StoreError::Unavailable(format!("{reason}; nothing was written"))
            }
            limit => limit,
        }),
    }
}

fn too_late() -> StoreError {
    StoreError::Unavailable("no response in time; nothing was written".into())
}
