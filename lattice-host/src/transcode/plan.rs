//! What the host knows about one function: compiled once, when an actor is linked, from the types
//! in its component.

use wasmtime::component::types::{ComponentFunc, Type};

use super::shape::{Layout, NodeId, Shape, Tree};
use super::signature::Text;

/// Deepest nesting of types. Far beyond any interface; validation recurses that deep.
const MAX_DEPTH: usize = 64;

/// Most nodes, fields and cases of a function's types, written out without sharing. Far beyond any
/// interface that a person writes; without a bound, a few dozen nested tuples of pairs stand for
/// more nodes than fit in memory.
const MAX_NODES: usize = 10_000;

/// Most bytes of guest memory for one value, without what it points to. Only a fixed-length list
/// gets near it.
const MAX_SIZE: u64 = 1 << 28;

/// How values of one function move between guests and the wire, and what its signature is.
#[derive(Debug)]
pub(crate) struct FunctionPlan {
    interface: Box<str>,
    name: Box<str>,
    asyncness: Asyncness,
    signature: Box<str>,
    pub(super) tree: Tree,
    pub(super) params: Box<[NodeId]>,
    pub(super) result: Option<NodeId>,
    params_flat: u32,
    result_flat: u32,
}

/// Whether a function is an `async func` in WIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asyncness {
    /// `func`: its caller's instance waits for it.
    Sync,
    /// `async func`: calls overlap.
    Async,
}

impl FunctionPlan {
    /// Compiles the type of function `name` of `interface`.
    ///
    /// # Errors
    /// When a type isn't supported, or is larger than any sensible interface has it.
    pub(crate) fn new(interface: &str, name: &str, ty: &ComponentFunc) -> Result<Self, PlanError> {
        let asyncness = if ty.async_() {
            Asyncness::Async
        } else {
            Asyncness::Sync
        };
        let mut builder = Builder::new(interface, name);
        let mut params = Vec::new();
        builder.text.open_function(asyncness);
        for (name, ty) in ty.params() {
            builder.text.member(name);
            params.push(builder.value(name, &ty)?);
        }
        builder.text.close_function();
        let mut result = None;
        for ty in ty.results() {
            builder.text.result();
            result = Some(builder.value("result", &ty)?);
        }
        let Builder { tree, text, .. } = builder;
        let flat = |ids: &[NodeId]| Layout::sequence(ids.iter().map(|id| tree.layout(*id))).flat;
        let signature = text.finish();
        Ok(Self {
            interface: interface.into(),
            name: name.into(),
            asyncness,
            signature,
            params_flat: flat(&params),
            result_flat: flat(result.as_slice()),
            params: params.into(),
            result,
            tree,
        })
    }

    /// The interface the function belongs to, as given to [`new`](Self::new).
    pub(crate) fn interface(&self) -> &str {
        &self.interface
    }

    /// The function's own name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether calls of it overlap.
    pub(crate) fn asyncness(&self) -> Asyncness {
        self.asyncness
    }

    /// The canonical text of the signature; its grammar is in [`super::signature`].
    pub(crate) fn signature(&self) -> &str {
        &self.signature
    }

    /// The first 8 bytes of the BLAKE3 hash of [`signature`](Self::signature).
    #[cfg(test)]
    pub(crate) fn signature_hash(&self) -> [u8; 8] {
        hash(&self.signature)
    }

    /// Core values that the parameters take when passed flat; more than 16 is 17.
    pub(super) fn params_flat(&self) -> u32 {
        self.params_flat
    }

    /// Core values that the result takes when passed flat; more than 16 is 17.
    pub(super) fn result_flat(&self) -> u32 {
        self.result_flat
    }
}

/// Why a function can't be planned. Found when an actor is linked, so the call is never made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PlanError {
    /// A type has no wire form yet.
    #[error(
        "function `{function}` of `{interface}` has {kind} at `{path}`, which isn't supported yet; use a type made of \
         plain values there"
    )]
    Unsupported {
        /// Interface of the function.
        interface: String,
        /// The function.
        function: String,
        /// Where in it: `parameter.field[].case`, or `result` for the first step.
        path: String,
        /// The type, as WIT names it.
        kind: &'static str,
    },
    /// Types are nested too deeply.
    #[error(
        "function `{function}` of `{interface}` nests types more than {limit} deep at `{path}`; flatten them"
    )]
    TooDeep {
        /// Interface of the function.
        interface: String,
        /// The function.
        function: String,
        /// Where in it.
        path: String,
        /// Deepest nesting allowed.
        limit: usize,
    },
    /// The types have too many parts.
    #[error(
        "function `{function}` of `{interface}` has more than {limit} fields and cases in all; split it"
    )]
    TooComplex {
        /// Interface of the function.
        interface: String,
        /// The function.
        function: String,
        /// Most nodes, fields and cases.
        limit: usize,
    },
    /// A single value takes too much memory.
    #[error(
        "function `{function}` of `{interface}` has a value of {size} bytes at `{path}`, more than {limit}; use a list without a fixed length"
    )]
    TooLarge {
        /// Interface of the function.
        interface: String,
        /// The function.
        function: String,
        /// Where in it.
        path: String,
        /// Bytes the value takes in guest memory.
        size: u64,
        /// Most bytes.
        limit: u64,
    },
}

/// Compiles types and writes their text in one walk.
struct Builder<'n> {
    interface: &'n str,
    function: &'n str,
    tree: Tree,
    text: Text,
    /// Where the walk is, for errors.
    path: String,
    depth: usize,
}

impl<'n> Builder<'n> {
    fn new(interface: &'n str, function: &'n str) -> Self {
        Self {
            interface,
            function,
            tree: Tree::default(),
            text: Text::default(),
            path: String::new(),
            depth: 0,
        }
    }

    /// Compiles `ty`, which is reached by `step` from where the walk is.
    fn value(&mut self, step: &str, ty: &Type) -> Result<NodeId, PlanError> {
        let end = self.path.len();
        if end > 0 && !step.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(step);
        self.depth += 1;
        self.check_bounds()?;
        let id = self.compile(ty)?;
        self.check_size(id)?;
        self.depth -= 1;
        self.path.truncate(end);
        Ok(id)
    }

    fn compile(&mut self, ty: &Type) -> Result<NodeId, PlanError> {
        match ty {
            Type::Bool => Ok(self.plain("bool", Shape::Bool)),
            Type::S8 => Ok(self.plain("s8", Shape::Byte)),
            Type::U8 => Ok(self.plain("u8", Shape::Byte)),
            Type::S16 => Ok(self.plain("s16", Shape::Sint { bits: 16 })),
            Type::U16 => Ok(self.plain("u16", Shape::Uint { bits: 16 })),
            Type::S32 => Ok(self.plain("s32", Shape::Sint { bits: 32 })),
            Type::U32 => Ok(self.plain("u32", Shape::Uint { bits: 32 })),
            Type::S64 => Ok(self.plain("s64", Shape::Sint { bits: 64 })),
            Type::U64 => Ok(self.plain("u64", Shape::Uint { bits: 64 })),
            Type::Float32 => Ok(self.plain("f32", Shape::Float { bytes: 4 })),
            Type::Float64 => Ok(self.plain("f64", Shape::Float { bytes: 8 })),
            Type::Char => Ok(self.plain("char", Shape::Char)),
            Type::String => Ok(self.plain("string", Shape::String)),
            Type::Record(record) => {
                self.record(record.fields().map(|field| (field.name, field.ty)))
            }
            Type::Variant(variant) => {
                self.variant(variant.cases().map(|case| (case.name, case.ty)))
            }
            Type::Enum(names) => {
                let cases = self.text.names("enum", names.names());
                self.names(Shape::Enum { cases })
            }
            Type::Flags(names) => match self.text.names("flags", names.names()) {
                labels @ 0..=32 => self.names(Shape::Flags { labels }),
                _ => Err(self.unsupported("flags with more than 32 labels")),
            },
            Type::List(_)
            | Type::FixedLengthList(_)
            | Type::Map(_)
            | Type::Tuple(_)
            | Type::Option(_)
            | Type::Result(_) => self.generic(ty),
            Type::Own(_) => Err(self.unsupported("own")),
            Type::Borrow(_) => Err(self.unsupported("borrow")),
            Type::Future(_) => Err(self.unsupported("future")),
            Type::Stream(_) => Err(self.unsupported("stream")),
            Type::ErrorContext => Err(self.unsupported("error-context")),
        }
    }

    /// The types that WIT writes with angle brackets.
    fn generic(&mut self, ty: &Type) -> Result<NodeId, PlanError> {
        match ty {
            Type::List(list) => {
                self.text.open("list<");
                let element = self.value("[]", &list.ty())?;
                self.text.close(">");
                Ok(self.tree.push(Shape::List { element }))
            }
            Type::FixedLengthList(list) => {
                self.text.open("list<");
                let element = self.value("[]", &list.ty())?;
                self.text.length(list.len());
                Ok(self.tree.push(Shape::FixedList {
                    element,
                    length: list.len(),
                }))
            }
            Type::Map(map) => {
                self.text.open("map<");
                let key = self.argument("[key]", &map.key())?;
                let value = self.argument("[value]", &map.value())?;
                self.text.close(">");
                let Some(keys) = self.tree.node(key).shape.as_keys() else {
                    return Err(self.unsupported("map with keys that are neither numbers nor text"));
                };
                Ok(self.tree.push(Shape::Map { key, keys, value }))
            }
            Type::Tuple(tuple) => {
                self.text.open("tuple<");
                let mut fields = Vec::new();
                for (index, ty) in tuple.types().enumerate() {
                    fields.push(self.argument(&index.to_string(), &ty)?);
                }
                self.text.close(">");
                Ok(self.tree.push_fields(&fields))
            }
            Type::Option(option) => {
                self.text.open("option<");
                let some = self.value("some", &option.ty())?;
                self.text.close(">");
                Ok(self.tree.push_cases(&[None, Some(some)]))
            }
            Type::Result(result) => self.result(result.ok(), result.err()),
            _ => Err(self.unsupported("an unknown type")),
        }
    }

    fn record<'t>(
        &mut self,
        members: impl Iterator<Item = (&'t str, Type)>,
    ) -> Result<NodeId, PlanError> {
        self.text.open("record {");
        let mut fields = Vec::new();
        for (name, ty) in members {
            self.text.member(name);
            fields.push(self.value(name, &ty)?);
        }
        self.text.close_braces();
        Ok(self.tree.push_fields(&fields))
    }

    fn variant<'t>(
        &mut self,
        members: impl Iterator<Item = (&'t str, Option<Type>)>,
    ) -> Result<NodeId, PlanError> {
        self.text.open("variant {");
        let mut cases = Vec::new();
        for (name, ty) in members {
            self.text.item(name);
            let Some(ty) = ty else {
                cases.push(None);
                continue;
            };
            self.text.open("(");
            cases.push(Some(self.value(name, &ty)?));
            self.text.close(")");
        }
        self.text.close_braces();
        Ok(self.tree.push_cases(&cases))
    }

    fn result(&mut self, ok: Option<Type>, err: Option<Type>) -> Result<NodeId, PlanError> {
        if ok.is_none() && err.is_none() {
            self.text.word("result");
            return Ok(self.tree.push_cases(&[None, None]));
        }
        self.text.open("result<");
        let ok = ok.map(|ty| self.argument("ok", &ty)).transpose()?;
        if ok.is_none() {
            self.text.item("_");
        }
        let err = err.map(|ty| self.argument("err", &ty)).transpose()?;
        self.text.close(">");
        Ok(self.tree.push_cases(&[ok, err]))
    }

    /// One of several types between angle brackets.
    fn argument(&mut self, step: &str, ty: &Type) -> Result<NodeId, PlanError> {
        self.text.separate();
        self.value(step, ty)
    }

    fn plain(&mut self, word: &str, shape: Shape) -> NodeId {
        self.text.word(word);
        self.tree.push(shape)
    }

    /// An enum or flags, whose text has just been written.
    fn names(&mut self, shape: Shape) -> Result<NodeId, PlanError> {
        self.check_bounds()?;
        Ok(self.tree.push(shape))
    }

    fn check_bounds(&self) -> Result<(), PlanError> {
        let (interface, function) = (self.interface.into(), self.function.into());
        if self.depth > MAX_DEPTH {
            let path = self.path.clone();
            return Err(PlanError::TooDeep {
                interface,
                function,
                path,
                limit: MAX_DEPTH,
            });
        }
        if self.tree.len().max(self.text.names_written()) > MAX_NODES {
            return Err(PlanError::TooComplex {
                interface,
                function,
                limit: MAX_NODES,
            });
        }
        Ok(())
    }

    fn check_size(&self, id: NodeId) -> Result<(), PlanError> {
        let size = self.tree.layout(id).size;
        if size <= MAX_SIZE {
            return Ok(());
        }
        Err(PlanError::TooLarge {
            interface: self.interface.into(),
            function: self.function.into(),
            path: self.path.clone(),
            size,
            limit: MAX_SIZE,
        })
    }

    fn unsupported(&self, kind: &'static str) -> PlanError {
        PlanError::Unsupported {
            interface: self.interface.into(),
            function: self.function.into(),
            path: self.path.clone(),
            kind,
        }
    }
}

#[cfg(test)]
fn hash(signature: &str) -> [u8; 8] {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(signature.as_bytes()).as_bytes()[..8]);
    first
}
