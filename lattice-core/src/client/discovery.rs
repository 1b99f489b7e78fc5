//! Asking the lattice who serves a component, for callers that have not heard a beat of anyone who does.
//!
//! One question per component is under way at a time, however many callers wait for its answer.

use crate::node::Inner;
use crate::{
    call::{CallError, Ran},
    name::ComponentId,
    types::{ComponentTypes, Digest},
    wire::{Discover, Discovered, Origin},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout, timeout_at},
};

/// Stands for the peer in the reply subject of a question, which has none.
pub(crate) const QUESTION: u64 = 0;
/// How long a question waits for an answer.
const ASK: Duration = Duration::from_secs(1);
/// Questions that may wait at once.
const MAX_QUESTIONS: usize = 4_096;

/// What became of a question.
#[derive(Debug, Clone)]
enum Answer {
    /// Nobody, when empty.
    Hosts(Vec<Origin>),
    /// It could not be asked.
    NotAsked,
}

/// Questions that wait for their answer.
#[derive(Debug, Default)]
pub(crate) struct Questions(Mutex<HashMap<ComponentId, Question>>);

#[derive(Debug)]
struct Question {
    id: u64,
    asked: Arc<Asked>,
}

/// A question as those see it who wait for its answer. They go on in the order in which they came.
#[derive(Debug, Default)]
struct Asked {
    answer: OnceLock<Answer>,
    answered: Notify,
}

impl Asked {
    async fn answer(&self) -> &Answer {
        loop {
            // Before the look: what is answered from here on ends the wait below.
            let answered = self.answered.notified();
            if let Some(answer) = self.answer.get() {
                return answer;
            }
            answered.await;
        }
    }
}

impl Questions {
    fn lock(&self) -> MutexGuard<'_, HashMap<ComponentId, Question>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, component: &ComponentId, id: u64, answer: Answer) {
        let mut questions = self.lock();
        if questions
            .get(component)
            .is_some_and(|question| question.id == id)
            && let Some(question) = questions.remove(component)
        {
            question.asked.answer.get_or_init(|| answer);
            question.asked.answered.notify_waiters();
        }
    }

    /// The bus says that question `id` reached nobody.
    pub(crate) fn nobody(&self, id: u64) {
        let component = self
            .lock()
            .iter()
            .find(|(_, question)| question.id == id)
            .map(|(component, _)| component.clone());
        if let Some(component) = component {
            self.answer(&component, id, Answer::Hosts(Vec::new()));
        }
    }
}

impl Inner {
    /// Asks the lattice who serves `component`. Nobody does when the answer is empty.
    pub(crate) async fn discover(
        self: &Arc<Self>,
        component: &ComponentId,
        deadline: Instant,
    ) -> Result<Vec<Origin>, CallError> {
        let asked = self.question(component)?;
        match timeout_at(deadline, asked.answer()).await {
            Ok(Answer::Hosts(hosts)) => Ok(hosts.clone()),
            Ok(Answer::NotAsked) => Err(CallError::Disconnected { ran: Ran::No }),
            Err(_) => Err(CallError::DeadlineExceeded { ran: Ran::No }),
        }
    }

    /// The question about `component` that is under way, or a new one.
    fn question(self: &Arc<Self>, component: &ComponentId) -> Result<Arc<Asked>, CallError> {
        let mut questions = self.questions.lock();
        if let Some(question) = questions.get(component) {
            return Ok(question.asked.clone());
        }
        if questions.len() >= MAX_QUESTIONS {
            return Err(CallError::Overloaded {
                component: component.clone(),
            });
        }
        let id = self.next_sequence();
        let asked = Arc::<Asked>::default();
        let question = Question {
            id,
            asked: asked.clone(),
        };
        questions.insert(component.clone(), question);
        drop(questions);
        // Not in the asker's own future, which may be dropped while others wait for the same answer.
        let (node, component, end) = (self.clone(), component.clone(), self.end.clone());
        self.tasks
            .spawn(async move { end.run_until_cancelled(node.ask(component, id)).await });
        Ok(asked)
    }

    async fn ask(self: Arc<Self>, component: ComponentId, id: u64) {
        let subjects = &self.connection.subjects;
        let reply = subjects.reply(&self.origin.host, self.origin.epoch, QUESTION, id);
        let asked = match self.lone_frame(
            None,
            &Discover {
                id,
                component: component.clone(),
            },
        ) {
            Ok(frame) => self
                .connection
                .bus
                .publish(subjects.serves(&component), Some(reply), frame)
                .await
                .is_ok(),
            Err(_) => false,
        };
        if !asked {
            return self.questions.answer(&component, id, Answer::NotAsked);
        }
        let waiting = self
            .questions
            .lock()
            .get(&component)
            .map(|question| question.asked.clone());
        if let Some(asked) = waiting
            && timeout(ASK, asked.answer()).await.is_err()
        {
            self.questions
                .answer(&component, id, Answer::Hosts(Vec::new()));
        }
    }

    /// An answer arrived.
    pub(crate) fn discovered(&self, found: Discovered) {
        self.connection
            .presence
            .found(&found.component, &found.hosts);
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
        // What runs in this program is known before a beat has told of it, and without the store.
        let beside = || Some(self.beside.served(component, |_, _| true)?.1);
        if let Some(served) = self.served(component).or_else(beside) {
            return Ok(served.types.clone());
        }
        let known = self.connection.presence.peers().digest(component);
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
        let found = self.connection.presence.peers().digest(component);
        found.ok_or_else(|| CallError::NotServed {
            component: component.clone(),
        })
    }
}
