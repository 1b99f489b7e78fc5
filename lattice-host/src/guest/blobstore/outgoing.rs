//! Values that a guest writes.

use super::{
    Answer, Store,
    call::{Client, ObjectId, ObjectMetadata, told},
    pipe::{Held, Inlet, Pipe},
};
use crate::guest::{ActorContext, CapabilityState, Guest, PanicText};
use lattice_provider_sdk::{Broken, ByteReader};
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::{LinkerInstance, Resource, ResourceType};
use wasmtime_wasi::p2::DynOutputStream;

/// What the values of one guest share.
struct Values(Held);

impl CapabilityState for Values {
    fn new(_: &ActorContext, _: &PanicText) -> Self {
        Self(Held::default())
    }
}

/// A value that a guest writes. Dropping it breaks what was not finished.
pub(super) struct OutgoingValue {
    pipe: Pipe,
    has_body: bool,
    writing: Option<AbortOnDropHandle<Result<ObjectMetadata, String>>>,
}

impl OutgoingValue {
    /// Creates a value of the guest whose values have so many bytes.
    fn new(held: Held) -> Self {
        Self {
            pipe: Pipe::new(held),
            has_body: false,
            writing: None,
        }
    }

    /// Begins to write it to an object.
    pub(super) fn write(&mut self, client: Client, id: ObjectId) -> Result<(), String> {
        let Some(data) = self.pipe.read() else {
            return Err("the value is being written already; make one for each object".to_owned());
        };
        let data = ByteReader::fallible(data);
        let call = async move { told(client.put_object(&id, data).await) };
        self.writing = Some(AbortOnDropHandle::new(tokio::spawn(call)));
        Ok(())
    }

    /// Ends the value, and waits until it is stored.
    async fn finish(mut self) -> Result<(), String> {
        let Some(writing) = self.writing.take() else {
            return Err("the value was not written; call `write-data` before `finish`".to_owned());
        };
        self.pipe.end(Ok(()));
        match writing.await {
            Ok(written) => written.map(drop),
            Err(lost) => Err(format!("the value was not written: {lost}")),
        }
    }
}

impl Drop for OutgoingValue {
    fn drop(&mut self) {
        // After `finish` it has ended already.
        self.pipe.end(Err(Broken::Failed {
            reason: "the guest dropped the value without finishing it".into(),
        }));
    }
}

pub(super) fn add_to_linker(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    let resource = ResourceType::host::<OutgoingValue>();
    types.resource("outgoing-value", resource, |mut store, value| {
        let value = Resource::<OutgoingValue>::new_own(value);
        store.data_mut().table().delete(value)?;
        Ok(())
    })?;
    types.func_wrap(
        "[static]outgoing-value.new-outgoing-value",
        |mut store: Store<'_>, (): ()| {
            let (state, table) = store.data_mut().capability::<Values>();
            let value = table.push(OutgoingValue::new(state.0.clone()))?;
            Ok((value,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-value.outgoing-value-write-body",
        |mut store: Store<'_>, (value,): (Resource<OutgoingValue>,)| body(&mut store, &value),
    )?;
    types.func_wrap_async(
        "[static]outgoing-value.finish",
        |mut store: Store<'_>, (value,): (Resource<OutgoingValue>,)| {
            Box::new(async move {
                // A stream to it that still exists makes this a trap.
                let value = store.data_mut().table().delete(value)?;
                finished(value).await
            })
        },
    )
}

async fn finished(value: OutgoingValue) -> Answer<()> {
    Ok((value.finish().await,))
}

type Body = (Result<Resource<DynOutputStream>, ()>,);

fn body(store: &mut Store<'_>, value: &Resource<OutgoingValue>) -> wasmtime::Result<Body> {
    let table = store.data_mut().table();
    let outgoing = table.get_mut(value)?;
    if std::mem::replace(&mut outgoing.has_body, true) {
        return Ok((Err(()),));
    }
    let stream: DynOutputStream = Box::new(Inlet::new(outgoing.pipe.clone()));
    Ok((Ok(table.push_child(stream, value)?),))
}
