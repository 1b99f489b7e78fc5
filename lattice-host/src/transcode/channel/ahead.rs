//! How much of a stream of bytes is requested before its guest reads it.
//!
//! Without that, each chunk is one round between the tasks of two instances. A stream that has
//! carried much is worth some memory, as long as not too many of them have stopped.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are requested ahead: four chunks.
const AHEAD: usize = 4 * super::MOST_BYTES;
/// Bytes that a stream has carried before.
const CARRIED: usize = 1024 * 1024;
/// Most bytes that all streams of a process request ahead together.
const TOGETHER: usize = 8 * 1024 * 1024;

/// Bytes that all streams request ahead now.
static ALL: AtomicUsize = AtomicUsize::new(0);

/// What one stream requests ahead. Dropping it gives its bytes back.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    carried: usize,
    bytes: usize,
}

impl Ahead {
    /// Counts bytes that the stream has carried.
    pub(super) fn carried(&mut self, bytes: usize) {
        if self.carried >= CARRIED {
            return;
        }
        self.carried = self.carried.saturating_add(bytes);
        if self.carried >= CARRIED {
            let more = |all| (all + AHEAD <= TOGETHER).then_some(all + AHEAD);
            let taken = ALL.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
            self.bytes = taken.map_or(0, |_| AHEAD);
        }
    }

    /// Bytes to request ahead now.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        ALL.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_streams_that_have_carried_much_request_ahead_and_only_so_many() {
        let mut streams: Vec<Ahead> = (0..100).map(|_| Ahead::default()).collect();
        for stream in &mut streams {
            stream.carried(CARRIED - 1);
            assert_eq!(stream.bytes(), 0);
            stream.carried(1);
        }
        let ahead = |streams: &[Ahead]| streams.iter().map(Ahead::bytes).sum::<usize>();
        assert_eq!(streams[0].bytes(), AHEAD);
        assert_eq!(ahead(&streams), TOGETHER);
        streams.truncate(10);
        let mut next = Ahead::default();
        next.carried(CARRIED);
        assert_eq!(next.bytes(), AHEAD, "what others have given back");
        drop((streams, next));
        assert_eq!(ALL.load(Ordering::Relaxed), 0);
    }
}
