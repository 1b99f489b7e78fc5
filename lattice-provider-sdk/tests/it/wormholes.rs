//! Calls in the name of wormholes, which have no link, like those of operators.

use lattice_core::{id::Source, name::WormholeId, wormholes::NewWormhole};
use lattice_provider_sdk::{
    Call, CallError, Lattice, Link, Provider, Refusal, ServeHandle, Stateless, provider, serve,
};

provider!({
    inline: "
        package lattice:http@0.1.0;
        interface handler { handle: func(request: string) -> string; }
        world app { import handler; export handler; }
    ",
});

use lattice::http::handler::{Handler, HandlerClient};

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

    async fn wormhole(&self, id: &WormholeId) -> Option<String> {
        self.takes_wormholes.then(|| format!("binding of {id}"))
    }
}

impl Handler for Site {
    async fn handle(&self, call: &Call<Self>, _: String) -> String {
        assert!(call.link().is_none() && call.caller().is_none());
        format!("{} for {}", call.binding(), call.source())
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
    assert_eq!(answer.as_deref(), Ok("binding of open for wormhole `open`"));
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
async fn a_stateless_provider_takes_wormholes_that_lead_to_it() {
    let lattice = Lattice::in_memory("dev").await.expect("it opens");
    let _alike = serve(&lattice, "alike", Alike).await.expect("it serves");
    assert_eq!(call(&lattice, "alike").await.as_deref(), Ok("alike"));
}
