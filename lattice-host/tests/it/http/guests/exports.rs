//! What links and tools know of components that speak HTTP.

use super::support::*;
use lattice_core::{link::Link, name::InterfaceName};
use lattice_host::{ActorError, ComponentCheck};

const SERVED_AS: [&str; 5] = [
    "lattice:http/handler@0.1.0",
    "wasi:http/client@0.3.0",
    "wasi:http/handler@0.3.0",
    "wasi:http/incoming-handler@0.2.0",
    "wasi:http/outgoing-handler@0.2.0",
];

fn check(guest: &str) -> ComponentCheck {
    let bytes = std::fs::read(path(&guest.replace('-', "_"))).expect("it was built");
    ComponentCheck::of(&bytes).expect("it is served")
}

fn compat(interface: &str) -> String {
    let name = InterfaceName::new(interface);
    name.expect("the name of an interface").compat()
}

#[test]
fn a_check_shows_what_is_served_and_what_needs_a_link() {
    for (guest, export, imports) in [
        (
            "http-incoming",
            "wasi:http/incoming-handler@0.2.3",
            &["wasi:http/outgoing-handler@0.2"][..],
        ),
        (
            "http-handler",
            "wasi:http/handler@0.3.0",
            &["wasi:http/client@0.3", "wasi:http/handler@0.3"],
        ),
    ] {
        let check = check(guest);
        assert_eq!(check.callable, [export]);
        // A toolchain raises the version of an import to that of its own libraries.
        let by_link: Vec<String> = check.by_link.iter().map(|name| compat(name)).collect();
        assert_eq!(by_link, imports);
        assert!(check.unserved.is_empty(), "{:?}", check.unserved);
        let by_host = check.by_host.iter();
        let mut types = by_host.filter(|name| name.starts_with("wasi:http/types@"));
        assert!(types.next().is_some(), "{:?}", check.by_host);
    }
}

#[test]
fn a_component_for_a_draft_is_refused_with_advice() {
    let text = r#"(component (import "wasi:http/types@0.3.0-rc-2026-03-15" (instance)))"#;
    let bytes = wat::parse_str(text).expect("valid text");
    let refused = ComponentCheck::of(&bytes).expect_err("it is a draft");
    let ActorError::Missing { advice, .. } = refused else {
        panic!("refused in another way: {refused}");
    };
    assert!(advice.contains("the release of WASI 0.3"), "{advice}");
}

#[tokio::test]
async fn it_is_called_over_links_of_every_interface_of_http() {
    let lattice = lattice().await;
    let guest = "http-incoming";
    let _host = serving(&lattice, guest, |actor| actor).await;
    let types = lattice.operator().component(guest).types().await;
    let types = types.expect("they are published");
    let exports: Vec<&str> = types.exports.keys().map(InterfaceName::as_str).collect();
    assert_eq!(exports, SERVED_AS);
    let [import] = &types.imports.keys().collect::<Vec<_>>()[..] else {
        panic!("one import: {:?}", types.imports);
    };
    assert_eq!(import.compat(), "wasi:http/outgoing-handler@0.2");
    let mut signatures = types.exports.values().flat_map(|types| &types.functions);
    let (name, first) = signatures.next().expect("a function");
    assert_eq!(name.as_str(), "handle");
    assert!(signatures.all(|(_, signature)| signature == first));
    // Links are checked against these types when they are put.
    for interface in SERVED_AS {
        let link = Link::new("web", interface, guest).expect("a link");
        lattice.links().put(link).await.expect("it fits");
    }
    let client = HandlerClient::new(lattice.caller("web").expect("an id"));
    let response = client.handle(get("/hello"), &options()).timeout(PATIENCE);
    let response = response.await.expect("it is linked").expect("a response");
    assert_eq!(response.content, "hello");
}
