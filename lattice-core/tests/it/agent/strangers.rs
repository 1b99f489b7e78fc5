//! Hosts that send heartbeats and don't count for placement: replayed recordings, and hosts on
//! another store.

use super::*;
use futures_util::StreamExt as _;
use lattice_core::{
    auth::Auth,
    bus::{Body, Bus as _, Subscription},
    constellation::Subject,
    name::LatticeName,
    subject::Subjects,
    wire::Frame,
};

/// An app with enough actors that every host would get some.
fn many() -> String {
    let actor = |n| format!("[actors.a{n}]\nimage = \"reg.example/greeter:1\"\n");
    let actors: String = (0..12).map(actor).collect();
    format!("name = \"many\"\n{actors}")
}

impl Mesh {
    fn served(&self) -> usize {
        let served = (0..12).filter(|n| !self.serving(&format!("a{n}")).is_empty());
        served.count()
    }
}

/// Returns the heartbeats of `host` that have arrived so far.
fn recorded(tap: &mut Subscription, host: &Host) -> Vec<bytes::Bytes> {
    let key = LatticeKey::from_hex(&"01".repeat(32)).expect("a key");
    let auth = Auth::keyed(&LatticeName::new("dev").expect("valid"), &key);
    let mut beats = Vec::new();
    while let Some(Some(message)) = futures_util::FutureExt::now_or_never(tap.next()) {
        let Body::Payload(bytes) = message.body else {
            continue;
        };
        let frame = Frame::open(&auth, bytes.clone()).expect("a frame");
        if frame.sender() == host.node.origin() {
            beats.push(bytes);
        }
    }
    beats
}

#[tokio::test(start_paused = true)]
async fn a_replayed_host_gets_no_share_from_a_process_that_starts_later() {
    let (network, store) = (MemoryNetwork::new(), MemoryStore::new());
    let stranger = network.connect();
    let subjects = Subjects::new(&LatticeName::new("dev").expect("valid"));
    let mut tap = stranger
        .subscribe(subjects.beat(), 4_096)
        .await
        .expect("it subscribes");
    let before = Mesh::between(&network, &store).await;
    let ghost = before.host("ghost").await;
    sleep(Duration::from_secs(60)).await;
    let beats = recorded(&mut tap, &ghost);
    assert!(beats.len() >= 50, "{}", beats.len());
    ghost.node.kill();
    drop((ghost, before));

    let mesh = Mesh::between(&network, &store).await;
    let host = mesh.host("alive").await;
    let play = async {
        for beat in beats {
            let sent = stranger.publish(subjects.beat(), None, beat).await;
            sent.expect("it is sent");
            sleep(Duration::from_secs(1)).await;
        }
    };
    let work = async {
        sleep(Duration::from_secs(10)).await;
        let peers = mesh.lattice.peers();
        assert_eq!(peers.iter().count(), 2, "the recording arrives");
        mesh.apply(&many()).await;
        let begun = tokio::time::Instant::now();
        mesh.until("all serve", || mesh.served() == 12).await;
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "during the recording"
        );
        let assignment = host.agent.watch_assignment().current();
        for id in assignment.components() {
            assert!(
                assignment
                    .hosts(id)
                    .all(|(host, _)| host.as_str() == "alive")
            );
        }
    };
    tokio::join!(play, work);
}

#[tokio::test(start_paused = true)]
async fn a_host_on_another_store_gets_no_share_and_both_sides_report_it() {
    let (network, store, other) = (MemoryNetwork::new(), MemoryStore::new(), MemoryStore::new());
    let mesh = Mesh::between(&network, &store).await;
    let astray = Mesh::between(&network, &other).await;
    let _here = mesh.host("here").await;
    let _there = astray.host("there").await;
    mesh.counted(2).await;
    mesh.apply(&many()).await;
    mesh.until("all serve", || mesh.served() == 12).await;
    let id = ComponentId::new("a0").expect("valid");
    let why = mesh.lattice.explain(&Subject::Component(id.clone())).await;
    let why = why.to_string();
    assert!(why.contains("host `there` uses another store"), "{why}");
    let why = astray.lattice.explain(&Subject::Component(id)).await;
    let why = why.to_string();
    assert!(why.contains("host `here` uses another store"), "{why}");
}
