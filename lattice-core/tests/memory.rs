//! Memory grows with the running calls, not with the number of calls made, successful or not.

#[expect(dead_code, reason = "each test binary uses a part of it")]
#[path = "support/mod.rs"]
mod support;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use lattice_core::{
    Lattice,
    auth::Auth,
    bus::{Bus as _, memory::MemoryNetwork},
    call::Context,
    link::Link,
    name::LatticeName,
    quantity::ByteSize,
    replica::Replica,
    store::{
        CommitError, Entry, Expect, Incarnation, MemoryStore, Op, Revision, Store, StoreError,
        StoreKey, StoreWatch, WatchEvent, record::Records,
    },
    subject::Subjects,
};
use lattice_sim::fault::{FaultBus, Faults};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use support::*;
use tokio::{task::JoinSet, time::sleep};

const CALLS: usize = 20_000;
const AT_ONCE: usize = 64;
/// Longer than an unused connection to a host is kept.
const QUIET: Duration = Duration::from_secs(180);
/// Less than a byte per call.
const SLACK: isize = 16 * 1024;

/// Counts the memory that this thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator can't be written otherwise")]
// SAFETY: every call is passed on unchanged; the counter is a plain thread-local that doesn't
// allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get() + layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `dealloc`, and `at` came from `System`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One of every twenty calls never returns, and about one in twenty replies is lost.
async fn make_calls(two: &Two, count: usize) -> usize {
    let mut calls = JoinSet::new();
    let mut answered = 0;
    for n in 0..count {
        if calls.len() >= AT_ONCE {
            answered += calls.join_next().await.map_or(0, Result::unwrap);
        }
        let caller = two.caller.clone();
        calls.spawn(async move {
            let context = Context::new(Duration::from_millis(100));
            let ended = if n % 20 == 0 {
                call(&caller, &wait(), Bytes::new(), context).await
            } else {
                call(&caller, &echo(), text("x"), context).await
            };
            usize::from(ended.is_ok())
        });
    }
    answered + calls.join_all().await.into_iter().sum::<usize>()
}

/// The memory that was taken by what `flood` does, in bytes.
async fn taken_by(flood: impl Future<Output = ()>) -> isize {
    let before = HELD.get();
    flood.await;
    HELD.get() - before
}

/// What each quarter of the memory for messages may take, and what else is allocated meanwhile.
const QUARTER: isize = 4 << 20;
const BESIDE: isize = 1 << 20;

#[tokio::test]
async fn floods_take_no_more_memory_than_messages_may() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let lattice = Lattice::on(Arc::new(network.connect()), store, "test")
        .trust_bus()
        .message_memory(ByteSize::mib(16));
    let two = Two::on(lattice.await.expect("it opens")).await;
    let stranger = network.connect();
    let subjects = Subjects::new(&LatticeName::new("test").expect("a name"));
    let (callee, caller) = (two.b.origin(), two.a.origin());
    let floods = [
        subjects.call(&callee.host, callee.epoch),
        subjects.replies(&caller.host, caller.epoch),
        subjects.beat(),
    ];
    let unread = taken_by(async {
        for subject in floods {
            for _ in 0..64 {
                let garbage = Bytes::from(vec![7; 1 << 20]);
                let sent = stranger.publish(subject.clone(), None, garbage);
                sent.now_or_never().expect("at once").expect("taken");
            }
        }
    });
    let unread = unread.await;
    assert!((1 << 20..QUARTER + BESIDE).contains(&unread), "{unread}");
    eventually("it is read", async || {
        two.lattice.message_memory().received == ByteSize::bytes(0)
    })
    .await;

    let mut calls = JoinSet::new();
    let running = taken_by(async {
        for _ in 0..64 {
            let caller = two.caller.clone();
            calls.spawn(async move {
                let args = Bytes::from(vec![0; 400 << 10]);
                call(&caller, &wait(), args, Context::default()).await
            });
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
        for _ in 0..48 {
            let ended = calls.join_next().await.expect("a call").expect("no panic");
            assert!(ended.is_err(), "overloaded");
        }
    });
    let running = running.await;
    // Callers hold the arguments of their own calls too.
    assert!(running < 2 * QUARTER + BESIDE, "{running}");
    drop(calls);
    two.say().await.expect("it still works");
}

#[tokio::test(start_paused = true)]
async fn calls_leak_no_memory() {
    let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
    let bus = Arc::new(FaultBus::new(Arc::new(network.connect()), 7));
    let here = Lattice::on(Arc::new(network.connect()), store.clone(), "test").trust_bus();
    let there = Lattice::on(bus.clone(), store, "test").trust_bus();
    let (here, there) = (
        here.await.expect("it opens"),
        there.await.expect("it opens"),
    );
    let two = Two::across(&here, &there).await;
    bus.set(Faults::none().losing(0.05));
    make_calls(&two, CALLS / 4).await;
    sleep(QUIET).await;

    let before = HELD.get();
    let answered = make_calls(&two, CALLS).await;
    assert_eq!(two.a.in_flight(), 0);
    sleep(QUIET).await;
    let more = HELD.get() - before;
    assert_eq!(two.serving.in_flight(), 0);
    assert_eq!(two.api.running.load(Ordering::SeqCst), 0);
    let unanswered = CALLS - answered;
    assert!(
        (CALLS / 20..CALLS / 4).contains(&unanswered),
        "{unanswered} of {CALLS} got no result"
    );
    assert!(more < SLACK, "{more} bytes more after {CALLS} calls");
    bus.set(Faults::none());
    two.say().await.expect("it still works");
}

/// A store with deletions of links, each with its own key, as a process receives them.
#[derive(Debug)]
struct Deletions {
    count: usize,
    /// Whether the process saw the links before they were deleted.
    were_seen: bool,
}

impl Deletions {
    fn records() -> Records {
        let nothing = Self {
            count: 0,
            were_seen: false,
        };
        Records::new(Arc::new(nothing), Auth::trusting())
    }

    fn link(n: usize) -> Link {
        Link::new(
            format!("caller-{n:06}"),
            "wasi:keyvalue/store@0.2.0",
            "store",
        )
        .expect("valid")
    }

    fn entry(n: usize, generation: u64, is_deleted: bool) -> Entry {
        let (records, link) = (Self::records(), Self::link(n));
        let key = StoreKey::link(&link.source, &link.interface, &link.name);
        let value = if is_deleted {
            let op = records.deletion(Incarnation(1), key.clone(), generation, Expect::Any);
            op.value.expect("a value")
        } else {
            let value = records.encode(Incarnation(1), &key, generation, &link);
            value.expect("encodes")
        };
        Entry {
            key,
            value,
            revision: Revision(generation + 1),
        }
    }

    fn events(&self) -> Box<dyn Iterator<Item = WatchEvent> + Send> {
        let snapshot = |revision, entries| WatchEvent::Snapshot {
            incarnation: Incarnation(1),
            revision: Revision(revision),
            entries,
        };
        let count = self.count;
        if !self.were_seen {
            let entries = (0..count).map(|n| Self::entry(n, n as u64, true)).collect();
            return Box::new(std::iter::once(snapshot(count as u64, entries)));
        }
        let changes = (0..count).flat_map(|n| {
            let generation = 2 * n as u64;
            let put = Self::entry(n, generation, false);
            [put, Self::entry(n, generation + 1, true)].map(WatchEvent::Put)
        });
        Box::new(std::iter::once(snapshot(0, Vec::new())).chain(changes))
    }
}

impl Store for Deletions {
    fn incarnation(&self) -> BoxFuture<'_, Result<Incarnation, StoreError>> {
        Box::pin(async { Ok(Incarnation(1)) })
    }
    fn read(&self, _: StoreKey) -> BoxFuture<'_, Result<Option<Entry>, StoreError>> {
        Box::pin(async { Ok(None) })
    }
    fn commit(&self, _: Vec<Op>) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async { Err(CommitError::Unknown) })
    }
    fn lease(
        &self,
        _: StoreKey,
        _: Bytes,
        _: Duration,
        _: Expect,
    ) -> BoxFuture<'_, Result<Revision, CommitError>> {
        Box::pin(async { Err(CommitError::Unknown) })
    }
    fn watch(&self) -> BoxFuture<'_, Result<StoreWatch, StoreError>> {
        let events = stream::iter(self.events()).chain(stream::pending());
        Box::pin(async { Ok(StoreWatch::new(events)) })
    }
}

/// Returns how many bytes a process holds for each deletion.
async fn held_for_a_deletion(count: usize, were_seen: bool) -> isize {
    let before = HELD.get();
    let store = Deletions { count, were_seen };
    let records = Records::new(Arc::new(store), Auth::trusting());
    let replica = Replica::follow(records).await.expect("in reach");
    let last = if were_seen { 2 * count } else { count };
    while replica.health().revision < Revision(last as u64) {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(replica.health().refused, 0);
    let held = HELD.get() - before;
    drop(replica);
    // Its task ends a moment later.
    sleep(Duration::from_millis(1)).await;
    assert!(HELD.get() - before < SLACK, "everything is given back");
    held / count.cast_signed()
}

#[tokio::test(start_paused = true)]
async fn a_process_holds_little_for_a_deleted_link() {
    for were_seen in [false, true] {
        // A hash table is almost full with 14,000 entries, and has just doubled with 16,000. A key
        // has 58 bytes, of the number that is returned.
        for count in [10_000, 14_000, 16_000] {
            let held = held_for_a_deletion(count, were_seen).await;
            assert!(held < 256, "{held} bytes for each of {count}");
        }
    }
}
