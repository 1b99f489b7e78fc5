//! Resources, streams and futures between actors on one host.

use super::support::*;
use bytes::Bytes;
use lattice_core::{
    Lattice,
    call::{CallError, Context, FunctionRef, Ran},
    name::{FunctionName, InterfaceName},
    stream::{Body, Broken, Chunk, Handle, Handles, Owned, Reader, ResourceRef, Writer, channel},
    telemetry::Metrics,
    types::ComponentTypes,
};
use lattice_host::{Actor, Host, Instances, Limits};
use std::{future::poll_fn, num::NonZeroUsize, sync::Arc, time::Duration};

pub(super) const STORE: &str = "lattice-test:flow/store@0.1.0";
pub(super) const PIPES: &str = "lattice-test:flow/pipes@0.1.0";
pub(super) const TROUBLE: &str = "lattice-test:flow/trouble@0.1.0";
const CHECKS: &str = "lattice-test:flow/checks@0.1.0";

/// A lattice with both actors, linked.
pub(super) struct Flow {
    /// Where `taker` is, and where operator calls come from.
    pub(super) lattice: Lattice,
    types: Arc<ComponentTypes>,
    host: Host,
}

impl Flow {
    /// The host runs `taker`, and some host `giver`.
    pub(super) async fn on(lattice: Lattice, host: Host) -> Self {
        for interface in [STORE, PIPES, TROUBLE] {
            link(&lattice, "taker", interface, "giver").await;
        }
        let types = lattice.operator().component("giver").types().await;
        Self {
            lattice,
            types: types.expect("it is served"),
            host,
        }
    }

    pub(super) async fn new(adjust: impl Fn(Actor) -> Actor) -> Self {
        let lattice = lattice().await;
        let host = Host::builder(&lattice)
            .actor("taker", adjust(actor("taker")))
            .actor("giver", adjust(actor("giver")));
        let host = started(host).await;
        Self::on(lattice, host).await
    }

    pub(super) fn metrics(&self) -> Metrics {
        self.host.metrics()
    }

    pub(super) async fn check(&self, what: &str) -> Result<(), CallError> {
        call(&self.lattice, "taker", CHECKS, "check", (what,)).await
    }

    pub(super) fn function(&self, interface: &str, function: &str) -> FunctionRef {
        let interface = InterfaceName::new(interface).expect("a name");
        let function = FunctionName::new(function).expect("a name");
        let (_, functions) = self.types.export(&interface).expect("it is exported");
        let signature = &functions.functions[&function];
        FunctionRef::new(interface, function, signature)
    }

    /// Calls a function of the giver as an operator.
    pub(super) async fn give(
        &self,
        (interface, function): (&str, &str),
        bytes: impl Into<Bytes>,
        handles: Handles,
    ) -> Result<Body, CallError> {
        let function = self.function(interface, function);
        let (bytes, context) = (bytes.into(), Context::new(PATIENCE));
        let giver = self.lattice.operator().component("giver");
        giver
            .pass(&function, Body { bytes, handles }, context)
            .await
    }

    pub(super) async fn open(&self, name: &str) -> Owned {
        let opened = self.give(
            (STORE, "[constructor]bucket"),
            encoded(&(name,)),
            Handles::new(),
        );
        owned(opened.await.expect("it opens"))
    }

    pub(super) async fn name_of(&self, bucket: &ResourceRef) -> Result<String, CallError> {
        let lent = vec![Handle::Borrow(bucket.clone())];
        let name = self
            .give((STORE, "[method]bucket.name"), PLACE, lent)
            .await?;
        Ok(lattice_core::value::from_bytes(&name.bytes).expect("a name"))
    }
}

/// What is wrong with a call, its interface and function, and its arguments.
type Forged = (
    &'static str,
    (&'static str, &'static str),
    &'static [u8],
    Handles,
);

/// The encoded place of a handle.
pub(super) const PLACE: &[u8] = &[0];

pub(super) fn owned(mut body: Body) -> Owned {
    match body.handles.pop() {
        Some(Handle::Own(owned)) => owned,
        other => panic!("not a resource: {other:?}"),
    }
}

pub(super) fn reader(mut body: Body) -> Reader {
    match body.handles.pop() {
        Some(Handle::Stream(reader)) => reader,
        other => panic!("not a stream: {other:?}"),
    }
}

pub(super) async fn next(reader: &mut Reader) -> Result<Option<Chunk>, Broken> {
    poll_fn(|cx| reader.poll_chunk(cx)).await
}

/// Reads a stream of bytes to its end, and returns how many there were.
pub(super) async fn read_all(reader: &mut Reader) -> (usize, Result<(), Broken>) {
    let mut read = 0;
    loop {
        reader.ask(10_000);
        match next(reader).await {
            Ok(Some(chunk)) => read += chunk.count,
            Ok(None) => return (read, Ok(())),
            Err(broken) => return (read, Err(broken)),
        }
    }
}

pub(super) async fn write_all(writer: &mut Writer, mut bytes: Bytes) {
    while !bytes.is_empty() {
        let room = poll_fn(|cx| writer.poll_room(cx)).await;
        let count = room.expect("it is read").min(bytes.len());
        let sent = writer.send(Chunk {
            count,
            bytes: bytes.split_to(count),
            handles: Handles::new(),
        });
        sent.expect("there is room");
    }
}

pub(super) fn stale(result: Result<impl std::fmt::Debug, CallError>) -> String {
    match result.expect_err("it can't be used") {
        error @ CallError::StaleHandle { .. } => {
            assert_eq!(error.ran(), Ran::No);
            error.to_string()
        }
        other => panic!("another error: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resources_pass_in_every_place() {
    let flow = Flow::new(|actor| actor).await;
    flow.check("resources").await.expect("all checks pass");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_pass_with_elements_of_every_type() {
    let flow = Flow::new(|actor| actor).await;
    flow.check("streams").await.expect("all checks pass");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn futures_pass() {
    let flow = Flow::new(|actor| actor).await;
    flow.check("futures").await.expect("all checks pass");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_and_writers_that_go_away_are_seen() {
    let flow = Flow::new(|actor| actor).await;
    flow.check("endings").await.expect("all checks pass");
}

#[tokio::test]
async fn all_of_it_passes_in_warm_instances_and_on_one_thread() {
    let flow = Flow::new(|actor| actor.instances(Instances::warm())).await;
    for _ in 0..2 {
        for what in ["resources", "streams", "futures", "endings", "drained"] {
            let checked = flow.check(what).await;
            checked.unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
}

#[tokio::test]
async fn a_resource_that_is_dropped_while_it_is_lent_is_dropped_when_the_call_ends() {
    let flow = Flow::new(|actor| actor).await;
    flow.check("drop-while-lent").await.expect("nothing traps");
}

#[tokio::test]
async fn an_instance_stays_for_a_stream_that_it_still_reads() {
    let flow = Flow::new(|actor| actor).await;
    flow.check("drained").await.expect("all was read");
}

#[tokio::test]
async fn a_stream_whose_writer_traps_never_looks_ended() {
    let flow = Flow::new(|actor| actor).await;
    let text = reason(flow.check("broken-stream").await);
    assert!(!text.contains("a clean end"), "{text}");
    assert!(
        text.contains("the instance that wrote it ended") && text.contains("on purpose"),
        "{text}"
    );
    let made = flow.give(
        (TROUBLE, "fail-after"),
        encoded(&(10_000_u32,)),
        Handles::new(),
    );
    let (read, end) = read_all(&mut reader(made.await.expect("a stream"))).await;
    assert_eq!(read, 10_000);
    assert!(matches!(end, Err(Broken::InstanceLost { .. })), "{end:?}");
}

#[tokio::test]
async fn handles_of_an_instance_that_trapped_say_so() {
    let flow = Flow::new(|actor| actor).await;
    let text = reason(flow.check("trapped").await);
    assert!(
        text.contains("the instance that it lives in ended") && text.contains("on purpose"),
        "{text}"
    );
}

#[tokio::test]
async fn an_instance_that_traps_takes_its_handles_and_streams_with_it() {
    let flow = Flow::new(|actor| actor).await;
    flow.check("trapped-with-many").await.expect("it goes on");
}

#[tokio::test]
async fn native_code_reads_and_writes_streams() {
    let flow = Flow::new(|actor| actor).await;
    let arguments = encoded(&(1_000_000_u64, 5_000_u32));
    let made = flow.give((PIPES, "make-bytes"), arguments, Handles::new());
    let (read, end) = read_all(&mut reader(made.await.expect("a stream"))).await;
    assert_eq!((read, end), (1_000_000, Ok(())));

    let (mut writer, stream) = channel();
    let write = async move {
        write_all(&mut writer, Bytes::from(vec![1; 1_000_000])).await;
        writer.end();
    };
    let summed = flow.give((PIPES, "sum-bytes"), PLACE, vec![Handle::Stream(stream)]);
    let ((), summed) = tokio::join!(write, summed);
    assert_eq!(summed.expect("a sum").bytes, encoded(&1_000_000_u64));

    // A writer that goes away without an end never makes a sum.
    let (mut writer, stream) = channel();
    let write = async move { write_all(&mut writer, Bytes::from(vec![1; 100_000])).await };
    let summed = flow.give((PIPES, "sum-bytes"), PLACE, vec![Handle::Stream(stream)]);
    let ((), summed) = tokio::join!(write, summed);
    let text = reason(summed);
    assert!(text.contains("went away without ending it"), "{text}");
}

#[tokio::test]
async fn chunks_that_are_not_of_the_type_are_refused() {
    let flow = Flow::new(|actor| actor).await;
    let chunks: [(&str, usize, &[u8]); 4] = [
        ("sum-bytes", 2, b"abc"),
        ("sum-numbers", 1, b"abc"),
        ("sum-strings", 1, &[3, b'a']),
        ("sum-points", 1, &[1, 1, 0xff, 1, 0]),
    ];
    for (function, count, bytes) in chunks {
        let (mut writer, stream) = channel();
        let write = async move {
            poll_fn(|cx| writer.poll_room(cx))
                .await
                .expect("it is read");
            let chunk = Chunk {
                count,
                bytes: bytes.into(),
                handles: Handles::new(),
            };
            writer.send(chunk).expect("there is room");
            writer.end();
        };
        let summed = flow.give((PIPES, function), PLACE, vec![Handle::Stream(stream)]);
        let ((), summed) = tokio::join!(write, summed);
        let text = reason(summed);
        assert!(
            text.contains("its type doesn't allow"),
            "{function}: {text}"
        );
    }
}

#[tokio::test]
async fn forged_handles_are_refused_and_the_instance_goes_on() {
    let flow = Flow::new(|actor| actor).await;
    let bucket = flow.open("b").await;
    let it = bucket.resource();
    let watched = flow.give((STORE, "[method]bucket.watch"), PLACE, vec![borrow(it)]);
    let cursor = owned(watched.await.expect("a cursor"));
    let other = flow.open("other").await;
    let gone = flow.open("gone").await;
    let gone_ref = gone.resource().clone();
    drop(gone);
    let named = |id| ResourceRef::new(it.owner().clone(), id, it.ty().clone());
    let (made_up, renamed) = (named(77), named(cursor.resource().id()));
    let another = borrow(cursor.resource());
    let owned = Handle::Own(flow.open("x").await);
    let of_two = vec![borrow(it), borrow(other.resource())];
    let mut forged: Vec<Forged> = vec![
        ("made up", NAME, PLACE, vec![borrow(&made_up)]),
        ("dropped", NAME, PLACE, vec![borrow(&gone_ref)]),
        ("of another type", NAME, PLACE, vec![another]),
        (
            "of another type, renamed",
            NAME,
            PLACE,
            vec![borrow(&renamed)],
        ),
        ("owned for a borrow", NAME, PLACE, vec![owned]),
        ("of two instances", (STORE, "total"), &[2, 0, 0], of_two),
    ];
    forged.extend(not_of_the_type(it));
    for (what, function, bytes, handles) in forged {
        let answer = flow.give(function, bytes, handles).await;
        let error = answer.err().unwrap_or_else(|| panic!("accepted: {what}"));
        assert_eq!(error.ran(), Ran::No, "{what}: {error}");
    }
    let after = flow.open("after").await;
    let name = flow.name_of(after.resource()).await;
    assert_eq!(name.expect("it goes on"), "after");
}

const NAME: (&str, &str) = (STORE, "[method]bucket.name");

pub(super) fn borrow(resource: &ResourceRef) -> Handle {
    Handle::Borrow(resource.clone())
}

/// Arguments whose bytes or handles are not of the function's type.
fn not_of_the_type(it: &ResourceRef) -> Vec<Forged> {
    let (_writer, stream) = channel();
    let it = || borrow(it);
    let (split, total, sum) = ((STORE, "split"), (STORE, "total"), (PIPES, "sum-bytes"));
    vec![
        ("borrowed for an own", split, &[0, 2], vec![it()]),
        (
            "a stream for a resource",
            NAME,
            PLACE,
            vec![Handle::Stream(stream)],
        ),
        ("none", NAME, PLACE, vec![]),
        ("one too many", NAME, PLACE, vec![it(), it()]),
        ("a place that isn't zero", NAME, &[1], vec![it()]),
        (
            "more places than there are",
            total,
            &[3, 0, 0, 0],
            vec![it()],
        ),
        ("no value", NAME, &[0xff; 5], vec![it()]),
        ("a resource for a stream", sum, PLACE, vec![it()]),
    ]
}

#[tokio::test]
async fn a_handle_is_not_used_twice_in_one_call() {
    let flow = Flow::new(|actor| actor).await;
    let (bucket, other) = (flow.open("b").await, flow.open("other").await);
    let merge = (STORE, "[static]bucket.merge");
    let twice = vec![
        Handle::Own(bucket),
        Handle::Own(Owned::new(other.resource().clone())),
        Handle::Own(Owned::new(other.resource().clone())),
    ];
    let text = stale(flow.give(merge, &[0, 0][..], twice).await);
    assert!(text.contains("used again"), "{text}");
    let lent = vec![borrow(other.resource()), Handle::Own(other)];
    let text = stale(flow.give((STORE, "many"), &[0, 0][..], lent).await);
    assert!(text.contains("used again"), "{text}");
}

#[tokio::test]
async fn a_handle_is_used_only_by_the_component_that_holds_it() {
    let flow = Flow::new(|actor| actor).await;
    let bucket = flow.open("mine").await;
    let function = flow.function(STORE, "[method]bucket.name");
    let thief = flow.lattice.caller("taker").expect("an id");
    let steal = async |handle| {
        let body = Body {
            bytes: PLACE.into(),
            handles: vec![handle],
        };
        let link = lattice_core::name::LinkName::default();
        let context = Context::new(PATIENCE);
        let caller = lattice_core::serve::CallerInstance::Here;
        thief
            .pass_via(&function, &link, body, (caller, context))
            .await
    };
    let borrowed = Handle::Borrow(bucket.resource().clone());
    let text = stale(steal(borrowed).await);
    assert!(text.contains("`taker` doesn't hold it"), "{text}");
    let claimed = Handle::Own(Owned::new(bucket.resource().clone()));
    stale_or_bad(steal(claimed).await);
    // It is there all the same, and a refused claim doesn't drop it.
    assert_eq!(
        flow.name_of(bucket.resource()).await.expect("it is held"),
        "mine"
    );
    let it = bucket.resource().clone();
    drop(bucket);
    let text = stale(flow.name_of(&it).await);
    assert!(text.contains("dropped"), "{text}");
}

fn stale_or_bad(result: Result<Body, CallError>) {
    let error = result.expect_err("it can't be used");
    assert_eq!(error.ran(), Ran::No, "{error}");
}

#[tokio::test]
async fn an_unused_instance_ends_and_its_handles_say_why() {
    let limits = Limits::default().kept(Duration::from_millis(300));
    let flow = Flow::new(|actor| actor.limits(limits)).await;
    let bucket = flow.open("b").await;
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        tokio::time::sleep(Duration::from_millis(600)).await;
        match flow.name_of(bucket.resource()).await {
            Ok(_) => assert!(tokio::time::Instant::now() < until, "it never ends"),
            error => {
                let text = stale(error);
                assert!(text.contains("nothing had used it for 300ms"), "{text}");
                assert!(text.contains("`limits = { kept = … }`"), "{text}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_guest_that_gives_away_more_than_it_may_ends() {
    let most = NonZeroUsize::new(1_000).expect("not zero");
    let limits = Limits::default().handles(most);
    let flow = Flow::new(|actor| actor.limits(limits)).await;
    let hoard = async |count: u32| {
        flow.give((TROUBLE, "hoard"), encoded(&(count,)), Handles::new())
            .await
    };
    assert_eq!(
        hoard(1_000).await.expect("as many as it may").handles.len(),
        1_000
    );
    let text = reason(hoard(1_001).await);
    assert!(text.contains("`Limits::handles`"), "{text}");
}
