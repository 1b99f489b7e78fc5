//! Heartbeats that arrive in parts: put together, in bounded memory.

use super::presence::Peers;
use crate::{
    name::HostId,
    wire::{Beat, BeatPart, Origin},
};
use std::collections::{BTreeMap, HashMap};

/// The parts that have arrived of the last heartbeat of each host.
#[derive(Debug, Default)]
pub(super) struct Parts(HashMap<HostId, Incomplete>);

#[derive(Debug)]
struct Incomplete {
    origin: Origin,
    sent_ms: u64,
    parts: u16,
    arrived: BTreeMap<u16, Beat>,
    components: usize,
}

/// The state of a heartbeat after one of its parts has arrived.
#[derive(Debug, PartialEq)]
pub(super) enum Assembled {
    /// It is the first part of a heartbeat that has more.
    Begun,
    /// Further parts are missing.
    Continued,
    /// It was the last one: this is the heartbeat.
    Whole(Beat),
}

impl Parts {
    /// Takes a part. A part of another heartbeat than the one before replaces what there is of
    /// that.
    pub(super) fn take(&mut self, from: &Origin, part: BeatPart) -> Result<Assembled, String> {
        if !part.is_valid() {
            return Err("a part of a beat whose numbers make no sense".to_owned());
        }
        let (sent_ms, beat) = (part.beat.sent_ms, part.beat);
        if part.parts == 1 {
            self.0.remove(&from.host);
            return Ok(Assembled::Whole(beat));
        }
        let begin = || Incomplete {
            origin: from.clone(),
            sent_ms,
            parts: part.parts,
            arrived: BTreeMap::new(),
            components: 0,
        };
        let one = self.0.entry(from.host.clone()).or_insert_with(begin);
        let is_same = one.origin == *from && one.sent_ms == sent_ms && one.parts == part.parts;
        if !is_same {
            *one = begin();
        }
        let is_first = one.arrived.is_empty();
        one.components += beat.components.len();
        if one.components > Beat::MAX_SERVED {
            self.0.remove(&from.host);
            return Err("a beat in parts with too many components".to_owned());
        }
        if let Some(repeated) = one.arrived.insert(part.part, beat) {
            one.components -= repeated.components.len();
        }
        if one.arrived.len() < usize::from(one.parts) {
            let assembled = if is_first {
                Assembled::Begun
            } else {
                Assembled::Continued
            };
            return Ok(assembled);
        }
        let whole = self.0.remove(&from.host).and_then(Incomplete::whole);
        whole.map(Assembled::Whole).ok_or_else(String::new)
    }

    /// Forgets hosts that are gone, once there are many of them.
    pub(super) fn tidy(&mut self, peers: &Peers, spare: usize) {
        if self.0.len() > 2 * peers.iter().count() + spare {
            self.0.retain(|_, one| peers.contains(&one.origin));
        }
    }
}

impl Incomplete {
    fn whole(self) -> Option<Beat> {
        let mut parts = self.arrived.into_values();
        let mut whole = parts.next()?;
        for part in parts {
            whole.labels.extend(part.labels);
            whole.components.extend(part.components);
        }
        Some(whole)
    }
}
