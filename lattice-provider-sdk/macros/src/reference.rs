//! References to types: `list<key-page>` becomes `Vec<KeyPage>`.

use crate::{
    name,
    world::{Interface, World, owner},
};
use proc_macro2::{Literal, TokenStream};
use quote::quote;
use wit_parser::{Type, TypeDefKind, TypeId};

/// The longest array that serde supports.
const LONGEST_ARRAY: u32 = 32;

/// Writes types as they are named inside the module of one interface.
pub(crate) struct Scope<'w, 'r> {
    pub(crate) world: &'w World<'r>,
    pub(crate) interface: &'w Interface<'r>,
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
            TypeDefKind::Enum(_) | TypeDefKind::Flags(_) => self.owned(ty),
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
            // Records, variants, enums and flags have names, and `World::new` rejects the rest.
            kind => unsupported(kind.as_str()),
        }
    }

    /// Returns the type of a result, or `()` when there is none.
    pub(crate) fn owned_or_unit(&self, ty: Option<&Type>) -> TokenStream {
        ty.map_or_else(|| quote!(()), |ty| self.owned(ty))
    }

    fn named(&self, id: TypeId) -> Option<TokenStream> {
        let definition = &self.world.resolve.types[id];
        let name = name::camel(definition.name.as_deref()?);
        let owner = self.world.interface(owner(definition)?)?;
        let path = owner.path_from(self.interface);
        Some(quote!(#path::#name))
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
