//! The bounded queue of one component: which calls are in it, and which of them may run.

use super::{component::RunningComponent, limits::ServeLimits, waiting::WaitingCalls};
use crate::{
    budget::{Budget, Held, SMALL, Share},
    call::{CallError, Context, Part, Turn, Turns},
    name::ComponentId,
};
use bytes::Bytes;
use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;

/// Calls that were admitted and have not ended: some run, the others wait for their turn.
#[derive(Debug)]
pub(super) struct CallQueue {
    turns: Turns,
    admitted: AtomicUsize,
    most: usize,
    /// Bytes of arguments of those calls.
    arguments: AtomicUsize,
    most_arguments: usize,
    /// The budget of all calls of this process.
    budget: Budget,
    /// Arguments of calls from this process. Those of other calls are counted with their frames.
    here: Share,
    waiting: WaitingCalls,
    /// How many wait until the queue is empty. While there is none, no call that ends takes the
    /// lock in `idle`.
    drains: AtomicUsize,
    /// The last of the calls has ended.
    idle: Notify,
}

/// The arguments of a call that asks for a place.
pub(crate) struct Arguments {
    bytes: usize,
    origin: ArgumentsOrigin,
}

enum ArgumentsOrigin {
    Frame(Option<Arc<Held>>),
    Here,
}

impl Arguments {
    /// Those of a call in a frame whose bytes are held.
    pub(crate) fn framed(arguments: &Bytes, frame: Option<Arc<Held>>) -> Self {
        Self {
            bytes: arguments.len(),
            origin: ArgumentsOrigin::Frame(frame),
        }
    }

    /// Those that a session will carry, whose bytes are held.
    pub(crate) fn in_session(bytes: usize, held: Held) -> Self {
        Self {
            bytes,
            origin: ArgumentsOrigin::Frame(Some(Arc::new(held))),
        }
    }

    /// Those of a call of this process.
    pub(crate) fn of_this_process(arguments: &Bytes) -> Self {
        Self {
            bytes: arguments.len(),
            origin: ArgumentsOrigin::Here,
        }
    }
}

/// Whether there is room for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueueRoom {
    Free,
    Full,
    /// The arguments are larger than what all calls may have together.
    TooLarge {
        most: usize,
    },
}

impl QueueRoom {
    pub(super) fn error(self, component: &ComponentId) -> Option<CallError> {
        match self {
            Self::Free => None,
            Self::Full => Some(CallError::Overloaded {
                component: component.clone(),
            }),
            Self::TooLarge { most } => Some(CallError::TooLarge {
                what: Part::Arguments,
                limit: most as u64,
            }),
        }
    }
}

/// A call's place in the queue. Dropping it frees the place. A call within this process borrows its
/// component, because counting what refers to a component makes threads wait for each other.
pub(crate) struct QueueSlot<C = Arc<RunningComponent>>
where
    C: Deref<Target = RunningComponent>,
{
    component: C,
    arguments: usize,
    /// The memory of its frame, or of its arguments.
    _held: Option<Arc<Held>>,
}

impl<C: Deref<Target = RunningComponent>> QueueSlot<C> {
    /// The component that is called.
    pub(super) fn component(&self) -> &RunningComponent {
        &self.component
    }
}

impl<C: Deref<Target = RunningComponent>> Drop for QueueSlot<C> {
    fn drop(&mut self) {
        let queue = self.component.queue();
        queue.arguments.fetch_sub(self.arguments, Ordering::Relaxed);
        let is_last = queue.admitted.fetch_sub(1, Ordering::SeqCst) == 1;
        // Read after the count was written, while a drain does both in the other order: at least
        // one of the two sees the other.
        if is_last && queue.drains.load(Ordering::SeqCst) > 0 {
            queue.idle.notify_waiters();
        }
    }
}

impl CallQueue {
    pub(super) fn new(limits: &ServeLimits, budget: &Budget) -> Self {
        let concurrent = limits.concurrent.get();
        Self {
            turns: Turns::new(concurrent),
            admitted: AtomicUsize::new(0),
            most: concurrent.saturating_add(limits.queued),
            arguments: AtomicUsize::new(0),
            most_arguments: limits.arguments.as_usize(),
            budget: budget.clone(),
            here: Share::of(budget),
            waiting: WaitingCalls::new(),
            drains: AtomicUsize::new(0),
            idle: Notify::new(),
        }
    }

    /// Takes a place in the queue of `component`, and returns whether there was room for it.
    pub(super) fn enter<C: Deref<Target = RunningComponent>>(
        component: C,
        arguments: Arguments,
    ) -> (QueueSlot<C>, QueueRoom) {
        let (queue, bytes) = (component.queue(), arguments.bytes);
        let calls = queue.admitted.fetch_add(1, Ordering::SeqCst);
        let before = queue.arguments.fetch_add(bytes, Ordering::Relaxed);
        let mut room = if bytes > queue.most_arguments {
            QueueRoom::TooLarge {
                most: queue.most_arguments,
            }
        } else if calls < queue.most && queue.has_room(before, bytes) {
            QueueRoom::Free
        } else {
            QueueRoom::Full
        };
        let held = match arguments.origin {
            ArgumentsOrigin::Frame(held) => held,
            ArgumentsOrigin::Here if bytes <= SMALL || room != QueueRoom::Free => None,
            ArgumentsOrigin::Here => {
                let held = queue.here.hold_beside(0, bytes);
                if held.is_none() {
                    room = QueueRoom::Full;
                }
                held.map(Arc::new)
            }
        };
        let slot = QueueSlot {
            component,
            arguments: bytes,
            _held: held,
        };
        (slot, room)
    }

    /// Whether a call may have `bytes` of arguments while others have `before`. One call may,
    /// whatever other components hold.
    fn has_room(&self, before: usize, bytes: usize) -> bool {
        let after = before.saturating_add(bytes);
        let is_shared = || bytes <= SMALL || self.budget.allows(after);
        before == 0 || (after <= self.most_arguments && is_shared())
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

    /// Those of the calls that wait: for their turn, or for the service.
    pub(super) fn waiting(&self) -> &WaitingCalls {
        &self.waiting
    }

    /// Calls admitted and not yet ended.
    pub(super) fn len(&self) -> usize {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Calls that have their turn, and calls that wait for it.
    pub(super) fn running_and_waiting(&self) -> (usize, usize) {
        let (all, running) = (self.len(), self.turns.held());
        // The two are not read at the same time.
        (running.min(all), all.saturating_sub(running))
    }

    /// Bytes of the arguments of the calls in it.
    pub(super) fn argument_bytes(&self) -> usize {
        self.arguments.load(Ordering::Relaxed)
    }

    /// Waits until the queue is empty.
    pub(super) async fn idle(&self) {
        let _drain = Drain::begin(&self.drains);
        loop {
            let mut idle = std::pin::pin!(self.idle.notified());
            // From here on it is notified of the last call's end.
            idle.as_mut().enable();
            if self.admitted.load(Ordering::SeqCst) == 0 {
                return;
            }
            idle.await;
        }
    }
}

/// Counts one that waits until the queue is empty.
struct Drain<'q>(&'q AtomicUsize);

impl<'q> Drain<'q> {
    fn begin(drains: &'q AtomicUsize) -> Self {
        drains.fetch_add(1, Ordering::SeqCst);
        Self(drains)
    }
}

impl Drop for Drain<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::Auth,
        name::ComponentId,
        quantity::ByteSize,
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
        let shared = (&Budget::new(1_000), &Auth::trusting());
        let component = RunningComponent::new(id, Arc::new(Nothing), limits, None, shared);
        let component = Arc::new(component);
        let queue = component.queue();
        let enter = || CallQueue::enter(&*component, Arguments::framed(&Bytes::new(), None));
        let (first, room) = enter();
        assert_eq!(room, QueueRoom::Free);
        let (second, room) = enter();
        assert_eq!(room, QueueRoom::Free);
        assert_eq!(enter().1, QueueRoom::Full, "both places are taken");
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

    #[test]
    fn a_queue_is_bounded_by_the_bytes_of_arguments_and_by_the_budget_of_all() {
        let budget = Budget::new(300_000);
        let serve = |most| {
            let id = ComponentId::new("nothing").expect("valid");
            let limits = ServeLimits::default().arguments(ByteSize::bytes(most));
            Arc::new(RunningComponent::new(
                id,
                Arc::new(Nothing),
                limits,
                None,
                (&budget, &Auth::trusting()),
            ))
        };
        let (small, large) = (serve(25_000), serve(1_000_000));
        let enter = |component: &Arc<RunningComponent>, bytes: usize| {
            CallQueue::enter(
                component.clone(),
                Arguments::of_this_process(&vec![0; bytes].into()),
            )
        };
        let filled = |component: &Arc<RunningComponent>| -> Vec<QueueSlot> {
            let taken = std::iter::from_fn(|| match enter(component, 10_000) {
                (slot, QueueRoom::Free) => Some(slot),
                _ => None,
            });
            taken.collect()
        };
        let too_large = QueueRoom::TooLarge { most: 25_000 };
        assert_eq!(enter(&small, 30_000).1, too_large);
        let first = filled(&small);
        assert_eq!(first.len(), 2, "its own limit");
        let second = filled(&large);
        assert_eq!(second.len(), 14, "half of the budget");
        assert_eq!(budget.held(), 160_000);
        let third = enter(&serve(1_000_000), 5_000);
        assert_eq!(third.1, QueueRoom::Free, "a neighbour has room");
        let small_call = enter(&large, 100);
        assert_eq!(small_call.1, QueueRoom::Free, "a small call has room");
        drop((third, small_call));
        drop((first, second));
        assert_eq!(
            (
                budget.held(),
                small.queue().arguments.load(Ordering::Relaxed)
            ),
            (0, 0)
        );
    }
}
