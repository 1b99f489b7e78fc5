//! Components that run once: a lease decides which host runs them.

use super::*;
use bytes::Bytes;
use futures_util::StreamExt as _;
use lattice_core::{
    auth::Auth,
    bus::{Body, Bus as _, memory::MemoryNetwork},
    call::{FunctionRef, Ran},
    id::Fence,
    name::{FunctionName, InterfaceName, LinkName},
    store::{Incarnation, MemoryStore, Revision},
    subject::Subjects,
    wire::{CallEnvelope, Frame, FrameWriter, Kind, Lane, Origin, ReplyEnvelope, Source},
};

const APP: &str = "name = \"shop\"\n[providers.ledger]\nbuiltin = \"ledger\"\nrun = \"once\"\n";

#[tokio::test(start_paused = true)]
async fn one_replica_runs_at_a_time_and_another_host_takes_over() {
    let mesh = Mesh::new().await;
    let mut hosts = Vec::from(mesh.hosts::<3>().await);
    mesh.apply(APP).await;
    let most = Arc::new(AtomicUsize::new(0));
    let watching = {
        let (live, most) = (mesh.live.clone(), most.clone());
        tokio::spawn(async move {
            loop {
                most.fetch_max(live.load(Ordering::SeqCst), Ordering::SeqCst);
                sleep(Duration::from_millis(1)).await;
            }
        })
    };
    for left in (0..3).rev() {
        mesh.until("one serves", || mesh.serving("ledger").len() == 1)
            .await;
        mesh.call("ledger").await.expect("a result");
        sleep(Duration::from_secs(5)).await;
        if left == 0 {
            break;
        }
        let holder = mesh.serving("ledger").into_keys().next().expect("one");
        let at = hosts
            .iter()
            .position(|host| host.node.host_id().as_str() == holder);
        let dead = hosts.remove(at.expect("it is one of the hosts"));
        dead.node.kill();
        drop(dead);
        mesh.until("the dead one is forgotten", || {
            !mesh.serving("ledger").contains_key(&holder)
        })
        .await;
    }
    watching.abort();
    assert_eq!(most.load(Ordering::SeqCst), 1, "never two");
}

#[tokio::test(start_paused = true)]
async fn a_singleton_moves_when_its_host_leaves() {
    let mesh = Mesh::new().await;
    let hosts = mesh.hosts::<2>().await;
    mesh.apply(APP).await;
    mesh.until("one serves", || mesh.serving("ledger").len() == 1)
        .await;
    let first = mesh.serving("ledger").into_keys().next().expect("one");
    let host = hosts
        .iter()
        .find(|host| host.node.host_id().as_str() == first);
    let host = host.expect("it is one of the hosts");
    assert!(
        host.agent
            .shutdown(Duration::from_secs(10))
            .await
            .is_clean(),
        "in time"
    );
    assert!(host.node.shutdown(Duration::from_secs(1)).await.is_clean());
    mesh.until("the other host serves", || {
        let serving = mesh.serving("ledger");
        serving.len() == 1 && !serving.contains_key(&first)
    })
    .await;
    mesh.call("ledger").await.expect("a result");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_meant_for_another_holder_does_not_run() {
    let network = MemoryNetwork::new();
    let store = Arc::new(MemoryStore::new());
    let lattice = Lattice::on(Arc::new(network.connect()), store, "dev").trust_bus();
    let mesh = Mesh {
        lattice: lattice.await.expect("it opens"),
        record: Record::default(),
        live: Arc::default(),
    };
    let _hosts = mesh.hosts::<1>().await;
    mesh.apply(APP).await;
    mesh.until("it serves", || mesh.serving("ledger").len() == 1)
        .await;
    let ledger = ComponentId::new("ledger").expect("an id");
    let peers = mesh.lattice.peers();
    let holder = peers.iter().next().expect("one host");
    let fence = Fence::number(holder.fences.get(&ledger).copied());
    let interface = InterfaceName::new(WHO).expect("an interface");
    let who = FunctionName::new("who").expect("a function");
    let caller = Origin::new(HostId::new("caller").expect("a host"), 1);
    let subjects = Subjects::new(mesh.lattice.name());
    let bus = network.connect();
    let replies = subjects.replies(&caller.host, caller.epoch);
    let mut replies = bus.subscribe(replies, 8).await.expect("subscribed");
    for (number, meant, runs) in [(1, fence, true), (2, fence + 1, false), (3, 0, true)] {
        let call = CallEnvelope {
            id: number,
            function: FunctionRef::new(interface.clone(), who.clone(), "func() -> string").key(),
            deadline_left: Duration::from_secs(2),
            source: Source::Operator,
            target: ledger.clone(),
            link: LinkName::default(),
            incarnation: Incarnation::default(),
            link_revision: Revision(0),
            fence: meant,
            hops: 0,
            attempt: 0,
            idempotent: false,
            trace: None,
            instance: None,
            marks: Vec::new(),
            has_handles: false,
            session: None,
            args: Bytes::new(),
        };
        let to = Some(holder.origin.clone());
        let mut frame = FrameWriter::new(caller.clone(), to, Kind::Call, Lane::Small);
        frame.push(|buf| call.encode_into(buf)).expect("room");
        let inbox = subjects.call(&holder.origin.host, holder.origin.epoch);
        let frame = frame.seal(&Auth::trusting(), number);
        bus.publish(inbox, None, frame).await.expect("sent");
        let reply = timeout(Duration::from_secs(5), replies.next()).await;
        let Body::Payload(reply) = reply.expect("in time").expect("a reply").body else {
            panic!("a payload");
        };
        let reply = Frame::open(&Auth::trusting(), reply).expect("a frame");
        let reply = reply.envelopes().next().expect("a reply");
        let outcome = ReplyEnvelope::decode(reply).expect("a reply").outcome;
        assert_eq!(outcome.is_ok(), runs, "{meant}: {outcome:?}");
        if let Err(refused) = outcome {
            assert_eq!(refused.ran(), Ran::No, "{refused:?}");
        }
    }
}
