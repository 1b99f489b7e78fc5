//! Calls over the guest's link.

use super::Store;
use crate::guest::import::OutgoingCall;
use bindings::lattice::blobstore::store::INTERFACE;
pub(super) use bindings::lattice::blobstore::{
    store::StoreClient,
    types::{ByteRange, Error, ObjectData, ObjectId, ObjectMetadata},
};
use bytes::Bytes;
use lattice_core::{
    call::{CallError, Context, FunctionRef},
    id::Source,
    name::{FunctionName, InterfaceName},
    stream::Body,
    types::InterfaceTypes,
};
use lattice_provider_sdk::Invoke;
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};
use wasmtime::AsContextMut as _;

/// The interface whose link the calls use.
pub(super) const INTERFACE_NAME: &str = "wasi:blobstore/blobstore@0.2.0-draft";

mod bindings {
    lattice_provider_sdk::client!({ inline: "
        package lattice:blobstore-bridge;
        world bridge {
            import lattice:blobstore/store@0.1.0;
        }
    " });
}

/// The functions under the name by which links know them, by their keys under their own name.
static FUNCTIONS: LazyLock<HashMap<u64, FunctionRef>> = LazyLock::new(|| {
    let functions = INTERFACE.functions().iter();
    let functions = functions.map(|function| {
        let name = FunctionName::new(function.name).expect("the macro has checked the name");
        let reference = FunctionRef::new(interface(), name, function.signature);
        (function.key, reference)
    });
    functions.collect()
});

fn interface() -> InterfaceName {
    InterfaceName::new(INTERFACE_NAME).expect("the name of an interface")
}

/// Returns the types by which links know the interface.
pub(crate) fn types() -> InterfaceTypes {
    let functions = FUNCTIONS.values().map(|function| {
        let declared = INTERFACE.functions().iter();
        let mut declared =
            declared.filter(|declared| declared.name == function.function().as_str());
        let signature = declared.next().map_or("", |declared| declared.signature);
        (function.function().clone(), signature.to_owned())
    });
    InterfaceTypes {
        functions: functions.collect(),
    }
}

/// A client that makes one operation of the running guest.
pub(super) type Client = StoreClient<Linked>;

/// Makes the calls of one operation.
#[derive(Clone)]
pub(super) struct Linked(Arc<OutgoingCall>);

/// Prepares an operation of the running guest.
pub(super) fn client(store: &mut Store<'_>) -> Result<Client, String> {
    // Every function has the same link.
    let Some(function) = FUNCTIONS.values().next() else {
        return Err("the interface has no functions".to_owned());
    };
    match OutgoingCall::new(store.as_context_mut(), function) {
        Ok(call) => Ok(StoreClient::new(Linked(Arc::new(call)))),
        Err(error) => Err(error.to_string()),
    }
}

impl Invoke for Linked {
    async fn invoke(
        &self,
        function: &FunctionRef,
        args: Bytes,
        context: Context,
    ) -> Result<Bytes, CallError> {
        let result = self.pass(function, args.into(), context).await?;
        Ok(result.bytes)
    }

    /// Calls with the context of the guest's own call.
    async fn pass(
        &self,
        function: &FunctionRef,
        arguments: Body,
        _: Context,
    ) -> Result<Body, CallError> {
        let function = FUNCTIONS.get(&function.key().0).unwrap_or(function);
        self.0.pass(function, arguments).await
    }

    fn source(&self) -> Source {
        Source::Component(self.0.actor().id.clone())
    }
}

/// Makes one of the errors of an operation: strings are all that the interface has.
pub(super) fn told<R>(result: Result<Result<R, Error>, CallError>) -> Result<R, String> {
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(words(error)),
        Err(error) => Err(lattice_core::error::chain(&error)),
    }
}

fn words(error: Error) -> String {
    match error {
        Error::InvalidName(reason) => format!("invalid name: {reason}"),
        Error::NoSuchContainer(name) => format!("there is no container `{name}`"),
        Error::NoSuchObject(name) => format!("there is no object `{name}`"),
        Error::InvalidRange(size) => {
            format!("the range isn't in the object, which has {size} bytes")
        }
        Error::AccessDenied(reason) => format!("access denied: {reason}"),
        Error::TooLarge(limit) => format!("the object has more than {limit} bytes"),
        Error::Full(reason) => format!("the store is full: {reason}"),
        Error::Incomplete(reason) => format!("the data is incomplete: {reason}"),
        Error::Timeout => "the store did not answer in time".to_owned(),
        Error::Unavailable(reason) => format!("the store can't be reached: {reason}"),
        Error::Other(reason) => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_know_the_interface_by_the_functions_of_the_store() {
        let types = types();
        assert_eq!(types.functions.len(), INTERFACE.functions().len());
        for function in INTERFACE.functions() {
            let linked = &FUNCTIONS[&function.key];
            assert_eq!(linked.interface().as_str(), INTERFACE_NAME);
            assert_ne!(linked.key().0, function.key);
            assert_eq!(types.functions[linked.function()], function.signature);
        }
    }
}
