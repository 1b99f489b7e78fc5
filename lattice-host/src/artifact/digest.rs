//! Digests of bytes that arrive in pieces.

use lattice_core::desired::ImageDigest;
use sha2::{Digest as _, Sha256};

#[derive(Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn digest(self) -> ImageDigest {
        let digest: [u8; 32] = self.0.finalize().into();
        ImageDigest::from(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_pieces_equals_the_digest_of_the_whole() {
        let mut hasher = Hasher::default();
        hasher.update(b"one ");
        hasher.update(b"two");
        assert_eq!(hasher.digest(), ImageDigest::of(b"one two"));
    }
}
