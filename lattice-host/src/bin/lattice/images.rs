//! Checks the images of an app before it is applied, as a host does that starts them.

use crate::{
    failure::Failure,
    output::note,
    registry::{bar, show},
};
use lattice_core::{app::App, error::chain, name::ComponentId};
use lattice_host::{
    ByteSize, ComponentCheck,
    artifact::{Artifact, Artifacts, FetchError, Image},
};
use std::collections::BTreeMap;

/// Refuses an app with a component that no host would start, and names what of the others can't be
/// served. An image that can't be fetched here is not checked, because hosts may reach it.
pub(crate) async fn check(app: &App, artifacts: &Artifacts) -> Result<(), Failure> {
    let mut checked: BTreeMap<Image, Option<ComponentCheck>> = BTreeMap::new();
    for (actor, manifest) in &app.manifest().actors {
        let image = app.fetched(&manifest.image);
        let refused = |reason: String| {
            Failure::Refused(format!("no host starts actor `{actor}`: {image}: {reason}"))
        };
        let check = if let Some(known) = checked.get(&image) {
            known.clone()
        } else {
            let check = match fetch(&image, artifacts).await {
                Ok(artifact) => Some(of(artifact).await.map_err(refused)?),
                Err(error) => not_fetched(actor, error)?,
            };
            note_unserved(actor, check.as_ref());
            checked.insert(image.clone(), check.clone());
            check
        };
        let memory = manifest.limits.memory.map(ByteSize::bytes);
        if let (Some(check), Some(memory)) = (check, memory) {
            check
                .fits(memory)
                .map_err(|error| refused(error.to_string()))?;
        }
    }
    Ok(())
}

async fn fetch(image: &Image, artifacts: &Artifacts) -> Result<Artifact, FetchError> {
    let bar = bar("checking");
    let fetched = artifacts
        .fetch_with(image, None, |progress| show(&bar, progress))
        .await;
    bar.finish_and_clear();
    fetched
}

/// Checks a component on a thread that may block.
async fn of(artifact: Artifact) -> Result<ComponentCheck, String> {
    let check = move || ComponentCheck::of(&artifact.bytes).map_err(|error| chain(&error));
    let checked = tokio::task::spawn_blocking(check).await;
    checked.unwrap_or_else(|lost| Err(format!("the check ended unexpectedly: {lost}")))
}

/// Fails for an image that is there and isn't a component. Otherwise it stays unchecked.
fn not_fetched(actor: &ComponentId, error: FetchError) -> Result<Option<ComponentCheck>, Failure> {
    // A file that can't be read is reported with its place in the manifest.
    if matches!(error, FetchError::File { .. }) {
        return Ok(None);
    }
    let text = chain(&error);
    if let Failure::Refused(reason) = Failure::from(error) {
        return Err(Failure::Refused(format!("actor `{actor}`: {reason}")));
    }
    note(&format!(
        "actor `{actor}` is not checked, because its image can't be fetched here: {text}"
    ));
    Ok(None)
}

fn note_unserved(actor: &ComponentId, check: Option<&ComponentCheck>) {
    for unserved in check.iter().flat_map(|check| &check.unserved) {
        note(&format!(
            "a part of actor `{actor}` can't be served: {unserved}"
        ));
    }
}
