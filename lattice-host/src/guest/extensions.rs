//! What host capabilities keep in the store of one instance.

use super::actor::ActorContext;
use std::any::Any;

/// What one host capability keeps in the store of one instance.
pub(crate) trait CapabilityState: Any + Send {
    /// Makes the state of an instance that has just used the capability for the first time.
    fn new(actor: &ActorContext) -> Self;
}

/// The states of host capabilities, by type. Empty until the guest uses a capability that has one:
/// most calls never do, and making WASI's takes longer than making an instance.
#[derive(Default)]
pub(crate) struct Extensions(Vec<Box<dyn Any + Send>>);

impl Extensions {
    /// Returns the state of this type, which is made when there is none.
    pub(crate) fn get_or_new<S: CapabilityState>(&mut self, actor: &ActorContext) -> &mut S {
        let found = self.0.iter().position(|state| state.is::<S>());
        let at = found.unwrap_or_else(|| {
            self.0.push(Box::new(S::new(actor)));
            self.0.len() - 1
        });
        match self.0[at].downcast_mut() {
            Some(state) => state,
            None => unreachable!("the state at this position has this type"),
        }
    }
}
