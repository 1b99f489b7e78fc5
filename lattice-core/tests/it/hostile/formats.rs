//! A host of another version of the format, in the same lattice.

use super::*;
use lattice_core::{
    call::{CallError, Context},
    constellation::Subject as About,
    types::Digest,
    wire::{Beat, Duty, Served, Versions},
};
use std::collections::BTreeMap;

impl Scene {
    /// Sends beats of a host that serves `later` and reads frames of these versions.
    async fn beats(&self, number: u64, versions: Versions) {
        let beat = Beat {
            duty: Duty::Apart,
            sent_ms: 0,
            interval_ms: 60_000,
            versions,
            incarnation: Incarnation::default(),
            revision: Revision(0),
            labels: BTreeMap::new(),
            components: vec![Served {
                id: id("later"),
                digest: Digest([1; 32]),
                fence: 0,
                replica_counts: Vec::new(),
            }],
        };
        let bytes = FrameWriter::message(&self.auth, unknown_host(), None, number, &beat);
        self.send(self.subjects.beat(), bytes.expect("encodes"))
            .await;
    }
}

#[tokio::test]
async fn a_host_that_reads_none_of_our_frame_versions_is_reported_and_not_called() {
    let scene = Scene::set().await;
    let (lattice, ours) = (&scene.two.lattice, Versions::OURS.max);
    let mut inbox = scene.tap(scene.inbox(&unknown_host())).await;
    link(lattice, "visitor", "later").await;
    let visitor = scene.two.a.caller("visitor").expect("valid");
    let within = async |timeout| call(&visitor, &echo(), text("hi"), Context::new(timeout)).await;

    let (min, max) = (ours + 1, ours + 2);
    scene.beats(1, Versions { min, max }).await;
    eventually("its beat is received", async || {
        lattice.peers().contains(&unknown_host())
    })
    .await;
    let refused = within(Duration::from_secs(5)).await;
    let not_served = CallError::NotServed {
        component: id("later"),
    };
    assert_eq!(refused, Err(not_served));
    let why = lattice.explain(&About::Component(id("later"))).await;
    let says = why.to_string();
    assert!(
        says.contains("reads frames of version 2 to 3 and this process writes 1; run the same version of Lattice on both"),
        "{says}"
    );

    // The next version of the host reads both.
    scene.beats(2, Versions { min: ours, max }).await;
    eventually("its beat is received", async || {
        !lattice.peers().serving(&id("later")).is_empty()
    })
    .await;
    let (asked, _) = tokio::join!(next(&mut inbox), within(Duration::from_millis(200)));
    let frame = Frame::open(&scene.auth, asked.1).expect("a frame");
    assert_eq!(frame.kind(), Kind::Call);
}
