use super::*;
use proptest::prelude::*;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

const LIMIT: ByteSize = ByteSize::mib(256);

fn artifact(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 31 / 7) as u8).collect()
}

fn assembly(artifact: &[u8], hosts: u8) -> Assembly<u8> {
    let mut assembly =
        Assembly::new(ImageDigest::of(artifact), RangeMap::of(artifact), 0, LIMIT).unwrap();
    for host in 1..hosts {
        assembly.add(host);
    }
    assembly
}

fn range(artifact: &[u8], range: u32) -> &[u8] {
    &artifact[RangeMap::of(artifact).span(range).unwrap()]
}

#[test]
fn a_map_covers_every_byte_once() {
    let one = RANGE_BYTES as usize;
    for size in [0, 1, one - 1, one, one + 1, 3 * one, 3 * one + 5] {
        let artifact = artifact(size);
        let map = RangeMap::of(&artifact);
        map.check(ImageDigest::of(&artifact), LIMIT).unwrap();
        let spans: Vec<_> = (0..).map_while(|range| map.span(range)).collect();
        assert_eq!(spans.len(), map.digests.len());
        let joined: Vec<u8> = spans
            .into_iter()
            .flat_map(|span| artifact[span].to_vec())
            .collect();
        assert_eq!(joined, artifact);
        assert_eq!(map.span(u32::MAX), None);
        assert_eq!(
            serde_json::from_slice::<RangeMap>(&serde_json::to_vec(&map).unwrap()).unwrap(),
            map
        );
    }
}

#[test]
fn an_inconsistent_map_is_refused() {
    let bytes = artifact(1_000_000);
    let (digest, map) = (ImageDigest::of(&bytes), RangeMap::of(&bytes));
    let new = |map| Assembly::new(digest, map, 0_u8, ByteSize::mib(1)).map(drop);
    assert_eq!(new(map.clone()), Ok(()));

    let other = RangeMap {
        digest: ImageDigest::of(b"other"),
        ..map.clone()
    };
    assert!(matches!(
        new(other),
        Err(RangeMapError::OtherArtifact { .. })
    ));
    let large = RangeMap {
        size: u64::MAX,
        ..map.clone()
    };
    assert!(matches!(new(large), Err(RangeMapError::TooLarge { .. })));
    for map in [
        RangeMap {
            size: 0,
            ..map.clone()
        },
        RangeMap {
            size: 1 << 20,
            range: 1 << 18,
            digests: vec![[0; 32]; 5],
            ..map.clone()
        },
        RangeMap {
            range: 0,
            ..map.clone()
        },
        RangeMap {
            range: 1,
            ..map.clone()
        },
        RangeMap {
            range: u32::MAX,
            digests: vec![[0; 32]],
            ..map.clone()
        },
        RangeMap {
            digests: Vec::new(),
            ..map.clone()
        },
    ] {
        assert!(matches!(new(map), Err(RangeMapError::Malformed { .. })));
    }
}

#[test]
fn several_hosts_share_the_work() {
    let bytes = artifact(40 * RANGE_BYTES as usize);
    let mut assembly = assembly(&bytes, 3);
    let now = Instant::now();
    let asks = assembly.requests(now);
    assert_eq!(asks.len(), 12);
    for host in 0..3 {
        assert_eq!(asks.iter().filter(|request| request.of == host).count(), 4);
    }
    let ranges: BTreeSet<_> = asks.iter().map(|request| request.range).collect();
    assert_eq!(ranges.len(), 12, "each is requested from one host");
    assert_eq!(assembly.requests(now), [], "no host has capacity");
    assert_eq!(
        assembly.receive(&asks[0].of, asks[0].range, range(&bytes, asks[0].range)),
        Ok(Received::New)
    );
    assert_eq!(
        assembly.receive(&asks[0].of, asks[0].range, b"anything"),
        Ok(Received::Duplicate)
    );
    let more = assembly.requests(now);
    assert_eq!(
        more,
        [RangeRequest {
            of: asks[0].of,
            range: 12
        }]
    );
}

#[test]
fn a_wrong_range_names_its_sender_and_is_requested_from_others() {
    let bytes = artifact(4 * RANGE_BYTES as usize);
    let mut wrong = range(&bytes, 0).to_vec();
    wrong[7] ^= 1;
    for (number, sent) in [
        (0, &wrong[..]),
        (0, b""),
        (0, &wrong[1..]),
        (0, range(&bytes, 1)),
    ] {
        let mut assembly = assembly(&bytes, 2);
        let now = Instant::now();
        assembly.requests(now);
        let refused = assembly.receive(&1, number, sent);
        assert_eq!(refused, Err(RangeError::Wrong { from: 1, range: 0 }));
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("host 1 sent wrong bytes for range 0")
        );
        assert_eq!(assembly.hosts(), 1);
        assert_eq!(
            assembly.receive(&1, 0, range(&bytes, 0)),
            Err(RangeError::Uninvited { from: 1, range: 0 }),
            "nothing more is accepted from it"
        );
        let asks = assembly.requests(now);
        assert!(
            !asks.is_empty() && asks.iter().all(|request| request.of == 0),
            "{asks:?}"
        );
    }
    let mut assembly = assembly(&bytes, 2);
    assert_eq!(
        assembly.receive(&1, 4, b""),
        Err(RangeError::NoSuchRange { from: 1, range: 4 })
    );
    assert_eq!(
        assembly.receive(&9, 0, b""),
        Err(RangeError::Uninvited { from: 9, range: 0 })
    );
}

#[test]
fn a_late_range_is_requested_from_another_host_and_still_accepted() {
    let bytes = artifact(2 * RANGE_BYTES as usize);
    let mut assembly = assembly(&bytes, 2);
    let start = Instant::now();
    let first = assembly.requests(start);
    assert_eq!(first.len(), 2);
    let late = assembly.next().unwrap();
    assert_eq!(assembly.requests(start + Duration::from_secs(4)), []);
    assembly
        .receive(&first[1].of, first[1].range, range(&bytes, first[1].range))
        .unwrap();
    let second = assembly.requests(late);
    assert_eq!(
        second,
        [RangeRequest {
            of: first[1].of,
            range: first[0].range
        }]
    );

    assert_eq!(
        assembly.receive(&first[0].of, first[0].range, range(&bytes, first[0].range)),
        Ok(Received::New)
    );
    assert_eq!(
        assembly.receive(
            &second[0].of,
            second[0].range,
            range(&bytes, second[0].range)
        ),
        Ok(Received::Duplicate)
    );
    assert_eq!(assembly.next(), None);
    assert_eq!(assembly.finish().unwrap(), bytes);
}

#[test]
fn a_host_that_never_replies_gets_no_more_requests() {
    let bytes = artifact(RANGE_BYTES as usize);
    let mut assembly = assembly(&bytes, 1);
    let mut now = Instant::now();
    for _ in 0..3 {
        assert_eq!(assembly.requests(now).len(), 1);
        now = assembly.next().unwrap();
    }
    assert_eq!(assembly.requests(now), []);
    assert_eq!((assembly.hosts(), assembly.is_complete()), (0, false));
    assembly.add(7);
    assert_eq!(assembly.requests(now), [RangeRequest { of: 7, range: 0 }]);
}

#[test]
fn the_ranges_of_a_removed_host_are_requested_from_others() {
    let bytes = artifact(2 * RANGE_BYTES as usize);
    let mut assembly = assembly(&bytes, 2);
    let now = Instant::now();
    assembly.requests(now);
    assembly.remove(&0);
    let asks = assembly.requests(now);
    assert!(asks.len() == 1 && asks[0].of == 1, "{asks:?}");
}

#[test]
fn hosts_are_bounded() {
    let bytes = artifact(1);
    let mut assembly = assembly(&bytes, 1);
    for host in 0..=255 {
        assembly.add(host);
    }
    assert_eq!(assembly.hosts(), 16);
}

#[test]
fn a_wrong_map_is_detected_and_names_its_sender() {
    let (wanted, given) = (artifact(600_000), vec![1; 600_000]);
    let map = RangeMap {
        digest: ImageDigest::of(&wanted),
        ..RangeMap::of(&given)
    };
    let mut assembly = Assembly::new(ImageDigest::of(&wanted), map, "liar", LIMIT).unwrap();
    assembly.add("honest");
    assert_eq!(
        assembly.receive(&"honest", 0, range(&wanted, 0)),
        Err(RangeError::Wrong {
            from: "honest",
            range: 0
        }),
        "the map is trusted for now"
    );
    for request in assembly.requests(Instant::now()) {
        assembly
            .receive(&request.of, request.range, range(&given, request.range))
            .unwrap();
    }
    let error = assembly.finish().unwrap_err();
    assert!(
        matches!(error, AssemblyError::WrongMap { mapper: "liar", .. }),
        "{error:?}"
    );
}

#[test]
fn an_incomplete_artifact_is_not_returned() {
    let assembly = assembly(&artifact(600_000), 1);
    assert!(matches!(
        assembly.finish(),
        Err(AssemblyError::Incomplete { missing: 3, .. })
    ));
}

/// How a host responds to a request.
#[derive(Debug, Clone, Copy)]
enum Does {
    Answers,
    Lies,
    Nothing,
    Leaves,
}

fn deeds() -> impl Strategy<Value = Vec<Does>> {
    let one = prop_oneof![6 => Just(Does::Answers), 1 => Just(Does::Lies), 2 => Just(Does::Nothing), 1 => Just(Does::Leaves)];
    prop::collection::vec(one, 0..60)
}

proptest! {
    /// Whatever all hosts except one honest host do, in any order, the artifact is assembled, and
    /// is right.
    #[test]
    fn an_artifact_is_assembled_despite_misbehaving_hosts(size in 1_usize..1_500_000, deeds in deeds(), backwards in any::<bool>()) {
        const HONEST: u8 = 0;
        let bytes = artifact(size);
        let mut assembly = assembly(&bytes, 5);
        let mut deeds = deeds.into_iter();
        let mut now = Instant::now();
        while !assembly.is_complete() {
            let mut asks = assembly.requests(now);
            prop_assert!(asks.len() <= 5 * 4);
            if backwards {
                asks.reverse();
            }
            for RangeRequest { of, range: number } in asks {
                let does = if of == HONEST { Does::Answers } else { deeds.next().unwrap_or(Does::Answers) };
                match does {
                    // The host may have been excluded since the request was sent.
                    Does::Answers => drop(assembly.receive(&of, number, range(&bytes, number))),
                    Does::Lies => prop_assert!(assembly.receive(&of, number, b"lie").is_err()),
                    Does::Nothing => {}
                    Does::Leaves => assembly.remove(&of),
                }
            }
            now = assembly.next().unwrap_or(now);
        }
        prop_assert_eq!(assembly.finish().unwrap(), bytes);
    }
}
