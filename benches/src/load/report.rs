//! The table, and the rows of `summary.json`.

use crate::load::{
    cell::{Cell, Path, Size},
    compare::{Figures, Pair},
    options::{Cells, Options},
};
use crate::{
    Failure,
    bars::{self, Bar},
    summary,
};
use serde::Serialize;
use std::{path::PathBuf, time::Duration};

const SMALL: usize = 16;
const LARGE: usize = 64 << 10;

/// Prints measurements as they come, and keeps them for the summary.
pub(crate) struct Report {
    options: Options,
    pairs: Vec<Pair>,
    rows: Vec<(summary::Row, Bar)>,
}

/// One row of the summary. The ratio is ours over the baseline's.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the summary's field is called that"
)]
struct Row {
    row: String,
    ours: f64,
    baseline: f64,
    ratio: f64,
    unit: &'static str,
}

impl Report {
    /// Creates a report. Nothing is printed before the first figures.
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            options: options.clone(),
            pairs: Vec::new(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn rounds(&self) -> usize {
        self.options.rounds
    }

    pub(crate) fn time(&self) -> Duration {
        self.options.time
    }

    /// Returns the cells of a path that were requested.
    pub(crate) fn wanted(&self, path: Path) -> Vec<Cell> {
        let wanted = |cell: &Cell| match &self.options.cells {
            Cells::All => true,
            Cells::Smoke => (cell.in_flight, cell.size) == (1, SMALL),
            Cells::Only(texts) => texts.iter().any(|text| cell.to_string().contains(text)),
        };
        path.cells().filter(wanted).collect()
    }

    /// Returns whether a row that isn't about cells was requested.
    pub(crate) fn wants(&self, row: &str) -> bool {
        match &self.options.cells {
            Cells::All | Cells::Smoke => true,
            Cells::Only(texts) => texts.iter().any(|text| row.contains(text)),
        }
    }

    /// Adds a row that isn't about cells. It is printed at the end.
    pub(crate) fn add_row(&mut self, row: summary::Row, bar: Bar) {
        self.rows.push((row, bar));
    }

    /// Prints a line of the table.
    pub(crate) fn add(&mut self, pair: Pair) {
        if self.pairs.is_empty() {
            self.print_head();
        }
        let Pair {
            cell,
            ours,
            baseline,
        } = pair;
        let rate = format!(
            "{:>9.0} | {:>9.0} | {:>5.2}",
            ours.rate,
            baseline.rate,
            ours.rate / baseline.rate
        );
        let times = [
            (ours.p50, baseline.p50),
            (ours.p99, baseline.p99),
            (ours.cpu, baseline.cpu),
        ];
        let times = times.map(|(ours, baseline)| {
            format!("{ours:>8.2} | {baseline:>8.2} | {:>5.2}", ours / baseline)
        });
        println!(
            "| {:22} | {:>9} | {:>6} | {rate} | {} |",
            cell.path.name(),
            cell.in_flight,
            Size(cell.size).to_string(),
            times.join(" | ")
        );
        self.pairs.push(pair);
    }

    /// Writes the summary.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        if self.pairs.is_empty() && self.rows.is_empty() {
            return Err(
                "no cell or row has this in its name; names are like `nats.64x16B` or `stream.local.GiBps`"
                    .into(),
            );
        }
        if !self.rows.is_empty() {
            bars::print(&self.rows);
        }
        let file: PathBuf = self.options.summary;
        let rest: Vec<_> = self.rows.into_iter().map(|(row, _)| row).collect();
        summary::merge(&file, &rows(&self.pairs))?;
        summary::merge(&file, &rest)?;
        println!("\nwritten to {}", file.display());
        Ok(())
    }

    fn print_head(&self) {
        println!(
            "ours, baseline and their ratio; {} round(s) of {} s per side; times in µs; CPU time is that of all processes, per call\n",
            self.options.rounds,
            self.options.time.as_secs_f64()
        );
        println!(
            "| {:22} | in flight | {:>6} | {:>9} | {:>9} | ratio | {:>8} | {:>8} | ratio | {:>8} | {:>8} | ratio | {:>8} | {:>8} | ratio |",
            "path",
            "size",
            "calls/s",
            "baseline",
            "p50",
            "baseline",
            "p99",
            "baseline",
            "CPU",
            "baseline"
        );
        println!("| --- | --: | --: |{}", " --: | --: | --: |".repeat(4));
    }
}

fn rows(pairs: &[Pair]) -> Vec<Row> {
    let added = pairs.iter().filter_map(|pair| added_by_size(pair, pairs));
    pairs.iter().flat_map(rows_of).chain(added).collect()
}

fn rows_of(pair: &Pair) -> [Row; 4] {
    let Pair {
        cell,
        ours,
        baseline,
    } = *pair;
    let row = |metric: &str, unit, of: fn(&Figures) -> f64| {
        let name = headline(cell, metric)
            .unwrap_or_else(|| format!("{}.{metric}.{}", cell.path.name(), cell.load()));
        Row::new(name, of(&ours), of(&baseline), unit)
    };
    [
        row("rate", "calls/s", |figures| figures.rate),
        row("p50", "µs", |figures| figures.p50),
        row("p99", "µs", |figures| figures.p99),
        row("cpu", "µs/call", |figures| figures.cpu),
    ]
}

/// Returns the name under which a figure has a bar to meet, if it has one.
fn headline(cell: Cell, metric: &str) -> Option<String> {
    if (cell.in_flight, cell.size) != (1, SMALL) {
        return None;
    }
    let name = match (cell.path, metric) {
        (Path::Provider, "p50") => "local.provider.16B",
        (Path::ActorWarm, "p50") => "local.actor.warm",
        (Path::ActorFresh, "p50") => "local.actor.fresh",
        (Path::BesideBulk, "p99") => "nats.small_beside_bulk.p99",
        _ => return None,
    };
    Some(name.to_owned())
}

/// Returns the additional time of 64 KiB compared with 16 B, between warm actors.
fn added_by_size(large: &Pair, pairs: &[Pair]) -> Option<Row> {
    let is = |pair: &Pair, size| {
        pair.cell
            == Cell {
                path: Path::ActorWarm,
                in_flight: 1,
                size,
            }
    };
    let small = pairs
        .iter()
        .find(|pair| is(large, LARGE) && is(pair, SMALL))?;
    let added = |of: fn(&Pair) -> f64| of(large) - of(small);
    let (ours, baseline) = (added(|pair| pair.ours.p50), added(|pair| pair.baseline.p50));
    Some(Row::new(
        "local.actor.64KiB".to_owned(),
        ours,
        baseline,
        "µs",
    ))
}

impl Row {
    fn new(row: String, ours: f64, baseline: f64, unit: &'static str) -> Self {
        Self {
            row,
            ours,
            baseline,
            ratio: ours / baseline,
            unit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(path: Path, in_flight: usize, size: usize, p50: f64) -> Pair {
        let figures = |p50| Figures {
            rate: 10.0,
            p50,
            p99: 3.0,
            cpu: 4.0,
        };
        Pair {
            cell: Cell {
                path,
                in_flight,
                size,
            },
            ours: figures(p50),
            baseline: figures(p50 / 2.0),
        }
    }

    #[test]
    fn rows_have_the_names_of_their_bars() {
        let pairs = [
            pair(Path::Provider, 1, SMALL, 1.0),
            pair(Path::ActorWarm, 1, SMALL, 4.0),
            pair(Path::ActorWarm, 1, LARGE, 10.0),
            pair(Path::ActorFresh, 1, SMALL, 1.0),
            pair(Path::Nats, 1, SMALL, 1.0),
            pair(Path::Nats, 64, SMALL, 1.0),
            pair(Path::Nats, 256, 1 << 10, 1.0),
            pair(Path::Nats, 64, LARGE, 1.0),
            pair(Path::BesideBulk, 1, SMALL, 1.0),
        ];
        let rows = rows(&pairs);
        for name in [
            "nats.p50.1x16B",
            "nats.rate.64x16B",
            "nats.cpu.256x1KiB",
            "nats.rate.64x64KiB",
            "nats.small_beside_bulk.p99",
            "local.provider.16B",
            "local.actor.warm",
            "local.actor.fresh",
        ] {
            assert_eq!(
                rows.iter().filter(|row| row.row == name).count(),
                1,
                "{name}"
            );
        }
        let added = rows
            .iter()
            .find(|row| row.row == "local.actor.64KiB")
            .expect("both sizes are there");
        assert_eq!((added.ours, added.baseline, added.ratio), (6.0, 3.0, 2.0));
        assert_eq!(rows.len(), pairs.len() * 4 + 1);
    }
}
