//! The plan of a function, compiled from the types in its component when an actor is linked.

use std::sync::Arc;

use lattice_wit::signature::{self, Case, Field, MAX_DEPTH};
use wasmtime::component::ResourceType;
use wasmtime::component::types::{ComponentFunc, Type};

use super::failure_value::FailureValue;
use super::plan_error::{PlanError, Unplannable};
use super::resources::{ResourceIndex, Resources};
use super::scalar::Scalar;
use super::shape::{Layout, NodeId, Shape, Tree};

/// Most nodes, fields and cases of a function's types, counted without sharing. This is far more
/// than any hand-written interface has. Without a bound, a few dozen nested tuples of pairs would
/// expand to more nodes than fit in memory.
const MAX_NODES: usize = 10_000;

/// Most bytes of guest memory for one value, without what it points to. Only a fixed-length list
/// can come close to it.
const MAX_SIZE: u64 = 1 << 28;

/// How values of one function move between guests and the wire, and its signature.
#[derive(Debug)]
pub(crate) struct FunctionPlan {
    interface: Box<str>,
    name: Box<str>,
    asyncness: Asyncness,
    signature: Box<str>,
    pub(super) tree: Arc<Tree>,
    pub(super) params: Box<[NodeId]>,
    pub(super) result: Option<NodeId>,
    params_flat: u32,
    result_flat: u32,
    passes_handles: bool,
}

/// Whether a function is an `async func` in WIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asyncness {
    /// `func`: the caller's instance waits for it.
    Sync,
    /// `async func`: calls overlap.
    Async,
}

impl FunctionPlan {
    /// Compiles the type of function `name` of `interface`, in which these resources may be.
    ///
    /// # Errors
    /// Fails when a type isn't supported, or is over a limit.
    pub(crate) fn new(
        (interface, name): (&str, &str),
        ty: &ComponentFunc,
        resources: &Arc<Resources>,
    ) -> Result<Self, PlanError> {
        let asyncness = if ty.async_() {
            Asyncness::Async
        } else {
            Asyncness::Sync
        };
        let mut builder = Builder::new(interface, name, resources);
        let mut params = Vec::new();
        let mut fields = Vec::new();
        for (name, ty) in ty.params() {
            let (id, field) = builder.field(name, &ty)?;
            params.push(id);
            fields.push(field);
        }
        let (mut result, mut result_type) = (None, None);
        for ty in ty.results() {
            let (id, ty) = builder.value("result", &ty)?;
            (result, result_type) = (Some(id), Some(ty));
        }
        let signature = signature::Function {
            is_async: asyncness == Asyncness::Async,
            params: fields,
            result: result_type,
        };
        let tree = builder.tree;
        let flat = |ids: &[NodeId]| Layout::sequence(ids.iter().map(|id| tree.layout(*id))).flat;
        Ok(Self {
            interface: interface.into(),
            name: name.into(),
            asyncness,
            signature: signature.to_string().into(),
            params_flat: flat(&params),
            result_flat: flat(result.as_slice()),
            params: params.into(),
            result,
            passes_handles: tree.has_handles(),
            tree: Arc::new(tree),
        })
    }

    /// Returns the interface of the function, as given to [`new`](Self::new).
    pub(crate) fn interface(&self) -> &str {
        &self.interface
    }

    /// Returns the function's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether calls of the function overlap.
    pub(crate) fn asyncness(&self) -> Asyncness {
        self.asyncness
    }

    /// Returns the canonical text of the signature. Its grammar is in [`lattice_wit::signature`].
    pub(crate) fn signature(&self) -> &str {
        &self.signature
    }

    /// Returns the first 8 bytes of the BLAKE3 hash of [`signature`](Self::signature).
    #[cfg(test)]
    pub(crate) fn signature_hash(&self) -> [u8; 8] {
        hash(&self.signature)
    }

    /// Returns whether there are streams or handles in the function's type.
    pub(crate) fn passes_handles(&self) -> bool {
        self.passes_handles
    }

    /// Returns the number of core values of the parameters when passed flat. More than 16 is 17.
    pub(super) fn params_flat(&self) -> u32 {
        self.params_flat
    }

    /// Returns the number of core values of the result when passed flat. More than 16 is 17.
    pub(super) fn result_flat(&self) -> u32 {
        self.result_flat
    }
}

/// Compiles types for the walks over values and for the signature, in one walk.
struct Builder<'n> {
    interface: &'n str,
    function: &'n str,
    tree: Tree,
    /// The number of members that have been named, as a measure of the work done.
    names: usize,
    /// The current place of the walk, for errors.
    path: String,
    depth: usize,
    /// How many streams and futures the current place is in.
    channels: usize,
}

/// A type in the form for walks, and in the form of the signature.
type Compiled = (NodeId, signature::Type);

impl<'n> Builder<'n> {
    fn new(interface: &'n str, function: &'n str, resources: &Arc<Resources>) -> Self {
        Self {
            interface,
            function,
            tree: Tree::new(resources.clone()),
            names: 0,
            path: String::new(),
            depth: 0,
            channels: 0,
        }
    }

    /// Compiles `ty`, which is reached by `step` from the current place.
    fn value(&mut self, step: &str, ty: &Type) -> Result<Compiled, PlanError> {
        let end = self.path.len();
        if end > 0 && !step.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(step);
        self.depth += 1;
        self.check_bounds()?;
        let compiled = self.compile(ty)?;
        self.check_size(compiled.0)?;
        self.depth -= 1;
        self.path.truncate(end);
        Ok(compiled)
    }

    fn compile(&mut self, ty: &Type) -> Result<Compiled, PlanError> {
        use signature::Type as Named;
        let (shape, named) = match ty {
            Type::Bool => (Shape::Scalar(Scalar::Bool), Named::Bool),
            Type::S8 => (Shape::Scalar(Scalar::S8), Named::S8),
            Type::U8 => (Shape::Scalar(Scalar::U8), Named::U8),
            Type::S16 => (Shape::Scalar(Scalar::S16), Named::S16),
            Type::U16 => (Shape::Scalar(Scalar::U16), Named::U16),
            Type::S32 => (Shape::Scalar(Scalar::S32), Named::S32),
            Type::U32 => (Shape::Scalar(Scalar::U32), Named::U32),
            Type::S64 => (Shape::Scalar(Scalar::S64), Named::S64),
            Type::U64 => (Shape::Scalar(Scalar::U64), Named::U64),
            Type::Float32 => (Shape::Scalar(Scalar::F32), Named::F32),
            Type::Float64 => (Shape::Scalar(Scalar::F64), Named::F64),
            Type::Char => (Shape::Scalar(Scalar::Char), Named::Char),
            Type::String => (Shape::String, Named::String),
            Type::Record(record) => {
                return self.record(record.fields().map(|field| (field.name, field.ty)));
            }
            Type::Variant(variant) => {
                return self.variant(variant.cases().map(|case| (case.name, case.ty)));
            }
            Type::Enum(names) => {
                let names = self.names(names.names());
                self.check_bounds()?;
                let cases = names.len() as u32;
                (Shape::Enum { cases }, Named::Enum(names))
            }
            Type::Flags(names) => {
                let names = self.names(names.names());
                let labels = names.len() as u32;
                if labels > 32 {
                    return Err(self.unsupported("flags with more than 32 labels"));
                }
                self.check_bounds()?;
                (Shape::Flags { labels }, Named::Flags(names))
            }
            Type::List(_)
            | Type::FixedLengthList(_)
            | Type::Map(_)
            | Type::Tuple(_)
            | Type::Option(_)
            | Type::Result(_) => return self.generic(ty),
            Type::Own(ty) => {
                let (index, name) = self.resource(*ty)?;
                (Shape::Own(index), Named::Own(name))
            }
            Type::Borrow(_) if self.channels > 0 => {
                return Err(self.refused(Unplannable::BorrowInChannel {
                    path: self.path.clone(),
                }));
            }
            Type::Borrow(ty) => {
                let (index, name) = self.resource(*ty)?;
                (Shape::Borrow(index), Named::Borrow(name))
            }
            Type::Stream(stream) if stream.ty() == Some(Type::Char) => {
                return Err(self.unsupported("stream<char>"));
            }
            Type::Stream(stream) => {
                let (id, named) = self.element(stream.ty())?;
                (Shape::Stream(id), Named::Stream(named))
            }
            Type::Future(future) => {
                let (id, named) = self.element(future.ty())?;
                (Shape::Future(id), Named::Future(named))
            }
            Type::ErrorContext => return Err(self.unsupported("error-context")),
        };
        Ok((self.tree.push(shape), named))
    }

    fn resource(&self, ty: ResourceType) -> Result<(ResourceIndex, String), PlanError> {
        let resources = &self.tree.resources;
        let index = resources.index(ty).ok_or_else(|| {
            self.refused(Unplannable::UnknownResource {
                path: self.path.clone(),
            })
        })?;
        Ok((index, resources.get(index).name.to_string()))
    }

    /// Compiles the type in a stream or future.
    fn element(
        &mut self,
        ty: Option<Type>,
    ) -> Result<(Option<NodeId>, Option<Box<signature::Type>>), PlanError> {
        self.channels += 1;
        let failure = ty.as_ref().and_then(FailureValue::of_element);
        let (id, named) = self.optional("[]", ty)?;
        if let (Some(id), Some(failure)) = (id, failure) {
            self.tree.push_failure(id, failure);
        }
        self.channels -= 1;
        Ok((id, named.map(Box::new)))
    }

    /// Compiles the types that WIT writes with angle brackets.
    fn generic(&mut self, ty: &Type) -> Result<Compiled, PlanError> {
        use signature::Type as Named;
        match ty {
            Type::List(list) => {
                let (element, named) = self.value("[]", &list.ty())?;
                let id = self.tree.push(Shape::List { element });
                Ok((id, Named::List(named.into())))
            }
            Type::FixedLengthList(list) => {
                let length = list.len();
                let (element, named) = self.value("[]", &list.ty())?;
                let id = self.tree.push(Shape::FixedList { element, length });
                Ok((id, Named::FixedList(named.into(), length)))
            }
            Type::Map(map) => {
                let (key, key_named) = self.value("[key]", &map.key())?;
                let (value, value_named) = self.value("[value]", &map.value())?;
                let Some(keys) = self.tree.node(key).shape.as_keys() else {
                    return Err(self.unsupported("map with keys that are neither numbers nor text"));
                };
                let id = self.tree.push(Shape::Map { key, keys, value });
                Ok((id, Named::Map(key_named.into(), value_named.into())))
            }
            Type::Tuple(tuple) => {
                let (mut fields, mut named) = (Vec::new(), Vec::new());
                for (index, ty) in tuple.types().enumerate() {
                    let (id, ty) = self.value(&index.to_string(), &ty)?;
                    fields.push(id);
                    named.push(ty);
                }
                Ok((self.tree.push_fields(&fields), Named::Tuple(named)))
            }
            Type::Option(option) => {
                let (some, named) = self.value("some", &option.ty())?;
                let id = self.tree.push_cases(&[None, Some(some)]);
                Ok((id, Named::Option(named.into())))
            }
            Type::Result(result) => self.result(result.ok(), result.err()),
            _ => Err(self.unsupported("an unknown type")),
        }
    }

    fn record<'t>(
        &mut self,
        members: impl Iterator<Item = (&'t str, Type)>,
    ) -> Result<Compiled, PlanError> {
        let (mut ids, mut fields) = (Vec::new(), Vec::new());
        for (name, ty) in members {
            let (id, field) = self.field(name, &ty)?;
            ids.push(id);
            fields.push(field);
        }
        let id = self.tree.push_fields(&ids);
        Ok((id, signature::Type::Record(fields)))
    }

    /// Compiles a field of a record, or a parameter.
    fn field(&mut self, name: &str, ty: &Type) -> Result<(NodeId, Field), PlanError> {
        let name = self.name(name);
        let (id, ty) = self.value(&name, ty)?;
        Ok((id, Field { name, ty }))
    }

    fn variant<'t>(
        &mut self,
        members: impl Iterator<Item = (&'t str, Option<Type>)>,
    ) -> Result<Compiled, PlanError> {
        let (mut ids, mut cases) = (Vec::new(), Vec::new());
        for (name, ty) in members {
            let name = self.name(name);
            let (id, ty) = self.optional(&name, ty)?;
            ids.push(id);
            cases.push(Case { name, ty });
        }
        let id = self.tree.push_cases(&ids);
        Ok((id, signature::Type::Variant(cases)))
    }

    fn result(&mut self, ok: Option<Type>, err: Option<Type>) -> Result<Compiled, PlanError> {
        // A missing `ok` before an `err` is written as `_`, which counts as a name.
        if ok.is_none() && err.is_some() {
            self.names += 1;
        }
        let (ok_id, ok) = self.optional("ok", ok)?;
        let (err_id, err) = self.optional("err", err)?;
        let id = self.tree.push_cases(&[ok_id, err_id]);
        let (ok, err) = (ok.map(Box::new), err.map(Box::new));
        Ok((id, signature::Type::Result { ok, err }))
    }

    fn optional(
        &mut self,
        step: &str,
        ty: Option<Type>,
    ) -> Result<(Option<NodeId>, Option<signature::Type>), PlanError> {
        let compiled = ty.map(|ty| self.value(step, &ty)).transpose()?;
        Ok(compiled.unzip())
    }

    fn names<'t>(&mut self, names: impl Iterator<Item = &'t str>) -> Vec<String> {
        names.map(|name| self.name(name)).collect()
    }

    fn name(&mut self, name: &str) -> String {
        self.names += 1;
        name.to_owned()
    }

    fn check_bounds(&self) -> Result<(), PlanError> {
        if self.depth > MAX_DEPTH {
            return Err(self.refused(Unplannable::TooDeep {
                path: self.path.clone(),
                limit: MAX_DEPTH,
            }));
        }
        if self.tree.len().max(self.names) > MAX_NODES {
            let limit = MAX_NODES;
            return Err(self.refused(Unplannable::TooComplex { limit }));
        }
        Ok(())
    }

    fn check_size(&self, id: NodeId) -> Result<(), PlanError> {
        let size = self.tree.layout(id).size;
        if size <= MAX_SIZE {
            return Ok(());
        }
        Err(self.refused(Unplannable::TooLarge {
            path: self.path.clone(),
            size,
            limit: MAX_SIZE,
        }))
    }

    fn unsupported(&self, kind: &'static str) -> PlanError {
        let path = self.path.clone();
        self.refused(Unplannable::Unsupported { path, kind })
    }

    fn refused(&self, reason: Unplannable) -> PlanError {
        PlanError {
            interface: self.interface.into(),
            function: self.function.into(),
            reason,
        }
    }
}

#[cfg(test)]
fn hash(signature: &str) -> [u8; 8] {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(signature.as_bytes()).as_bytes()[..8]);
    first
}
