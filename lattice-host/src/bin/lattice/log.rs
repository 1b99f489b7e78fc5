//! The log of this process on stderr. It never stops the process: a line that can't be written is
//! lost, and a line that doesn't fit into the full queue is counted.

use crate::words::in_commands;
use lattice_otel::LayerBox;
use std::{
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::{MakeWriter, writer::OptionalWriter},
    layer::SubscriberExt as _,
    registry,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

/// The most lines that are queued for a slow reader of stderr.
const WAITING: usize = 4096;
/// The name of the thread that writes.
const THREAD: &str = "log";
/// How long the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Whether the lattice was joined. Until then, the replica's error about a wrong key is also the
/// error of the command, so only that is printed.
static JOINED: AtomicBool = AtomicBool::new(false);

/// Records that the lattice was joined.
pub(crate) fn joined() {
    JOINED.store(true, Ordering::Relaxed);
}

/// Writes lines to stderr from a thread of its own. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    lines: SyncSender<Entry>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// Signals that all lines before it were written.
    Flush(SyncSender<()>),
}

impl Log {
    /// Starts the thread, and sends it the program's events that pass the filter. All of them also
    /// go to `telemetry`, if there is some.
    pub(crate) fn start(filter: EnvFilter, telemetry: Option<LayerBox<Registry>>) -> Self {
        let (lines, waiting) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let log = Self {
            lines,
            lost: lost.clone(),
        };
        // Without the thread there is no log, and every line counts as lost.
        let _ = thread::Builder::new()
            .name(THREAD.to_owned())
            .spawn(move || write_all(&waiting, &lost));
        match telemetry {
            None => registry().with(filter).with(log.lines()).init(),
            Some(telemetry) => registry()
                .with(telemetry)
                .with(log.lines().with_filter(filter))
                .init(),
        }
        let for_panics = log.clone();
        std::panic::set_hook(Box::new(move |panic| {
            for_panics.last_words(format!("{panic}\n"));
        }));
        log
    }

    /// Returns the layer that writes events here.
    fn lines<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
    {
        tracing_subscriber::fmt::layer()
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .with_writer(self.clone())
            // The default reports a failed write with `eprintln!`, which panics.
            .log_internal_errors(false)
    }

    /// Writes a text before the program goes on, because it may end right after that.
    fn last_words(&self, text: String) {
        self.line(text.into_bytes());
        // The thread of the log can't wait for itself.
        if thread::current().name() != Some(THREAD) {
            self.flush();
        }
    }

    /// Writes a line, if there is room.
    pub(crate) fn line(&self, line: Vec<u8>) {
        match self.lines.try_send(Entry::Line(line)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until all lines are written, with a limit in case nothing reads them.
    pub(crate) fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.lines.try_send(Entry::Flush(done)).is_ok() {
            match written.recv_timeout(LAST_LINES) {
                Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }
}

fn write_all(waiting: &Receiver<Entry>, lost: &AtomicU64) {
    while let Ok(entry) = waiting.recv() {
        // A line that can't be written is lost, because the error can't be reported anywhere else.
        let _ = match entry {
            Entry::Line(line) => io::stderr().lock().write_all(&line),
            Entry::Flush(done) => {
                let _ = done.try_send(());
                Ok(())
            }
        };
        let missing = lost.swap(0, Ordering::Relaxed);
        if missing > 0 {
            let note =
                format!("{missing} lines of this log were lost: nothing read them in time\n");
            let _ = io::stderr().lock().write_all(note.as_bytes());
        }
    }
}

impl io::Write for Log {
    /// The subscriber writes each event at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.line(match str::from_utf8(line) {
            Ok(text) => in_commands(text).into_bytes(),
            Err(_) => line.to_vec(),
        });
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = OptionalWriter<Self>;

    fn make_writer(&'a self) -> OptionalWriter<Self> {
        OptionalWriter::some(self.clone())
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> OptionalWriter<Self> {
        let is_said_twice = event.target().starts_with("lattice_core::replica")
            && *event.level() == Level::ERROR
            && !JOINED.load(Ordering::Relaxed);
        if is_said_twice {
            OptionalWriter::none()
        } else {
            self.make_writer()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_without_a_reader_are_counted_and_do_not_block() {
        let (lines, _waiting) = sync_channel(2);
        let log = Log {
            lines,
            lost: Arc::default(),
        };
        for _ in 0..5 {
            log.line(b"x\n".to_vec());
        }
        assert_eq!(log.lost.load(Ordering::Relaxed), 3);
        log.flush();
    }

    #[test]
    fn lines_name_options_in_place_of_names_of_rust() {
        let (lines, waiting) = sync_channel(2);
        let mut log = Log {
            lines,
            lost: Arc::default(),
        };
        let event = b"WARN send less to it, or raise `message_memory` of its connection of=\"x\"\n";
        let written = log.write(event).expect("it never fails");
        assert_eq!(written, event.len());
        let Ok(Entry::Line(line)) = waiting.try_recv() else {
            panic!("no line");
        };
        let shown = String::from_utf8(line).expect("a text");
        assert_eq!(
            shown,
            "WARN send less to it, or start more hosts of=\"x\"\n"
        );
    }

    #[test]
    fn the_message_of_a_panic_is_written_before_the_program_goes_on() {
        let (lines, waiting) = sync_channel(2);
        let written = Arc::new(AtomicU64::new(0));
        let seen = written.clone();
        // A slow writer.
        thread::spawn(move || {
            while let Ok(entry) = waiting.recv() {
                match entry {
                    Entry::Line(_) => {
                        thread::sleep(Duration::from_millis(50));
                        seen.fetch_add(1, Ordering::SeqCst);
                    }
                    Entry::Flush(done) => drop(done.try_send(())),
                }
            }
        });
        let log = Log {
            lines,
            lost: Arc::default(),
        };
        log.last_words("a panic".to_owned());
        assert_eq!(written.load(Ordering::SeqCst), 1);
    }
}
