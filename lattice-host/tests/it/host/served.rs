//! The parts of a component that are served, and the check of a component before it is started.

use super::{output::Log, support::*};
use lattice_core::{
    call::{CallError, Ran},
    serve::Answer,
};
use lattice_host::{Actor, ActorError, ComponentCheck, Host, HostError, Limits, Side};

pub(super) fn binary(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// An interface with the function `f`, which returns 7.
pub(super) const SEVEN: &str = r#"
    (core module $seven (func (export "f") (result i32) (i32.const 7)))
    (core instance $seven (instantiate $seven))
    (func $seven (result u32) (canon lift (core func $seven "f")))
    (instance (export "field:ok/probe@1.0.0") (export "f" (func $seven)))"#;

/// A component that imports an instance with `items`, and calls its function `f` in `call`.
fn calls(import: &str, items: &str) -> Vec<u8> {
    binary(&format!(
        r#"(component
            (import "{import}" (instance $i {items}))
            (core func $f (canon lower (func $i "f")))
            (core module $m (import "i" "f" (func $f (result i32))) (func (export "call") (result i32) (call $f)))
            (core instance $m (instantiate $m (with "i" (instance (export "f" (func $f))))))
            (func $call (result u32) (canon lift (core func $m "call")))
            (instance (export "field:caller/probe@1.0.0") (export "call" (func $call)))
            {SEVEN})"#
    ))
}

/// Starts a component with the id `probe`, and asserts that its check agrees.
pub(super) async fn start(bytes: &[u8]) -> Result<(lattice_core::Lattice, Host), ActorError> {
    let check = ComponentCheck::of(bytes);
    let lattice = lattice().await;
    let host = started(Host::builder(&lattice)).await;
    let begun = host.start_actor("probe", Actor::from_bytes(bytes.to_vec()));
    match (begun.await, check) {
        (Ok(()), Ok(_)) => Ok((lattice, host)),
        (Err(HostError::Actor { source, .. }), Err(refused)) => {
            // Two validators write the texts for invalid code.
            if !matches!(source, ActorError::Invalid { .. }) {
                assert_eq!(source.to_string(), refused.to_string());
            }
            Err(source)
        }
        (begun, check) => panic!("the host and the check disagree: {begun:?}, {check:?}"),
    }
}

async fn serves_seven(lattice: &lattice_core::Lattice) {
    let seven: Result<u32, _> = call(lattice, "probe", "field:ok/probe@1.0.0", "f", ()).await;
    assert_eq!(seven.expect("it is served"), 7);
}

async fn traps(lattice: &lattice_core::Lattice, import: &str) {
    let called = call::<u32>(lattice, "probe", "field:caller/probe@1.0.0", "call", ()).await;
    let error = called.expect_err("nothing serves it");
    assert!(matches!(error, CallError::CalleeFailed { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains(import) && text.contains("can't be served"),
        "{text}"
    );
}

#[tokio::test]
async fn exports_without_a_package_have_names_of_their_own() {
    let bytes = binary(&format!(
        r#"(component {SEVEN}
            (instance (export "core") (export "f" (func $seven)))
            (export "bare" (func $seven)))"#
    ));
    let check = ComponentCheck::of(&bytes).expect("it is served");
    let (functions, core) = ("lattice:world/functions", "lattice:interface/core");
    assert_eq!(check.callable, ["field:ok/probe@1.0.0", core, functions]);
    assert!(check.unserved.is_empty(), "{:?}", check.unserved);
    let (lattice, _host) = start(&bytes).await.expect("it starts");
    serves_seven(&lattice).await;
    for (interface, function) in [(functions, "bare"), (core, "f")] {
        let seven: Result<u32, _> = call(&lattice, "probe", interface, function, ()).await;
        assert_eq!(seven.expect("it is served"), 7);
    }
}

#[tokio::test]
async fn imports_without_a_package_are_linked_by_names_of_their_own() {
    let importer = binary(
        r#"(component
            (import "bare" (func $bare (result u32)))
            (import "core" (instance $core (export "f" (func (result u32)))))
            (core func $bare (canon lower (func $bare)))
            (core func $f (canon lower (func $core "f")))
            (core module $m (import "i" "bare" (func $bare (result i32))) (import "i" "f" (func $f (result i32)))
                (func (export "call") (result i32) (i32.add (call $bare) (call $f))))
            (core instance $m (instantiate $m (with "i" (instance (export "bare" (func $bare)) (export "f" (func $f))))))
            (func $call (result u32) (canon lift (core func $m "call")))
            (export "call" (func $call)))"#,
    );
    let exporter = binary(&format!(
        r#"(component {SEVEN} (export "bare" (func $seven))
            (instance (export "core") (export "f" (func $seven))))"#
    ));
    let (functions, core) = ("lattice:world/functions", "lattice:interface/core");
    let check = ComponentCheck::of(&importer).expect("it is served");
    assert_eq!(check.by_link, [core, functions]);
    let lattice = lattice().await;
    let host = Host::builder(&lattice)
        .actor("importer", Actor::from_bytes(importer))
        .actor("exporter", Actor::from_bytes(exporter));
    let _host = started(host).await;
    for interface in [functions, core] {
        link(&lattice, "importer", interface, "exporter").await;
    }
    let called: Result<u32, _> = call(&lattice, "importer", functions, "call", ()).await;
    assert_eq!(called.expect("both are linked"), 14);
}

#[tokio::test]
async fn an_import_that_no_link_serves_traps_when_it_is_called_and_not_before() {
    let import = "wasi:http/incoming-handler@0.2.3";
    let resource =
        r#"(export "thing" (type $t (sub resource))) (export "f" (func (result (own $t))))"#;
    let bytes = calls(import, resource);
    let check = ComponentCheck::of(&bytes).expect("it is served");
    let [unserved] = &check.unserved[..] else {
        panic!("{:?}", check.unserved)
    };
    assert_eq!((unserved.side, &*unserved.name), (Side::Import, import));
    assert!(unserved.reason.contains("outgoing-handler"), "{unserved}");
    assert!(check.by_link.is_empty(), "{:?}", check.by_link);
    let (lattice, _host) = start(&bytes).await.expect("it starts");
    serves_seven(&lattice).await;
    traps(&lattice, import).await;
}

#[tokio::test]
async fn imports_with_resources_and_streams_are_connected_through_links() {
    let resource =
        r#"(export "thing" (type $t (sub resource))) (export "f" (func (result (own $t))))"#;
    let stream = r#"(export "f" (func (result (stream u8))))"#;
    for (import, items) in [
        ("acme:db/store@1.0.0", resource),
        ("acme:feed/feed", stream),
    ] {
        let bytes = calls(import, items);
        let check = ComponentCheck::of(&bytes).unwrap_or_else(|error| panic!("{import}: {error}"));
        assert_eq!(check.by_link, [import]);
        assert!(check.unserved.is_empty(), "{:?}", check.unserved);
        let (lattice, _host) = start(&bytes).await.expect("it starts");
        serves_seven(&lattice).await;
        let called = call::<u32>(&lattice, "probe", "field:caller/probe@1.0.0", "call", ()).await;
        let text = called.expect_err("there is no link").to_string();
        assert!(text.contains("no link"), "{text}");
    }
}

#[tokio::test]
async fn one_function_that_no_link_serves_leaves_the_others_linked() {
    let bytes = calls(
        "acme:mixed/api@1.0.0",
        r#"(type $a (list u64 10000000)) (type $b (list $a 4)) (export "g" (func (param "x" (tuple u8 $b)))) (export "f" (func (result u32)))"#,
    );
    let check = ComponentCheck::of(&bytes).expect("it is served");
    assert_eq!(check.by_link, ["acme:mixed/api@1.0.0"]);
    assert_eq!(check.unserved[0].functions, ["g"]);
    let (lattice, _host) = start(&bytes).await.expect("it starts");
    let called = call::<u32>(&lattice, "probe", "field:caller/probe@1.0.0", "call", ()).await;
    let text = called.expect_err("there is no link").to_string();
    assert!(text.contains("no link"), "{text}");
}

/// Types, of which each has the one before twice: `$t4` has 32 parts at the ends, and `$t13` over
/// 10,000.
fn doubling_types() -> String {
    (1..14).fold("(type $t0 (tuple u8 u8))".to_owned(), |types, at| {
        let before = at - 1;
        format!("{types} (type $t{at} (tuple $t{before} $t{before}))")
    })
}

type Twice<T> = (T, T);
/// The value of `$t4`.
type Parts = Twice<Twice<Twice<Twice<Twice<u8>>>>>;

#[tokio::test]
async fn an_exported_function_with_too_many_parts_leaves_the_rest_served() {
    let types = doubling_types();
    let bytes = binary(&format!(
        r#"(component {SEVEN} {types}
            (core module $m (memory (export "memory") 1) (func (export "f") (result i32) (i32.const 0)))
            (core instance $m (instantiate $m))
            (func $some (result $t4) (canon lift (core func $m "f") (memory (core memory $m "memory"))))
            (func $many (result $t13) (canon lift (core func $m "f") (memory (core memory $m "memory"))))
            (instance (export "field:big/api@1.0.0")
                (export "none" (func $seven)) (export "some" (func $some)) (export "many" (func $many))))"#
    ));
    let check = ComponentCheck::of(&bytes).expect("it is served");
    let [unserved] = &check.unserved[..] else {
        panic!("one interface: {:?}", check.unserved)
    };
    assert_eq!(
        (unserved.side, &*unserved.name),
        (Side::Export, "field:big/api@1.0.0")
    );
    assert_eq!(unserved.functions, ["many"]);
    assert!(unserved.reason.contains("more than 10000"), "{unserved}");
    assert!(unserved.to_string().len() < 500, "{unserved}");

    let (lattice, _host) = start(&bytes).await.expect("it starts");
    serves_seven(&lattice).await;
    let none: Result<u32, _> = call(&lattice, "probe", "field:big/api@1.0.0", "none", ()).await;
    assert_eq!(none.expect("it is served"), 7);
    let some: Result<Parts, _> = call(&lattice, "probe", "field:big/api@1.0.0", "some", ()).await;
    assert_eq!(some.expect("it is served"), Parts::default());
    let many = call::<u32>(&lattice, "probe", "field:big/api@1.0.0", "many", ()).await;
    let error = many.expect_err("it is too large");
    assert_eq!(error.ran(), Ran::No);
    assert!(matches!(error, CallError::NotExported { .. }), "{error:?}");
}

#[tokio::test]
async fn an_imported_function_with_too_many_parts_leaves_the_others_linked() {
    let items = format!(
        r#"{} (export "many" (func (param "a" $t13))) (export "f" (func (result u32)))"#,
        doubling_types()
    );
    let bytes = calls("field:big/api@1.0.0", &items);
    let check = ComponentCheck::of(&bytes).expect("it is served");
    assert_eq!(check.by_link, ["field:big/api@1.0.0"]);
    assert_eq!(check.unserved.len(), 1, "{:?}", check.unserved);
    assert_eq!(check.unserved[0].side, Side::Import);
    assert_eq!(check.unserved[0].functions, ["many"]);
    let (lattice, host) = start(&bytes).await.expect("it starts");
    serve_number(&host, "peer", "field:big/api@1.0.0", 9).await;
    link(&lattice, "probe", "field:big/api@1.0.0", "peer").await;
    let called = call::<u32>(&lattice, "probe", "field:caller/probe@1.0.0", "call", ()).await;
    assert_eq!(called.expect("it is linked"), 9);
}

/// Serves a component whose function `f` returns this number.
pub(super) async fn serve_number(host: &Host, id: &str, interface: &str, number: u32) {
    let native = Native::default().function(interface, "f", "func() -> u32", move |_| {
        Answer::Ready(Ok(encoded(&number)))
    });
    let started = host.start_provider(id, native.serve()).await;
    started.expect("it starts");
}

/// Toolchains for WASI produce such imports: a resource of one interface is used in another one,
/// and in the world.
#[tokio::test]
async fn a_host_resource_used_in_another_interface_does_not_belong_to_that_interface() {
    let bytes = binary(&format!(
        r#"(component
            (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type (sub resource)))))
            (alias export $poll "pollable" (type $pollable))
            (import "pollable" (type (eq $pollable)))
            (import "acme:db/store@1.0.0" (instance
                (alias outer 1 $pollable (type $outer))
                (export "pollable" (type $p (eq $outer)))
                (export "wait" (func (result (own $p))))
                (export "size" (func (result u32)))))
            {SEVEN})"#
    ));
    let check = ComponentCheck::of(&bytes).expect("it is served");
    assert_eq!(check.by_host, ["wasi:io/poll@0.2.0"]);
    assert_eq!(check.by_link, ["acme:db/store@1.0.0"]);
    assert_eq!(check.unserved.len(), 1, "{:?}", check.unserved);
    assert_eq!(check.unserved[0].functions, ["wait"]);
    let (lattice, _host) = start(&bytes).await.expect("it starts");
    serves_seven(&lattice).await;
}

#[tokio::test]
async fn an_export_with_resources_is_served() {
    let bytes = binary(&format!(
        r#"(component {SEVEN}
            (type $r (resource (rep i32)))
            (core func $new (canon resource.new $r))
            (core module $m (import "r" "new" (func $new (param i32) (result i32)))
                (func (export "make") (result i32) (call $new (i32.const 1)))
                (func (export "plain") (result i32) (i32.const 8)))
            (core instance $m (instantiate $m (with "r" (instance (export "new" (func $new))))))
            (component $shim
                (import "t" (type $t (sub resource)))
                (import "make" (func $make (result (own $t))))
                (import "plain" (func $plain (result u32)))
                (export $e "t" (type $t))
                (export "make" (func $make) (func (result (own $e))))
                (export "plain" (func $plain)))
            (func $make (result (own $r)) (canon lift (core func $m "make")))
            (func $plain (result u32) (canon lift (core func $m "plain")))
            (instance $api (instantiate $shim (with "t" (type $r)) (with "make" (func $make)) (with "plain" (func $plain))))
            (export "acme:db/store@1.0.0" (instance $api)))"#
    ));
    let check = ComponentCheck::of(&bytes).expect("it is served");
    assert!(check.unserved.is_empty(), "{:?}", check.unserved);
    let (lattice, _host) = start(&bytes).await.expect("it starts");
    serves_seven(&lattice).await;
    // A caller that takes only plain values isn't given a handle, and the resource is dropped.
    let made = call::<()>(&lattice, "probe", "acme:db/store@1.0.0", "make", ()).await;
    let text = made.expect_err("it is a handle").to_string();
    assert!(text.contains("plain values"), "{text}");
    let plain: Result<u32, _> = call(&lattice, "probe", "acme:db/store@1.0.0", "plain", ()).await;
    assert_eq!(plain.expect("it is served"), 8);
}

#[tokio::test]
async fn interfaces_of_the_host_are_served_in_every_version_with_the_same_signatures() {
    let log = |parameters: &str| {
        format!(
            r#"(type $l (enum "trace" "debug" "info" "warn" "error" "critical")) (export "level" (type $level (eq $l)))
               (export "log" (func (param "level" $level) {parameters}))"#
        )
    };
    let same = log(r#"(param "context" string) (param "message" string)"#);
    let config = r#"(type $v (variant (case "upstream" string) (case "io" string))) (export "error" (type $error (eq $v)))
        (export "get" (func (param "key" string) (result (result (option string) (error $error)))))
        (export "get-all" (func (result (result (list (tuple string string)) (error $error)))))"#;
    let importing = |import: &str, items: &str| {
        binary(&format!(
            r#"(component (import "{import}" (instance {items})) {SEVEN})"#
        ))
    };
    for (import, items) in [
        ("wasi:logging/logging", &*same),
        ("wasi:logging/logging@0.1.0", &same),
        ("wasi:logging/logging@0.1.0-draft", &same),
        ("wasi:config/store@0.2.0-draft", config),
        ("wasi:config/store@0.2.0-rc.1", config),
        ("wasi:config/store", config),
        ("wasi:config/runtime@0.2.0-draft", config),
    ] {
        let bytes = importing(import, items);
        let check = ComponentCheck::of(&bytes).unwrap_or_else(|error| panic!("{import}: {error}"));
        assert_eq!(check.by_host, [import]);
        assert!(
            check.by_link.is_empty() && check.unserved.is_empty(),
            "{check:?}"
        );
        start(&bytes).await.expect("it starts");
    }
    let other = log(r#"(param "message" string)"#);
    for import in ["wasi:logging/logging", "wasi:logging/logging@9.0.0"] {
        let refused = start(&importing(import, &other)).await.err();
        assert!(
            matches!(refused, Some(ActorError::BuiltinMismatch { .. })),
            "{refused:?}"
        );
    }
    let arguments = r#"(export "get-arguments" (func (result (list string))))"#;
    for version in ["", "@0.2.0-rc-2023-12-05", "@0.1.0"] {
        let import = format!("wasi:cli/environment{version}");
        let refused = start(&importing(&import, arguments)).await.err();
        assert!(
            matches!(refused, Some(ActorError::Missing { .. })),
            "{import}: {refused:?}"
        );
    }
    let refused = start(&importing("wasi:cli/nothing@0.2.0", arguments))
        .await
        .err();
    assert!(
        matches!(refused, Some(ActorError::Invalid { .. })),
        "{refused:?}"
    );
}

/// `call` logs a message, and returns 1.
fn logs_through(import: &str) -> Vec<u8> {
    binary(&format!(
        r#"(component {SEVEN}
            (import "{import}" (instance $i
                (type $l (enum "trace" "debug" "info" "warn" "error" "critical")) (export "level" (type $level (eq $l)))
                (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))
            (core module $memory (memory (export "memory") 1) (data (i32.const 100) "fieldone message"))
            (core instance $memory (instantiate $memory))
            (core func $log (canon lower (func $i "log") (memory (core memory $memory "memory"))))
            (core module $m (import "i" "log" (func $log (param i32 i32 i32 i32 i32)))
                (func (export "call") (result i32)
                    (call $log (i32.const 3) (i32.const 100) (i32.const 5) (i32.const 105) (i32.const 11))
                    (i32.const 1)))
            (core instance $m (instantiate $m (with "i" (instance (export "log" (func $log))))))
            (func $call (result u32) (canon lift (core func $m "call")))
            (instance (export "field:caller/probe@1.0.0") (export "call" (func $call))))"#
    ))
}

#[tokio::test]
async fn messages_are_logged_through_every_name_of_wasi_logging() {
    for import in [
        "wasi:logging/logging",
        "wasi:logging/logging@0.1.0",
        "wasi:logging/logging@0.1.0-draft",
    ] {
        let log = Log::default();
        let _guard = log.start();
        let (lattice, _host) = start(&logs_through(import)).await.expect("it starts");
        let called = call::<u32>(&lattice, "probe", "field:caller/probe@1.0.0", "call", ()).await;
        let called = called.unwrap_or_else(|error| panic!("{import}: {error}"));
        assert_eq!(called, 1);
        let lines = log.lines("one message");
        let [line] = &lines[..] else {
            panic!("{import}: {lines:?}")
        };
        assert!(line.contains("WARN lattice::actor"), "{line}");
        assert!(line.contains("context=\"field\""), "{line}");
    }
}

/// A component of an older or a newer toolchain than this host.
#[tokio::test]
async fn wasi_answers_in_every_version_of_0_2() {
    for version in ["0.2.0", "0.2.3", "0.2.99"] {
        let bytes = binary(&format!(
            r#"(component {SEVEN}
                (import "wasi:random/random@{version}" (instance $i (export "get-random-u64" (func (result u64)))))
                (core func $f (canon lower (func $i "get-random-u64")))
                (core module $m (import "i" "f" (func $f (result i64))) (func (export "call") (result i64) (call $f)))
                (core instance $m (instantiate $m (with "i" (instance (export "f" (func $f))))))
                (func $call (result u64) (canon lift (core func $m "call")))
                (instance (export "field:caller/probe@1.0.0") (export "call" (func $call))))"#
        ));
        let (lattice, _host) = start(&bytes).await.expect("it starts");
        let number = async || -> u64 {
            let called = call(&lattice, "probe", "field:caller/probe@1.0.0", "call", ()).await;
            called.unwrap_or_else(|error| panic!("{version}: {error}"))
        };
        assert_ne!(number().await, number().await, "{version}");
    }
}

#[tokio::test]
async fn a_component_without_any_callable_export_is_refused() {
    let text = r#"(component (import "acme:bus/lattice@1.0.0" (instance
        (type $a (list u64 10000000)) (type $b (list $a 4)) (export "put" (func (param "x" $b))))))"#;
    let refused = start(&binary(text)).await.err();
    assert!(
        matches!(refused, Some(ActorError::NothingToCall { .. })),
        "{text}: {refused:?}"
    );
}

/// A host and the check refuse the same bytes, also when only the body of a function is invalid.
#[tokio::test]
async fn the_check_and_the_host_agree_about_code() {
    let good = std::fs::read(path("mischief")).expect("the guest");
    let check = ComponentCheck::of(&good).expect("a component");
    assert!(check.callable.contains(&ACTS.to_owned()), "{check:?}");
    assert!(check.by_link.contains(&PEER.to_owned()), "{check:?}");
    assert!(check.unserved.is_empty(), "{check:?}");
    start(&good).await.expect("it starts");
    let mut bad = binary(&format!(
        "(component {SEVEN} (core module (func (result i32) (i32.const 1234567))))"
    ));
    let constant = bad.windows(3).position(|bytes| bytes == [0x41, 0x87, 0xad]);
    // A constant of another type than the function returns.
    bad[constant.expect("the constant")] = 0x42;
    let refused = start(&bad).await.err();
    assert!(
        matches!(refused, Some(ActorError::Invalid { .. })),
        "{refused:?}"
    );
    let check = ComponentCheck::of(&good).expect("a component");
    let error = check
        .fits(&Limits::default().memory(lattice_host::ByteSize::kib(64)))
        .expect_err("it has more");
    assert!(matches!(error, ActorError::TooMuchMemory { .. }), "{error}");
    check
        .fits(&Limits::default())
        .expect("the default is enough");
}
