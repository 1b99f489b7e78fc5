//! Files that aren't components, and components that can't be actors.

use super::support::*;
use lattice_host::{Actor, ActorError, ByteSize, Found, Host, HostError, Limits};
use std::error::Error as _;

async fn refused(actor: Actor) -> ActorError {
    let lattice = lattice().await;
    let host = started(Host::builder(&lattice)).await;
    let error = host
        .start_actor("bad", actor)
        .await
        .expect_err("it is refused");
    assert!(host.components().is_empty());
    assert!(error.to_string().contains("`bad`"), "{error}");
    match error {
        HostError::Actor { source, .. } => source,
        other => panic!("refused for another reason: {other:?}"),
    }
}

#[tokio::test]
async fn files_that_are_not_components_are_refused_with_what_they_are() {
    let module = wat::parse_str("(module)").expect("valid text");
    for (bytes, expected) in [
        (Vec::new(), Found::Nothing),
        (module, Found::CoreModule),
        (b"(component)".to_vec(), Found::Text),
        (vec![0xfe; 1_000], Found::Unknown),
    ] {
        let error = refused(Actor::from_bytes(bytes)).await;
        assert!(
            matches!(error, ActorError::NotAComponent { found } if found == expected),
            "{error:?}"
        );
    }
    let mut cut_short = std::fs::read(path("mischief")).expect("the guest");
    cut_short.truncate(cut_short.len() / 2);
    let error = refused(Actor::from_bytes(cut_short)).await;
    assert!(matches!(error, ActorError::Invalid { .. }), "{error:?}");
}

#[tokio::test]
async fn an_error_for_a_missing_file_includes_its_path() {
    let error = refused(Actor::from_file("/no/such/actor.wasm")).await;
    assert!(error.to_string().contains("/no/such/actor.wasm"), "{error}");
    assert!(error.source().is_some());
}

#[tokio::test]
async fn unsupported_imports_are_refused_by_name() {
    let error = refused(wat(r#"(component (import "code" (core module)))"#)).await;
    assert!(
        matches!(&error, ActorError::UnsupportedImport { import, .. } if import == "code"),
        "{error:?}"
    );
    let error = refused(wat(
        r#"(component (import "wasi:clocks/wall-clock@0.1.0" (instance (export "now" (func)))))"#,
    ))
    .await;
    assert!(matches!(error, ActorError::Missing { .. }), "{error:?}");
}

#[tokio::test]
async fn unsupported_types_are_refused_by_name() {
    let huge = r#"(component (import "acme:blobs/store@1.0.0" (instance
        (type $a (list u64 10000000)) (type $b (list $a 4)) (export "put" (func (param "x" $b))))))"#;
    let error = refused(wat(huge)).await;
    assert!(
        matches!(error, ActorError::NothingToCall { .. }),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(
        text.contains("acme:blobs/store@1.0.0") && text.contains("320000000 bytes"),
        "{text}"
    );
}

#[tokio::test]
async fn a_builtin_import_of_another_type_is_refused_with_the_hosts_type() {
    let config = r#"(component (import "wasi:config/store@0.2.0-rc.1" (instance
        (export "get" (func (param "key" string) (result string))))))"#;
    let error = refused(wat(config)).await;
    assert!(
        matches!(error, ActorError::BuiltinMismatch { .. }),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("func(key: string) -> string"),
        "{error}"
    );
}

#[tokio::test]
async fn an_actor_whose_initial_memory_exceeds_its_limit_is_refused() {
    let big = r"(component (core module $m (memory 100)) (core instance (instantiate $m)))";
    let error = refused(wat(big).limits(Limits::default().memory(ByteSize::mib(1)))).await;
    assert!(
        matches!(error, ActorError::TooMuchMemory { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn invalid_and_repeated_names_are_refused_before_anything_starts() {
    let lattice = lattice().await;
    let nothing = || wat("(component)");
    let error = Host::builder(&lattice)
        .actor("No Name", nothing())
        .start()
        .await
        .expect_err("a bad name");
    assert!(matches!(error, HostError::Name(_)), "{error:?}");
    let twice = Host::builder(&lattice)
        .actor("a", nothing())
        .actor("a", nothing());
    let error = twice.start().await.expect_err("one name twice");
    assert!(matches!(error, HostError::Twice { .. }), "{error:?}");
    let host = started(Host::builder(&lattice).actor("a", nothing())).await;
    let error = host
        .start_actor("a", nothing())
        .await
        .expect_err("one name twice");
    assert!(matches!(error, HostError::Serve(_)), "{error:?}");
    assert_eq!(host.components().len(), 1, "the first one still runs");
}
