//! The supported part of a WIT world: its interfaces, and the Rust module of each.
//!
//! Unsupported items are rejected here, with an error that names them, so that the files which
//! generate code can't fail.

use crate::{collisions, name};
use proc_macro2::{Ident, TokenStream};
use quote::quote;
use std::collections::HashSet;
use wit_parser::{
    Function, Handle, InterfaceId, PackageName, Resolve, Type, TypeDef, TypeDefKind, TypeId,
    TypeOwner, WorldId, WorldItem, WorldKey,
};

/// The longest name of an interface with its version, or of a function, that the lattice accepts.
const LONGEST_NAME: usize = 128;
/// The longest tuple for which the standard library implements `Debug` and the comparisons.
const LONGEST_TUPLE: usize = 12;

/// A world that contains only supported items.
pub(crate) struct World<'r> {
    pub(crate) resolve: &'r Resolve,
    pub(crate) name: String,
    pub(crate) docs: Option<&'r str>,
    pub(crate) interfaces: Vec<Interface<'r>>,
}

/// One interface of the world.
pub(crate) struct Interface<'r> {
    pub(crate) id: InterfaceId,
    /// `ns:pkg/iface@version`.
    pub(crate) full_name: String,
    pub(crate) name: &'r str,
    pub(crate) wit: &'r wit_parser::Interface,
    /// Namespace, package and interface.
    pub(crate) modules: [Ident; 3],
    pub(crate) imported: bool,
    pub(crate) exported: bool,
}

impl<'r> World<'r> {
    /// Checks a world.
    ///
    /// # Errors
    /// Fails with a message that names the item which isn't supported.
    pub(crate) fn new(resolve: &'r Resolve, id: WorldId) -> Result<Self, String> {
        let wit = &resolve.worlds[id];
        let mut world = Self {
            resolve,
            name: wit.name.clone(),
            docs: wit.docs.contents.as_deref(),
            interfaces: Vec::new(),
        };
        for (key, item) in &wit.imports {
            if let Some(id) = world.interface_id("imports", key, item)? {
                world.place(id)?.imported = true;
            }
        }
        for (key, item) in &wit.exports {
            if let Some(id) = world.interface_id("exports", key, item)? {
                world.place(id)?.exported = true;
            }
        }
        world.distinguish_versions();
        for interface in &world.interfaces {
            world.check(interface)?;
        }
        Ok(world)
    }

    /// Returns the interface with this id, if the world has it.
    pub(crate) fn interface(&self, id: InterfaceId) -> Option<&Interface<'r>> {
        self.interfaces.iter().find(|interface| interface.id == id)
    }

    /// Returns `ty` with all aliases followed.
    pub(crate) fn resolved(&self, ty: &Type) -> Type {
        let mut ty = *ty;
        while let Type::Id(id) = ty
            && let TypeDefKind::Type(target) = self.resolve.types[id].kind
        {
            ty = target;
        }
        ty
    }

    /// Returns the definition of `ty` with all aliases followed, or `None` for a built-in type.
    pub(crate) fn definition(&self, ty: &Type) -> Option<(TypeId, &'r TypeDef)> {
        match self.resolved(ty) {
            Type::Id(id) => Some((id, &self.resolve.types[id])),
            _ => None,
        }
    }

    /// # Errors
    /// Fails when there is nothing that a client could call.
    pub(crate) fn check_callable(&self) -> Result<(), String> {
        if self.interfaces.iter().any(Interface::has_functions) {
            return Ok(());
        }
        Err(format!(
            "world `{}` has no function to call; import or export an interface with functions",
            self.name
        ))
    }

    fn interface_id(
        &self,
        verb: &str,
        key: &WorldKey,
        item: &WorldItem,
    ) -> Result<Option<InterfaceId>, String> {
        let what = match (key, item) {
            (WorldKey::Interface(_), WorldItem::Interface { id, .. }) => return Ok(Some(*id)),
            (_, WorldItem::Type { .. }) => return Ok(None),
            (WorldKey::Name(name), WorldItem::Interface { .. }) => format!("interface `{name}`"),
            (_, WorldItem::Function(function)) => format!("function `{}`", function.name),
        };
        Err(format!(
            "world `{}` {verb} {what} without a package, so no link could name it; move it into an interface of its own",
            self.name
        ))
    }

    fn place(&mut self, id: InterfaceId) -> Result<&mut Interface<'r>, String> {
        if let Some(index) = self
            .interfaces
            .iter()
            .position(|interface| interface.id == id)
        {
            return Ok(&mut self.interfaces[index]);
        }
        let wit = &self.resolve.interfaces[id];
        let (Some(name), Some(package), Some(full_name)) =
            (&wit.name, wit.package, self.resolve.id_of(id))
        else {
            return Err(format!(
                "world `{}` has an interface without a name",
                self.name
            ));
        };
        let package = &self.resolve.packages[package].name;
        let modules = [
            name::snake(&package.namespace),
            name::snake(&package.name),
            name::snake(name),
        ];
        self.interfaces.push(Interface {
            id,
            full_name,
            name,
            wit,
            modules,
            imported: false,
            exported: false,
        });
        self.interfaces
            .last_mut()
            .ok_or_else(|| "no interface".to_owned())
    }

    /// Adds the version to the module names of packages that occur in several versions.
    fn distinguish_versions(&mut self) {
        let resolve = self.resolve;
        let package = |interface: &Interface<'_>| -> Option<&PackageName> {
            Some(&resolve.packages[interface.wit.package?].name)
        };
        let all: HashSet<PackageName> = self
            .interfaces
            .iter()
            .filter_map(package)
            .cloned()
            .collect();
        for interface in &mut self.interfaces {
            let Some(own) = package(interface) else {
                continue;
            };
            let other = |p: &&PackageName| {
                p.namespace == own.namespace && p.name == own.name && p.version != own.version
            };
            if let Some(version) = own
                .version
                .as_ref()
                .filter(|_| all.iter().any(|p| other(&p)))
            {
                let digits = version
                    .to_string()
                    .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
                interface.modules[1] = name::snake(&format!("{}-{digits}", own.name));
            }
        }
    }

    fn check(&self, interface: &Interface<'r>) -> Result<(), String> {
        check_length(&interface.full_name)?;
        for (name, id) in &interface.wit.types {
            self.check_type(
                &Type::Id(*id),
                &format!("type `{name}` of `{}`", interface.full_name),
            )?;
        }
        for function in interface.wit.functions.values() {
            self.check_function(interface, function)?;
        }
        collisions::check(self.resolve, &interface.full_name, interface.wit)
    }

    fn check_function(&self, interface: &Interface<'r>, function: &Function) -> Result<(), String> {
        let what = format!("function `{}` of `{}`", function.name, interface.full_name);
        if let Some(resource) = function.kind.resource() {
            return Err(refusal(
                &what,
                &format!("belongs to resource `{}`", self.type_name(resource)),
                "resources",
            ));
        }
        check_length(&function.name)?;
        for param in &function.params {
            self.check_type(&param.ty, &format!("parameter `{}` of {what}", param.name))?;
        }
        function.result.as_ref().map_or(Ok(()), |ty| {
            self.check_type(ty, &format!("the result of {what}"))
        })
    }

    /// Fails when `ty` contains, at any depth, a type that isn't supported.
    fn check_type(&self, ty: &Type, place: &str) -> Result<(), String> {
        if matches!(ty, Type::ErrorContext) {
            return Err(refusal(place, "is an `error-context`", "error contexts"));
        }
        let Type::Id(id) = ty else { return Ok(()) };
        let inside = |tys: &[&Type]| tys.iter().try_for_each(|ty| self.check_type(ty, place));
        match &self.resolve.types[*id].kind {
            TypeDefKind::Resource => Err(refusal(place, "is a resource", "resources")),
            TypeDefKind::Handle(Handle::Own(resource) | Handle::Borrow(resource)) => Err(refusal(
                place,
                &format!("is a handle to resource `{}`", self.type_name(*resource)),
                "resources",
            )),
            TypeDefKind::Stream(_) => Err(refusal(place, "is a stream", "streams")),
            TypeDefKind::Future(_) => Err(refusal(place, "is a future", "futures")),
            TypeDefKind::Unknown => Err(refusal(place, "is of an unknown kind", "such types")),
            TypeDefKind::Tuple(tuple) if tuple.types.len() > LONGEST_TUPLE => Err(format!(
                "{place} is a tuple of {} values; Rust handles tuples up to {LONGEST_TUPLE}, use a record",
                tuple.types.len()
            )),
            TypeDefKind::Tuple(tuple) => inside(&tuple.types.iter().collect::<Vec<_>>()),
            TypeDefKind::Record(record) => inside(
                &record
                    .fields
                    .iter()
                    .map(|field| &field.ty)
                    .collect::<Vec<_>>(),
            ),
            TypeDefKind::Variant(variant) => inside(
                &variant
                    .cases
                    .iter()
                    .filter_map(|case| case.ty.as_ref())
                    .collect::<Vec<_>>(),
            ),
            TypeDefKind::Result(result) => {
                inside(&result.ok.iter().chain(&result.err).collect::<Vec<_>>())
            }
            TypeDefKind::Map(key, value) => inside(&[key, value]),
            TypeDefKind::Option(ty)
            | TypeDefKind::List(ty)
            | TypeDefKind::FixedLengthList(ty, _)
            | TypeDefKind::Type(ty) => inside(&[ty]),
            TypeDefKind::Flags(_) | TypeDefKind::Enum(_) => Ok(()),
        }
    }

    fn type_name(&self, id: TypeId) -> &str {
        self.resolve.types[id].name.as_deref().unwrap_or("unnamed")
    }
}

impl<'r> Interface<'r> {
    /// Whether there is anything to call: an interface may only define types.
    pub(crate) fn has_functions(&self) -> bool {
        !self.wit.functions.is_empty()
    }

    /// Returns the name of the trait that serves the interface.
    pub(crate) fn handler(&self) -> Ident {
        self.unused_type_name("", "Interface")
    }

    /// Returns the name of the client that calls the interface.
    pub(crate) fn client(&self) -> Ident {
        self.unused_type_name("Client", "InterfaceClient")
    }

    /// Returns the path from the macro's call site to the interface's module.
    pub(crate) fn path_from_root(&self) -> TokenStream {
        let [namespace, package, interface] = &self.modules;
        quote!(self::#namespace::#package::#interface)
    }

    /// Returns the path from the module of `other` to the module of this interface.
    pub(crate) fn path_from(&self, other: &Self) -> TokenStream {
        let [namespace, package, interface] = &self.modules;
        let same = self
            .modules
            .iter()
            .zip(&other.modules)
            .take_while(|(ours, theirs)| ours == theirs)
            .count();
        match same {
            3 => quote!(self),
            2 => quote!(super::#interface),
            1 => quote!(super::super::#package::#interface),
            _ => quote!(super::super::super::#namespace::#package::#interface),
        }
    }

    /// Returns the interface's types with their names, in the order of the WIT.
    pub(crate) fn types(
        &self,
        resolve: &'r Resolve,
    ) -> impl Iterator<Item = (&'r str, TypeId, &'r TypeDef)> + use<'r> {
        self.wit
            .types
            .iter()
            .map(|(name, id)| (name.as_str(), *id, &resolve.types[*id]))
    }

    fn unused_type_name(&self, suffix: &str, otherwise: &str) -> Ident {
        let wanted = name::camel_with(self.name, suffix);
        let taken = self.wit.types.keys().any(|ty| name::camel(ty) == wanted);
        if taken {
            name::camel_with(self.name, otherwise)
        } else {
            wanted
        }
    }
}

/// Returns the interface that defines a named type.
pub(crate) fn owner(definition: &TypeDef) -> Option<InterfaceId> {
    match definition.owner {
        TypeOwner::Interface(id) => Some(id),
        TypeOwner::World(_) | TypeOwner::None => None,
    }
}

fn refusal(place: &str, what: &str, plural: &str) -> String {
    format!("{place} {what}, and {plural} are not supported yet")
}

fn check_length(name: &str) -> Result<(), String> {
    if name.len() > LONGEST_NAME {
        return Err(format!(
            "`{name}` has {} characters; the lattice accepts names of at most {LONGEST_NAME}",
            name.len()
        ));
    }
    Ok(())
}
