//! Waiting until the replica has seen a write.

use super::{Replica, ReplicaHealth, ReplicaState};
use crate::{
    link::LinkTable,
    store::{Incarnation, Position, Revision, generation::Basis},
};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Longest wait for a link revision: far longer than a healthy watch lags, and short enough for a
/// caller to try another host.
pub const MAX_WAIT: Duration = Duration::from_secs(1);
/// Most calls that wait at once. Each keeps its arguments in memory meanwhile.
pub const MAX_WAITERS: usize = 256;

/// Why a process's copy of the store is too old for a call or for a write. Neither was made, and
/// both may be tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Behind {
    /// The time passed first.
    #[error("the replica has seen revision {} of the store, not yet {}; try again", seen.0, wanted.0)]
    NotYet {
        /// The revision that it has seen.
        seen: Revision,
        /// The revision that was asked for.
        wanted: Revision,
    },
    /// The replica doesn't follow the store at present, so what it lacks is unknown.
    #[error("the replica has seen revision {} of the store and does not follow it at present; try again", seen.0)]
    NotFollowing {
        /// The revision that it has seen.
        seen: Revision,
    },
    /// The replica follows an earlier incarnation of the store, or the store went back.
    #[error("the replica has not yet seen that the store was re-created or restored; try again")]
    OtherIncarnation,
    /// Too many calls wait already.
    #[error("{MAX_WAITERS} calls wait for the replica already; try again after a moment")]
    TooManyWaiters,
    /// The store was closed, so the replica no longer changes.
    #[error("the store was closed; connect to the lattice again")]
    Closed,
}

impl Replica {
    /// Waits until the table includes everything up to `revision`: until `deadline` or for
    /// [`MAX_WAIT`] at most, and together with at most [`MAX_WAITERS`] others. Returns at once when
    /// the table already includes it.
    ///
    /// A replica that follows a later incarnation than the given one is ahead, not behind. It
    /// returns at once, and its own table decides what it grants.
    ///
    /// # Errors
    /// Fails with [`Behind`].
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    #[doc(hidden)]
    pub async fn wait_for(
        &self,
        incarnation: Incarnation,
        revision: Revision,
        deadline: Instant,
    ) -> Result<(), Behind> {
        if self.links().has_seen(incarnation, revision) {
            return Ok(());
        }
        let Ok(_permit) = self.shared.waiters.try_acquire() else {
            return Err(Behind::TooManyWaiters);
        };
        let deadline = deadline.min(Instant::now() + MAX_WAIT);
        let seen = self
            .until(deadline, |table| table.has_seen(incarnation, revision))
            .await;
        if seen {
            return Ok(());
        }
        let health = self.health();
        Err(if health.state == ReplicaState::Closed {
            Behind::Closed
        } else if health.incarnation == incarnation {
            Behind::NotYet {
                seen: health.revision,
                wanted: revision,
            }
        } else {
            Behind::OtherIncarnation
        })
    }

    /// Checks that every process will accept a value that is written now: that this process follows
    /// the store, which is at `position`, and that `basis` is a recent copy of it.
    ///
    /// # Errors
    /// Fails with [`Behind`].
    pub(crate) fn check_recent(&self, basis: Basis, position: Position) -> Result<(), Behind> {
        let health = self.health();
        let seen = health.revision;
        if health.state == ReplicaState::Closed {
            return Err(Behind::Closed);
        }
        if !health.state.is_live() {
            return Err(Behind::NotFollowing { seen });
        }
        let lives = [health.incarnation, basis.incarnation];
        if lives.iter().any(|life| *life != position.incarnation) {
            return Err(Behind::OtherIncarnation);
        }
        match position.newest {
            Some(newest) if basis.is_behind(newest) => Err(Behind::NotYet {
                seen: Revision(basis.generation),
                wanted: newest,
            }),
            // The store went back since this copy was made.
            Some(newest) if basis.generation > newest.0 => Err(Behind::OtherIncarnation),
            _ => Ok(()),
        }
    }

    /// Waits until `done` returns true for the table. Returns whether it did so by `deadline`.
    pub(crate) async fn until(
        &self,
        deadline: Instant,
        mut done: impl FnMut(&LinkTable) -> bool,
    ) -> bool {
        let mut health = self.shared.health.subscribe();
        let settled = async {
            loop {
                let closed = is_closed(&health.borrow_and_update());
                // Read after the mark: anything published from here on wakes the wait below.
                if done(&self.links()) {
                    return true;
                }
                if closed || health.changed().await.is_err() {
                    return false;
                }
            }
        };
        timeout_at(deadline, settled).await.unwrap_or(false)
    }
}

fn is_closed(health: &ReplicaHealth) -> bool {
    health.state == ReplicaState::Closed
}
