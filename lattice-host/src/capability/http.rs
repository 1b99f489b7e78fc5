//! `wasi:http`: requests that an actor makes, over links.

use super::{
    HostCapability, Support,
    wasi::{P3, is_0_3, missing, release},
};
use crate::{
    engine::CallMode,
    guest::{Guest, add_http_to_linker},
    http::exchange::handle_types,
};
use lattice_core::{name::InterfaceName, types::InterfaceTypes};
use wasmtime::{Result, component::Linker};

/// HTTP of WASI 0.2, and of 0.3 behind the feature `p3`.
pub(super) struct Http;

impl HostCapability for Http {
    fn support(&self, import: &str) -> Option<Support> {
        support(import, P3)
    }

    fn add_to_linker(&self, linker: &mut Linker<Guest>, mode: CallMode) -> Result<()> {
        add_http_to_linker(linker, mode)
    }

    fn needs_concurrency(&self, import: &str) -> bool {
        is_0_3(import)
    }

    fn linked(&self, interface: &InterfaceName) -> InterfaceTypes {
        let types = handle_types([interface.as_str()]);
        types.into_values().next().unwrap_or_default()
    }
}

fn support(import: &str, p3: bool) -> Option<Support> {
    let name = InterfaceName::new(import).ok()?;
    let interface = name.path().strip_prefix("wasi:http/")?;
    Some(match (interface, release(&name)) {
        // Nothing but a link could serve it, and its types are those of the host.
        ("incoming-handler", Some((0, 2))) => return None,
        ("types", Some((0, 2))) => Support::Native,
        ("outgoing-handler", Some((0, 2))) => Support::Linked,
        ("types", Some((0, 3))) if p3 => Support::Native,
        ("client" | "handler", Some((0, 3))) if p3 => Support::Linked,
        _ => missing(&name, p3),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_core::name::FunctionName;

    #[test]
    fn releases_are_served_and_others_get_advice() {
        for (import, p3, expected) in [
            ("wasi:http/types@0.2.0", false, Some(Support::Native)),
            ("wasi:http/types@0.2.99", true, Some(Support::Native)),
            (
                "wasi:http/outgoing-handler@0.2.3",
                false,
                Some(Support::Linked),
            ),
            ("wasi:http/client@0.3.2", true, Some(Support::Linked)),
            ("wasi:http/handler@0.3.0", true, Some(Support::Linked)),
            ("wasi:http/types@0.3.0", true, Some(Support::Native)),
            ("wasi:http/incoming-handler@0.2.0", true, None),
            ("acme:http/types@0.2.0", true, None),
        ] {
            assert_eq!(support(import, p3), expected, "{import}");
        }
        for (import, p3, part) in [
            ("wasi:http/types@0.3.0", false, "feature `p3`"),
            (
                "wasi:http/types@0.3.0-rc-2026-03-15",
                true,
                "the release of WASI 0.3",
            ),
            (
                "wasi:http/handler@0.3.0-rc-2026-03-15",
                true,
                "the release of WASI 0.3",
            ),
            ("wasi:http/types@0.1.0", true, "wasm32-wasip2"),
        ] {
            let Some(Support::Missing { advice, .. }) = support(import, p3) else {
                panic!("`{import}` is served");
            };
            assert!(advice.contains(part), "{import}: {advice}");
        }
    }

    #[test]
    fn links_know_requests_as_calls_of_one_function() {
        let interface = InterfaceName::new("wasi:http/client@0.3.1").expect("a name");
        let types = Http.linked(&interface);
        let functions: Vec<&str> = types.functions.keys().map(FunctionName::as_str).collect();
        assert_eq!(functions, ["handle"]);
    }
}
