//! The last changes made on the page, with what was before, so that the last one can be undone.
//!
//! They are kept in memory, for as long as the service runs. A change is undone only if what it
//! made is still there: what somebody has changed since stays as it is.

use crate::problem::Problem;
use lattice_core::{
    app::Export,
    desired::WormholeSpec,
    link::{Link, LinkKey},
    name::{AppName, WormholeId},
};
use serde::Serialize;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// Most changes that are kept. One of an app has its whole manifest.
const KEPT: usize = 32;

/// What was done when a change was undone.
pub(super) type Undoable = Result<String, NotUndone>;

/// Why a change was not undone.
#[derive(Debug)]
pub(super) struct NotUndone {
    pub(super) problem: Problem,
    /// Whether it can never be undone any more.
    pub(super) is_final: bool,
}

impl NotUndone {
    /// Somebody has changed it since.
    pub(super) fn changed_since(problem: Problem) -> Self {
        let is_final = true;
        Self { problem, is_final }
    }
}

impl From<Problem> for NotUndone {
    fn from(problem: Problem) -> Self {
        let is_final = false;
        Self { problem, is_final }
    }
}

/// The last changes, the latest last.
#[derive(Debug, Default)]
pub(super) struct Changes {
    all: VecDeque<Made>,
    /// How many changes were made.
    count: u64,
}

#[derive(Debug)]
struct Made {
    shown: Undo,
    change: Arc<Change>,
}

/// What undoing a change would do, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Undo {
    pub(super) id: u64,
    says: String,
    at_ms: u64,
}

/// A change, with what was before and after it. `None` is for what isn't there.
#[derive(Debug)]
pub(super) enum Change {
    Link {
        key: LinkKey,
        before: Option<Arc<Link>>,
        after: Option<Arc<Link>>,
    },
    Wormhole {
        id: WormholeId,
        before: Option<Box<WormholeSpec>>,
        after: Option<Box<WormholeSpec>>,
    },
    App {
        name: AppName,
        before: Option<Box<Export>>,
        after: Option<Box<Export>>,
    },
}

impl Changes {
    /// Keeps a change, and returns how it can be undone.
    pub(super) fn made(&mut self, change: Change) -> Undo {
        self.count += 1;
        let shown = Undo {
            id: self.count,
            says: change.undo_says(),
            at_ms: now_ms(),
        };
        self.all.push_back(Made {
            shown: shown.clone(),
            change: Arc::new(change),
        });
        if self.all.len() > KEPT {
            self.all.pop_front();
        }
        shown
    }

    /// Returns how the last change can be undone, if there is one.
    pub(super) fn last(&self) -> Option<&Undo> {
        self.all.back().map(|made| &made.shown)
    }

    /// Returns the last change, if it has this number.
    pub(super) fn change(&self, id: u64) -> Option<Arc<Change>> {
        let last = self.all.back().filter(|made| made.shown.id == id);
        last.map(|made| made.change.clone())
    }

    /// Forgets the last change.
    pub(super) fn forget(&mut self) {
        self.all.pop_back();
    }
}

impl Change {
    fn undo_says(&self) -> String {
        match self {
            Self::Link { key, before, after } => match (before, after) {
                (None, _) => format!("delete the link {key}"),
                (Some(_), None) => format!("put the deleted link {key} again"),
                (Some(_), Some(_)) => format!("make the link {key} as it was"),
            },
            Self::Wormhole { id, before, after } => match (before, after) {
                (None, _) => format!("delete wormhole `{id}`"),
                (Some(_), None) => format!("create the deleted wormhole `{id}` again"),
                (Some(_), Some(_)) => format!("make wormhole `{id}` as it was"),
            },
            Self::App {
                name,
                before,
                after,
            } => match (before, after) {
                (None, _) => format!("delete app `{name}`"),
                (Some(_), None) => format!("apply the deleted app `{name}` again"),
                (Some(_), Some(_)) => format!("make app `{name}` as it was"),
            },
        }
    }
}

/// Milliseconds since 1970, by the clock of this machine. People are shown it, and nothing is
/// decided by it.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(source: &str) -> Change {
        let link = Link::new(source, "a:b/c@0.2.0", "back").expect("valid");
        Change::Link {
            key: link.key(),
            before: None,
            after: Some(Arc::new(link)),
        }
    }

    #[test]
    fn only_the_last_change_can_be_undone_and_only_so_many_are_kept() {
        let mut changes = Changes::default();
        assert_eq!(changes.last(), None);
        for at in 0..KEPT + 5 {
            changes.made(put(&format!("s{at}")));
        }
        let last = changes.last().cloned().expect("one is there");
        assert_eq!(last.id, KEPT as u64 + 5);
        assert_eq!(
            last.says,
            format!("delete the link s{} -> a:b/c@0.2 (default)", KEPT + 4)
        );
        assert!(changes.change(last.id - 1).is_none());
        assert!(changes.change(last.id).is_some());
        let mut kept = 0;
        while changes.last().is_some() {
            changes.forget();
            kept += 1;
        }
        assert_eq!(kept, KEPT);
    }
}
