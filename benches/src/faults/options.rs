//! Parses the command line.

use crate::faults::{caller::Kind, host::Component};
use crate::{Failure, summary};
use std::{path::PathBuf, time::Duration};

pub(crate) const HELP: &str = "\
usage: faults [--short] [--only TEXT]… [--summary FILE]
       faults soak [--seconds N]

  --short         one round of each, without the baselines that take long: under three minutes
  --only TEXT     only scenarios whose name begins with TEXT: `fault.kill`, `fault.nats`, `fault.slow`, `fault.spin`,
                  `fault.memory`, `stream.slow`, `resource.lease`, `messaging.jetstream`, `schedule`, `provider.kill`,
                  `heal`, `scale`, `http.kill`, `http.rolling`, `http.stalled`, `http.idle`, `memory.growth`; may be
                  repeated
  --summary FILE  where to write the rows as JSON (target/bench/summary.json)
  --seconds N     how long to soak (600)";

/// The mode of the program.
pub(crate) enum Command {
    Faults(Options),
    /// Run all faults together for this long.
    Soak(Duration),
    /// Run a host.
    Host {
        id: String,
        components: Vec<Component>,
    },
    /// Run a responder without Lattice.
    Responder,
    /// Run a process that only makes calls.
    Caller(Kind),
    Help,
}

/// The measurements to make, and their length.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) length: Length,
    only: Vec<String>,
    pub(crate) summary: PathBuf,
}

/// How long a run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Full,
    Short,
}

impl Length {
    /// Returns the value for this length.
    pub(crate) fn pick<T>(self, full: T, short: T) -> T {
        match self {
            Self::Full => full,
            Self::Short => short,
        }
    }
}

impl Options {
    /// Returns whether rows that start with `scenario` were requested.
    pub(crate) fn wants(&self, scenario: &str) -> bool {
        let meant = |only: &String| only.starts_with(scenario) || scenario.starts_with(&**only);
        self.only.is_empty() || self.only.iter().any(meant)
    }
}

pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Command, Failure> {
    let mut args = args.peekable();
    match args.peek().map(String::as_str) {
        Some("host") => {
            let mut words = args.skip(1);
            let id = words.next().ok_or("a host needs an id")?;
            let components = words
                .map(|word| word.parse())
                .collect::<Result<_, Failure>>()?;
            Ok(Command::Host { id, components })
        }
        Some("responder") => Ok(Command::Responder),
        Some("caller") => Ok(Command::Caller(
            args.nth(1).ok_or("a caller needs a kind")?.parse()?,
        )),
        Some("soak") => soaking(args.skip(1)),
        _ => measuring(args),
    }
}

fn soaking(mut args: impl Iterator<Item = String>) -> Result<Command, Failure> {
    let mut seconds = 600;
    while let Some(arg) = args.next() {
        match (arg.as_str(), args.next()) {
            ("--seconds", Some(value)) => seconds = value.parse()?,
            _ => return Err(format!("`faults soak` has no option `{arg}`\n{HELP}").into()),
        }
    }
    Ok(Command::Soak(Duration::from_secs(seconds)))
}

fn measuring(mut args: impl Iterator<Item = String>) -> Result<Command, Failure> {
    let mut options = Options {
        length: Length::Full,
        only: Vec::new(),
        summary: summary::default_path(),
    };
    while let Some(arg) = args.next() {
        let mut value = || {
            args.next()
                .ok_or_else(|| format!("{arg} needs a value\n{HELP}"))
        };
        match arg.as_str() {
            "--short" => options.length = Length::Short,
            "--only" => options.only.push(value()?),
            "--summary" => options.summary = value()?.into(),
            "--help" | "-h" => return Ok(Command::Help),
            other => return Err(format!("there is no option `{other}`\n{HELP}").into()),
        }
    }
    Ok(Command::Faults(options))
}
