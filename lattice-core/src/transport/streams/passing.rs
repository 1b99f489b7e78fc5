//! Handles in the elements that a stream has sent, until it is known who has them.

use super::{SharedSession, value};
use crate::{
    call::Ran,
    stream::{
        Broken,
        remote::{Departed, Leaving},
    },
    transport::session::{Refused, Taken},
    wire::HandleName,
};
use std::{collections::VecDeque, sync::Arc};

/// Why a stream can't have another stream as its element now.
const OPEN: &str = "1,023 streams and futures that were passed with it are open, which is the most at once; end or read some of them before";

/// The handles in one parcel.
#[derive(Debug, Default)]
pub(super) struct Passing {
    resources: Vec<Departed>,
    /// The channels of its streams.
    streams: Vec<u32>,
}

/// The parcels with handles that the other host has not taken yet, as far as is known: in order,
/// each with the number of chunks that were sent up to its end.
#[derive(Debug, Default)]
pub(super) struct Untaken {
    parcels: VecDeque<(u64, Passing)>,
    /// How many streams they have.
    streams: usize,
}

impl Passing {
    /// Sends the streams of a parcel, and names all of its handles.
    ///
    /// # Errors
    /// Fails when there are too many streams. The parcel is to be [withdrawn](Self::withdraw) then.
    pub(super) fn name(
        &mut self,
        leaving: Vec<Leaving>,
        shared: &Arc<SharedSession>,
    ) -> Result<Vec<HandleName>, Broken> {
        let mut names = Vec::with_capacity(leaving.len());
        let mut refused = None;
        for handle in leaving {
            let (reader, name): (_, fn(u32) -> HandleName) = match handle {
                Leaving::Resource(departed) => {
                    names.push(value::name_of(&departed));
                    self.resources.push(departed);
                    continue;
                }
                Leaving::Stream(reader) => (reader, HandleName::Stream),
                Leaving::Future(reader) => (reader, HandleName::Future),
            };
            if refused.is_some() {
                continue;
            }
            match shared.send_next(reader) {
                Ok(channel) => {
                    self.streams.push(channel);
                    names.push(name(channel));
                }
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            None => Ok(names),
            Some(refused) => Err(not_sent(refused)),
        }
    }

    /// The other host has not got it, and won't.
    pub(super) fn withdraw(self, shared: &SharedSession) {
        for departed in self.resources {
            departed.failed(Ran::No);
        }
        for channel in self.streams {
            shared.withdraw(channel);
        }
    }

    /// The other host has it, and says what becomes of it.
    fn taken(self) {
        for departed in self.resources {
            departed.taken();
        }
    }

    /// It isn't known whether the other host has it. Its streams are cut off with the session.
    fn cut_off(self) {
        for departed in self.resources {
            departed.cut_off();
        }
    }
}

impl Untaken {
    /// A parcel is sent now, of which the last chunk has this number, from 1.
    pub(super) fn push(&mut self, last: u64, parcel: Passing) {
        self.streams += parcel.streams.len();
        self.parcels.push_back((last, parcel));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }

    /// How many streams are in the parcels.
    pub(super) fn streams(&self) -> usize {
        self.streams
    }

    /// The other host has taken so many chunks.
    pub(super) fn settle(&mut self, taken: Taken) {
        while let Some((_, parcel)) = self.parcels.pop_front_if(|(last, _)| *last <= taken.chunks) {
            self.streams -= parcel.streams.len();
            parcel.taken();
        }
    }

    /// The stream is over, and this is all that is known of what the other host has taken.
    pub(super) fn end(mut self, taken: Taken, shared: &SharedSession) {
        self.settle(taken);
        for (_, parcel) in self.parcels {
            if taken.is_final {
                parcel.withdraw(shared);
            } else {
                parcel.cut_off();
            }
        }
    }
}

fn not_sent(refused: Refused) -> Broken {
    let reason = match refused {
        Refused::TooMany => OPEN.to_owned(),
        other => other.to_string(),
    };
    Broken::CutOff {
        reason: reason.into(),
    }
}
