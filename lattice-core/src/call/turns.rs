//! Turns limit how many calls of one kind run at once, and refuse chains of calls that would
//! deadlock.
//!
//! A call holds its turn until it has ended, and so do the calls that it is nested in. If a nested
//! call waits for a turn, each turn of the same kind above it in its chain ends only after it. When
//! all turns are held by such chains, none of them can become free. The call that would complete
//! this cycle is refused at once, and the others continue. A cycle may lead over several kinds of
//! turns, such as those of a component and those of its pool of instances; see [`waits`].
//!
//! [A table](nested) has, for each nested turn, the one that it is nested in. Messages to other
//! hosts carry [marks](marks) of it, so that a chain that comes back from them is continued, and
//! one that holds all turns here is refused. Several chains that wait for each other are detected
//! only where all of them wait in one process. If they wait on different hosts, they end at their
//! deadlines.

mod free;
mod marks;
mod nested;
mod waits;

pub(crate) use marks::ReceivedChain;
pub(super) use nested::Innermost;

use super::{CallError, Context};
use crate::name::ComponentId;
use free::{FreeTurns, Taken};
use nested::Nesting;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use waits::{Need, Waiting};

/// Numbers each `Turns` of this process.
static KINDS: AtomicU32 = AtomicU32::new(0);

/// Identifies a turn in this process: the number of its `Turns`, and its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct TurnId(u64);

impl TurnId {
    /// The id of no turn.
    const NONE: Self = Self(0);

    fn new(kind: u32, number: u32) -> Self {
        Self(u64::from(kind) << 32 | u64::from(number))
    }

    /// The turn of the same kind that was taken so many earlier.
    fn earlier(self, by: u32) -> Self {
        Self::new(self.kind(), self.number().wrapping_sub(by))
    }

    fn kind(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn number(self) -> u32 {
        self.0 as u32
    }
}

/// The turns of one kind: those of a component, or of a pool of instances.
#[derive(Debug)]
pub struct Turns {
    kind: u32,
    taken: AtomicU32,
    free: Arc<FreeTurns>,
    most: usize,
}

/// One turn, or several that were taken together. Dropping it gives them to the next calls.
#[derive(Debug)]
pub struct Turn {
    nesting: Nesting,
    _taken: Taken,
}

impl Turn {
    /// Makes this the turn of the call with this context. The call that had it has ended, and has
    /// left what it needed the turn for.
    pub fn pass_to(&mut self, context: &mut Context) {
        self.end_waits();
        self.enter(context);
    }

    /// Adds the turns to the chain of calls.
    fn enter(&mut self, context: &mut Context) {
        self.nesting.enter(context.turn);
        context.turn = self.nesting.innermost();
    }

    /// Forgets the waits of the call that has ended.
    fn end_waits(&self) {
        waits::have_ended(self.nesting.turns());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.end_waits();
        self.nesting.leave();
    }
}

impl Turns {
    /// Creates `most` turns.
    pub fn new(most: usize) -> Self {
        let most = most.min(FreeTurns::MOST);
        Self {
            kind: KINDS.fetch_add(1, Ordering::Relaxed).wrapping_add(1),
            taken: AtomicU32::new(0),
            free: FreeTurns::new(most),
            most,
        }
    }

    /// Returns how many turns are taken now.
    pub fn held(&self) -> usize {
        self.most.saturating_sub(self.free.count())
    }

    /// Takes a turn for the call with this context, if one is free now.
    pub fn try_take(&self, context: &mut Context) -> Option<Turn> {
        self.try_take_many(1, context)
    }

    /// Takes `count` turns for the call with this context, if they are free now. A larger `count`
    /// than there are turns means all of them.
    pub fn try_take_many(&self, count: u32, context: &mut Context) -> Option<Turn> {
        let count = self.count(count);
        let taken = self.free.try_take(count as usize)?;
        Some(self.taken_by(context, taken, count))
    }

    /// Returns how many turns a call gets that needs so many.
    fn count(&self, count: u32) -> u32 {
        let most = u32::try_from(self.most).unwrap_or(u32::MAX);
        count.min(most).max(1)
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
        self.take_many(1, component, context).await
    }

    /// Waits for `count` turns of `component` at once, in order with the other calls that wait. A
    /// call that doesn't have to wait may overtake them, but only a few do. A larger `count` than
    /// there are turns means all of them.
    ///
    /// # Errors
    /// Fails as [`take`](Self::take).
    ///
    /// # Cancel safety
    /// Dropping the future takes no turn.
    pub async fn take_many(
        &self,
        count: u32,
        component: &ComponentId,
        context: &mut Context,
    ) -> Result<Turn, CallError> {
        if let Some(turn) = self.try_take_many(count, context) {
            return Ok(turn);
        }
        let count = self.count(count);
        let _waiting = self.wait(component, context.turn, count as usize)?;
        let taken = self.free.take(count as usize).await;
        Ok(self.taken_by(context, taken, count))
    }

    fn taken_by(&self, context: &mut Context, taken: Taken, count: u32) -> Turn {
        let first = self.taken.fetch_add(count, Ordering::Relaxed);
        let last = TurnId::new(self.kind, first.wrapping_add(count).wrapping_sub(1));
        let mut turn = Turn {
            nesting: Nesting::new(last, count),
            _taken: taken,
        };
        turn.enter(context);
        turn
    }

    /// Records that a call nested in `outer` waits for `count` turns, until the guard is dropped.
    fn wait(
        &self,
        component: &ComponentId,
        outer: Innermost,
        count: usize,
    ) -> Result<Waiting, CallError> {
        let chain = outer.chain();
        let own = chain.iter().filter(|turn| turn.kind() == self.kind);
        if own.count() + count > self.most {
            return Err(CallError::TooManyHops {
                limit: u8::try_from(self.most).unwrap_or(u8::MAX),
            });
        }
        let need = Need {
            kind: self.kind,
            count,
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
        assert!(
            (&mut waits).now_or_never().is_none(),
            "a call of another chain waits"
        );
        drop(held);
        assert!(
            (&mut waits).now_or_never().is_some(),
            "and then takes a turn"
        );
    }

    #[test]
    fn the_last_of_several_chains_that_wait_for_each_other_is_refused() {
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
    fn concurrent_nested_calls_of_one_chain_are_not_a_cycle() {
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
        let waits = calls.take(&component, &mut two).now_or_never();
        assert!(
            waits.is_none_or(|taken| taken.is_ok()),
            "it waits for no task but the one that gets the turn and gives it back"
        );
    }

    #[test]
    fn a_turn_that_has_ended_leaves_nothing_behind() {
        let turns = Turns::new(1);
        let mut context = Context::default();
        let outer = Turns::new(1);
        let outer = outer.try_take(&mut context).expect("a free turn");
        let turn = turns.try_take(&mut context).expect("a free turn");
        let innermost = turn.nesting.innermost();
        let ids = [innermost, outer.nesting.innermost()].map(|id| id.turn);
        assert_eq!(innermost.chain(), ids);
        drop(turn);
        assert_eq!(innermost.chain(), ids[..1]);
    }

    #[test]
    fn turns_that_are_taken_together_count_each() {
        let (component, turns) = (component(), Turns::new(4));
        let mut context = Context::default();
        let three = turns.try_take_many(3, &mut context).expect("free turns");
        let ids: Vec<TurnId> = three.nesting.turns().collect();
        assert_eq!(ids.len(), 3);
        assert_eq!(context.turn.chain(), ids);
        let mut other = Context::default();
        assert!(turns.try_take_many(2, &mut other).is_none(), "one is left");
        let mut nested = context;
        let refused = turns.take_many(2, &component, &mut nested).now_or_never();
        let refused = refused.expect("it does not wait").err();
        assert_eq!(refused, Some(CallError::TooManyHops { limit: 4 }));
        let mut waits = Box::pin(turns.take_many(2, &component, &mut other));
        assert!((&mut waits).now_or_never().is_none());
        drop(three);
        assert!((&mut waits).now_or_never().is_some());
        assert_eq!(context.turn.chain(), ids[..1], "nothing is left behind");
        let mut all = Context::default();
        drop(waits);
        let all = turns
            .try_take_many(9, &mut all)
            .expect("all that there are");
        assert_eq!(all.nesting.turns().count(), 4);
    }

    #[test]
    fn a_turn_that_passes_to_another_call_is_in_its_chain() {
        let (turns, outer) = (Turns::new(2), Turns::new(2));
        let (mut first, mut second) = (Context::default(), Context::default());
        let _one = outer.try_take(&mut first).expect("a free turn");
        let two = outer.try_take(&mut second).expect("a free turn");
        let mut turn = turns.try_take(&mut first).expect("a free turn");
        turn.pass_to(&mut second);
        let id = turn.nesting.innermost().turn;
        assert_eq!(second.turn.chain(), [id, two.nesting.innermost().turn]);
        let mut third = Context::new(std::time::Duration::from_secs(1));
        turn.pass_to(&mut third);
        assert_eq!(third.turn.chain(), [id]);
    }
}
