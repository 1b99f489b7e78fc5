//! Values that flow: resources, streams and futures in the values of calls.
//!
//! ```text
//!              encode: one zero byte in the bytes, a handle beside them
//!   Own<T> ──────────────────────────────────────────────► own<r>       owned: `T` is in a `Home`
//!   Lent<T> ◄───────────────────────────────────────────── borrow<r>    lent until the call ends
//!   StreamReader<T>, ByteReader, FutureReader<T> ◄───────► stream<t>, future<t>
//!              decode: the next handle of the value
//! ```
//!
//! | file | what it does |
//! | --- | --- |
//! | `context` | the handles beside the bytes while a value is encoded or decoded |
//! | `home` | the resources of a provider that others hold |
//! | `resource` | a provider's own resources in values |
//! | `remote` | the resources of other components in values |
//! | `give` | a provider's own resources in calls that it makes |
//! | `elements` | elements of streams as bytes |
//! | `pump` | the tasks that send the elements of streams to their readers |
//! | `stream`, `byte_stream`, `future` | streams and futures in values |
//! | `ends` | the writing ends of channels |

mod byte_stream;
mod context;
mod elements;
mod ends;
mod future;
mod give;
mod home;
mod pump;
mod remote;
mod resource;
mod stream;

pub use byte_stream::ByteReader;
pub use context::{Encoded, Env, decode, encode};
pub use elements::Element;
pub use ends::{ByteWriter, FutureWriter, StreamWriter};
pub use future::FutureReader;
pub(crate) use give::give;
pub(crate) use home::TokenOf;
pub use home::{Home, ResourceType};
pub use remote::{AnyInvoke, Attached, RemoteOwned, RemoteRef};
pub use resource::{Lent, Own};
pub use stream::StreamReader;
