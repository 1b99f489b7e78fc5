//! The options that all programs have which measure cells.

use crate::{Failure, summary};
use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

/// What the options do.
pub const HELP: &str = "  \
  --quick         one short round of a few cells: checks that it works; the figures mean nothing
  --only TEXT     only cells and rows whose name has TEXT in it; may be repeated
  --rounds N      rounds per cell (3)
  --seconds S     seconds per round and side (0.4)
  --build NAME    how the program was built, if not as usual: the rows' names end in .NAME
  --summary FILE  where to write the rows as JSON (target/bench/summary.json)";

/// The options of a measurement.
#[derive(Debug, Clone)]
pub struct Options {
    /// What to measure.
    pub cells: Cells,
    /// Rounds of each side of a cell.
    pub rounds: usize,
    /// Time of one round of one side.
    pub time: Duration,
    /// What the names of rows end in: nothing, or a full stop and the name of a build.
    pub suffix: String,
    /// Where to write the rows.
    pub summary: PathBuf,
}

/// Which cells.
#[derive(Debug, Clone)]
pub enum Cells {
    /// All of them.
    All,
    /// The first cell of each path.
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
            suffix: String::new(),
            summary: summary::default_path(),
        }
    }
}

/// Parses the options. Returns `None` when help is requested.
///
/// # Errors
/// Fails when there is no such option, or a value is missing or can't be parsed. The message
/// contains `help`.
pub fn parse(
    mut args: impl Iterator<Item = String>,
    help: &str,
) -> Result<Option<Options>, Failure> {
    let mut options = Options::default();
    while let Some(arg) = args.next() {
        let mut value = || {
            args.next()
                .ok_or_else(|| format!("{arg} needs a value\n{help}"))
        };
        match arg.as_str() {
            "--quick" => options = quick(options),
            "--only" => options.cells = options.cells.and(value()?),
            "--rounds" => options.rounds = value()?.parse::<NonZeroUsize>()?.get(),
            "--seconds" => options.time = Duration::try_from_secs_f64(value()?.parse()?)?,
            "--build" => options.suffix = format!(".{}", value()?),
            "--summary" => options.summary = value()?.into(),
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("there is no option `{other}`\n{help}").into()),
        }
    }
    Ok(Some(options))
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
    /// Returns whether a name has one of the texts in it, if these select.
    pub fn select(&self, name: &str) -> bool {
        match self {
            Self::All | Self::Smoke => true,
            Self::Only(texts) => texts.iter().any(|text| name.contains(text)),
        }
    }

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
