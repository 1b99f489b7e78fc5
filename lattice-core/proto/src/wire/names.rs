//! A cache of names, so that a name is not checked and allocated again for every envelope that has
//! it.

use crate::name::ComponentId;
use std::fmt;

/// How many names the cache has at most: far more than one host receives in a moment.
const PLACES: usize = 256;

/// Component ids that were decoded recently. Each has one possible place, determined by its text.
/// Bounded.
pub struct Names {
    places: Box<[Option<ComponentId>]>,
}

impl Names {
    /// Creates an empty cache.
    pub fn new() -> Self {
        Self {
            places: vec![None; PLACES].into_boxed_slice(),
        }
    }

    /// Returns the name in `text` if it is cached, otherwise the place for it.
    pub(super) fn find(&mut self, text: &[u8]) -> Result<ComponentId, &mut Option<ComponentId>> {
        let place = &mut self.places[place(text)];
        match place {
            Some(known) if known.as_str().as_bytes() == text => Ok(known.clone()),
            other => Err(other),
        }
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let met = self.places.iter().flatten();
        f.debug_set().entries(met).finish()
    }
}

/// FNV-1a, since names are short. Two names that share a place only evict each other.
fn place(text: &[u8]) -> usize {
    let hash = text.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    (hash ^ hash >> 16) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_name_is_found_and_never_confused_with_another() {
        let mut names = Names::new();
        for round in 0..3 {
            for n in 0..PLACES * 4 {
                let text = format!("component-{n}");
                match names.find(text.as_bytes()) {
                    Ok(found) => assert_eq!(found.as_str(), text),
                    Err(place) => *place = ComponentId::new(&text).ok(),
                }
                let again = names.find(text.as_bytes());
                assert_eq!(again.ok().as_ref().map(ComponentId::as_str), Some(&*text));
            }
            assert_eq!(names.places.len(), PLACES, "round {round}");
        }
    }
}
