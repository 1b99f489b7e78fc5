//! WASI: what of it an actor gets.

mod output;

use crate::{
    actor::Settings,
    guest::{Guest, Voice},
};
use output::Output;
use std::sync::Arc;
use wasmtime::{
    Engine, Result,
    component::{Linker, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// A linker that has all of WASI.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    #[cfg(feature = "p3")]
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// WASI's part of an instance's state, made when the guest first uses it: most calls never do, and it takes longer to
/// make than an instance.
#[derive(Default)]
pub(crate) struct Wasi {
    context: Option<Box<WasiCtx>>,
    table: ResourceTable,
}

impl Wasi {
    fn view(&mut self, settings: &Settings, voice: &Arc<Voice>) -> WasiCtxView<'_> {
        let make = || Box::new(context(settings, voice));
        WasiCtxView {
            ctx: self.context.get_or_insert_with(make),
            table: &mut self.table,
        }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.view(&self.actor.settings, &self.actor.voice)
    }
}

fn context(settings: &Settings, voice: &Arc<Voice>) -> WasiCtx {
    let mut builder = WasiCtx::builder();
    builder
        .stdout(Output::stdout(voice))
        .stderr(Output::stderr(voice))
        .args(&settings.args)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    for (name, value) in &settings.env {
        builder.env(name, value);
    }
    builder.build()
}
