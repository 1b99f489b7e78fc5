//! The interfaces through which a wormhole may call.

use crate::name::InterfaceName;

/// Through which a wormhole asks its verifier, without the version.
const VERIFIER: &str = "lattice:http/verifier";
/// Through which requests are served, without the version, beside those of `wasi:http`.
const HANDLER: &str = "lattice:http/handler";
/// The package whose interfaces all serve requests.
const WASI: &str = "wasi:http/";

/// What a wormhole calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To have a request served, by its actor.
    Request,
    /// To learn whether a request is let through, from its verifier.
    Verdict,
}

impl Purpose {
    /// Returns what a wormhole calls an interface for, given by its name with or without a version,
    /// or `None` if it must not call it.
    pub(crate) fn of(interface: &str) -> Option<Self> {
        match interface
            .split_once('@')
            .map_or(interface, |(name, _)| name)
        {
            VERIFIER => Some(Self::Verdict),
            HANDLER => Some(Self::Request),
            name if name.starts_with(WASI) => Some(Self::Request),
            _ => None,
        }
    }
}

/// Returns whether a component that exports this interface serves HTTP requests, so that a wormhole
/// can lead to it.
pub fn serves_requests(interface: &InterfaceName) -> bool {
    let compat = interface.compat();
    let name = compat.split_once('@').map_or(&*compat, |(name, _)| name);
    matches!(
        name,
        HANDLER | "wasi:http/incoming-handler" | "wasi:http/handler"
    )
}

/// Returns whether a component that exports this interface decides about HTTP requests, so that it
/// can be the verifier of a wormhole.
pub fn verifies_requests(interface: &InterfaceName) -> bool {
    let compat = interface.compat();
    compat.split_once('@').map_or(&*compat, |(name, _)| name) == VERIFIER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_serve_and_verifiers_verify() {
        for (interface, serves, verifies) in [
            ("lattice:http/handler@0.1.0", true, false),
            ("wasi:http/incoming-handler@0.2.6", true, false),
            ("wasi:http/handler@0.3.0", true, false),
            ("lattice:http/verifier@0.1.0", false, true),
            ("wasi:http/types@0.2.6", false, false),
            ("other:http/verifier@0.1.0", false, false),
        ] {
            let name = InterfaceName::new(interface).expect("a name");
            let found = (serves_requests(&name), verifies_requests(&name));
            assert_eq!(found, (serves, verifies), "{interface}");
        }
    }

    #[test]
    fn only_interfaces_of_http_can_be_called() {
        for (interface, purpose) in [
            ("lattice:http/handler@0.1", Some(Purpose::Request)),
            ("wasi:http/incoming-handler@0.2", Some(Purpose::Request)),
            ("wasi:http/handler@0.3", Some(Purpose::Request)),
            ("lattice:http/verifier@0.1", Some(Purpose::Verdict)),
            ("lattice:http/verifier", Some(Purpose::Verdict)),
            ("lattice:http/types@0.1", None),
            ("lattice:httpx/handler@0.1", None),
            ("wasi:httpx/handler@0.3", None),
            ("example:hello/greeter@0.1", None),
            ("", None),
        ] {
            assert_eq!(Purpose::of(interface), purpose, "{interface}");
        }
    }
}
