//! Selects the image of a component in an index.
//!
//! Tools write the platform of a component in many ways: `wasm`, `wasi/wasm32`, `wasip1/wasm`,
//! `wasip2/wasm`, `js/wasm`, or not at all. Builders add entries that describe other entries, such
//! as attestations.

use super::manifest::{LayoutError, brief, malformed, some_of};
use crate::artifact::ImageDigest;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    env::consts::{ARCH, OS},
};

/// The annotation of an entry that describes another one, and its digest.
const DESCRIBES: [&str; 2] = ["vnd.docker.reference.type", "vnd.docker.reference.digest"];

/// One image of an index.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    digest: String,
    platform: Option<Platform>,
    artifact_type: Option<String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

/// How likely an entry is the component, the least likely first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// Is for another platform.
    Other,
    /// Has no platform.
    Unknown,
    /// Is WebAssembly for a browser.
    Browser,
    /// Is WebAssembly for WASI 0.1, which is a core module in most cases.
    Wasip1,
    /// Is WebAssembly.
    Wasm,
    /// Is WebAssembly for WASI 0.2 or newer.
    Component,
}

/// Returns the only entry that fits best. Entries that describe other ones don't count.
pub(super) fn entry(entries: &[Entry]) -> Result<ImageDigest, LayoutError> {
    let images = entries.iter().filter(|entry| !entry.describes_another());
    let images: Vec<(Fit, &Entry)> = images.map(|entry| (entry.fit(), entry)).collect();
    let best = images.iter().map(|(fit, _)| *fit).max();
    let mut fitting = images.iter().filter(|(fit, _)| Some(*fit) == best);
    let chosen = match (fitting.next(), fitting.next()) {
        // It is the only entry, so its platform doesn't matter.
        (Some((_, entry)), None) if images.len() == 1 => entry,
        (Some((fit, entry)), None) if *fit > Fit::Other => entry,
        _ => return Err(LayoutError::Platforms(names(entries))),
    };
    chosen.digest()
}

/// Returns the only entry for the platform of this machine.
pub(super) fn native_entry(entries: &[Entry]) -> Result<ImageDigest, LayoutError> {
    let (os, architecture) = native();
    let images = entries.iter().filter(|entry| !entry.describes_another());
    let mut fitting = images.filter(|entry| {
        let platform = entry.platform.as_ref();
        platform.is_some_and(|one| one.os == os && one.architecture == architecture)
    });
    match (fitting.next(), fitting.next()) {
        (Some(entry), None) => entry.digest(),
        _ => Err(malformed(format!(
            "it has not exactly one program for {os}/{architecture}, but {}",
            names(entries)
        ))),
    }
}

/// Returns the platform of this machine, as tools write it.
pub(super) fn native() -> (&'static str, &'static str) {
    let os = match OS {
        "macos" => "darwin",
        os => os,
    };
    let architecture = match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        architecture => architecture,
    };
    (os, architecture)
}

impl Entry {
    fn digest(&self) -> Result<ImageDigest, LayoutError> {
        let digest = self.digest.parse();
        digest.map_err(|_| malformed(format!("`{}` isn't a sha256 digest", brief(&self.digest))))
    }

    /// Returns whether the entry is an attestation or a signature of another one.
    fn describes_another(&self) -> bool {
        let annotations = self.annotations.iter().flatten();
        let mut names = annotations.map(|(name, _)| name.as_str());
        let is_unknown = self
            .platform
            .as_ref()
            .is_some_and(|platform| platform.os == "unknown" && platform.architecture == "unknown");
        is_unknown || names.any(|name| DESCRIBES.contains(&name))
    }

    fn fit(&self) -> Fit {
        let is_wasm_type = self
            .artifact_type
            .as_ref()
            .is_some_and(|kind| kind.contains("wasm"));
        let (os, architecture) = match &self.platform {
            Some(platform) => (platform.os.as_str(), platform.architecture.as_str()),
            None => ("", ""),
        };
        let is_wasm = is_wasm_type || architecture.starts_with("wasm") || os.starts_with("wasi");
        match os {
            "js" if is_wasm => Fit::Browser,
            "wasip1" => Fit::Wasip1,
            _ if os.starts_with("wasip") => Fit::Component,
            _ if is_wasm => Fit::Wasm,
            "" if architecture.is_empty() => Fit::Unknown,
            _ => Fit::Other,
        }
    }
}

/// Formats the entries for a message.
fn names(entries: &[Entry]) -> String {
    some_of(entries.iter().map(|entry| {
        let platform = match &entry.platform {
            Some(platform) => {
                format!("{}/{}", brief(&platform.os), brief(&platform.architecture))
            }
            None => "no platform".into(),
        };
        format!("{platform} `{}`", brief(&entry.digest))
    }))
}
