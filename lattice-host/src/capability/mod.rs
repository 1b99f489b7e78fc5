//! Capabilities that a host provides to every actor without a link: WASI, and three small
//! interfaces.
//!
//! Each is a [`HostCapability`] in its own file.
//!
//! | file | interfaces | what the actor gets |
//! | --- | --- | --- |
//! | `wasi` | `wasi:cli`, `wasi:clocks`, `wasi:io`, `wasi:random` 0.2 | clocks, random numbers, configured environment and arguments, exit; output goes to `tracing` |
//! | | `wasi:filesystem`, `wasi:sockets` 0.2 | nothing: no directory is open, and every use of the network is denied. They exist because languages' standard libraries import them |
//! | `logging` | `wasi:logging/logging` | messages go to `tracing` |
//! | `config` | `wasi:config/store` and `wasi:config/runtime` | the actor's settings |
//! | `rpc` | `lattice:rpc/links` | choosing among links for the call being served |
//! | `http` | `wasi:http` 0.2 | requests over links of its interfaces |
//! | `blobstore` | `wasi:blobstore` 0.2.0-draft | objects over the link of its interface `blobstore` |
//!
//! `logging`, `config` and `rpc` are served in every version whose functions have the same
//! signatures.

#[cfg(feature = "blobstore")]
mod blobstore;
mod config;
mod function;
#[cfg(feature = "http")]
mod http;
mod logging;
mod rpc;
mod wasi;

pub(crate) use function::HostFunction;

use crate::{engine::CallMode, guest::Guest};
#[cfg(any(feature = "blobstore", feature = "http"))]
use lattice_core::{name::InterfaceName, types::InterfaceTypes};
use wasmtime::{Engine, Result, component::Linker};

/// A capability that a host provides to guests without a link.
///
/// Its state for one instance is a [`CapabilityState`](crate::guest::CapabilityState) in that
/// instance's store. [`Guest::capability`] returns it.
pub(crate) trait HostCapability: Send + Sync {
    /// Returns how the capability serves the import with this name, `ns:pkg/iface@version`. `None`
    /// when the import belongs to something else.
    fn support(&self, import: &str) -> Option<Support>;

    /// Defines the capability's [native](Support::Native) interfaces for instances that take calls
    /// like this: without those that [need](Self::needs_concurrency) concurrent ones, if these are
    /// not.
    ///
    /// # Errors
    /// Fails when another capability has defined one of them.
    fn add_to_linker(&self, _: &mut Linker<Guest>, _: CallMode) -> Result<()> {
        Ok(())
    }

    /// Returns whether only [concurrent](CallMode::Concurrent) instances can be given this import,
    /// which the capability [supports](Self::support).
    fn needs_concurrency(&self, _: &str) -> bool {
        false
    }

    /// Returns the types by which links know a [linked](Support::Linked) interface.
    #[cfg(any(feature = "blobstore", feature = "http"))]
    fn linked(&self, _: &InterfaceName) -> InterfaceTypes {
        InterfaceTypes::default()
    }

    /// Returns the functions of the capability's [transcoded](Support::Transcoded) interface.
    fn functions(&self) -> &'static [HostFunction] {
        &[]
    }
}

/// How a capability serves an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    /// With Wasmtime's own bindings, which are in the linker from the start.
    Native,
    /// With Wasmtime's own bindings, which make calls over a link of the interface.
    #[cfg(any(feature = "blobstore", feature = "http"))]
    Linked,
    /// Function by function, from wire bytes, as if by a link.
    Transcoded,
    /// The interface isn't served.
    Missing {
        /// How to have it served.
        advice: &'static str,
        /// The feature with which this crate serves it.
        feature: Option<&'static str>,
    },
}

/// The capabilities of a host.
pub(crate) struct Capabilities(Vec<Box<dyn HostCapability>>);

impl Capabilities {
    /// Returns the capabilities that every host has.
    pub(crate) fn standard() -> Self {
        Self(vec![
            Box::new(wasi::Wasi),
            Box::new(logging::INTERFACE),
            Box::new(config::INTERFACE),
            Box::new(rpc::INTERFACE),
            #[cfg(feature = "http")]
            Box::new(http::Http),
            #[cfg(feature = "blobstore")]
            Box::new(blobstore::Blobstore),
        ])
    }

    /// Returns a linker in which all native interfaces are defined that instances can have which
    /// take calls like this.
    ///
    /// # Errors
    /// Fails when two capabilities define the same interface.
    pub(crate) fn linker(&self, engine: &Engine, mode: CallMode) -> Result<Linker<Guest>> {
        let mut linker = Linker::new(engine);
        for capability in &self.0 {
            capability.add_to_linker(&mut linker, mode)?;
        }
        Ok(linker)
    }

    /// Returns whether only concurrent instances can be given this import.
    pub(crate) fn need_concurrency(&self, import: &str) -> bool {
        let found = self.find(import);
        found.is_some_and(|(capability, _)| capability.needs_concurrency(import))
    }

    /// Returns the capability that serves an import, and how. `None` when only a link can serve it.
    pub(crate) fn find(&self, import: &str) -> Option<(&dyn HostCapability, Support)> {
        let mut all = self.0.iter().map(|capability| &**capability);
        all.find_map(|capability| Some((capability, capability.support(import)?)))
    }

    /// Returns whether the host serves an import without a link.
    pub(crate) fn serve(&self, import: &str) -> bool {
        matches!(
            self.find(import),
            Some((_, Support::Native | Support::Transcoded))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "http")]
    use lattice_provider_sdk::IntoService as _;
    use std::collections::BTreeSet;

    #[test]
    fn capabilities_are_found_by_name_and_compatible_version() {
        let capabilities = Capabilities::standard();
        let support = |import| capabilities.find(import).map(|(_, support)| support);
        for (import, wasi) in [
            ("wasi:cli/environment@0.2.6", true),
            ("wasi:sockets/tcp@0.2.0", true),
            ("wasi:keyvalue/store@0.2.0", false),
            ("wasi:cli/environment", false),
            ("wasi:cli/environment@0.2.0-rc-2023-12-05", false),
            ("wasi:clocks/wall-clock@0.1.0", false),
            ("acme:cli/environment@0.2.0", false),
        ] {
            assert_eq!(support(import) == Some(Support::Native), wasi, "{import}");
        }
        let missing = |import| matches!(support(import), Some(Support::Missing { .. }));
        for import in [
            "wasi:clocks/wall-clock@0.1.0",
            "wasi:cli/environment@0.2.0-rc-2023-12-05",
            "wasi:cli/environment",
        ] {
            assert!(missing(import), "{import}");
        }
        assert!(!missing("wasi:keyvalue/store@0.2.0"));
        let newer = "wasi:clocks/monotonic-clock@0.3.0";
        assert_eq!(missing(newer), cfg!(not(feature = "p3")));
        assert!(capabilities.serve("wasi:logging/logging@0.1.0-draft"));
        assert!(capabilities.serve("lattice:rpc/links@0.1.3"));
        assert!(capabilities.serve("wasi:cli/environment@0.2.6"));
        assert!(!capabilities.serve("lattice:keyvalue/store@0.1.0"));
        assert!(!capabilities.serve("no interface"));
        for import in [
            "wasi:logging/logging",
            "wasi:logging/logging@0.1.0",
            "wasi:config/store",
            "wasi:config/store@0.2.0-draft",
            "wasi:config/runtime@0.2.0-draft",
        ] {
            assert!(capabilities.serve(import), "{import}");
        }
        assert!(!capabilities.serve("wasi:config/other@0.2.0-draft"));
        let need = |import| capabilities.need_concurrency(import);
        assert!(need("wasi:random/random@0.3.0"));
        for import in ["wasi:random/random@0.2.6", "wasi:logging/logging", "a:b/c"] {
            assert!(!need(import), "{import}");
        }
    }

    /// Returns the interfaces of the rows of the providers' README whose last cell has this, as it
    /// names those that providers serve.
    fn documented(last: &str) -> BTreeSet<&'static str> {
        const README: &str = include_str!("../../../lattice-provider-sdk/providers/README.md");
        let head = "| capability | interfaces that it serves |";
        let (_, table) = README.split_once(head).expect("the table");
        let rows = table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'));
        let rows = rows.map(|row| row.split('|').collect::<Vec<_>>());
        rows.filter(|cells| cells[4].contains(last))
            .flat_map(|cells| cells[2].split('`').skip(1).step_by(2))
            .collect()
    }

    #[test]
    fn the_table_of_interfaces_has_those_of_the_host_and_no_other() {
        let capabilities = Capabilities::standard();
        let documented = documented("the host serves it");
        for import in &documented {
            let support = capabilities.find(import).map(|(_, support)| support);
            assert_eq!(support, Some(Support::Transcoded), "{import}");
        }
        let names = documented
            .iter()
            .filter_map(|import| import.split('@').next());
        let served = [logging::INTERFACE, config::INTERFACE, rpc::INTERFACE];
        let served = served.iter().flat_map(|interface| interface.names.iter());
        assert_eq!(
            names.collect::<BTreeSet<_>>(),
            served.copied().collect::<BTreeSet<_>>()
        );
    }

    #[cfg(feature = "http")]
    #[test]
    fn the_table_of_interfaces_has_those_of_requests_to_the_web() {
        let web = crate::http::OutgoingHttp::new().into_service();
        let types = web.types();
        let served = types.exports.keys().map(InterfaceName::as_str);
        assert_eq!(documented("`http`"), served.collect::<BTreeSet<_>>());
    }
}
