//! Members of the lattice that open sessions for streams without end.

use super::{
    liar::ANY,
    reading::{Reading, pass_stream},
    *,
};
use lattice_core::{
    call::{CallError, Context},
    serve::{Answer, Request, Service},
    stream::{Broken, Handle, Reader},
    types::ComponentTypes,
    value::to_bytes,
    wire::HandleName,
};
use std::sync::Mutex;
use tokio::time::{sleep, timeout};

/// How many calls of a component may run and wait.
const CALLS: usize = 256 + 1_024;
/// How many sessions a node has with one peer.
const SESSIONS: usize = 4_096;

/// They announce arguments that never come.
#[tokio::test(start_paused = true)]
async fn sessions_that_are_opened_for_nothing_are_bounded_and_end_by_themselves() {
    let mut reading = Reading::new().await;
    let b = &reading.scene.two.b;
    let _serving = serve_as(b, "neighbour", reading.reads.clone()).await;
    let lattice = reading.scene.two.lattice.clone();
    link(&lattice, "streamer", "neighbour").await;
    link(&lattice, "later", "reader").await;
    let mut last = 0;
    for _ in 0..50 {
        last = reading.liar.open_many("reader", (200, 10)).await;
    }
    let reply = reading.liar.reply(last).await;
    assert!(
        matches!(reply.outcome, Err(CallError::Overloaded { .. })),
        "{reply:?}"
    );
    let waiting = reading.serving.in_flight();
    assert!((1..=CALLS).contains(&waiting), "{waiting}");
    // Its neighbours are served.
    reading.scene.still_works().await;
    let caller = |name: &str| reading.scene.two.a.caller(name).expect("valid");
    let (streamer, later) = (caller("streamer"), caller("later"));
    let bytes = Bytes::from(vec![7; 100_000]);
    let whole = (0, bytes.to_vec(), Ok(()));
    pass_stream(&streamer, bytes.clone()).await;
    assert!(reading.found().await == whole);
    // Arguments may stand still for ten seconds. The liar still answers probes.
    sleep(Duration::from_secs(11)).await;
    eventually("all have ended", async || {
        let held = lattice.message_memory();
        let nothing = ByteSize::bytes(0);
        reading.serving.in_flight() == 0 && (held.received, held.calls) == (nothing, nothing)
    })
    .await;
    pass_stream(&later, bytes).await;
    assert!(reading.found().await == whole);
}

/// Keeps the streams that it is given, and reads none of them.
struct Keeps(Arc<Mutex<Vec<Reader>>>);

impl Service for Keeps {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(types(&[("pass", ANY)]))
    }

    fn call(&self, request: Request) -> Answer {
        let mut kept = self.0.lock().expect("not poisoned");
        for handle in request.handles {
            if let Handle::Stream(reader) = handle {
                kept.push(reader);
            }
        }
        Answer::Ready(Ok(Bytes::new()))
    }
}

/// Their calls have ended, and nothing is sent in their streams.
#[tokio::test]
async fn a_member_has_only_so_many_sessions_and_others_have_theirs() {
    let scene = Scene::set().await;
    let kept = Arc::<Mutex<Vec<Reader>>>::default();
    // Four of them together have as many as one peer may open.
    let keepers = ["keeper-0", "keeper-1", "keeper-2", "keeper-3", "keeper-4"];
    let mut serving = Vec::new();
    for keeper in keepers {
        serving.push(serve_as(&scene.two.b, keeper, Keeps(kept.clone())).await);
    }
    let mut liar = scene.liar("liar").await;
    for number in 0..SESSIONS {
        let keeper = keepers[number % 4];
        liar.pass(keeper, &[HandleName::Stream(1)]).await;
    }
    let (id, _) = liar.open("keeper-4", 10).await;
    let reply = liar.reply(id).await;
    assert!(
        matches!(reply.outcome, Err(CallError::Overloaded { .. })),
        "{reply:?}"
    );
    assert_eq!(kept.lock().expect("not poisoned").len(), SESSIONS);
    // They take no memory, and the sessions of others are not theirs.
    let held = scene.two.lattice.message_memory().received;
    assert!(held <= ByteSize::mib(1), "{held}");
    let large = to_bytes(&("x".repeat(3 << 20),)).expect("it encodes");
    let context = Context::new(Duration::from_secs(60));
    let answer = scene.two.call(&echo(), large.clone(), context).await;
    assert!(answer == Ok(large), "another host has room");
    // When it is gone, so are they.
    let gone = liar.origin().host.clone();
    drop(liar);
    let mut kept = std::mem::take(&mut *kept.lock().expect("not poisoned"));
    for at in [0, SESSIONS - 1] {
        let reader = &mut kept[at];
        reader.ask(1);
        let end = timeout(Duration::from_secs(10), reader.chunk()).await;
        let host = gone.clone();
        let lost = Broken::HostLost { host };
        assert_eq!(end.expect("in time").err(), Some(lost));
    }
    scene.still_works().await;
}
