//! Members of the lattice that pass handles where the type of a function has no place for them.

use super::*;
use lattice_core::{
    call::{CallError, Context},
    serve::CallerInstance,
    stream::{self, Handles},
    wire::{
        HandleName, Item, Opening, Passed, ReplyEnvelope, ResourceName, SessionItem, WHOLE_SESSION,
        envelope_id,
    },
};

/// A value with a resource of this host, which is given away.
fn given_by(host: &Origin) -> Bytes {
    let own = HandleName::Own(ResourceName {
        origin: host.clone(),
        component: id("owner"),
        instance: 1,
        id: 1,
        holder: None,
        ty: "test:calls/api/r".to_owned(),
        token: None,
    });
    let passed = Passed {
        names: vec![own],
        value: text("x"),
    };
    passed.encode().expect("it encodes")
}

fn outcome(scene: &Scene, reply: Bytes) -> Result<Bytes, CallError> {
    let reply = Frame::open(&scene.auth, reply).expect("a frame");
    let envelope = reply.envelopes().next().expect("a reply");
    ReplyEnvelope::decode(envelope).expect("a reply").outcome
}

impl Scene {
    /// Each host has a connection of its own.
    async fn apart() -> Self {
        let (network, store) = (MemoryNetwork::new(), Arc::new(MemoryStore::new()));
        let name = LatticeName::new("prod").expect("a name");
        let connect = async || {
            let bus = Arc::new(network.connect());
            let lattice = Lattice::on(bus, store.clone(), "prod").key(key());
            lattice.await.expect("it opens")
        };
        let (here, there) = (connect().await, connect().await);
        Self {
            two: Two::across(&here, &there).await,
            attacker: network.connect(),
            store,
            subjects: Subjects::new(&name),
            auth: Auth::keyed(&name, &key()),
            strangers: AtomicU64::new(0),
        }
    }
}

#[tokio::test]
async fn handles_for_a_function_that_takes_none_are_refused_before_it_runs() {
    let scene = Scene::set().await;
    let member = Origin::new(host_id("member"), 1);
    let mut replies = scene
        .tap(scene.subjects.replies(&member.host, member.epoch))
        .await;
    let call = CallEnvelope {
        instance: Some(0),
        has_handles: true,
        args: given_by(&member),
        ..call_envelope(Source::Operator)
    };
    let to = Some(scene.two.b.origin().clone());
    let bytes = frame(&scene.auth, member, to, Kind::Call, |buf| {
        call.encode_into(buf);
    });
    scene.send(scene.inbox_of_b(), bytes).await;
    let (_, reply) = next(&mut replies).await;
    let refused = outcome(&scene, reply).expect_err("it takes none");
    assert!(
        matches!(refused, CallError::BadArguments { .. }),
        "{refused}"
    );
    assert_eq!(scene.two.api.calls.load(Ordering::SeqCst), 0);
    assert_eq!(scene.two.b.handles(), (0, 0));
    scene.still_works().await;
}

/// The sender of the streams has to learn that nothing reads them.
#[tokio::test]
async fn a_session_of_streams_for_a_function_that_takes_none_is_broken_off() {
    let scene = Scene::set().await;
    let member = Origin::new(host_id("member"), 1);
    let (host, epoch) = (&member.host, member.epoch);
    let mut replies = scene.tap(scene.subjects.replies(host, epoch)).await;
    let mut items = scene.tap(scene.subjects.session(host, epoch)).await;
    let call = CallEnvelope {
        instance: Some(0),
        has_handles: true,
        session: Some(Opening {
            session: 1,
            size: 16,
        }),
        args: Bytes::new(),
        ..call_envelope(Source::Operator)
    };
    let to = Some(scene.two.b.origin().clone());
    let bytes = frame(&scene.auth, member.clone(), to, Kind::Call, |buf| {
        call.encode_into(buf);
    });
    scene.send(scene.inbox_of_b(), bytes).await;
    let (_, reply) = next(&mut replies).await;
    let refused = outcome(&scene, reply).expect_err("it takes none");
    assert!(
        matches!(refused, CallError::BadArguments { .. }),
        "{refused}"
    );
    // Without the refusal, the host would wait for the arguments.
    let is_break = |item: SessionItem| {
        item.channel == WHOLE_SESSION && matches!(item.item, Item::Cancel { .. })
    };
    loop {
        let (_, told) = next(&mut items).await;
        let told = Frame::open(&scene.auth, told).expect("a frame");
        let mut told = told.envelopes();
        if told.any(|item| is_break(SessionItem::decode(item).expect("an item"))) {
            break;
        }
    }
    assert_eq!(scene.two.api.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn handles_in_the_result_of_a_function_that_returns_none_are_refused_and_dropped() {
    let scene = Scene::apart().await;
    let Two { a, b, .. } = &scene.two;
    let mut calls = scene.tap(scene.inbox_of_b()).await;
    let caller = scene.two.caller.clone();
    let calling = tokio::spawn(async move {
        let options = (CallerInstance::Here, Context::new(Duration::from_secs(20)));
        let arguments = stream::Body {
            bytes: Bytes::new(),
            handles: Handles::new(),
        };
        let link = LinkName::default();
        let call = caller.pass_via(&wait(), &link, arguments, options).await;
        call.map(|body| body.handles.len())
    });
    let (reply_to, call) = loop {
        let (reply_to, bytes) = next(&mut calls).await;
        let frame = Frame::open(&scene.auth, bytes).expect("a frame");
        if frame.kind() == Kind::Call {
            break (reply_to, frame);
        }
    };
    let reply_to = reply_to.expect("a frame of calls names where replies go");
    let call = call.envelopes().next().expect("a call");
    // In the name of the callee's host, which replies only later, and with one of its next numbers.
    let reply = ReplyEnvelope {
        id: envelope_id(&call).expect("an id"),
        session: None,
        has_handles: true,
        outcome: Ok(given_by(b.origin())),
    };
    let to = Some(a.origin().clone());
    let mut writer = FrameWriter::new(b.origin().clone(), to, Kind::Reply, Lane::Small);
    writer.push(|buf| reply.encode_into(buf)).expect("room");
    let bytes = writer.seal(&scene.auth, 900);
    scene.send(reply_to, bytes).await;
    let refused = calling.await.expect("joined").expect_err("it returns none");
    assert!(matches!(refused, CallError::BadResult { .. }), "{refused}");
    eventually("it is dropped", async || a.handles() == (0, 0)).await;
}
