//! Turns: how many calls of one kind run at once, so that no chain of calls waits for itself.
//!
//! A call holds its turn until it has ended, and so do the calls that it is nested in. If a nested
//! call waits for a turn, each turn of the same kind above it in its chain ends only after it. When
//! all turns are held like that, none will ever be free: the call that would complete the circle is
//! refused at once, and the others go on. A circle may lead over several kinds of turns, such as those
//! of a component and those of its pool of instances: see [`waits`].
//!
//! A chain is known within one process. The ids of turns form it: each nested turn remembers the one
//! that it is nested in.

mod waits;

use super::{CallError, Context};
use crate::{entropy::HashState, name::ComponentId, sync::Mutex};
use std::{
    collections::HashMap,
    iter::successors,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use waits::{Need, Waiting};

/// Parts of the table of nested turns, each with a lock of its own.
const SHARDS: usize = 16;
/// Longest chain that is followed. Each hop takes two turns at most.
const LONGEST: usize = 128;

/// For each nested turn of this process, the one that it is nested in.
static OUTER: LazyLock<[Mutex<HashMap<TurnId, TurnId, HashState>>; SHARDS]> =
    LazyLock::new(Default::default);
/// Numbers each `Turns` of this process.
static KINDS: AtomicU32 = AtomicU32::new(0);

/// Identifies a turn in this process: the number of its `Turns`, and its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TurnId(u64);

impl TurnId {
    /// No turn was taken yet.
    pub(super) const NONE: Self = Self(0);

    fn new(kind: u32, number: u32) -> Self {
        Self(u64::from(kind) << 32 | u64::from(number))
    }

    fn kind(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn shard(self) -> &'static Mutex<HashMap<Self, Self, HashState>> {
        &OUTER[self.0 as usize % SHARDS]
    }

    /// This turn, and those that it is nested in.
    fn chain(self) -> impl Iterator<Item = Self> {
        let first = (self != Self::NONE).then_some(self);
        let outer = |turn: &Self| turn.shard().lock().get(turn).copied();
        successors(first, outer).take(LONGEST)
    }
}

/// The turns of one kind: those of a component, or of a pool of instances.
#[derive(Debug)]
pub struct Turns {
    kind: u32,
    taken: AtomicU32,
    free: Arc<Semaphore>,
    most: usize,
}

/// One turn. Dropping it gives it to the next call.
#[derive(Debug)]
pub struct Turn {
    id: TurnId,
    is_nested: bool,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        waits::has_ended(self.id);
        if self.is_nested {
            self.id.shard().lock().remove(&self.id);
        }
    }
}

impl Turns {
    /// So many turns.
    pub fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self {
            kind: KINDS.fetch_add(1, Ordering::Relaxed).wrapping_add(1),
            taken: AtomicU32::new(0),
            free: Arc::new(Semaphore::new(most)),
            most,
        }
    }

    /// Takes a turn for the call with this context, if one is free now.
    pub fn try_take(&self, context: &mut Context) -> Option<Turn> {
        let permit = self.free.clone().try_acquire_owned().ok()?;
        Some(self.taken_by(context, permit))
    }

    /// Waits for a turn of `component` for the call with this context.
    ///
    /// # Errors
    /// Fails at once if no turn can become free before this call has ended: with
    /// [`CallError::TooManyHops`] if its own chain holds all of them, and with
    /// [`CallError::Overloaded`] if several chains hold them and wait for more.
    ///
    /// # Cancel safety
    /// Dropping the future takes no turn.
    pub async fn take(
        &self,
        component: &ComponentId,
        context: &mut Context,
    ) -> Result<Turn, CallError> {
        if let Some(turn) = self.try_take(context) {
            return Ok(turn);
        }
        let _waiting = self.wait(component, context.turn)?;
        match self.free.clone().acquire_owned().await {
            Ok(permit) => Ok(self.taken_by(context, permit)),
            Err(_) => Err(CallError::Stopping {
                component: component.clone(),
            }),
        }
    }

    fn taken_by(&self, context: &mut Context, permit: OwnedSemaphorePermit) -> Turn {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let id = TurnId::new(self.kind, number);
        let outer = std::mem::replace(&mut context.turn, id);
        let is_nested = outer != TurnId::NONE;
        if is_nested {
            id.shard().lock().insert(id, outer);
        }
        Turn {
            id,
            is_nested,
            _permit: permit,
        }
    }

    /// Records that a call nested in `outer` waits for a turn, until the guard is dropped.
    fn wait(&self, component: &ComponentId, outer: TurnId) -> Result<Waiting, CallError> {
        let chain: Vec<TurnId> = outer.chain().collect();
        let own = chain.iter().filter(|turn| turn.kind() == self.kind);
        if own.count() >= self.most {
            return Err(CallError::TooManyHops {
                limit: u8::try_from(self.most).unwrap_or(u8::MAX),
            });
        }
        let need = Need {
            kind: self.kind,
            count: 1,
            most: self.most,
        };
        Waiting::begin(need, chain).ok_or_else(|| CallError::Overloaded {
            component: component.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn component() -> ComponentId {
        ComponentId::new("c").expect("an id")
    }

    #[test]
    fn a_chain_that_holds_every_turn_is_refused_at_once() {
        let (component, turns, other) = (component(), Turns::new(3), Turns::new(9));
        let mut context = Context::default();
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(turns.try_take(&mut context).expect("a free turn"));
            held.push(other.try_take(&mut context).expect("a free turn"));
        }
        let refused = turns.take(&component, &mut context).now_or_never();
        let refused = refused.expect("it does not wait").err();
        assert_eq!(refused, Some(CallError::TooManyHops { limit: 3 }));
        let mut outside = Context::default();
        let mut waits = Box::pin(turns.take(&component, &mut outside));
        assert!((&mut waits).now_or_never().is_none(), "another one waits");
        drop(held);
        assert!((&mut waits).now_or_never().is_some(), "and is served");
    }

    #[test]
    fn of_several_chains_that_wait_for_each_other_the_last_one_is_refused() {
        let (component, turns) = (component(), Turns::new(2));
        let (mut one, mut two) = (Context::default(), Context::default());
        let first = turns.try_take(&mut one).expect("a free turn");
        let _second = turns.try_take(&mut two).expect("a free turn");
        let mut waits = Box::pin(turns.take(&component, &mut one));
        assert!((&mut waits).now_or_never().is_none());
        let refused = turns.take(&component, &mut two).now_or_never();
        let refused = refused.expect("it does not wait").err();
        assert_eq!(
            refused,
            Some(CallError::Overloaded {
                component: component.clone()
            })
        );
        drop(waits);
        let mut waits = Box::pin(turns.take(&component, &mut two));
        assert!((&mut waits).now_or_never().is_none(), "now it can wait");
        drop(first);
        assert!((&mut waits).now_or_never().is_some());
    }

    #[test]
    fn branches_of_a_call_that_share_their_chain_are_no_circle() {
        let (component, turns) = (component(), Turns::new(2));
        let mut root = Context::default();
        let _held = turns.try_take(&mut root).expect("a free turn");
        let mut branch = root;
        let running = turns.try_take(&mut branch).expect("a free turn");
        let (mut left, mut right) = (root, root);
        let mut left = Box::pin(turns.take(&component, &mut left));
        let mut right = Box::pin(turns.take(&component, &mut right));
        assert!((&mut left).now_or_never().is_none());
        assert!((&mut right).now_or_never().is_none());
        drop(running);
        assert!((&mut left).now_or_never().is_some());
    }

    #[test]
    fn a_circle_over_two_kinds_of_turns_is_refused_at_once() {
        let (component, calls, pool) = (component(), Turns::new(2), Turns::new(1));
        let (mut one, mut two) = (Context::default(), Context::default());
        let _first = calls.try_take(&mut one).expect("a free turn");
        let instance = pool.try_take(&mut one).expect("a free turn");
        let _second = calls.try_take(&mut two).expect("a free turn");
        let mut waits = Box::pin(pool.take(&component, &mut two));
        assert!((&mut waits).now_or_never().is_none(), "the first one runs");
        // It would wait for the second one, which waits for it.
        let refused = calls.take(&component, &mut one).now_or_never();
        let refused = refused.expect("it does not wait").err();
        assert_eq!(
            refused,
            Some(CallError::Overloaded {
                component: component.clone()
            })
        );
        drop(instance);
        assert!((&mut waits).now_or_never().is_some(), "the other goes on");
    }

    #[test]
    fn a_wait_for_a_call_that_runs_is_no_circle() {
        let (component, calls, pool) = (component(), Turns::new(2), Turns::new(2));
        let (mut one, mut two, mut other) =
            (Context::default(), Context::default(), Context::default());
        let _first = calls.try_take(&mut one).expect("a free turn");
        let _instance = pool.try_take(&mut one).expect("a free turn");
        let running = pool.try_take(&mut other).expect("a free turn");
        let _second = calls.try_take(&mut two).expect("a free turn");
        let mut second = Box::pin(pool.take(&component, &mut two));
        assert!((&mut second).now_or_never().is_none());
        let mut first = Box::pin(calls.take(&component, &mut one));
        assert!((&mut first).now_or_never().is_none(), "it is not refused");
        drop(running);
        assert!((&mut second).now_or_never().is_some());
    }

    #[test]
    fn a_turn_that_has_ended_is_part_of_no_circle() {
        let (component, calls) = (component(), Turns::new(2));
        let (mut one, mut two) = (Context::default(), Context::default());
        let ended = calls.try_take(&mut one).expect("a free turn");
        let _second = calls.try_take(&mut two).expect("a free turn");
        // A task that goes on after its call.
        let mut left = Box::pin(calls.take(&component, &mut one));
        assert!((&mut left).now_or_never().is_none());
        drop(ended);
        let mut waits = Box::pin(calls.take(&component, &mut two));
        let waited = (&mut waits).now_or_never();
        assert!(
            waited.is_none(),
            "the task gets the turn, and gives it back"
        );
    }

    #[test]
    fn a_turn_that_has_ended_leaves_nothing_behind() {
        let turns = Turns::new(1);
        let mut context = Context::default();
        let outer = Turns::new(1);
        let outer = outer.try_take(&mut context).expect("a free turn");
        let turn = turns.try_take(&mut context).expect("a free turn");
        let id = turn.id;
        assert_eq!(id.chain().collect::<Vec<_>>(), [id, outer.id]);
        drop(turn);
        assert_eq!(id.chain().collect::<Vec<_>>(), [id]);
    }
}
