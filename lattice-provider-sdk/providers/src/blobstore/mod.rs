//! Objects of any size, in containers: `lattice:blobstore/store`, and what `wasi:blobstore` needs.
//!
//! A host turns the imports `wasi:blobstore@0.2.0-draft` of its actors into calls over their link
//! for `wasi:blobstore/blobstore@0.2.0-draft`, and every provider here is served under that name
//! too. So one link is enough for either interface:
//!
//! ```
//! use futures_util::{TryStreamExt, stream};
//! use lattice_provider_sdk::{ByteReader, Bytes, Lattice, Link, client, serve};
//! use lattice_providers::blobstore::{Memory, MemorySettings};
//!
//! client!({ inline: "
//!     package example:app;
//!     world app { import lattice:blobstore/store@0.1.0; }
//! " });
//! use lattice::blobstore::{store::{INTERFACE, StoreClient}, types::ObjectId};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let lattice = Lattice::in_memory("dev").await?;
//! let _serving = serve(&lattice, "blobs", Memory::new(MemorySettings::default())).await?;
//! lattice.links().put(Link::new("app", INTERFACE.name(), "blobs")?).await?;
//!
//! let store = StoreClient::new(lattice.caller("app")?);
//! store.create_container("photos").await?.map_err(|error| format!("{error:?}"))?;
//! let id = ObjectId { container: "photos".to_owned(), object: "cat".to_owned() };
//! let data = ByteReader::new(stream::iter([Bytes::from_static(b"meow")]));
//! let stored = store.put_object(&id, data).await?.map_err(|error| format!("{error:?}"))?;
//! assert_eq!(stored.size, 4);
//! let object = store.get_object(&id, None).await?.map_err(|error| format!("{error:?}"))?;
//! let data: Vec<Bytes> = object.data.try_collect().await?;
//! assert_eq!(data.concat(), b"meow");
//! # Ok(())
//! # }
//! ```
//!
//! # What each backend guarantees
//!
//! | | memory | file | S3, Azure, GCS | NATS |
//! | --- | --- | --- | --- | --- |
//! | an object is replaced as a whole | yes | yes, by a rename | yes | yes, for reads that begin afterwards |
//! | a reader of an object that is replaced | reads on in the old one | reads on in the old one | reads on in the old one | fails, and never gets a mixture |
//! | what breaks off leaves behind | nothing | nothing, or a file that the next start after a day removes | nothing, or parts of an upload that the bucket's lifecycle rule removes | nothing, or chunks until the container is cleared, if the server or the provider is lost too |
//! | listing while objects change | those of one moment | objects that change meanwhile may be missing or listed | as file | as file |
//! | copy, move | at once | copy by reading; move by one rename | copy in the store; move is copy and delete | copy and move by reading |
//! | survives the provider | no | yes, after `fsync` | yes | yes |
//! | effects are fenced | no: runs once | no | no | no |
//! | largest object | 64 MiB by default | that of the file system | 60 GiB | that of the stream |
//! | several replicas of the provider | each has its own objects | if they share the folder | yes | yes |
//!
//! Containers of S3, Azure and GCS are folders of one bucket, with a marker for each of them under
//! `containers/`. Names are encoded in all backends, so that every text is a name, and none leads
//! to another folder or bucket.
//!
//! Each operation is a span in traces, with the system, the operation and the container as
//! `lattice.blobstore.system`, `operation` and `container`. Writing an object lasts until it is
//! stored, and reading one until it is open.
//!
//! Data streams through all of them in bounded memory: at most 20 MiB for an upload to S3, Azure
//! or GCS, less than 2 MiB for the others.

mod backend;
mod config;
mod file;
mod memory;
mod names;
#[cfg(feature = "blobstore-nats")]
mod nats;
mod provider;
#[cfg(feature = "blobstore-s3")]
mod remote;
mod served_as;
mod spans;
#[cfg(any(feature = "blobstore-nats", feature = "blobstore-s3"))]
mod timeout;

pub use config::LinkConfig;
pub use file::{File, FileSettings};
pub use memory::{Memory, MemorySettings};
#[cfg(feature = "blobstore-nats")]
pub use nats::{Nats, NatsContainers, NatsStoreSettings};
#[cfg(feature = "blobstore-s3")]
pub use remote::{AnyStore, Azure, AzureSettings, Gcs, GcsSettings, S3, S3Settings};

use crate::builtin::Builtin;

/// The names under which other interfaces have the functions of `lattice:blobstore/store`.
pub(crate) const ALSO_SERVED_AS: &str = "wasi:blobstore/blobstore@0.2.0-draft";

/// The types of the calls, and the traits for those that serve them.
pub(crate) mod bindings {
    lattice_provider_sdk::provider!({ inline: "
        package lattice:blobstore-provider;
        world blobs {
            export lattice:blobstore/store@0.1.0;
        }
    " });
}

/// Returns the providers of this capability that manifests can name.
pub(crate) fn builtins() -> Vec<Builtin> {
    vec![
        Builtin::new("blobstore-memory", Memory::new),
        Builtin::new("blobstore-file", File::new),
        #[cfg(feature = "blobstore-s3")]
        Builtin::new("blobstore-s3", S3::new),
        #[cfg(feature = "blobstore-s3")]
        Builtin::new("blobstore-azure", Azure::new),
        #[cfg(feature = "blobstore-s3")]
        Builtin::new("blobstore-gcs", Gcs::new),
        #[cfg(feature = "blobstore-nats")]
        Builtin::new("blobstore-nats", Nats::new),
    ]
}
