//! A manifest's text as a tree in which each part has its position in the text.

use super::problem::{ManifestPath, Step};
use std::ops::Range;

/// A part of a text.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

/// The content of a part.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    /// An item of a list that was taken out. It stays as a placeholder, so that the other items
    /// keep their index.
    Cut,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    /// The entries in the order of the text, each key once.
    Table(Vec<(Key, Node)>),
}

/// A number, and its text in the manifest.
#[derive(Debug, Clone)]
pub(super) struct Number {
    pub(super) text: String,
    pub(super) value: NumberValue,
}

/// The value of a number.
#[derive(Debug, Clone, Copy)]
pub(super) enum NumberValue {
    Integer(i64),
    Float(f64),
    /// An integer that is too large, or too small.
    OutOfRange,
}

impl Number {
    /// Returns the text of the number if this is the only way to write its value. `1.10`, `0x1F`
    /// and `1e3` would change when they are written again.
    pub(super) fn kept(&self) -> Option<&str> {
        let again = match self.value {
            NumberValue::Integer(value) => value.to_string(),
            NumberValue::Float(value) => value.to_string(),
            NumberValue::OutOfRange => return None,
        };
        (again == self.text).then_some(&*self.text)
    }
}

/// A key of a table.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) span: Range<usize>,
    pub(super) text: String,
}

/// Whether the key or the value of a field is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Key,
    Value,
}

impl Node {
    /// Returns where the part at `path` begins. If the path leads to nothing, returns where the
    /// deepest existing part of it begins.
    pub(super) fn place(&self, path: &ManifestPath, side: Side) -> usize {
        let mut place = self.span.start;
        let mut node = self;
        for step in &path.0 {
            let Some((key, child)) = node.child(step) else {
                return place;
            };
            place = match (key, side) {
                (Some(key), Side::Key) => key.span.start,
                _ => child.span.start,
            };
            node = child;
        }
        place
    }

    /// Takes out the part at `path`. Returns whether there was one.
    pub(super) fn cut(&mut self, path: &ManifestPath) -> bool {
        let Some((last, above)) = path.0.split_last() else {
            return false;
        };
        let mut node = self;
        for step in above {
            let Some(child) = node.child_mut(step) else {
                return false;
            };
            node = child;
        }
        match (&mut node.value, last) {
            (Value::Table(entries), Step::Field(name)) => {
                let before = entries.len();
                entries.retain(|(key, _)| key.text != *name);
                entries.len() < before
            }
            (Value::List(items), Step::Item(at)) => items.get_mut(*at).is_some_and(|item| {
                !matches!(std::mem::replace(&mut item.value, Value::Cut), Value::Cut)
            }),
            _ => false,
        }
    }

    /// Returns the keys of the table at a top-level field.
    pub(super) fn keys_of(&self, field: &str) -> impl Iterator<Item = &str> {
        let entries = match self.child(&Step::Field(field.to_owned())) {
            Some((_, node)) => node.entries(),
            None => &[],
        };
        entries.iter().map(|(key, _)| key.text.as_str())
    }

    fn entries(&self) -> &[(Key, Node)] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    fn child(&self, step: &Step) -> Option<(Option<&Key>, &Self)> {
        match (&self.value, step) {
            (Value::Table(entries), Step::Field(name)) => entries
                .iter()
                .find(|(key, _)| key.text == *name)
                .map(|(key, node)| (Some(key), node)),
            (Value::List(items), Step::Item(at)) => items.get(*at).map(|node| (None, node)),
            _ => None,
        }
    }

    fn child_mut(&mut self, step: &Step) -> Option<&mut Self> {
        match (&mut self.value, step) {
            (Value::Table(entries), Step::Field(name)) => entries
                .iter_mut()
                .find(|(key, _)| key.text == *name)
                .map(|(_, node)| node),
            (Value::List(items), Step::Item(at)) => items.get_mut(*at),
            _ => None,
        }
    }
}
