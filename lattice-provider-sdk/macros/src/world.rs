//! The supported part of a WIT world: its interfaces, and the Rust module of each.
//!
//! Unsupported items are rejected here, with an error that names them, so that the files which
//! generate code can't fail.

use crate::{collisions, name, options::Macro};
use proc_macro2::{Ident, TokenStream};
use quote::quote;
use std::collections::HashSet;
use wit_parser::{
    Function, InterfaceId, PackageName, Resolve, Type, TypeDef, TypeDefKind, TypeId, TypeOwner,
    WorldId, WorldItem, WorldKey,
};

/// The longest name of an interface with its version, or of a function, that the lattice accepts.
const LONGEST_NAME: usize = 128;
/// The longest tuple for which the standard library implements `Debug` and the comparisons.
const LONGEST_TUPLE: usize = 12;

/// A world that contains only supported items.
pub(crate) struct World<'r> {
    /// The macro that it is for.
    pub(crate) kind: Macro,
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
    /// The names of the resources that it defines.
    resource_names: Vec<&'r str>,
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
    pub(crate) fn new(kind: Macro, resolve: &'r Resolve, id: WorldId) -> Result<Self, String> {
        let wit = &resolve.worlds[id];
        let mut world = Self {
            kind,
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
        let is_resource = |id: &TypeId| {
            let kind = &self.resolve.types[*id].kind;
            matches!(kind, TypeDefKind::Resource)
        };
        let resources = wit.types.iter().filter(|(_, id)| is_resource(id));
        let resource_names = resources.map(|(name, _)| name.as_str()).collect();
        self.interfaces.push(Interface {
            resource_names,
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
        check_length(&function.name)?;
        for param in &function.params {
            self.check_type(&param.ty, &format!("parameter `{}` of {what}", param.name))?;
        }
        let Some(result) = &function.result else {
            return Ok(());
        };
        let place = format!("the result of {what}");
        if self.lends(result) {
            return Err(format!(
                "{place} has a `borrow`, and nothing can be lent by a result; return an owned handle"
            ));
        }
        self.check_type(result, &place)
    }

    /// Fails when `ty` contains, at any depth, a type that isn't supported.
    fn check_type(&self, ty: &Type, place: &str) -> Result<(), String> {
        if matches!(ty, Type::ErrorContext) {
            return Err(format!(
                "{place} is an `error-context`, and error contexts are not supported yet"
            ));
        }
        let Type::Id(id) = ty else { return Ok(()) };
        let kind = &self.resolve.types[*id].kind;
        match kind {
            TypeDefKind::Unknown => {
                return Err(format!(
                    "{place} is of an unknown kind, and such types are not supported yet"
                ));
            }
            TypeDefKind::Tuple(tuple) if tuple.types.len() > LONGEST_TUPLE => {
                return Err(format!(
                    "{place} is a tuple of {} values; Rust handles tuples up to {LONGEST_TUPLE}, use a record",
                    tuple.types.len()
                ));
            }
            TypeDefKind::Stream(Some(element)) | TypeDefKind::Future(Some(element)) => {
                self.check_element(kind, element, place)?;
            }
            _ => {}
        }
        parts(kind)
            .into_iter()
            .try_for_each(|ty| self.check_type(ty, place))
    }

    /// Checks the type of a stream's elements, or of a future's value.
    fn check_element(&self, kind: &TypeDefKind, element: &Type, place: &str) -> Result<(), String> {
        let what = kind.as_str();
        if self.lends(element) {
            return Err(format!(
                "{place} is a {what} with a `borrow`, and nothing can be lent by a {what}; pass owned handles"
            ));
        }
        if matches!(kind, TypeDefKind::Stream(_)) && self.resolved(element) == Type::Char {
            return Err(format!(
                "{place} is a `stream<char>`, which components can't have yet; use `stream<u8>` with UTF-8, or `stream<string>`"
            ));
        }
        Ok(())
    }

    /// Whether the types that call an interface are generated.
    pub(crate) fn is_called(&self, interface: &Interface<'_>) -> bool {
        self.kind == Macro::Client || interface.imported
    }

    /// Whether this provider defines the resources of an interface.
    pub(crate) fn is_home(&self, interface: &Interface<'_>) -> bool {
        self.kind == Macro::Provider && interface.exported
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

    /// Returns the resources that the interface defines, with their names.
    pub(crate) fn resources(
        &self,
        resolve: &'r Resolve,
    ) -> impl Iterator<Item = (&'r str, TypeId, &'r TypeDef)> + use<'r> {
        let types = self.types(resolve);
        types.filter(|(.., definition)| matches!(definition.kind, TypeDefKind::Resource))
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
        let mut handles = self.resource_names.iter();
        let taken = self.wit.types.keys().any(|ty| name::camel(ty) == wanted)
            || handles.any(|resource| name::camel_with(resource, "Client") == wanted);
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

/// Returns the types that a type is made of.
pub(crate) fn parts(kind: &TypeDefKind) -> Vec<&Type> {
    match kind {
        TypeDefKind::Record(record) => record.fields.iter().map(|field| &field.ty).collect(),
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter();
            cases.filter_map(|case| case.ty.as_ref()).collect()
        }
        TypeDefKind::Tuple(tuple) => tuple.types.iter().collect(),
        TypeDefKind::Result(result) => result.ok.iter().chain(&result.err).collect(),
        TypeDefKind::Map(key, value) => vec![key, value],
        TypeDefKind::Option(ty)
        | TypeDefKind::List(ty)
        | TypeDefKind::FixedLengthList(ty, _)
        | TypeDefKind::Type(ty) => vec![ty],
        TypeDefKind::Stream(ty) | TypeDefKind::Future(ty) => ty.iter().collect(),
        TypeDefKind::Resource
        | TypeDefKind::Handle(_)
        | TypeDefKind::Flags(_)
        | TypeDefKind::Enum(_)
        | TypeDefKind::Unknown => Vec::new(),
    }
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
