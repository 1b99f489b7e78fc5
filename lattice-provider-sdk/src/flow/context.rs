//! The handles beside the bytes while a value is encoded or decoded.
//!
//! serde has no place for them, so they are in a frame of the thread for as long as one value is
//! encoded or decoded. Frames nest: code that runs meanwhile, such as a destructor, may encode or
//! decode a value of its own.

use super::{Home, pump::Pump, remote::AnyInvoke};
use bytes::{Bytes, BytesMut};
use lattice_core::{
    call::CallError,
    id::Source,
    stream::{Body, Handle, Handles, Holder},
    value::{Decode, Encode, ValueError, from_bytes},
};
use serde::{Deserialize, Deserializer, Serializer, de, ser};
use std::{cell::RefCell, fmt, sync::Arc, vec};

/// Whose values are encoded and decoded.
#[derive(Clone)]
pub struct Env {
    /// The instance in which the resources of this component live, if it has any.
    pub(super) home: Option<Arc<Home>>,
    /// The component that holds the handles.
    pub(super) holder: Holder,
    /// What calls the methods of the handles that arrive.
    pub(super) caller: Option<Arc<dyn AnyInvoke>>,
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Env({})", self.holder)
    }
}

impl Env {
    /// The environment of a provider.
    pub(crate) fn of_provider(home: Arc<Home>) -> Self {
        Self {
            holder: home.holder().clone(),
            home: Some(home),
            caller: None,
        }
    }

    /// The environment of a client.
    pub(crate) fn of_client(caller: Arc<dyn AnyInvoke>) -> Self {
        Self {
            home: None,
            holder: Holder::Local(caller.any_source()),
            caller: Some(caller),
        }
    }

    /// The environment of values with streams and futures, and without resources.
    pub(crate) fn of_streams() -> Self {
        Self {
            home: None,
            holder: Holder::Local(Source::Operator),
            caller: None,
        }
    }

    pub(super) fn home(&self) -> Result<&Arc<Home>, CallError> {
        self.home.as_ref().ok_or_else(|| CallError::BadArguments {
            reason: "this component has no resources of its own".to_owned(),
        })
    }
}

/// An encoded value, with what has to run so that its streams flow.
#[derive(Debug, Default)]
pub struct Encoded {
    bytes: Bytes,
    handles: Handles,
    pumps: Vec<Pump>,
}

impl Encoded {
    /// Starts its streams, and returns the value.
    pub(crate) fn start(self) -> Body {
        let Self {
            bytes,
            handles,
            pumps,
        } = self;
        pumps.into_iter().for_each(Pump::start);
        Body { bytes, handles }
    }
}

impl From<Bytes> for Encoded {
    fn from(bytes: Bytes) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }
}

/// What is beside the bytes of the value that is encoded.
pub(super) struct Outgoing {
    pub(super) env: Env,
    pub(super) pumps: Vec<Pump>,
    handles: Handles,
    error: Option<CallError>,
}

/// What is beside the bytes of the value that is decoded.
struct Incoming {
    env: Env,
    handles: vec::IntoIter<Handle>,
    places: usize,
    error: Option<CallError>,
}

enum Frame {
    Out(Outgoing),
    In(Incoming),
}

thread_local! {
    static FRAMES: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
}

/// The frame of one value. Dropping it, also in a panic, removes the frame.
struct Scope(usize);

impl Scope {
    fn enter(frame: Frame) -> Self {
        FRAMES.with_borrow_mut(|frames| {
            frames.push(frame);
            Self(frames.len())
        })
    }

    fn leave(self) -> Option<Frame> {
        self.pop()
    }

    fn pop(&self) -> Option<Frame> {
        let frames = FRAMES.try_with(|frames| {
            let mut frames = frames.borrow_mut();
            // Those above this one were left behind by nothing: each is removed by its own scope.
            (frames.len() == self.0).then(|| frames.pop()).flatten()
        });
        frames.ok().flatten()
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        // Dropped only here, after the borrow has ended: the handles in it may run destructors.
        drop(self.pop());
    }
}

/// Appends an encoded value to `bytes`. The handles and pumps of it are added to `beside`.
pub(super) fn encode_into(
    value: &impl Encode,
    env: &Env,
    bytes: &mut BytesMut,
    beside: &mut (Handles, Vec<Pump>),
) -> Result<(), EncodeError> {
    let scope = Scope::enter(Frame::Out(Outgoing {
        env: env.clone(),
        pumps: Vec::new(),
        handles: Handles::new(),
        error: None,
    }));
    let encoded = value.encode(bytes);
    let Some(Frame::Out(mut out)) = scope.leave() else {
        return Err(EncodeError::Call(lost()));
    };
    if let Some(error) = out.error {
        return Err(EncodeError::Call(error));
    }
    encoded.map_err(EncodeError::Value)?;
    beside.0.append(&mut out.handles);
    beside.1.append(&mut out.pumps);
    Ok(())
}

/// Why a value was not encoded.
pub(super) enum EncodeError {
    /// One of its handles can't be passed.
    Call(CallError),
    /// Its data can't be encoded.
    Value(ValueError),
}

/// Initial capacity, enough for most values with handles in them, such as the head of a request.
const ROOM: usize = 256;

/// Encodes a value whose handles belong to `env`, and drops it.
///
/// # Errors
/// Fails with the error of a handle, or with what `refuse` makes of the reason.
pub fn encode<T: Encode>(
    value: T,
    env: &Env,
    refuse: impl FnOnce(String) -> CallError,
) -> Result<Encoded, CallError> {
    let mut bytes = BytesMut::with_capacity(ROOM);
    let mut beside = (Handles::new(), Vec::new());
    let encoded = encode_into(&value, env, &mut bytes, &mut beside);
    // A resource that was given away is shared with its table until here.
    drop(value);
    encoded.map_err(|error| match error {
        EncodeError::Call(error) => as_refused(error, refuse),
        EncodeError::Value(error) => refuse(error.to_string()),
    })?;
    Ok(Encoded {
        bytes: bytes.freeze(),
        handles: beside.0,
        pumps: beside.1,
    })
}

/// Decodes a value with its handles, which are then those of `env`.
///
/// # Errors
/// Fails with the error of a handle, or with what `refuse` makes of the reason.
pub fn decode<T: Decode>(
    bytes: &Bytes,
    handles: Handles,
    env: &Env,
    refuse: impl FnOnce(String) -> CallError,
) -> Result<T, CallError> {
    decode_with(handles, env, || from_bytes(bytes), refuse)
}

/// Decodes like [`decode`], by a function.
pub(super) fn decode_with<T>(
    handles: Handles,
    env: &Env,
    read: impl FnOnce() -> Result<T, ValueError>,
    refuse: impl FnOnce(String) -> CallError,
) -> Result<T, CallError> {
    let given = handles.len();
    let scope = Scope::enter(Frame::In(Incoming {
        env: env.clone(),
        handles: handles.into_iter(),
        places: 0,
        error: None,
    }));
    let decoded = read();
    let Some(Frame::In(incoming)) = scope.leave() else {
        return Err(lost());
    };
    if let Some(error) = incoming.error {
        return Err(as_refused(error, refuse));
    }
    match decoded {
        Err(error) => Err(refuse(error.to_string())),
        Ok(_) if incoming.handles.len() > 0 => Err(refuse(format!(
            "{given} handles were passed for {} places",
            incoming.places
        ))),
        Ok(value) => Ok(value),
    }
}

/// A handle that is of the wrong kind or type is refused in the same way as other data.
fn as_refused(error: CallError, refuse: impl FnOnce(String) -> CallError) -> CallError {
    match error {
        CallError::BadArguments { reason } | CallError::BadResult { reason } => refuse(reason),
        error => error,
    }
}

/// Writes the place of a handle, which `make` returns.
pub(super) fn put<S: Serializer>(
    serializer: S,
    make: impl FnOnce(&mut Outgoing) -> Result<Handle, CallError>,
) -> Result<S::Ok, S::Error> {
    let put = FRAMES.with_borrow_mut(|frames| {
        let Some(Frame::Out(out)) = frames.last_mut() else {
            return Err(NOWHERE.to_owned());
        };
        match make(out) {
            Ok(handle) => {
                out.handles.push(handle);
                Ok(())
            }
            Err(error) => {
                let reason = error.to_string();
                out.error.get_or_insert(error);
                Err(reason)
            }
        }
    });
    put.map_err(ser::Error::custom)?;
    serializer.serialize_u8(0)
}

/// Reads the place of a handle, and makes something of the handle.
pub(super) fn take<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    make: impl FnOnce(Handle, &Env) -> Result<T, CallError>,
) -> Result<T, D::Error> {
    let place = u8::deserialize(deserializer)?;
    if place != 0 {
        let reason = format!("the place of a handle is {place}, not 0");
        return Err(de::Error::custom(reason));
    }
    let next = FRAMES.with_borrow_mut(|frames| {
        let Some(Frame::In(incoming)) = frames.last_mut() else {
            return Err(NOWHERE);
        };
        incoming.places += 1;
        let handle = incoming.handles.next();
        let handle = handle.ok_or("there is no handle for a place")?;
        Ok((handle, incoming.env.clone()))
    });
    let (handle, env) = next.map_err(de::Error::custom)?;
    // Not under the borrow: a handle that is refused is dropped, which may run a destructor.
    make(handle, &env).map_err(|error| {
        let reason = error.to_string();
        FRAMES.with_borrow_mut(|frames| {
            if let Some(Frame::In(incoming)) = frames.last_mut() {
                incoming.error.get_or_insert(error);
            }
        });
        de::Error::custom(reason)
    })
}

const NOWHERE: &str = "resources, streams and futures can only be passed in calls";

/// The error of a frame that is gone, which can't be.
fn lost() -> CallError {
    CallError::CalleeFailed {
        reason: "the handles of a value were lost".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::StreamReader;
    use serde::{Serialize, Serializer};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn env() -> Env {
        Env {
            home: None,
            holder: Holder::Local(Source::Operator),
            caller: None,
        }
    }

    fn refuse(reason: String) -> CallError {
        CallError::BadArguments { reason }
    }

    fn stream() -> StreamReader<u32> {
        StreamReader::new(futures_util::stream::iter([1, 2]))
    }

    /// Encodes another value while it is encoded, and then fails as it is told.
    struct Nesting(bool);

    impl Serialize for Nesting {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let inner = encode((stream(), stream()), &env(), refuse).expect("encodes");
            assert_eq!(inner.handles.len(), 2);
            assert!(!self.0, "on purpose");
            stream().serialize(serializer)
        }
    }

    #[test]
    fn values_may_be_encoded_while_others_are() {
        let outer = encode((stream(), Nesting(false)), &env(), refuse).expect("encodes");
        assert_eq!((outer.handles.len(), &*outer.bytes), (2, &[0, 0][..]));
    }

    #[test]
    fn a_panic_leaves_nothing_behind() {
        let panicking = || encode((stream(), Nesting(true)), &env(), refuse);
        assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
        FRAMES.with_borrow(|frames| assert!(frames.is_empty()));
        let after = encode((stream(),), &env(), refuse).expect("encodes");
        assert_eq!(after.handles.len(), 1);
    }

    #[test]
    fn handles_need_a_call() {
        let outside = lattice_core::value::to_bytes(&stream());
        assert!(outside.is_err(), "there is no place for the handle");
        let outside = from_bytes::<StreamReader<u32>>(&Bytes::from_static(&[0]));
        let error = outside.expect_err("refused").to_string();
        assert!(error.contains("can only be passed in calls"), "{error}");
    }

    #[test]
    fn each_place_needs_a_handle_and_each_handle_a_place() {
        let given = |bytes: &'static [u8], streams: usize| {
            let handles = (0..streams).map(|_| Handle::Stream(lattice_core::stream::channel().1));
            let bytes = Bytes::from_static(bytes);
            decode::<(StreamReader<u32>,)>(&bytes, handles.collect(), &env(), refuse).map(drop)
        };
        assert_eq!(given(&[0], 1), Ok(()));
        for (bytes, streams, expected) in [
            (&[0][..], 0, "no handle for a place"),
            (&[0], 2, "2 handles were passed for 1 places"),
            (&[1], 1, "the place of a handle is 1"),
        ] {
            let error = given(bytes, streams).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
