//! Checks wire bytes against a plan, without building values.
//!
//! Bytes are checked before they are lowered, because an error inside a lowering is a trap, and a
//! trap ends the whole store with every call in it. Here it is an ordinary error.

use bytes::Bytes;

use crate::limits::ByteSize;

use super::plan::FunctionPlan;
use super::shape::{NodeId, Shape, Tree};
use super::wire::{Keys, Reader, ValueError};

/// The validated arguments of a call.
#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    pub(super) wire: Bytes,
    guest_bytes: GuestBytes,
}

impl Arguments {
    /// Returns the size of the arguments in the guest's memory.
    pub(crate) fn guest_bytes(&self) -> ByteSize {
        ByteSize::bytes(self.guest_bytes.0)
    }
}

/// Bytes that lists and strings of a value will take in the guest's memory.
///
/// A few wire bytes can take much memory, when a list's elements are variants with one large case.
/// With the guest's memory limit, such a value can be refused before it makes the guest run out of
/// memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GuestBytes(pub(crate) u64);

impl FunctionPlan {
    /// Checks the wire bytes of all parameters, and returns them as arguments of a call.
    pub(crate) fn arguments(&self, wire: Bytes) -> Result<Arguments, ValueError> {
        let guest_bytes = self.validate_params(&wire)?;
        Ok(Arguments { wire, guest_bytes })
    }

    /// Checks the wire bytes of all parameters.
    pub(crate) fn validate_params(&self, wire: &[u8]) -> Result<GuestBytes, ValueError> {
        validate(&self.tree, &self.params, wire)
    }

    /// Checks the wire bytes of the result. There are none if the function returns nothing.
    pub(crate) fn validate_results(&self, wire: &[u8]) -> Result<GuestBytes, ValueError> {
        validate(&self.tree, self.result.as_slice(), wire)
    }
}

fn validate(tree: &Tree, values: &[NodeId], wire: &[u8]) -> Result<GuestBytes, ValueError> {
    let mut walk = Walk {
        tree,
        wire,
        reader: Reader::new(wire),
        guest_bytes: 0,
        owed: 0,
    };
    for id in values {
        walk.value(*id)?;
    }
    walk.reader.finish()?;
    Ok(GuestBytes(walk.guest_bytes))
}

struct Walk<'p, 'w> {
    tree: &'p Tree,
    wire: &'w [u8],
    reader: Reader<'w>,
    guest_bytes: u64,
    /// The fewest bytes that the remaining entries of the enclosing maps take. No map inside this
    /// value can use those bytes, so that all maps together never record more keys than fit into
    /// the input.
    owed: u64,
}

impl Walk<'_, '_> {
    /// Checks a value. The recursion ends because children come before their parents in the tree,
    /// and is at most as deep as a plan allows.
    fn value(&mut self, id: NodeId) -> Result<(), ValueError> {
        match &self.tree.node(id).shape {
            Shape::Scalar(scalar) => scalar.read(&mut self.reader).map(drop),
            Shape::String => {
                let text = self.reader.str()?;
                self.allocate(text.len(), 1);
                Ok(())
            }
            Shape::List { element } => self.list(*element),
            Shape::FixedList { element, length } => self.elements(*element, *length as usize),
            Shape::Map { key, keys, value } => self.map((*key, *keys), *value),
            Shape::Fields(run) => self
                .tree
                .fields(run)
                .iter()
                .try_for_each(|field| self.value(*field)),
            Shape::Cases(run) => {
                let cases = self.tree.cases(run);
                let case = self.reader.case(cases.len() as u32)?;
                cases[case as usize].map_or(Ok(()), |payload| self.value(payload))
            }
            Shape::Enum { cases } => self.reader.case(*cases).map(drop),
            Shape::Flags { labels } => self.reader.flags(*labels).map(drop),
        }
    }

    fn list(&mut self, element: NodeId) -> Result<(), ValueError> {
        let layout = self.tree.layout(element);
        let length = self.reader.length(layout.smallest)?;
        self.allocate(length, layout.size);
        self.elements(element, length)
    }

    fn elements(&mut self, element: NodeId, length: usize) -> Result<(), ValueError> {
        match self.tree.node(element).shape {
            Shape::Scalar(scalar) if scalar.is_plain() => {
                let bytes = length.saturating_mul(scalar.size());
                self.reader.take(bytes).map(drop)
            }
            _ => (0..length).try_for_each(|_| self.value(element)),
        }
    }

    fn map(&mut self, (key, keys): (NodeId, Keys), value: NodeId) -> Result<(), ValueError> {
        let (of_key, of_value) = (self.tree.layout(key), self.tree.layout(value));
        let smallest = of_key.smallest.saturating_add(of_value.smallest);
        let length = self.reader.length_before(smallest, self.owed)?;
        // An entry is a tuple. Its padding isn't computed, because this is only an upper bound.
        let entry = of_key.size + of_value.size + of_key.align.max(of_value.align);
        self.allocate(length, entry);
        let mut places = Vec::with_capacity(length);
        for after in (0..length as u64).rev() {
            places.push(self.reader.place()?);
            self.value(key)?;
            let owed = after.saturating_mul(smallest);
            self.owed += owed;
            self.value(value)?;
            self.owed -= owed;
        }
        if keys.differ(self.wire, &mut places) {
            return Ok(());
        }
        Err(ValueError::DuplicateKey {
            at: self.reader.at(),
        })
    }

    fn allocate(&mut self, length: usize, size: u64) {
        let bytes = (length as u64).saturating_mul(size);
        self.guest_bytes = self.guest_bytes.saturating_add(bytes);
    }
}
