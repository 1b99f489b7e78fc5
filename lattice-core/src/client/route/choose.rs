//! Chooses the replica of a component that takes a call.

use crate::link::Locality;

/// The replicas that a call may go to, as its caller knows them.
pub(crate) struct Candidates<L, U, R> {
    /// Calls in flight in the replica on the caller's own host, if there is a usable one.
    pub(crate) here: Option<usize>,
    /// How many there are on other hosts.
    pub(crate) there: usize,
    /// Own calls in flight to one of those.
    pub(crate) load: L,
    /// Whether a call may go there at all: it was not tried yet.
    pub(crate) usable: U,
    /// Whether to avoid it: it has reported a moment ago that it can't take such calls.
    pub(crate) cooling: R,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    Here,
    There(usize),
}

/// Returns the better of two random replicas by own calls in flight. One to avoid is chosen only if
/// no other is left.
pub(crate) fn choose<L, U, R>(
    locality: Locality,
    random: u64,
    of: &Candidates<L, U, R>,
) -> Option<Choice>
where
    L: Fn(usize) -> usize,
    U: Fn(usize) -> bool,
    R: Fn(usize) -> bool,
{
    match (locality, of.here) {
        (Locality::PreferLocal | Locality::LocalOnly, Some(_)) => return Some(Choice::Here),
        (Locality::LocalOnly, None) => return None,
        _ => {}
    }
    better_of_two(random, of, |at| (of.usable)(at) && !(of.cooling)(at))
        .or_else(|| better_of_two(random, of, |at| (of.usable)(at)))
}

fn better_of_two<L, U, R>(
    random: u64,
    of: &Candidates<L, U, R>,
    fits: impl Fn(usize) -> bool,
) -> Option<Choice>
where
    L: Fn(usize) -> usize,
{
    let there = || (0..of.there).filter(|at| fits(*at));
    let elsewhere = there().count();
    let count = elsewhere + usize::from(of.here.is_some());
    // The replica on this host comes after all the others.
    let at = |index: usize| there().nth(index).map_or(Choice::Here, Choice::There);
    match count {
        0 => return None,
        1 => return Some(at(0)),
        _ => {}
    }
    let (high, low) = ((random >> 32) as usize, (random & 0xffff_ffff) as usize);
    let first = high % count;
    let second = (first + 1 + low % (count - 1)) % count;
    let (first, second) = (at(first), at(second));
    let load = |choice| match choice {
        Choice::Here => of.here.unwrap_or_default(),
        Choice::There(at) => (of.load)(at),
    };
    Some(if load(second) < load(first) {
        second
    } else {
        first
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn locality() -> impl Strategy<Value = Locality> {
        prop_oneof![
            Just(Locality::PreferLocal),
            Just(Locality::LocalOnly),
            Just(Locality::Anywhere),
        ]
    }

    #[derive(Debug, Clone, Copy)]
    struct There {
        load: usize,
        usable: bool,
        cooling: bool,
    }

    fn there() -> impl Strategy<Value = There> {
        (0..100_usize, any::<bool>(), any::<bool>()).prop_map(|(load, usable, cooling)| There {
            load,
            usable,
            cooling,
        })
    }

    fn chosen(
        locality: Locality,
        random: u64,
        here: Option<usize>,
        there: &[There],
    ) -> Option<Choice> {
        let of = Candidates {
            here,
            there: there.len(),
            load: |at: usize| there[at].load,
            usable: |at: usize| there[at].usable,
            cooling: |at: usize| there[at].cooling,
        };
        choose(locality, random, &of)
    }

    proptest! {
        #[test]
        fn a_call_goes_only_where_its_locality_allows(
            locality in locality(),
            random in any::<u64>(),
            here in proptest::option::of(0..100_usize),
            there in proptest::collection::vec(there(), 0..8),
        ) {
            let usable = there.iter().any(|there| there.usable);
            let cooled = there.iter().any(|there| there.usable && !there.cooling);
            match chosen(locality, random, here, &there) {
                None => prop_assert!(here.is_none() && (locality == Locality::LocalOnly || !usable)),
                Some(Choice::Here) => prop_assert!(here.is_some()),
                Some(Choice::There(at)) => {
                    prop_assert!(locality != Locality::LocalOnly);
                    prop_assert!(locality == Locality::Anywhere || here.is_none());
                    prop_assert!(there[at].usable);
                    prop_assert!(!there[at].cooling || !cooled && here.is_none());
                }
            }
        }

        #[test]
        fn the_busiest_of_several_hosts_is_never_chosen(
            random in any::<u64>(),
            loads in proptest::collection::hash_set(0..1_000_usize, 2..8),
        ) {
            let there: Vec<_> = loads
                .into_iter()
                .map(|load| There { load, usable: true, cooling: false })
                .collect();
            let busiest = there.iter().map(|there| there.load).max();
            match chosen(Locality::Anywhere, random, None, &there) {
                Some(Choice::There(at)) => prop_assert!(Some(there[at].load) != busiest),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn equally_busy_hosts_are_chosen_equally_often() {
        let there = [There {
            load: 0,
            usable: true,
            cooling: false,
        }; 3];
        let mut counts = [0; 4];
        let mut random = 1_u64;
        for _ in 0..40_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            match chosen(Locality::Anywhere, random, Some(0), &there) {
                Some(Choice::There(at)) => counts[at] += 1,
                Some(Choice::Here) => counts[3] += 1,
                None => panic!("there are four"),
            }
        }
        assert!(
            counts.iter().all(|count| (9_000..11_000).contains(count)),
            "{counts:?}"
        );
    }
}
