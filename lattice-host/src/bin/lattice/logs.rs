//! `lattice logs`.

use crate::{
    failure::Failure,
    options::{LatticeOptions, duration},
    output::{Colour, Paint, note, on_one_line, print, print_json, reader_left},
};
use clap::{Args, ValueEnum};
use futures_util::StreamExt as _;
use lattice_core::{
    bus::BusError,
    error::chain,
    logs::LogEvent,
    name::{ComponentId, HostId},
    wire::{LogLevel, LogLine},
};
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

const EXAMPLES: &str = "Examples:
  lattice logs                      # recent lines of all actors, from each host
  lattice logs greeter --follow     # recent and new lines, until ctrl-c
  lattice logs greeter --for 1m --level warn -o json

Actors log to their standard output and error, and through `wasi:logging`. Each host keeps its last
thousand lines, and sends lines only while there are readers.";

/// How long hosts have to respond: a few round trips around the world.
const ANSWERS: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Logs {
    /// Shows only lines of this component
    component: Option<String>,
    /// Continues with new lines, until ctrl-c
    #[arg(short, long)]
    follow: bool,
    /// Continues with new lines for this time, such as `10s`
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// How many recent lines to show from each host
    #[arg(short = 'n', long, value_name = "LINES", default_value_t = 1_000)]
    recent: u32,
    /// Shows only lines of at least this level
    #[arg(long, value_enum, default_value_t)]
    level: Level,
    /// How to print lines
    #[arg(short, long, value_enum, default_value_t)]
    output: LineFormat,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Level {
    #[default]
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum LineFormat {
    /// For people
    #[default]
    Lines,
    /// One JSON object for each line, on a line of its own
    Json,
}

impl Logs {
    pub(crate) async fn run(self, options: &LatticeOptions) -> Result<(), Failure> {
        let component = self.component.as_deref().map(ComponentId::new);
        let component = component
            .transpose()
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let lattice = options.open().await?;
        let unreachable = |error: BusError| Failure::Unreachable(chain(&error));
        let logs = lattice.logs(component, self.recent).await;
        let mut logs = logs.map_err(unreachable)?;
        let end = match (self.follow, self.time) {
            (false, None) => Some(ANSWERS),
            (_, time) => time,
        };
        let end = async {
            match end {
                Some(time) => sleep(time).await,
                None => std::future::pending().await,
            }
        };
        let mut end = std::pin::pin!(end);
        let mut reader_left = std::pin::pin!(reader_left());
        let mut lines = 0_u64;
        loop {
            tokio::select! {
                event = logs.next() => match event {
                    Some(event) => lines += u64::from(self.show(&event)?),
                    None => return Err(Failure::Unreachable("the connection was closed".to_owned())),
                },
                () = &mut end => {
                    if lines == 0 {
                        note(&self.nothing());
                    }
                    return Ok(());
                }
                () = &mut reader_left => return Ok(()),
                heard = tokio::signal::ctrl_c() => {
                    return heard.map_err(|error| Failure::failed("can't listen for ctrl-c", &error));
                }
            }
        }
    }

    /// Prints that there were no lines, and how to find out why.
    fn nothing(&self) -> String {
        match &self.component {
            Some(component) => format!(
                "no live host has a line of `{component}`; `lattice explain component {component}` shows whether it runs"
            ),
            None => "no live host has a line of any component".to_owned(),
        }
    }

    /// Returns whether a line was printed.
    fn show(&self, event: &LogEvent) -> Result<bool, Failure> {
        match event {
            LogEvent::Line { host, line } if line.level >= self.level.into() => {
                self.line(host, line)?;
                return Ok(true);
            }
            LogEvent::Dropped { host, lines } => note(&format!(
                "{lines} lines of {host} were lost: its components log faster than it sends lines"
            )),
            LogEvent::Missed { messages } => note(&format!(
                "{messages} messages with lines were lost: they arrive faster than they are read"
            )),
            _ => {}
        }
        Ok(false)
    }

    fn line(&self, host: &HostId, line: &LogLine) -> Result<(), Failure> {
        let LogLine {
            component, level, ..
        } = line;
        match self.output {
            LineFormat::Json => {
                let line = json!({
                    "host": host.as_str(),
                    "component": component.as_str(),
                    "level": level.to_string(),
                    "said_ms": line.said_ms,
                    "text": line.text,
                });
                print_json(&line)
            }
            LineFormat::Lines => {
                let text = on_one_line(&line.text);
                let text = format!("{component} on {host} {level:<5} {text}");
                let paint = Paint::for_stdout();
                print(&match level {
                    LogLevel::Error => paint.paint(Colour::Red, &text) + "\n",
                    LogLevel::Warn => paint.paint(Colour::Yellow, &text) + "\n",
                    _ => text + "\n",
                })
            }
        }
    }
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}
