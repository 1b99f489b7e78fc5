//! The frames of a send queue that are not sent yet, and the numbers that it has reached. Pure: no
//! bus, no task, no lock.

use super::{super::fate::Fate, NotQueued, Sealed, Then};
use crate::{
    budget::Budget,
    bus::BusError,
    wire::{FrameWriter, MAX_COALESCED},
};
use std::collections::VecDeque;

/// Most bytes that may be queued for one destination. A dead destination is detected long before.
const MAX_WAITING: usize = 64 * 1024 * 1024;
/// Bytes that an open frame takes from the budget at once, so that not every envelope does.
const STEP: usize = 4 * 1024;
/// The bytes of a frame in addition to its envelopes, roughly.
const HEAD: usize = 256;

/// The frames that are not sent yet, and the numbers that the queue has reached.
#[derive(Debug, Default)]
pub(super) struct Frames {
    open: Option<Open>,
    full: VecDeque<Open>,
    /// Sealed, but the bus did not take it at once: goes first.
    refused: Option<Sealed>,
    /// Number of the newest frame opened.
    newest: u64,
    /// Number of the newest frame on its way to the bus: from here on its calls may have run.
    handed_over: u64,
    /// Number of the newest frame that the bus has taken or refused.
    pub(super) published: u64,
    closed: bool,
    /// Bytes of open and full frames.
    waiting: usize,
    /// Bytes taken from the budget: for these frames, and for those that the bus is taking.
    reserved: usize,
    /// How many of them are for the next frame.
    spare: usize,
    /// A guard is held, or the task is about to flush.
    pub(super) flushing: bool,
    /// The length of the last frame. The next one will be about as long.
    usual: usize,
}

/// A frame that takes envelopes.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) number: u64,
    pub(super) writer: FrameWriter,
    /// Its bytes of the budget.
    pub(super) reserved: usize,
}

/// The next frame to send.
#[derive(Debug)]
pub(super) enum Next {
    /// One that the bus was asked to take before.
    Again(Sealed),
    New(Open),
}

impl Frames {
    /// No frames; the first one will have the number after `first`.
    pub(super) fn after(first: u64) -> Self {
        Self {
            newest: first,
            handed_over: first,
            published: first,
            ..Self::default()
        }
    }

    /// Returns the number of the frame that takes an envelope of about `size` bytes, in a frame of
    /// at most `limit` bytes unless it is alone in it. Takes its bytes from `budget`.
    pub(super) fn number_for(
        &mut self,
        size: usize,
        limit: usize,
        budget: &Budget,
    ) -> Result<u64, NotQueued> {
        if self.closed {
            return Err(NotQueued::Closed);
        }
        if self.waiting > 0 && self.waiting + size > MAX_WAITING {
            return Err(NotQueued::Full);
        }
        let limit = limit.min(MAX_COALESCED);
        let full = |open: &mut Open| open.writer.len() + size > limit;
        if let Some(full) = self.open.take_if(full) {
            self.full.push_back(full);
        }
        self.reserve(size, budget)?;
        let open = self.open.as_ref();
        Ok(open.map_or(self.newest + 1, |open| open.number))
    }

    /// Takes bytes for another envelope of `size` bytes, unless its frame has them.
    fn reserve(&mut self, size: usize, budget: &Budget) -> Result<(), NotQueued> {
        let (needed, has) = match &self.open {
            Some(open) => (open.writer.len() + size, open.reserved),
            None => (size.max(self.usual) + HEAD, self.spare),
        };
        let Some(more) = needed.checked_sub(has).filter(|more| *more > 0) else {
            return Ok(());
        };
        let mut tries = [more.max(STEP), more].into_iter();
        let taken = tries.find(|bytes| budget.try_take(self.reserved, *bytes));
        let taken = taken.ok_or(NotQueued::Full)?;
        self.reserved += taken;
        match &mut self.open {
            Some(open) => open.reserved += taken,
            None => self.spare += taken,
        }
        Ok(())
    }

    /// Gives back the bytes of a frame that the bus has taken or refused.
    pub(super) fn release(&mut self, bytes: usize, budget: &Budget) {
        self.reserved -= bytes;
        budget.give_back(bytes);
    }

    /// Gives back the bytes of a frame that was not opened.
    pub(super) fn release_spare(&mut self, budget: &Budget) {
        let spare = std::mem::take(&mut self.spare);
        self.release(spare, budget);
    }

    /// Gives back all bytes, when the queue is gone.
    pub(super) fn release_all(&mut self, budget: &Budget) {
        self.spare = 0;
        self.release(self.reserved, budget);
    }

    /// Appends an envelope to the frame with the number that [`number_for`](Self::number_for) has
    /// returned. `create` makes its frame, with capacity for the size that it is given.
    pub(super) fn append(
        &mut self,
        size: usize,
        create: impl FnOnce(usize) -> FrameWriter,
        push: impl FnOnce(&mut FrameWriter) -> bool,
    ) -> Result<(), NotQueued> {
        let mut open = self.open.take().unwrap_or_else(|| {
            self.newest += 1;
            Open {
                number: self.newest,
                writer: create(size.max(self.usual)),
                reserved: std::mem::take(&mut self.spare),
            }
        });
        let before = open.writer.len();
        let pushed = push(&mut open.writer);
        self.waiting += open.writer.len().saturating_sub(before);
        self.open = Some(open);
        pushed.then_some(()).ok_or(NotQueued::Full)
    }

    /// Returns the next frame; from here on its calls may have run. If there is none, the queue is
    /// flushed.
    pub(super) fn next(&mut self) -> Option<Next> {
        if let Some(refused) = self.refused.take() {
            return Some(Next::Again(refused));
        }
        let Some(open) = self.full.pop_front().or_else(|| self.open.take()) else {
            self.flushing = false;
            return None;
        };
        self.handed_over = open.number;
        self.usual = open.writer.len();
        if self.open.is_none() && self.full.is_empty() {
            self.waiting = 0;
        } else {
            self.waiting = self.waiting.saturating_sub(open.writer.len());
        }
        Some(Next::New(open))
    }

    /// Keeps a frame that the bus did not take at once. It may have taken it after all.
    pub(super) fn keep(&mut self, frame: Sealed) {
        self.refused = Some(frame);
    }

    /// Drops the frames that have not been given to the bus.
    pub(super) fn withdraw(&mut self, then: Then, budget: &Budget) -> Withdrawn {
        let frames = self.full.drain(..).chain(self.open.take());
        let frames: usize = frames.map(|frame| frame.reserved).sum();
        let refused = self.refused.take().map_or(0, |frame| frame.reserved);
        self.release(frames + refused + self.spare, budget);
        self.spare = 0;
        self.waiting = 0;
        self.closed |= then == Then::Close;
        // For tasks that wait for an empty queue, frames that were opened and dropped count as
        // sent.
        self.published = self.newest;
        Withdrawn {
            handed_over: self.handed_over,
            newest: self.newest,
        }
    }

    /// Number of the newest frame opened.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Bytes of open and full frames.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether nothing is queued.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_none() && self.full.is_empty() && self.refused.is_none()
    }
}

/// What a queue knew of its frames at the moment in which they were withdrawn. Frames that were
/// opened since are not its matter: they may be sent, and their calls go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Withdrawn {
    handed_over: u64,
    newest: u64,
}

impl Withdrawn {
    /// The fate of the frame with this number; `None` if it was opened since, or by another queue.
    pub(in super::super) fn fate(self, number: u64) -> Option<Fate> {
        if number > self.newest {
            None
        } else if number > self.handed_over {
            Some(Fate::Withheld)
        } else {
            Some(Fate::MayHaveArrived)
        }
    }
}

/// The fate of a frame that the bus has refused with `error`. The bus fails with some errors before
/// it sends anything; but an earlier attempt to send the same frame may have succeeded.
pub(super) fn fate_of_refused(error: &BusError, was_tried: bool) -> Fate {
    match error {
        BusError::Disconnected | BusError::Closed | BusError::TooLarge { .. } if !was_tried => {
            Fate::Withheld
        }
        _ => Fate::MayHaveArrived,
    }
}
