//! A method, a stream and a future are under way between two hosts when one of them is killed,
//! leaves, is paused or is cut off, for longer than the lease of a handle.

use futures_util::{FutureExt as _, future::join3};
use lattice_core::{
    call::{CallError, Context, FunctionRef, Ran},
    client::Caller,
    id::Source,
    link::Link,
    name::{FunctionName, InterfaceName, LinkName},
    serve::{Answer, CallerInstance, Request, Service},
    server::ServeLimits,
    stream::{
        Body, Broken, Chunk, Handle, Handles, Holder, InstanceRef, Owned, Owner, Reader,
        ResourceRef, Stale, Writer, channel,
    },
    sync::Mutex,
    types::{ComponentTypes, InterfaceTypes},
    value::{from_bytes, to_bytes},
};
use lattice_sim::{Event, HostIndex, RunningHost, Schedule, Sim, Trouble};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, sleep, sleep_until};

const API: &str = "sim:middle/api@0.1.0";
const FUNCTIONS: [(&str, &str); 4] = [
    ("open", "func() -> own<sim:middle/api/r>"),
    (
        "method",
        "func(of: borrow<sim:middle/api/r>, ms: u32) -> u32",
    ),
    ("stream", "func() -> stream<u8>"),
    ("future", "func() -> future<u8>"),
];
/// The hosts of the caller and of the owner.
const CALLER: HostIndex = HostIndex(0);
const OWNER: HostIndex = HostIndex(1);

/// How long it lasts if that is more than the lease of a handle.
const LONG: Duration = Duration::from_secs(50);
/// How long the stream and the future take, and the method if it is to be finished.
const TAKES: Duration = Duration::from_secs(4);
/// How long the method takes if it is not: longer than an owner needs to miss its caller.
const ENDLESS: Duration = Duration::from_secs(15);
/// Bytes of the stream.
const SIZE: usize = 40;
/// When the handle is used again.
const AGAIN: Duration = Duration::from_secs(60);

fn function(name: &str) -> FunctionRef {
    let (_, signature) = FUNCTIONS
        .into_iter()
        .find(|(known, _)| *known == name)
        .expect("a function of this file");
    let interface = InterfaceName::new(API).expect("a name");
    FunctionRef::new(
        interface,
        FunctionName::new(name).expect("a name"),
        signature,
    )
}

/// The instance of the owner, with its resources and those to which they are lent.
struct Shelf {
    at: InstanceRef,
    held: Mutex<HashMap<u64, (Holder, Vec<Holder>)>>,
}

impl Owner for Shelf {
    fn at(&self) -> &InstanceRef {
        &self.at
    }

    fn hand_over(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        let mut held = self.held.lock();
        let (holder, _) = held.get_mut(&id).ok_or(Stale::Dropped)?;
        if holder != from {
            return Err(Stale::NotHeld(from.to_string()));
        }
        *holder = to.clone();
        Ok(())
    }

    fn lend(&self, id: u64, from: &Holder, to: &Holder) -> Result<(), Stale> {
        let mut held = self.held.lock();
        let (holder, lent) = held.get_mut(&id).ok_or(Stale::Dropped)?;
        if holder != from && !lent.contains(from) {
            return Err(Stale::NotHeld(from.to_string()));
        }
        lent.push(to.clone());
        Ok(())
    }

    fn give_back(&self, id: u64, by: &Holder) {
        if let Some((_, lent)) = self.held.lock().get_mut(&id)
            && let Some(at) = lent.iter().position(|holder| holder == by)
        {
            lent.swap_remove(at);
        }
    }

    fn dropped(&self, id: u64) {
        self.held.lock().remove(&id);
    }
}

/// What became of the three at the host of their owner.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct There {
    /// The method has returned, or was cancelled.
    returned: Option<bool>,
    /// The stream was written to its end, or its reader went away.
    written: Option<bool>,
    /// The same of the future.
    came: Option<bool>,
}

/// The component `owner`.
struct Serving {
    shelf: Arc<Shelf>,
    there: Arc<Mutex<There>>,
}

/// Notes that a method was cancelled, unless it has returned.
struct Method(Arc<Mutex<There>>);

impl Drop for Method {
    fn drop(&mut self) {
        self.0.lock().returned.get_or_insert(false);
    }
}

impl Serving {
    async fn method(there: Arc<Mutex<There>>, ms: u32) -> Result<Body, CallError> {
        let method = Method(there);
        sleep(Duration::from_millis(ms.into())).await;
        if ms > 0 {
            method.0.lock().returned = Some(true);
        }
        Ok(to_bytes(&ms).expect("a number").into())
    }

    fn stream(there: Arc<Mutex<There>>) -> Reader {
        let (writer, reader) = channel();
        tokio::spawn(async move {
            let written = write(writer, SIZE, TAKES).await;
            there.lock().written = Some(written);
        });
        reader
    }

    fn future(there: Arc<Mutex<There>>) -> Reader {
        let (writer, reader) = channel();
        tokio::spawn(async move {
            sleep(TAKES).await;
            let came = write(writer, 1, Duration::ZERO).await;
            there.lock().came = Some(came);
        });
        reader
    }
}

/// Writes a stream, a byte at a time, and ends it. Returns false if its reader goes away.
async fn write(mut writer: Writer, size: usize, takes: Duration) -> bool {
    for at in 0..size {
        sleep(takes / size as u32).await;
        if writer.room().await.is_none() {
            return false;
        }
        let chunk = Chunk {
            count: 1,
            bytes: vec![at as u8].into(),
            handles: Handles::new(),
        };
        if writer.send(chunk).is_err() {
            return false;
        }
    }
    writer.end();
    true
}

fn one(handle: Handle) -> Body {
    Body {
        bytes: to_bytes(&0_u8).expect("a number"),
        handles: vec![handle],
    }
}

impl Service for Serving {
    fn types(&self) -> Arc<ComponentTypes> {
        let text = |(name, signature): (&str, &str)| {
            (
                FunctionName::new(name).expect("a name"),
                signature.to_owned(),
            )
        };
        let functions = FUNCTIONS.into_iter().map(text).collect();
        let interface = InterfaceName::new(API).expect("a name");
        Arc::new(ComponentTypes {
            exports: BTreeMap::from([(interface, InterfaceTypes { functions })]),
            ..ComponentTypes::default()
        })
    }

    fn call(&self, request: Request) -> Answer {
        let is = |name| function(name).key() == request.function;
        let there = self.there.clone();
        if is("method") {
            let ms = from_bytes::<(u8, u32)>(&request.args).expect("arguments").1;
            return Answer::Passing(Self::method(there, ms).boxed());
        }
        let handle = if is("open") {
            let me = Holder::Local(Source::Component(request.component));
            let mut held = self.shelf.held.lock();
            let id = held.len() as u64 + 1;
            held.insert(id, (me, Vec::new()));
            let resource = ResourceRef::new(self.shelf.clone(), id, "sim:middle/api/r".into());
            Handle::Own(Owned::new(resource))
        } else if is("stream") {
            Handle::Stream(Self::stream(there))
        } else {
            Handle::Future(Self::future(there))
        };
        Answer::Passing(async move { Ok(one(handle)) }.boxed())
    }
}

/// What became of the three at the caller, and then of the handle.
#[derive(Debug, Default, Clone)]
struct Here {
    method: Option<Result<u32, CallError>>,
    stream: Option<(usize, Result<(), Broken>)>,
    future: Option<(usize, Result<(), Broken>)>,
    again: Option<Result<u32, CallError>>,
}

async fn pass(caller: &Caller, name: &str, body: Body) -> Result<Body, CallError> {
    let options = (CallerInstance::Here, Context::new(Duration::from_secs(20)));
    let link = LinkName::default();
    caller.pass_via(&function(name), &link, body, options).await
}

async fn method(caller: &Caller, owned: &Owned, ms: u32) -> Result<u32, CallError> {
    let body = Body {
        bytes: to_bytes(&(0_u8, ms)).expect("arguments"),
        handles: vec![Handle::Borrow(owned.resource().clone())],
    };
    let result = pass(caller, "method", body).await?;
    Ok(from_bytes(&result.bytes).expect("a number"))
}

/// Reads a stream or a future to its end.
async fn read(caller: &Caller, name: &str) -> (usize, Result<(), Broken>) {
    let result = pass(caller, name, Body::default()).await;
    let mut reader = match result.expect("a result").handles.pop() {
        Some(Handle::Stream(reader) | Handle::Future(reader)) => reader,
        other => panic!("not a stream: {other:?}"),
    };
    let mut count = 0;
    loop {
        reader.ask(1);
        match reader.chunk().await {
            Ok(Some(chunk)) => count += chunk.count,
            Ok(None) => return (count, Ok(())),
            Err(broken) => return (count, Err(broken)),
        }
    }
}

async fn call(up: RunningHost, here: Arc<Mutex<Here>>, takes: Duration) {
    let begun = Instant::now();
    let caller = up.node.caller("caller").expect("a name");
    let opened = pass(&caller, "open", Body::default()).await;
    let Some(Handle::Own(owned)) = opened.expect("a result").handles.pop() else {
        panic!("no resource");
    };
    let takes = takes.as_millis() as u32;
    let used = async {
        let used = method(&caller, &owned, takes).await;
        here.lock().method = Some(used);
    };
    let streamed = async {
        let read = read(&caller, "stream").await;
        here.lock().stream = Some(read);
    };
    let came = async {
        let read = read(&caller, "future").await;
        here.lock().future = Some(read);
    };
    join3(used, streamed, came).await;
    sleep_until(begun + AGAIN).await;
    let again = method(&caller, &owned, 0).await;
    here.lock().again = Some(again);
}

/// What was found in the end.
struct Found {
    here: Here,
    there: There,
    /// Resources that are left.
    left: usize,
}

/// Has this happen soon after the three have begun, of which the method takes long.
fn during(what: Trouble, lasts: Duration) -> Found {
    let at = Duration::from_secs(1);
    run(Event { at, lasts, what }, ENDLESS)
}

/// Has a host leave shortly before the three are over.
fn during_leave(host: HostIndex) -> Found {
    let event = Event {
        at: Duration::from_secs(3),
        lasts: Duration::from_secs(10),
        what: Trouble::Leave(host),
    };
    run(event, TAKES)
}

fn run(event: Event, takes: Duration) -> Found {
    let mut sim = Sim::new(7);
    assert_eq!(
        [sim.add_without_apps(), sim.add_without_apps()],
        [CALLER, OWNER]
    );
    sim.run_for(Duration::from_secs(5));
    let (there, shelf) = (Arc::<Mutex<There>>::default(), Arc::new(Mutex::new(None)));
    let (told, filled) = (there.clone(), shelf.clone());
    let serving = sim.spawn(OWNER, async move |up| {
        let link = Link::new("caller", API, "owner").expect("names");
        up.lattice.links().put(link).await.expect("it is put");
        let shelf = Arc::new(Shelf {
            at: InstanceRef {
                origin: up.node.origin().clone(),
                component: "owner".parse().expect("an id"),
                instance: 1,
            },
            held: Mutex::default(),
        });
        *filled.lock() = Some(shelf.clone());
        let serving = Serving { shelf, there: told };
        let served = up
            .node
            .serve("owner", serving, ServeLimits::default())
            .await;
        let _served = served.expect("it is served");
        std::future::pending::<()>().await;
    });
    serving.expect("it is up");
    sim.run_for(Duration::from_secs(5));
    let here = Arc::<Mutex<Here>>::default();
    let told = here.clone();
    let calling = sim.spawn(CALLER, async move |up| call(up, told, takes).await);
    calling.expect("it is up");
    sim.play(&Schedule(vec![event]));
    sim.run_for(AGAIN + Duration::from_secs(30));
    let (here, there) = (here.lock().clone(), *there.lock());
    let shelf: Arc<Shelf> = shelf.lock().clone().expect("it was served");
    let left = shelf.held.lock().len();
    Found { here, there, left }
}

/// The method may have run, and the others are broken after what had come.
fn all_are_cut_off(here: &Here) {
    let error = here.method.clone().expect("it ends").expect_err("it fails");
    assert_eq!(error.ran(), Ran::Maybe, "{error}");
    for (stream, most) in [(&here.stream, SIZE - 1), (&here.future, 0)] {
        let (count, end) = stream.clone().expect("it ends");
        let is_typed = matches!(
            end,
            Err(Broken::HostLost { .. } | Broken::CutOff { .. } | Broken::WriterLost)
        );
        assert!(is_typed && count <= most, "{count} {end:?}");
    }
}

fn all_are_whole(found: &Found) {
    let Found { here, there, .. } = found;
    let method = here.method.clone().expect("it ends");
    assert_eq!(method.ok(), Some(TAKES.as_millis() as u32));
    assert_eq!(here.stream, Some((SIZE, Ok(()))));
    assert_eq!(here.future, Some((1, Ok(()))));
    let whole = There {
        returned: Some(true),
        written: Some(true),
        came: Some(true),
    };
    assert_eq!(*there, whole);
}

/// The owner's side has learned that no one waits for the three any more.
fn no_one_waits(there: There) {
    let cancelled = There {
        returned: Some(false),
        written: Some(false),
        came: Some(false),
    };
    assert_eq!(there, cancelled);
}

fn has_lost_its_lease(found: &Found) {
    is_stale(&found.here, "the lease of its holder is over");
    assert_eq!(found.left, 0);
}

/// The handle is stale, and says why.
fn is_stale(here: &Here, why: &str) {
    let error = here.again.clone().expect("it ends").expect_err("it fails");
    assert!(matches!(error, CallError::StaleHandle { .. }), "{error:?}");
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn what_is_under_way_is_cut_off_when_its_owner_is_killed() {
    let found = during(Trouble::Kill(OWNER), Duration::from_secs(10));
    all_are_cut_off(&found.here);
    is_stale(&found.here, "started again");
}

#[test]
fn what_is_under_way_is_cancelled_when_its_caller_is_killed() {
    let found = during(Trouble::Kill(CALLER), Duration::from_secs(10));
    no_one_waits(found.there);
    assert_eq!(found.left, 0);
}

#[test]
fn what_is_under_way_is_finished_when_its_owner_leaves() {
    let found = during_leave(OWNER);
    all_are_whole(&found);
    is_stale(&found.here, "started again");
}

#[test]
fn what_is_under_way_is_finished_when_its_caller_leaves() {
    let found = during_leave(CALLER);
    all_are_whole(&found);
    assert_eq!(found.left, 0);
}

/// The owner was stopped itself, so that no lease is over.
#[test]
fn what_is_under_way_is_cut_off_when_its_owner_is_paused_and_its_handle_is_good_afterwards() {
    let found = during(Trouble::Pause(OWNER), LONG);
    all_are_cut_off(&found.here);
    assert_eq!(found.here.again.expect("it ends").ok(), Some(0));
    assert_eq!(found.left, 0);
}

#[test]
fn what_is_under_way_is_cut_off_when_its_caller_is_paused_and_its_lease_is_over() {
    let found = during(Trouble::Pause(CALLER), LONG);
    all_are_cut_off(&found.here);
    no_one_waits(found.there);
    has_lost_its_lease(&found);
}

#[test]
fn what_is_under_way_is_cut_off_when_its_hosts_do_not_hear_each_other_for_longer_than_the_lease() {
    for cut in [
        Trouble::Partition(vec![OWNER]),
        Trouble::Split(vec![CALLER]),
        Trouble::Unplug(CALLER),
    ] {
        println!("{cut}");
        let found = during(cut, LONG);
        all_are_cut_off(&found.here);
        no_one_waits(found.there);
        has_lost_its_lease(&found);
    }
}

/// Without a bus, an owner hears of no one, so that no lease is over.
#[test]
fn what_is_under_way_is_cut_off_when_its_owner_is_without_a_bus_and_its_handle_is_good_afterwards()
{
    let found = during(Trouble::Unplug(OWNER), LONG);
    all_are_cut_off(&found.here);
    assert_eq!(found.there.written, Some(false));
    assert_eq!(found.there.came, Some(false));
    assert_eq!(found.here.again.expect("it ends").ok(), Some(0));
    assert_eq!(found.left, 0);
}
