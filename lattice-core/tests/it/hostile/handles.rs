//! Names of handles that a member of the lattice makes up, or that aren't its own any more.

use super::{
    liar::{Liar, passed, passing},
    *,
};
use crate::calls::handles::{Shelf, owner};
use lattice_core::{
    call::{CallError, Context, FunctionRef, Ran},
    client::Caller,
    name::{FunctionName, InterfaceName},
    server::ServeHandle,
    stream::{self, Handle},
    types::Digest,
    value::to_bytes,
    wire::{
        Beat, Duty, HandleAnswer, HandleAsk, HandleName, HandleRequest, Passed, ResourceName,
        Served, Versions,
    },
};
use std::collections::BTreeMap;

const MAKE: (&str, &str) = ("owner", "make");
const USE: (&str, &str) = ("owner", "use");

/// A scene with the component `owner` on host `b`.
async fn scene() -> (Scene, Arc<Shelf>, ServeHandle) {
    let scene = Scene::set().await;
    let shelf = Shelf::on(&scene.two.b);
    let serving = serve_as(&scene.two.b, "owner", owner(&shelf)).await;
    (scene, shelf, serving)
}

/// Has a resource made, and returns its name.
async fn made(liar: &mut Liar) -> ResourceName {
    let made = liar.call(MAKE, &[]).await;
    assert!(made.has_handles);
    let names = Passed::decode(made.outcome.expect("a result")).expect("a value");
    match <[HandleName; 1]>::try_from(names.names) {
        Ok([HandleName::Own(name)]) => name,
        other => panic!("not one resource: {other:?}"),
    }
}

/// Uses these handles, and returns why that is refused.
async fn refused(liar: &mut Liar, what: &str, names: &[HandleName]) -> String {
    let reply = liar.call(USE, names).await;
    match reply.outcome {
        Err(error @ CallError::StaleHandle { .. }) => {
            assert_eq!(error.ran(), Ran::No, "{what}");
            error.to_string()
        }
        other => panic!("{what}: {other:?}"),
    }
}

fn changed(name: &ResourceName, change: impl FnOnce(&mut ResourceName)) -> ResourceName {
    let mut name = name.clone();
    change(&mut name);
    name
}

async fn uses(liar: &mut Liar, name: HandleName) {
    let used = liar.call(USE, &[name]).await;
    assert!(used.outcome.is_ok(), "{used:?}");
}

#[tokio::test]
async fn names_that_a_member_was_not_given_are_refused_in_its_calls() {
    let (scene, shelf, _serving) = scene().await;
    let (mut liar, mut other) = (scene.liar("liar").await, scene.liar("other").await);
    let (mine, theirs) = (made(&mut liar).await, made(&mut other).await);
    let forged = [
        (
            "made up",
            changed(&mine, |name| name.id = 77),
            "never existed",
        ),
        (
            "the first",
            changed(&mine, |name| name.id = 0),
            "never existed",
        ),
        ("another member's", theirs.clone(), "`liar` doesn't hold it"),
        (
            "of another type",
            changed(&mine, |name| name.ty = "test:calls/api/s".to_owned()),
            "it is a",
        ),
        (
            "of another instance",
            changed(&mine, |name| name.instance += 1),
            "another instance",
        ),
        (
            "of another component",
            changed(&mine, |name| name.component = id("callee")),
            "another instance",
        ),
        (
            "of a later boot",
            changed(&mine, |name| name.origin.epoch += 1),
            "started again",
        ),
        (
            "of an earlier boot",
            changed(&mine, |name| name.origin.epoch -= 1),
            "started again",
        ),
        (
            "of another host",
            changed(&mine, |name| name.origin.host = host_id("nowhere")),
            "could not be asked",
        ),
    ];
    for (what, name, why) in forged {
        for name in [HandleName::Borrow(name.clone()), HandleName::Own(name)] {
            let text = refused(&mut liar, what, &[name]).await;
            assert!(text.contains(why), "{what}: {text}");
        }
    }
    // Nothing has become of either.
    assert_eq!(shelf.held(), 2);
    uses(&mut liar, HandleName::Borrow(mine.clone())).await;
    uses(&mut other, HandleName::Borrow(theirs.clone())).await;
    // Both are given back, and dropped there. Their names are over then.
    for (liar, name) in [(&mut liar, mine), (&mut other, theirs)] {
        uses(liar, HandleName::Own(name.clone())).await;
        for name in [HandleName::Borrow(name.clone()), HandleName::Own(name)] {
            let text = refused(liar, "given back", &[name]).await;
            assert!(text.contains("it was dropped"), "{text}");
        }
    }
    assert_eq!((shelf.held(), scene.two.b.handles()), (0, (0, 0)));
    scene.still_works().await;
}

#[tokio::test]
async fn what_a_call_gives_twice_is_refused_and_dropped() {
    let (scene, shelf, _serving) = scene().await;
    let mut liar = scene.liar("liar").await;
    let own = |name: &ResourceName| HandleName::Own(name.clone());
    let lent = |name: &ResourceName| HandleName::Borrow(name.clone());
    for order in 0..3 {
        let name = made(&mut liar).await;
        assert_eq!(shelf.held(), 1);
        let twice = match order {
            0 => [own(&name), own(&name)],
            1 => [own(&name), lent(&name)],
            _ => [lent(&name), own(&name)],
        };
        refused(&mut liar, "given twice", &twice).await;
        // It was given away, so it isn't kept for anyone.
        assert_eq!(shelf.held(), 0, "{twice:?}");
    }
    let name = made(&mut liar).await;
    let twice = [lent(&name), lent(&name)];
    let used = liar.call(USE, &twice).await;
    assert!(used.outcome.is_ok(), "it may be lent twice: {used:?}");
    uses(&mut liar, own(&name)).await;
    assert_eq!((shelf.held(), scene.two.b.handles()), (0, (0, 0)));
    scene.still_works().await;
}

/// Asks host `b` something about handles, in the name of this host.
async fn ask(liar: &mut Liar, as_host: &Origin, ask: HandleAsk) -> Result<HandleAnswer, CallError> {
    let interface = InterfaceName::new("lattice:core/handles@0.1.0").expect("an interface");
    let name = FunctionName::new("ask").expect("a function");
    let function = FunctionRef::new(interface, name, "func(request: request) -> answer");
    let request = HandleRequest {
        epoch: as_host.epoch,
        ask,
    };
    let args = to_bytes(&(request,)).expect("it encodes");
    let change = |call: &mut CallEnvelope| {
        call.function = function.key();
        call.source = Source::Host(as_host.host.clone());
        call.target = host_id("b").as_component();
        call.instance = None;
        call.has_handles = false;
        call.args = args;
    };
    let reply = liar.call_with(MAKE, change).await;
    let answer = |bytes: Bytes| lattice_core::value::from_bytes(&bytes).expect("an answer");
    reply.outcome.map(answer)
}

#[tokio::test]
async fn a_member_asks_about_its_own_handles_only() {
    let (scene, shelf, _serving) = scene().await;
    let (mut liar, mut other) = (scene.liar("liar").await, scene.liar("other").await);
    let name = made(&mut other).await;
    let (me, victim) = (liar.origin().clone(), other.origin().clone());
    // In the name of another host.
    for what in [HandleAsk::Drop(vec![name.id]), HandleAsk::Gone] {
        let refused = ask(&mut liar, &victim, what).await;
        assert!(
            matches!(refused, Err(CallError::Unrecognised { ran: Ran::No, .. })),
            "{refused:?}"
        );
    }
    // In its own name, about what it doesn't have.
    let dropped = ask(&mut liar, &me, HandleAsk::Drop(vec![name.id, 77])).await;
    assert_eq!(dropped, Ok(HandleAnswer::Done));
    for id in [name.id, 77] {
        let claim = HandleAsk::Claim {
            id,
            is_owned: true,
            from: me.clone(),
        };
        let claimed = ask(&mut liar, &me, claim).await;
        assert!(
            matches!(claimed, Ok(HandleAnswer::Stale { is_lost: false, .. })),
            "{claimed:?}"
        );
    }
    let gone = ask(&mut liar, &me, HandleAsk::Gone).await;
    assert_eq!(gone, Ok(HandleAnswer::Done));
    let many = ask(&mut liar, &me, HandleAsk::Holds(vec![7; 8_193])).await;
    assert!(
        matches!(many, Err(CallError::BadArguments { .. })),
        "{many:?}"
    );
    assert_eq!(shelf.held(), 1);
    uses(&mut other, HandleName::Own(name)).await;
    assert_eq!(shelf.held(), 0);
    scene.still_works().await;
}

/// Has host `a` know that a liar serves the component `forger`, and returns a caller linked to it.
async fn victim(scene: &Scene, liar: &Liar) -> Caller {
    link(&scene.two.lattice, "victim", "forger").await;
    let beat = Beat {
        duty: Duty::Works,
        sent_ms: 0,
        interval_ms: 60_000,
        versions: Versions::OURS,
        incarnation: Incarnation::default(),
        revision: Revision(0),
        labels: BTreeMap::new(),
        components: vec![Served {
            id: id("forger"),
            digest: Digest([1; 32]),
            fence: 0,
            replica_counts: Vec::new(),
        }],
    };
    liar.announce(scene.subjects.beat(), &beat).await;
    let is_known = async || scene.two.lattice.peers().contains(liar.origin());
    eventually("it is known", is_known).await;
    scene.two.a.caller("victim").expect("valid")
}

/// Calls the liar, which returns this, and returns what its caller gets.
async fn returned(
    victim: &Caller,
    liar: &mut Liar,
    result: Bytes,
) -> Result<stream::Body, CallError> {
    let caller = victim.clone();
    let calling = tokio::spawn(async move {
        let context = Context::new(Duration::from_secs(20));
        let nothing = Bytes::new().into();
        caller.pass(&passing("make"), nothing, context).await
    });
    loop {
        let called = liar.called().await;
        // Others are about handles that were dropped.
        if called.call.target == id("forger") {
            liar.answer(called, result).await;
            return calling.await.expect("joined");
        }
    }
}

#[tokio::test]
async fn names_that_a_member_was_not_given_are_refused_in_its_results() {
    let (scene, shelf, _serving) = scene().await;
    let mut liar = scene.liar("liar").await;
    let victim = victim(&scene, &liar).await;
    let named = |origin: &Origin, component: &str, number: u64| ResourceName {
        origin: origin.clone(),
        component: id(component),
        instance: 1,
        id: number,
        holder: None,
        ty: "test:calls/api/r".to_owned(),
        token: None,
    };
    let of_b = named(scene.two.b.origin(), "owner", 1);
    let mut later = of_b.clone();
    later.origin.epoch += 1;
    let nowhere = Origin::new(host_id("nowhere"), 1);
    let elsewhere = named(&nowhere, "owner", 1);
    let own = named(liar.origin(), "forger", 5);
    let forged = [
        ("made up", vec![HandleName::Own(of_b)]),
        ("of a later boot", vec![HandleName::Own(later)]),
        ("of another host", vec![HandleName::Own(elsewhere)]),
        ("lent", vec![HandleName::Borrow(own.clone())]),
        (
            "twice",
            vec![HandleName::Own(own.clone()), HandleName::Own(own.clone())],
        ),
        (
            "given and lent",
            vec![HandleName::Own(own.clone()), HandleName::Borrow(own)],
        ),
        ("without a session", vec![HandleName::Stream(1)]),
    ];
    for (what, names) in forged {
        let result = returned(&victim, &mut liar, passed(&names)).await;
        assert!(
            matches!(result, Err(CallError::BadResult { .. })),
            "{what}: {result:?}"
        );
        assert_eq!(scene.two.a.handles(), (0, 0), "{what}");
    }
    for garbage in [&b""[..], &[0xff; 9], &[1, 0, 0, 0]] {
        let garbage = Bytes::copy_from_slice(garbage);
        let result = returned(&victim, &mut liar, garbage).await;
        assert!(
            matches!(result, Err(CallError::BadResult { .. })),
            "{result:?}"
        );
    }
    // One of its own is taken, and its caller holds it until it drops it.
    let own = HandleName::Own(named(liar.origin(), "forger", 6));
    let result = returned(&victim, &mut liar, passed(&[own])).await;
    let held = result.expect("a result").handles;
    assert!(matches!(held[..], [Handle::Own(_)]), "{held:?}");
    assert_eq!(scene.two.a.handles(), (0, 1));
    drop(held);
    assert_eq!(scene.two.a.handles(), (0, 0));
    assert_eq!(shelf.held(), 0);
    scene.still_works().await;
}
