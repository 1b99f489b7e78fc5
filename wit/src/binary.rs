//! The WIT of a component as bytes: what a component publishes of itself.
//!
//! The bytes are a WIT package in the standard binary encoding of the component model, which every WIT tool reads
//! (`wasm-tools component wit`, for one). The package has a single world: the component's. Its exports are what the
//! component exports, its imports are those that a link may lead to and what their types need; what the component's
//! host answers itself is left out.
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
//! let exports: Vec<String> = found.exports().map(|key| found.resolve.name_world_key(key)).collect();
//! assert_eq!(exports, ["example:hello/greeter@0.1.0"]);
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

/// Most bytes that a component's WIT may have: half of what a value in a store may have, so that there is room for the
/// signatures beside it. A component's WIT has some KiB.
pub const MAX_BYTES: usize = 256 * 1024;

/// A component's world, and everything that it refers to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Described {
    /// All interfaces and types.
    pub resolve: Resolve,
    /// The component's own world among them.
    pub world: WorldId,
}

/// Why there is no WIT in these bytes, or no bytes for this WIT.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BinaryError {
    /// There are too many bytes.
    #[error(
        "the encoded WIT has {bytes} bytes and the limit is {MAX_BYTES}; export fewer interfaces"
    )]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// The bytes are no WIT package, nor a component where that is asked for.
    #[error("the bytes hold no WIT: {reason}")]
    Malformed {
        /// What is wrong with them.
        reason: String,
    },
    /// The package has no world, or several.
    #[error("the WIT package has {worlds} worlds, but a component has one")]
    NotOneWorld {
        /// How many it has.
        worlds: usize,
    },
    /// The WIT has something that can't be encoded.
    #[error("the WIT can't be encoded: {reason}")]
    Unencodable {
        /// What.
        reason: String,
    },
}

impl Described {
    /// What the component exports, in order.
    pub fn exports(&self) -> impl Iterator<Item = &WorldKey> {
        self.resolve.worlds[self.world].exports.keys()
    }

    /// What it imports, in order.
    pub fn imports(&self) -> impl Iterator<Item = &WorldKey> {
        self.resolve.worlds[self.world].imports.keys()
    }

    /// The WIT text of an interface that it exports or imports; `None` for a function or type outside of any.
    ///
    /// # Errors
    /// [`BinaryError::Unencodable`].
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
        // Its errors are no standard ones.
        guarded(|| print().map_err(|error| format!("{error:#}")))
            .map(Some)
            .map_err(|reason| BinaryError::Unencodable { reason })
    }
}

/// Encodes a world, with those of its imported interfaces for whose names (`ns:pkg/iface@version`) `keep` holds, and those
/// that the types of others need.
///
/// # Errors
/// [`BinaryError::TooLarge`] and [`BinaryError::Unencodable`].
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

/// Finds the WIT in a component and encodes it, as [`of_world`] does.
///
/// # Errors
/// [`BinaryError`].
pub fn of_component(component: &[u8], keep: impl Fn(&str) -> bool) -> Result<Vec<u8>, BinaryError> {
    match decoded(component)? {
        DecodedWasm::Component(resolve, world) => of_world(&resolve, world, keep),
        DecodedWasm::WitPackage(..) => Err(BinaryError::Malformed {
            reason: "this is a WIT package and no component".to_owned(),
        }),
    }
}

/// Finds the WIT of a component, with all that it imports. The bytes may be from anybody.
///
/// # Errors
/// [`BinaryError::Malformed`].
pub fn describe(component: &[u8]) -> Result<Described, BinaryError> {
    match decoded(component)? {
        DecodedWasm::Component(resolve, world) => Ok(Described { resolve, world }),
        DecodedWasm::WitPackage(..) => Err(BinaryError::Malformed {
            reason: "this is a WIT package and no component".to_owned(),
        }),
    }
}

/// Reads what [`of_world`] or [`of_component`] wrote. The bytes may be from anybody.
///
/// # Errors
/// [`BinaryError::TooLarge`], [`BinaryError::Malformed`] and [`BinaryError::NotOneWorld`].
pub fn decode(bytes: &[u8]) -> Result<Described, BinaryError> {
    check_size(bytes)?;
    let DecodedWasm::WitPackage(resolve, package) = decoded(bytes)? else {
        return Err(BinaryError::Malformed {
            reason: "this is a component and no WIT package".to_owned(),
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

/// The library was made for the files of whoever runs it, and panics at some that are odd enough.
fn guarded<T, E: std::fmt::Display>(work: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_) => Err("its structure is not one that any tool writes".to_owned()),
    }
}

/// The interfaces of the world that are kept, and those whose types they use.
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

/// The interface that a world takes a type from.
fn lender(resolve: &Resolve, id: TypeId) -> Option<InterfaceId> {
    let TypeDefKind::Type(Type::Id(original)) = resolve.types[id].kind else {
        return None;
    };
    match resolve.types[original].owner {
        TypeOwner::Interface(id) => Some(id),
        TypeOwner::World(_) | TypeOwner::None => None,
    }
}
