//! The bounded queue of one component: which calls are in it, and which of them may run.

use super::{component::RunningComponent, limits::ServeLimits};
use crate::{
    call::{CallError, Context, Turn, Turns},
    name::ComponentId,
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::Notify;

/// Calls that were admitted and have not ended: some run, the others wait for their turn.
#[derive(Debug)]
pub(super) struct CallQueue {
    turns: Turns,
    admitted: AtomicUsize,
    most: usize,
    /// The last of the calls has ended.
    idle: Notify,
}

/// A call's place in the queue. Dropping it frees the place.
pub(crate) struct QueueSlot(Arc<RunningComponent>);

impl Drop for QueueSlot {
    fn drop(&mut self) {
        let queue = self.0.queue();
        if queue.admitted.fetch_sub(1, Ordering::SeqCst) == 1 {
            queue.idle.notify_waiters();
        }
    }
}

impl CallQueue {
    pub(super) fn new(limits: &ServeLimits) -> Self {
        let concurrent = limits.concurrent.get();
        Self {
            turns: Turns::new(concurrent),
            admitted: AtomicUsize::new(0),
            most: concurrent.saturating_add(limits.queued),
            idle: Notify::new(),
        }
    }

    /// Takes a place in the queue of `component`. The flag is false if the queue was full.
    pub(super) fn enter(component: &Arc<RunningComponent>) -> (QueueSlot, bool) {
        let queue = component.queue();
        let before = queue.admitted.fetch_add(1, Ordering::SeqCst);
        (QueueSlot(component.clone()), before < queue.most)
    }

    /// Returns a turn, if one is free now.
    pub(super) fn try_turn(&self, context: &mut Context) -> Option<Turn> {
        self.turns.try_take(context)
    }

    /// Waits for a turn in the queue of `component`. Fails if it would wait for itself.
    pub(super) async fn turn(
        &self,
        component: &ComponentId,
        context: &mut Context,
    ) -> Result<Turn, CallError> {
        self.turns.take(component, context).await
    }

    /// Calls admitted and not yet ended.
    pub(super) fn len(&self) -> usize {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Waits until the queue is empty.
    pub(super) async fn idle(&self) {
        loop {
            let mut idle = std::pin::pin!(self.idle.notified());
            // From here on it is notified of the last call's end.
            idle.as_mut().enable();
            if self.len() == 0 {
                return;
            }
            idle.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::ComponentId,
        serve::{Answer, Request, Service},
        types::ComponentTypes,
    };
    use futures_util::FutureExt as _;
    use std::num::NonZeroUsize;

    struct Nothing;

    impl Service for Nothing {
        fn types(&self) -> Arc<ComponentTypes> {
            Arc::default()
        }

        fn call(&self, _: Request) -> Answer {
            unreachable!("no function is exported")
        }
    }

    #[tokio::test]
    async fn a_queue_has_the_configured_capacity_and_is_idle_when_empty() {
        let limits = ServeLimits::default()
            .concurrent(NonZeroUsize::MIN)
            .queued(1);
        let id = ComponentId::new("nothing").expect("valid");
        let component = RunningComponent::new(id, Arc::new(Nothing), limits, None);
        let component = Arc::new(component);
        let queue = component.queue();
        let (first, has_room) = CallQueue::enter(&component);
        assert!(has_room);
        let (second, has_room) = CallQueue::enter(&component);
        assert!(has_room);
        assert!(!CallQueue::enter(&component).1, "both places are taken");
        let mut context = Context::default();
        let turn = queue.try_turn(&mut context);
        assert!(turn.is_some() && queue.try_turn(&mut context).is_none());
        let mut idle = Box::pin(queue.idle());
        drop(first);
        assert_eq!((&mut idle).now_or_never(), None);
        drop(second);
        assert_eq!((&mut idle).now_or_never(), Some(()));
        assert_eq!(queue.len(), 0);
    }
}
