//! Prints what two builds of this program have measured, side by side.

use crate::rows::{GRPC, ROWS};
use lattice_benches_common::{
    Failure,
    bars::Bar,
    options::Options,
    summary::{self, Row},
};

/// What the names of the rows of the careful build end in.
const CAREFUL: &str = ".careful";

/// Prints the rows that have a bar, as they are in the summary.
pub(crate) fn print(options: &Options) -> Result<(), Failure> {
    println!(
        "\n| {:22} | {:7} | {:>12} | {:31} | {:31} |",
        "row", "unit", "bar", "release: ours, baseline, ratio", "careful: ours, baseline, ratio"
    );
    println!("| --- | --- | --: | --- | --- |");
    for headline in ROWS.headlines {
        let (name, bar) = (headline.row, headline.bar);
        let is_measured = cfg!(feature = "grpc") || !name.starts_with(GRPC);
        let is_wanted = options.cells.select(name) || options.cells.select(headline.figure);
        if bar == Bar::None || !is_measured || !is_wanted {
            continue;
        }
        let usual = summary::row(&options.summary, name)?;
        let careful = summary::row(&options.summary, &format!("{name}{CAREFUL}"))?;
        let Some(either) = usual.as_ref().or(careful.as_ref()) else {
            continue;
        };
        println!(
            "| {name:22} | {:7} | {:>12} | {} | {} |",
            either.unit,
            bar.text(),
            figures(usual.as_ref(), bar),
            figures(careful.as_ref(), bar)
        );
    }
    Ok(())
}

fn figures(row: Option<&Row>, bar: Bar) -> String {
    let Some(row) = row else {
        return format!("{:31}", "-");
    };
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    format!(
        "{:>9} {:>9} {:>5} {:6}",
        number(Some(row.ours)),
        number(row.baseline),
        number(row.ratio),
        bar.verdict(row)
    )
}
