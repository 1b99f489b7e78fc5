//! The WIT of a component as bytes, the form in which a component publishes it.
//!
//! The bytes are a WIT package in the standard binary encoding of the component model, which all
//! WIT tools read, such as `wasm-tools component wit`. The package has one world, the component's.
//! The world has all exports of the component. It has the imports that can be linked, and the
//! interfaces that define their types; imports that the component's host serves are left out.
//!
//! ```
//! use lattice_wit::binary;
//! use wit_parser::{Resolve, WorldKey};
//!
//! let mut resolve = Resolve::new();
//! let package = resolve.push_str("hello.wit", "
//!     package example:hello@0.1.0;
//!     interface greeter { greet: func(name: string) -> string; }
//!     world greeting { export greeter; }
//! ")?;
//! let world = resolve.select_world(&[package], None)?;
//! let bytes = binary::of_world(&resolve, world, |_| true)?;
//!
//! let found = binary::decode(&bytes)?;
//! let exports = found.exports().map(|key| found.resolve.name_world_key(key));
//! assert!(exports.eq(["example:hello/greeter@0.1.0"]));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
};
use wit_component::{DecodedWasm, Output as _, WitPrinter};
use wit_parser::{
    InterfaceId, Resolve, Type, TypeDefKind, TypeId, TypeOwner, WorldId, WorldItem, WorldKey,
};

/// Size limit of a component's WIT. It is half of the size limit of a value in a store, which
/// leaves room for the signatures. The WIT of a typical component has a few KiB.
pub const MAX_BYTES: usize = 256 * 1024;

/// A component's world, and all items that it refers to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Described {
    /// All interfaces and types.
    pub resolve: Resolve,
    /// The component's own world.
    pub world: WorldId,
}

/// Why WIT could not be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BinaryError {
    /// The encoded WIT exceeds [`MAX_BYTES`].
    #[error(
        "the encoded WIT has {bytes} bytes and the limit is {MAX_BYTES}; export fewer interfaces"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The bytes aren't a WIT package, or aren't a component where one is expected.
    #[error("the bytes contain no WIT: {reason}")]
    Malformed {
        /// The reason.
        reason: String,
    },
    /// The package has no world, or more than one.
    #[error("the WIT package has {worlds} worlds, but a component has one")]
    NotOneWorld {
        /// The number of worlds.
        worlds: usize,
    },
    /// The WIT contains an item that can't be encoded.
    #[error("the WIT can't be encoded: {reason}")]
    Unencodable {
        /// The reason.
        reason: String,
    },
}

impl Described {
    /// Returns the component's exports, in order.
    pub fn exports(&self) -> impl Iterator<Item = &WorldKey> {
        self.resolve.worlds[self.world].exports.keys()
    }

    /// Returns the component's imports, in order.
    pub fn imports(&self) -> impl Iterator<Item = &WorldKey> {
        self.resolve.worlds[self.world].imports.keys()
    }

    /// Returns the WIT text of an exported or imported interface, or `None` for a function or type
    /// outside of an interface.
    ///
    /// # Errors
    /// Fails with [`BinaryError::Unencodable`].
    pub fn text(&self, key: &WorldKey) -> Result<Option<String>, BinaryError> {
        let world = &self.resolve.worlds[self.world];
        let item = world.exports.get(key).or_else(|| world.imports.get(key));
        let Some(WorldItem::Interface { id, .. }) = item else {
            return Ok(None);
        };
        let interface = &self.resolve.interfaces[*id];
        let name = match (key, &interface.name) {
            (WorldKey::Name(name), _) | (WorldKey::Interface(_), Some(name)) => name,
            (WorldKey::Interface(_), None) => return Ok(None),
        };
        let print = || {
            let mut printer = WitPrinter::default();
            let printed = printer.print_interface_outer(&self.resolve, *id, name);
            printer.output.indent_start();
            let printed = printed.and_then(|()| printer.print_interface(&self.resolve, *id));
            printer.output.indent_end();
            printed.map(|()| printer.output.to_string())
        };
        // The printer's errors don't implement `Error`.
        guarded(|| print().map_err(|error| format!("{error:#}")))
            .map(Some)
            .map_err(|reason| BinaryError::Unencodable { reason })
    }
}

/// Encodes a world with all of its exports, with the imported interfaces for whose names
/// (`ns:pkg/iface@version`) `keep` returns true, and with the interfaces that define their types.
///
/// # Errors
/// Fails with [`BinaryError::TooLarge`] or [`BinaryError::Unencodable`].
pub fn of_world(
    resolve: &Resolve,
    world: WorldId,
    keep: impl Fn(&str) -> bool,
) -> Result<Vec<u8>, BinaryError> {
    let unencodable = |reason: String| BinaryError::Unencodable { reason };
    let Some(package) = resolve.worlds[world].package else {
        return Err(unencodable("its world belongs to no package".to_owned()));
    };
    let kept = kept_interfaces(resolve, world, keep);
    let mut resolve = resolve.clone();
    let only = &mut resolve.packages[package];
    only.worlds.retain(|_, id| *id == world);
    only.interfaces.retain(|_, id| kept.contains(id));
    resolve.worlds[world]
        .imports
        .retain(|_, item| !matches!(item, WorldItem::Interface { id, .. } if !kept.contains(id)));
    let bytes = guarded(|| wit_component::encode(&resolve, package)).map_err(unencodable)?;
    check_size(&bytes)?;
    Ok(bytes)
}

/// Decodes the WIT of a component and encodes it like [`of_world`].
///
/// # Errors
/// Fails with a [`BinaryError`].
pub fn of_component(component: &[u8], keep: impl Fn(&str) -> bool) -> Result<Vec<u8>, BinaryError> {
    match decoded(component)? {
        DecodedWasm::Component(resolve, world) => of_world(&resolve, world, keep),
        DecodedWasm::WitPackage(..) => Err(BinaryError::Malformed {
            reason: "this is a WIT package, not a component".to_owned(),
        }),
    }
}

/// Decodes the WIT of a component, with all of its imports. The bytes may be untrusted.
///
/// # Errors
/// Fails with [`BinaryError::Malformed`].
pub fn describe(component: &[u8]) -> Result<Described, BinaryError> {
    match decoded(component)? {
        DecodedWasm::Component(resolve, world) => Ok(Described { resolve, world }),
        DecodedWasm::WitPackage(..) => Err(BinaryError::Malformed {
            reason: "this is a WIT package, not a component".to_owned(),
        }),
    }
}

/// Decodes bytes that [`of_world`] or [`of_component`] encoded. The bytes may be untrusted.
///
/// # Errors
/// Fails with [`BinaryError::TooLarge`], [`BinaryError::Malformed`] or
/// [`BinaryError::NotOneWorld`].
pub fn decode(bytes: &[u8]) -> Result<Described, BinaryError> {
    check_size(bytes)?;
    let DecodedWasm::WitPackage(resolve, package) = decoded(bytes)? else {
        return Err(BinaryError::Malformed {
            reason: "this is a component, not a WIT package".to_owned(),
        });
    };
    let worlds = &resolve.packages[package].worlds;
    match (worlds.values().next(), worlds.len()) {
        (Some(&world), 1) => Ok(Described { resolve, world }),
        (_, worlds) => Err(BinaryError::NotOneWorld { worlds }),
    }
}

fn decoded(bytes: &[u8]) -> Result<DecodedWasm, BinaryError> {
    guarded(|| wit_component::decode(bytes)).map_err(|reason| BinaryError::Malformed { reason })
}

fn check_size(bytes: &[u8]) -> Result<(), BinaryError> {
    match bytes.len() {
        0..=MAX_BYTES => Ok(()),
        bytes => Err(BinaryError::TooLarge { bytes }),
    }
}

/// Turns panics into errors: `wit_component` expects trusted input, and panics at some malformed
/// files.
fn guarded<T, E: std::fmt::Display>(work: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_) => Err("its structure is invalid".to_owned()),
    }
}

/// Returns the interfaces of the world that are kept, and those whose types they use.
fn kept_interfaces(
    resolve: &Resolve,
    world: WorldId,
    keep: impl Fn(&str) -> bool,
) -> HashSet<InterfaceId> {
    let world = &resolve.worlds[world];
    let interface = |item: &WorldItem| match item {
        WorldItem::Interface { id, .. } => Some(*id),
        WorldItem::Type { id, .. } => lender(resolve, *id),
        WorldItem::Function(_) => None,
    };
    let wanted = |key: &WorldKey, item: &WorldItem| match (key, item) {
        (WorldKey::Interface(_), WorldItem::Interface { .. }) => keep(&resolve.name_world_key(key)),
        _ => true,
    };
    let imports = world.imports.iter().filter(|(key, item)| wanted(key, item));
    let mut left: Vec<InterfaceId> = imports
        .map(|(_, item)| item)
        .chain(world.exports.values())
        .filter_map(interface)
        .collect();
    let mut kept = HashSet::new();
    while let Some(id) = left.pop() {
        if kept.insert(id) {
            left.extend(resolve.interface_direct_deps(id));
        }
    }
    kept
}

/// Returns the interface from which a world takes a type.
fn lender(resolve: &Resolve, id: TypeId) -> Option<InterfaceId> {
    let TypeDefKind::Type(Type::Id(original)) = resolve.types[id].kind else {
        return None;
    };
    match resolve.types[original].owner {
        TypeOwner::Interface(id) => Some(id),
        TypeOwner::World(_) | TypeOwner::None => None,
    }
}
