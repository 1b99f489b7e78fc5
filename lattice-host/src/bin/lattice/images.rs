//! Checks the images of an app before it is applied, in the same way as a host that starts them.

use crate::{
    failure::Failure,
    registry::{bar, show},
};
use lattice_core::{
    app::{App, LimitsManifest},
    error::chain,
};
use lattice_host::{
    ActorError, ByteSize, ComponentCheck, Limits,
    artifact::{Artifact, Artifacts, FetchError, Image},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How long one image is fetched for a check. It is short, so that a check doesn't delay an apply
/// for long.
const WITHIN: Duration = Duration::from_secs(60);

/// Fails if the app has a component that no host would start. Returns notes about parts of the
/// other components that can't be served, and about components that were not checked, because hosts
/// may reach an image that this command can't reach, and may be built with more features.
pub(crate) async fn check(app: &App, artifacts: &Artifacts) -> Result<Vec<String>, Failure> {
    let mut checked: BTreeMap<Image, Option<ComponentCheck>> = BTreeMap::new();
    // Each image is fetched once.
    let mut out_of_reach = BTreeSet::new();
    let mut notes = Vec::new();
    for (actor, manifest) in &app.manifest().actors {
        let image = app.fetched(&manifest.image);
        let refused = |reason: String| {
            Failure::Refused(format!("no host starts actor `{actor}`: {image}: {reason}"))
        };
        let check = if let Some(known) = checked.get(&image) {
            known.clone()
        } else {
            let registry = registry_of(&image);
            let fetched = match &registry {
                Some(registry) if out_of_reach.contains(registry) => Err(Unchecked::Note(format!(
                    "registry {registry} can't be reached"
                ))),
                _ => fetch(&image, artifacts).await.map_err(|error| {
                    out_of_reach.extend(registry);
                    Unchecked::of(error)
                }),
            };
            let found = match fetched {
                Ok(artifact) => of(artifact).await,
                Err(unchecked) => Err(unchecked),
            };
            let check = match found {
                Ok(check) => Some(check),
                Err(Unchecked::Refused(reason)) => return Err(refused(reason)),
                Err(Unchecked::Reported) => None,
                Err(Unchecked::Note(reason)) => {
                    notes.push(format!("actor `{actor}` is not checked: {reason}"));
                    None
                }
            };
            for unserved in check.iter().flat_map(|check| &check.unserved) {
                notes.push(format!(
                    "a part of actor `{actor}` can't be served: {unserved}"
                ));
            }
            checked.insert(image.clone(), check.clone());
            check
        };
        match check.map_or(Ok(()), |check| fits(&check, &manifest.limits)) {
            Ok(()) | Err(Unchecked::Reported) => {}
            Err(Unchecked::Refused(reason)) => return Err(refused(reason)),
            Err(Unchecked::Note(reason)) => notes.push(format!("actor `{actor}`: {reason}")),
        }
    }
    Ok(notes)
}

/// Checks what an instance starts with against the limits in a manifest, and against the default of
/// those that it doesn't set. Hosts may have other defaults.
fn fits(check: &ComponentCheck, set: &LimitsManifest) -> Result<(), Unchecked> {
    let mut limits = Limits::default();
    limits.memory = set.memory.map_or(limits.memory, ByteSize::bytes);
    limits.table_elements = set
        .table_elements
        .map_or(limits.table_elements, |elements| elements as usize);
    check.fits(&limits).map_err(|error| {
        let is_default = match &error {
            ActorError::TooMuchMemory { .. } => set.memory.is_none(),
            ActorError::TooManyTableElements { .. } => set.table_elements.is_none(),
            _ => false,
        };
        if is_default {
            let reason = format!("hosts with the default limits don't start it: {error}");
            Unchecked::Note(reason)
        } else {
            Unchecked::Refused(error.to_string())
        }
    })
}

/// The reason that an image was not checked successfully.
enum Unchecked {
    /// No host starts it.
    Refused(String),
    /// It could not be checked here, and a host may start it.
    Note(String),
    /// The problem is reported elsewhere: an unreadable file, with its position in the manifest.
    Reported,
}

impl Unchecked {
    fn of(error: FetchError) -> Self {
        let text = chain(&error);
        match error {
            FetchError::File { .. } => Self::Reported,
            // The limit of the host is the one that matters.
            FetchError::TooLarge { .. } => Self::Note(text),
            error => match Failure::from(error) {
                Failure::Refused(reason) => Self::Refused(reason),
                _ => Self::Note(format!("its image can't be fetched here: {text}")),
            },
        }
    }

    fn failed(error: &ActorError) -> Self {
        let text = chain(error);
        match error {
            // Hosts may have the feature that this command lacks.
            ActorError::Missing {
                feature: Some(_), ..
            } => Self::Note(text),
            _ => Self::Refused(text),
        }
    }
}

fn registry_of(image: &Image) -> Option<String> {
    match image {
        Image::Oci(reference) => Some(reference.registry().to_owned()),
        _ => None,
    }
}

async fn fetch(image: &Image, artifacts: &Artifacts) -> Result<Artifact, FetchError> {
    let bar = bar("checking");
    let fetching = artifacts.fetch_with(image, None, |progress| show(&bar, progress));
    let fetched = tokio::time::timeout(WITHIN, fetching).await;
    bar.finish_and_clear();
    fetched.unwrap_or_else(|_| {
        Err(FetchError::Deadline {
            image: image.to_string(),
            after: WITHIN,
        })
    })
}

/// Checks a component on a thread that may block.
async fn of(artifact: Artifact) -> Result<ComponentCheck, Unchecked> {
    let check = move || ComponentCheck::of(&artifact.bytes);
    match tokio::task::spawn_blocking(check).await {
        Ok(Ok(check)) => Ok(check),
        Ok(Err(error)) => Err(Unchecked::failed(&error)),
        Err(lost) => Err(Unchecked::Note(format!(
            "the check ended unexpectedly: {lost}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;
    use tempfile::TempDir;

    /// An app with these actors, in a folder of its own.
    fn app(actors: &[(&str, &str)]) -> (TempDir, App) {
        let folder = tempfile::tempdir().expect("a folder");
        let tables = actors
            .iter()
            .map(|(actor, image)| format!("[actors.{actor}]\nimage = \"{image}\""));
        let tables: Vec<String> = tables.collect();
        let text = format!("name = \"shop\"\n{}", tables.join("\n"));
        let app = App::from_toml(folder.path().join("app.toml"), &text);
        (folder, app.expect("a manifest"))
    }

    fn write(folder: &TempDir, text: &str) {
        let component = wat::parse_str(text).expect("a component");
        std::fs::write(folder.path().join("a.wasm"), component).expect("written");
    }

    async fn notes(app: &App, artifacts: &Artifacts) -> Vec<String> {
        let checked = check(app, artifacts).await;
        checked.unwrap_or_else(|error| panic!("it is refused: {error}"))
    }

    #[tokio::test]
    async fn a_registry_that_can_not_be_reached_is_waited_for_once() {
        let digest = "0".repeat(64);
        let [a, b] = ["a", "b"].map(|name| format!("127.0.0.1:1/{name}@sha256:{digest}"));
        let (_folder, app) = app(&[("a", &a), ("b", &b)]);
        let artifacts = Artifacts::builder().plain_http("127.0.0.1:1");
        let artifacts = artifacts.attempts(NonZeroU32::MIN).build();
        let notes = notes(&app, &artifacts).await;
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(
            notes[0].starts_with("actor `a` is not checked: its image can't be fetched here: "),
            "{notes:?}"
        );
        let second = "actor `b` is not checked: registry 127.0.0.1:1 can't be reached";
        assert_eq!(notes[1], second);
    }

    #[tokio::test]
    async fn an_image_that_is_larger_than_this_command_takes_is_noted() {
        let (folder, app) = app(&[("a", "file:a.wasm")]);
        write(&folder, "(component)");
        let artifacts = Artifacts::builder().max_size(ByteSize::bytes(4)).build();
        let notes = notes(&app, &artifacts).await;
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("is not checked"), "{notes:?}");
    }

    #[test]
    fn an_import_that_a_host_with_more_features_may_serve_is_noted() {
        let missing = |feature| ActorError::Missing {
            import: "wasi:clocks/monotonic-clock@0.3.0".to_owned(),
            advice: "build the host with the feature `p3`",
            feature,
        };
        let Unchecked::Note(note) = Unchecked::failed(&missing(Some("p3"))) else {
            panic!("a host may serve it");
        };
        assert!(note.contains("feature `p3`"), "{note}");
        let Unchecked::Refused(reason) = Unchecked::failed(&missing(None)) else {
            panic!("no host serves it");
        };
        assert!(reason.contains("feature `p3`"), "{reason}");
    }
}
