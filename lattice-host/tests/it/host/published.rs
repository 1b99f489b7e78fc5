//! The WIT that a component publishes, for tools that were compiled without it.

use super::support::*;
use lattice_core::{Lattice, types::ComponentTypes};
use lattice_host::Host;
use lattice_wit::binary::{self, BinaryError, Described};
use std::collections::{BTreeMap, BTreeSet};
use wit_parser::{WorldItem, WorldKey};

async fn types(lattice: &Lattice, component: &str) -> ComponentTypes {
    let types = lattice.operator().component(component).types().await;
    ComponentTypes::clone(&types.expect("published"))
}

fn described(types: &ComponentTypes) -> Described {
    let wit = types.wit.as_ref().expect("it has WIT");
    assert!(wit.len() < 16 << 10, "{} bytes", wit.len());
    binary::decode(wit).expect("it decodes")
}

/// Interfaces, their functions, and the names of each function's parameters.
type Shown = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// Returns the exports according to the WIT.
fn exports(described: &Described) -> Shown {
    let interface = |key: &WorldKey| {
        let WorldItem::Interface { id, .. } =
            &described.resolve.worlds[described.world].exports[key]
        else {
            panic!("not an interface: {key:?}")
        };
        let functions = described.resolve.interfaces[*id].functions.values();
        let functions = functions.map(|function| {
            let parameters = function.params.iter().map(|param| param.name.clone());
            (function.name.clone(), parameters.collect())
        });
        (described.resolve.name_world_key(key), functions.collect())
    };
    described.exports().map(interface).collect()
}

/// Returns the exports according to the signatures against which calls are checked.
fn signatures(types: &ComponentTypes) -> Shown {
    let parameters = |signature: &str| -> Vec<String> {
        let (_, list) = signature.split_once("func(").expect("a function");
        let mut names = Vec::new();
        let (mut depth, mut name) = (0, Some(String::new()));
        for letter in list.chars() {
            match letter {
                ')' if depth == 0 => break,
                '(' | '<' | '{' => depth += 1,
                ')' | '}' | '>' => depth -= 1,
                ',' if depth == 0 => name = Some(String::new()),
                ':' if depth == 0 => names.extend(name.take()),
                ' ' => {}
                letter => {
                    if let Some(name) = &mut name {
                        name.push(letter);
                    }
                }
            }
        }
        names
    };
    let functions = |types: &lattice_core::types::InterfaceTypes| {
        let functions = types.functions.iter();
        functions
            .map(|(name, signature)| (name.to_string(), parameters(signature)))
            .collect()
    };
    let exports = types.exports.iter();
    exports
        .map(|(interface, types)| (interface.to_string(), functions(types)))
        .collect()
}

#[tokio::test]
async fn another_node_finds_an_actors_wit_with_all_functions_that_can_be_called() {
    let lattice = lattice().await;
    let host = Host::builder(&lattice)
        .actor("mischief", actor("mischief"))
        .actor("shapes", actor("shapes"));
    let _host = started(host).await;
    for component in ["mischief", "shapes"] {
        // Found by an operator, which is a separate node.
        let types = types(&lattice, component).await;
        let described = described(&types);
        assert_eq!(exports(&described), signatures(&types), "{component}");
        // Imports that the host serves itself, and those used only for their types, are left out.
        let imports: BTreeSet<String> = described
            .imports()
            .map(|key| described.resolve.name_world_key(key))
            .collect();
        for import in types.imports.keys() {
            assert!(imports.contains(import.as_str()), "{import}: {imports:?}");
        }
        assert!(
            imports.iter().all(|import| !import.starts_with("wasi:")),
            "{imports:?}"
        );
    }
}

#[tokio::test]
async fn an_export_outside_of_an_interface_is_published_under_a_name_of_its_own() {
    let lattice = lattice().await;
    let bare = r#"(component
        (core module $m (func (export "f")))
        (core instance $m (instantiate $m))
        (func $f (canon lift (core func $m "f")))
        (export "bare" (func $f))
        (instance (export "a:b/c@1.0.0") (export "f" (func $f))))"#;
    let _host = started(Host::builder(&lattice).actor("bare", wat(bare))).await;
    let types = types(&lattice, "bare").await;
    let interfaces: Vec<_> = types
        .exports
        .keys()
        .map(lattice_core::name::InterfaceName::as_str)
        .collect();
    assert_eq!(interfaces, ["a:b/c@1.0.0", "lattice:world/functions"]);
    for (interface, function) in [("a:b/c@1.0.0", "f"), ("lattice:world/functions", "bare")] {
        call::<()>(&lattice, "bare", interface, function, ())
            .await
            .expect("it can be called");
    }
    assert_eq!(described(&types).exports().count(), 2, "the WIT has both");
}

#[tokio::test]
async fn corrupt_or_oversized_wit_in_the_store_fails_only_the_decoder() {
    for wit in [vec![7; 400], vec![0; binary::MAX_BYTES + 1]] {
        let lattice = lattice().await;
        let mut native = Native::peer(echoing);
        native.publish(wit.clone());
        let host = Host::builder(&lattice)
            .actor("mischief", actor("mischief"))
            .provider("peer", native.serve());
        let _host = started(host).await;
        let published = types(&lattice, "peer").await.wit.expect("as published");
        assert_eq!(published, wit);
        let error = binary::decode(&published).expect_err("not valid WIT");
        assert!(
            matches!(
                error,
                BinaryError::Malformed { .. } | BinaryError::TooLarge { .. }
            ),
            "{error:?}"
        );
        // Links are checked by the signatures, and calls work.
        link(&lattice, "mischief", PEER, "peer").await;
        let back: Result<bytes::Bytes, RpcError> =
            act(&lattice, "call-out", (bytes::Bytes::from("x"),))
                .await
                .expect("answered");
        assert_eq!(back, Ok(bytes::Bytes::from("x")));
    }
}
