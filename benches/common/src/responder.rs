//! The other process: this program again, which serves calls until its standard input is closed.
//! That happens when the first process ends.

use crate::{Failure, program::Program, server::Server};
use lattice_core::auth::LatticeKey;
use std::{ffi::OsStr, io::Read, process::Stdio};
use tokio::process::Command;

/// The first argument of a program that responds. The second one is its role.
pub const RESPOND: &str = "respond";
/// Variable with the URL of the server.
pub const URL: &str = "LATTICE_BENCH_URL";
/// Variable with the lattice key.
pub const KEY: &str = "LATTICE_BENCH_KEY";
/// The subject of the bare responder.
pub const SUBJECT: &str = "bench.echo";
/// The lattice of the responders that are in one.
pub const LATTICE: &str = "bench";
/// The first word that the process prints, when it is ready for calls.
const READY: &str = "ready";

/// A responder in another process.
#[derive(Debug)]
pub struct Other {
    /// The process.
    pub program: Program,
    /// Where it listens, if it isn't called over the nats-server.
    pub address: String,
}

/// Starts this program as the other process and waits until it is ready for calls.
///
/// # Errors
/// Fails when the process doesn't start, or takes longer than [`START`](crate::program::START).
pub async fn start(role: &str, server: &Server, key: &LatticeKey) -> Result<Other, Failure> {
    start_with(role, server, key, &[]).await
}

/// As [`start`], with further variables.
///
/// # Errors
/// As those of [`start`].
pub async fn start_with(
    role: &str,
    server: &Server,
    key: &LatticeKey,
    variables: &[(&str, &OsStr)],
) -> Result<Other, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args([RESPOND, role])
        .envs(variables.iter().copied())
        .env(URL, &server.url)
        .env(KEY, key.expose_hex().as_str());
    let mut program = Program::start(command.stdout(Stdio::piped()))?;
    let line = program.first_line().await?;
    match line.strip_prefix(READY) {
        Some(address) => Ok(Other {
            program,
            address: address.trim().to_owned(),
        }),
        None => {
            Err(format!("the {role} responder did not start; its output above says why").into())
        }
    }
}

/// Reports that this process is ready for calls.
pub fn ready() {
    println!("{READY}");
}

/// Reports that this process is ready for calls at its own address.
pub fn ready_at(address: impl std::fmt::Display) {
    println!("{READY} {address}");
}

/// Waits until the first process ends.
///
/// # Errors
/// Fails when standard input can't be read.
pub async fn end_of_input() -> Result<(), Failure> {
    let read = || std::io::stdin().lock().read_to_end(&mut Vec::new());
    tokio::task::spawn_blocking(read).await??;
    Ok(())
}
