//! The names of new projects.

use lattice_core::name::{ComponentId, NameError};
use std::fmt;

/// What a package can't be called, because cargo or Rust has another use for the word, besides the
/// keywords.
const TAKEN: [&str; 9] = [
    "alloc",
    "build",
    "core",
    "deps",
    "examples",
    "incremental",
    "proc-macro",
    "std",
    "test",
];

/// The keywords of Rust, also those that are reserved.
const RUST: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// The keywords of WIT that aren't keywords of Rust.
const WIT: [&str; 36] = [
    "bool",
    "borrow",
    "char",
    "constructor",
    "error-context",
    "export",
    "f32",
    "f64",
    "flags",
    "float32",
    "float64",
    "from",
    "func",
    "future",
    "import",
    "include",
    "interface",
    "list",
    "map",
    "option",
    "own",
    "package",
    "record",
    "resource",
    "result",
    "s16",
    "s32",
    "s64",
    "s8",
    "stream",
    "string",
    "tuple",
    "u16",
    "u32",
    "variant",
    "world",
];

/// What the packages start with on which a project depends. A package can't depend on one of its
/// own name.
const OURS: &str = "lattice-";

/// The name of a project: of its package in the language, of its package in WIT, and of its
/// component or app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProjectName(String);

/// Why a name can't be that of a project.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum ProjectNameError {
    /// It isn't a valid id of a component, either.
    #[error(transparent)]
    Id(#[from] NameError),
    /// A word of it starts with a digit, is empty, or has other characters.
    #[error(
        "`{given}` can't be the name of a package in WIT: write words of lower-case letters and digits that start with a letter, with one hyphen between two of them{}", or_like(.like.as_deref())
    )]
    Words {
        /// The name.
        given: String,
        /// A name that is like it and would do, if there is one.
        like: Option<String>,
    },
    /// A language has another use for it.
    #[error("`{given}` is {taken_by}; choose another name, such as `my-{given}`")]
    Taken {
        /// The name.
        given: String,
        /// What has another use for it.
        taken_by: &'static str,
    },
}

impl ProjectName {
    /// Checks a name.
    ///
    /// # Errors
    /// Fails with a [`ProjectNameError`].
    pub(super) fn new(text: &str) -> Result<Self, ProjectNameError> {
        if !is_words(text) {
            // What is no id at all has the more general rule, which also keeps secrets back.
            let id = ComponentId::new(text)?;
            let like = like_it(id.as_str());
            let given = text.to_owned();
            return Err(ProjectNameError::Words { given, like });
        }
        ComponentId::new(text)?;
        let taken_by = if RUST.contains(&text) {
            Some("a keyword of Rust")
        } else if WIT.contains(&text) {
            Some("a keyword of WIT")
        } else if TAKEN.contains(&text) {
            Some("a word for which cargo or Rust has another use")
        } else if text.starts_with(OURS) {
            Some("like the names of Lattice's own packages")
        } else {
            None
        };
        match taken_by {
            Some(taken_by) => Err(ProjectNameError::Taken {
                given: text.to_owned(),
                taken_by,
            }),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// Returns the name.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name as an identifier of Rust.
    pub(super) fn in_rust(&self) -> String {
        self.0.replace('-', "_")
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns whether a text has the form of a name in WIT.
fn is_words(text: &str) -> bool {
    text.split('-').all(|word| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}

/// Returns a name that is like this text and would do.
fn like_it(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words
        .map(|word| word.trim_start_matches(|c: char| c.is_ascii_digit()))
        .filter(|word| !word.is_empty())
        .collect();
    let like = words.join("-");
    ProjectName::new(&like).ok().map(|name| name.0)
}

fn or_like(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!("; `{name}` would do"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_all_languages_take_are_accepted() {
        for name in ["hello", "front-desk", "a", "shop2", "my-actor-3rd"] {
            let made = ProjectName::new(name);
            let is_fine = !name.contains("3rd");
            assert_eq!(made.is_ok(), is_fine, "{name}");
        }
        let name = ProjectName::new("front-desk").expect("a name");
        assert_eq!(name.in_rust(), "front_desk");
    }

    #[test]
    fn other_names_are_refused_with_advice() {
        for (name, advice) in [
            (
                "fn",
                "`fn` is a keyword of Rust; choose another name, such as `my-fn`",
            ),
            ("interface", "`interface` is a keyword of WIT; "),
            ("test", "cargo or Rust has another use; "),
            ("lattice-actor-sdk", "Lattice's own packages; "),
            ("2nd", "; `nd` would do"),
            ("shop-2nd", "; `shop-nd` would do"),
        ] {
            let error = ProjectName::new(name).expect_err(name).to_string();
            assert!(error.contains(advice), "{name}: {error}");
        }
        for name in [
            "", "Hello", "a_b", "a--b", "-a", "a/b", "..", "größe", "a b",
        ] {
            assert!(ProjectName::new(name).is_err(), "{name}");
        }
        assert!(ProjectName::new(&"a".repeat(64)).is_err(), "too long");
    }

    #[test]
    fn the_lists_have_no_word_twice() {
        let mut all: Vec<&str> = RUST.iter().chain(&WIT).chain(&TAKEN).copied().collect();
        all.sort_unstable();
        let before = all.len();
        all.dedup();
        assert_eq!(all.len(), before);
    }
}
