//! Messages that are kept because they can't be set aside for now.

use crate::{outgoing::Problem, problems::Topic};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The messages of a link that are kept. While there are any, they are a problem of the link, apart
/// from those of deliveries.
#[derive(Debug)]
pub(super) struct Kept {
    problem: Problem,
    /// How many there are. Held while the problem changes, so that it is always that of the number.
    messages: Mutex<usize>,
}

/// A message that is being set aside. When it is dropped, it isn't kept any more.
#[derive(Debug)]
pub(super) struct KeptMessage<'a> {
    all: &'a Kept,
    is_counted: bool,
}

impl Kept {
    /// Creates it for the link that has this problem.
    pub(super) fn of(problem: &Problem) -> Self {
        Self {
            problem: problem.about(Topic::Aside),
            messages: Mutex::default(),
        }
    }

    /// Begins to set a message aside. It is kept once that has failed.
    pub(super) fn message(&self) -> KeptMessage<'_> {
        KeptMessage {
            all: self,
            is_counted: false,
        }
    }

    fn messages(&self) -> MutexGuard<'_, usize> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeptMessage<'_> {
    /// Notes why the message can't be set aside.
    pub(super) fn failed(&mut self, reason: String) {
        let mut messages = self.all.messages();
        if !self.is_counted {
            self.is_counted = true;
            *messages += 1;
        }
        self.all.problem.set(reason);
    }
}

impl Drop for KeptMessage<'_> {
    fn drop(&mut self) {
        if !self.is_counted {
            return;
        }
        let mut messages = self.all.messages();
        *messages -= 1;
        if *messages == 0 {
            self.all.problem.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{messaging::HANDLER, problems::Problems};
    use lattice_provider_sdk::Link;
    use tokio_util::sync::CancellationToken;

    #[test]
    fn the_problem_lasts_until_no_message_is_kept() {
        let (problems, ending) = (Problems::default(), CancellationToken::new());
        let link = Link::new("messaging", HANDLER, "actor").expect("valid");
        let work = Problem::new(link.key(), &problems, &ending);
        let kept = Kept::of(&work);
        let (mut one, mut two) = (kept.message(), kept.message());
        for _ in 0..2 {
            one.failed("it can't be set aside".to_owned());
            two.failed("it can't be set aside".to_owned());
        }
        drop(kept.message());
        work.clear();
        problems.health().expect_err("two are kept");
        drop(one);
        problems.health().expect_err("one is still kept");
        work.set("no host");
        drop(two);
        let refusal = problems.health().expect_err("the other problem");
        assert!(refusal.reason().ends_with(": no host"), "{refusal}");
        work.clear();
        problems.health().expect("none is kept");
    }
}
