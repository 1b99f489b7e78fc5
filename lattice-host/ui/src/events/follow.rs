//! The task that follows the constellation for all readers.

use super::{PACE, Shared, history::History, ports::PortFinder};
use futures_util::{Stream, StreamExt as _};
use lattice_core::{
    Lattice,
    constellation::{CoalescedDeltas, Delta},
};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// How often it is checked whether somebody reads, and what could not be read is tried again.
const TICK: Duration = Duration::from_secs(5);
/// After how many ticks without readers the task ends. A page that is reloaded, or whose connection
/// was lost, finds the history as it was.
const UNREAD: u32 = 6;

/// Writes the history as long as somebody reads it.
pub(super) async fn follow(
    mut changes: impl Stream<Item = Delta> + Send + Unpin,
    lattice: Lattice,
    history: Arc<History>,
    shared: Weak<Shared>,
) {
    // However this task ends, its readers do.
    let _over = history.over().clone().drop_guard();
    let mut ports = PortFinder::new(lattice);
    let mut unsent = CoalescedDeltas::default();
    let mut due = Instant::now();
    // When the first of the unsent changes arrived.
    let mut since: Option<Instant> = None;
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unread = 0;
    loop {
        let has_changes = !unsent.is_empty() || ports.has_changes();
        // Takes everything that is there before it sends, but not for ever.
        let is_late = since.is_some_and(|since| since.elapsed() > PACE);
        tokio::select! {
            biased;
            delta = changes.next(), if !is_late => match delta {
                Some(delta) => {
                    ports.look_at(&delta);
                    unsent.push(delta);
                    since.get_or_insert_with(Instant::now);
                }
                None => return,
            },
            () = sleep_until(due), if has_changes => {
                (due, since) = (Instant::now() + PACE, None);
                history.publish(unsent.take(), &ports.take());
            }
            () = ports.advance() => {}
            _ = tick.tick() => {
                ports.retry();
                unread = if is_read(&history) { 0 } else { unread + 1 };
                if unread >= UNREAD && ended(&shared, &history) {
                    return;
                }
            }
        }
    }
}

/// Returns whether there is a reader, beside this task and the events.
fn is_read(history: &Arc<History>) -> bool {
    Arc::strong_count(history) > 2
}

/// Removes the follower from its events, unless somebody has begun to read.
fn ended(shared: &Weak<Shared>, history: &Arc<History>) -> bool {
    let Some(shared) = shared.upgrade() else {
        return true;
    };
    let mut follower = shared.follower.lock();
    if is_read(history) {
        return false;
    }
    // This aborts the task, which ends now anyway.
    *follower = None;
    true
}
