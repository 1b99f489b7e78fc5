//! The calling API: granted calls by name, operator calls, and the context that a nested call
//! inherits.

use lattice_core::{
    ConnectError, Lattice,
    bus::memory::MemoryBus,
    call::{CallError, Context, Ran},
    client::Caller,
    link::Link,
    node::NodeOptions,
    serve::Functions,
    server::{ServeError, ServeHandle, ServeLimits},
    store::MemoryStore,
};
use std::{sync::Arc, time::Duration};

const RELAY: &str = "test:door/relay@0.1.0";
const SIGNATURE: &str = "func(text: string) -> string";

/// Serves a component `shout`, with a link that allows `web` to call it.
async fn served() -> (Lattice, ServeHandle) {
    let lattice = Lattice::in_memory("dev").await.expect("a lattice");
    let shout = Functions::new()
        .export(RELAY, "say", SIGNATURE, async |(text,): (String,)| {
            text.to_uppercase()
        })
        .expect("valid names");
    let serving = lattice.serve("shout", shout).await.expect("it serves");
    (lattice, serving)
}

async fn link(lattice: &Lattice, source: &str, name: &str) {
    let link = Link::new(source, RELAY, "shout").and_then(|link| link.named(name));
    let link = link.expect("valid");
    lattice.links().put(link).await.expect("the link is put");
}

#[tokio::test(start_paused = true)]
async fn a_granted_call_takes_names_as_text_and_needs_its_link() {
    let (lattice, _serving) = served().await;
    let web = lattice.caller("web").expect("an id");
    let refused = web.call::<String>(RELAY, "say", ("x",)).await;
    assert!(
        matches!(refused, Err(CallError::NotLinked { .. })),
        "{refused:?}"
    );

    link(&lattice, "web", "slow").await;
    let refused = web.call::<String>(RELAY, "say", ("x",)).await;
    assert!(refused.is_err(), "the link has another name");
    let reply: String = web
        .call(RELAY, "say", ("x",))
        .via("slow")
        .await
        .expect("it is linked");
    assert_eq!(reply, "X");
    let slow = web.via("slow").expect("a link name");
    let reply: String = slow.call(RELAY, "say", ("y",)).await.expect("linked");
    assert_eq!(reply, "Y");
}

#[tokio::test(start_paused = true)]
async fn a_call_with_an_invalid_name_fails() {
    let (lattice, _serving) = served().await;
    link(&lattice, "web", "default").await;
    assert!(lattice.caller("Not An Id").is_err());
    let web = lattice.caller("web").expect("an id");
    let calls = [
        web.call::<String>("no interface", "say", ("x",)),
        web.call(RELAY, "no function!", ("x",)),
        web.call(RELAY, "say", ("x",)).via("Not A Link"),
    ];
    for call in calls {
        let error = call.await.expect_err("an invalid name");
        assert!(matches!(error, CallError::InvalidName(_)), "{error:?}");
        assert_eq!(error.ran(), Ran::No);
    }
    let operator = lattice.operator();
    let error = operator
        .call::<String>("Not An Id", RELAY, "say", ("x",))
        .await;
    assert!(matches!(error, Err(CallError::InvalidName(_))), "{error:?}");
    let refused = lattice.serve("Not An Id", Functions::new()).await;
    assert!(matches!(refused, Err(ServeError::Name(_))), "{refused:?}");
    assert!(lattice.served("Not An Id").await.is_err());
    assert!(NodeOptions::default().host("Not An Id").is_err());
    assert!(Link::new("web", "no interface", "shout").is_err());
    let refused = Lattice::in_memory("Not A Name").await;
    assert!(matches!(refused, Err(ConnectError::Name(_))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_takes_names_as_texts() {
    let (lattice, _serving) = served().await;
    let options = NodeOptions::default().host("desk").expect("an id");
    let node = lattice.node(options).await.expect("it joins");
    assert_eq!(node.host_id().as_str(), "desk");
    assert!(node.caller("Not An Id").is_err());
    let limits = ServeLimits::default();
    let refused = node.serve("Not An Id", Functions::new(), limits).await;
    assert!(matches!(refused, Err(ServeError::Name(_))), "{refused:?}");

    link(&lattice, "web", "default").await;
    lattice.served("shout").await.expect("an id");
    let web = node.caller("web").expect("an id");
    let said: String = web.call(RELAY, "say", ("x",)).await.expect("linked");
    assert_eq!(said, "X");
}

#[tokio::test(start_paused = true)]
async fn a_first_call_without_the_bus_did_not_run_and_the_next_one_joins() {
    let bus = MemoryBus::new();
    let lattice = Lattice::on(Arc::new(bus.clone()), Arc::new(MemoryStore::new()), "dev");
    let lattice = lattice.trust_bus().await.expect("a lattice");
    link(&lattice, "web", "default").await;
    let web = lattice.caller("web").expect("an id");

    bus.disconnect();
    let error = web.call::<String>(RELAY, "say", ("x",)).await;
    let error = error.expect_err("no bus");
    assert_eq!(error, CallError::Disconnected { ran: Ran::No });
    assert!(error.to_string().contains("call again"), "{error}");

    bus.reconnect();
    let error = web.call::<String>(RELAY, "say", ("x",)).await;
    assert!(
        matches!(error, Err(CallError::NotServed { .. })),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_operator_needs_no_link() {
    let (lattice, _serving) = served().await;
    let reply: String = lattice
        .operator()
        .call("shout", RELAY, "say", ("x",))
        .await
        .expect("operators may");
    assert_eq!(reply, "X");
}

/// The result of `relay`: hops and remaining milliseconds.
type Nested = Result<(u32, u64), String>;

/// Serves `relay`, which calls itself and returns the hops and the remaining milliseconds of its
/// last call.
async fn relay(lattice: &Lattice) -> ServeHandle {
    let own: Caller = lattice.caller("relay").expect("an id");
    let relay = Functions::new()
        .export(
            RELAY,
            "nest",
            "func(depth: u32) -> result<tuple<u32, u64>, string>",
            move |(depth,): (u32,)| {
                let own = own.clone();
                async move {
                    if depth > 0 {
                        // The context is inherited implicitly.
                        let nested = own.call::<Nested>(RELAY, "nest", (depth - 1,));
                        return nested.await.unwrap_or_else(|error| Err(error.to_string()));
                    }
                    let context = Context::current().ok_or("outside of any call")?;
                    Ok((context.hops.into(), context.left().as_millis() as u64))
                }
            },
        )
        .expect("valid names");
    let serving = lattice.serve("relay", relay).await.expect("it serves");
    for source in ["web", "relay"] {
        let link = Link::new(source, RELAY, "relay").expect("valid");
        lattice.links().put(link).await.expect("the link is put");
    }
    serving
}

#[tokio::test(start_paused = true)]
async fn a_nested_call_inherits_its_deadline_and_hops() {
    let lattice = Lattice::in_memory("dev").await.expect("a lattice");
    let _serving = relay(&lattice).await;
    assert!(Context::current().is_none(), "outside of any call");
    let web = lattice.caller("web").expect("an id");
    let nested: Nested = web
        .call(RELAY, "nest", (3_u32,))
        .timeout(Duration::from_secs(40))
        .await
        .expect("a result");
    assert_eq!(nested, Ok((3, 40_000)), "not a deadline of its own");

    let endless: Nested = web
        .call(RELAY, "nest", (1_000_u32,))
        .await
        .expect("a result");
    let error = endless.expect_err("a chain that is too long ends");
    assert!(error.contains("32"), "{error}");
}
