//! Types that components can't pass to each other, which are refused before anything runs.

use super::{
    served::{SEVEN, binary, start},
    support::*,
};
use lattice_host::{ActorError, ComponentCheck, Side, Unserved};

/// A component that imports an interface with `items`, and exports another one.
fn importing(items: &str) -> Vec<u8> {
    binary(&format!(
        r#"(component (import "acme:bus/api@1.0.0" (instance {items})) {SEVEN})"#
    ))
}

#[tokio::test]
async fn types_that_no_component_can_have_yet_are_refused_by_name_with_what_to_do() {
    for (items, name, advice) in [
        (
            r#"(export "f" (func (param "x" (result (error error-context)))))"#,
            "error-context",
            "a `string`",
        ),
        (
            r#"(type $text (stream char)) (export "f" (func (param "x" $text)))"#,
            "stream<char>",
            "a `stream<u8>` with UTF-8",
        ),
    ] {
        let bytes = importing(items);
        let checked = ComponentCheck::of(&bytes).err();
        for refused in [start(&bytes).await.err(), checked] {
            let refused = refused.unwrap_or_else(|| panic!("{name} is accepted"));
            assert!(
                matches!(refused, ActorError::Invalid { .. }),
                "{name}: {refused:?}"
            );
            let text = refused.to_string();
            assert!(text.contains(name) && text.contains(advice), "{text}");
            assert!(!text.contains("toolchain"), "{text}");
        }
    }
    let broken = ComponentCheck::of(b"\0asm\x0d\0\x01\0\xff").err();
    let text = broken.map(|error| error.to_string()).unwrap_or_default();
    assert!(
        text.contains("build it again with a current toolchain"),
        "{text}"
    );
}

#[tokio::test]
async fn a_function_with_a_borrow_in_a_stream_or_future_is_refused_by_name_and_the_rest_is_served()
{
    for channel in ["stream", "future"] {
        let bytes = importing(&format!(
            r#"(export "r" (type $r (sub resource)))
            (type $lent ({channel} (borrow $r)))
            (export "f" (func (param "x" $lent)))
            (export "g" (func (param "x" (borrow $r)) (result u32)))"#
        ));
        let check = ComponentCheck::of(&bytes).expect("the rest is served");
        let [unserved] = &check.unserved[..] else {
            panic!("one function: {:?}", check.unserved)
        };
        let Unserved {
            side,
            name,
            functions,
            reason,
            ..
        } = unserved;
        assert_eq!((*side, name.as_str()), (Side::Import, "acme:bus/api@1.0.0"));
        assert_eq!(functions, &["f"]);
        assert!(
            reason.contains("`borrow`") && reason.contains("`x[]`"),
            "{reason}"
        );
        assert!(reason.contains("give the resource away there"), "{reason}");
        let (lattice, _host) = start(&bytes).await.expect("the rest is served");
        let seven: Result<u32, _> = call(&lattice, "probe", "field:ok/probe@1.0.0", "f", ()).await;
        assert_eq!(seven.expect("it is served"), 7);
    }
}
