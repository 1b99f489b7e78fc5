//! Writing values as postcard, directly into a buffer.

use super::ValueError;
use bytes::{BufMut, BytesMut};
use postcard::ser_flavors::Flavor;
use serde::Serialize;

pub(super) fn append<T: Serialize + ?Sized>(
    value: &T,
    buf: &mut BytesMut,
) -> Result<(), ValueError> {
    postcard::serialize_with_flavor(value, Append(buf)).map_err(|error| ValueError::Unencodable {
        reason: error.to_string(),
    })
}

struct Append<'b>(&'b mut BytesMut);

impl Flavor for Append<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.put_slice(data);
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.extend_from_slice(&[byte]);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}
