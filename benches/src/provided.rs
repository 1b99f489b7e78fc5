//! A provider in a process of its own: this program again, which a host starts and looks after.

use crate::{Failure, native::EchoProvider};
use lattice_core::app::App;
use lattice_provider_sdk::process;
use serde::Deserialize;
use std::process::ExitCode;

/// The first argument of a program that is such a process.
const PROVIDE: &str = "provide";

/// There are none.
#[derive(Deserialize)]
struct Settings {}

/// Serves `echo` until the host ends this process, if a host has started it for that.
pub fn run_if_asked() -> Option<ExitCode> {
    let first = std::env::args().nth(1);
    (first.as_deref() == Some(PROVIDE)).then(|| process::run(|Settings {}| EchoProvider))
}

/// Returns an app with such a provider, for a host that may run this program.
///
/// # Errors
/// Fails when the path of this program isn't known.
pub fn app(id: &str) -> Result<App, Failure> {
    let program = std::env::current_exe()?;
    let text = format!(
        "name = \"provided\"\n[providers.{id}]\nimage = \"file:{}\"\nconfig = {{ \"lattice.arguments\" = '[\"{PROVIDE}\"]' }}\n",
        program.display()
    );
    Ok(App::from_toml("provided.toml", &text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_valid() {
        app("echo").expect("an app");
    }
}
