//! Checks wire bytes against a plan, without building values.
//!
//! Bytes are checked before they are lowered, because an error inside a lowering is a trap, and a
//! trap ends the whole store with every call in it. Here it is an ordinary error.

use bytes::Bytes;
use lattice_core::stream::{Handle, Handles, ResourceRef};
use wasmtime::StoreContextMut;

use crate::limits::ByteSize;

use super::handles::{HandleStore, put_in};
use super::plan::FunctionPlan;
use super::raw::RawHandle;
use super::resources::ResourceIndex;
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

    /// Checks the wire bytes of all parameters, and the handles in them. Returns them as arguments
    /// of a call, with the places of the handles.
    pub(crate) fn arguments_with(
        &self,
        wire: Bytes,
        handles: &[Handle],
    ) -> Result<(Arguments, Places), ValueError> {
        let (guest_bytes, places) = validate(&self.tree, &self.params, &wire, handles)?;
        Ok((Arguments { wire, guest_bytes }, places))
    }

    /// Checks the wire bytes of all parameters.
    pub(crate) fn validate_params(&self, wire: &[u8]) -> Result<GuestBytes, ValueError> {
        validate(&self.tree, &self.params, wire, &[]).map(|(bytes, _)| bytes)
    }

    /// Checks the wire bytes of the result. There are none if the function returns nothing.
    pub(crate) fn validate_results(&self, wire: &[u8]) -> Result<GuestBytes, ValueError> {
        validate(&self.tree, self.result.as_slice(), wire, &[]).map(|(bytes, _)| bytes)
    }

    /// Checks the wire bytes of the result, and the handles in it. Returns their places.
    pub(crate) fn results_with(
        &self,
        wire: &[u8],
        handles: &[Handle],
    ) -> Result<Places, ValueError> {
        let checked = validate(&self.tree, self.result.as_slice(), wire, handles);
        checked.map(|(_, places)| places)
    }
}

impl FunctionPlan {
    /// Returns the handles of arguments that are of resources which the component itself defines,
    /// with their types, and whether they are given back to it.
    pub(crate) fn own_resources<'h>(
        &'h self,
        handles: &'h [Handle],
        places: &'h Places,
    ) -> impl Iterator<Item = (&'h ResourceRef, ResourceIndex, bool)> {
        let of_value = handles.iter().zip(places);
        of_value.filter_map(|(handle, place)| match &self.tree.node(*place).shape {
            Shape::Own(ty) | Shape::Borrow(ty) if self.tree.resources.get(*ty).is_home => {
                Some((handle.resource()?, *ty, matches!(handle, Handle::Own(_))))
            }
            _ => None,
        })
    }

    /// Puts the handles of arguments that were checked into a store.
    ///
    /// # Errors
    /// Fails when one can't be used after all.
    pub(crate) fn put_in<T: HandleStore>(
        &self,
        store: StoreContextMut<'_, T>,
        arguments: (Handles, &Places),
    ) -> wasmtime::Result<Vec<RawHandle>> {
        put_in(store, &self.tree, arguments)
    }
}

/// The types of the handles of a value, in order.
pub(crate) type Places = Vec<NodeId>;

fn validate(
    tree: &Tree,
    values: &[NodeId],
    wire: &[u8],
    handles: &[Handle],
) -> Result<(GuestBytes, Places), ValueError> {
    let mut walk = Walk::new(tree, wire, handles);
    for id in values {
        walk.value(*id)?;
    }
    walk.finish()?;
    Ok((GuestBytes(walk.guest_bytes), walk.places))
}

/// Checks that a chunk is `count` elements of this type, and returns the places of their handles.
pub(super) fn validate_chunk(
    tree: &Tree,
    element: NodeId,
    count: usize,
    (wire, handles): (&[u8], &[Handle]),
) -> Result<Places, ValueError> {
    let mut walk = Walk::new(tree, wire, handles);
    match tree.node(element).shape.number() {
        Some(size) => walk.reader.take(count.saturating_mul(size)).map(drop)?,
        // No value takes less than a byte, except for those of types without members.
        None => (0..count).try_for_each(|_| walk.value(element))?,
    }
    walk.finish()?;
    Ok(walk.places)
}

/// Returns how many bytes, and how many handles, the first `count` elements of a chunk take that
/// was found to be valid.
pub(super) fn measure(
    tree: &Tree,
    element: NodeId,
    count: usize,
    (wire, handles): (&[u8], &[Handle]),
) -> Result<(usize, usize), ValueError> {
    if let Some(size) = tree.node(element).shape.number() {
        return Ok((count.saturating_mul(size), 0));
    }
    let mut walk = Walk::new(tree, wire, handles);
    (0..count).try_for_each(|_| walk.value(element))?;
    Ok((walk.reader.at(), walk.places.len()))
}

struct Walk<'p, 'w> {
    tree: &'p Tree,
    wire: &'w [u8],
    reader: Reader<'w>,
    handles: &'w [Handle],
    /// The types of the handles that the walk has met.
    places: Places,
    guest_bytes: u64,
    /// The fewest bytes that the remaining entries of the enclosing maps take. No map inside this
    /// value can use those bytes, so that all maps together never record more keys than fit into
    /// the input.
    owed: u64,
}

impl<'p, 'w> Walk<'p, 'w> {
    fn new(tree: &'p Tree, wire: &'w [u8], handles: &'w [Handle]) -> Self {
        Self {
            tree,
            wire,
            reader: Reader::new(wire),
            handles,
            places: Places::new(),
            guest_bytes: 0,
            owed: 0,
        }
    }

    fn finish(&self) -> Result<(), ValueError> {
        self.reader.finish()?;
        let (handles, places) = (self.handles.len(), self.places.len());
        if handles == places {
            return Ok(());
        }
        Err(ValueError::HandlesLeft { handles, places })
    }

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
            Shape::Own(_) | Shape::Borrow(_) | Shape::Stream(_) | Shape::Future(_) => {
                self.handle(id)
            }
        }
    }

    /// Checks that the next handle is of the kind and the type of its place.
    fn handle(&mut self, id: NodeId) -> Result<(), ValueError> {
        let byte = self.reader.byte()?;
        let (at, index) = (self.reader.at(), self.places.len());
        if byte != 0 {
            return Err(ValueError::HandlePlace { at, byte });
        }
        let given = self.handles.get(index);
        let given = given.ok_or(ValueError::HandleMissing { at })?;
        let name = |resource: &ResourceIndex| &self.tree.resources.get(*resource).name;
        let shape = &self.tree.node(id).shape;
        let fits = match (given, shape) {
            (Handle::Own(owned), Shape::Own(ty)) => owned.resource().ty() == name(ty),
            (Handle::Borrow(resource), Shape::Borrow(ty)) => resource.ty() == name(ty),
            (Handle::Stream(_), Shape::Stream(_)) | (Handle::Future(_), Shape::Future(_)) => true,
            _ => false,
        };
        if !fits {
            let expected = match shape {
                Shape::Own(ty) => format!("own<{}>", name(ty)),
                Shape::Borrow(ty) => format!("borrow<{}>", name(ty)),
                Shape::Stream(_) => "a stream".to_owned(),
                _ => "a future".to_owned(),
            };
            let found = match given {
                Handle::Own(owned) => format!("own<{}>", owned.resource().ty()),
                Handle::Borrow(resource) => format!("borrow<{}>", resource.ty()),
                Handle::Stream(_) => "a stream".to_owned(),
                Handle::Future(_) => "a future".to_owned(),
            };
            return Err(ValueError::HandleType {
                at,
                index,
                found,
                expected,
            });
        }
        self.places.push(id);
        Ok(())
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
