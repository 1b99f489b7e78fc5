//! The states of host capabilities in the store of one instance.

use super::{actor::ActorContext, panic_text::PanicText};
use std::any::Any;

/// The state of one host capability in the store of one instance.
pub(crate) trait CapabilityState: Any + Send {
    /// Creates the state when an instance uses the capability for the first time. Lines of the
    /// instance's standard error go to `panic_text` too.
    fn new(actor: &ActorContext, panic_text: &PanicText) -> Self;
}

/// The states of host capabilities, by type. A state is created when the guest first uses the
/// capability. Most calls never do, and creating WASI's state takes longer than creating an
/// instance.
#[derive(Default)]
pub(crate) struct Extensions(Vec<Box<dyn Any + Send>>);

impl Extensions {
    /// Returns the state of this type, if the guest has used the capability.
    #[cfg(feature = "http")]
    pub(crate) fn used<S: CapabilityState>(&mut self) -> Option<&mut S> {
        self.0.iter_mut().find_map(|state| state.downcast_mut())
    }

    /// Returns the state of this type. Creates it when there is none.
    pub(crate) fn get_or_new<S: CapabilityState>(
        &mut self,
        actor: &ActorContext,
        panic_text: &PanicText,
    ) -> &mut S {
        let found = self.0.iter().position(|state| state.is::<S>());
        let at = found.unwrap_or_else(|| {
            self.0.push(Box::new(S::new(actor, panic_text)));
            self.0.len() - 1
        });
        match self.0[at].downcast_mut() {
            Some(state) => state,
            None => unreachable!("the state at this position has this type"),
        }
    }
}
