//! The context that all instances of one actor share.

use super::{figures::InstanceFigures, log::ActorLog, settings::Settings};
use crate::limits::Limits;
use lattice_core::{client::Caller, name::ComponentId, types::ComponentTypes};
use std::sync::Arc;

/// The context that all instances of one actor share. Host capabilities may use it.
pub(crate) struct ActorContext {
    pub(crate) id: ComponentId,
    pub(crate) limits: Limits,
    pub(crate) settings: Settings,
    pub(crate) types: Arc<ComponentTypes>,
    /// Makes the calls that the actor makes.
    pub(crate) caller: Caller,
    pub(crate) log: Arc<ActorLog>,
    pub(crate) figures: Arc<InstanceFigures>,
}
