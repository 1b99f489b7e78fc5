//! The format of desired-state records in the store, which older and newer versions of Lattice can
//! both read.
//!
//! The body of a record is one string: a JSON object. A field that a reader doesn't know is kept
//! and written back with the rest ([`Extra`]), unless it is inside another field. A field that the
//! writer didn't know has its default. So a new field may be added if leaving it out means the same
//! as before. Otherwise, the writer names the new thing in the field `needs`, a list of strings. A
//! reader that doesn't know all of them treats the record as unreadable and reports that the reader
//! is too old, instead of acting on half of the record.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, de::DeserializeOwned, ser};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The features that a record may need and this version supports. None so far.
const KNOWN: [&str; 0] = [];

/// Fields of a record that this version doesn't know. They are kept for versions that know them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Extra(Map<String, Value>);

impl Extra {
    /// Returns whether there are no such fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the names of the fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The body of a record that is to be written.
#[derive(Debug)]
pub(crate) struct Body<'a, T>(pub(crate) &'a T);

/// The body of a record as it was read, before it is known whether this version understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fields(Map<String, Value>);

/// Why this version does not understand the fields of a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotUnderstood {
    #[error("it needs `{what}`, which this version does not know; update this process")]
    Needs { what: String },
    #[error(
        "this version does not understand it ({reason}); update this process, or write it again"
    )]
    Shape { reason: String },
}

impl<T: Serialize> Serialize for Body<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = serde_json::to_string(self.0).map_err(ser::Error::custom)?;
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(from)?;
        serde_json::from_str(&text)
            .map(Self)
            .map_err(de::Error::custom)
    }
}

impl Fields {
    /// Reads these fields as a record.
    pub(crate) fn read<T: DeserializeOwned>(self) -> Result<T, NotUnderstood> {
        if let Some(what) = self.unknown_need() {
            return Err(NotUnderstood::Needs { what });
        }
        serde_json::from_value(Value::Object(self.0)).map_err(|error| NotUnderstood::Shape {
            reason: error.to_string(),
        })
    }

    /// Returns the first thing that the record needs and that this version doesn't support.
    fn unknown_need(&self) -> Option<String> {
        let needs = match self.0.get("needs")? {
            Value::Array(needs) => needs.as_slice(),
            other => std::slice::from_ref(other),
        };
        let text = |need: &Value| {
            need.as_str()
                .map_or_else(|| need.to_string(), str::to_owned)
        };
        needs
            .iter()
            .map(text)
            .find(|need| !KNOWN.contains(&need.as_str()))
    }
}
