//! `lattice push`.

use crate::{
    failure::Failure,
    output::{Format, print, print_json},
    registry::{Login, Registries, oci, spinner},
};
use clap::Args;
use lattice_host::artifact::Image;
use serde_json::json;
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  lattice push target/greeter.wasm registry.example.com/shop/greeter:1.0
  lattice push greeter.wasm localhost:5000/greeter:dev --plain-http localhost:5000

Prints the reference with its digest, which always means these bytes: what to write as `image` in a manifest.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Push {
    /// The component's file
    file: PathBuf,
    /// The image to push, such as `registry.example.com/greeter:1.0`
    image: String,
    #[command(flatten)]
    registries: Registries,
    #[command(flatten)]
    login: Login,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Push {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (_, image) = oci(&self.image)?;
        let artifacts = self.registries.artifacts_for(&image, &self.login)?;
        let component = artifacts.fetch(&Image::File(self.file), None).await?;
        let spinner = spinner(&format!("pushing {} bytes", component.bytes.len()));
        let pushed = artifacts.push(component.bytes, &image).await;
        spinner.finish_and_clear();
        let pushed = pushed?;
        match self.output {
            Format::Table => print(&format!("{}\n", pushed.image)),
            Format::Json => {
                let pushed = json!({
                    "image": pushed.image.to_string(),
                    "digest": pushed.digest.to_string(),
                    "size": pushed.size.as_u64(),
                });
                print_json(&format!("{pushed:#}"))
            }
        }
    }
}
