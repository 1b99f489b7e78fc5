//! Giving a provider's own resources away in calls that the provider makes.

use super::{AnyInvoke, Env, Home, decode};
use bytes::Bytes;
use lattice_core::{call::CallError, stream::Handle, value::Decode};
use std::sync::Arc;

/// Makes a resource of a value, and returns the provider's own handle to it: a generated type such
/// as `BucketClient`, which a call of `caller` can give away.
///
/// # Errors
/// Fails when others hold as many resources as they may, and when `H` is the handle of another
/// resource than `T` stands for.
pub(crate) fn give<T: Send + Sync + 'static, H: Decode>(
    home: &Arc<Home>,
    caller: Arc<dyn AnyInvoke>,
    value: T,
) -> Result<H, CallError> {
    let owned = home.export(Arc::new(value))?;
    let refuse = |reason| CallError::BadArguments { reason };
    let env = Env::of_client(caller);
    decode(
        &Bytes::from_static(&[0]),
        vec![Handle::Own(owned)],
        &env,
        refuse,
    )
}
