//! Parses the command line.

use crate::Failure;
use std::{path::PathBuf, time::Duration};

pub(crate) const HELP: &str = "\
usage: load [--quick] [--only TEXT]… [--rounds N] [--seconds S] [--summary FILE]

  --quick         one short round of a few cells: checks that it works; the figures mean nothing
  --only TEXT     only cells and rows whose name has TEXT in it, such as `nats.64x16B` or `stream.local`;
                  may be repeated
  --rounds N      rounds per cell (3)
  --seconds S     seconds per round and side (0.4)
  --summary FILE  where to write the rows as JSON (target/bench/summary.json)";

/// The mode of the program.
pub(crate) enum Command {
    Load(Options),
    Respond(Responder),
    Help,
}

/// The role of this program as the other process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Responder {
    Lattice,
    Bare,
    /// In the lattice, with an actor that takes streams.
    Sink,
    /// Bare, and it receives bulk messages.
    Drain,
}

impl Responder {
    /// Returns its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lattice => "lattice",
            Self::Bare => "bare",
            Self::Sink => "sink",
            Self::Drain => "drain",
        }
    }
}

/// The options of a measurement.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) cells: Cells,
    pub(crate) rounds: usize,
    /// Time of one round of one side.
    pub(crate) time: Duration,
    pub(crate) summary: PathBuf,
}

/// Which cells.
#[derive(Debug, Clone)]
pub(crate) enum Cells {
    All,
    /// One cell of each path.
    Smoke,
    /// The cells with one of these texts in their names.
    Only(Vec<String>),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cells: Cells::All,
            rounds: 3,
            time: Duration::from_millis(400),
            summary: concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench/summary.json").into(),
        }
    }
}

pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Command, Failure> {
    let mut args = args.peekable();
    if args.next_if(|arg| arg == "respond").is_some() {
        let kind = args.next().unwrap_or_default();
        let mut all = [
            Responder::Lattice,
            Responder::Bare,
            Responder::Sink,
            Responder::Drain,
        ]
        .into_iter();
        let known = all.find(|known| known.name() == kind);
        return Ok(Command::Respond(known.ok_or(
            "respond as `lattice`, as `bare`, as `sink` or as `drain`",
        )?));
    }
    let mut options = Options::default();
    while let Some(arg) = args.next() {
        let mut value = || {
            args.next()
                .ok_or_else(|| format!("{arg} needs a value\n{HELP}"))
        };
        match arg.as_str() {
            "--quick" => options = quick(options),
            "--only" => options.cells = options.cells.and(value()?),
            "--rounds" => options.rounds = value()?.parse::<std::num::NonZeroUsize>()?.get(),
            "--seconds" => options.time = Duration::try_from_secs_f64(value()?.parse()?)?,
            "--summary" => options.summary = value()?.into(),
            "--help" | "-h" => return Ok(Command::Help),
            other => return Err(format!("there is no option `{other}`\n{HELP}").into()),
        }
    }
    Ok(Command::Load(options))
}

fn quick(options: Options) -> Options {
    let cells = match options.cells {
        Cells::All => Cells::Smoke,
        chosen => chosen,
    };
    Options {
        cells,
        rounds: 1,
        time: Duration::from_millis(50),
        ..options
    }
}

impl Cells {
    fn and(self, text: String) -> Self {
        match self {
            Self::Only(mut texts) => {
                texts.push(text);
                Self::Only(texts)
            }
            _ => Self::Only(vec![text]),
        }
    }
}
