//! Calls in the name of wormholes, which have no link, like those of operators.

use lattice_core::{
    auth::LatticeKey, bus::memory::MemoryNetwork, id::Source, name::WormholeId, store::MemoryStore,
    wormholes::NewWormhole,
};
use lattice_provider_sdk::{
    Call, CallError, Lattice, Link, LinkName, Provider, Refusal, ServeHandle, Stateless, provider,
    serve,
};

provider!({
    inline: "
        package lattice:http@0.1.0;
        interface handler { handle: func(request: string) -> string; }
        world app { import handler; export handler; }
    ",
});

use lattice::http::handler::{Handler, HandlerClient};
use std::sync::Arc;

/// Answers with its binding and with who calls.
struct Site {
    takes_wormholes: bool,
}

impl Provider for Site {
    type World = World;
    type Config = ();
    type Binding = String;

    async fn link(&self, link: &Link, (): ()) -> Result<String, Refusal> {
        Ok(format!("link of {}", link.source))
    }

    async fn wormhole(&self, id: &WormholeId, link: &LinkName) -> Option<String> {
        self.takes_wormholes
            .then(|| format!("binding of {id} by {link}"))
    }
}

impl Handler for Site {
    async fn handle(&self, call: &Call<Self>, _: String) -> String {
        assert!(call.link().is_none() && call.caller().is_none());
        let link = call.link_name().map_or("none", LinkName::as_str);
        format!("{} for {} by {link}", call.binding(), call.source())
    }
}

/// Treats all callers alike.
struct Alike;

impl Stateless for Alike {
    type World = World;
}

impl Handler for Alike {
    async fn handle(&self, call: &Call<Self>, _: String) -> String {
        assert!(matches!(call.source(), Source::Wormhole(_)));
        "alike".to_owned()
    }
}

async fn call(lattice: &Lattice, actor: &str) -> Result<String, CallError> {
    let new = NewWormhole::new(actor).expect("valid");
    let new = new.id(actor).expect("valid").host(actor);
    let wormholes = lattice.wormholes();
    let (id, _) = wormholes.create(new).await.expect("created");
    let site = HandlerClient::new(wormholes.caller(&id));
    site.handle("/").await
}

async fn served(lattice: &Lattice, id: &str, takes_wormholes: bool) -> ServeHandle {
    let site = Site { takes_wormholes };
    serve(lattice, id, site).await.expect("it serves")
}

#[tokio::test]
async fn a_provider_refuses_wormholes_unless_it_has_a_binding_for_them() {
    let lattice = Lattice::in_memory("dev").await.expect("it opens");
    let _open = served(&lattice, "open", true).await;
    let answer = call(&lattice, "open").await;
    assert_eq!(
        answer.as_deref(),
        Ok("binding of open by default for wormhole `open` by default")
    );
    let _refusing = served(&lattice, "refusing", false).await;
    let refused = call(&lattice, "refusing").await;
    let Err(CallError::WormholeClosed { reason, .. }) = &refused else {
        panic!("{refused:?}");
    };
    assert!(reason.contains("takes no calls of wormholes"), "{reason}");
    // An operator is told apart from a wormhole.
    let operator = HandlerClient::new(lattice.operator().component("open"));
    let denied = operator.handle("/").await;
    assert!(
        matches!(denied, Err(CallError::OperatorDenied)),
        "{denied:?}"
    );
}

#[tokio::test]
async fn a_provider_tells_wormholes_apart_by_the_link_in_their_records() {
    let (network, store) = (MemoryNetwork::new(), MemoryStore::new());
    let join = async || {
        let bus = Arc::new(network.connect());
        let key = LatticeKey::from_hex(&"01".repeat(32)).expect("a key");
        let joined = Lattice::on(bus, Arc::new(store.clone()), "dev").key(key);
        joined.await.expect("it joins")
    };
    let (here, elsewhere) = (join().await, join().await);
    let _site = served(&here, "site", true).await;
    let made = |id: &str, link: &str| {
        let new = NewWormhole::new("site").expect("valid");
        new.id(id).expect("valid").link(link).expect("valid")
    };
    let mut answers = Vec::new();
    for (id, link) in [("docs", "manual"), ("shop", "goods")] {
        let created = elsewhere.wormholes().create(made(id, link)).await;
        created.expect("created");
        // The second one has seen the wormhole by the time that it has answered for it.
        for lattice in [&elsewhere, &here] {
            let caller = lattice.wormholes().caller(&id.parse().expect("an id"));
            let answer = HandlerClient::new(caller).handle("/").await;
            answers.push(answer.expect("it is let through"));
        }
    }
    let of = |id, link| format!("binding of {id} by {link} for wormhole `{id}` by {link}");
    let (docs, shop) = (of("docs", "manual"), of("shop", "goods"));
    assert_eq!(answers, [docs.clone(), docs, shop.clone(), shop]);
}

#[tokio::test]
async fn a_stateless_provider_takes_wormholes_that_lead_to_it() {
    let lattice = Lattice::in_memory("dev").await.expect("it opens");
    let _alike = serve(&lattice, "alike", Alike).await.expect("it serves");
    assert_eq!(call(&lattice, "alike").await.as_deref(), Ok("alike"));
}
