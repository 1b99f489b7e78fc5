//! The WIT interfaces that Lattice's SDKs speak, as texts.
//!
//! A WIT package is a folder of text files, and cargo packages nothing that lies outside a crate's own folder. So the texts live
//! here, one folder per package, and whoever needs them (a build script, a bindings generator, a tool) depends on this crate:
//!
//! | package | interfaces | what for |
//! | --- | --- | --- |
//! | [`lattice:rpc`](LATTICE_RPC) | `types`, `links` | failed calls as values; choosing among several links |
//! | [`lattice:keyvalue`](LATTICE_KEYVALUE) | `store` | bytes and counters under keys |
//! | [`wasi:logging`](WASI_LOGGING) | `logging` | messages to the host's log |
//! | [`wasi:config`](WASI_CONFIG) | `store` | settings given from outside |
//!
//! The `wasi:` packages have the names and types of the published drafts; the words in them are ours. Without features
//! the crate has no dependencies and no code beyond the lookups below. The feature `binary` adds the encoding in which a
//! component publishes its own WIT.
//!
//! # Example
//! Lays the packages out as the `deps` folder that WIT tools look for beside a package of your own:
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

#[cfg(feature = "binary")]
pub mod binary;

/// One WIT package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Package {
    /// Namespace and name, `lattice:rpc`.
    pub name: &'static str,
    /// Version, `0.1.0`.
    pub version: &'static str,
    /// Its files. Each one starts with the package's name.
    pub files: &'static [File],
}

/// One text of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Where it lies: the package's folder and the file's name, `lattice-rpc/types.wit`.
    pub path: &'static str,
    /// What it says.
    pub text: &'static str,
}

/// Every package of this crate. None depends on another.
pub const PACKAGES: &[Package] = &[LATTICE_RPC, LATTICE_KEYVALUE, WASI_LOGGING, WASI_CONFIG];

/// `lattice:rpc`: what a failed call looks like to a guest, and how a guest chooses among its links.
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

/// `wasi:logging`: messages to the host's log.
pub const WASI_LOGGING: Package = Package {
    name: "wasi:logging",
    version: "0.1.0-draft",
    files: &[File {
        path: "wasi-logging/logging.wit",
        text: include_str!("../wasi-logging/logging.wit"),
    }],
};

/// `wasi:config`: settings given from outside.
pub const WASI_CONFIG: Package = Package {
    name: "wasi:config",
    version: "0.2.0-rc.1",
    files: &[File {
        path: "wasi-config/store.wit",
        text: include_str!("../wasi-config/store.wit"),
    }],
};

/// The package called `name` (`lattice:rpc`), if this crate has it.
pub fn package(name: &str) -> Option<Package> {
    PACKAGES
        .iter()
        .copied()
        .find(|package| package.name == name)
}
