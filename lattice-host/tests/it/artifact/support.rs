//! What all of them use.

use lattice_host::artifact::{Artifacts, ArtifactsBuilder, Image, ImageDigest};
use std::{path::Path, time::Duration};

/// Far more than anything here takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A component, unlike those with other names.
pub(crate) fn component(name: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (import "example:clock/now@1.0.0" (instance))
            (instance (export "example:{name}/api@1.0.0")))"#
    );
    wat::parse_str(text).expect("a component")
}

/// One of about this many bytes.
pub(crate) fn large_component(size: usize) -> Vec<u8> {
    // Random enough that nothing on the way makes it small: a linear congruential generator.
    let mut state = 1_u32;
    let noise = (0..size / 2).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        format!("{:02x}", state >> 24)
    });
    let noise: String = noise.collect();
    wat::parse_str(format!(r#"(component (@custom "noise" "{noise}"))"#)).expect("a component")
}

pub(crate) fn image(text: &str) -> Image {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// For tests with a registry that is at this address and speaks plain HTTP.
pub(crate) fn plain(address: &str) -> ArtifactsBuilder {
    Artifacts::builder().plain_http(address).within(PATIENCE)
}

pub(crate) fn cached_file(cache: &Path, digest: ImageDigest) -> std::path::PathBuf {
    let name = digest.to_string();
    cache
        .join("sha256")
        .join(name.trim_start_matches("sha256:"))
}

/// The error and its causes, as a person would see them.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
