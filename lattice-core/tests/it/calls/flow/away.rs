//! What becomes of streams, futures and resources while the bus is away for a minute.

use super::*;
use crate::calls::handles::{self, Shelf, owner};
use lattice_core::{bus::memory::MemoryBus, call::Ran, stream::Owned};
use lattice_sim::fault::FaultBus;
use std::{
    future::{Ready, ready},
    sync::Mutex,
};
use tokio::time::sleep;

const AWAY: Duration = Duration::from_secs(60);
/// Bytes of each stream that arrive before that.
const BEFORE: usize = 50_000;

type Ends = Arc<Mutex<Vec<JoinHandle<(usize, Result<(), Broken>)>>>>;

/// A host `a` with a handle of a resource on host `b`, and a callee there that reads the stream
/// that it is given, and returns a stream and a future that don't end by themselves.
struct Scene {
    hosts: Hosts,
    shelf: Arc<Shelf>,
    /// What the callee has read.
    ends: Ends,
    _owner: ServeHandle,
}

/// Keeps a writer until its reader is gone.
async fn keep(mut writer: Writer) {
    std::future::poll_fn(|cx| writer.poll_unread(cx)).await;
}

fn serve_streams(request: Request, ends: &Ends) -> Ready<Result<Body, CallError>> {
    let read = reads(stream(only(request.handles)));
    ends.lock().expect("not poisoned").push(read);
    let ((writer, back), (never, future)) = (channel(), channel());
    tokio::spawn(async move {
        if let Some(writer) = write(writer, 0..BEFORE).await {
            keep(writer).await;
        }
    });
    tokio::spawn(keep(never));
    ready(Ok(Body {
        bytes: Bytes::from_static(&[0, 0]),
        handles: vec![Handle::Stream(back), Handle::Future(future)],
    }))
}

/// Whether a stream was cut off, and its reader is told why.
fn is_cut_off(end: &Result<(), Broken>) -> bool {
    matches!(end, Err(Broken::CutOff { .. } | Broken::HostLost { .. }))
}

impl Scene {
    async fn on(bus: Arc<dyn Bus>, network: &MemoryNetwork) -> Self {
        let ends = Ends::default();
        let read = ends.clone();
        let buses: [Arc<dyn Bus>; 2] = [bus, Arc::new(network.connect())];
        let hosts = hosts_on(buses, move |request| serve_streams(request, &read)).await;
        let shelf = Shelf::on(&hosts.b);
        let to_owner = grant("caller", "owner").named("owner").expect("a name");
        hosts.here.links().put(to_owner).await.expect("it is put");
        Self {
            _owner: serve_as(&hosts.b, "owner", owner(&shelf)).await,
            hosts,
            shelf,
            ends,
        }
    }

    /// Calls the component `owner`.
    async fn at_owner(&self, name: &str, handles: Handles) -> Result<Body, CallError> {
        let body = Body {
            bytes: Bytes::from(vec![0; handles.len()]),
            handles,
        };
        let options = (CallerInstance::Here, Context::new(SOON));
        let link = LinkName::new("owner").expect("a name");
        let function = function(name, handles::ANY);
        let caller = &self.hosts.caller;
        caller.pass_via(&function, &link, body, options).await
    }

    async fn make(&self) -> Owned {
        let made = self.at_owner("make", Vec::new()).await;
        match only(made.expect("a result").handles) {
            Handle::Own(owned) => owned,
            other => panic!("not owned: {other:?}"),
        }
    }

    async fn lend(&self, owned: &Owned) -> Result<Body, CallError> {
        let lent = Handle::Borrow(owned.resource().clone());
        self.at_owner("use", vec![lent]).await
    }

    /// Passes a stream, and returns the other one and the future.
    async fn pass(&self, reader: Reader) -> [Handle; 2] {
        let result = self.hosts.pass(vec![Handle::Stream(reader)]).await;
        let handles = result.expect("a result").handles;
        handles.try_into().expect("two handles")
    }

    /// Returns how the next stream ended that the callee was given, in the order of its calls.
    async fn next_end(&self) -> (usize, Result<(), Broken>) {
        let read = self.ends.lock().expect("not poisoned").remove(0);
        let end = timeout(Duration::from_secs(3), read).await;
        end.expect("in time").expect("no panic")
    }

    /// Has the bus away with a stream each way, a future and a resource open.
    async fn outlive(&self, cut: impl FnOnce(), heal: impl FnOnce()) {
        let kept = self.make().await;
        let _whole = self.pass(written(3)).await;
        let (writer, reader) = channel();
        let (handles, writer) = tokio::join!(self.pass(reader), write(writer, 0..1_000));
        let [back, future] = handles;
        let mut writer = writer.expect("a reader");
        let back = reads(stream(back));
        let Handle::Future(mut future) = future else {
            panic!("no future");
        };
        let value = tokio::spawn(async move {
            future.ask(1);
            future.chunk().await.map(drop)
        });
        sleep(Duration::from_secs(1)).await;
        cut();
        // What had ended before stays whole, and nothing else is.
        assert_eq!(self.next_end().await, (3, Ok(())));
        let (count, end) = self.next_end().await;
        assert!(count == 1_000 && is_cut_off(&end), "{count} {end:?}");
        let back = timeout(Duration::from_secs(3), back).await;
        let (count, end) = back.expect("in time").expect("no panic");
        assert!(count == BEFORE && is_cut_off(&end), "{count} {end:?}");
        let value = timeout(Duration::from_secs(3), value).await;
        let value = value.expect("in time").expect("no panic");
        assert!(is_cut_off(&value), "{value:?}");
        let gone = std::future::poll_fn(|cx| writer.poll_unread(cx));
        timeout(Duration::from_secs(3), gone)
            .await
            .expect("the writer learns it");

        sleep(AWAY / 2).await;
        let away = self.hosts.pass_for(Vec::new(), Duration::from_secs(2));
        let away = away.await.expect_err("the callee is out of reach");
        assert_eq!(away.ran(), Ran::No, "{away:?}");
        sleep(AWAY / 2).await;
        assert_eq!(self.shelf.held(), 0, "the lease of its holder is over");
        heal();
        sleep(Duration::from_secs(5)).await;
        self.works_again(kept).await;
    }

    async fn works_again(&self, kept: Owned) {
        let stale = self.lend(&kept).await.expect_err("it is reclaimed");
        let is_told = matches!(&stale, CallError::StaleHandle { reason, .. }
            if reason.contains("the lease of its holder is over"));
        assert!(is_told, "{stale:?}");
        let new = self.make().await;
        self.lend(&new).await.expect("it is a new one");
        let [back, future] = self.pass(written(100_000)).await;
        assert_eq!(self.next_end().await, (100_000, Ok(())));
        let mut back = stream(back);
        back.ask(1);
        assert!(next(&mut back).await.expect("elements").is_some());
        drop((kept, new, back, future));
        let nodes = [&self.hosts.a, &self.hosts.b];
        eventually("nothing is recorded any more", async || {
            nodes.map(Node::handles) == [(0, 0); 2]
        })
        .await;
        nothing_is_held(&self.hosts.here).await;
        nothing_is_held(&self.hosts.there).await;
    }
}

/// The client of the bus knows it.
#[tokio::test(start_paused = true)]
async fn what_is_open_while_the_bus_is_lost_is_never_taken_for_whole() {
    let network = MemoryNetwork::new();
    let bus: Arc<MemoryBus> = Arc::new(network.connect());
    let scene = Scene::on(bus.clone(), &network).await;
    let (cut, heal) = (|| bus.disconnect(), || bus.reconnect());
    scene.outlive(cut, heal).await;
}

/// Nothing arrives, and no one is told.
#[tokio::test(start_paused = true)]
async fn what_is_open_while_the_bus_is_silent_is_never_taken_for_whole() {
    let network = MemoryNetwork::new();
    let bus = Arc::new(FaultBus::new(Arc::new(network.connect()), 1));
    let scene = Scene::on(bus.clone(), &network).await;
    let (cut, heal) = (|| bus.partition(|_| true), || bus.heal());
    scene.outlive(cut, heal).await;
}
