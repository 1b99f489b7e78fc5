//! The cells of the table: a path, the number of calls in flight, and their size.

use std::fmt;

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// The caller, the callee and the transport between them, such as `nats`.
    pub path: &'static str,
    /// Concurrent calls.
    pub in_flight: usize,
    /// Bytes that are sent, and returned.
    pub size: usize,
}

/// Returns the cells of a path, the first count with each size first.
pub fn cells(path: &'static str, counts: &[usize], sizes: &[usize]) -> Vec<Cell> {
    let of = |in_flight: &usize| {
        let in_flight = *in_flight;
        sizes.iter().map(move |size| Cell {
            path,
            in_flight,
            size: *size,
        })
    };
    counts.iter().flat_map(of).collect()
}

/// A number of bytes, displayed with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub usize);

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.path, self.load())
    }
}

impl Cell {
    /// Returns the number of calls in flight and their size, as `64x16B`.
    pub fn load(&self) -> String {
        format!("{}x{}", self.in_flight, Size(self.size)).replace(' ', "")
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 10 => write!(f, "{} KiB", bytes >> 10),
            bytes => write!(f, "{bytes} B"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_named_by_path_count_and_size() {
        let names: Vec<_> = cells("nats", &[1, 64], &[16, 64 << 10])
            .iter()
            .map(ToString::to_string)
            .collect();
        let expected = ["nats.1x16B", "nats.1x64KiB", "nats.64x16B", "nats.64x64KiB"];
        assert_eq!(names, expected);
    }
}
