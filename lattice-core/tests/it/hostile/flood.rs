//! More calls than a host has room for.

use super::*;
use tokio::time::Instant;

/// More frames than may wait until their calls run.
const MANY: u64 = 20_000;

#[tokio::test]
async fn a_host_that_had_to_refuse_calls_leaves_without_waiting_for_them() {
    let scene = Scene::set().await;
    let (api, b) = (&scene.two.api, &scene.two.b);
    let flooder = Origin::new(host_id("flooder"), 1);
    // Nothing here lets the host read, so all of them wait at once.
    for number in 1..=MANY {
        let (from, to) = (flooder.clone(), Some(b.origin().clone()));
        let mut writer = FrameWriter::new(from, to, Kind::Call, Lane::Small);
        let mut call = call_envelope(Source::Operator);
        call.id = number;
        let pushed = writer.push(|buffer| call.encode_into(buffer));
        pushed.expect("room");
        let bytes = writer.seal(&scene.auth, number);
        let sent = scene.attacker.publish(scene.inbox_of_b(), None, bytes);
        sent.await.expect("sent");
    }
    let ran = || api.calls.load(Ordering::SeqCst);
    eventually("those with room have run", async || ran() >= 16_384).await;
    scene.still_works().await;
    assert!(ran() < MANY as usize, "some were refused: {}", ran());
    let start = Instant::now();
    assert!(b.shutdown(Duration::from_secs(10)).await.is_clean());
    let took = start.elapsed();
    assert!(took < Duration::from_millis(1_500), "{took:?}");
}
