//! The WIT interfaces that Lattice's SDKs use, as texts, and the forms in which components publish
//! their own WIT.
//!
//! ```
//! use lattice_wit::binary;
//! use wit_parser::Resolve;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut resolve = Resolve::new();
//!     let package = resolve.push_str("hello.wit", "
//!         package example:hello@0.1.0;
//!         interface greeter { greet: func(name: string) -> string; }
//!         world hello { export greeter; }
//!     ")?;
//!     let world = resolve.select_world(&[package], None)?;
//!
//!     // A component publishes its WIT as bytes, from which tools read what can be called.
//!     let published = binary::of_world(&resolve, world, |_| true)?;
//!     let found = binary::decode(&published)?;
//!     for interface in found.exports() {
//!         println!("{}", found.text(interface)?.unwrap_or_default()); // greet: func(name: …
//! #       let text = found.text(interface)?.unwrap_or_default();
//! #       assert!(text.contains("greet: func(name: string) -> string;"), "{text}");
//!     }
//!     Ok(())
//! }
//! ```
//!
//! A WIT package is a folder of text files, and cargo only packages files inside a crate's own
//! folder. So the texts are in this crate, in one folder per package, and build scripts, bindings
//! generators and tools depend on it.
//!
//! | package | interfaces | purpose |
//! | --- | --- | --- |
//! | [`lattice:rpc`](LATTICE_RPC) | `types`, `links` | failed calls as values; choice of links |
//! | [`lattice:keyvalue`](LATTICE_KEYVALUE) | `store` | bytes and counters under keys |
//! | [`lattice:sql`](LATTICE_SQL) | `database` | statements and transactions of a database |
//! | [`lattice:blobstore`](LATTICE_BLOBSTORE) | `types`, `store` | objects of any size, in containers |
//! | [`lattice:http`](LATTICE_HTTP) | `types`, `handler`, `verifier` | requests and responses; who may enter |
//! | [`lattice:schedule`](LATTICE_SCHEDULE) | `handler` | work that is due at times |
//! | [`lattice:config`](LATTICE_CONFIG) | `schema` | the JSON schema of the configs of links |
//! | [`wasi:logging`](WASI_LOGGING) | `logging` | messages to the host's log |
//! | [`wasi:config`](WASI_CONFIG) | `store` | settings given to a component |
//! | [`wasmcloud:messaging`](WASMCLOUD_MESSAGING) | `types`, `consumer`, `handler` | messages of a broker |
//! | `wasi:keyvalue` [`0.2.0-draft`](WASI_KEYVALUE), [`-draft2`](WASI_KEYVALUE_DRAFT2) | `store`, `atomics`, `batch`, `watcher` | buckets of bytes under keys |
//! | [`wasmcloud:postgres`](WASMCLOUD_POSTGRES) | `types`, `query`, `prepared` | queries of PostgreSQL |
//! | [`wasmcloud:secrets`](WASMCLOUD_SECRETS) | `store`, `reveal` | secrets under keys |
//!
//! The `wasi:` and `wasmcloud:` packages have the names and types of the published drafts; their
//! documentation is our own. Without features, the crate has no dependencies and no code except the
//! lookups below.
//! The feature `binary` adds the encoding in which a component publishes its own WIT, the feature
//! `signature` the canonical text of a function's type.
//!
//! # Write the packages
//!
//! This writes the packages to the folder `deps`, where WIT tools look for the dependencies of a
//! package:
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! # let project = std::env::temp_dir().join(format!("lattice-wit-doc-{}", std::process::id()));
//! let deps = project.join("wit/deps");
//! for package in lattice_wit::PACKAGES {
//!     for file in package.files {
//!         let path = deps.join(file.path);
//!         std::fs::create_dir_all(path.parent().unwrap_or(&deps))?;
//!         std::fs::write(path, file.text)?;
//!     }
//! }
//! assert!(deps.join("lattice-keyvalue/store.wit").exists());
//! # std::fs::remove_dir_all(project)
//! # }
//! ```

/// The README's example is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(feature = "binary")]
pub mod binary;
#[cfg(feature = "signature")]
pub mod signature;

/// One WIT package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Package {
    /// Namespace and name, such as `lattice:rpc`.
    pub name: &'static str,
    /// The version, such as `0.1.0`.
    pub version: &'static str,
    /// The files. Each one starts with the name of the package.
    pub files: &'static [File],
}

/// One file of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// The package's folder and the file's name, such as `lattice-rpc/types.wit`.
    pub path: &'static str,
    /// The content.
    pub text: &'static str,
}

/// All packages of this crate. None depends on another.
pub const PACKAGES: &[Package] = &[
    LATTICE_RPC,
    LATTICE_KEYVALUE,
    LATTICE_SQL,
    LATTICE_BLOBSTORE,
    LATTICE_HTTP,
    LATTICE_SCHEDULE,
    LATTICE_CONFIG,
    WASI_LOGGING,
    WASI_CONFIG,
    WASMCLOUD_MESSAGING,
    WASI_KEYVALUE,
    WASI_KEYVALUE_DRAFT2,
    WASMCLOUD_POSTGRES,
    WASMCLOUD_SECRETS,
];

/// `lattice:rpc`: failed calls as values, and the choice among several links.
pub const LATTICE_RPC: Package = Package {
    name: "lattice:rpc",
    version: "0.1.0",
    files: &[
        File {
            path: "lattice-rpc/types.wit",
            text: include_str!("../lattice-rpc/types.wit"),
        },
        File {
            path: "lattice-rpc/links.wit",
            text: include_str!("../lattice-rpc/links.wit"),
        },
    ],
};

/// `lattice:keyvalue`: bytes and counters under keys.
pub const LATTICE_KEYVALUE: Package = Package {
    name: "lattice:keyvalue",
    version: "0.1.0",
    files: &[File {
        path: "lattice-keyvalue/store.wit",
        text: include_str!("../lattice-keyvalue/store.wit"),
    }],
};

/// `lattice:sql`: statements and transactions of a SQL database.
pub const LATTICE_SQL: Package = Package {
    name: "lattice:sql",
    version: "0.1.0",
    files: &[File {
        path: "lattice-sql/database.wit",
        text: include_str!("../lattice-sql/database.wit"),
    }],
};

/// `lattice:blobstore`: objects of any size, in containers.
pub const LATTICE_BLOBSTORE: Package = Package {
    name: "lattice:blobstore",
    version: "0.1.0",
    files: &[
        File {
            path: "lattice-blobstore/types.wit",
            text: include_str!("../lattice-blobstore/types.wit"),
        },
        File {
            path: "lattice-blobstore/store.wit",
            text: include_str!("../lattice-blobstore/store.wit"),
        },
    ],
};

/// `lattice:http`: requests and responses of HTTP, and who may enter through a wormhole.
pub const LATTICE_HTTP: Package = Package {
    name: "lattice:http",
    version: "0.1.0",
    files: &[
        File {
            path: "lattice-http/types.wit",
            text: include_str!("../lattice-http/types.wit"),
        },
        File {
            path: "lattice-http/handler.wit",
            text: include_str!("../lattice-http/handler.wit"),
        },
        File {
            path: "lattice-http/verifier.wit",
            text: include_str!("../lattice-http/verifier.wit"),
        },
    ],
};

/// `lattice:schedule`: work that is due at times.
pub const LATTICE_SCHEDULE: Package = Package {
    name: "lattice:schedule",
    version: "0.1.0",
    files: &[File {
        path: "lattice-schedule/handler.wit",
        text: include_str!("../lattice-schedule/handler.wit"),
    }],
};

/// `lattice:config`: what the configs of links have to look like.
pub const LATTICE_CONFIG: Package = Package {
    name: "lattice:config",
    version: "0.1.0",
    files: &[File {
        path: "lattice-config/schema.wit",
        text: include_str!("../lattice-config/schema.wit"),
    }],
};

/// `wasi:logging`: messages to the host's log.
pub const WASI_LOGGING: Package = Package {
    name: "wasi:logging",
    version: "0.1.0-draft",
    files: &[File {
        path: "wasi-logging/logging.wit",
        text: include_str!("../wasi-logging/logging.wit"),
    }],
};

/// `wasi:config`: settings given to a component.
pub const WASI_CONFIG: Package = Package {
    name: "wasi:config",
    version: "0.2.0-rc.1",
    files: &[File {
        path: "wasi-config/store.wit",
        text: include_str!("../wasi-config/store.wit"),
    }],
};

/// `wasmcloud:messaging`: messages to and from a broker.
pub const WASMCLOUD_MESSAGING: Package = Package {
    name: "wasmcloud:messaging",
    version: "0.2.0",
    files: &[File {
        path: "wasmcloud-messaging/messaging.wit",
        text: include_str!("../wasmcloud-messaging/messaging.wit"),
    }],
};

/// `wasi:keyvalue`: buckets of bytes under keys, as wasmCloud has them.
pub const WASI_KEYVALUE: Package = Package {
    name: "wasi:keyvalue",
    version: "0.2.0-draft",
    files: &[
        File {
            path: "wasi-keyvalue/store.wit",
            text: include_str!("../wasi-keyvalue/store.wit"),
        },
        File {
            path: "wasi-keyvalue/atomics.wit",
            text: include_str!("../wasi-keyvalue/atomics.wit"),
        },
        File {
            path: "wasi-keyvalue/batch.wit",
            text: include_str!("../wasi-keyvalue/batch.wit"),
        },
        File {
            path: "wasi-keyvalue/watcher.wit",
            text: include_str!("../wasi-keyvalue/watcher.wit"),
        },
    ],
};

/// `wasi:keyvalue`: the next draft, with compare and swap. Spin has it with another `get-many`.
pub const WASI_KEYVALUE_DRAFT2: Package = Package {
    name: "wasi:keyvalue",
    version: "0.2.0-draft2",
    files: &[
        File {
            path: "wasi-keyvalue-draft2/store.wit",
            text: include_str!("../wasi-keyvalue-draft2/store.wit"),
        },
        File {
            path: "wasi-keyvalue-draft2/atomics.wit",
            text: include_str!("../wasi-keyvalue-draft2/atomics.wit"),
        },
        File {
            path: "wasi-keyvalue-draft2/batch.wit",
            text: include_str!("../wasi-keyvalue-draft2/batch.wit"),
        },
        File {
            path: "wasi-keyvalue-draft2/watcher.wit",
            text: include_str!("../wasi-keyvalue-draft2/watcher.wit"),
        },
    ],
};

/// `wasmcloud:postgres`: queries of PostgreSQL, as wasmCloud's 1.x components import it.
pub const WASMCLOUD_POSTGRES: Package = Package {
    name: "wasmcloud:postgres",
    version: "0.1.1-draft",
    files: &[
        File {
            path: "wasmcloud-postgres/types.wit",
            text: include_str!("../wasmcloud-postgres/types.wit"),
        },
        File {
            path: "wasmcloud-postgres/query.wit",
            text: include_str!("../wasmcloud-postgres/query.wit"),
        },
    ],
};

/// `wasmcloud:secrets`: secrets under keys.
pub const WASMCLOUD_SECRETS: Package = Package {
    name: "wasmcloud:secrets",
    version: "0.1.0-draft",
    files: &[File {
        path: "wasmcloud-secrets/secrets.wit",
        text: include_str!("../wasmcloud-secrets/secrets.wit"),
    }],
};

/// Returns the package with this name, such as `lattice:rpc`, if the crate has it: of several
/// versions, the oldest.
pub fn package(name: &str) -> Option<Package> {
    PACKAGES
        .iter()
        .copied()
        .find(|package| package.name == name)
}
