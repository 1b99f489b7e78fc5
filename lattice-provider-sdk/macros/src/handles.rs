//! Which handles a type has: resources, streams and futures, at any depth.

use crate::{
    collisions, name,
    world::{Interface, World, owner, parts},
};
use proc_macro2::Ident;
use quote::format_ident;
use wit_parser::{Function, Handle, Type, TypeDefKind, TypeId};

/// A handle to a resource, of which a type has one or more. Types are generic over what stands for
/// it in Rust, because that is one thing for the component that has the resource and another for
/// those that call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandleUse {
    Own(TypeId),
    Borrow(TypeId),
}

impl HandleUse {
    pub(crate) fn resource(self) -> TypeId {
        match self {
            Self::Own(id) | Self::Borrow(id) => id,
        }
    }
}

impl<'r> World<'r> {
    /// Returns where a resource is defined, with aliases followed.
    pub(crate) fn resource(&self, id: TypeId) -> TypeId {
        match self.resolved(&Type::Id(id)) {
            Type::Id(id) => id,
            _ => id,
        }
    }

    /// Returns the interface that defines a resource, if the world has it.
    pub(crate) fn resource_interface(&self, id: TypeId) -> Option<&Interface<'r>> {
        self.interface(owner(&self.resolve.types[id])?)
    }

    /// Returns the WIT name of a resource.
    pub(crate) fn resource_name(&self, id: TypeId) -> &'r str {
        let name = self.resolve.types[id].name.as_deref();
        name.unwrap_or("resource")
    }

    /// Returns the handles to resources in a type, each once.
    pub(crate) fn uses(&self, ty: &Type) -> Vec<HandleUse> {
        let mut uses = Vec::new();
        self.walk(ty, &mut |kind| {
            let found = match kind {
                TypeDefKind::Handle(Handle::Own(id)) => HandleUse::Own(self.resource(*id)),
                TypeDefKind::Handle(Handle::Borrow(id)) => HandleUse::Borrow(self.resource(*id)),
                _ => return,
            };
            if !uses.contains(&found) {
                uses.push(found);
            }
        });
        // Type parameters that have a default come last, and only owned handles have one.
        uses.sort_by_key(|of| matches!(of, HandleUse::Own(_)));
        uses
    }

    /// Returns whether a type has any handle, stream or future.
    pub(crate) fn has_handles(&self, ty: &Type) -> bool {
        self.any(ty, |kind| {
            matches!(
                kind,
                TypeDefKind::Handle(_) | TypeDefKind::Stream(_) | TypeDefKind::Future(_)
            )
        })
    }

    /// Returns whether a value of a type gives something away, so that it can be passed only once.
    pub(crate) fn gives(&self, ty: &Type) -> bool {
        self.any(ty, |kind| {
            matches!(
                kind,
                TypeDefKind::Handle(Handle::Own(_))
                    | TypeDefKind::Stream(_)
                    | TypeDefKind::Future(_)
            )
        })
    }

    /// Returns whether a type lends something.
    pub(crate) fn lends(&self, ty: &Type) -> bool {
        self.any(ty, |kind| {
            matches!(kind, TypeDefKind::Handle(Handle::Borrow(_)))
        })
    }

    /// Returns whether a function passes any handle, stream or future.
    pub(crate) fn passes(&self, function: &Function) -> bool {
        let mut types = function.params.iter().map(|param| &param.ty);
        types.any(|ty| self.has_handles(ty))
            || function.result.is_some_and(|ty| self.has_handles(&ty))
    }

    /// Returns the name of the type parameter that stands for a handle.
    pub(crate) fn parameter(&self, of: HandleUse) -> Ident {
        let id = of.resource();
        let name = self.resource_name(id);
        let same = |other: &Interface<'_>| {
            let types = other.wit.types.iter();
            let mut same = types.filter(|(_, other)| {
                let definition = &self.resolve.types[**other];
                matches!(definition.kind, TypeDefKind::Resource)
                    && definition.name.as_deref() == Some(name)
            });
            same.next().is_some()
        };
        let is_unique = self.interfaces.iter().filter(|other| same(other)).count() < 2;
        let prefix = match of {
            HandleUse::Own(_) => "own",
            HandleUse::Borrow(_) => "borrow",
        };
        match self.resource_interface(id) {
            Some(interface) if !is_unique => {
                let [namespace, package, _] = &interface.modules;
                let interface = interface.name;
                name::camel(&format!(
                    "{prefix}-{namespace}-{package}-{interface}-{name}"
                ))
            }
            _ => name::camel(&format!("{prefix}-{name}")),
        }
    }

    fn any(&self, ty: &Type, is: impl Fn(&TypeDefKind) -> bool) -> bool {
        let mut found = false;
        self.walk(ty, &mut |kind| found |= is(kind));
        found
    }

    /// Visits the structure of a type, with the types in it.
    fn walk(&self, ty: &Type, visit: &mut dyn FnMut(&TypeDefKind)) {
        let Some((_, definition)) = self.definition(ty) else {
            return;
        };
        visit(&definition.kind);
        for ty in parts(&definition.kind) {
            self.walk(ty, visit);
        }
    }
}

/// Returns the Rust name of a function.
pub(crate) fn function_name(function: &Function) -> Ident {
    let name = collisions::function_name(&function.name);
    // `new` is a function of every client, and `via` a method of every handle.
    let is_taken = match function.kind.resource() {
        None => name == "new",
        Some(_) => name == "via",
    };
    if is_taken {
        format_ident!("{name}_")
    } else {
        name
    }
}
