//! More hosts than a receiver remembers.

use super::*;
use tokio::time::sleep;

/// How many senders a receiver remembers.
const SENDERS: u64 = 65_536;

impl Scene {
    /// Sends an authentic frame in the name of each of these hosts to `b`.
    async fn crowd(&self, numbers: std::ops::Range<u64>) {
        let (before, count) = (self.two.b.refused(), numbers.end - numbers.start);
        for number in numbers {
            let from = Origin::new(host_id(&format!("crowd-{number}")), 1);
            let to = Some(self.two.b.origin().clone());
            let bytes = frame(&self.auth, from, to, Kind::Discovered, |_| {});
            let sent = self.attacker.publish(self.inbox_of_b(), None, bytes);
            sent.await.expect("sent");
            if number % 64 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let b = &self.two.b;
        eventually("all are read", async || b.refused() - before >= count).await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_many_hosts_the_live_ones_are_remembered_and_the_others_are_not_heard_again() {
    let scene = Scene::set().await;
    let c = host(&scene.two.lattice, "c").await;
    let mut tap = scene.tap(scene.inbox_of_b()).await;
    let caller = c.caller("caller").expect("valid");
    assert_eq!(say(&caller).await, Ok(text("x")));
    let (_, recorded) = next(&mut tap).await;
    c.kill();
    let calls = || scene.two.api.calls.load(Ordering::SeqCst);
    // Host `a` makes no call for long. Its heartbeats keep it from being forgotten.
    scene.two.say().await.expect("answered");
    let before = calls();
    sleep(Duration::from_secs(30)).await;
    scene.crowd(0..SENDERS - 100).await;
    sleep(Duration::from_secs(30)).await;
    scene.crowd(SENDERS..SENDERS + 1_000).await;
    scene.send(scene.inbox_of_b(), recorded).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(calls(), before, "the recorded call runs once");
    scene.still_works().await;
}
