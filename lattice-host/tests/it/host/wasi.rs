//! The parts of WASI that an actor can use.

use super::support::*;
use lattice_host::{Actor, Host};
use std::collections::HashSet;

#[tokio::test]
async fn environment_and_arguments_are_only_those_configured() {
    let lattice = lattice().await;
    let configured = |actor: Actor| actor.env("GREETING", "hello").arg("mischief").arg("--loud");
    let _host = host_of(&lattice, "mischief", configured).await;
    let env: Option<String> = act(&lattice, "env", ("GREETING",)).await.expect("answered");
    assert_eq!(env.as_deref(), Some("hello"));
    assert!(std::env::var_os("PATH").is_some());
    let env: Option<String> = act(&lattice, "env", ("PATH",)).await.expect("answered");
    assert_eq!(env, None, "the environment of the process is hidden");
    let args: Vec<String> = act(&lattice, "args", ()).await.expect("answered");
    assert_eq!(args, ["mischief", "--loud"]);
}

#[tokio::test]
async fn files_and_network_are_inaccessible() {
    let lattice = lattice().await;
    let _host = host_of(&lattice, "mischief", |actor| actor).await;
    for file in ["/etc/passwd", "Cargo.toml", "../secret"] {
        let read: Result<String, String> =
            act(&lattice, "read-file", (file,)).await.expect("answered");
        read.expect_err(file);
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("it is non-blocking");
    let address = listener.local_addr().expect("an address").to_string();
    for address in [address.as_str(), "localhost:80"] {
        let connected: Result<(), String> = act(&lattice, "connect", (address,))
            .await
            .expect("answered");
        connected.expect_err(address);
    }
    let error = listener.accept().expect_err("no connection arrives");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn clocks_and_random_numbers_work() {
    let lattice = lattice().await;
    let _host = host_of(&lattice, "mischief", |actor| actor).await;
    let mut seen = HashSet::new();
    for _ in 0..5 {
        assert!(seen.insert(act::<u64>(&lattice, "random", ()).await.expect("answered")));
    }
    let now: u64 = act(&lattice, "now", ()).await.expect("answered");
    let ours = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970");
    assert!(now.abs_diff(u64::try_from(ours.as_nanos()).expect("before 2500")) < 60_000_000_000);
    act::<()>(&lattice, "sleep-ms", (20_u32,))
        .await
        .expect("it slept");
}

/// `get(n)` gets `n` random bytes from `wasi:random`, and returns how many it got.
const RANDOM: &str = r#"(component
    (import "wasi:random/random@0.2.0" (instance $random
      (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
    (core module $libc
      (memory (export "m") 1)
      ;; What is allocated is put over what was allocated before.
      (func (export "r") (param i32 i32 i32 i32) (result i32)
        (if (i32.gt_u (local.get 3) (i32.mul (i32.sub (memory.size) (i32.const 1)) (i32.const 65536)))
          (then (drop (memory.grow (i32.add (i32.shr_u (local.get 3) (i32.const 16)) (i32.const 1))))))
        (i32.const 65536)))
    (core instance $libc (instantiate $libc))
    (core func $bytes (canon lower (func $random "get-random-bytes")
      (memory (core memory $libc "m")) (realloc (core func $libc "r"))))
    (core module $main
      (import "" "bytes" (func $bytes (param i64 i32)))
      (import "" "m" (memory 1))
      (func (export "get") (param i64) (result i32)
        (call $bytes (local.get 0) (i32.const 16))
        (i32.load (i32.const 20))))
    (core instance $main (instantiate $main (with "" (instance
      (export "bytes" (func $bytes)) (export "m" (memory $libc "m"))))))
    (func $get (param "n" u64) (result u32) (canon lift (core func $main "get")))
    (instance (export "test:random/it@1.0.0") (export "get" (func $get))))"#;

/// The host makes random bytes in its own memory, in one step that nothing interrupts.
#[tokio::test]
async fn the_random_bytes_that_a_guest_gets_at_once_are_limited() {
    const MIB: u64 = 1 << 20;
    let lattice = lattice().await;
    let _host = started(Host::builder(&lattice).actor("random", wat(RANDOM))).await;
    let get = async |n: u64| {
        let got = call::<u32>(&lattice, "random", "test:random/it@1.0.0", "get", (n,));
        got.await
    };
    for n in [0, 1, 100_000, MIB] {
        assert_eq!(get(n).await.map(u64::from), Ok(n));
    }
    for n in [MIB + 1, 64 * MIB, u64::MAX] {
        let reason = reason(get(n).await);
        assert!(reason.contains("1048576"), "{n}: {reason}");
    }
}

/// `f` returns one setting, or an empty text; `all` returns all settings.
pub(super) const CONFIGURED: &str = r#"(component
    (import "wasi:config/store@0.2.0-rc.1" (instance $i
      (type $e' (variant (case "upstream" string) (case "io" string)))
      (export "error" (type $e (eq $e')))
      (export "get" (func (param "key" string) (result (result (option string) (error $e)))))
      (export "get-all" (func (result (result (list (tuple string string)) (error $e)))))))
    (core module $libc (memory (export "m") 1) (global $at (mut i32) (i32.const 1024))
      (func (export "r") (param i32 i32 i32 i32) (result i32)
        (local $p i32)
        (local.set $p (i32.and (i32.add (global.get $at) (i32.const 7)) (i32.const -8)))
        (global.set $at (i32.add (local.get $p) (local.get 3)))
        (local.get $p)))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "m" (core memory $m))
    (alias core export $libc "r" (core func $r))
    (core func $get (canon lower (func $i "get") (memory $m) (realloc $r)))
    (core func $get-all (canon lower (func $i "get-all") (memory $m) (realloc $r)))
    (core module $main
      (import "" "get" (func $get (param i32 i32 i32)))
      (import "" "get-all" (func $get-all (param i32)))
      (func (export "f") (param i32 i32) (result i32)
        (call $get (local.get 0) (local.get 1) (i32.const 512))
        ;; Pointer and length follow the tags of `result` and `option`.
        (i32.const 520))
      (func (export "all") (result i32)
        (call $get-all (i32.const 512))
        ;; The list follows the tag of `result`.
        (i32.const 516)))
    (core instance $main (instantiate $main (with "" (instance
      (export "get" (func $get)) (export "get-all" (func $get-all))))))
    (func $f (param "key" string) (result string) (canon lift (core func $main "f") (memory $m) (realloc $r)))
    (func $all (result (list (tuple string string))) (canon lift (core func $main "all") (memory $m) (realloc $r)))
    (instance (export "test:config/it@1.0.0") (export "f" (func $f)) (export "all" (func $all))))"#;

#[tokio::test]
async fn settings_are_read_through_every_name_of_wasi_config() {
    for import in [
        "wasi:config/store@0.2.0-rc.1",
        "wasi:config/store@0.2.0-draft",
        "wasi:config/store",
        "wasi:config/runtime@0.2.0-draft",
        "wasi:config/runtime",
    ] {
        settings_are_read_through(import).await;
    }
}

async fn settings_are_read_through(import: &str) {
    let lattice = lattice().await;
    let configured = wat(&CONFIGURED.replace("wasi:config/store@0.2.0-rc.1", import));
    let configured = configured.config("colour", "blue").config("size", "");
    let _host = started(Host::builder(&lattice).actor("configured", configured)).await;
    for (key, expected) in [("colour", "blue"), ("size", ""), ("none", "")] {
        let value: String = call(&lattice, "configured", "test:config/it@1.0.0", "f", (key,))
            .await
            .unwrap_or_else(|error| panic!("{import}: {error}"));
        assert_eq!(value, expected, "{import}: {key}");
    }
    let all: Vec<(String, String)> =
        call(&lattice, "configured", "test:config/it@1.0.0", "all", ())
            .await
            .unwrap_or_else(|error| panic!("{import}: {error}"));
    let expected = [("colour", "blue"), ("size", "")];
    assert_eq!(
        all,
        expected.map(|(key, value)| (key.to_owned(), value.to_owned())),
        "{import}"
    );
}

/// Reads the clock of WASI 0.3, waits by an `async func`, and reads the clock again.
const OF_0_3: &str = r#"(component
    (import "wasi:clocks/monotonic-clock@0.3.0" (instance $clock
        (export "now" (func (result u64)))
        (export "wait-for" (func async (param "how-long" u64)))))
    (core func $now (canon lower (func $clock "now")))
    (core func $wait (canon lower (func $clock "wait-for")))
    (core module $code
        (import "clock" "now" (func $now (result i64)))
        (import "clock" "wait-for" (func $wait (param i64)))
        (func (export "waited") (param i64) (result i64)
            (local $before i64)
            (local.set $before (call $now))
            (call $wait (local.get 0))
            (i64.sub (call $now) (local.get $before))))
    (core instance $running (instantiate $code
        (with "clock" (instance (export "now" (func $now)) (export "wait-for" (func $wait))))))
    (func $waited async (param "nanoseconds" u64) (result u64)
        (canon lift (core func $running "waited")))
    (instance $stopwatch (export "waited" (func $waited)))
    (export "lattice-test:wasi3/stopwatch@0.1.0" (instance $stopwatch)))"#;

#[tokio::test]
async fn an_actor_that_uses_wasi_0_3_runs() {
    let lattice = lattice().await;
    let actor = wat(OF_0_3);
    let _host = started(Host::builder(&lattice).actor("stopwatch", actor)).await;
    let asked = 20_000_000_u64;
    let interface = "lattice-test:wasi3/stopwatch@0.1.0";
    let waited: u64 = call(&lattice, "stopwatch", interface, "waited", (asked,))
        .await
        .expect("answered");
    assert!(waited >= asked, "{waited} ns");
}
