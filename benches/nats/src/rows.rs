//! The paths of this program, and the rows that have a bar.

use lattice_benches_common::{
    bars::Bar,
    cell::{Cell, cells},
    report::{Headline, Rows},
};

pub(crate) const MEMORY: &str = "memory";
pub(crate) const NATS: &str = "nats";
/// One small caller while others send large calls.
pub(crate) const BESIDE_BULK: &str = "nats.small_beside_bulk";
/// Next to the bare protocol.
pub(crate) const RAW: &str = "nats.raw";
pub(crate) const GRPC: &str = "grpc";

const SMALL: usize = 16;
const MIDDLE: usize = 1 << 10;
const LARGE: usize = 64 << 10;

/// Returns the cells of a path, the small ones first.
pub(crate) fn of(path: &'static str) -> Vec<Cell> {
    match path {
        BESIDE_BULK => cells(path, &[1], &[SMALL]),
        RAW => cells(path, &[64, 256], &[SMALL, MIDDLE]),
        GRPC => cells(path, &[64], &[SMALL, MIDDLE, LARGE]),
        _ => cells(path, &[1, 64, 256], &[SMALL, MIDDLE, LARGE]),
    }
}

/// What is special about the rows of this program.
pub(crate) const ROWS: Rows = Rows {
    headlines: &[
        same("nats.rate.64x16B", Bar::RatioAtLeast(2.5)),
        same("nats.rate.256x16B", Bar::RatioAtLeast(2.8)),
        same("nats.cpu.256x1KiB", Bar::Ratio(0.5)),
        same("nats.rate.64x64KiB", Bar::RatioAtLeast(0.9)),
        same("nats.p50.1x16B", Bar::Ratio(1.05)),
        row(
            "nats.raw.rate.64x16B",
            "nats.raw.64x16B",
            Bar::RatioAtLeast(0.85),
        ),
        row(
            "nats.raw.rate.256x16B",
            "nats.raw.256x16B",
            Bar::RatioAtLeast(0.85),
        ),
        row(
            "nats.raw.rate.64x1KiB",
            "nats.raw.64x1KiB",
            Bar::RatioAtLeast(0.7),
        ),
        row(
            "nats.raw.rate.256x1KiB",
            "nats.raw.256x1KiB",
            Bar::RatioAtLeast(0.6),
        ),
        row(
            "nats.small_beside_bulk.p99.1x16B",
            "nats.small_beside_bulk.p99",
            Bar::None,
        ),
        same("grpc.rate.64x16B", Bar::RatioAtLeast(3.5)),
        same("grpc.rate.64x1KiB", Bar::RatioAtLeast(3.5)),
        same("grpc.rate.64x64KiB", Bar::RatioAtLeast(0.8)),
        // The bar of this row is about CPU time. Its calls per second have another name.
        row("memory.cpu.256x16B", "memory.rate.256x16B", Bar::Ratio(2.5)),
        row("memory.rate.256x16B", "memory.calls.256x16B", Bar::None),
    ],
    examples: "`nats.64x16B` or `nats.raw`; those of `grpc` need the feature of this name",
};

const fn same(figure: &'static str, bar: Bar) -> Headline {
    row(figure, figure, bar)
}

const fn row(figure: &'static str, row: &'static str, bar: Bar) -> Headline {
    Headline { figure, row, bar }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_with_a_bar_is_a_figure_of_a_cell() {
        let paths = [MEMORY, NATS, BESIDE_BULK, RAW, GRPC];
        let cells: Vec<_> = paths.into_iter().flat_map(of).collect();
        for Headline { figure, .. } in ROWS.headlines {
            let is_of = |cell: &Cell| {
                let metrics = ["rate", "p50", "p99", "cpu"];
                metrics.map(|metric| format!("{}.{metric}.{}", cell.path, cell.load()))
            };
            let mut figures = cells.iter().flat_map(is_of);
            assert!(figures.any(|name| name == *figure), "{figure}");
        }
    }

    #[test]
    fn no_two_figures_have_the_same_row() {
        for (number, one) in ROWS.headlines.iter().enumerate() {
            for other in &ROWS.headlines[number + 1..] {
                assert!(
                    one.row != other.row && one.figure != other.figure,
                    "{one:?}"
                );
            }
        }
    }
}
