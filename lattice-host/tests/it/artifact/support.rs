//! Shared helpers of these tests.

use lattice_host::artifact::{Artifacts, ArtifactsBuilder, Image, ImageDigest};
use std::{path::Path, time::Duration};

/// The deadline of each wait. It suffices on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Returns a component. Its bytes depend on the name.
pub(crate) fn component(name: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (import "example:clock/now@1.0.0" (instance))
            (instance (export "example:{name}/api@1.0.0")))"#
    );
    wat::parse_str(text).expect("a component")
}

/// Returns a component of about this many bytes.
pub(crate) fn large_component(size: usize) -> Vec<u8> {
    // Random bytes from a linear congruential generator, so that compression doesn't shrink it.
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

/// Returns a builder for a registry at this address, over plain HTTP.
pub(crate) fn plain(address: &str) -> ArtifactsBuilder {
    Artifacts::builder().plain_http(address).within(PATIENCE)
}

pub(crate) fn cached_file(cache: &Path, digest: ImageDigest) -> std::path::PathBuf {
    let name = digest.to_string();
    cache
        .join("sha256")
        .join(name.trim_start_matches("sha256:"))
}

/// Returns the message of an error and its causes.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
