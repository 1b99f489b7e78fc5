//! Rows of figures that have a bar to meet: the table that all programs print.

use crate::summary::Row;

/// The bar that a row has to meet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bar {
    /// Ours is at most this.
    AtMost(f64),
    /// Ours is at least this.
    AtLeast(f64),
    /// The ratio is at most this.
    Ratio(f64),
    /// The ratio is at least this.
    RatioAtLeast(f64),
    /// The ratio is at most the first value, or ours exceeds the baseline by at most the second.
    RatioOrMore(f64, f64),
    /// No bar: the row explains another one.
    None,
}

/// Prints the table of these rows.
pub fn print(rows: &[(Row, Bar)]) {
    println!(
        "\n| {:28} | {:>10} | {:>10} | {:>7} | {:5} | {:>18} |        |",
        "row", "ours", "baseline", "ratio", "unit", "bar"
    );
    println!("| --- | --: | --: | --: | --- | --: | --- |");
    for (row, bar) in rows {
        let number =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        println!(
            "| {:28} | {:>10} | {:>10} | {:>7} | {:5} | {:>18} | {:6} |",
            row.row,
            number(Some(row.ours)),
            number(row.baseline),
            number(row.ratio),
            row.unit,
            bar.text(),
            bar.verdict(row)
        );
    }
}

impl Bar {
    /// Returns the bar as people read it.
    pub fn text(self) -> String {
        match self {
            Self::AtMost(most) => format!("≤ {most}"),
            Self::AtLeast(least) => format!("≥ {least}"),
            Self::Ratio(most) => format!("ratio ≤ {most}"),
            Self::RatioAtLeast(least) => format!("ratio ≥ {least}"),
            Self::RatioOrMore(most, more) => format!("ratio ≤ {most}, or +{more}"),
            Self::None => String::new(),
        }
    }

    /// Returns whether the row meets the bar, in a word; nothing without a bar.
    pub fn verdict(self, row: &Row) -> &'static str {
        let met = match self {
            Self::AtMost(most) => row.ours <= most,
            Self::AtLeast(least) => row.ours >= least,
            Self::Ratio(most) => row.ratio.is_some_and(|ratio| ratio <= most),
            Self::RatioAtLeast(least) => row.ratio.is_some_and(|ratio| ratio >= least),
            Self::RatioOrMore(most, more) => {
                row.ratio.is_some_and(|ratio| ratio <= most)
                    || row
                        .baseline
                        .is_some_and(|baseline| row.ours <= baseline + more)
            }
            Self::None => return "",
        };
        if met { "pass" } else { "MISSED" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_met_or_missed() {
        let row = |ours, baseline| Row::new("r", ours, baseline, "ms");
        for (bar, row, verdict) in [
            (Bar::AtMost(0.0), row(0.0, Some(9.0)), "pass"),
            (Bar::AtMost(0.0), row(1.0, None), "MISSED"),
            (Bar::AtMost(5.0), row(f64::NAN, None), "MISSED"),
            (Bar::AtLeast(5.0), row(5.0, None), "pass"),
            (Bar::AtLeast(5.0), row(4.9, None), "MISSED"),
            (Bar::AtLeast(5.0), row(f64::NAN, None), "MISSED"),
            (Bar::RatioAtLeast(0.8), row(1.6, Some(2.0)), "pass"),
            (Bar::RatioAtLeast(0.8), row(1.5, Some(2.0)), "MISSED"),
            (Bar::RatioAtLeast(0.8), row(1.5, None), "MISSED"),
            (Bar::Ratio(1.5), row(3.0, Some(2.0)), "pass"),
            (Bar::Ratio(1.5), row(3.1, Some(2.0)), "MISSED"),
            (Bar::Ratio(1.5), row(0.0, None), "MISSED"),
            (Bar::RatioOrMore(1.5, 2.0), row(3.0, Some(1.0)), "pass"),
            (Bar::RatioOrMore(1.5, 2.0), row(3.1, Some(1.0)), "MISSED"),
            (Bar::None, row(1.0, None), ""),
        ] {
            assert_eq!(bar.verdict(&row), verdict, "{bar:?} {row:?}");
        }
    }
}
