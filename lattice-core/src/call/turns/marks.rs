//! Chains of calls that lead over other processes.
//!
//! A call to another process carries a [mark](ChainMark) of its chain: the innermost turn here. The
//! other process can't tell anything from it, and passes it on with the calls that it makes in
//! turn, beside a mark of its own. When the chain comes back, its turns here are those of the mark.
//! So each process knows which of its own turns a chain holds. What the chain holds elsewhere, it
//! doesn't know, and doesn't need to: a circle that holds all turns of a kind has come back to the
//! process that they belong to.

use super::{Innermost, TurnId, nested::Nesting};
use crate::{call::Context, wire::ChainMark};
use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// The number of this process in marks. Randomness of the simulator is not used up for it.
static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("process"));
/// Numbers the calls that came from other processes. No `Turns` have the kind 0.
static RECEIVED: AtomicU32 = AtomicU32::new(0);
/// Stands for a turn without an entry.
const NO_ENTRY: u32 = u32::MAX;

/// The chain of a call that came from another process. To be kept until the call has ended.
#[derive(Debug)]
pub(crate) struct ReceivedChain(Nesting);

impl ReceivedChain {
    /// Continues the chain with these marks in a call that runs here. Returns `None` if there are
    /// none.
    pub(crate) fn of(marks: &[ChainMark], context: &mut Context) -> Option<Self> {
        if marks.is_empty() {
            return None;
        }
        let received = Self(continued(*PROCESS, marks));
        context.turn = received.0.innermost();
        Some(received)
    }
}

impl Drop for ReceivedChain {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Context {
    /// Returns the marks for a call to another process: those of the processes that the chain has
    /// come through, and that of this one.
    pub(crate) fn marks(&self) -> Vec<ChainMark> {
        marks(*PROCESS, self.turn)
    }
}

fn continued(process: u64, marks: &[ChainMark]) -> Nesting {
    let mut own = marks.iter().filter(|mark| mark.process == process);
    let abroad = marks.iter().filter(|mark| mark.process != process);
    // The number 0 would be that of no turn.
    let number = RECEIVED
        .fetch_add(1, Ordering::Relaxed)
        .wrapping_add(1)
        .max(1);
    let id = TurnId::new(0, number);
    let outer = own.next_back().map_or(Innermost::NONE, innermost);
    Nesting::returning(id, outer, abroad.copied().collect())
}

/// The turn that a mark of this process is about.
fn innermost(mark: &ChainMark) -> Innermost {
    match TurnId(mark.turn) {
        TurnId::NONE => Innermost::NONE,
        turn => Innermost {
            turn,
            entry: (mark.entry != NO_ENTRY).then_some(mark.entry),
        },
    }
}

fn marks(process: u64, turn: Innermost) -> Vec<ChainMark> {
    if turn == Innermost::NONE {
        return Vec::new();
    }
    let abroad = turn.abroad();
    let mut marks = abroad.map_or_else(Vec::new, |abroad| abroad.to_vec());
    marks.push(ChainMark {
        process,
        turn: turn.turn.0,
        entry: turn.entry.unwrap_or(NO_ENTRY),
    });
    marks
}

#[cfg(test)]
mod tests {
    use super::{super::Turns, *};
    use crate::{call::CallError, name::ComponentId};
    use futures_util::FutureExt as _;
    use std::time::Duration;

    const HERE: u64 = 1;
    const ELSEWHERE: u64 = 2;
    const FAR: u64 = 3;

    /// Returns the context of a call from another process, with the chain to be kept.
    fn received(process: u64, marks: &[ChainMark]) -> (Context, ReceivedChain) {
        let received = ReceivedChain(continued(process, marks));
        let mut context = Context::new(Duration::from_secs(1));
        context.turn = received.0.innermost();
        (context, received)
    }

    fn refusal(turns: &Turns, context: &mut Context) -> Option<CallError> {
        let component = ComponentId::new("c").expect("an id");
        let taken = turns.take(&component, context).now_or_never();
        taken.and_then(Result::err)
    }

    #[test]
    fn a_chain_that_comes_back_over_two_processes_holds_its_turns() {
        let (turns, far) = (Turns::new(2), Turns::new(9));
        let mut context = Context::default();
        let first = turns.try_take(&mut context).expect("a free turn");
        let mut kept = Vec::new();
        let mut marks = marks(HERE, context.turn);
        assert_eq!(marks.len(), 1);
        for round in 0..2 {
            for process in [ELSEWHERE, FAR] {
                let (mut there, chain) = received(process, &marks);
                let turn = far.try_take(&mut there).expect("a free turn");
                marks = super::marks(process, there.turn);
                kept.push((chain, turn));
            }
            let processes: Vec<u64> = marks.iter().map(|mark| mark.process).collect();
            assert_eq!(processes, [HERE, ELSEWHERE, FAR], "one for each");
            let (mut back, chain) = received(HERE, &marks);
            if round == 0 {
                let second = turns.try_take(&mut back).expect("a free turn");
                assert_eq!(back.turn.chain().len(), 2, "those of this process");
                marks = super::marks(HERE, back.turn);
                kept.push((chain, second));
            } else {
                let refused = refusal(&turns, &mut back);
                assert_eq!(refused, Some(CallError::TooManyHops { limit: 2 }));
            }
        }
        let mut other = Context::default();
        assert_eq!(refusal(&turns, &mut other), None, "another chain waits");
        drop(first);
        let (mut back, _chain) = received(HERE, &marks);
        assert_eq!(refusal(&turns, &mut back), None, "a free turn is taken");
    }

    #[test]
    fn branches_of_a_chain_hold_only_their_own_turns() {
        let turns = Turns::new(2);
        let mut root = Context::default();
        let _root = turns.try_take(&mut root).expect("a free turn");
        let (mut left, _left) = received(HERE, &marks(HERE, root.turn));
        let (mut right, _right) = received(HERE, &marks(HERE, root.turn));
        let running = turns.try_take(&mut left).expect("a free turn");
        let component = ComponentId::new("c").expect("an id");
        let mut waits = Box::pin(turns.take(&component, &mut right));
        assert!((&mut waits).now_or_never().is_none(), "the left one runs");
        drop(running);
        assert!((&mut waits).now_or_never().is_some());
    }

    #[test]
    fn chains_that_wait_for_each_other_are_found_over_another_process() {
        let turns = Turns::new(2);
        let (mut one, mut two) = (Context::default(), Context::default());
        let _one = turns.try_take(&mut one).expect("a free turn");
        let _two = turns.try_take(&mut two).expect("a free turn");
        let back = |context: &Context| {
            let (there, chain) = received(ELSEWHERE, &marks(HERE, context.turn));
            (received(HERE, &marks(ELSEWHERE, there.turn)), chain)
        };
        let ((mut one, _one_here), _one_there) = back(&one);
        let ((mut two, _two_here), _two_there) = back(&two);
        let component = ComponentId::new("c").expect("an id");
        let mut waits = Box::pin(turns.take(&component, &mut one));
        assert!((&mut waits).now_or_never().is_none(), "the other one runs");
        let refused = refusal(&turns, &mut two);
        assert_eq!(
            refused,
            Some(CallError::Overloaded {
                component: component.clone()
            })
        );
    }

    #[test]
    fn a_mark_of_anything_is_taken() {
        for (turn, entry) in [(0, 0), (u64::MAX, u32::MAX - 1), (7, NO_ENTRY)] {
            let mark = ChainMark {
                process: HERE,
                turn,
                entry,
            };
            let (context, chain) = received(HERE, &[mark]);
            assert!(context.turn.chain().len() <= 1);
            drop(chain);
            assert_eq!(context.turn.abroad(), None, "nothing is left behind");
        }
        assert!(marks(HERE, Innermost::NONE).is_empty());
        assert!(ReceivedChain::of(&[], &mut Context::default()).is_none());
    }
}
