//! Discovery: finds the hosts that serve a component with a request to all hosts, when no beat has
//! named any.
//!
//! One request per component is in flight at a time, however many callers wait for its result. If
//! the bus reports that the request had no receivers, that is only a hint, because any client of
//! the bus can send such a report. Discovery then waits a moment longer for a response.

use super::Client;
use crate::{
    call::{CallError, Ran},
    entropy,
    name::ComponentId,
    sync::Mutex,
    transport::id::ReplyAddress,
    types::{ComponentTypes, Digest},
    wire::{Discover, Discovered, Origin},
};
use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard, OnceLock},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout, timeout_at},
};

/// How long a request waits for a response.
const ASK: Duration = Duration::from_secs(1);
/// How long a request still waits after a hint that it had no receivers.
const DOUBT: Duration = Duration::from_millis(50);
/// The most requests in flight at once.
const MAX_QUESTIONS: usize = 4_096;

/// The result of a request.
#[derive(Debug, Clone)]
enum Answer {
    /// These hosts serve it; none, if empty.
    Hosts(Vec<Origin>),
    /// It could not be sent.
    NotSent,
}

/// Requests that wait for their response.
#[derive(Debug, Default)]
pub(super) struct Questions(Mutex<HashMap<ComponentId, Question>>);

#[derive(Debug)]
struct Question {
    id: u64,
    answer: Arc<PendingAnswer>,
}

/// A result that has not arrived yet. Waiting callers continue in their order of arrival.
#[derive(Debug, Default)]
struct PendingAnswer {
    answer: OnceLock<Answer>,
    answered: Notify,
    doubted: Notify,
}

impl PendingAnswer {
    async fn get(&self) -> &Answer {
        loop {
            // Created before the check, so that a result that arrives after the check ends the wait
            // below.
            let answered = self.answered.notified();
            if let Some(answer) = self.answer.get() {
                return answer;
            }
            answered.await;
        }
    }

    /// Waits until the result has arrived, or until no response is expected any more.
    async fn settled(&self) {
        let doubt = async {
            self.doubted.notified().await;
            sleep(DOUBT).await;
        };
        tokio::select! {
            biased;
            _ = self.get() => {}
            () = doubt => {}
            () = sleep(ASK) => {}
        }
    }
}

impl Questions {
    fn lock(&self) -> MutexGuard<'_, HashMap<ComponentId, Question>> {
        self.0.lock()
    }

    fn answer(&self, component: &ComponentId, id: u64, answer: Answer) {
        let mut questions = self.lock();
        if questions
            .get(component)
            .is_some_and(|question| question.id == id)
            && let Some(question) = questions.remove(component)
        {
            question.answer.answer.get_or_init(|| answer);
            question.answer.answered.notify_waiters();
        }
    }

    /// Handles a hint that request `id` had no receivers.
    pub(super) fn doubt(&self, id: u64) {
        let questions = self.lock();
        if let Some(question) = questions.values().find(|question| question.id == id) {
            question.answer.doubted.notify_one();
        }
    }
}

impl Client {
    /// Returns the hosts that serve `component`. The list is empty if none do.
    pub(super) async fn discover(
        self: &Arc<Self>,
        component: &ComponentId,
        deadline: Instant,
    ) -> Result<Vec<Origin>, CallError> {
        let answer = self.question(component)?;
        match timeout_at(deadline, answer.get()).await {
            Ok(Answer::Hosts(hosts)) => Ok(hosts.clone()),
            Ok(Answer::NotSent) => Err(CallError::Disconnected { ran: Ran::No }),
            Err(_) => Err(CallError::DeadlineExceeded { ran: Ran::No }),
        }
    }

    /// Returns the pending result of the request for `component` that is in flight, or of a new
    /// one.
    fn question(
        self: &Arc<Self>,
        component: &ComponentId,
    ) -> Result<Arc<PendingAnswer>, CallError> {
        let mut questions = self.questions.lock();
        if let Some(question) = questions.get(component) {
            return Ok(question.answer.clone());
        }
        if questions.len() >= MAX_QUESTIONS {
            return Err(CallError::Overloaded {
                component: component.clone(),
            });
        }
        // Random, so that other clients of the bus can't guess it.
        let id = entropy::number().unwrap_or_else(|| self.transport.endpoint.next_sequence());
        let answer = Arc::<PendingAnswer>::default();
        let question = Question {
            id,
            answer: answer.clone(),
        };
        questions.insert(component.clone(), question);
        drop(questions);
        // This doesn't run in the caller's own future, which may be dropped while others wait for
        // the same result.
        let (client, component) = (self.clone(), component.clone());
        let asked = answer.clone();
        self.server
            .tasks
            .spawn(async move { client.ask(component, id, &asked).await });
        Ok(answer)
    }

    async fn ask(&self, component: ComponentId, id: u64, answer: &PendingAnswer) {
        let endpoint = &self.transport.endpoint;
        let (subjects, me) = (endpoint.subjects(), endpoint.origin());
        let reply = ReplyAddress::Question(id).subject(subjects, me);
        let question = Discover {
            id,
            component: component.clone(),
        };
        let subject = subjects.serves(&component);
        let sent = timeout(ASK, endpoint.send(subject, Some(reply), None, &question)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return self.questions.answer(&component, id, Answer::NotSent);
        }
        answer.settled().await;
        // This has no effect if a response has arrived.
        let none = Answer::Hosts(Vec::new());
        self.questions.answer(&component, id, none);
    }

    /// Handles a response.
    pub(super) fn found(&self, found: Discovered) {
        self.presence.found(&found.component, &found.hosts);
        let hosts = found.hosts.into_iter().map(|(origin, _)| origin).collect();
        self.questions
            .answer(&found.component, found.id, Answer::Hosts(hosts));
    }

    /// The types that `component` is served with now.
    pub(crate) async fn types_of(
        self: &Arc<Self>,
        component: &ComponentId,
        deadline: Instant,
    ) -> Result<Arc<ComponentTypes>, CallError> {
        // A component in this process is known before its first beat, and without the store.
        let here = self.server.component(component);
        let in_process = || Some(self.same_process.component(component, |_, _| true)?.1);
        if let Some(found) = here.or_else(in_process) {
            return Ok(found.exports.types.clone());
        }
        let known = self.presence.peers().digest(component);
        let digest = match known {
            Some(digest) => digest,
            None => self.discover_digest(component, deadline).await?,
        };
        let unavailable = |reason: String| CallError::StoreUnavailable { reason };
        match timeout_at(deadline, self.connection.types.by_digest(&digest)).await {
            Ok(Ok(Some(types))) => Ok(types),
            Ok(Ok(None)) => Err(unavailable(format!(
                "the types of `{component}` are not in the store"
            ))),
            Ok(Err(error)) => Err(unavailable(error.to_string())),
            Err(_) => Err(CallError::DeadlineExceeded { ran: Ran::No }),
        }
    }

    async fn discover_digest(
        self: &Arc<Self>,
        component: &ComponentId,
        deadline: Instant,
    ) -> Result<Digest, CallError> {
        self.discover(component, deadline).await?;
        let found = self.presence.peers().digest(component);
        found.ok_or_else(|| CallError::NotServed {
            component: component.clone(),
        })
    }
}
