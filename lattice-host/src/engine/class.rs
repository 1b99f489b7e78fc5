//! The classes of compiled code: where the memory of its instances comes from, and how they take
//! calls. Each class has an engine of Wasmtime of its own, because that decides how code is
//! compiled.

use super::config;
use crate::limits::ByteSize;
use std::num::NonZeroU32;
use wasmtime::Cache;

/// Where the memory of a component's instances comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SlotClass {
    /// From a slot of the pool.
    Pooled,
    /// From the system, for each instance.
    OnDemand,
}

/// How the instances of a component take calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum CallMode {
    /// One at a time, of plain functions. Wasmtime keeps no tasks of the component model for it,
    /// which would be made and dropped with each call between guest and host, in both directions.
    Exclusive,
    /// Calls overlap, as those of an `async func` do, or of a composed component that passes
    /// resources; or they pass streams or futures.
    Concurrent,
}

/// What code is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CodeClass {
    pub(crate) slots: SlotClass,
    pub(crate) mode: CallMode,
}

impl CodeClass {
    pub(crate) const ALL: [Self; 4] = [
        Self::new(SlotClass::Pooled, CallMode::Exclusive),
        Self::new(SlotClass::OnDemand, CallMode::Exclusive),
        Self::new(SlotClass::Pooled, CallMode::Concurrent),
        Self::new(SlotClass::OnDemand, CallMode::Concurrent),
    ];

    pub(crate) const fn new(slots: SlotClass, mode: CallMode) -> Self {
        Self { slots, mode }
    }
}

/// The engines of all classes.
pub(super) struct Engines {
    exclusive: OfMode,
    concurrent: OfMode,
}

struct OfMode {
    pooled: Option<wasmtime::Engine>,
    on_demand: wasmtime::Engine,
}

impl Engines {
    /// Creates the engines, and returns them with the number of slots that instances may take
    /// together, if there is a pool.
    pub(super) fn new(
        cache: Option<&Cache>,
        slot: ByteSize,
        instances: NonZeroU32,
    ) -> wasmtime::Result<(Self, Option<u32>)> {
        let (exclusive, own) = OfMode::new(CallMode::Exclusive, cache, slot, instances)?;
        let (concurrent, other) = OfMode::new(CallMode::Concurrent, cache, slot, instances)?;
        let engines = Self {
            exclusive,
            concurrent,
        };
        // Either pool has room for all of them.
        let slots = match (own, other) {
            (Some(own), Some(other)) => Some(own.min(other)),
            (own, other) => own.or(other),
        };
        Ok((engines, slots))
    }

    /// Returns the engine of a class. `None` when there is no pool.
    pub(super) fn of(&self, class: CodeClass) -> Option<&wasmtime::Engine> {
        match class.slots {
            SlotClass::Pooled => self.of_mode(class.mode).pooled.as_ref(),
            SlotClass::OnDemand => Some(self.on_demand(class.mode)),
        }
    }

    /// Returns the engine that takes memory from the system.
    pub(super) fn on_demand(&self, mode: CallMode) -> &wasmtime::Engine {
        &self.of_mode(mode).on_demand
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &wasmtime::Engine> {
        let all = CodeClass::ALL.into_iter();
        all.filter_map(|class| self.of(class))
    }

    fn of_mode(&self, mode: CallMode) -> &OfMode {
        match mode {
            CallMode::Exclusive => &self.exclusive,
            CallMode::Concurrent => &self.concurrent,
        }
    }
}

impl OfMode {
    fn new(
        mode: CallMode,
        cache: Option<&Cache>,
        slot: ByteSize,
        instances: NonZeroU32,
    ) -> wasmtime::Result<(Self, Option<u32>)> {
        let (pooled, slots) = config::pooled(mode, cache, (slot, instances)).unzip();
        let on_demand = wasmtime::Engine::new(&config::code(mode, cache))?;
        Ok((Self { pooled, on_demand }, slots))
    }
}
