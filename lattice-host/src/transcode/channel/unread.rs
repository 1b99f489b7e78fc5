//! Futures that a guest has got and has not read. One that it passes on is handed on as it is.
//!
//! Wasmtime can do that for streams only. It gives the same name to a future of the host when that
//! is lifted as when it was lowered, so that the host can find it again.

use std::fmt;
use std::sync::Weak;

use lattice_core::stream::Reader;
use wasmtime::component::FutureAny;

/// Most futures that are remembered, so that finding one takes no long time. The values of others
/// are moved through the store of the guest.
const MOST: usize = 1_024;
/// Those that were read or dropped are forgotten when there are this many.
const FEW: usize = 16;

/// A future that comes out of a channel.
pub(super) trait HandOn: Send + Sync {
    /// Returns the channel. `None` when it was returned before.
    fn hand_on(&self) -> Option<Reader>;
}

/// The futures that a guest has got and has not read.
pub(crate) struct UnreadFutures {
    all: Vec<(FutureAny, Weak<dyn HandOn>)>,
    /// When there are so many, those that were read or dropped are forgotten.
    full: usize,
}

impl UnreadFutures {
    /// Remembers a future that is about to be lowered, by the host's name for it.
    pub(super) fn add(&mut self, name: FutureAny, value: Weak<dyn HandOn>) {
        if self.all.len() >= self.full {
            self.all.retain(|(_, value)| value.strong_count() > 0);
            self.full = (2 * self.all.len()).clamp(FEW, MOST);
        }
        if self.all.len() < MOST {
            self.all.push((name, value));
        }
    }

    /// Takes the channel of a future of this name. `None` when it isn't known, or was read.
    pub(super) fn take(&mut self, name: &FutureAny) -> Option<Reader> {
        // The name of one that was dropped may be used again.
        let is_it = |(known, value): &(FutureAny, Weak<dyn HandOn>)| {
            known == name && value.strong_count() > 0
        };
        let at = self.all.iter().position(is_it)?;
        let (_, value) = self.all.swap_remove(at);
        value.upgrade()?.hand_on()
    }
}

impl Default for UnreadFutures {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            full: FEW,
        }
    }
}

impl fmt::Debug for UnreadFutures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnreadFutures")
            .field("all", &self.all.len())
            .finish_non_exhaustive()
    }
}
