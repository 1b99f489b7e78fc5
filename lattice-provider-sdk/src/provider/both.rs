//! A provider of two generated worlds.

use super::{Call, Dispatch, Provider};
use crate::{flow::ResourceType, homes::Arguments, world::WitWorld};
use lattice_core::{serve::Answer, types::ComponentTypes};
use std::{marker::PhantomData, sync::Arc};

/// The world of a provider that serves two generated worlds:
/// `type World = Both<World, also::World>`.
///
/// One WIT text can't have a package twice. So a provider needs two worlds for an interface that
/// was published with two types under one name and version. Callers find the function of the type
/// that they were built against.
///
/// `A` is the world whose WIT is published, for tools. A function that is in both is served as
/// that of `B`. One Rust type has to stand for a resource that is in both.
#[derive(Debug)]
pub struct Both<A, B>(PhantomData<fn() -> (A, B)>);

impl<A: WitWorld, B: WitWorld> WitWorld for Both<A, B> {
    /// Those of `A`.
    const EXPORTS: &'static [&'static crate::world::Interface] = A::EXPORTS;
    /// Those of `A`.
    const IMPORTS: &'static [&'static crate::world::Interface] = A::IMPORTS;
    const WIT: Option<&'static [u8]> = A::WIT;

    fn types() -> ComponentTypes {
        let (mut both, more) = (A::types(), B::types());
        let all = [
            (&mut both.exports, more.exports),
            (&mut both.imports, more.imports),
        ];
        for (known, more) in all {
            for (interface, types) in more {
                let known = known.entry(interface).or_default();
                for (function, signature) in types.functions {
                    known.add(function, &signature);
                }
            }
        }
        both
    }
}

impl<P: Provider, A: Dispatch<P>, B: Dispatch<P>> Dispatch<P> for Both<A, B> {
    fn dispatch(provider: Arc<P>, call: Call<P>, args: Arguments) -> Answer {
        let key = call.function().0;
        let mut functions = B::EXPORTS
            .iter()
            .flat_map(|interface| interface.functions());
        if functions.any(|function| function.key == key) {
            B::dispatch(provider, call, args)
        } else {
            A::dispatch(provider, call, args)
        }
    }

    fn resources() -> Vec<ResourceType> {
        let mut resources = A::resources();
        resources.extend(B::resources());
        resources
    }
}
