//! Sizes and times as people write them: whole numbers with a unit.

mod byte_size;
mod duration;

pub use byte_size::{ByteSize, ByteSizeError};
pub use duration::parse_duration;

/// Parses a whole number and the name of its unit, with or without spaces between them. Returns the
/// number in units of 1.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}
