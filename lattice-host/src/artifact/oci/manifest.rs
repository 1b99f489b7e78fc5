//! The documents in which a registry describes the parts of an image. They are untrusted.

use super::index::{self, Entry};
use crate::{artifact::ImageDigest, limits::ByteSize};
use serde::{Deserialize, Serialize};

/// Larger than any real manifest. Registries accept no larger ones.
pub(super) const MAX_MANIFEST: usize = 4 << 20;

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The media types that are requested.
pub(super) const ACCEPTED: &[&str] = &[MANIFEST, DOCKER_MANIFEST, INDEX, DOCKER_INDEX];

const WASM: &str = "application/wasm";
const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// Media types that older tools use for a component or a module.
const OLD_WASM: [&str; 3] = [
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
];
/// Media types that some older tools use for any bytes. They are accepted only for the only layer,
/// and then the content is checked.
const ANY_BYTES: [&str; 2] = [
    "application/octet-stream",
    "application/vnd.oci.image.layer.v1.tar",
];

/// The fields of a manifest or an index that are used here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    media_type: Option<String>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    manifests: Option<Vec<Entry>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

/// The item that a document describes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// The bytes of a component.
    Image(Layer),
    /// Another manifest.
    Index(ImageDigest),
}

/// The bytes of a component, in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) digest: ImageDigest,
    pub(super) size: ByteSize,
    pub(super) media_type: String,
}

/// Why a document can't be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LayoutError {
    /// The document isn't a valid manifest, for this reason.
    Malformed(String),
    /// The content is something else, as named here.
    NotWasm(String),
    /// No entry of the index is clearly the right one. The entries are listed here.
    Platforms(String),
}

/// What an image contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// WebAssembly.
    Wasm,
    /// A program for this machine.
    Program,
}

impl Layout {
    /// Reads the document of an image of WebAssembly.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, LayoutError> {
        Self::read_as(bytes, Content::Wasm)
    }

    /// Reads the document of an image with this content.
    pub(super) fn read_as(bytes: &[u8], content: Content) -> Result<Self, LayoutError> {
        if bytes.len() > MAX_MANIFEST {
            return Err(malformed(format!(
                "its {} bytes are more than a manifest has",
                bytes.len()
            )));
        }
        let document: Document =
            serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if document.schema_version != 2 {
            return Err(malformed(format!(
                "its schema version is {} and not 2",
                document.schema_version
            )));
        }
        // Some tools write an empty list for parts that a document doesn't have.
        let has_both = document
            .layers
            .as_ref()
            .is_some_and(|layers| !layers.is_empty())
            && document
                .manifests
                .as_ref()
                .is_some_and(|entries| !entries.is_empty());
        if has_both {
            return Err(malformed("it has both layers and manifests"));
        }
        let entries = document
            .manifests
            .filter(|entries| !entries.is_empty() || document.layers.is_none());
        match (document.layers, entries) {
            (_, Some(entries)) => match content {
                Content::Wasm => index::entry(&entries),
                Content::Program => index::native_entry(&entries),
            }
            .map(Self::Index),
            (Some(layers), None) => match content {
                Content::Wasm => wasm_layer(layers),
                Content::Program => only_layer(&layers),
            }
            .map(Self::Image),
            (None, None) => {
                let media_type = document.media_type.unwrap_or_default();
                Err(malformed(format!(
                    "it has neither layers nor manifests (`{}`)",
                    brief(&media_type)
                )))
            }
        }
    }
}

pub(super) fn malformed(reason: impl Into<String>) -> LayoutError {
    LayoutError::Malformed(reason.into())
}

fn wasm_layer(layers: Vec<Descriptor>) -> Result<Layer, LayoutError> {
    let is_wasm =
        |layer: &&Descriptor| layer.media_type == WASM || OLD_WASM.contains(&&*layer.media_type);
    let mut of_wasm = layers.iter().filter(is_wasm);
    let layer = match (of_wasm.next(), of_wasm.next(), &layers[..]) {
        (Some(layer), None, _) => layer,
        (None, _, [layer]) if ANY_BYTES.contains(&&*layer.media_type) => layer,
        (Some(_), Some(_), _) => {
            return Err(LayoutError::NotWasm("several of them in one image".into()));
        }
        (None, _, []) => return Err(LayoutError::NotWasm("an image without content".into())),
        (None, ..) => {
            return Err(LayoutError::NotWasm(format!(
                "an image of {}",
                types_of(&layers)
            )));
        }
    };
    layer.layer()
}

/// Returns the one layer of a program. Tools give it any media type.
fn only_layer(layers: &[Descriptor]) -> Result<Layer, LayoutError> {
    match layers {
        [layer] => layer.layer(),
        _ => Err(malformed(format!(
            "it has {} layers, and the image of a provider has one for each platform, which is the program itself",
            layers.len()
        ))),
    }
}

impl Descriptor {
    fn layer(&self) -> Result<Layer, LayoutError> {
        let digest = self
            .digest
            .parse()
            .map_err(|_| malformed(format!("`{}` isn't a sha256 digest", brief(&self.digest))))?;
        Ok(Layer {
            digest,
            size: ByteSize::bytes(self.size),
            media_type: self.media_type.clone(),
        })
    }
}

fn types_of(layers: &[Descriptor]) -> String {
    some_of(
        layers
            .iter()
            .map(|layer| format!("`{}`", brief(&layer.media_type))),
    )
}

/// Joins the first few texts, so that a message stays short.
pub(super) fn some_of(all: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 4;
    let more = all.len().saturating_sub(SHOWN);
    let shown = all.take(SHOWN).collect::<Vec<_>>().join(", ");
    match (shown.is_empty(), more) {
        (true, _) => "nothing".into(),
        (false, 0) => shown,
        (false, more) => format!("{shown} and {more} more"),
    }
}

/// Shortens untrusted text, and makes it safe for a message and a terminal.
pub(super) fn brief(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut chars = text
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char });
    let mut brief: String = chars.by_ref().take(LONGEST).collect();
    if chars.next().is_some() {
        brief.push('…');
    }
    brief.trim().to_owned()
}

/// The documents that a push creates for a component. They contain nothing about the time or the
/// host, so the same bytes make the same image.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) manifest: Vec<u8>,
    pub(super) config: Vec<u8>,
    pub(super) config_digest: ImageDigest,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    created: &'a str,
    architecture: &'a str,
    os: &'a str,
    layer_digests: [ImageDigest; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<Component>,
}

/// Names in a component, for tools that only read the config.
#[derive(Serialize)]
pub(super) struct Component {
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: Descriptor,
    layers: [Descriptor; 1],
}

/// Creates the documents for this component, in the layout that other tools for wasm in registries
/// use.
pub(super) fn write(
    bytes_digest: ImageDigest,
    size: u64,
    component: Option<Component>,
) -> Result<Written, serde_json::Error> {
    let config = serde_json::to_vec(&Config {
        created: "1970-01-01T00:00:00Z",
        architecture: "wasm",
        os: if component.is_some() {
            "wasip2"
        } else {
            "wasip1"
        },
        layer_digests: [bytes_digest],
        component,
    })?;
    let config_digest = ImageDigest::of(&config);
    let describe = |media_type: &str, digest: ImageDigest, size: u64| Descriptor {
        media_type: media_type.into(),
        digest: digest.to_string(),
        size,
    };
    let manifest = serde_json::to_vec(&Manifest {
        schema_version: 2,
        media_type: MANIFEST,
        config: describe(WASM_CONFIG, config_digest, config.len() as u64),
        layers: [describe(WASM, bytes_digest, size)],
    })?;
    Ok(Written {
        manifest,
        config,
        config_digest,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "manifest_tests.rs"]
mod tests;
