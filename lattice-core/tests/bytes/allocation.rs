//! Decoding takes memory in proportion to its input, whatever the input says.

use crate::samples::{auth, beat, discovered};
use bytes::{Bytes, BytesMut};
use lattice_core::{
    auth::Auth,
    call::CallError,
    value::from_bytes,
    wire::{
        Beat, Body, CallEnvelope, Discover, Discovered, Frame, Goodbye, Probe, ProbeAck,
        ReplyEnvelope,
    },
};
use serde::de::DeserializeOwned;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    collections::BTreeMap,
};

/// Counts what this thread holds, and the most that it has held.
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
// SAFETY: every call is passed on unchanged; the counters are plain thread-locals that don't allocate.
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
    // `realloc` is left as it is: a new block, a copy, a free. The worst case, and so the one to count.
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that `work` holds at once beyond what was held before, with its result.
fn peak<T>(work: impl FnOnce() -> T) -> usize {
    let before = HELD.get();
    PEAK.set(before);
    let result = work();
    let peak = PEAK.get() - before;
    drop(result);
    peak.cast_unsigned()
}

const SLACK: usize = 64 * 1024;

/// Inputs of many sizes: floods of one byte, counts of every size before them, and what a template makes of them.
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

fn bounded<T>(
    what: &str,
    times: usize,
    inputs: impl IntoIterator<Item = Bytes>,
    decode: impl Fn(Bytes) -> T,
) {
    for input in inputs {
        let peak = peak(|| decode(input.clone()));
        let limit = times * input.len() + SLACK;
        assert!(
            peak <= limit,
            "{what}: {peak} for {} bytes {:02x?}",
            input.len(),
            &input[..input.len().min(60)]
        );
    }
}

#[test]
fn the_counter_counts() {
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
    // Most of these would fall at the tag: let it be right.
    let inputs = || {
        hostile(&template).map(|input| {
            let mut whole = input.to_vec();
            whole.extend([0; 16]);
            whole.into()
        })
    };
    bounded("trusting", 2, inputs(), |input| {
        let frame = Frame::open(&Auth::trusting(), input)?;
        Ok::<_, lattice_core::wire::FrameError>(frame.envelopes().map(|e| e.len()).sum::<usize>())
    });
    let auth = auth("prod", 7);
    bounded("keyed", 2, inputs(), |input| Frame::open(&auth, input));
}

#[test]
fn calls_and_replies() {
    let mut call = vec![0; 50];
    call.extend([0, 5, 4, 4]);
    call.extend(b"frontbackmain");
    bounded("call", 2, hostile(&call), CallEnvelope::decode);

    let mut reply = vec![0; 8];
    reply.extend([1, 0, 0, 0]);
    bounded("reply", 2, hostile(&reply), ReplyEnvelope::decode);
    for share in [0, 2, 9] {
        for size in [1000, 100_000, 1_000_000_usize] {
            let reason = "x".repeat(size);
            let error = CallError::CalleeFailed { reason };
            let mut buf = BytesMut::new();
            ReplyEnvelope {
                id: 1,
                outcome: Err(error),
            }
            .encode_into(&mut buf);
            // Whole, and damaged near the end of its fields, when most of them have been read.
            let last = buf.len() - share;
            if share > 0 {
                buf[last] = 0xff;
            }
            bounded("error", 2, [buf.freeze()], ReplyEnvelope::decode);
        }
    }
}

#[test]
fn bodies() {
    fn check<B: Body>(times: usize, template: &B) {
        let template = template.encode().expect("in bounds");
        bounded(
            std::any::type_name::<B>(),
            times,
            hostile(&template),
            B::decode,
        );
    }
    // A served component takes 34 bytes at least and 72 in memory, and the list is copied as it grows.
    check::<Beat>(5, &beat(1));
    check::<Discovered>(2, &discovered(1));
    let kv = crate::samples::component("kv");
    check(
        2,
        &Discover {
            id: 1,
            component: kv,
        },
    );
    check(2, &Goodbye { grace_ms: 1 });
    check(2, &Probe { nonce: 1 });
    check(2, &ProbeAck { nonce: 1, epoch: 1 });

    let least = b"\x01a";
    for components in [1000, 1025, 2049, 4096_usize, 10_000] {
        let whole = beat(0).encode().expect("in bounds");
        let mut flood = whole[..whole.len() - 1].to_vec();
        flood.extend(postcard::to_stdvec(&components).expect("encodes"));
        for _ in 0..components {
            flood.extend(least);
            flood.extend([0; 32]);
        }
        bounded("flood", 5, [flood.into()], Beat::decode);
    }
}

#[test]
fn values() {
    fn check<T: DeserializeOwned>(times: usize) {
        let name = std::any::type_name::<T>();
        bounded(name, times, hostile(&[1, 1]), |input| {
            from_bytes::<T>(&input)
        });
    }
    check::<String>(1);
    check::<Bytes>(1);
    // What a list takes is its element's size for each byte, and as much again half full while it grows.
    check::<Vec<u8>>(2);
    check::<Vec<u64>>(2 * 8);
    check::<Vec<Vec<u8>>>(2 * 24);
    check::<Vec<Vec<Vec<u8>>>>(4 * 24);
    check::<Vec<String>>(2 * 24);
    check::<BTreeMap<u64, u64>>(60);
}
