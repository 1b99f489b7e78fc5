//! References to types: `list<key-page>` becomes `Vec<KeyPage>`.

use crate::{
    handles::HandleUse,
    name,
    world::{Interface, World, owner},
};
use proc_macro2::{Literal, TokenStream};
use quote::quote;
use wit_parser::{Handle, Type, TypeDefKind, TypeId};

/// The longest array that serde supports.
const LONGEST_ARRAY: u32 = 32;

/// Writes types as they are named inside the module of one interface.
pub(crate) struct Scope<'w, 'r> {
    pub(crate) world: &'w World<'r>,
    pub(crate) interface: &'w Interface<'r>,
    pub(crate) role: Role,
}

/// Where a type is written, which decides what stands for the handles in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// In the definition of a type, which has a type parameter for each.
    Definition,
    /// In the trait of an interface, whose `Self` is the provider.
    Interface,
    /// In the trait of a resource: the provider is `Provider__`.
    Resource,
    /// Where calls are dispatched, outside of the modules: the provider is `Provider__`.
    Dispatch,
    /// In a client.
    Client,
}

impl Scope<'_, '_> {
    /// Returns the type of an owned value.
    pub(crate) fn owned(&self, ty: &Type) -> TokenStream {
        match ty {
            Type::Bool => quote!(bool),
            Type::U8 => quote!(u8),
            Type::U16 => quote!(u16),
            Type::U32 => quote!(u32),
            Type::U64 => quote!(u64),
            Type::S8 => quote!(i8),
            Type::S16 => quote!(i16),
            Type::S32 => quote!(i32),
            Type::S64 => quote!(i64),
            Type::F32 => quote!(f32),
            Type::F64 => quote!(f64),
            Type::Char => quote!(char),
            Type::String => quote!(::std::string::String),
            Type::ErrorContext => unsupported("error-context"),
            Type::Id(id) => self.named(*id).unwrap_or_else(|| self.structure(*id)),
        }
    }

    /// Returns the type of a client's argument: borrowed where that avoids a copy.
    pub(crate) fn argument(&self, ty: &Type) -> TokenStream {
        if self.world.gives(ty) {
            return self.owned(ty);
        }
        let Some((_, definition)) = self.world.definition(ty) else {
            return match self.world.resolved(ty) {
                Type::String => quote!(&str),
                _ => self.owned(ty),
            };
        };
        match &definition.kind {
            TypeDefKind::List(element) => {
                let element = self.owned(element);
                quote!(&[#element])
            }
            TypeDefKind::Option(inner) => {
                let inner = self.argument(inner);
                quote!(::core::option::Option<#inner>)
            }
            TypeDefKind::Enum(_) | TypeDefKind::Flags(_) | TypeDefKind::Handle(_) => self.owned(ty),
            _ => {
                let owned = self.owned(ty);
                quote!(&#owned)
            }
        }
    }

    /// Returns the expression that encodes an argument. `list<u8>` is encoded as bytes, not as
    /// single elements.
    pub(crate) fn encoded_argument(&self, ty: &Type, argument: &TokenStream) -> TokenStream {
        match self
            .world
            .definition(ty)
            .map(|(_, definition)| &definition.kind)
        {
            Some(TypeDefKind::List(element)) if self.is_byte(element) => {
                quote!(::lattice_provider_sdk::__private::Blob(#argument))
            }
            Some(TypeDefKind::Option(inner)) if self.holds_bytes(inner) => {
                let inner = self.encoded_argument(inner, &quote!(value));
                quote!(#argument.map(|value| #inner))
            }
            _ => argument.clone(),
        }
    }

    /// Returns the structure of a type, without regard to its name.
    pub(crate) fn structure(&self, id: TypeId) -> TokenStream {
        match &self.world.resolve.types[id].kind {
            TypeDefKind::Type(target) => self.owned(target),
            TypeDefKind::Tuple(tuple) => {
                let elements = tuple.types.iter().map(|ty| self.owned(ty));
                quote!((#(#elements,)*))
            }
            TypeDefKind::Option(inner) => {
                let inner = self.owned(inner);
                quote!(::core::option::Option<#inner>)
            }
            TypeDefKind::Result(result) => {
                let ok = self.owned_or_unit(result.ok.as_ref());
                let err = self.owned_or_unit(result.err.as_ref());
                quote!(::core::result::Result<#ok, #err>)
            }
            TypeDefKind::List(element) if self.is_byte(element) => {
                quote!(::lattice_provider_sdk::Bytes)
            }
            TypeDefKind::List(element) => {
                let element = self.owned(element);
                quote!(::std::vec::Vec<#element>)
            }
            TypeDefKind::FixedLengthList(element, length) => {
                let element = self.owned(element);
                let count = Literal::u32_unsuffixed(*length);
                if *length <= LONGEST_ARRAY {
                    quote!([#element; #count])
                } else {
                    quote!(::lattice_provider_sdk::value::Fixed<#element, #count>)
                }
            }
            TypeDefKind::Map(key, value) => {
                let (key, value) = (self.owned(key), self.owned(value));
                quote!(::std::collections::BTreeMap<#key, #value>)
            }
            TypeDefKind::Handle(Handle::Own(id)) => {
                self.handle(HandleUse::Own(self.world.resource(*id)))
            }
            TypeDefKind::Handle(Handle::Borrow(id)) => {
                self.handle(HandleUse::Borrow(self.world.resource(*id)))
            }
            TypeDefKind::Stream(Some(element)) if self.is_byte(element) => {
                quote!(::lattice_provider_sdk::ByteReader)
            }
            TypeDefKind::Stream(element) => {
                let element = self.owned_or_unit(element.as_ref());
                quote!(::lattice_provider_sdk::StreamReader<#element>)
            }
            TypeDefKind::Future(value) => {
                let value = self.owned_or_unit(value.as_ref());
                quote!(::lattice_provider_sdk::FutureReader<#value>)
            }
            // Records, variants, enums and flags have names, and `World::new` rejects the rest.
            kind => unsupported(kind.as_str()),
        }
    }

    /// Returns the type of a result, or `()` when there is none.
    pub(crate) fn owned_or_unit(&self, ty: Option<&Type>) -> TokenStream {
        ty.map_or_else(|| quote!(()), |ty| self.owned(ty))
    }

    /// Returns the path to the module of an interface.
    fn path(&self, interface: &Interface<'_>) -> TokenStream {
        match self.role {
            Role::Dispatch => interface.path_from_root(),
            _ => interface.path_from(self.interface),
        }
    }

    fn named(&self, id: TypeId) -> Option<TokenStream> {
        let definition = &self.world.resolve.types[id];
        let name = name::camel(definition.name.as_deref()?);
        let owner = self.world.interface(owner(definition)?)?;
        let path = self.path(owner);
        let uses = self.world.uses(&Type::Id(id));
        let handles = uses.into_iter().map(|of| self.handle(of));
        let arguments = (handles.len() > 0).then(|| quote!(<#(#handles),*>));
        Some(quote!(#path::#name #arguments))
    }

    /// Returns the type parameters of a type's definition.
    pub(crate) fn generics(&self, id: TypeId) -> Option<TokenStream> {
        let uses = self.world.uses(&Type::Id(id));
        let parameters = uses.iter().map(|of| {
            let name = self.world.parameter(*of);
            // Callers needn't write it.
            let default = self.client_type(*of).map(|client| quote!(= #client));
            quote!(#name #default)
        });
        (!uses.is_empty()).then(|| quote!(<#(#parameters),*>))
    }

    /// Returns what stands for a handle to a resource.
    fn handle(&self, of: HandleUse) -> TokenStream {
        let world = self.world;
        let parameter = world.parameter(of);
        let interface = match world.resource_interface(of.resource()) {
            Some(interface) if self.role != Role::Definition => interface,
            _ => return quote!(#parameter),
        };
        if self.role != Role::Client && world.is_home(interface) {
            let ty = self.home_type(of.resource(), interface);
            return match of {
                HandleUse::Own(_) => quote!(::lattice_provider_sdk::Own<#ty>),
                HandleUse::Borrow(_) => quote!(::lattice_provider_sdk::Lent<#ty>),
            };
        }
        let path = self.path(interface);
        let name = world.resource_name(of.resource());
        let (owned, lent) = (
            name::camel_with(name, "Client"),
            name::camel_with(name, "Ref"),
        );
        match of {
            HandleUse::Own(_) => quote!(#path::#owned),
            HandleUse::Borrow(_) if self.role == Role::Client => quote!(&#path::#lent),
            HandleUse::Borrow(_) => quote!(#path::#lent),
        }
    }

    /// Returns the type that stands for an owned handle in clients, if there is one.
    fn client_type(&self, of: HandleUse) -> Option<TokenStream> {
        let HandleUse::Own(id) = of else { return None };
        let interface = self.world.resource_interface(id)?;
        let path = self.path(interface);
        let name = name::camel_with(self.world.resource_name(id), "Client");
        let is_called = self.world.is_called(interface);
        is_called.then(|| quote!(#path::#name))
    }

    /// Returns the provider's own type for a resource.
    fn home_type(&self, id: TypeId, interface: &Interface<'_>) -> TokenStream {
        let (path, handler) = (self.path(interface), interface.handler());
        let name = name::camel(self.world.resource_name(id));
        let provider = self.provider();
        quote!(<#provider as #path::#handler>::#name)
    }

    /// Returns the type of the provider.
    pub(crate) fn provider(&self) -> TokenStream {
        if self.role == Role::Interface {
            quote!(Self)
        } else {
            quote!(Provider__)
        }
    }

    /// Returns the provider's own type for a type that is an owned handle to one of its resources,
    /// and nothing else.
    pub(crate) fn home_value(&self, ty: &Type) -> Option<TokenStream> {
        let (_, definition) = self.world.definition(ty)?;
        let TypeDefKind::Handle(Handle::Own(id)) = &definition.kind else {
            return None;
        };
        let id = self.world.resource(*id);
        let interface = self.world.resource_interface(id)?;
        let is_home = self.world.is_home(interface);
        is_home.then(|| self.home_type(id, interface))
    }

    /// Returns the type that a handler returns, and how it is converted into what is encoded: a
    /// resource that is the result, or in an `option` or the `ok` of a `result`, is the provider's
    /// own value.
    pub(crate) fn returned(&self, ty: Option<&Type>) -> (TokenStream, Option<TokenStream>) {
        let own = quote!(::lattice_provider_sdk::Own::new);
        let all = || (self.owned_or_unit(ty), None);
        let Some(ty) = ty else { return all() };
        if let Some(value) = self.home_value(ty) {
            return (value, Some(quote!((#own))));
        }
        match self
            .world
            .definition(ty)
            .map(|(_, definition)| &definition.kind)
        {
            Some(TypeDefKind::Option(inner)) => match self.home_value(inner) {
                Some(value) => (
                    quote!(::core::option::Option<#value>),
                    Some(quote!((|value| ::core::option::Option::map(value, #own)))),
                ),
                None => all(),
            },
            Some(TypeDefKind::Result(result)) => {
                let value = result.ok.as_ref().and_then(|ok| self.home_value(ok));
                let Some(value) = value else { return all() };
                let error = self.owned_or_unit(result.err.as_ref());
                (
                    quote!(::core::result::Result<#value, #error>),
                    Some(quote!((|value| ::core::result::Result::map(value, #own)))),
                )
            }
            _ => all(),
        }
    }

    /// Returns the type of a handler's parameter.
    pub(crate) fn parameter(&self, ty: &Type) -> TokenStream {
        if let Some(value) = self.home_value(ty) {
            return value;
        }
        match self.lent(ty) {
            Some(lent) => quote!(&#lent),
            None => self.owned(ty),
        }
    }

    /// Returns what a handler's parameter refers to, if it is a lent handle and nothing else.
    fn lent(&self, ty: &Type) -> Option<TokenStream> {
        let (_, definition) = self.world.definition(ty)?;
        let TypeDefKind::Handle(Handle::Borrow(id)) = &definition.kind else {
            return None;
        };
        let id = self.world.resource(*id);
        let interface = self.world.resource_interface(id)?;
        if self.world.is_home(interface) {
            return Some(self.home_type(id, interface));
        }
        Some(self.handle(HandleUse::Borrow(id)))
    }

    /// Returns the type that a handler's parameter is decoded as, where the handler's own type
    /// doesn't say it, and the expression that the handler gets.
    pub(crate) fn decoded(&self, ty: &Type, name: &TokenStream) -> (TokenStream, TokenStream) {
        if self.home_value(ty).is_some() {
            return (self.owned(ty), quote!(#name.into_inner()));
        }
        if self.lent(ty).is_some() {
            return (self.owned(ty), quote!(&#name));
        }
        (quote!(_), name.clone())
    }

    fn is_byte(&self, ty: &Type) -> bool {
        self.world.resolved(ty) == Type::U8
    }

    fn holds_bytes(&self, ty: &Type) -> bool {
        match self
            .world
            .definition(ty)
            .map(|(_, definition)| &definition.kind)
        {
            Some(TypeDefKind::List(element)) => self.is_byte(element),
            Some(TypeDefKind::Option(inner)) => self.holds_bytes(inner),
            _ => false,
        }
    }
}

fn unsupported(what: &str) -> TokenStream {
    let message = format!("no Rust type for `{what}`");
    quote!(::core::compile_error!(#message))
}
