//! What an instance of an actor carries with it.

use super::{
    HostedActor,
    limiter::Allowance,
    usage::{CpuOverrun, UnderWay, Vitals},
};
use crate::capability::Wasi;
use bytes::Bytes;
use lattice_core::{
    call::{CallError, Context, FunctionRef},
    name::{InterfaceName, LinkName},
};
use std::{collections::HashMap, sync::Arc};
use wasmtime::{StoreContextMut, UpdateDeadline, component::GuestTaskId};

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
        /// Ticks that it was seen running.
        spent: u32,
    },
    /// Several.
    Many(Calls),
}

/// Calls that one instance serves at once, told apart by their tasks.
#[derive(Default)]
pub(super) struct Calls {
    running: HashMap<GuestTaskId, Running>,
    /// Ticks spent for nobody: on what a task does after its call has been answered. At most as many as there are tasks:
    /// their ids are used again.
    leftover: HashMap<Option<GuestTaskId>, u32>,
}

/// One of several calls.
pub(super) struct Running {
    /// What its caller knows it by.
    pub(super) id: u64,
    context: Context,
    /// Ticks that it was seen running.
    spent: u32,
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
            spent: 0,
        }
    }

    pub(super) fn many() -> Self {
        Self::Many(Calls::default())
    }
}

impl Calls {
    fn of(&self, tasks: &[GuestTaskId]) -> Option<&Running> {
        tasks.iter().find_map(|task| self.running.get(task))
    }

    /// The ticks of the call that `tasks` serve, the youngest first, or of the oldest of them.
    fn spent(&mut self, tasks: &[GuestTaskId]) -> &mut u32 {
        let serves = tasks.iter().find(|task| self.running.contains_key(task));
        match serves.and_then(|task| self.running.get_mut(task)) {
            Some(call) => &mut call.spent,
            None => self.leftover.entry(tasks.last().copied()).or_default(),
        }
    }
}

impl Guest {
    /// A task serves one more call.
    pub(super) fn begin(&mut self, task: GuestTaskId, id: u64, context: Context) {
        if let Serving::Many(calls) = &mut self.serving {
            let spent = 0;
            let call = Running { id, context, spent };
            calls.running.insert(task, call);
            calls.leftover.remove(&Some(task));
        }
    }

    /// A call was answered.
    pub(super) fn finish(&mut self, task: GuestTaskId) {
        if let Serving::Many(calls) = &mut self.serving {
            calls.running.remove(&task);
        }
        self.allowance.forget_denied();
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
        Serving::One { context, links, .. } => (*context, chosen(links, function)),
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
    let tasks = tasks(store);
    match &store.data().serving {
        Serving::One { .. } => None,
        Serving::Many(calls) => calls.of(&tasks),
    }
}

/// The guest has met a tick: the call that it is serving is charged for it.
pub(super) fn on_tick(mut store: StoreContextMut<'_, Guest>) -> Result<UpdateDeadline, CpuOverrun> {
    let vitals = store.data().vitals.clone();
    if !vitals.ran() {
        return Ok(UpdateDeadline::Continue(1));
    }
    let tasks = tasks(&mut store);
    vitals.charge(match &mut store.data_mut().serving {
        Serving::One { spent, .. } => spent,
        Serving::Many(calls) => calls.spent(&tasks),
    })
}

/// The running task and those that wait for it, the youngest first.
fn tasks(store: &mut StoreContextMut<'_, Guest>) -> Vec<GuestTaskId> {
    let stack = store.async_call_stack();
    stack.map(Iterator::collect).unwrap_or_default()
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
