//! The labels of a host, checked before it joins: every heartbeat carries them, and a heartbeat
//! that breaks a bound is refused by all other hosts.

use std::collections::BTreeMap;

/// Most labels of one host.
pub const MAX_LABELS: usize = 64;
/// Most bytes of a label's name.
pub const MAX_LABEL_NAME: usize = 63;
/// Most bytes of a label's value.
pub const MAX_LABEL_VALUE: usize = 255;

/// Why a host can't have these labels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// There are too many.
    #[error("a host has at most {MAX_LABELS} labels, and these are {count}; leave some out")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// A label has no name.
    #[error("a label has no name; write it as `name=value`, as in `zone=a`")]
    Nameless,
    /// A name is too long.
    #[error(
        "the name of label `{start}…` has {bytes} bytes and the limit is {MAX_LABEL_NAME}; shorten it"
    )]
    LongName {
        /// Its start.
        start: String,
        /// Its length.
        bytes: usize,
    },
    /// A value is too long.
    #[error(
        "the value of label `{name}` has {bytes} bytes and the limit is {MAX_LABEL_VALUE}; shorten it"
    )]
    LongValue {
        /// The label.
        name: String,
        /// The value's length.
        bytes: usize,
    },
    /// A label is given twice.
    #[error("label `{name}` is given twice; a label has one value, so leave one of them out")]
    Twice {
        /// The label.
        name: String,
    },
}

/// Returns the labels of a host, given as names and values.
///
/// # Errors
/// Fails with a [`LabelError`] for the first label that a host can't have.
pub fn check_labels<'a>(
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<BTreeMap<String, String>, LabelError> {
    let mut checked = BTreeMap::new();
    let mut count = 0;
    for (name, value) in labels {
        count += 1;
        if name.is_empty() {
            return Err(LabelError::Nameless);
        }
        if name.len() > MAX_LABEL_NAME {
            return Err(LabelError::LongName {
                start: name.chars().take(20).collect(),
                bytes: name.len(),
            });
        }
        if value.len() > MAX_LABEL_VALUE {
            return Err(LabelError::LongValue {
                name: name.to_owned(),
                bytes: value.len(),
            });
        }
        if checked.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(LabelError::Twice {
                name: name.to_owned(),
            });
        }
    }
    match count {
        0..=MAX_LABELS => Ok(checked),
        count => Err(LabelError::TooMany { count }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_within_the_bounds_are_taken_and_others_name_the_bound() {
        let names: Vec<String> = (0..=MAX_LABELS).map(|at| format!("l{at}")).collect();
        let labels = |count: usize| names[..count].iter().map(|name| (name.as_str(), "x"));
        assert_eq!(check_labels(labels(64)).expect("fit").len(), 64);
        let (name, value) = ("n".repeat(64), "v".repeat(256));
        for (wrong, says) in [
            (
                check_labels(labels(65)),
                "at most 64 labels, and these are 65",
            ),
            (check_labels([("", "a")]), "no name"),
            (
                check_labels([(name.as_str(), "a")]),
                "64 bytes and the limit is 63",
            ),
            (
                check_labels([("a", value.as_str())]),
                "256 bytes and the limit is 255",
            ),
            (check_labels([("a", "1"), ("a", "2")]), "`a` is given twice"),
        ] {
            let error = wrong.expect_err(says).to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(check_labels([(&name[1..], &value[1..])]).is_ok());
    }
}
