//! Other processes: they end with this one.

use lattice_benches::Failure;
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// Far more than a start takes, also on a busy machine.
pub(crate) const START: Duration = Duration::from_secs(20);

/// A running process. Killed when dropped.
pub(crate) struct Program {
    child: Child,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> std::io::Result<Self> {
        let child = command.stdin(Stdio::piped()).kill_on_drop(true).spawn()?;
        Ok(Self { child })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> Result<u32, Failure> {
        self.child
            .id()
            .ok_or_else(|| "a process that is measured has ended".into())
    }

    /// Waits for the first line that it prints.
    pub(crate) async fn first_line(&mut self) -> Result<String, Failure> {
        let output = self.child.stdout.take().ok_or("its output is not read")?;
        let mut line = String::new();
        timeout(START, BufReader::new(output).read_line(&mut line)).await??;
        Ok(line.trim().to_owned())
    }
}
