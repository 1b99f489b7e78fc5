//! The compact type tree of a plan, with only the data that a walk over wire bytes needs.
//!
//! It has no names, which are in the signature's text. Nodes are in one array and refer to each
//! other by index, with children always before their parents. A walk therefore uses little memory,
//! allocates nothing and always ends.

use std::ops::Range;
use std::sync::Arc;

use super::failure_value::FailureValue;
use super::resources::{ResourceIndex, Resources};
use super::scalar::{Scalar, flags_size};
use super::wire::Keys;

/// The most flat core values of a parameter or result list. Larger lists move to memory (canonical
/// ABI).
pub(super) const MAX_FLAT: u32 = 16;

/// Index of a [`Node`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

/// One type.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) shape: Shape,
    pub(super) layout: Layout,
}

/// How a type is laid out on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Scalar(Scalar),
    String,
    List {
        element: NodeId,
    },
    FixedList {
        element: NodeId,
        length: u32,
    },
    Map {
        key: NodeId,
        keys: Keys,
        value: NodeId,
    },
    /// Records and tuples: a run of [`Tree::fields`].
    Fields(Range<u32>),
    /// Variants, options and results: a run of [`Tree::cases`], each with its payload if it has
    /// one.
    Cases(Range<u32>),
    Enum {
        cases: u32,
    },
    Flags {
        labels: u32,
    },
    /// A resource that is given away. Like the other handles, it is one zero byte on the wire, and
    /// the handle is beside the bytes.
    Own(ResourceIndex),
    /// A resource that is lent.
    Borrow(ResourceIndex),
    /// A stream of elements of this type, if it has one.
    Stream(Option<NodeId>),
    /// A value of this type, if it has one, that comes later.
    Future(Option<NodeId>),
}

/// The size of a value in 32-bit guest memory, by the canonical ABI, and on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes in guest memory, without what it points to.
    pub(super) size: u64,
    pub(super) align: u64,
    /// Number of core values when passed flat. Anything above [`MAX_FLAT`] is [`MAX_FLAT`] + 1.
    pub(super) flat: u32,
    /// The smallest size on the wire, in bytes.
    pub(super) smallest: u64,
}

/// All types of a function.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    fields: Vec<NodeId>,
    cases: Vec<Option<NodeId>>,
    /// The elements of streams and futures that can report that these broke.
    failures: Vec<(NodeId, FailureValue)>,
    pub(super) resources: Arc<Resources>,
}

impl Shape {
    /// Returns how values of this type are written as keys of a map. `None` for the many types that
    /// can't be keys.
    pub(super) fn as_keys(&self) -> Option<Keys> {
        match self {
            Self::Scalar(scalar) => scalar.as_keys(),
            Self::String => Some(Keys::Text),
            _ => None,
        }
    }

    /// Returns the size in bytes of a number, which in chunks of streams is as it is in memory.
    pub(super) fn number(&self) -> Option<usize> {
        match self {
            Self::Scalar(Scalar::Bool | Scalar::Char) => None,
            Self::Scalar(number) => Some(number.size()),
            _ => None,
        }
    }

    fn is_handle(&self) -> bool {
        matches!(
            self,
            Self::Own(_) | Self::Borrow(_) | Self::Stream(_) | Self::Future(_)
        )
    }
}

impl Tree {
    /// Creates a tree of types in which these resources may be.
    pub(super) fn new(resources: Arc<Resources>) -> Self {
        Self {
            resources,
            ..Self::default()
        }
    }

    /// Returns whether there are streams or handles among the types.
    pub(super) fn has_handles(&self) -> bool {
        self.nodes.iter().any(|node| node.shape.is_handle())
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len() + self.fields.len() + self.cases.len()
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub(super) fn layout(&self, id: NodeId) -> Layout {
        self.node(id).layout
    }

    pub(super) fn fields(&self, run: &Range<u32>) -> &[NodeId] {
        &self.fields[run.start as usize..run.end as usize]
    }

    pub(super) fn cases(&self, run: &Range<u32>) -> &[Option<NodeId>] {
        &self.cases[run.start as usize..run.end as usize]
    }

    /// Returns how an element of a stream or future reports that this broke, if it can.
    pub(super) fn failure(&self, element: NodeId) -> Option<&FailureValue> {
        let mut failures = self.failures.iter();
        let found = failures.find(|(id, _)| *id == element);
        found.map(|(_, failure)| failure)
    }

    /// Records how an element of a stream or future reports that this broke.
    pub(super) fn push_failure(&mut self, element: NodeId, failure: FailureValue) {
        self.failures.push((element, failure));
    }

    pub(super) fn push(&mut self, shape: Shape) -> NodeId {
        let layout = self.layout_of(&shape);
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(Node { shape, layout });
        id
    }

    pub(super) fn push_fields(&mut self, fields: &[NodeId]) -> NodeId {
        let start = self.fields.len() as u32;
        self.fields.extend_from_slice(fields);
        self.push(Shape::Fields(start..self.fields.len() as u32))
    }

    pub(super) fn push_cases(&mut self, cases: &[Option<NodeId>]) -> NodeId {
        let start = self.cases.len() as u32;
        self.cases.extend_from_slice(cases);
        self.push(Shape::Cases(start..self.cases.len() as u32))
    }

    fn layout_of(&self, shape: &Shape) -> Layout {
        match shape {
            Shape::Scalar(scalar) => Layout::scalar(scalar.size() as u64, scalar.smallest() as u64),
            Shape::String | Shape::List { .. } | Shape::Map { .. } => Layout {
                size: 8,
                align: 4,
                flat: 2,
                smallest: 1,
            },
            Shape::FixedList { element, length } => self.layout(*element).times(*length),
            Shape::Fields(run) => {
                Layout::sequence(self.fields(run).iter().map(|id| self.layout(*id)))
            }
            Shape::Cases(run) => {
                let payloads = self.cases(run).iter();
                Layout::choice(payloads.map(|id| id.map(|id| self.layout(id))))
            }
            Shape::Enum { cases } => Layout::scalar(discriminant_size(*cases as usize), 1),
            Shape::Flags { labels } => Layout::scalar(flags_size(*labels) as u64, 1),
            Shape::Own(_) | Shape::Borrow(_) | Shape::Stream(_) | Shape::Future(_) => {
                Layout::scalar(4, 1)
            }
        }
    }
}

impl Layout {
    fn scalar(size: u64, smallest: u64) -> Self {
        Self {
            size,
            align: size,
            flat: 1,
            smallest,
        }
    }

    /// Returns the layout of fields one after the other.
    pub(super) fn sequence(fields: impl Iterator<Item = Self>) -> Self {
        let mut all = Self {
            size: 0,
            align: 1,
            flat: 0,
            smallest: 0,
        };
        for field in fields {
            all.size = align_up(all.size, field.align).saturating_add(field.size);
            all.align = all.align.max(field.align);
            all.flat = clamp_flat(all.flat.saturating_add(field.flat));
            all.smallest = all.smallest.saturating_add(field.smallest);
        }
        all.size = align_up(all.size, all.align);
        all
    }

    /// Returns the layout of a discriminant followed by one of the payloads.
    fn choice(payloads: impl ExactSizeIterator<Item = Option<Self>>) -> Self {
        let tag = discriminant_size(payloads.len());
        let mut payload = Self {
            size: 0,
            align: tag,
            flat: 0,
            smallest: u64::MAX,
        };
        for case in payloads {
            let case = case.unwrap_or(Self {
                size: 0,
                align: 1,
                flat: 0,
                smallest: 0,
            });
            payload.size = payload.size.max(case.size);
            payload.align = payload.align.max(case.align);
            payload.flat = payload.flat.max(case.flat);
            payload.smallest = payload.smallest.min(case.smallest);
        }
        let end = align_up(tag, payload.align).saturating_add(payload.size);
        Self {
            size: align_up(end, payload.align),
            align: payload.align,
            flat: clamp_flat(payload.flat + 1),
            smallest: payload.smallest.saturating_add(1),
        }
    }

    fn times(self, length: u32) -> Self {
        Self {
            size: self.size.saturating_mul(length.into()),
            align: self.align,
            flat: clamp_flat(self.flat.saturating_mul(length)),
            smallest: self.smallest.saturating_mul(length.into()),
        }
    }
}

fn clamp_flat(flat: u32) -> u32 {
    flat.min(MAX_FLAT + 1)
}

fn align_up(at: u64, align: u64) -> u64 {
    at.checked_next_multiple_of(align).unwrap_or(u64::MAX)
}

fn discriminant_size(cases: usize) -> u64 {
    match cases {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}
