//! What of a component can't be served although the rest of it is.

use std::fmt;

/// An import or an export of a component that can't be served. The rest of the component is.
///
/// An import that can't be served traps the component when the component calls it. An export that
/// can't be served can't be called.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unserved {
    /// Whether it is imported or exported.
    pub side: Side,
    /// The name of the import or export, for example `wasi:http/types@0.2.3`.
    pub name: String,
    /// The functions of the interface that can't be served. Empty for an import or export that
    /// isn't an interface.
    pub functions: Vec<String>,
    /// Why it can't be served, and what to do instead.
    pub reason: String,
}

/// Whether something is imported or exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The component needs it.
    Import,
    /// The component offers it.
    Export,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Import => "import",
            Self::Export => "export",
        })
    }
}

impl fmt::Display for Unserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The names that are printed. An interface such as `wasi:http/types` has 80 functions.
        const SHOWN: usize = 3;
        write!(f, "{} `{}`", self.side, self.name)?;
        if let Some((last, first)) = self.functions.split_last() {
            let more = first.len().saturating_sub(SHOWN - 1);
            let shown = first.get(..first.len() - more).unwrap_or_default();
            f.write_str(" (")?;
            for name in shown {
                write!(f, "`{name}`, ")?;
            }
            match more {
                0 => write!(f, "`{last}`)")?,
                more => write!(f, "and {} more functions)", more + 1)?,
            }
        }
        write!(f, ": {}", self.reason)
    }
}

/// A guest called an import that can't be served.
#[derive(Debug, Clone, thiserror::Error)]
#[error("it called `{import}`, which can't be served: {reason}")]
pub(crate) struct UnservedCall {
    pub(crate) import: String,
    pub(crate) reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_functions_is_cut() {
        let unserved = |count: usize| Unserved {
            side: Side::Import,
            name: "a:b/c".to_owned(),
            functions: (0..count).map(|index| format!("f{index}")).collect(),
            reason: "why".to_owned(),
        };
        for (count, text) in [
            (0, "import `a:b/c`: why"),
            (1, "import `a:b/c` (`f0`): why"),
            (3, "import `a:b/c` (`f0`, `f1`, `f2`): why"),
            (9, "import `a:b/c` (`f0`, `f1`, and 7 more functions): why"),
        ] {
            assert_eq!(unserved(count).to_string(), text);
        }
    }
}
