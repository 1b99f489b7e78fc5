//! What an instance of an actor carries with it.

use super::{
    HostedActor,
    allowance::Allowance,
    vitals::{UnderWay, Vitals},
};
use crate::builtin::Wasi;
use bytes::Bytes;
use lattice_core::{
    call::{CallError, Context, FunctionRef},
    name::{InterfaceName, LinkName},
};
use std::{collections::HashMap, sync::Arc};
use wasmtime::{StoreContextMut, component::GuestTaskId};

/// The state of one instance.
pub(crate) struct Guest {
    pub(crate) actor: Arc<HostedActor>,
    pub(crate) wasi: Wasi,
    pub(super) allowance: Allowance,
    pub(super) vitals: Arc<Vitals>,
    pub(super) serving: Serving,
}

/// Which calls an instance serves now. The calls that it makes are made on behalf of those.
pub(super) enum Serving {
    /// One, with the links chosen for it, by interface with its compatible version.
    One {
        context: Context,
        links: Vec<(String, LinkName)>,
    },
    /// Several, told apart by their tasks.
    Many(HashMap<GuestTaskId, Running>),
}

/// One of several calls.
pub(super) struct Running {
    /// What its caller knows it by.
    pub(super) id: u64,
    pub(super) context: Context,
}

/// A call that a guest is about to make.
pub(crate) struct Outgoing {
    actor: Arc<HostedActor>,
    link: LinkName,
    context: Context,
    _place: UnderWay,
}

impl Serving {
    pub(super) fn one(context: Context) -> Self {
        Self::One {
            context,
            links: Vec::new(),
        }
    }
}

impl Guest {
    /// A task serves one more call.
    pub(super) fn begin(&mut self, task: GuestTaskId, call: Running) {
        if let Serving::Many(calls) = &mut self.serving {
            calls.insert(task, call);
        }
    }

    /// A call ended well: the guest may use its whole budget again.
    pub(super) fn finish(&mut self, task: GuestTaskId) {
        if let Serving::Many(calls) = &mut self.serving {
            calls.remove(&task);
        }
        self.vitals.refresh();
    }

    /// Chooses the link for the interface for the call being served.
    pub(crate) fn choose_link(
        &mut self,
        interface: &InterfaceName,
        name: LinkName,
    ) -> Result<(), String> {
        if self.actor.code.types.import(interface).is_none() {
            return Err(format!("this component does not import `{interface}`"));
        }
        let Serving::One { links, .. } = &mut self.serving else {
            let reason = "this instance serves several calls at once; run the actor with fresh instances to choose links";
            return Err(reason.to_owned());
        };
        let compat = interface.compat();
        links.retain(|(chosen, _)| *chosen != compat);
        links.push((compat, name));
        Ok(())
    }
}

/// Everything that a call of `function`, made by the guest that runs now, is to be made with.
pub(crate) fn outgoing(
    mut store: StoreContextMut<'_, Guest>,
    function: &FunctionRef,
) -> Result<Outgoing, CallError> {
    let (context, link) = match &store.data().serving {
        Serving::One { context, links } => (*context, chosen(links, function)),
        Serving::Many(_) => {
            // What a guest does after its call has ended is done on behalf of nobody, by the time that all have by default.
            let context = running(&mut store).map_or_else(Context::default, |call| call.context);
            (context, LinkName::default())
        }
    };
    let guest = store.data();
    let most = guest.actor.limits.outgoing.get();
    let place = guest
        .vitals
        .enter(most)
        .ok_or_else(|| CallError::Overloaded {
            component: guest.actor.id.clone(),
        })?;
    Ok(Outgoing {
        actor: guest.actor.clone(),
        link,
        context: context.nested(),
        _place: place,
    })
}

fn chosen(links: &[(String, LinkName)], function: &FunctionRef) -> LinkName {
    let found = links
        .iter()
        .find(|(interface, _)| interface == function.compat());
    found.map(|(_, name)| name.clone()).unwrap_or_default()
}

/// The call that the running task serves, in an instance that serves several.
pub(super) fn running<'s>(store: &'s mut StoreContextMut<'_, Guest>) -> Option<&'s Running> {
    let tasks: Vec<GuestTaskId> = store
        .async_call_stack()
        .map(Iterator::collect)
        .unwrap_or_default();
    let Serving::Many(calls) = &store.data().serving else {
        return None;
    };
    tasks.iter().find_map(|task| calls.get(task))
}

impl Outgoing {
    pub(crate) async fn call(
        self,
        function: &FunctionRef,
        arguments: Bytes,
    ) -> Result<Bytes, CallError> {
        self.actor
            .caller
            .call(function, &self.link, arguments, self.context)
            .await
    }
}
