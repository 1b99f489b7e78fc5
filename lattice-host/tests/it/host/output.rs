//! Output and log messages of actors go to `tracing`.

use super::support::*;
use std::{
    io,
    sync::{Arc, Mutex},
};
use tracing_subscriber::fmt::MakeWriter;

/// A log in memory.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Returns the lines that contain `what`.
    pub(crate) fn lines(&self, what: &str) -> Vec<String> {
        let bytes = self.0.lock().expect("no panic").clone();
        let text = String::from_utf8(bytes).expect("a log is text");
        text.lines()
            .filter(|line| line.contains(what))
            .map(str::to_owned)
            .collect()
    }

    /// Collects the events of this thread until the guard is dropped.
    pub(crate) fn start(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(self.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn output_goes_to_tracing_line_by_line_with_the_actors_id() {
    let log = Log::default();
    let _guard = log.start();
    let lattice = lattice().await;
    let host = started(
        lattice_host::Host::builder(&lattice)
            .id("here")
            .actor("mischief", actor("mischief")),
    )
    .await;
    act::<()>(&lattice, "print", ("one\ntwo",))
        .await
        .expect("printed");
    for text in ["one", "two"] {
        let lines = log.lines(&format!(": {text} "));
        let [line] = &lines[..] else {
            panic!("{text} was logged {} times: {lines:?}", lines.len())
        };
        assert!(line.contains("INFO lattice::actor"), "{line}");
        assert!(
            line.contains("component=mischief") && line.contains("host=here"),
            "{line}"
        );
        assert!(line.contains("stream=\"stdout\""), "{line}");
    }
    act::<()>(&lattice, "eprint", ("three",))
        .await
        .expect("printed");
    let lines = log.lines(": three ");
    assert!(
        lines.len() == 1 && lines[0].contains("WARN") && lines[0].contains("stream=\"stderr\""),
        "{lines:?}"
    );
    act::<()>(&lattice, "log", ("four",)).await.expect("logged");
    let lines = log.lines(": four ");
    assert!(
        lines.len() == 1 && lines[0].contains("INFO") && lines[0].contains("stream=\"log\""),
        "{lines:?}"
    );
    reason(act::<()>(&lattice, "panic", ("five",)).await);
    assert!(
        !log.lines("five").is_empty(),
        "a panic's message is in the log"
    );
    host.kill();
}

#[tokio::test]
async fn long_lines_are_split_and_excess_lines_are_dropped_and_counted() {
    let log = Log::default();
    let _guard = log.start();
    let lattice = lattice().await;
    let _host = host_of(&lattice, "mischief", |actor| actor).await;
    act::<()>(&lattice, "print", ("x".repeat(20_000),))
        .await
        .expect("printed");
    let lines = log.lines("xxxx");
    assert_eq!(
        lines.len(),
        3,
        "20,000 bytes are two lines of 8 KiB and a shorter one"
    );
    act::<()>(&lattice, "print", ("flood\n".repeat(100_000),))
        .await
        .expect("printed");
    let logged = log.lines("flood").len();
    assert!((500..50_000).contains(&logged), "{logged} of 100,000 lines");
    // The next message that is logged includes the number of dropped ones.
    let deadline = std::time::Instant::now() + PATIENCE;
    while log.lines("dropped=").is_empty() {
        assert!(
            std::time::Instant::now() < deadline,
            "no message reports the dropped lines"
        );
        act::<()>(&lattice, "print", ("again",))
            .await
            .expect("printed");
    }
}
