//! Which sessions a peer has opened before.

/// How far behind the newest one a session may be opened: twice as many as there may be at once.
const WINDOW: u64 = 8_192;
const WORDS: usize = WINDOW as usize / 64;

/// The numbers of sessions that were opened. A peer counts them up, and the bus may reorder them a
/// little.
#[derive(Debug)]
pub(crate) struct Seen {
    newest: u64,
    bits: Box<[u64; WORDS]>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            newest: 0,
            bits: Box::new([0; WORDS]),
        }
    }
}

impl Seen {
    /// Marks a number as seen. Returns false if it was, or is too old to tell.
    pub(crate) fn mark(&mut self, number: u64) -> bool {
        if self.newest.saturating_sub(number) >= WINDOW {
            return false;
        }
        if number > self.newest {
            let skipped = (number - self.newest).min(WINDOW);
            for step in 1..=skipped {
                let (word, bit) = place(number - skipped + step);
                self.bits[word] &= !bit;
            }
            self.newest = number;
        }
        let (word, bit) = place(number);
        let fresh = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        fresh
    }
}

fn place(number: u64) -> (usize, u64) {
    let at = number % WINDOW;
    ((at / 64) as usize, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_new_once() {
        let mut seen = Seen::default();
        for number in [5, 3, 4, 1 << 40, (1 << 40) - 8_191] {
            assert!(seen.mark(number), "{number}");
            assert!(!seen.mark(number), "{number}");
        }
        assert!(!seen.mark((1 << 40) - 8_192), "too old to tell");
        for number in (1 << 40) + 1..(1 << 40) + 20_000 {
            assert!(seen.mark(number));
            assert!(!seen.mark(number) && !seen.mark(number - 1));
        }
    }
}
