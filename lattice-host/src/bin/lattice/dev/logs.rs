//! The log lines of the components, on standard output.

use crate::output::{Colour, Paint, note, on_one_line, print};
use futures_util::StreamExt as _;
use lattice_core::{
    Lattice,
    bus::BusError,
    logs::{LogEvent, LogLevel, LogLine},
};
use tokio_util::task::AbortOnDropHandle;

/// Prints the lines that components log from now on, until the returned value is dropped.
///
/// # Errors
/// Fails with [`BusError`].
pub(super) async fn follow(lattice: &Lattice) -> Result<AbortOnDropHandle<()>, BusError> {
    let mut events = lattice.logs(None, 0).await?;
    let task = tokio::spawn(async move {
        let paint = Paint::for_stdout();
        while let Some(event) = events.next().await {
            match event {
                LogEvent::Line { line, .. } => {
                    let printed = print(&shown(&line, paint));
                    // Without a reader, lines are lost, and the components go on.
                    if printed.is_err() {
                        return;
                    }
                }
                LogEvent::Dropped { lines, .. } => {
                    note(&format!(
                        "{lines} lines of components were lost: they log too fast"
                    ));
                }
                _ => {}
            }
        }
    });
    Ok(AbortOnDropHandle::new(task))
}

fn shown(line: &LogLine, paint: Paint) -> String {
    let text = on_one_line(&line.text);
    let text = format!("{} {:<5} {text}", line.component, line.level.to_string());
    let text = match line.level {
        LogLevel::Error => paint.paint(Colour::Red, &text),
        LogLevel::Warn => paint.paint(Colour::Yellow, &text),
        _ => text,
    };
    text + "\n"
}
