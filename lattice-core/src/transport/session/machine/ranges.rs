//! Sets of numbers that are mostly without gaps.

use std::collections::BTreeMap;

/// Most ranges of a set. Then the lowest two become one, together with what is between them.
const MOST: usize = 4_096;

/// The numbers of channels that were used. Each end counts them up, so they are few ranges, of
/// which the first one has nearly all.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    /// The last number of each range, by its first one. No two ranges touch.
    ranges: BTreeMap<u32, u32>,
}

impl Ranges {
    /// Whether a number was added, or is so low that this isn't known any more.
    pub(crate) fn contains(&self, number: u32) -> bool {
        let below = self.ranges.range(..=number).next_back();
        below.is_some_and(|(_, last)| number <= *last)
    }

    /// Adds a number. Returns false if it was there.
    pub(crate) fn insert(&mut self, number: u32) -> bool {
        if self.contains(number) {
            return false;
        }
        let (mut first, mut last) = (number, number);
        let below = self.ranges.range(..number).next_back();
        if let Some((start, end)) = below.map(|(start, end)| (*start, *end))
            && end + 1 == number
        {
            first = start;
        }
        let above = number.checked_add(1);
        if let Some(end) = above.and_then(|next| self.ranges.remove(&next)) {
            last = end;
        }
        self.ranges.insert(first, last);
        if self.ranges.len() > MOST {
            self.join_lowest();
        }
        true
    }

    /// How many ranges there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    fn join_lowest(&mut self) {
        if let Some((first, _)) = self.ranges.pop_first()
            && let Some((_, last)) = self.ranges.pop_first()
        {
            self.ranges.insert(first, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_any_order_become_one_range() {
        let mut ranges = Ranges::default();
        for number in [5, 3, 4, 0, 2, 1, u32::MAX, u32::MAX - 1] {
            assert!(!ranges.contains(number));
            assert!(ranges.insert(number), "{number}");
            assert!(ranges.contains(number) && !ranges.insert(number));
        }
        assert_eq!(ranges.len(), 2);
        assert!(!ranges.contains(6) && !ranges.contains(u32::MAX - 2));
        for number in 6..1_000_000 {
            assert!(ranges.insert(number));
        }
        assert_eq!(ranges.len(), 2);
    }

    #[test]
    fn gaps_are_bounded_and_the_lowest_are_filled_first() {
        let mut ranges = Ranges::default();
        for number in 0..100_000 {
            assert!(ranges.insert(number * 2));
        }
        assert_eq!(ranges.len(), MOST);
        assert!(ranges.contains(1), "nothing is known of it any more");
        assert!(!ranges.contains(199_997));
        assert!(ranges.insert(199_997));
    }
}
