//! The problems of a manifest, with their positions.

use super::ResourceRef;
use crate::{
    link::LinkMismatch,
    name::{AppName, ComponentId, ConfigName, WormholeId},
};
use std::{
    fmt::{self, Display},
    path::PathBuf,
};

/// Everything that is wrong with a manifest. It is never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct Problem {
    /// The file of the manifest, if it came from one.
    pub file: Option<PathBuf>,
    /// The place in its text, if it came from one.
    pub place: Option<Position>,
    /// The part of the manifest that has the problem.
    pub path: ManifestPath,
    /// The problem.
    pub kind: ProblemKind,
}

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
}

/// A part of a manifest: `actors.greeter.replicas`, `links[2].to`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ManifestPath(pub(super) Vec<Step>);

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Step {
    Field(String),
    Item(usize),
}

/// A problem of a part of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The text isn't valid TOML or JSON.
    #[error("{message}")]
    Syntax {
        /// The message of the parser.
        message: String,
    },
    /// A field is given twice.
    #[error("`{field}` is given twice; remove one of them")]
    DuplicateField {
        /// The field.
        field: String,
    },
    /// The manifest has no such field.
    #[error("unknown field `{field}`{}", Hint(suggestion.as_deref(), known))]
    UnknownField {
        /// The field.
        field: String,
        /// The fields that exist there.
        known: Vec<String>,
        /// The field that was most likely meant.
        suggestion: Option<String>,
    },
    /// A field is missing.
    #[error("the field `{field}` is missing; add it")]
    MissingField {
        /// The field.
        field: String,
    },
    /// A value has the wrong type.
    #[error("this is {found}, but it must be {expected}")]
    WrongType {
        /// The type that was found.
        found: String,
        /// The type that is expected.
        expected: String,
    },
    /// A value is not one of those that exist.
    #[error("unknown value `{given}`{}", Hint(suggestion.as_deref(), known))]
    UnknownValue {
        /// The value.
        given: String,
        /// The values that exist.
        known: Vec<String>,
        /// The value that was most likely meant.
        suggestion: Option<String>,
    },
    /// A value breaks its rule.
    #[error("{reason}")]
    BadValue {
        /// The rule, and what to write instead.
        reason: String,
    },
    /// The app has no component with this id.
    #[error(
        "the app has no component `{id}`{}; declare it, or name it in `external` when it is not of this app",
        Meant(suggestion.as_ref())
    )]
    UnknownComponent {
        /// The id.
        id: ComponentId,
        /// The component that was most likely meant.
        suggestion: Option<ComponentId>,
    },
    /// Neither the app nor the lattice has a configuration with this name.
    #[error("there is no configuration `{name}`{}; declare it under `configs`", Meant(suggestion.as_ref()))]
    UnknownConfig {
        /// The name.
        name: ConfigName,
        /// The configuration that was most likely meant.
        suggestion: Option<ConfigName>,
    },
    /// An id is declared twice: as an actor, a provider or an external component.
    #[error("`{id}` is already declared as {first}; give one of them another id")]
    DuplicateComponent {
        /// The id.
        id: ComponentId,
        /// The kind of its first declaration.
        first: &'static str,
    },
    /// Two links have the same source, interface and name.
    #[error(
        "{first} is a link from the same component through the same interface, or through a compatible version of it; remove this one, or give it a `name` of its own"
    )]
    DuplicateLink {
        /// The path of the other link.
        first: ManifestPath,
    },
    /// A file can't be read.
    #[error("the file `{}` can't be read ({reason}); build it, or correct the path, which is relative to the manifest", path.display())]
    File {
        /// The path where it was looked for.
        path: PathBuf,
        /// The error of the operating system.
        reason: String,
    },
    /// A link can't work.
    #[error(transparent)]
    LinkMismatch(#[from] LinkMismatch),
    /// The resource belongs to another app.
    #[error(
        "{resource} belongs to app `{app}`; give this one another name, or remove it from that app first"
    )]
    Owned {
        /// The resource.
        resource: ResourceRef,
        /// The app that owns it.
        app: AppName,
    },
    /// The resource exists, it differs, and no app owns it.
    #[error(
        "{resource} exists without an app and differs from this declaration; delete it first, or declare it as it is"
    )]
    ByHand {
        /// The resource.
        resource: ResourceRef,
    },
    /// The value in the store was written by a newer version of Lattice.
    #[error("{resource} can't be changed from here: {reason}")]
    Newer {
        /// The resource.
        resource: ResourceRef,
        /// Why this version can't change it.
        reason: String,
    },
    /// Another wormhole has the host name and path.
    #[error(
        "`{host}` with the path `{path}` leads to wormhole `{by}` already; choose another name or path, or rename or delete that one first"
    )]
    HostTaken {
        /// The host name.
        host: String,
        /// The path.
        path: String,
        /// The wormhole that has them.
        by: WormholeId,
    },
    /// The claim to a host name was written by a newer version of Lattice.
    #[error("the claim to the host name `{host}` can't be changed from here: {reason}")]
    NewerClaim {
        /// The host name.
        host: String,
        /// Why this version can't change it.
        reason: String,
    },
}

/// A suggestion, or all known names if there is none.
struct Hint<'a>(Option<&'a str>, &'a [String]);

impl Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (Some(meant), _) => write!(f, ", did you mean `{meant}`?"),
            (None, []) => f.write_str("; remove it"),
            (None, known) => write!(f, "; there are `{}`", known.join("`, `")),
        }
    }
}

/// A suggestion, if there is one.
struct Meant<'a, T>(Option<&'a T>);

impl<T: Display> Display for Meant<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(meant) => write!(f, ", did you mean `{meant}`?"),
            None => Ok(()),
        }
    }
}

/// Returns the known name that is nearest to the given one, if it is near enough to be a typing
/// error.
pub(super) fn nearest<T: AsRef<str>>(given: &str, known: impl IntoIterator<Item = T>) -> Option<T> {
    let most = (given.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(given, name.as_ref()), name))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

impl Problems {
    /// Sorts the problems in the order of the text. Returns `None` if there are none.
    pub(super) fn new(problems: Vec<Problem>) -> Option<Self> {
        (!problems.is_empty()).then(|| Self::at_least_one(problems))
    }

    /// Sorts problems of which there is at least one.
    pub(super) fn at_least_one(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (a.place, &a.path).cmp(&(b.place, &b.path)));
        Self(problems)
    }

    /// Returns an iterator over the problems.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::error::Error for Problems {}

impl Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.place) {
            (Some(file), Some(place)) => {
                write!(f, "{}:{}:{}: ", file.display(), place.line, place.column)?;
            }
            (Some(file), None) => write!(f, "{}: ", file.display())?,
            (None, Some(place)) => write!(f, "{}:{}: ", place.line, place.column)?,
            (None, None) => {}
        }
        if !self.path.0.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.kind)
    }
}

impl Position {
    /// Returns the position of a byte in a text.
    pub(super) fn of(text: &str, byte: usize) -> Self {
        let before = text
            .get(..text.floor_char_boundary(byte))
            .unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let in_line = before.get(line_start..).unwrap_or_default();
        Self {
            line: before.matches('\n').count() + 1,
            column: in_line.chars().count() + 1,
        }
    }
}

impl ManifestPath {
    /// Returns the path of a field, from the outermost field inwards.
    pub(super) fn of<const N: usize>(fields: [&str; N]) -> Self {
        Self(
            fields
                .iter()
                .map(|f| Step::Field((*f).to_owned()))
                .collect(),
        )
    }

    /// Returns the path of a field of this part.
    pub(super) fn field(&self, name: impl Display) -> Self {
        self.down(Step::Field(name.to_string()))
    }

    /// Returns the path of an item of this part.
    pub(super) fn item(&self, at: usize) -> Self {
        self.down(Step::Item(at))
    }

    fn down(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl Display for ManifestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Item(item) => write!(f, "[{item}]")?,
                Step::Field(name) if at == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_distinguished_from_a_different_word() {
        let known = ["replicas", "require", "image"];
        assert_eq!(nearest("replica", known), Some("replicas"));
        assert_eq!(nearest("relpicas", known), Some("replicas"));
        assert_eq!(nearest("imgae", known), Some("image"));
        assert_eq!(nearest("cpu", known), None);
    }

    #[test]
    fn positions_count_characters_from_one() {
        let text = "a\né b\n";
        for (byte, line, column) in [(0, 1, 1), (2, 2, 1), (5, 2, 3), (99, 3, 1)] {
            assert_eq!(
                Position::of(text, byte),
                Position { line, column },
                "{byte}"
            );
        }
    }
}
