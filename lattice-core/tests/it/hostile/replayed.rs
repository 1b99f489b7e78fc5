//! Recorded messages that are replayed.

use super::*;
use lattice_core::{
    call::{CallError, Context, Ran},
    wire::{Beat, Body as _},
};
use lattice_sim::fault::FaultBus;
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn a_replayed_frame_runs_once() {
    let scene = Scene::set().await;
    let b = &scene.two.b;
    let mut tap = scene.tap(scene.inbox_of_b()).await;
    assert_eq!(scene.two.say().await, Ok(text("x")));
    let (_, recorded) = next(&mut tap).await;
    let before = b.refused();
    for _ in 0..5 {
        scene.send(scene.inbox_of_b(), recorded.clone()).await;
    }
    eventually("all five are refused", async || b.refused() == before + 5).await;
    assert_eq!(scene.two.api.calls.load(Ordering::SeqCst), 1);
    scene.still_works().await;
}

#[tokio::test]
async fn a_frame_for_another_boot_is_rejected() {
    let scene = Scene::set().await;
    let a = &scene.two.a;
    let mut tap = scene.tap(scene.inbox_of_b()).await;
    assert_eq!(scene.two.say().await, Ok(text("x")));
    let (_, recorded) = next(&mut tap).await;
    let before = a.refused();
    let elsewhere = scene.subjects.call(a.host_id(), a.origin().epoch);
    scene.send(elsewhere, recorded).await;
    eventually("it is refused", async || a.refused() == before + 1).await;
    scene.still_works().await;
}

#[tokio::test]
async fn a_replayed_reply_completes_no_other_call() {
    let scene = Scene::set().await;
    let Two { a, api, .. } = &scene.two;
    let replies = scene.subjects.replies(a.host_id(), a.origin().epoch);
    let mut tap = scene.tap(replies).await;
    assert_eq!(scene.two.say().await, Ok(text("x")));
    let (_, recorded) = next(&mut tap).await;
    let running = begin_wait(&scene.two.caller, Context::default());
    api.started.notified().await;
    let before = a.refused();
    for frame in 0..5 {
        let to = scene
            .subjects
            .reply(a.host_id(), a.origin().epoch, frame, frame);
        scene.send(to, recorded.clone()).await;
    }
    eventually("all five are refused", async || a.refused() == before + 5).await;
    assert!(!running.is_finished());
    assert_eq!(a.in_flight(), 1);
    api.release.notify_one();
    assert_eq!(running.await.expect("joined"), Ok(Bytes::new()));
    scene.still_works().await;
}

/// Returns the beats of `host` with components that were observed on the bus until now.
fn beats_of(host: &Origin, auth: &Auth, tap: &mut Subscription) -> Vec<Bytes> {
    let mut beats = Vec::new();
    while let Some(Some(message)) = futures_util::FutureExt::now_or_never(tap.next()) {
        let Body::Payload(bytes) = message.body else {
            continue;
        };
        let frame = Frame::open(auth, bytes.clone()).expect("a frame");
        let beat = frame.envelopes().next().map(Beat::decode);
        if frame.sender() == host && matches!(beat, Some(Ok(beat)) if !beat.components.is_empty()) {
            beats.push(bytes);
        }
    }
    beats
}

/// Replays beats, and waits until the subscribers of `lattice` have received them.
async fn play_beats(scene: &Scene, lattice: &Lattice, beats: Vec<Bytes>) {
    for beat in beats {
        scene.send(scene.subjects.beat(), beat).await;
    }
    // It is received after all of them.
    let marker = host(&scene.two.lattice, "marker").await;
    eventually("the beat of a new host is received", async || {
        lattice.peers().contains(marker.origin())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_replayed_beat_does_not_revive_a_dead_host() {
    let scene = Scene::set().await;
    let Two { lattice, b, .. } = &scene.two;
    let mut tap = scene.tap(scene.subjects.beat()).await;
    sleep(Duration::from_millis(2_500)).await;
    let beats = beats_of(b.origin(), &scene.auth, &mut tap);
    assert!(beats.len() >= 2, "{}", beats.len());
    b.kill();
    eventually("its silence is noticed", async || {
        !lattice.peers().contains(b.origin())
    })
    .await;
    play_beats(&scene, lattice, beats).await;
    assert!(!lattice.peers().contains(b.origin()));
    assert!(lattice.peers().serving(&id("callee")).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_delayed_beat_does_not_undo_a_goodbye() {
    let scene = Scene::set().await;
    let Two { b, lattice, .. } = &scene.two;
    // A process that hasn't received the recorded beats: for it they are new.
    let bus = Arc::new(FaultBus::new(
        Arc::new(scene.attacker.network().connect()),
        1,
    ));
    let listener = Lattice::on(bus.clone(), scene.store.clone(), "prod")
        .key(key())
        .await
        .expect("it opens");
    eventually("it is known", async || {
        listener.peers().contains(b.origin())
    })
    .await;
    bus.partition(|to| to.as_str().rsplit('.').next() == Some("beat"));
    let mut tap = scene.tap(scene.subjects.beat()).await;
    sleep(Duration::from_millis(1_500)).await;
    let beats = beats_of(b.origin(), &scene.auth, &mut tap);
    assert!(!beats.is_empty());
    bus.heal();
    assert!(b.shutdown(Duration::from_secs(1)).await.is_clean());
    eventually("the goodbye is received", async || {
        !listener.peers().contains(b.origin())
    })
    .await;
    play_beats(&scene, &listener, beats).await;
    for lattice in [lattice, &listener] {
        assert!(!lattice.peers().contains(b.origin()));
    }
}

/// A process that starts after a host has died can't tell recorded beats of it from new ones.
#[tokio::test(start_paused = true)]
async fn a_call_to_a_replayed_host_ends_soon_and_may_have_run() {
    let scene = Scene::set().await;
    let b = &scene.two.b;
    let mut tap = scene.tap(scene.subjects.beat()).await;
    sleep(Duration::from_secs(12)).await;
    let mut beats = beats_of(b.origin(), &scene.auth, &mut tap).into_iter();
    assert!(beats.len() >= 9, "{}", beats.len());
    b.kill();
    let join = async || {
        let bus = Arc::new(scene.attacker.network().connect());
        let lattice = Lattice::on(bus, scene.store.clone(), "prod").key(key());
        lattice.await.expect("it opens")
    };
    let (late, there) = (join().await, join().await);
    let c = host(&late, "c").await;
    let caller = c.caller("caller").expect("valid");
    assert!(!late.peers().contains(b.origin()));
    let replay = async |beat: Bytes, serving: usize| {
        scene.send(scene.subjects.beat(), beat).await;
        eventually("the recording is believed", async || {
            late.peers().serving(&id("callee")).len() == serving
        })
        .await;
        assert!(late.peers().contains(b.origin()));
    };
    let gone = CallError::HostLost { host: host_id("b") };
    assert_eq!(gone.ran(), Ran::Maybe);

    // First the bus reports that no one has received the call. Then the attacker receives it.
    let mut inboxes = Vec::new();
    for within in [400, 1_000] {
        for beat in beats.by_ref().take(3) {
            replay(beat, 1).await;
            let start = Instant::now();
            let lost = say(&caller).await;
            let took = start.elapsed();
            assert_eq!(lost, Err(gone.clone()));
            assert!(took < Duration::from_millis(within), "{took:?}");
            let next = say(&caller).await.expect_err("it was lost");
            assert_eq!(next.ran(), Ran::No, "{next:?}");
        }
        inboxes.push(scene.tap(scene.inbox_of_b()).await);
    }

    // Beside a live host, each recorded beat costs one call at most.
    let d = host(&there, "d").await;
    let (api, _serving) = serve(&d, "callee").await;
    let replays = beats.len();
    let mut lost = 0;
    for beat in beats {
        replay(beat, 2).await;
        for _ in 0..16 {
            match say(&caller).await {
                Ok(answer) => assert_eq!(answer, text("x")),
                Err(error) => {
                    assert_eq!(error, gone);
                    lost += 1;
                }
            }
        }
    }
    assert!(lost <= replays, "{lost} of {replays}");
    assert_eq!(api.calls.load(Ordering::SeqCst), 16 * replays - lost);
    drop(inboxes);
}
