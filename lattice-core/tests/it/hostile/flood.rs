//! More calls than a host has room for.

use super::*;
use lattice_core::{
    call::Context,
    serve::{Answer, Request, Service},
    server::ServeLimits,
    types::ComponentTypes,
};
use tokio::time::{Instant, sleep};

/// More frames than may wait until their calls run.
const MANY: u64 = 40_000;

/// Takes a moment for each call.
struct Slow(AtomicU64);

impl Service for Slow {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&[("echo", ECHO)]))
    }

    fn call(&self, request: Request) -> Answer {
        std::thread::sleep(Duration::from_micros(100));
        self.0.fetch_add(1, Ordering::SeqCst);
        Answer::Ready(Ok(request.args))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_host_that_had_to_refuse_calls_leaves_without_waiting_for_them() {
    let scene = Scene::set().await;
    let b = &scene.two.b;
    let slow = Arc::new(Slow(AtomicU64::new(0)));
    let serving = b.serve(id("slow"), slow.clone(), ServeLimits::default());
    let _serving = serving.await.expect("it serves");
    let flooder = Origin::new(host_id("flooder"), 1);
    for number in 1..=MANY {
        let (from, to) = (flooder.clone(), Some(b.origin().clone()));
        let mut writer = FrameWriter::new(from, to, Kind::Call, Lane::Small);
        let mut call = call_envelope(Source::Operator);
        (call.id, call.target) = (number, id("slow"));
        call.deadline_left = Duration::from_secs(60);
        let pushed = writer.push(|buffer| call.encode_into(buffer));
        pushed.expect("room");
        let bytes = writer.seal(&scene.auth, number);
        let sent = scene.attacker.publish(scene.inbox_of_b(), None, bytes);
        sent.await.expect("sent");
    }
    // Calls run in the order in which they have come.
    let patience = Context::new(Duration::from_secs(60));
    let waited = async || scene.two.call(&echo(), text("x"), patience).await.is_ok();
    eventually("those with room have run", waited).await;
    let ran = slow.0.load(Ordering::SeqCst);
    assert!((16_384..MANY).contains(&ran), "{ran}");
    let start = Instant::now();
    assert!(b.shutdown(Duration::from_secs(10)).await.is_clean());
    let took = start.elapsed();
    assert!(took < Duration::from_millis(1_500), "{took:?}");
}

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
