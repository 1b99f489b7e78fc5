//! One boot of a host, as seen from its beats.

use super::{Labels, MembershipChange};
use crate::{
    liveness::{MISSED_BEATS, RivalBoot},
    wire::Origin,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Beats of an older boot, with beats of the newer one in between, after which two hosts are
/// assumed to have the same id.
const BOTH: u32 = 3;

#[derive(Debug)]
pub(super) struct Member {
    pub(super) origin: Origin,
    pub(super) labels: Arc<Labels>,
    pub(super) interval: Duration,
    /// When its last sign of life came, or when this host began to receive again.
    pub(super) last_beat: Instant,
    /// When a beat of it was last counted.
    counted: Instant,
    standing: Standing,
    rival: Option<Rival>,
}

#[derive(Debug)]
enum Standing {
    Joining {
        needs: u32,
    },
    Live,
    /// It is known only from an earlier boot of this host, and has sent nothing since.
    Recalled,
}

/// Another boot of the same id.
#[derive(Debug)]
struct Rival {
    boot: RivalBoot,
    /// When its first beat came after it began to be watched.
    first: Option<Instant>,
}

impl Member {
    pub(super) fn new(origin: Origin, interval: Duration, labels: Labels, now: Instant) -> Self {
        Self {
            origin,
            labels: Arc::new(labels),
            interval,
            last_beat: now,
            counted: now,
            standing: Standing::Joining { needs: u32::MAX },
            rival: None,
        }
    }

    /// Makes a member that counts although nothing has been received from it.
    pub(super) fn recalled(
        origin: Origin,
        interval: Duration,
        labels: Labels,
        now: Instant,
    ) -> Self {
        Self {
            standing: Standing::Recalled,
            ..Self::new(origin, interval, labels, now)
        }
    }

    /// Sets the number of beats after which the member counts. The beat that announced it is the
    /// first.
    pub(super) fn needs(&mut self, beats: u32) -> Option<MembershipChange> {
        self.standing = Standing::Joining { needs: beats };
        self.count()
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.standing, Standing::Live | Standing::Recalled)
    }

    pub(super) fn is_recalled(&self) -> bool {
        matches!(self.standing, Standing::Recalled)
    }

    /// Returns when the member counts as dead if it stays silent.
    pub(super) fn deadline(&self) -> Instant {
        // A beat that comes exactly after the last of these intervals is in time.
        self.last_beat + self.interval * MISSED_BEATS + Duration::from_millis(1)
    }

    pub(super) fn beat(
        &mut self,
        interval: Duration,
        labels: Labels,
        now: Instant,
    ) -> Option<MembershipChange> {
        self.last_beat = now;
        self.interval = interval;
        let relabelled = *self.labels != labels;
        if relabelled {
            self.labels = Arc::new(labels);
        }
        if self.is_live() {
            self.standing = Standing::Live;
            return relabelled.then(|| MembershipChange::Relabelled(self.origin.clone()));
        }
        // Several beats in quick succession, which carry changes, count as one sign of life.
        if now.saturating_duration_since(self.counted) < interval / 2 {
            return None;
        }
        self.counted = now;
        self.count()
    }

    fn count(&mut self) -> Option<MembershipChange> {
        let Standing::Joining { needs } = &mut self.standing else {
            return None;
        };
        *needs = needs.saturating_sub(1);
        if *needs > 0 {
            return None;
        }
        self.standing = Standing::Live;
        Some(MembershipChange::Joined(self.origin.clone()))
    }

    /// Watches for beats of the boot that this one replaces.
    pub(super) fn watch(&mut self, epoch: u64, now: Instant) {
        self.rival = Some(Rival {
            boot: RivalBoot::new(epoch, now),
            first: None,
        });
    }

    /// Handles a beat of an older boot of the same id. Either the host has restarted with a clock
    /// that went back and the newer boot is about to fall silent, or two hosts have the same id.
    pub(super) fn rival_beat(&mut self, epoch: u64, now: Instant) -> Option<MembershipChange> {
        let rival = self.rival.as_ref();
        if rival.is_none_or(|rival| rival.boot.epoch != epoch) {
            self.watch(epoch, now);
        }
        let (last_beat, interval) = (self.last_beat, self.interval);
        let rival = self.rival.as_mut()?;
        let first = *rival.first.get_or_insert(now);
        let boot = &mut rival.boot;
        if boot.signs > 0 && now.saturating_duration_since(boot.last) < interval / 2 {
            return None;
        }
        // Until the newer boot beats again, this may be a restart whose clock went back.
        if boot.signs + 1 == BOTH && last_beat <= first {
            boot.last = now;
            return None;
        }
        boot.count(now);
        (boot.signs == BOTH).then(|| MembershipChange::Doubled {
            counts: self.origin.clone(),
            other: epoch,
        })
    }

    /// Returns the epoch of another host with the same id, if there is one.
    pub(super) fn double(&self) -> Option<u64> {
        let boot = self.rival.as_ref()?.boot;
        (boot.signs >= BOTH).then_some(boot.epoch)
    }

    pub(super) fn forget_rival(&mut self, now: Instant) {
        let silent = self.interval * MISSED_BEATS;
        let fell_silent = |rival: &Rival| rival.boot.is_silent(silent, now);
        if self.rival.as_ref().is_some_and(fell_silent) {
            self.rival = None;
        }
    }
}
