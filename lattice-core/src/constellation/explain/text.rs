//! Parts of the sentences of findings.

use crate::{
    constellation::{ProcessView, StoreState},
    link::LinkKey,
    name::HostId,
    quantity::ByteSize,
    store::{KeyKind, StoreKey},
};
use std::{
    fmt::{self, Display},
    time::Duration,
};

pub(super) fn store_says(state: StoreState) -> &'static str {
    match state {
        StoreState::Following => "this process is up to date with the store",
        StoreState::Lost => {
            "the store is out of reach from here, so the rest may be out of date; check that it is up and that this process can reach it"
        }
        StoreState::Snapshot => {
            "the store was not reached yet, so the rest is from the snapshot of an earlier process; check that it is up and that this process can reach it"
        }
        StoreState::Replaced => {
            "the store was replaced by another one, and records that it lacks are kept; apply the apps again, then accept it"
        }
        StoreState::WentBack => {
            "the store was rolled back to an earlier state, and records that it lacks are kept; apply the apps again, then accept it"
        }
        StoreState::OtherKey => {
            "the store was written with another key than this process has, so it looks empty; check the key"
        }
        StoreState::Closed => "the store was closed, so the view no longer changes; connect again",
    }
}

pub(super) struct Listed<'a, T>(pub(super) &'a [T]);

impl<T: Display> Display for Listed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, thing) in self.0.iter().enumerate() {
            write!(f, "{}`{thing}`", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

pub(super) struct DidYouMean<'a, T>(pub(super) Option<&'a T>);

impl<T: Display> Display for DidYouMean<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .map_or(Ok(()), |similar| write!(f, " (did you mean `{similar}`?)"))
    }
}

pub(super) struct Because<'a>(pub(super) &'a Option<String>);

impl Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .as_ref()
            .map_or(Ok(()), |reason| write!(f, " ({reason})"))
    }
}

pub(super) struct HeldBy<'a>(pub(super) &'a [HostId]);

impl Display for HeldBy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            holders => write!(f, " and is held by {}", Listed(holders)),
        }
    }
}

/// Displays the effect of an unreadable record until it is corrected.
pub(super) struct Meanwhile<'a>(pub(super) &'a StoreKey);

impl Display for Meanwhile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.kind() {
            Some(KeyKind::Link { .. } | KeyKind::LinkStatus { .. }) => {
                "; until then the link grants nothing"
            }
            Some(KeyKind::Wormhole(_)) => {
                "; until then the wormhole lets nothing through, and keeps its host names"
            }
            _ => "; until then it is frozen: what was known of it stays, and nothing is started or stopped for it",
        })
    }
}

pub(super) struct InsteadOf<'a>(pub(super) &'a [LinkKey]);

impl Display for InsteadOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            similar => write!(f, ", only {}", Listed(similar)),
        }
    }
}

pub(super) struct Count(pub(super) usize, pub(super) &'static str);

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}{}",
            self.0,
            self.1,
            if self.0 == 1 { "" } else { "s" }
        )
    }
}

/// Displays what a process has used.
pub(super) struct Used<'a>(pub(super) &'a ProcessView);

impl Display for Used<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = self.0;
        match process.uptime {
            Some(uptime) => {
                let uptime = Duration::from_secs(uptime.as_secs());
                write!(f, "it has served for {uptime:?}")?;
            }
            None => f.write_str("it doesn't serve now")?,
        }
        if let Some(memory) = process.memory {
            // Whole pages are rarely a whole number of MiB.
            let memory = ByteSize::kib(memory / 1_024);
            write!(f, ", with {memory} of memory")?;
        }
        if let Some(cpu) = process.cpu {
            write!(f, ", has used {cpu:?} of CPU time")?;
        }
        let restarts = Count(process.restarts as usize, "time");
        write!(f, ", and was started again {restarts}")?;
        match &process.last_exit {
            Some(reason) => write!(f, "; before that, {reason}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_has_used_is_a_sentence() {
        let mut process = ProcessView {
            restarts: 0,
            uptime: Some(Duration::from_millis(185_400)),
            memory: Some(12 << 20),
            cpu: Some(Duration::from_millis(1_500)),
            last_exit: None,
        };
        assert_eq!(
            Used(&process).to_string(),
            "it has served for 185s, with 12 MiB of memory, has used 1.5s of CPU time, and was started again 0 times"
        );
        process.uptime = None;
        process.memory = None;
        process.cpu = None;
        process.restarts = 1;
        process.last_exit = Some("its process ended with exit status: 3".to_owned());
        assert_eq!(
            Used(&process).to_string(),
            "it doesn't serve now, and was started again 1 time; before that, its process ended with exit status: 3"
        );
    }
}
