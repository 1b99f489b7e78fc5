//! Encoding and decoding of WIT, and untrusted bytes.

use lattice_wit::binary::{self, BinaryError, Described, MAX_BYTES};
use wit_parser::{PackageId, Resolve, WorldId, WorldItem};

const TEXT: &str = "
    package a:b@0.1.0;
    /// Points.
    interface types { record point { x: u32, y: u32 } }
    interface other { use types.{point}; find: func(name: string) -> option<point>; }
    interface unused { f: func(); }
    /// Serves.
    interface serves {
        use types.{point};
        /// Moves.
        move: async func(p: point, by: tuple<s32, s32>) -> result<point, string>;
    }
    world both { import other; export serves; }
    world another { export unused; }
";

fn parsed() -> (Resolve, PackageId, WorldId) {
    let mut resolve = Resolve::new();
    let package = resolve.push_str("test.wit", TEXT).expect("valid");
    let world = resolve.select_world(&[package], Some("both"));
    (resolve, package, world.expect("a world"))
}

fn encoded() -> Vec<u8> {
    let (resolve, _, world) = parsed();
    binary::of_world(&resolve, world, |_| true).expect("it encodes")
}

fn imports(described: &Described) -> Vec<String> {
    let names = described
        .imports()
        .map(|key| described.resolve.name_world_key(key));
    names.collect()
}

#[test]
fn a_decoded_world_has_its_names_types_and_docs_and_no_unrelated_items() {
    let bytes = encoded();
    assert!(bytes.len() < 2_000, "{}", bytes.len());
    let found = binary::decode(&bytes).expect("it decodes");
    assert_eq!(found.resolve.worlds[found.world].name, "both");
    assert_eq!(imports(&found), ["a:b/types@0.1.0", "a:b/other@0.1.0"]);
    let (key, item) = found.resolve.worlds[found.world]
        .exports
        .first()
        .expect("an export");
    assert_eq!(found.resolve.name_world_key(key), "a:b/serves@0.1.0");
    let WorldItem::Interface { id, .. } = item else {
        panic!("not an interface: {item:?}")
    };
    let function = &found.resolve.interfaces[*id].functions["move"];
    assert!(function.kind.is_async());
    assert_eq!(function.docs.contents.as_deref(), Some("Moves."));
    let names: Vec<&str> = function.params.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["p", "by"]);
    let names: Vec<_> = found
        .resolve
        .interfaces
        .iter()
        .map(|(_, i)| i.name.as_deref())
        .collect();
    assert!(!names.contains(&Some("unused")), "{names:?}");
}

#[test]
fn imports_that_are_not_kept_are_left_out_unless_others_use_their_types() {
    let (resolve, _, world) = parsed();
    let bytes = binary::of_world(&resolve, world, |_| false).expect("it encodes");
    let found = binary::decode(&bytes).expect("it decodes");
    assert_eq!(imports(&found), ["a:b/types@0.1.0"]);
    assert_eq!(found.exports().count(), 1);
}

#[test]
fn bytes_that_are_not_the_world_of_one_component_are_refused() {
    let malformed = |bytes: &[u8]| {
        let error = binary::decode(bytes).expect_err("not valid WIT");
        assert!(matches!(error, BinaryError::Malformed { .. }), "{error:?}");
    };
    malformed(b"");
    malformed(b"package a:b;");
    // A core module, and a component.
    malformed(b"\0asm\x01\0\0\0");
    malformed(b"\0asm\x0d\0\x01\0");
    let error = binary::of_component(&encoded(), |_| true).expect_err("a package");
    assert!(matches!(error, BinaryError::Malformed { .. }), "{error:?}");
    let (resolve, package, _) = parsed();
    let two = wit_component::encode(&resolve, package).expect("it encodes");
    let error = binary::decode(&two).expect_err("two worlds");
    assert_eq!(error, BinaryError::NotOneWorld { worlds: 2 });
    let bytes = MAX_BYTES + 1;
    let error = binary::decode(&vec![0; bytes]).expect_err("too large");
    assert_eq!(error, BinaryError::TooLarge { bytes });
}

#[test]
fn a_world_that_is_too_large_is_refused() {
    let functions = (0..8_000)
        .map(|n| format!("function-number-{n}-with-a-long-name: func(a: string);"))
        .collect::<Vec<_>>()
        .concat();
    let text = format!("package a:b; interface i {{ {functions} }} world w {{ export i; }}");
    let mut resolve = Resolve::new();
    let package = resolve.push_str("large.wit", &text).expect("valid");
    let world = resolve.select_world(&[package], None).expect("a world");
    let error = binary::of_world(&resolve, world, |_| true).expect_err("too large");
    assert!(matches!(error, BinaryError::TooLarge { .. }), "{error:?}");
}

/// The decoder returns an error, and doesn't panic, for any modified bytes.
#[test]
fn damaged_bytes_never_panic() {
    // The decoder's library panics at some of these bytes. The panics are caught; their messages
    // are suppressed.
    std::panic::set_hook(Box::new(|_| {}));
    let whole = encoded();
    for length in 0..whole.len() {
        assert!(binary::decode(&whole[..length]).is_err() || length > whole.len() / 2);
    }
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] ^= flip;
            // Both results are correct, because a change of some bytes has no effect.
            drop(binary::decode(&damaged));
        }
    }
}
