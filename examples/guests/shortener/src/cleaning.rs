//! What the schedule has done: links that have expired are removed, with their statistics.
//!
//! Every step can be done again, and what is left goes with the next tick. A tick ends, by its
//! link's `timeout`, before the next one is due. So no tick removes a new link that has taken the
//! place of one that an earlier tick had found.

use crate::{clicks, links, problem::Problem};
use lattice_actor_sdk::log;

/// Removes links that have expired, up to 500 at a time.
pub(crate) fn clean(now: u64) -> Result<(), String> {
    let removed = remove_expired(now).map_err(in_words)?;
    if removed > 0 {
        log::info!("removed {removed} expired links");
    }
    clicks::forget_counted(now).map_err(in_words)
}

fn remove_expired(now: u64) -> Result<u64, Problem> {
    let mut removed = 0;
    for due in links::due(now)? {
        let link = links::expired(&due)?;
        if let Some(link) = &link {
            clicks::forget(link)?;
            removed += 1;
        }
        links::remove(&due, link.as_ref())?;
    }
    Ok(removed)
}

fn in_words(problem: Problem) -> String {
    match problem {
        Problem::Unavailable(reason) => reason,
        problem => problem.to_string(),
    }
}
