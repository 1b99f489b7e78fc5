//! The tools that build components. One that is missing is named, with how to install it.

use super::child;
use std::{
    env,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::ExitStatus,
};
use tokio::process::Command;

/// The target for which actors are built.
pub(super) const WASM: &str = "wasm32-wasip2";

/// Why a tool has not done its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum ToolError {
    /// There is no cargo or rustc.
    #[error("there is no `{0}` here; install Rust with https://rustup.rs, and open a new terminal")]
    NoRust(&'static str),
    /// The compiler has no standard library for actors.
    #[error(
        "the Rust compiler here can't build for `{WASM}`; type `rustup target add {WASM}`, or set RUSTC to a compiler that has the target"
    )]
    NoWasm,
    /// There is no npm.
    #[error("there is no `npm` here; install Node.js 20 or newer, from https://nodejs.org")]
    NoNpm,
    /// The packages are not installed.
    #[error("the packages of `{}` aren't installed; type `npm install` there", .0.display())]
    NoModules(PathBuf),
    /// There is no componentize-py.
    #[error(
        "there is no `componentize-py` for `{}`; type `python3 -m venv .venv` and `.venv/bin/pip install -r requirements.txt` there", .0.display()
    )]
    NoComponentizePy(PathBuf),
    /// There is no server for a lattice with processes.
    #[error(
        "a provider in a process of its own needs a `nats-server`, and there is none here; get 2.12 or newer from https://nats.io/download, or name it in NATS_SERVER"
    )]
    NoNatsServer,
    /// Another program isn't there.
    #[error(
        "there is no `{program}` here, which `{}` names; install it, or correct `build` there", file.display()
    )]
    NoProgram {
        /// The program.
        program: String,
        /// The file that names it.
        file: PathBuf,
    },
    /// A tool could not be started.
    #[error("`{tool}` can't be started")]
    Start {
        /// The tool.
        tool: String,
        /// Why.
        source: io::Error,
    },
    /// A tool has failed, and has printed why.
    #[error("{tool} failed ({status}); what it says is above")]
    Failed {
        /// The tool.
        tool: String,
        /// How it has ended.
        status: ExitStatus,
    },
}

impl ToolError {
    /// Returns whether only an installation can mend it, and no change of a source.
    pub(super) fn is_missing_tool(&self) -> bool {
        !matches!(self, Self::Start { .. } | Self::Failed { .. })
    }

    /// Returns the error of a tool that could not be started, or `missing` if it isn't there.
    pub(super) fn start(tool: &str, source: io::Error, missing: Self) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => missing,
            _ => Self::Start {
                tool: tool.to_owned(),
                source,
            },
        }
    }
}

/// Returns cargo: the one that has started this program, if one has.
pub(super) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Checks that the Rust compiler of a folder can build actors.
///
/// # Errors
/// Fails with [`ToolError::NoRust`] or [`ToolError::NoWasm`].
pub(super) async fn check_wasm(folder: &Path) -> Result<(), ToolError> {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc
        .args(["--print", "target-libdir", "--target", WASM])
        .current_dir(folder);
    let said = child::output(&mut rustc).await;
    let said =
        said.map_err(|error| ToolError::start("rustc", error, ToolError::NoRust("rustc")))?;
    let libraries = PathBuf::from(String::from_utf8_lossy(&said.stdout).trim());
    let files = libraries.read_dir().into_iter().flatten();
    let mut names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    if said.status.success() && names.any(|name| name.starts_with("libstd-")) {
        Ok(())
    } else {
        Err(ToolError::NoWasm)
    }
}

/// Returns PATH with a folder in front of it.
pub(super) fn path_with(folder: &Path) -> OsString {
    let paths = env::var_os("PATH").unwrap_or_default();
    let all = [folder.to_path_buf()]
        .into_iter()
        .chain(env::split_paths(&paths));
    // A folder with the separator in its name can't be on a PATH.
    env::join_paths(all).unwrap_or(paths)
}
