//! What doesn't fit a limit is reported before it is started, and the rest is served.

use super::{PATIENCE, Scene, text};
use std::time::Instant;

/// A component that exports `f`, with more core modules and instances.
fn with(parts: &str) -> Vec<u8> {
    let component = format!(
        r#"(component {parts}
            (core module $m (func (export "f") (result i32) (i32.const 7)))
            (core instance $m (instantiate $m))
            (func $f (result u32) (canon lift (core func $m "f")))
            (instance (export "field:js/probe@1.0.0") (export "f" (func $f))))"#
    );
    wat::parse_str(component).expect("a component")
}

/// A component with so many functions `f0`, `f1`, …, each with a type of some 6 KiB as text.
fn many(functions: usize) -> Vec<u8> {
    use std::fmt::Write as _;
    let mut component = String::from(
        r#"(component
            (core module $m
              (memory (export "memory") 1)
              (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
              (func (export "f") (param i32) (result i32) (i32.const 7)))
            (core instance $m (instantiate $m))"#,
    );
    let types = "string ".repeat(800);
    let _ = write!(component, "(type $t (tuple {types}))");
    let mut exports = String::new();
    for number in 0..functions {
        let _ = write!(
            component,
            r#"(func $f{number} (param "p" $t) (result u32)
                (canon lift (core func $m "f") (memory (core memory $m "memory")) (realloc (core func $m "realloc"))))"#
        );
        let _ = write!(exports, r#"(export "f{number}" (func $f{number}))"#);
    }
    let _ = write!(
        component,
        r#"(func $g (result u32) (canon lift (core func $n "g")))"#
    );
    let component = component.replace(
        "(core instance $m (instantiate $m))",
        r#"(core instance $m (instantiate $m))
           (core module $n (func (export "g") (result i32) (i32.const 7)))
           (core instance $n (instantiate $n))"#,
    );
    let component = format!(
        r#"{component} (instance (export "field:many/probe@1.0.0") {exports})
           (instance (export "field:js/probe@1.0.0") (export "g" (func $g))))"#
    );
    wat::parse_str(component).expect("a component")
}

#[tokio::test]
async fn the_needs_of_an_instance_are_checked_before_an_app_is_applied() {
    let scene = Scene::new().await;
    let _host = scene.up("one");
    let tables = "(core module $t (table 20001 funcref)) (core instance (instantiate $t))";
    let tables = scene.file("tables.wasm", &with(tables));
    let memories = "(core module $b (memory 448)) (core instance (instantiate $b))
        (core instance (instantiate $b)) (core instance (instantiate $b))";
    let memories = scene.file("memories.wasm", &with(memories));
    let manifest = |image: &str, limits: &str| {
        let text = format!("name = \"g\"\n[actors.g]\nimage = \"file:{image}\"\n{limits}\n");
        scene.file("g.toml", text.as_bytes())
    };
    for (image, small, enough, says) in [
        (
            &tables,
            "table-elements = 20000",
            "table-elements = 30000",
            "`limits = { table-elements = 20001 }`",
        ),
        (
            &memories,
            "memory = \"64MiB\"",
            "memory = \"84MiB\"",
            "`limits = { memory = \"84MiB\" }`",
        ),
    ] {
        let inspected = scene.prints(&["inspect", image]);
        assert!(inspected.contains(says), "{inspected}");
        let manifest = |limits: &str| manifest(image, &format!("limits = {{ {limits} }}"));
        for command in ["plan", "apply"] {
            let (code, message) = scene.fails(&[command, &manifest(small)]);
            assert_eq!(code, 3, "{message}");
            assert!(message.contains(says), "{message}");
            assert!(message.contains("actor `g`"), "{message}");
        }
        for (limits, is_noted) in [("", true), (enough, false)] {
            let planned = scene.run(&["plan", &manifest(limits)]);
            assert!(planned.status.success(), "{planned:?}");
            let note = text(&planned.stderr);
            assert_eq!(note.contains(says), is_noted, "{limits}: {note}");
        }
    }
    let parts = " (core instance (instantiate $p))".repeat(257);
    let parts = scene.file("parts.wasm", &with(&format!("(core module $p){parts}")));
    let planned = manifest(&parts, "");
    for args in [["inspect", &*parts], ["plan", &*planned]] {
        let (code, message) = scene.fails(&args);
        assert_eq!(code, 3, "{message}");
        assert!(message.contains("the most is 256"), "{message}");
    }
    // A host refuses the same, by the same code, and says so.
    scene.prints(&["apply", &manifest(&tables, "")]);
    let begun = Instant::now();
    loop {
        let why = text(&scene.run(&["explain", "component", "g"]).stdout);
        if why.contains("`limits = { table-elements = 20001 }`") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{why}");
    }
    scene.settle(&format!(
        "name = \"g\"\n[actors.g]\nimage = \"file:{tables}\"\nlimits = {{ table-elements = 30000 }}\n"
    ));
    let called = scene.prints(&["call", "g", "field:js/probe@1.0.0#f"]);
    assert_eq!(called.trim(), "7");
}

#[tokio::test]
async fn types_that_can_not_be_published_leave_the_others_served() {
    let scene = Scene::new().await;
    let _host = scene.up("one");
    let image = scene.file("many.wasm", &many(120));
    let inspected = scene.prints(&["inspect", &image]);
    let cut_off = "\nparts that can't be served\n  export `field:many/probe@1.0.0` (`f";
    assert!(inspected.contains(cut_off), "{}", tail(&inspected));
    assert!(
        inspected.contains("can publish 520192"),
        "{}",
        tail(&inspected)
    );
    let manifest = format!("name = \"many\"\n[actors.many]\nimage = \"file:{image}\"\n");
    let file = scene.file("many.toml", manifest.as_bytes());
    let planned = scene.run(&["plan", &file]);
    assert!(planned.status.success(), "{planned:?}");
    let note = text(&planned.stderr);
    assert!(note.contains("a part of actor `many`"), "{note}");
    scene.settle(&manifest);
    let called = scene.prints(&["call", "many", "field:js/probe@1.0.0#g"]);
    assert_eq!(called.trim(), "7");
    let why = scene.prints(&["explain", "component", "many"]);
    assert!(why.contains("not all of it works"), "{why}");
    assert!(why.contains("field:many/probe@1.0.0"), "{why}");
    let wrong = scene.run(&["call", "many", "field:many/probe@1.0.0#f0", "1"]);
    assert!(!wrong.status.success());
    assert!(wrong.stderr.len() < 2_000, "{} bytes", wrong.stderr.len());
}

fn tail(text: &str) -> &str {
    let at = text.len().saturating_sub(2_000);
    text.get(at..).unwrap_or(text)
}

#[tokio::test]
async fn a_host_takes_the_memory_for_guests_from_its_options() {
    let scene = Scene::new().await;
    let (code, message) = scene.fails(&["up", "--guest-memory", "lots"]);
    assert_eq!(code, 2, "{message}");
    let (code, message) = scene.fails(&["up", "--guest-memory", "15MiB"]);
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("at least 16 MiB"), "{message}");
    for value in ["lots", "15MiB"] {
        let variable = scene
            .command(&["up"])
            .env("LATTICE_GUEST_MEMORY", value)
            .output()
            .expect("runs");
        assert_eq!(variable.status.code(), Some(2));
        let message = text(&variable.stderr);
        assert!(message.contains("LATTICE_GUEST_MEMORY"), "{message}");
    }
}
