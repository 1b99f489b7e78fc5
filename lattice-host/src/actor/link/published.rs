//! Fits the types of a component into what can be published.
//!
//! The types of a component are one value of the store, which has a limit. A function that doesn't
//! fit can't be checked by callers, so it isn't served. The others are.

use super::exports::Exports;
use crate::guest::{Side, Unserved};
use lattice_core::{
    name::{FunctionName, InterfaceName},
    store::MAX_VALUE,
    types::{ComponentTypes, InterfaceTypes},
    wire::FunctionKey,
};
use std::collections::BTreeMap;

/// Most bytes of a component's types. The rest of the value is what the store adds to it.
const MOST: usize = MAX_VALUE - 4_096;
/// The most that the length of a text takes.
const LENGTH: usize = 5;

/// Keeps the types that can be published. The functions for which there is no space are moved to
/// what can't be served.
pub(super) fn fit(types: &mut ComponentTypes, exports: &mut Exports) {
    fit_into(MOST, types, exports);
}

fn fit_into(most: usize, types: &mut ComponentTypes, exports: &mut Exports) {
    let wit = types.wit.as_ref().map_or(0, |wit| wit.len() + LENGTH);
    let all = wit + size(&types.exports) + size(&types.imports);
    if all <= most {
        return;
    }
    // Tools can do without it, and callers can't do without the rest.
    let keeps_wit = wit <= most / 4;
    if !keeps_wit {
        types.wit = None;
        tracing::warn!(
            bytes = wit,
            "the component's WIT is not published, because its types are too large; tools can neither show it nor call the component with arguments as text"
        );
    }
    let mut left = if keeps_wit { most - wit } else { most };
    for (interface, functions) in keep(&mut types.exports, &mut left) {
        for (function, signature) in &functions {
            let key = FunctionKey::new(&interface, function, signature);
            exports.functions.remove(&key);
        }
        let reason = format!(
            "the types of all functions together take {all} bytes, and a component can publish {most}; export fewer functions or smaller types, or split them over several components"
        );
        let functions = functions.iter().map(|(name, _)| name.to_string());
        exports.unserved.push(Unserved {
            side: Side::Export,
            name: interface.to_string(),
            functions: functions.collect(),
            reason,
        });
    }
    // The types of imports only serve to check links before they are used.
    let unchecked = keep(&mut types.imports, &mut left);
    for (interface, functions) in unchecked {
        tracing::warn!(
            %interface,
            functions = functions.len(),
            "links for some functions are checked only when they are used, because the component's types are too large to be published"
        );
    }
}

type Functions = Vec<(FunctionName, String)>;

/// Keeps as many functions as have space, and returns the others. All hosts keep the same ones.
fn keep(
    interfaces: &mut BTreeMap<InterfaceName, InterfaceTypes>,
    left: &mut usize,
) -> Vec<(InterfaceName, Functions)> {
    let mut others = Vec::new();
    for (interface, types) in &mut *interfaces {
        *left = left.saturating_sub(interface.as_str().len() + 2 * LENGTH);
        let refused = types.functions.extract_if(.., |name, signature| {
            let size = function_size(name, signature);
            let fits = size <= *left;
            if fits {
                *left -= size;
            }
            !fits
        });
        let refused: Functions = refused.collect();
        if !refused.is_empty() {
            others.push((interface.clone(), refused));
        }
    }
    interfaces.retain(|_, types| !types.functions.is_empty());
    others
}

fn size(interfaces: &BTreeMap<InterfaceName, InterfaceTypes>) -> usize {
    let sizes = interfaces.iter().map(|(interface, types)| {
        let functions = types.functions.iter();
        let functions: usize = functions
            .map(|(name, signature)| function_size(name, signature))
            .sum();
        interface.as_str().len() + 2 * LENGTH + functions
    });
    sizes.sum()
}

fn function_size(name: &FunctionName, signature: &str) -> usize {
    name.as_str().len() + signature.len() + 2 * LENGTH
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn interface(name: &str, functions: usize) -> (InterfaceName, InterfaceTypes) {
        let mut types = InterfaceTypes::default();
        for number in 0..functions {
            let function = FunctionName::new(&format!("f{number}")).expect("a name");
            types.functions.insert(function, "x".repeat(100));
        }
        (InterfaceName::new(name).expect("a name"), types)
    }

    fn types() -> ComponentTypes {
        ComponentTypes {
            exports: [interface("a:b/c", 9), interface("a:b/d", 9)].into(),
            imports: [interface("a:b/e", 2)].into(),
            wit: Some(Bytes::from(vec![0; 200])),
        }
    }

    #[test]
    fn what_fits_is_kept_in_order() {
        let (mut kept, mut exports) = (types(), Exports::default());
        fit_into(10_000, &mut kept, &mut exports);
        assert_eq!(kept, types());
        assert!(exports.unserved.is_empty());
        fit_into(1_500, &mut kept, &mut exports);
        let count = |interfaces: &BTreeMap<InterfaceName, InterfaceTypes>| {
            let counts = interfaces.values().map(|types| types.functions.len());
            counts.collect::<Vec<_>>()
        };
        assert_eq!(count(&kept.exports), [9, 2]);
        assert!(kept.imports.is_empty() && kept.wit.is_some());
        let [unserved] = &exports.unserved[..] else {
            panic!("one interface: {:?}", exports.unserved);
        };
        assert_eq!(unserved.name, "a:b/d");
        assert_eq!(unserved.functions.len(), 7);
        assert!(unserved.reason.contains("can publish 1500"), "{unserved}");
        let bytes = lattice_core::value::to_bytes(&kept).expect("encodes");
        assert!(bytes.len() <= 1_500, "{}", bytes.len());
    }

    #[test]
    fn a_large_wit_makes_way() {
        let (mut kept, mut exports) = (types(), Exports::default());
        kept.wit = Some(Bytes::from(vec![0; 9_000]));
        fit_into(10_000, &mut kept, &mut exports);
        assert_eq!(kept.wit, None);
        assert_eq!(kept.exports, types().exports);
        assert_eq!(kept.imports, types().imports);
        assert!(exports.unserved.is_empty());
    }
}
