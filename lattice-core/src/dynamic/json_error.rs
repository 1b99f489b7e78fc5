//! Why JSON isn't a value of a type.

use serde_json::Value as Json;
use std::fmt;

/// Most bytes of a type or a name that a message shows.
const LONGEST: usize = 200;

/// Why JSON isn't a value of a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{at}` {reason}")]
#[non_exhaustive]
pub struct JsonError {
    /// The part that doesn't fit, such as `arguments.person.age` or `arguments[0]`.
    pub at: String,
    /// What is wrong with it, and what to write instead.
    pub reason: String,
}

/// A problem, and the way to it from the inside out.
pub(super) struct Wrong {
    pub(super) steps: Vec<Step>,
    pub(super) reason: String,
}

/// One step into a value.
pub(super) enum Step {
    Field(String),
    Item(usize),
}

impl Wrong {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        let (steps, reason) = (Vec::new(), reason.into());
        Self { steps, reason }
    }

    pub(super) fn expected(what: impl fmt::Display, found: &Json) -> Self {
        let found = match found {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::String(_) => "a text",
            Json::Array(_) => "a list",
            Json::Object(_) => "an object",
        };
        Self::new(format!("is {found}, but it must be {what}"))
    }

    pub(super) fn within(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    pub(super) fn under(self, root: &str) -> JsonError {
        let mut at = root.to_owned();
        for step in self.steps.iter().rev() {
            match step {
                Step::Field(name) => at = format!("{at}.{}", short(name)),
                Step::Item(item) => at = format!("{at}[{item}]"),
            }
        }
        let reason = self.reason;
        JsonError { at, reason }
    }
}

pub(super) fn short(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let cut = text.floor_char_boundary(LONGEST);
    format!("{}…", &text[..cut])
}
