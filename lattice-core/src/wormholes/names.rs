//! Names that are generated: two words and a number.

use super::{
    NewWormhole, WormholeError,
    words::{FIRST, SECOND},
};
use crate::{
    desired::{Desired, WormholeSpec},
    entropy,
    name::WormholeId,
};
use std::ops::Range;

/// The numbers of names: four digits.
const NUMBERS: Range<u64> = 1_000..10_000;
/// How many names are tried. Of 300 million, one in 300 is in use when a million are.
const TRIES: u32 = 32;

/// Returns the id and the record of a new wormhole, and its generated name, if it has one.
pub(super) fn complete(
    new: &NewWormhole,
    desired: &Desired,
) -> Result<(WormholeId, WormholeSpec, Option<String>), WormholeError> {
    let mut spec = new.spec.clone();
    let wants_host = spec.host.is_none() && !new.any_host;
    if let (Some(id), false) = (&new.id, wants_host) {
        return Ok((id.clone(), spec, None));
    }
    let name = unused(desired, entropy::number)?;
    let text = name.as_str().to_owned();
    if wants_host {
        spec.host = Some(text.clone());
    }
    let id = new.id.clone().unwrap_or(name);
    Ok((id, spec, Some(text)))
}

/// Returns a name that was never used.
fn unused(
    desired: &Desired,
    mut random: impl FnMut() -> Option<u64>,
) -> Result<WormholeId, WormholeError> {
    for _ in 0..TRIES {
        let Some(number) = random() else { break };
        if let Some(name) = name(number)
            && desired.is_unused(&name)
        {
            return Ok(name);
        }
    }
    Err(WormholeError::NoFreeName)
}

/// Returns the name that a random number stands for.
fn name(random: u64) -> Option<WormholeId> {
    let mut rest = random;
    let mut part = |of: u64| {
        let part = rest % of;
        rest /= of;
        part
    };
    let first = FIRST.get(usize::try_from(part(FIRST.len() as u64)).ok()?)?;
    let second = SECOND.get(usize::try_from(part(SECOND.len() as u64)).ok()?)?;
    let number = NUMBERS.start + part(NUMBERS.end - NUMBERS.start);
    WormholeId::new(&format!("{first}-{second}-{number}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        desired::{Declared, HostClaim},
        store::Revision,
        wormhole::HostName,
    };
    use std::collections::BTreeSet;

    #[test]
    fn every_word_is_short_plain_and_listed_once() {
        for words in [&FIRST[..], &SECOND[..]] {
            assert!(words.len() >= 128, "{}", words.len());
            let all: BTreeSet<&str> = words.iter().copied().collect();
            assert_eq!(all.len(), words.len(), "a word is listed twice");
            for word in words {
                let is_plain = word.bytes().all(|byte| byte.is_ascii_lowercase());
                assert!(is_plain && (3..=9).contains(&word.len()), "{word}");
            }
        }
    }

    #[test]
    fn names_are_two_words_and_a_number() {
        for random in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            let name = name(random).expect("a name");
            let parts: Vec<&str> = name.as_str().split('-').collect();
            assert_eq!(parts.len(), 3, "{name}");
            let host = HostName::of_record(name.as_str());
            assert!(host.may_be_generated(), "its claim is kept");
            assert!(
                FIRST.contains(&parts[0]) && SECOND.contains(&parts[1]),
                "{name}"
            );
            assert!(
                NUMBERS.contains(&parts[2].parse().expect("a number")),
                "{name}"
            );
        }
        assert_ne!(name(1), name(2));
    }

    #[test]
    fn a_name_that_was_used_is_never_generated_again() {
        let mut desired = Desired::default();
        let (used, unused_name) = (name(1).expect("a name"), name(2).expect("a name"));
        // Its wormhole is deleted, and the claim has stayed.
        let claim = Declared::new(Revision(1), HostClaim::default());
        let host = HostName::of_record(used.as_str());
        desired.claims.insert(host, claim);
        let mut numbers = [1, 1, 2].into_iter();
        let found = unused(&desired, || numbers.next()).expect("a name");
        assert_eq!(found, unused_name);
        assert!(matches!(
            unused(&desired, || Some(1)),
            Err(WormholeError::NoFreeName)
        ));
        assert!(matches!(
            unused(&desired, || None),
            Err(WormholeError::NoFreeName)
        ));
    }
}
