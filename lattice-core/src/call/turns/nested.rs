//! The table of nested turns: for each, the turn that it is nested in.
//!
//! Calls write it, and only those that wait read it. So it has no hash map: whoever takes a nested
//! turn keeps the index of its entry, and the turn's id is found with it in the context of the
//! call. An entry is reused when its turn has ended, and then it has another id.

use super::TurnId;
use crate::{
    sync::{CachePadded, Mutex, thread_number},
    wire::ChainMark,
};
use std::sync::Arc;

/// The number of parts of the table. Each has its own lock, and the entries that were added by
/// the same threads, so that threads rarely wait for each other's memory.
const PARTS: usize = 16;
/// Longest chain that is followed. A hop takes the turns of its component and of its pool, and up
/// to 16 slots each of its actor and of the engine.
const LONGEST: usize = 2_048;

/// The most entries of a part, so that a place in the table is less than [`u32::MAX`].
const MOST: usize = (u32::MAX as usize) / PARTS;

static TABLE: [CachePadded<Mutex<Part>>; PARTS] =
    [const { CachePadded(Mutex::new(Part::new())) }; PARTS];

#[derive(Debug)]
struct Part {
    entries: Vec<Entry>,
    /// The indexes of those that no turn uses.
    unused: Vec<usize>,
}

/// Turns that were taken together, and what they are nested in; or no turn, where a chain of calls
/// comes back from another process.
#[derive(Debug, Clone)]
struct Entry {
    /// The id of the last one, or [`TurnId::NONE`] while no turn uses the entry.
    last: TurnId,
    count: u32,
    outer: Innermost,
    /// The marks of the other processes that the chain has come through before it came here.
    abroad: Option<Arc<[ChainMark]>>,
}

/// The innermost turn of a chain of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::call) struct Innermost {
    pub(super) turn: TurnId,
    /// The place of its entry. A single turn that is nested in no other has none.
    pub(super) entry: Option<u32>,
}

impl Innermost {
    /// That of a chain that has not taken a turn yet.
    pub(in crate::call) const NONE: Self = Self {
        turn: TurnId::NONE,
        entry: None,
    };

    /// The turns of the chain, the innermost first.
    pub(super) fn chain(self) -> Vec<TurnId> {
        let mut chain = Vec::new();
        let mut next = self;
        // Bounded also where entries have no turns: a mark from another process may name any entry,
        // so that entries may be nested in each other.
        for _ in 0..LONGEST {
            if next.turn == TurnId::NONE || chain.len() >= LONGEST {
                break;
            }
            let Some(Entry {
                last, count, outer, ..
            }) = next.entry()
            else {
                // It is nested in no other, or has ended.
                chain.push(next.turn);
                break;
            };
            chain.extend((0..count).map(|number| last.earlier(number)));
            next = outer;
        }
        chain
    }

    /// The marks of the other processes that the chain has come through.
    pub(super) fn abroad(self) -> Option<Arc<[ChainMark]>> {
        let mut next = self;
        for _ in 0..LONGEST {
            let entry = next.entry()?;
            if entry.abroad.is_some() {
                return entry.abroad;
            }
            next = entry.outer;
        }
        None
    }

    fn entry(self) -> Option<Entry> {
        let (part, index) = found(self.entry?);
        let part = part.lock();
        let entry = part.entries.get(index);
        entry.filter(|entry| entry.last == self.turn).cloned()
    }
}

/// Where turns that were taken together are in the chain of calls.
#[derive(Debug)]
pub(super) struct Nesting {
    innermost: Innermost,
    count: u32,
    outer: Innermost,
}

impl Nesting {
    /// The nesting of `count` turns that are in no chain yet. `last` is the id of the last one.
    pub(super) fn new(last: TurnId, count: u32) -> Self {
        Self {
            innermost: Innermost {
                turn: last,
                entry: None,
            },
            count,
            outer: Innermost::NONE,
        }
    }

    /// The place in the chain at which a call comes from another process. No turn is taken for it.
    /// What the chain has taken here before ends with `outer`.
    pub(super) fn returning(id: TurnId, outer: Innermost, abroad: Arc<[ChainMark]>) -> Self {
        let entry = Entry {
            last: id,
            count: 0,
            outer,
            abroad: Some(abroad),
        };
        Self {
            innermost: Innermost {
                turn: id,
                entry: add(entry),
            },
            count: 0,
            outer,
        }
    }

    /// The last of the turns.
    pub(super) fn innermost(&self) -> Innermost {
        self.innermost
    }

    /// The ids of the turns.
    pub(super) fn turns(&self) -> impl Iterator<Item = TurnId> + use<> {
        let last = self.innermost.turn;
        (0..self.count).map(move |number| last.earlier(number))
    }

    /// Nests the turns in `outer`.
    pub(super) fn enter(&mut self, outer: Innermost) {
        let is_alone = outer == Innermost::NONE && self.count == 1;
        if is_alone {
            self.leave();
        } else if self.innermost.entry.is_none() || self.outer != outer {
            self.write(outer);
        }
        self.outer = outer;
    }

    fn write(&mut self, outer: Innermost) {
        let last = self.innermost.turn;
        let entry = Entry {
            last,
            count: self.count,
            outer,
            abroad: None,
        };
        match self.innermost.entry.map(found) {
            Some((part, index)) => part.lock().entries[index] = entry,
            None => self.innermost.entry = add(entry),
        }
    }

    /// Takes the turns out of the chain.
    pub(super) fn leave(&mut self) {
        if let Some((part, index)) = self.innermost.entry.take().map(found) {
            part.lock().remove(index);
        }
    }
}

impl Part {
    const fn new() -> Self {
        Self {
            entries: Vec::new(),
            unused: Vec::new(),
        }
    }

    fn add(&mut self, entry: Entry) -> Option<usize> {
        if let Some(index) = self.unused.pop() {
            self.entries[index] = entry;
            return Some(index);
        }
        let index = self.entries.len();
        (index < MOST).then(|| {
            self.entries.push(entry);
            index
        })
    }

    fn remove(&mut self, index: usize) {
        let entry = &mut self.entries[index];
        entry.last = TurnId::NONE;
        entry.abroad = None;
        self.unused.push(index);
    }
}

/// Adds an entry to the part of this thread, and returns its place in the table, if there is room.
fn add(entry: Entry) -> Option<u32> {
    let part = thread_number() % PARTS;
    let index = TABLE[part].0.lock().add(entry)?;
    u32::try_from(index * PARTS + part).ok()
}

/// Returns the part of a place in the table, and the index there.
fn found(place: u32) -> (&'static Mutex<Part>, usize) {
    let place = place as usize;
    (&TABLE[place % PARTS].0, place / PARTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of a kind that only this test has.
    fn nesting(number: u32, count: u32) -> Nesting {
        Nesting::new(TurnId::new(u32::MAX, number), count)
    }

    #[test]
    fn an_entry_that_another_turn_uses_ends_the_chain() {
        let mut outer = nesting(1, 1);
        let mut first = nesting(16, 1);
        outer.enter(Innermost::NONE);
        first.enter(outer.innermost());
        let ended = first.innermost();
        assert_eq!(ended.chain(), [ended.turn, outer.innermost().turn]);
        first.leave();
        // In the same part of the table. Other tests may take the entry first.
        let mut others: Vec<Nesting> = (2..10).map(|number| nesting(number * 16, 1)).collect();
        for other in &mut others {
            other.enter(outer.innermost());
        }
        assert_eq!(ended.chain(), [ended.turn]);
        for other in &mut others {
            other.leave();
        }
    }

    /// As a mark can make it that names an entry before it is used.
    #[test]
    fn a_chain_that_is_nested_in_itself_ends() {
        let id = TurnId::new(u32::MAX, 300);
        let mut received = Nesting::returning(id, Innermost::NONE, Arc::new([]));
        let innermost = received.innermost();
        let (part, index) = found(innermost.entry.expect("it has one"));
        part.lock().entries[index].outer = innermost;
        assert!(innermost.chain().is_empty(), "it has no turns");
        let mut inner = nesting(301, 1);
        inner.enter(innermost);
        assert_eq!(inner.innermost().chain(), [inner.innermost().turn]);
        inner.leave();
        received.leave();
    }

    #[test]
    fn turns_that_were_taken_together_have_one_entry() {
        let (mut outer, mut three) = (nesting(100, 1), nesting(105, 3));
        let ids = [105, 104, 103].map(|number| TurnId::new(u32::MAX, number));
        three.enter(Innermost::NONE);
        assert_eq!(three.innermost().chain(), ids);
        outer.enter(Innermost::NONE);
        assert_eq!(outer.innermost().entry, None, "none is needed");
        three.enter(outer.innermost());
        assert_eq!(three.innermost().chain()[..3], ids);
        assert_eq!(three.innermost().chain()[3], outer.innermost().turn);
        let left = three.innermost();
        three.leave();
        assert_eq!(left.chain(), ids[..1]);
    }

    #[test]
    fn a_nesting_that_changes_is_seen_by_all_that_are_nested_in_it() {
        let (mut one, mut two) = (nesting(200, 1), nesting(201, 1));
        let (mut kept, mut inner) = (nesting(202, 1), nesting(203, 1));
        one.enter(Innermost::NONE);
        two.enter(Innermost::NONE);
        kept.enter(one.innermost());
        inner.enter(kept.innermost());
        let outermost = |inner: &Nesting| inner.innermost().chain().last().copied();
        assert_eq!(outermost(&inner), Some(one.innermost().turn));
        kept.enter(two.innermost());
        assert_eq!(outermost(&inner), Some(two.innermost().turn));
        kept.enter(Innermost::NONE);
        assert_eq!(outermost(&inner), Some(kept.innermost().turn));
        for mut left in [kept, inner] {
            left.leave();
        }
    }
}
