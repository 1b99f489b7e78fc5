//! Malformed bytes on every subject and in store keys.

use super::{onlooker::Onlooker, *};
use lattice_core::{
    call::{CallError, Context},
    constellation::Phase,
    store::{Expect, Op, StoreKey},
    types::Digest,
    wire::{
        Beat, Body as _, CancelReason, ComponentReport, Discover, Discovered, Goodbye, Item,
        KeepAlive, LogLevel, LogLine, Logs, LogsWanted, Opening, Probe, ProbeAck, Program,
        RecentCalls, ReplyEnvelope, Report, ReportWanted, Served, SessionItem, SessionName,
        Versions,
    },
};
use std::{collections::BTreeMap, sync::Once};
use tokio::time::sleep;

/// The virtual time in which slow readers read all queued messages.
const BREATH: Duration = Duration::from_secs(10);
/// The number of frames that arrive in this time.
const GUST: u64 = 100;

/// The number of panics in this process. A panic of a task is not visible otherwise.
static PANICS: AtomicU64 = AtomicU64::new(0);

fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            print(panic);
        }));
    });
}

impl Scene {
    /// The subjects that have or may have subscribers.
    fn subjects(&self) -> Vec<Subject> {
        let (a, b) = (self.two.a.origin(), self.two.b.origin());
        vec![
            self.inbox(a),
            self.inbox(b),
            self.subjects.session(&a.host, a.epoch),
            self.subjects.session(&b.host, b.epoch),
            self.subjects.reply(&a.host, a.epoch, 0, 1),
            self.subjects.reply(&a.host, a.epoch, 1, 1),
            self.subjects.reply(&b.host, b.epoch, 1, 1),
            self.subjects.beat(),
            self.subjects.report(),
            self.subjects.report_wanted(),
            self.subjects.logs(),
            self.subjects.logs_wanted(),
            self.subjects.serves(&id("callee")),
        ]
    }

    /// Checks that all earlier subscribers still work, on every subject.
    async fn all_listen(&self, onlooker: &Onlooker) {
        let (a, b) = (self.two.a.origin(), self.two.b.origin());
        // Inboxes, discovery, the replies to `a`, the beats.
        for host in [a, b] {
            let probe = Probe { nonce: 7 }.encode().expect("encodes");
            let write = |buf: &mut BytesMut| buf.extend_from_slice(&probe);
            let reply = self.ask(self.inbox(host), Some(host), Kind::Probe, write);
            assert_eq!(reply.await.kind(), Kind::ProbeAck, "{host:?}");
        }
        let component = id("callee");
        let who = Discover { id: 1, component }.encode().expect("encodes");
        let write = |buf: &mut BytesMut| buf.extend_from_slice(&who);
        let serves = self.subjects.serves(&id("callee"));
        let reply = self.ask(serves, None, Kind::Discover, write).await;
        assert_eq!(reply.kind(), Kind::Discovered);
        eventually("the callee replies", async || self.two.say().await.is_ok()).await;
        let fresh = host(&self.two.lattice, "fresh").await;
        eventually("the beat of a new host is received", async || {
            self.two.lattice.peers().contains(fresh.origin())
        })
        .await;
        // The replies to `b`, and calls to a host that joined later.
        let (_api, _serving) = serve(&fresh, "newcomer").await;
        link(&self.two.lattice, "callee", "newcomer").await;
        let caller = self.two.b.caller("callee").expect("valid");
        eventually("a new host is called", async || say(&caller).await.is_ok()).await;
        let large = text(&"x".repeat(2 << 20));
        eventually("sessions carry large calls", async || {
            let answer = self
                .two
                .call(&echo(), large.clone(), Context::default())
                .await;
            answer.as_ref() == Ok(&large)
        })
        .await;
        // Reports and logs, and the requests for them.
        self.onlookers_hear(onlooker).await;
        assert_eq!(PANICS.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn malformed_messages_on_every_subject_do_no_harm() {
    count_panics();
    let scene = Scene::set().await;
    let onlooker = Onlooker::of(&scene).await;
    let mut tap = scene.tap(scene.inbox_of_b()).await;
    assert_eq!(scene.two.say().await, Ok(text("x")));
    let (_, real) = next(&mut tap).await;
    for subject in scene.subjects() {
        for cut in 0..real.len() {
            scene.send(subject.clone(), real.slice(..cut)).await;
        }
        for bit in 0..real.len() * 8 {
            let mut bytes = real.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            scene.send(subject.clone(), bytes.into()).await;
        }
        for size in [0, 1, 80, 4_096, 1 << 20] {
            scene.send(subject.clone(), vec![0xa5; size].into()).await;
        }
    }
    scene.still_works().await;
    assert_eq!(scene.two.api.calls.load(Ordering::SeqCst), 2);
    scene.all_listen(&onlooker).await;
}

/// Returns one valid envelope of each kind. None of them refers to the hosts or the link of the
/// scene.
fn envelopes() -> Vec<(Kind, Bytes)> {
    let (answer, error) = (reply(Ok(text("x"))), reply(Err(CallError::LinkTableBehind)));
    let mut traced = call_envelope(Source::Component(id("caller")));
    traced.link = LinkName::new("other").expect("a name");
    let digest = Digest([7; 32]);
    let beat = Beat {
        duty: lattice_core::wire::Duty::Works,
        sent_ms: 1,
        interval_ms: 1_000,
        versions: Versions::OURS,
        incarnation: Incarnation(1),
        revision: Revision(1),
        labels: BTreeMap::from([("zone".to_owned(), "b".to_owned())]),
        components: vec![Served {
            id: id("elsewhere"),
            digest,
            fence: 0,
            replica_counts: Vec::new(),
        }],
    };
    let discovered = Discovered {
        id: 1,
        component: id("elsewhere"),
        hosts: vec![(unknown_host(), digest)],
    };
    let ack = ProbeAck { nonce: 1, epoch: 1 };
    let discover = Discover {
        id: 1,
        component: id("callee"),
    };
    let operator = call_envelope(Source::Operator);
    let keep_alive = KeepAlive {
        of_ms: beat.sent_ms,
        interval_ms: 1_000,
        incarnation: Incarnation(1),
        revision: Revision(2),
    };
    let wanted = LogsWanted {
        component: None,
        lease_ms: 1_000,
        recent: 3,
    };
    let mut all = vec![
        (Kind::Call, encode(&|buf| operator.encode_into(buf))),
        (Kind::Call, encode(&|buf| traced.encode_into(buf))),
        (Kind::Reply, encode(&|buf| answer.encode_into(buf))),
        (Kind::Reply, encode(&|buf| error.encode_into(buf))),
        (Kind::Probe, Probe { nonce: 1 }.encode().expect("encodes")),
        (Kind::ProbeAck, ack.encode().expect("encodes")),
        (Kind::Beat, beat.encode().expect("encodes")),
        (
            Kind::BeatPart,
            beat.without_contents("too long").encode().expect("encodes"),
        ),
        (
            Kind::Goodbye,
            Goodbye { grace_ms: 1 }.encode().expect("encodes"),
        ),
        (Kind::Discover, discover.encode().expect("encodes")),
        (Kind::Discovered, discovered.encode().expect("encodes")),
        (Kind::KeepAlive, keep_alive.encode().expect("encodes")),
        (Kind::Report, report().encode().expect("encodes")),
        (
            Kind::ReportWanted,
            ReportWanted {}.encode().expect("encodes"),
        ),
        (Kind::Logs, logs().encode().expect("encodes")),
        (Kind::LogsWanted, wanted.encode().expect("encodes")),
    ];
    all.extend(of_sessions());
    all
}

/// The envelopes that open sessions, and the items of sessions.
fn of_sessions() -> impl Iterator<Item = (Kind, Bytes)> {
    let session = Some(Opening {
        session: 5,
        size: 3 << 20,
    });
    let reply = ReplyEnvelope {
        session,
        ..reply(Ok(Bytes::new()))
    };
    let call = CallEnvelope {
        session,
        args: Bytes::new(),
        ..call_envelope(Source::Operator)
    };
    let openings = [
        (Kind::Call, encode(&|buf| call.encode_into(buf))),
        (Kind::Reply, encode(&|buf| reply.encode_into(buf))),
    ];
    let items = session_items().map(|item| (Kind::Session, encode(&|buf| item.encode_into(buf))));
    openings.into_iter().chain(items)
}

fn encode(write: &dyn Fn(&mut BytesMut)) -> Bytes {
    let mut buf = BytesMut::new();
    write(&mut buf);
    buf.freeze()
}

fn reply(outcome: Result<Bytes, CallError>) -> ReplyEnvelope {
    ReplyEnvelope {
        id: 1,
        session: None,
        has_handles: false,
        outcome,
    }
}

/// Items of a session that may have been opened by the large call of [`envelopes`].
fn session_items() -> impl Iterator<Item = SessionItem> {
    let chunk = Item::Chunk {
        number: 0,
        elements: 1,
        bytes: Bytes::from_static(b"chunk"),
    };
    let credit = Item::Credit {
        received: 1,
        bytes: 1 << 20,
        elements: 5,
        taken: 0,
        gap: true,
    };
    let cancel = Item::Cancel {
        reason: CancelReason::Dropped,
        own_channel: true,
        taken: None,
    };
    let items = [chunk, credit, Item::End { number: 1 }, cancel, Item::Ask];
    items.into_iter().map(|item| SessionItem {
        session: SessionName {
            from_opener: true,
            number: 5,
        },
        channel: 0,
        item,
    })
}

fn report() -> Report {
    let component = ComponentReport {
        id: id("elsewhere"),
        phase: Phase::CrashLooping { failures: 4 },
        generation: Some(2),
        reason: Some("no memory".to_owned()),
        calls: 7,
        errors: 1,
        latency: None,
    };
    Report {
        interval_ms: 5_000,
        uptime_ms: 60_000,
        in_flight: 3,
        memory: Some(1 << 20),
        incarnation: Incarnation(1),
        revision: Revision(1),
        follows_store: true,
        left_out: 0,
        components: vec![component],
        processes: Vec::new(),
        program: Program::default(),
        recent: RecentCalls::default(),
    }
}

fn logs() -> Logs {
    let line = LogLine {
        number: 7,
        said_ms: 1,
        component: id("elsewhere"),
        level: LogLevel::Warn,
        text: "it is late".to_owned(),
    };
    Logs {
        dropped: 3,
        lines: vec![line],
    }
}

impl Scene {
    /// Returns a frame of `kind` with these envelopes, from one of many unknown hosts. It is sealed
    /// with the lattice's own key, and addressed to all hosts, one of them, or `reader`.
    fn sealed(
        &self,
        reader: &Origin,
        dice: &mut Dice,
        number: u64,
        (kind, envelopes): (Kind, &[Vec<u8>]),
    ) -> Bytes {
        let (a, b) = (self.two.a.origin(), self.two.b.origin());
        let to = [None, Some(a), Some(b), Some(reader)][dice.below(4)].cloned();
        let lane = Lane::ALL[dice.below(2)];
        let from = Origin::new(host_id(&format!("unknown-host-{}", number % 100)), 7);
        let mut writer = FrameWriter::new(from, to, kind, lane);
        for envelope in envelopes {
            writer
                .push(|buf| buf.extend_from_slice(envelope))
                .expect("room");
        }
        writer.seal(&self.auth, number)
    }
}

/// A key holder with a bug sends authentic but malformed frames.
#[tokio::test(start_paused = true)]
async fn authentic_malformed_messages_on_every_subject_do_no_harm() {
    count_panics();
    for seed in 0..6 {
        let _seed = Seed(seed);
        let (scene, mut dice) = (Scene::set().await, Dice(seed));
        let onlooker = Onlooker::of(&scene).await;
        let good = envelopes();
        for number in 1..=2_000 {
            let (kind, envelope) = &good[dice.below(good.len())];
            let kind = match dice.below(4) {
                0 => Kind::ALL[dice.below(Kind::ALL.len())],
                _ => *kind,
            };
            let envelopes: Vec<_> = (0..=dice.below(3))
                .map(|_| match dice.below(4) {
                    0 => dice.bytes(200),
                    1 => envelope.to_vec(),
                    _ => dice.spoiled(envelope),
                })
                .collect();
            let bytes = scene.sealed(&onlooker.reader, &mut dice, number, (kind, &envelopes));
            let subjects = scene.subjects();
            let to = subjects[dice.below(subjects.len())].clone();
            scene.send(to, bytes).await;
            if number % GUST == 0 {
                sleep(BREATH).await;
            }
        }
        scene.all_listen(&onlooker).await;
    }
}

/// Without a key any bit of a frame can be damaged: heads, names and lengths.
#[tokio::test(start_paused = true)]
async fn malformed_frames_without_a_key_do_no_harm() {
    count_panics();
    for seed in 0..6 {
        let _seed = Seed(seed);
        let (scene, mut dice) = (Scene::trusting().await, Dice(seed));
        let onlooker = Onlooker::of(&scene).await;
        let good = envelopes();
        for number in 1..=2_000 {
            let (kind, envelope) = &good[dice.below(good.len())];
            let envelopes = vec![envelope.to_vec(); 1 + dice.below(3)];
            let bytes = scene.sealed(&onlooker.reader, &mut dice, number, (*kind, &envelopes));
            let bytes = dice.spoiled(&bytes);
            let subjects = scene.subjects();
            let to = subjects[dice.below(subjects.len())].clone();
            scene.send(to, bytes.into()).await;
            if number % GUST == 0 {
                sleep(BREATH).await;
            }
        }
        scene.all_listen(&onlooker).await;
    }
}

#[tokio::test]
async fn malformed_values_in_store_keys_do_no_harm() {
    let scene = Scene::set().await;
    let put = async |key: StoreKey, bytes: &[u8]| {
        let op = Op::put(key, bytes.to_vec(), Expect::Any);
        scene.store.commit(vec![op]).await.expect("taken");
    };
    let link = grant("victim", "callee");
    let of = |key: fn(&_, &_, &_) -> StoreKey| key(&link.source, &link.interface, &link.name);
    for bytes in [&b""[..], b"\0", b"garbage", &[0xff; 4_096]] {
        put(StoreKey::for_test("foreign"), bytes).await;
        put(of(StoreKey::link), bytes).await;
        put(of(StoreKey::link_status), bytes).await;
        put(StoreKey::component(&id("victim")), bytes).await;
        put(StoreKey::types(&"0".repeat(64)), bytes).await;
    }
    scene.still_works().await;
    let victim = scene.two.a.caller("victim").expect("valid");
    let answer = say(&victim).await;
    assert!(
        matches!(answer, Err(CallError::NotLinked { .. })),
        "{answer:?}"
    );
    let links = scene.two.lattice.links();
    links
        .replace(link)
        .await
        .expect("a valid link replaces the malformed one");
    say(&victim).await.expect("and it grants the call");
}
