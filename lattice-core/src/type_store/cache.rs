//! Published types that were read before. Types never change under their digest.

use crate::types::{ComponentTypes, Digest};
use std::{collections::VecDeque, sync::Arc};

/// Most bytes of encoded types that are kept; decoded they take a few times that. A component's
/// types take some KiB.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The types that were read last.
#[derive(Debug, Default)]
pub(super) struct Cache {
    /// The last used comes last. There are hundreds at most, and they are looked up when a link is
    /// created, not when it is called.
    kept: VecDeque<CachedTypes>,
    bytes: usize,
}

#[derive(Debug)]
struct CachedTypes {
    digest: Digest,
    types: Arc<ComponentTypes>,
    bytes: usize,
}

impl Cache {
    pub(super) fn find(&mut self, digest: &Digest) -> Option<Arc<ComponentTypes>> {
        let at = self.kept.iter().position(|kept| kept.digest == *digest)?;
        let kept = self.kept.remove(at)?;
        let types = kept.types.clone();
        self.kept.push_back(kept);
        Some(types)
    }

    pub(super) fn keep(&mut self, digest: Digest, types: Arc<ComponentTypes>, bytes: usize) {
        if self.find(&digest).is_some() {
            return;
        }
        self.bytes += bytes;
        self.kept.push_back(CachedTypes {
            digest,
            types,
            bytes,
        });
        while self.bytes > MAX_BYTES
            && let Some(oldest) = self.kept.pop_front()
        {
            self.bytes -= oldest.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_keeps_the_most_recently_used_entries() {
        let mut cache = Cache::default();
        let types = Arc::new(ComponentTypes::default());
        let digest = |n: usize| Digest([n as u8; 32]);
        for n in 0..100 {
            cache.keep(digest(n), types.clone(), MAX_BYTES / 10);
            assert!(cache.find(&digest(0)).is_some(), "{n}");
        }
        assert!(cache.bytes <= MAX_BYTES);
        assert_eq!(cache.kept.len(), 10);
        assert!(cache.find(&digest(99)).is_some());
        assert!(cache.find(&digest(50)).is_none());
    }
}
