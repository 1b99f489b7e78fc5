//! Explanations: whether requests get through a wormhole, and why not.

use super::*;
use lattice_core::{
    constellation::{Severity, Subject},
    name::LinkName,
    node::NodeOptions,
    wormhole::{INGRESS_LABEL, WormholeAuth},
};

/// Waits until the explanation of wormhole `shop` has this severity and says all of this: the view
/// follows what it explains a moment later.
async fn explained(lattice: &Lattice, severity: Severity, says: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let subject = Subject::Wormhole(wormhole("shop"));
        let explanation = lattice.explain(&subject).await;
        let text = explanation.to_string();
        if explanation.severity == severity && says.iter().all(|says| text.contains(says)) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "not {severity:?} {says:?}: {text}"
        );
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_explanation_says_what_keeps_requests_away() {
    let programs = Programs::new();
    let lattice = programs.open().await;
    let wormholes = lattice.wormholes();
    let hello = async |(name,): (String,)| name;
    let signature = "func(name: string) -> string";
    let greeter = Functions::new().export(API, "echo", signature, hello);
    let greeter = greeter.expect("valid");
    let _greeter = lattice.serve("greeter", greeter).await.expect("it serves");
    explained(&lattice, Severity::Fault, &["there is no wormhole `shop`"]).await;

    let made = new("greeter")
        .id("shop")
        .expect("valid")
        .host("shop.example")
        .path("/api");
    wormholes.create(made).await.expect("created");
    let says = [
        "`shop.example/api`",
        "no host has an ingress",
        "`greeter` serves no HTTP requests",
    ];
    explained(&lattice, Severity::Fault, &says).await;

    let _web = serve(&lattice, "web").await;
    let to_web = |spec: &mut WormholeSpec| spec.actor = id("web");
    wormholes.update("shop", to_web).await.expect("changed");
    let options = NodeOptions::default()
        .host("edge")
        .expect("valid")
        .label(INGRESS_LABEL, "127.0.0.1:8080");
    let _edge = lattice.node(options).await.expect("it joins");
    explained(&lattice, Severity::Fine, &["requests come in at `edge`"]).await;

    let verified_by = |verifier: &str| {
        let auth = WormholeAuth::Verifier {
            actor: id(verifier),
            link: LinkName::default(),
        };
        move |spec: &mut WormholeSpec| spec.auth = Some(auth.clone())
    };
    let by_greeter = verified_by("greeter");
    wormholes.update("shop", by_greeter).await.expect("changed");
    let says = ["its verifier `greeter` decides about no requests"];
    explained(&lattice, Severity::Fault, &says).await;
    let by_web = verified_by("web");
    wormholes.update("shop", by_web).await.expect("changed");
    explained(&lattice, Severity::Fine, &["requests come in at `edge`"]).await;

    wormholes.close("shop").await.expect("closed");
    let says = ["lattice wormhole open shop"];
    explained(&lattice, Severity::Fine, &says).await;

    let key = StoreKey::wormhole(&wormhole("shop"));
    programs.scribble(&lattice, &key).await;
    explained(&lattice, Severity::Fault, &["lets nothing through"]).await;
}
