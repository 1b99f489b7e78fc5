//! Other processes, which end with this one.

use crate::Failure;
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// Far longer than a start takes, also on a busy machine.
pub const START: Duration = Duration::from_secs(20);

/// A running process. Killed when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<Lines<BufReader<ChildStdout>>>,
}

impl Program {
    /// Starts the process. Its output can be read when the command's standard output is piped.
    ///
    /// # Errors
    /// Fails when the program doesn't exist, or may not be run.
    pub fn start(command: &mut Command) -> std::io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).kill_on_drop(true).spawn()?;
        let output = child.stdout.take();
        Ok(Self {
            input: child.stdin.take(),
            output: output.map(|output| BufReader::new(output).lines()),
            child,
        })
    }

    /// Returns the process id.
    ///
    /// # Errors
    /// Fails when the process has ended.
    pub fn id(&self) -> Result<u32, Failure> {
        self.child
            .id()
            .ok_or_else(|| "a process that is measured has ended".into())
    }

    /// Waits for the first line that the process prints.
    ///
    /// # Errors
    /// Fails when the process ends, or takes longer than [`START`].
    pub async fn first_line(&mut self) -> Result<String, Failure> {
        self.line(START).await
    }

    /// Writes `question` to its standard input and waits for a line in reply.
    ///
    /// # Errors
    /// Fails when the process ends, or takes longer than `patience`.
    pub async fn ask(&mut self, question: &str, patience: Duration) -> Result<String, Failure> {
        let input = self
            .input
            .as_mut()
            .ok_or("a process that should reply has ended")?;
        input.write_all(format!("{question}\n").as_bytes()).await?;
        self.line(patience).await
    }

    /// Kills the process as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    /// Fails when the system refuses.
    pub async fn kill(&mut self) -> Result<(), Failure> {
        Ok(self.child.kill().await?)
    }

    /// Closes its standard input, which ends the process, and waits until it is gone.
    ///
    /// # Errors
    /// Fails when the process takes longer than `patience`, or ends with a failure.
    pub async fn finish(&mut self, patience: Duration) -> Result<(), Failure> {
        self.input = None;
        let status = timeout(patience, self.child.wait()).await??;
        if status.success() {
            Ok(())
        } else {
            Err(format!("a process ended with {status}; its output above says why").into())
        }
    }

    async fn line(&mut self, patience: Duration) -> Result<String, Failure> {
        let output = self.output.as_mut().ok_or("its output is not read")?;
        let line = timeout(patience, output.next_line()).await??;
        Ok(line
            .ok_or("a process ended before it replied; its output above says why")?
            .trim()
            .to_owned())
    }
}
