//! The handles of one instance: those of its own resources that others hold, and those of others
//! that it holds.

use super::{kept::Home, renewal::Renewed, state::Guest};
use crate::transcode::{ChannelGuard, HandleStore, ResourceIndex, Resources, UnreadFutures};
use foldhash::fast::RandomState;
use lattice_core::{
    id::Source,
    stream::{Handle, Owned, Owner as _, ResourceRef, Stale},
};
use std::{collections::HashMap, mem, sync::Arc};
use wasmtime::{
    Error, Result, StoreContextMut, bail,
    component::{ComponentExportIndex, ResourceAny, ResourceType},
};

/// What a component says about the handles that it passes.
#[derive(Debug)]
pub(crate) struct HandleTypes {
    pub(crate) resources: Arc<Resources>,
    /// The exports that define resources.
    pub(crate) homes: Vec<(ComponentExportIndex, ResourceIndex)>,
}

/// The handles of one instance.
pub(super) struct HandleTable {
    home: Arc<Home>,
    resources: Arc<Resources>,
    /// The types of resources as this instance has them. Its own are known once it has started.
    types: Vec<(ResourceType, ResourceIndex)>,
    /// Resources of others, by the number that stands for them in the store.
    held: HashMap<u32, Handle, RandomState>,
    last_held: u32,
    /// Its own resources that others hold, by id.
    exported: HashMap<u64, Exported, RandomState>,
    /// What the call that is being prepared has been lent.
    lent: LentToCall,
    unread_futures: UnreadFutures,
    renewed: Renewed,
}

struct Exported {
    resource: ResourceAny,
    ty: ResourceIndex,
    /// Running calls that it is lent to.
    calls: u32,
}

/// What one call was lent. It is taken back when the call ends.
#[derive(Default)]
pub(super) struct LentToCall {
    held: Vec<u32>,
    own: Vec<u64>,
}

impl HandleTable {
    pub(super) fn new(home: Arc<Home>, resources: Arc<Resources>) -> Self {
        let types = resources.iter().filter(|(_, resource)| !resource.is_home);
        let types = types.map(|(index, _)| (ResourceType::host_dynamic(index.0), index));
        Self {
            types: types.collect(),
            home,
            resources,
            held: HashMap::default(),
            last_held: 0,
            exported: HashMap::default(),
            lent: LentToCall::default(),
            unread_futures: UnreadFutures::default(),
            renewed: Renewed::default(),
        }
    }

    pub(super) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// Returns whether enough has moved in the instance's streams since the last time that its
    /// calls have their CPU time anew.
    pub(super) fn renews(&mut self) -> bool {
        self.renewed.renews(self.home.moved())
    }

    /// Records the type of one of the instance's own resources.
    pub(super) fn know(&mut self, ty: ResourceType, index: ResourceIndex) {
        self.types.push((ty, index));
    }

    /// Checks that a resource of the instance's own can be used, or given back to it for good.
    pub(super) fn check(
        &self,
        resource: &ResourceRef,
        ty: ResourceIndex,
        is_given: bool,
    ) -> Result<(), Stale> {
        if resource.at() != self.home.at() {
            return Err(Stale::OtherInstance);
        }
        match self.exported.get(&resource.id()) {
            None => Err(Stale::Dropped),
            Some(exported) if exported.ty != ty => {
                let name = &self.resources.get(exported.ty).name;
                Err(Stale::OtherType(name.clone()))
            }
            Some(exported) if is_given && exported.calls > 0 => Err(Stale::Lent),
            Some(_) => Ok(()),
        }
    }

    /// Returns what was lent since the last time, to the call that has been prepared.
    pub(super) fn take_lent(&mut self) -> LentToCall {
        mem::take(&mut self.lent)
    }

    /// Takes back what was lent to a call.
    pub(super) fn take_back(&mut self, lent: LentToCall) {
        for number in lent.held {
            self.held.remove(&number);
        }
        for id in lent.own {
            if let Some(exported) = self.exported.get_mut(&id) {
                exported.calls = exported.calls.saturating_sub(1);
            }
        }
    }

    /// Returns whether a resource of its own is lent to a running call, so that it can't be
    /// dropped.
    pub(super) fn is_lent(&self, id: u64) -> bool {
        let exported = self.exported.get(&id);
        exported.is_some_and(|exported| exported.calls > 0)
    }

    /// Removes a resource of its own that was dropped.
    pub(super) fn remove_dropped(&mut self, id: u64) -> Option<ResourceAny> {
        self.exported.remove(&id).map(|exported| exported.resource)
    }

    /// The guest drops an owned handle of another's resource.
    fn drop_held(&mut self, number: u32) -> Result<()> {
        match self.held.remove(&number) {
            Some(handle) => {
                drop(handle);
                Ok(())
            }
            None => bail!("it dropped a handle that stands for nothing"),
        }
    }
}

impl Guest {
    /// Records that the instance has ended, if it served requests. What it holds of others is
    /// dropped with its store.
    pub(super) fn end_requests(&mut self) {
        let home = self.handles.as_deref().map(HandleTable::home);
        if let Some(home) = home.filter(|home| home.requests_ended()) {
            self.actor.caller.instance_ended(home.number());
        }
    }

    pub(super) fn handles(&mut self) -> Result<&mut HandleTable> {
        let handles = self.handles.as_deref_mut();
        handles.ok_or_else(|| Error::msg("the component passes no handles"))
    }
}

/// Called when a guest drops an owned handle of another component's resource. The resource is
/// dropped in order with the calls that the guest makes.
pub(crate) fn drop_handle(mut store: StoreContextMut<'_, Guest>, number: u32) -> Result<()> {
    store.data_mut().handles()?.drop_held(number)
}

impl HandleStore for Guest {
    fn give(mut store: StoreContextMut<'_, Self>, resource: ResourceAny) -> Result<Handle> {
        let source = store.data().source();
        let table = store.data_mut().handles()?;
        let known = table.types.iter().find(|(ty, _)| *ty == resource.ty());
        let Some((_, index)) = known.copied() else {
            bail!("it passed a resource that can't be passed to other components");
        };
        let ty = table.resources.get(index);
        if ty.is_home {
            let id = table.home.export(source)?;
            let exported = Exported {
                resource,
                ty: index,
                calls: 0,
            };
            table.exported.insert(id, exported);
            let reference = ResourceRef::new(table.home.clone(), id, ty.name.clone());
            return Ok(Handle::Own(Owned::new(reference)));
        }
        // For a borrow, this also ends what the store tracks of it.
        let resource = resource.try_into_resource_dynamic(&mut store)?;
        let (number, table) = (resource.rep(), store.data_mut().handles()?);
        let given = if resource.owned() {
            let given = table.held.remove(&number);
            given.filter(|handle| matches!(handle, Handle::Own(_)))
        } else {
            let lent = table.held.get(&number).and_then(Handle::resource);
            lent.cloned().map(Handle::Borrow)
        };
        given.ok_or_else(|| Error::msg("it passed a handle that stands for nothing"))
    }

    fn own(
        &mut self,
        resource: &ResourceRef,
        ty: ResourceIndex,
        is_given: bool,
    ) -> Result<Option<ResourceAny>, Stale> {
        let table = self.handles.as_deref_mut().ok_or(Stale::NotServed)?;
        if !table.resources.get(ty).is_home {
            return Ok(None);
        }
        table.check(resource, ty, is_given)?;
        let id = resource.id();
        if is_given {
            let exported = table.exported.remove(&id).ok_or(Stale::Dropped)?;
            table.home.taken_back(id);
            return Ok(Some(exported.resource));
        }
        let exported = table.exported.get_mut(&id).ok_or(Stale::Dropped)?;
        exported.calls += 1;
        table.lent.own.push(id);
        Ok(Some(exported.resource))
    }

    fn hold(&mut self, handle: Handle) -> u32 {
        let Some(table) = self.handles.as_deref_mut() else {
            return 0;
        };
        // Numbers of handles that are gone are used again only after all others.
        loop {
            table.last_held = table.last_held.wrapping_add(1);
            if !table.held.contains_key(&table.last_held) {
                break;
            }
        }
        let number = table.last_held;
        if matches!(handle, Handle::Borrow(_)) {
            table.lent.held.push(number);
        }
        table.held.insert(number, handle);
        number
    }

    fn source(&self) -> Source {
        Source::Component(self.actor.id.clone())
    }

    fn unread_futures(&mut self) -> Option<&mut UnreadFutures> {
        let table = self.handles.as_deref_mut();
        table.map(|table| &mut table.unread_futures)
    }

    fn guard(&self) -> Box<dyn ChannelGuard> {
        match &self.handles {
            Some(table) => Box::new(table.home.channel()),
            None => Box::new(super::kept::Nowhere),
        }
    }
}
