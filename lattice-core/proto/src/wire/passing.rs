//! A value with handles in it: arguments, a result, or a chunk of a stream.
//!
//! ```text
//!  0                     4
//! ┌─────────────────────┬───────────────────┬──────────────────┐
//! │ length of the names │ names in postcard │ value to the end │
//! └─────────────────────┴───────────────────┴──────────────────┘
//! ```
//! Little endian. There is a name for each handle, in the order in which a walk over the value
//! meets their places. A stream or future is named by the channel that carries its elements, in the
//! numbering of the sender and in the same session.

use super::{EnvelopeError, ResourceName};
use crate::value::{self, bounded};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// Most handles of one value. A name takes up to some 60 times as much memory as on the wire.
pub const MAX_HANDLES: usize = 65_536;

/// A handle as one host names it to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandleName {
    /// A resource that is given away.
    Own(ResourceName),
    /// A resource that is lent until the call ends.
    Borrow(ResourceName),
    /// A stream, in this channel.
    Stream(u32),
    /// A future, in this channel.
    Future(u32),
}

/// A value and the names of the handles in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// The names, in order.
    pub names: Vec<HandleName>,
    /// The encoded value.
    pub value: Bytes,
}

#[derive(Deserialize)]
struct NameList(
    #[serde(deserialize_with = "bounded::list::<_, HandleName, MAX_HANDLES>")] Vec<HandleName>,
);

impl Passed {
    /// Encodes the value.
    ///
    /// # Errors
    /// Fails with [`EnvelopeError::TooMany`] if it has more than [`MAX_HANDLES`].
    pub fn encode(&self) -> Result<Bytes, EnvelopeError> {
        super::body::at_most("handles", self.names.len(), MAX_HANDLES)?;
        let mut buf = BytesMut::with_capacity(64 * (1 + self.names.len()) + self.value.len());
        buf.put_u32_le(0);
        value::encode_into(&self.names, &mut buf)?;
        let length = (buf.len() - 4) as u32;
        buf[..4].copy_from_slice(&length.to_le_bytes());
        buf.put_slice(&self.value);
        Ok(buf.freeze())
    }

    /// Decodes a value, which shares the memory of `bytes`.
    ///
    /// # Errors
    /// Fails with an [`EnvelopeError`].
    pub fn decode(mut bytes: Bytes) -> Result<Self, EnvelopeError> {
        let length = bytes
            .try_get_u32_le()
            .map_err(|_| EnvelopeError::Truncated)?;
        let names = super::read::take(&mut bytes, length as usize)?;
        let NameList(names) = value::from_bytes(&names)?;
        Ok(Self {
            names,
            value: bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::{Auth, SealedToken, TokenScope},
        id::Origin,
        name::{ComponentId, HostId},
    };

    /// The token `x` without authentication.
    fn token() -> SealedToken {
        let component = ComponentId::new("c").expect("a component");
        let scope = TokenScope {
            component: &component,
            resource: "t",
            holder: None,
        };
        Auth::trusting().seal_token(scope, b"x").expect("it fits")
    }

    fn passed() -> Passed {
        let name = ResourceName {
            origin: Origin::new(HostId::new("h").expect("a host"), 3),
            component: ComponentId::new("c").expect("a component"),
            instance: 4,
            id: 5,
            holder: None,
            ty: "t".to_owned(),
            token: None,
        };
        let portable = ResourceName {
            token: Some(token()),
            ..name.clone()
        };
        Passed {
            names: vec![
                HandleName::Own(portable),
                HandleName::Borrow(name),
                HandleName::Stream(1),
                HandleName::Future(300),
            ],
            value: Bytes::from_static(b"\0\0\0\0value"),
        }
    }

    #[test]
    fn golden_bytes() {
        let golden = b"\x30\0\0\0\
            \x04\
            \x00\x01h\x03\x01c\x04\x05\x00\x01t\x01\x11x\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
            \x01\x01h\x03\x01c\x04\x05\x00\x01t\x00\
            \x02\x01\
            \x03\xac\x02\
            \0\0\0\0value";
        let golden = Bytes::from_static(golden);
        let names = golden.len() as u32 - 13;
        assert_eq!(names.to_le_bytes(), golden[..4]);
        assert_eq!(passed().encode(), Ok(golden.clone()));
        assert_eq!(Passed::decode(golden.clone()), Ok(passed()));
        for length in 0..golden.len() - 9 {
            let short = Passed::decode(golden.slice(..length));
            assert_eq!(short, Err(EnvelopeError::Truncated), "{length}");
        }
    }

    #[test]
    fn names_that_do_not_fill_their_length_are_refused() {
        for length in [0_u32, 1, 47, 49, 57] {
            let mut bytes = passed().encode().expect("encodes").to_vec();
            bytes[..4].copy_from_slice(&length.to_le_bytes());
            let decoded = Passed::decode(bytes.into());
            assert!(matches!(decoded, Err(EnvelopeError::Body(_))), "{length}");
        }
        let too_many = Passed {
            names: vec![HandleName::Stream(1); MAX_HANDLES + 1],
            value: Bytes::new(),
        };
        assert!(too_many.encode().is_err());
        let mut bytes = BytesMut::new();
        bytes.put_u32_le(4 + 2 * (MAX_HANDLES as u32 + 1) - 1);
        bytes.put_slice(b"\x81\x80\x04");
        bytes.put_bytes(2, 2 * (MAX_HANDLES + 1));
        assert!(Passed::decode(bytes.freeze()).is_err());
    }
}
