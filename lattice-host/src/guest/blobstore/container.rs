//! Containers, and the operations on their objects.

use super::{
    Answer, Store,
    call::{ByteRange, Client, ObjectId, client, told},
    incoming::IncomingValue,
    outgoing::OutgoingValue,
};
use crate::guest::Guest;
use futures_util::StreamExt;
use lattice_provider_sdk::StreamReader;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource, ResourceType};

/// Most names that a guest gets at once.
const MOST_NAMES: u64 = 4_096;

/// A container that a guest has. It only has the name, so it works as long as there is a container
/// of this name.
pub(super) struct Container(String);

impl Container {
    pub(super) fn new(name: String) -> Self {
        Self(name)
    }
}

/// The names of the objects of a container, as far as the guest hasn't read them.
struct ObjectNames(StreamReader<String>);

/// The record of the same name.
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct ContainerMetadata {
    name: String,
    #[component(name = "created-at")]
    created_at: u64,
}

/// The record of the same name.
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct ObjectMetadata {
    name: String,
    container: String,
    #[component(name = "created-at")]
    created_at: u64,
    size: u64,
}

type Own = Resource<Container>;
type Names = Resource<ObjectNames>;

pub(super) fn add_to_linker(container: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let resource = ResourceType::host::<Container>();
    container.resource("container", resource, |mut store, value| {
        let value = Resource::<Container>::new_own(value);
        store.data_mut().table().delete(value)?;
        Ok(())
    })?;
    let resource = ResourceType::host::<ObjectNames>();
    container.resource("stream-object-names", resource, |mut store, value| {
        let value = Resource::<ObjectNames>::new_own(value);
        store.data_mut().table().delete(value)?;
        Ok(())
    })?;
    whole(container)?;
    objects(container)?;
    data(container)?;
    names(container)
}

/// Defines the functions about a whole container.
fn whole(container: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    container.func_wrap(
        "[method]container.name",
        |mut store: Store<'_>, (this,): (Own,)| -> Answer<String> {
            let name = store.data_mut().table().get(&this)?.0.clone();
            Ok((Ok(name),))
        },
    )?;
    container.func_wrap_async(
        "[method]container.info",
        |mut store: Store<'_>, (this,): (Own,)| {
            Box::new(async move {
                let prepared = prepare(&mut store, &this)?;
                Ok((info(prepared).await,))
            })
        },
    )?;
    container.func_wrap_async(
        "[method]container.clear",
        |mut store: Store<'_>, (this,): (Own,)| {
            Box::new(async move {
                let prepared = prepare(&mut store, &this)?;
                Ok((clear(prepared).await,))
            })
        },
    )?;
    container.func_wrap_async(
        "[method]container.list-objects",
        |mut store: Store<'_>, (this,): (Own,)| {
            Box::new(async move {
                let prepared = prepare(&mut store, &this)?;
                let listed = match list(prepared).await {
                    Ok(names) => Ok(store.data_mut().table().push(ObjectNames(names))?),
                    Err(error) => Err(error),
                };
                Ok((listed,))
            })
        },
    )
}

/// Defines the functions about objects without their data.
fn objects(container: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    container.func_wrap_async(
        "[method]container.delete-object",
        |mut store: Store<'_>, (this, name): (Own, String)| {
            Box::new(async move {
                let prepared = prepare(&mut store, &this)?;
                Ok((delete(prepared, vec![name]).await,))
            })
        },
    )?;
    container.func_wrap_async(
        "[method]container.delete-objects",
        |mut store: Store<'_>, (this, names): (Own, Vec<String>)| {
            Box::new(async move {
                let prepared = prepare(&mut store, &this)?;
                Ok((delete(prepared, names).await,))
            })
        },
    )?;
    container.func_wrap_async(
        "[method]container.has-object",
        |mut store: Store<'_>, (this, name): (Own, String)| {
            Box::new(async move {
                let prepared = prepare(&mut store, &this)?;
                Ok((has(prepared, name).await,))
            })
        },
    )?;
    container.func_wrap_async(
        "[method]container.object-info",
        |mut store: Store<'_>, (this, name): (Own, String)| {
            Box::new(async move {
                let prepared = prepare(&mut store, &this)?;
                Ok((object_info(prepared, name).await,))
            })
        },
    )
}

/// Defines the functions about the data of objects.
fn data(container: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    container.func_wrap_async(
        "[method]container.get-data",
        |mut store: Store<'_>, (this, name, first, last): (Own, String, u64, u64)| {
            Box::new(async move {
                let prepared = prepare(&mut store, &this)?;
                let found = match get(prepared, name, ByteRange { first, last }).await {
                    Ok(value) => Ok(store.data_mut().table().push(value)?),
                    Err(error) => Err(error),
                };
                Ok((found,))
            })
        },
    )?;
    container.func_wrap(
        "[method]container.write-data",
        |mut store: Store<'_>, (this, name, value): (Own, String, Resource<OutgoingValue>)| {
            let (client, container) = match prepare(&mut store, &this)? {
                Ok(prepared) => prepared,
                Err(error) => return Ok((Err(error),)),
            };
            let object = ObjectId {
                container,
                object: name,
            };
            let value = store.data_mut().table().get_mut(&value)?;
            Ok((value.write(client, object),))
        },
    )
}

/// Defines the functions about names.
fn names(container: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    container.func_wrap_async(
        "[method]stream-object-names.read-stream-object-names",
        |mut store: Store<'_>, (this, count): (Names, u64)| {
            Box::new(async move {
                let names = store.data_mut().table().get_mut(&this)?;
                Ok((names.read(count).await,))
            })
        },
    )?;
    container.func_wrap_async(
        "[method]stream-object-names.skip-stream-object-names",
        |mut store: Store<'_>, (this, count): (Names, u64)| {
            Box::new(async move {
                let names = store.data_mut().table().get_mut(&this)?;
                Ok((names.skip(count).await,))
            })
        },
    )
}

/// What an operation on a container needs: a client, and the name.
type Prepared = Result<(Client, String), String>;

fn prepare(store: &mut Store<'_>, container: &Own) -> wasmtime::Result<Prepared> {
    let name = store.data_mut().table().get(container)?.0.clone();
    Ok(client(store).map(|client| (client, name)))
}

async fn info(prepared: Prepared) -> Result<ContainerMetadata, String> {
    let (client, name) = prepared?;
    let info = told(client.container_info(&name).await)?;
    Ok(ContainerMetadata {
        name: info.name,
        created_at: info.created_at,
    })
}

async fn clear(prepared: Prepared) -> Result<(), String> {
    let (client, name) = prepared?;
    told(client.clear_container(&name).await)
}

async fn list(prepared: Prepared) -> Result<StreamReader<String>, String> {
    let (client, name) = prepared?;
    told(client.list_objects(&name).await)
}

async fn delete(prepared: Prepared, names: Vec<String>) -> Result<(), String> {
    let (client, name) = prepared?;
    told(client.delete_objects(&name, &names).await)
}

async fn has(prepared: Prepared, object: String) -> Result<bool, String> {
    let (client, container) = prepared?;
    told(client.has_object(&ObjectId { container, object }).await)
}

async fn object_info(prepared: Prepared, object: String) -> Result<ObjectMetadata, String> {
    let (client, container) = prepared?;
    let info = told(client.object_info(&ObjectId { container, object }).await)?;
    Ok(ObjectMetadata {
        name: info.name,
        container: info.container,
        created_at: info.created_at,
        size: info.size,
    })
}

async fn get(
    prepared: Prepared,
    object: String,
    range: ByteRange,
) -> Result<IncomingValue, String> {
    let (client, container) = prepared?;
    let id = ObjectId { container, object };
    let object = told(client.get_object(&id, Some(&range)).await)?;
    Ok(IncomingValue::new(object))
}

impl ObjectNames {
    /// Reads names, and says whether there are no others.
    async fn read(&mut self, count: u64) -> Result<(Vec<String>, bool), String> {
        let mut names = Vec::new();
        for _ in 0..count.min(MOST_NAMES) {
            match self.0.next().await {
                Some(Ok(name)) => names.push(name),
                Some(Err(broken)) => return Err(broken.to_string()),
                None => return Ok((names, true)),
            }
        }
        Ok((names, false))
    }

    /// Passes over names. Returns over how many, and whether there are no others.
    async fn skip(&mut self, count: u64) -> Result<(u64, bool), String> {
        for skipped in 0..count {
            match self.0.next().await {
                Some(Ok(_)) => {}
                Some(Err(broken)) => return Err(broken.to_string()),
                None => return Ok((skipped, true)),
            }
        }
        Ok((count, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use lattice_provider_sdk::Broken;

    #[tokio::test]
    async fn names_are_read_and_passed_over_to_their_end() {
        let mut names = ObjectNames(StreamReader::new(stream::iter(
            ["a", "b", "c"].map(str::to_owned),
        )));
        assert_eq!(names.read(0).await, Ok((Vec::new(), false)));
        assert_eq!(names.read(1).await, Ok((vec!["a".to_owned()], false)));
        assert_eq!(names.skip(1).await, Ok((1, false)));
        assert_eq!(names.read(u64::MAX).await, Ok((vec!["c".to_owned()], true)));
        assert_eq!(names.skip(u64::MAX).await, Ok((0, true)));
        let mut broken = ObjectNames(StreamReader::fallible(stream::iter([Err(
            Broken::WriterLost,
        )])));
        assert!(broken.read(1).await.is_err());
    }
}
