//! Decoding takes memory in proportion to the length of its input, for any input.

use super::samples::{auth, beat, discovered, logs, report};
use bytes::{Bytes, BytesMut};
use lattice_core::{
    auth::{Auth, LatticeKey},
    call::CallError,
    link::{Link, LinkReports, MAX_IDEMPOTENT, MAX_REPORTS},
    name::{ComponentId, FunctionName, InterfaceName},
    store::StoreKey,
    types::{ComponentTypes, Digest},
    value::{from_bytes, to_bytes},
    wire::{
        Beat, BeatPart, Body, CallEnvelope, Discover, Frame, Goodbye, Logs, LogsWanted, Probe,
        ProbeAck, ReplyEnvelope, Report, ReportWanted,
    },
};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    collections::{BTreeMap, HashMap},
};

/// Counts the memory that this thread holds, and its peak.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    HELD.set(HELD.get() + change);
    PEAK.set(PEAK.get().max(HELD.get()));
}

#[expect(unsafe_code, reason = "an allocator can't be written otherwise")]
// SAFETY: every call is passed on unchanged; the counters are plain thread-locals that don't
// allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `dealloc`, and `at` came from `System`.
        unsafe { System.dealloc(at, layout) }
    }
    // `realloc` keeps its default: allocate, copy, free. That is the worst case, and so the one to
    // count.
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns the peak memory of `work` beyond the memory held before it, and its result.
fn peak<T>(work: impl FnOnce() -> T) -> usize {
    let before = HELD.get();
    PEAK.set(before);
    let result = work();
    let peak = PEAK.get() - before;
    drop(result);
    peak.cast_unsigned()
}

const SLACK: usize = 64 * 1024;

/// Returns inputs of many sizes: floods of one byte, counts of every size before them, and variants
/// of a template.
fn hostile(template: &[u8]) -> impl Iterator<Item = Bytes> {
    let sizes = [16, 1024, 5_000, 40_000, 70_000, 200_000];
    let fills = [0_u8, 1, 2, b'a', 0x80, 0xff];
    let counts = [0_u64, 1, 1000, 4096, 1 << 14, u64::MAX];
    let keeps = (0..=template.len()).step_by(3);
    keeps.flat_map(move |keep| {
        sizes.into_iter().flat_map(move |size| {
            fills.into_iter().flat_map(move |fill| {
                counts.into_iter().map(move |count| {
                    let mut input = template[..keep].to_vec();
                    input.extend(postcard::to_stdvec(&count).expect("encodes"));
                    input.resize(size.max(input.len()), fill);
                    input.into()
                })
            })
        })
    })
}

/// Checks that decoding each input takes at most twice its length and 64 KiB.
fn bounded<T>(what: &str, inputs: impl IntoIterator<Item = Bytes>, decode: impl Fn(Bytes) -> T) {
    bounded_as(1, what, inputs, decode);
}

/// The same check for a type that takes up to `size` in memory for a byte of input.
fn bounded_as<T>(
    size: usize,
    what: &str,
    inputs: impl IntoIterator<Item = Bytes>,
    decode: impl Fn(Bytes) -> T,
) {
    for input in inputs {
        let peak = peak(|| decode(input.clone()));
        let limit = 2 * size * input.len() + SLACK;
        assert!(
            peak <= limit,
            "{what}: {peak} for {} bytes {:02x?}",
            input.len(),
            &input[..input.len().min(60)]
        );
    }
}

#[test]
fn the_allocation_counter_counts() {
    assert_eq!(peak(|| Vec::<u8>::with_capacity(1000)), 1000);
    assert_eq!(peak(|| drop(vec![0_u8; 500])), 500);
    assert!(peak(|| vec![0_u8; 10].into_iter().chain(0..90).collect::<Vec<_>>()) >= 100);
}

#[test]
fn frames() {
    let mut template = b"LTC\x01\0\0\x01\0".to_vec();
    template.extend([1; 24]);
    template.extend([2, 2, 1, 0]);
    template.extend(b"h1h2");
    // Most of these would fail at the tag, so the tag is made valid.
    let inputs = || {
        hostile(&template).map(|input| {
            let mut whole = input.to_vec();
            whole.extend([0; 16]);
            whole.into()
        })
    };
    bounded("trusting", inputs(), |input| {
        let frame = Frame::open(&Auth::trusting(), input)?;
        Ok::<_, lattice_core::wire::FrameError>(frame.envelopes().map(|e| e.len()).sum::<usize>())
    });
    let auth = auth("prod", 7);
    bounded("keyed", inputs(), |input| Frame::open(&auth, input));
}

#[test]
fn calls_and_replies() {
    let mut call = vec![0; 50];
    call.extend([0, 5, 4, 4]);
    call.extend(b"frontbackmain");
    bounded("call", hostile(&call), CallEnvelope::decode);
    // The same with marks of its chain.
    call[44] = 0x10;
    call.push(32);
    bounded("call", hostile(&call), CallEnvelope::decode);

    let mut reply = vec![0; 8];
    reply.extend([1, 0, 0, 0]);
    bounded("reply", hostile(&reply), ReplyEnvelope::decode);
    for share in [0, 2, 9] {
        for size in [1000, 100_000, 1_000_000_usize] {
            let reason = "x".repeat(size);
            let error = CallError::CalleeFailed { reason };
            let mut buf = BytesMut::new();
            ReplyEnvelope {
                id: 1,
                session: None,
                has_handles: false,
                outcome: Err(error),
            }
            .encode_into(&mut buf);
            // Complete, and damaged near the end, when most fields have been read.
            let last = buf.len() - share;
            if share > 0 {
                buf[last] = 0xff;
            }
            bounded("error", [buf.freeze()], ReplyEnvelope::decode);
        }
    }
}

#[test]
fn bodies() {
    fn check<B: Body>(template: &B) {
        let template = template.encode().expect("in bounds");
        bounded(std::any::type_name::<B>(), hostile(&template), B::decode);
    }
    check(&beat(1));
    check(&discovered(1));
    let kv = super::samples::component("kv");
    check(&Discover {
        id: 1,
        component: kv,
    });
    check(&Goodbye { grace_ms: 1 });
    check(&Probe { nonce: 1 });
    check(&ProbeAck { nonce: 1, epoch: 1 });
    check(&report(1));
    check(&ReportWanted {});
    check(&logs(1));
    check(&LogsWanted {
        component: None,
        lease_ms: 1,
        recent: 1,
    });
}

/// Beats of components with the shortest names. The beats contain all components of their count, or
/// half of them.
#[test]
fn floods_of_beats() {
    let whole = beat(0).encode().expect("in bounds");
    for components in [1000, 1025, 2049, 4096_usize, 10_000] {
        for share in [1, 2] {
            let mut flood = whole[..whole.len() - 1].to_vec();
            flood.extend(postcard::to_stdvec(&components).expect("encodes"));
            for _ in 0..components / share {
                flood.extend(b"\x01a");
                flood.extend([0; 32]);
            }
            // This makes the count valid.
            flood.resize(flood.len() + components - components / share, 0xff);
            let part = [b"\x01\x00\x01\x00", &flood[1..]].concat();
            bounded("beat", [flood.into()], Beat::decode);
            bounded("beat part", [part.into()], BeatPart::decode);
        }
    }
}

/// Reports of as many components, processes and links with the shortest names as their counts
/// state.
#[test]
fn floods_of_reports() {
    let whole = report(0).encode().expect("in bounds");
    // A program, and recent calls over no links.
    let end = whole.len() - 15 - 3;
    for components in [100, 399, 400, 401, 10_000_usize] {
        for processes in [0, 99, 100, 101, 10_000_usize] {
            for links in [0, 64, 65, 10_000_usize] {
                let mut flood = whole[..end - 2].to_vec();
                flood.extend(postcard::to_stdvec(&components).expect("encodes"));
                for _ in 0..components {
                    flood.extend(b"\x01a\0\0\0\0\0\0\0");
                }
                flood.extend(postcard::to_stdvec(&processes).expect("encodes"));
                for _ in 0..processes {
                    flood.extend(b"\x01a\0\0\0\0\0");
                }
                flood.extend(&whole[end..whole.len() - 1]);
                flood.extend(postcard::to_stdvec(&links).expect("encodes"));
                for _ in 0..links {
                    flood.extend(b"\x01a\x05a:b/c\x01a\x01a\0\0\0");
                }
                bounded("report", [flood.into()], Report::decode);
            }
        }
    }
}

/// As many lines with the shortest names and no text as the count states.
#[test]
fn floods_of_lines() {
    let whole = logs(0).encode().expect("in bounds");
    for lines in [100, 399, 400, 401, 10_000_usize] {
        let mut flood = whole[..whole.len() - 1].to_vec();
        flood.extend(postcard::to_stdvec(&lines).expect("encodes"));
        for _ in 0..lines {
            flood.extend(b"\0\0\x01a\0\0");
        }
        bounded("logs", [flood.into()], Logs::decode);
    }
}

#[test]
fn values() {
    fn check<T: DeserializeOwned>(size: usize) {
        let name = std::any::type_name::<T>();
        bounded_as(size, name, hostile(&[1, 1]), |input| {
            from_bytes::<T>(&input)
        });
    }
    check::<String>(1);
    check::<Bytes>(1);
    check::<Vec<u8>>(1);
    check::<Vec<u64>>(8);
    check::<Vec<Vec<u8>>>(24);
    check::<Vec<Vec<Vec<u8>>>>(24);
    check::<Vec<String>>(24);
    // A node of eleven entries is at least half full, and the last key is kept.
    check::<BTreeMap<u64, u64>>((2 * 16 + 8 + 24) / 2);
    check::<BTreeMap<u8, bool>>((2 * 2 + 8 + 24) / 2);
    check::<HashMap<(), u64>>(1);
}

#[derive(Deserialize)]
struct Tree(#[expect(dead_code, reason = "only ever decoded")] Vec<Tree>);

/// An input of 145 bytes once took 79 KB: at each level it contained a list whose count filled the
/// remaining input.
#[test]
fn nested_lists_share_one_limit_for_preallocation() {
    for levels in [1, 30, 62, 100] {
        for count in [10, 70, 100_u8] {
            let mut input = vec![count; levels];
            input.resize(levels + usize::from(count), 0);
            let length = input.len();
            let peak = peak(|| from_bytes::<Tree>(&input.into()));
            let trees = length + 256 + 4 * levels;
            assert!(
                peak <= 2 * trees * size_of::<Tree>(),
                "{peak} for {levels} of {count}"
            );
        }
    }
}

/// A type that is large in memory and fails at its first element, for any count of elements.
#[test]
fn a_count_alone_does_not_allocate() {
    type Large = [u64; 32];
    let mut input = postcard::to_stdvec(&1_000_000).expect("encodes");
    input.resize(1_000_000 + input.len(), 0xff);
    let held = peak(|| from_bytes::<Vec<Large>>(&input.into()));
    assert!(held <= SLACK + 1024, "{held}");
}

#[test]
fn names_and_keys() {
    fn check<T: DeserializeOwned>() {
        let name = std::any::type_name::<T>();
        bounded(name, hostile(b"\x01a"), |input| from_bytes::<T>(&input));
    }
    check::<ComponentId>();
    check::<InterfaceName>();
    check::<FunctionName>();
    check::<Digest>();
    let interface = format!("link.a.{}.b", "=3a".repeat(50_000));
    let texts = [".", "link.a.", "types.", "component.a", "=3a", "a", "é"];
    let texts = texts.map(|text| text.repeat(50_000));
    for text in texts.into_iter().chain([interface]) {
        let read = |what, parse: &dyn Fn(&str) -> bool| {
            bounded(what, [Bytes::from(text.clone())], |_| parse(&text));
        };
        read("store key", &|text| StoreKey::parse(text).is_some());
        read("interface", &|text| InterfaceName::new(text).is_ok());
        read("function", &|text| FunctionName::new(text).is_ok());
        read("component", &|text| ComponentId::new(text).is_ok());
        read("lattice key", &|text| LatticeKey::from_hex(text).is_ok());
    }
}

/// Returns a short name, a different one for each number.
fn letters(n: usize) -> String {
    let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
    [n / 676, n / 26, n].into_iter().map(letter).collect()
}

/// As many elements as fit, and counts without any elements.
#[test]
fn records() {
    let link = Link::new("a", "a:b/c", "d").expect("valid");
    let link = to_bytes(&link).expect("encodes");
    bounded("link", hostile(&link), |input| from_bytes::<Link>(&input));
    for functions in [100, 1_024, 1_025, 20_000_usize] {
        let mut flood = link[..link.len() - 1].to_vec();
        flood.extend(postcard::to_stdvec(&functions).expect("encodes"));
        for n in 0..functions {
            flood.extend(postcard::to_stdvec(&letters(n)).expect("encodes"));
        }
        let read = from_bytes::<Link>(&flood.clone().into());
        assert_eq!(read.is_ok(), functions <= MAX_IDEMPOTENT, "{read:?}");
        bounded("link", [flood.into()], |input| from_bytes::<Link>(&input));
    }

    bounded("reports", hostile(b"\x01"), |input| {
        from_bytes::<LinkReports>(&input)
    });
    for hosts in [16, 17, 50_000_usize] {
        let mut flood = vec![1];
        flood.extend(postcard::to_stdvec(&hosts).expect("encodes"));
        flood.extend(b"\x01a\x01".repeat(hosts));
        let read = from_bytes::<LinkReports>(&flood.clone().into());
        assert_eq!(read.is_ok(), hosts <= MAX_REPORTS, "{read:?}");
        bounded("reports", [flood.into()], |input| {
            from_bytes::<LinkReports>(&input)
        });
    }
}

/// Published types are maps of names. A function with its signature takes at least three bytes of
/// input, and 136 bytes in memory.
#[test]
fn types() {
    const FUNCTION: usize = (2 * (16 + 24) + 8 + 24 + 24) / 3 + 1;
    let decode = |input: Bytes| from_bytes::<ComponentTypes>(&input);
    bounded_as(FUNCTION, "types", hostile(b"\x01\x05a:b/c"), decode);
    for functions in [100, 1_000, 17_000_usize] {
        let mut flood = b"\x01\x05a:b/c".to_vec();
        flood.extend(postcard::to_stdvec(&functions).expect("encodes"));
        for n in 0..functions {
            flood.extend(postcard::to_stdvec(&(letters(n), "")).expect("encodes"));
        }
        flood.extend([0, 0]);
        let flood = Bytes::from(flood);
        assert!(decode(flood.clone()).is_ok());
        bounded_as(FUNCTION, "types", [flood], decode);
    }
}
