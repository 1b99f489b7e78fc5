//! Random numbers that are the same for the same seed.

/// Prints the seed when a test fails.
pub struct Seed(pub u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {}", self.0);
        }
    }
}

pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.roll() >> 33) as usize % end
    }

    /// Returns a number from 0 to `most`.
    pub fn share(&mut self, most: f64) -> f64 {
        most * self.below(1_000) as f64 / 1_000.0
    }

    /// Returns up to `most` random bytes.
    pub fn bytes(&mut self, most: usize) -> Vec<u8> {
        let count = self.below(most + 1);
        (0..count).map(|_| self.roll() as u8).collect()
    }

    /// Returns the bytes with some cut off, changed or added.
    pub fn spoiled(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut spoiled = bytes.to_vec();
        match self.below(4) {
            0 => spoiled.truncate(self.below(bytes.len() + 1)),
            1 => spoiled.extend(self.bytes(40)),
            _ => {
                for _ in 0..=self.below(4) {
                    let bit = self.below(bytes.len().max(1) * 8);
                    if let Some(byte) = spoiled.get_mut(bit / 8) {
                        *byte ^= 1 << (bit % 8);
                    }
                }
            }
        }
        spoiled
    }
}
