//! `lattice plan`, `apply` and `delete`.

use crate::{
    failure::Failure,
    images,
    options::{LatticeOptions, hear_hosts},
    output::{Format, note, print_json, print_text},
    registry::{Registries, spinner},
};
use clap::Args;
use lattice_core::{Lattice, app, app::App, name::AppName};
use lattice_host::artifact::{Artifacts, Image};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    manifest: Manifest,
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    manifest: Manifest,
}

#[derive(Debug, Args)]
pub(crate) struct Manifest {
    /// The app's manifest, a `.toml` or `.json` file
    file: PathBuf,
    #[command(flatten)]
    registries: Registries,
    /// How to print the plan
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The app's name
    app: String,
    /// How to print what was done
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Plan {
    pub(crate) async fn run(self, options: &LatticeOptions) -> Result<(), Failure> {
        let Manifest {
            file,
            registries,
            output,
        } = self.manifest;
        // Everything that can be checked without the lattice is checked first.
        let app = App::load(&file)?;
        let lattice = options.open().await?;
        let app = pinned(app, &registries.artifacts(None)?, note).await?;
        hear_hosts(&lattice).await;
        show(&lattice.plan(&app).await?, output)
    }
}

impl Apply {
    pub(crate) async fn run(self, options: &LatticeOptions) -> Result<(), Failure> {
        let Manifest {
            file,
            registries,
            output,
        } = self.manifest;
        let app = App::load(&file)?;
        let lattice = options.open_early().await?;
        hear_hosts(&lattice).await;
        let plan = apply(&lattice, app, &registries.artifacts(None)?, note).await?;
        show(&plan, output)
    }
}

impl Delete {
    pub(crate) async fn run(self, options: &LatticeOptions) -> Result<(), Failure> {
        let app = AppName::new(&self.app).map_err(|error| Failure::Usage(error.to_string()))?;
        let lattice = options.open().await?;
        show(&lattice.delete_app(&app).await?.plan, self.output)
    }
}

/// Applies an app, with every tag resolved to its current image. Passes notes about its images to
/// `report`.
pub(crate) async fn apply(
    lattice: &Lattice,
    app: App,
    artifacts: &Artifacts,
    report: impl Fn(&str),
) -> Result<app::Plan, Failure> {
    let app = pinned(app, artifacts, report).await?;
    Ok(lattice.apply(&app).await?.plan)
}

/// Resolves the tags that may move, and checks the images.
pub(crate) async fn pinned(
    mut app: App,
    artifacts: &Artifacts,
    report: impl Fn(&str),
) -> Result<App, Failure> {
    for reference in app.unpinned() {
        let spinner = spinner(&format!("resolving {reference}"));
        let image = Image::Oci(reference.clone());
        let providers = app.manifest().providers.values();
        let mut programs = providers.filter_map(|provider| provider.image.as_ref());
        // A host chooses the program for its own platform.
        let resolved = if programs.any(|program| *program == image) {
            artifacts.pin(&image).await
        } else {
            let resolved = artifacts.resolve(&image).await;
            resolved.map(|resolved| resolved.image)
        };
        spinner.finish_and_clear();
        let resolved =
            resolved.map_err(|error| Failure::failed(format!("image `{reference}`"), &error))?;
        // Desired state has the digest of the manifest, as registries do.
        if let Image::Oci(pinned) = &resolved
            && let Some(manifest) = pinned.digest()
        {
            app = app.pin(reference, manifest);
        }
    }
    for note in images::check(&app, artifacts).await? {
        report(&note);
    }
    Ok(app)
}

fn show(plan: &app::Plan, output: Format) -> Result<(), Failure> {
    match output {
        Format::Table => print_text(&plan.to_string()),
        Format::Json => {
            let text = serde_json::to_string_pretty(plan)
                .map_err(|error| Failure::failed("the plan can't be printed", &error))?;
            print_json(&text)
        }
    }
}
