//! Wasmtime's description of a component's types, in the form that the walks use.

use wasmtime::component::__internal::wasmtime_environ::component as environ;
use wasmtime::component::__internal::{CanonicalAbiInfo, ComponentTypes, InterfaceType};

use environ::{
    TypeEnum, TypeMap, TypeOption, TypeRecord, TypeResult, TypeTuple, TypeVariant, VariantInfo,
};

use super::super::scalar::Scalar;
use super::super::wire::Keys;

/// The most flat core values of parameters or results. More move to memory.
pub(super) const MAX_FLAT: usize = environ::MAX_FLAT_PARAMS;

/// The most flat core values of the result of a sync lift or any lower. More move to memory.
pub(super) const MAX_FLAT_RESULTS: usize = environ::MAX_FLAT_RESULTS;

/// One type, by how it is walked.
pub(super) enum Kind<'t> {
    Scalar(Scalar),
    String,
    List(InterfaceType),
    FixedList {
        element: InterfaceType,
        length: usize,
    },
    Map(&'t TypeMap),
    Fields(Fields<'t>),
    Cases(Cases<'t>),
    Flags {
        labels: u32,
    },
    /// A resource, whether owned or lent.
    Resource,
    Stream(Payload),
    Future(Payload),
    /// A type that every plan refuses.
    Unsupported,
}

/// Which Rust type moves the elements of a stream or future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    /// There are none: `()`. Wasmtime accepts nothing else.
    Nothing,
    /// `u8`, so that slices of guest memory are copied.
    Bytes,
    /// Other integers and floats: [`Element`](super::Element), whose chunks are as in memory.
    Numbers,
    /// Everything else: [`Element`](super::Element).
    Values,
}

/// A record or tuple.
#[derive(Clone, Copy)]
pub(super) enum Fields<'t> {
    Record(&'t TypeRecord),
    Tuple(&'t TypeTuple),
}

/// A variant, or a type that is walked like one.
#[derive(Clone, Copy)]
pub(super) enum Cases<'t> {
    Variant(&'t TypeVariant),
    Enum(&'t TypeEnum),
    Option(&'t TypeOption),
    Result(&'t TypeResult),
}

impl<'t> Kind<'t> {
    pub(super) fn of(types: &'t ComponentTypes, ty: InterfaceType) -> Self {
        match ty {
            InterfaceType::Bool => Self::Scalar(Scalar::Bool),
            InterfaceType::S8 => Self::Scalar(Scalar::S8),
            InterfaceType::U8 => Self::Scalar(Scalar::U8),
            InterfaceType::S16 => Self::Scalar(Scalar::S16),
            InterfaceType::U16 => Self::Scalar(Scalar::U16),
            InterfaceType::S32 => Self::Scalar(Scalar::S32),
            InterfaceType::U32 => Self::Scalar(Scalar::U32),
            InterfaceType::S64 => Self::Scalar(Scalar::S64),
            InterfaceType::U64 => Self::Scalar(Scalar::U64),
            InterfaceType::Float32 => Self::Scalar(Scalar::F32),
            InterfaceType::Float64 => Self::Scalar(Scalar::F64),
            InterfaceType::Char => Self::Scalar(Scalar::Char),
            InterfaceType::String => Self::String,
            InterfaceType::List(index) => Self::List(types[index].element),
            InterfaceType::FixedLengthList(index) => Self::FixedList {
                element: types[index].element,
                length: types[index].size as usize,
            },
            InterfaceType::Map(index) => Self::Map(&types[index]),
            InterfaceType::Record(index) => Self::Fields(Fields::Record(&types[index])),
            InterfaceType::Tuple(index) => Self::Fields(Fields::Tuple(&types[index])),
            InterfaceType::Variant(index) => Self::Cases(Cases::Variant(&types[index])),
            InterfaceType::Enum(index) => Self::Cases(Cases::Enum(&types[index])),
            InterfaceType::Option(index) => Self::Cases(Cases::Option(&types[index])),
            InterfaceType::Result(index) => Self::Cases(Cases::Result(&types[index])),
            InterfaceType::Flags(index) => match types[index].names.len() {
                labels @ 0..=32 => Self::Flags {
                    labels: labels as u32,
                },
                _ => Self::Unsupported,
            },
            InterfaceType::Own(_) | InterfaceType::Borrow(_) => Self::Resource,
            InterfaceType::Stream(index) => {
                Self::Stream(Payload::of_stream(types[types[index].ty].payload))
            }
            InterfaceType::Future(index) => {
                Self::Future(Payload::of_future(types[types[index].ty].payload))
            }
            InterfaceType::ErrorContext(_) => Self::Unsupported,
        }
    }

    /// Returns the size of a number in bytes.
    pub(super) fn number(&self) -> Option<usize> {
        match self {
            Self::Scalar(Scalar::Bool | Scalar::Char) => None,
            Self::Scalar(number) => Some(number.size()),
            _ => None,
        }
    }

    /// Returns how values of this kind are written as keys of a map. `None` for the many kinds that
    /// can't be keys.
    pub(super) fn as_keys(&self) -> Option<Keys> {
        match self {
            Self::Scalar(scalar) => scalar.as_keys(),
            Self::String => Some(Keys::Text),
            _ => None,
        }
    }
}

impl Payload {
    fn of_stream(ty: Option<InterfaceType>) -> Self {
        match ty {
            None => Self::Nothing,
            Some(InterfaceType::U8) => Self::Bytes,
            Some(
                InterfaceType::S8
                | InterfaceType::U16
                | InterfaceType::S16
                | InterfaceType::U32
                | InterfaceType::S32
                | InterfaceType::U64
                | InterfaceType::S64
                | InterfaceType::Float32
                | InterfaceType::Float64,
            ) => Self::Numbers,
            Some(_) => Self::Values,
        }
    }

    fn of_future(ty: Option<InterfaceType>) -> Self {
        match ty {
            None => Self::Nothing,
            Some(_) => Self::Values,
        }
    }
}

impl<'t> Fields<'t> {
    pub(super) fn iter(self) -> impl Iterator<Item = InterfaceType> + 't {
        let count = match self {
            Self::Record(record) => record.fields.len(),
            Self::Tuple(tuple) => tuple.types.len(),
        };
        (0..count).map(move |index| match self {
            Self::Record(record) => record.fields[index].ty,
            Self::Tuple(tuple) => tuple.types[index],
        })
    }
}

impl<'t> Cases<'t> {
    pub(super) fn count(self) -> u32 {
        let count = match self {
            Self::Variant(variant) => variant.cases.len(),
            Self::Enum(names) => names.names.len(),
            Self::Option(_) | Self::Result(_) => 2,
        };
        count as u32
    }

    pub(super) fn payload(self, case: u32) -> Option<InterfaceType> {
        match self {
            Self::Variant(variant) => *variant.cases.get_index(case as usize)?.1,
            Self::Enum(_) => None,
            Self::Option(option) => (case == 1).then_some(option.ty),
            Self::Result(result) if case == 0 => result.ok,
            Self::Result(result) => result.err,
        }
    }

    /// Returns the number of core values of the flat form. `None` when there is no flat form.
    pub(super) fn flat(self) -> Option<usize> {
        self.abi().flat_count(MAX_FLAT)
    }

    pub(super) fn discriminant_size(self) -> usize {
        self.info().size.byte_size() as usize
    }

    pub(super) fn payload_offset(self) -> usize {
        self.info().payload_offset32 as usize
    }

    fn info(self) -> &'t VariantInfo {
        match self {
            Self::Variant(variant) => &variant.info,
            Self::Enum(names) => &names.info,
            Self::Option(option) => &option.info,
            Self::Result(result) => &result.info,
        }
    }

    fn abi(self) -> &'t CanonicalAbiInfo {
        match self {
            Self::Variant(variant) => &variant.abi,
            Self::Enum(names) => &names.abi,
            Self::Option(option) => &option.abi,
            Self::Result(result) => &result.abi,
        }
    }
}

/// The places of fields one after the other.
pub(super) struct Places<'t> {
    types: &'t ComponentTypes,
    next: usize,
}

impl<'t> Places<'t> {
    pub(super) fn new(types: &'t ComponentTypes, start: usize) -> Self {
        Self { types, next: start }
    }

    pub(super) fn place(&mut self, ty: InterfaceType) -> usize {
        let abi = self.types.canonical_abi(&ty);
        let at = self.next.next_multiple_of(abi.align32 as usize);
        self.next = at + abi.size32 as usize;
        at
    }
}
