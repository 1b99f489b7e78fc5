//! The parts of WASI that an actor gets.

mod output;

use super::{HostCapability, Support};
use crate::{
    engine::CallMode,
    guest::{ActorContext, CapabilityState, Guest, PanicText},
};
use lattice_core::name::InterfaceName;
use output::Output;
use wasmtime::{Result, component::Linker};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// WASI 0.2, and 0.3 behind the feature `p3`.
pub(super) struct Wasi;

/// The packages that are served.
const PACKAGES: [&str; 6] = [
    "wasi:cli",
    "wasi:clocks",
    "wasi:filesystem",
    "wasi:io",
    "wasi:random",
    "wasi:sockets",
];

/// Whether WASI 0.3 is built in.
pub(super) const P3: bool = cfg!(feature = "p3");

impl HostCapability for Wasi {
    fn support(&self, import: &str) -> Option<Support> {
        support(import, P3)
    }

    #[cfg_attr(
        not(feature = "p3"),
        expect(unused_variables, reason = "only WASI 0.3 depends on it")
    )]
    fn add_to_linker(&self, linker: &mut Linker<Guest>, mode: CallMode) -> Result<()> {
        wasmtime_wasi::p2::add_to_linker_async(linker)?;
        #[cfg(feature = "p3")]
        if mode == CallMode::Concurrent {
            wasmtime_wasi::p3::add_to_linker(linker)?;
        }
        Ok(())
    }

    fn needs_concurrency(&self, import: &str) -> bool {
        is_0_3(import)
    }
}

/// Returns whether this is an interface of a release of WASI 0.3.
pub(super) fn is_0_3(import: &str) -> bool {
    let name = InterfaceName::new(import).ok();
    name.and_then(|name| release(&name)) == Some((0, 3))
}

fn support(import: &str, p3: bool) -> Option<Support> {
    let name = InterfaceName::new(import).ok()?;
    let (package, _) = name.path().split_once('/')?;
    if !PACKAGES.contains(&package) {
        return None;
    }
    Some(match release(&name) {
        Some((0, 2)) => Support::Native,
        Some((0, 3)) if p3 => Support::Native,
        _ => missing(&name, p3),
    })
}

/// Returns the major and the minor version of an interface of a release. Those of a pre-release
/// differ from it.
pub(super) fn release(name: &InterfaceName) -> Option<(u64, u64)> {
    let version = name.version()?;
    version
        .pre
        .is_empty()
        .then_some((version.major, version.minor))
}

/// Returns how to have an interface of WASI served that isn't.
pub(super) fn missing(name: &InterfaceName, p3: bool) -> Support {
    let version = name.version();
    let is_0_3 = version.is_some_and(|version| (version.major, version.minor) == (0, 3));
    let advice = if is_0_3 && p3 {
        "build the component against the release of WASI 0.3, or for `wasm32-wasip2`"
    } else if is_0_3 {
        "build the host with the feature `p3`, or the component for `wasm32-wasip2`"
    } else {
        "build the component for `wasm32-wasip2`"
    };
    let feature = (is_0_3 && !p3).then_some("p3");
    Support::Missing { advice, feature }
}

/// The most random bytes that a guest may get at once. The host makes them before they are copied
/// into the guest.
const MAX_RANDOM: u64 = 1 << 20;

/// WASI's state of an instance.
struct WasiState(WasiCtx);

impl CapabilityState for WasiState {
    fn new(actor: &ActorContext, panic_text: &PanicText) -> Self {
        let mut builder = WasiCtx::builder();
        builder
            .stdout(Output::stdout(&actor.log))
            .stderr(Output::stderr(&actor.log, panic_text.clone()))
            .args(&actor.settings.args)
            .max_random_size(MAX_RANDOM)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false);
        for (name, value) in &actor.settings.env {
            builder.env(name, value);
        }
        Self(builder.build())
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (WasiState(ctx), table) = self.capability::<WasiState>();
        WasiCtxView { ctx, table }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_wasi_0_3_the_advice_names_the_feature() {
        let newer = "wasi:clocks/monotonic-clock@0.3.0";
        assert_eq!(support(newer, true), Some(Support::Native));
        let Some(Support::Missing { advice, feature }) = support(newer, false) else {
            panic!("it is not built in");
        };
        assert!(advice.contains("feature `p3`"), "{advice}");
        assert_eq!(feature, Some("p3"));
    }
}
