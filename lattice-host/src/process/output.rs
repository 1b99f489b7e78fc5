//! The lines that a process prints.

use crate::guest::{ActorLog, MAX_LINE};
use lattice_core::sync::Mutex;
use lattice_provider_sdk::process::{ALIVE, SERVING};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    sync::Notify,
};
use tracing::Level;

/// How many of the last lines are part of the reason why a process ended.
const LAST: usize = 5;
/// How much of each line, in bytes.
const LAST_BYTES: usize = 160;

/// The lines of one process.
pub(super) struct Output {
    log: Arc<ActorLog>,
    last: Mutex<VecDeque<String>>,
    /// It has said that it serves.
    pub(super) serves: Notify,
    /// How often it has said that it is alive.
    alive: AtomicU64,
}

impl Output {
    pub(super) fn new(log: Arc<ActorLog>) -> Self {
        Self {
            log,
            last: Mutex::default(),
            serves: Notify::new(),
            alive: AtomicU64::new(0),
        }
    }

    /// Returns how often the process has said so far that it is alive.
    pub(super) fn alive(&self) -> u64 {
        self.alive.load(Ordering::Relaxed)
    }

    /// Reads lines until the end, which is that of all processes that have this end of the pipe.
    /// Lines that are longer than the longest of a log continue on the next one.
    pub(super) async fn read(&self, from: impl AsyncRead + Unpin, stream: &'static str) {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut part = (&mut reader).take(MAX_LINE as u64);
            match part.read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => self.line(&String::from_utf8_lossy(&line), stream),
            }
        }
    }

    fn line(&self, line: &str, stream: &'static str) {
        let line = line.trim_end_matches(['\n', '\r']);
        if line == SERVING && stream == "stdout" {
            self.serves.notify_one();
            return;
        }
        let line = match line.strip_suffix(ALIVE) {
            // The provider may have printed something without the end of a line before.
            Some(rest) if stream == "stdout" => {
                self.alive.fetch_add(1, Ordering::Relaxed);
                if rest.is_empty() {
                    return;
                }
                rest
            }
            _ => line,
        };
        let mut last = self.last.lock();
        if last.len() == LAST {
            last.pop_front();
        }
        last.push_back(line[..line.floor_char_boundary(LAST_BYTES)].to_owned());
        drop(last);
        self.log.line(Level::INFO, stream, line);
    }

    /// Returns the last lines, in one, for the reason why the process ended.
    pub(super) fn last_lines(&self) -> String {
        let last = self.last.lock();
        if last.is_empty() {
            return "it printed nothing".to_owned();
        }
        let lines: Vec<&str> = last.iter().map(String::as_str).collect();
        format!("its last lines are: {}", lines.join(" | "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_core::{
        name::{ComponentId, HostId},
        telemetry::LogSink,
    };

    fn output() -> Output {
        let component = ComponentId::new("kv").expect("valid");
        let host = HostId::new("a").expect("valid");
        Output::new(Arc::new(ActorLog::new(component, host, LogSink::default())))
    }

    #[tokio::test]
    async fn the_last_lines_of_a_flood_are_kept_and_they_are_short() {
        let output = output();
        let mut text: Vec<u8> = (0..10_000)
            .flat_map(|n| format!("line {n}\n").into_bytes())
            .collect();
        text.extend(std::iter::repeat_n(b'x', 3 * MAX_LINE));
        text.extend(b"\n\xff\xfe\n");
        output.read(&*text, "stdout").await;
        let last = output.last_lines();
        assert!(last.ends_with("| \u{fffd}\u{fffd}"), "{last}");
        assert!(last.starts_with("its last lines are: xxx"), "{last}");
        assert!(last.len() < LAST * (LAST_BYTES + 16), "{last}");
    }

    #[tokio::test]
    async fn signs_of_life_are_counted_and_are_no_lines_of_the_log() {
        let output = output();
        let text = format!("{ALIVE}\n...{ALIVE}\r\n{ALIVE}!\n{ALIVE}\n");
        output.read(text.as_bytes(), "stdout").await;
        assert_eq!(output.alive(), 3);
        let expected = format!("its last lines are: ... | {ALIVE}!");
        assert_eq!(output.last_lines(), expected);
        output.read(format!("{ALIVE}\n").as_bytes(), "stderr").await;
        assert_eq!(output.alive(), 3, "that was another stream");
    }

    #[tokio::test]
    async fn a_process_serves_when_it_says_so_on_its_standard_output() {
        let output = output();
        output
            .read(format!("{SERVING}\n").as_bytes(), "stderr")
            .await;
        let said = tokio::time::timeout(std::time::Duration::ZERO, output.serves.notified());
        said.await.expect_err("that was another stream");
        output
            .read(format!("{SERVING}\r\n").as_bytes(), "stdout")
            .await;
        output.serves.notified().await;
        assert!(
            output.last_lines().contains(SERVING),
            "the first one is an ordinary line"
        );
    }
}
