//! The other hosts that hold slots of a component: whether they have taken over, and which slot may
//! be updated next.

use super::{Generation, ReplicaCount};
use crate::{desired::Replicas, name::HostId};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// The number of beats in a row in which a new owner must report that it serves.
const CONFIRMATIONS: u32 = 2;
/// How long all earlier slots must have served before a slot is updated.
const PACE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Others {
    holders: BTreeMap<HostId, Holder>,
    turn: Option<Turn>,
}

#[derive(Debug, Default)]
struct Holder {
    slots: Vec<u32>,
    replica_counts: Vec<ReplicaCount>,
    /// The number of beats in a row in which the host served its share of the wanted generation.
    confirmed: u32,
}

/// Since when all slots before `slot` have served.
#[derive(Debug)]
struct Turn {
    slot: u32,
    since: Instant,
}

impl Others {
    /// Takes the hosts of all slots in order, and returns the slots of `me`.
    pub(super) fn assign<'a>(
        &mut self,
        me: &HostId,
        slots: impl Iterator<Item = &'a HostId>,
    ) -> Vec<u32> {
        let (mut own, mut shares) = (Vec::new(), BTreeMap::<&HostId, Vec<u32>>::new());
        for (slot, host) in (0..).zip(slots) {
            if host == me {
                own.push(slot);
            } else {
                shares.entry(host).or_default().push(slot);
            }
        }
        self.holders.retain(|host, _| shares.contains_key(host));
        for (host, slots) in shares {
            let holder = self.holders.entry(host.clone()).or_default();
            if holder.slots.len() < slots.len() {
                holder.confirmed = 0;
            }
            holder.slots = slots;
        }
        own
    }

    /// Starts again for another wanted generation. Earlier confirmations and waiting times don't
    /// count for it.
    pub(super) fn begin(&mut self) {
        self.turn = None;
        self.holders
            .values_mut()
            .for_each(|holder| holder.confirmed = 0);
    }

    pub(super) fn receive_beat(
        &mut self,
        from: &HostId,
        replica_counts: &[ReplicaCount],
        wanted: Option<Generation>,
    ) {
        let Some(holder) = self.holders.get_mut(from) else {
            return;
        };
        holder.replica_counts = replica_counts.to_vec();
        let kept = wanted
            .and_then(|wanted| holder.of(wanted))
            .map_or(0, |replica_count| replica_count.kept);
        holder.confirmed = if kept as usize >= holder.slots.len() {
            holder.confirmed.saturating_add(1)
        } else {
            0
        };
    }

    /// Returns whether every slot has a host and every other host serves its whole share.
    pub(super) fn have_taken_over(&self, slots: Replicas, own: usize) -> bool {
        let is_unassigned = self.holders.is_empty() && own == 0;
        if is_unassigned && slots != Replicas::Exactly(0) {
            return false;
        }
        self.holders
            .values()
            .all(|holder| holder.confirmed >= CONFIRMATIONS)
    }

    /// Returns whether another host serves that generation.
    pub(super) fn serve(&self, generation: Generation) -> bool {
        let replica_counts = self
            .holders
            .values()
            .filter_map(|holder| holder.of(generation));
        replica_counts
            .into_iter()
            .any(|replica_count| replica_count.serving > 0)
    }

    /// Returns when `slot` may be updated, or `None` if that isn't known yet. `own_ready` is the
    /// time since which this host's own slots before it have served.
    pub(super) fn turn(
        &mut self,
        slot: u32,
        generation: Generation,
        own_ready: Option<Instant>,
        now: Instant,
    ) -> Option<Instant> {
        let ready = self.holders.values().all(|holder| {
            let before = holder.slots.partition_point(|other| *other < slot);
            let updated = holder
                .of(generation)
                .map_or(0, |replica_count| replica_count.serving);
            before <= updated as usize
        });
        if !ready {
            self.turn = None;
            return None;
        }
        let first = self
            .holders
            .values()
            .all(|holder| holder.slots.first().is_none_or(|other| *other > slot));
        if first && own_ready.is_none() {
            return Some(now);
        }
        let turn = self.turn.take().filter(|turn| turn.slot == slot);
        let since = turn.map_or(now, |turn| turn.since);
        self.turn = Some(Turn { slot, since });
        Some(own_ready.map_or(since, |own| own.max(since)) + PACE)
    }
}

impl Holder {
    fn of(&self, generation: Generation) -> Option<&ReplicaCount> {
        self.replica_counts
            .iter()
            .find(|replica_count| replica_count.generation == generation)
    }
}
