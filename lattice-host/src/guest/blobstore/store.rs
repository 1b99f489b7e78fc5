//! Operations on containers, and on objects of several.

use super::{
    Store,
    call::{self, Client, client, told},
    container::Container,
};
use crate::guest::Guest;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower};

/// The record of the same name.
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct ObjectId {
    container: String,
    object: String,
}

impl From<ObjectId> for call::ObjectId {
    fn from(id: ObjectId) -> Self {
        let ObjectId { container, object } = id;
        Self { container, object }
    }
}

pub(super) fn add_to_linker(store: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    store.func_wrap_async(
        "create-container",
        |mut store: Store<'_>, (name,): (String,)| {
            Box::new(async move {
                let created = create(client(&mut store), &name).await;
                let container = match created {
                    Ok(()) => Ok(store.data_mut().table().push(Container::new(name))?),
                    Err(error) => Err(error),
                };
                Ok((container,))
            })
        },
    )?;
    store.func_wrap_async(
        "get-container",
        |mut store: Store<'_>, (name,): (String,)| {
            Box::new(async move {
                let found = find(client(&mut store), &name).await;
                let container = match found {
                    Ok(()) => Ok(store.data_mut().table().push(Container::new(name))?),
                    Err(error) => Err(error),
                };
                Ok((container,))
            })
        },
    )?;
    store.func_wrap_async(
        "delete-container",
        |mut store: Store<'_>, (name,): (String,)| {
            Box::new(async move {
                let client = client(&mut store);
                Ok((delete(client, name).await,))
            })
        },
    )?;
    store.func_wrap_async(
        "container-exists",
        |mut store: Store<'_>, (name,): (String,)| {
            Box::new(async move {
                let client = client(&mut store);
                Ok((exists(client, name).await,))
            })
        },
    )?;
    store.func_wrap_async(
        "copy-object",
        |mut store: Store<'_>, (from, to): (ObjectId, ObjectId)| {
            Box::new(async move {
                let client = client(&mut store);
                Ok((copy(client, from.into(), to.into()).await,))
            })
        },
    )?;
    store.func_wrap_async(
        "move-object",
        |mut store: Store<'_>, (from, to): (ObjectId, ObjectId)| {
            Box::new(async move {
                let client = client(&mut store);
                Ok((rename(client, from.into(), to.into()).await,))
            })
        },
    )
}

type Prepared = Result<Client, String>;

async fn create(client: Prepared, name: &str) -> Result<(), String> {
    told(client?.create_container(name).await)
}

async fn find(client: Prepared, name: &str) -> Result<(), String> {
    told(client?.container_info(name).await).map(drop)
}

async fn delete(client: Prepared, name: String) -> Result<(), String> {
    told(client?.delete_container(&name).await)
}

async fn exists(client: Prepared, name: String) -> Result<bool, String> {
    told(client?.container_exists(&name).await)
}

async fn copy(client: Prepared, from: call::ObjectId, to: call::ObjectId) -> Result<(), String> {
    told(client?.copy_object(&from, &to).await)
}

async fn rename(client: Prepared, from: call::ObjectId, to: call::ObjectId) -> Result<(), String> {
    told(client?.move_object(&from, &to).await)
}
