//! `lattice pull`.

use crate::{
    failure::Failure,
    output::print,
    registry::{Login, Registries, bar, oci, show},
};
use clap::Args;
use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "Examples:
  lattice pull registry.example.com/shop/greeter:1.0
  lattice pull registry.example.com/shop/greeter@sha256:… -o greeter.wasm

Prints the reference with its digest: what to write as `image` in a manifest.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Pull {
    /// The image, such as `registry.example.com/greeter:1.0`
    image: String,
    /// The file to write, by default the last part of the image's name with `.wasm`
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrites an existing file
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    registries: Registries,
    #[command(flatten)]
    login: Login,
}

impl Pull {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (reference, image) = oci(&self.image)?;
        let file = self.output.unwrap_or_else(|| {
            let parts = reference.repository().rsplit('/');
            PathBuf::from(format!("{}.wasm", parts.take(1).collect::<String>()))
        });
        if file.exists() && !self.force {
            return Err(there_is_one(&file));
        }
        let artifacts = self.registries.artifacts_for(&image, &self.login)?;
        let resolved = artifacts.resolve(&image).await?;
        let bar = bar("pulling");
        let fetched = artifacts
            .fetch_with(&resolved.image, resolved.digest, |progress| {
                show(&bar, progress);
            })
            .await;
        bar.finish_and_clear();
        let bytes = fetched?.bytes;
        write(&file, &bytes, self.force).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => there_is_one(&file),
            _ => Failure::failed(file.display(), &error),
        })?;
        print(&format!("{}\n", resolved.image))
    }
}

fn there_is_one(file: &Path) -> Failure {
    Failure::Refused(format!(
        "`{}` already exists; name another file with -o, or overwrite it with --force",
        file.display()
    ))
}

/// Writes the whole file or nothing, because a part of a component could be mistaken for the whole.
fn write(file: &Path, bytes: &[u8], force: bool) -> io::Result<()> {
    let mut part = file.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    let written = fs::File::create_new(&part).and_then(|mut written| {
        written.write_all(bytes)?;
        written.sync_all()
    });
    let moved = written.and_then(|()| {
        if force {
            fs::rename(&part, file)
        } else {
            // Unlike a rename, this does not replace a file that was created meanwhile.
            fs::hard_link(&part, file).and_then(|()| fs::remove_file(&part))
        }
    });
    if moved.is_err() {
        // A partial file is useless, so it is deleted. The first error is the one to report.
        let _ = fs::remove_file(&part);
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_completely_and_replaces_another_only_with_force() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("greeter.wasm");
        write(&file, b"one", false).expect("writes");
        let error = write(&file, b"two", false).expect_err("is there");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&file).expect("reads"), b"one");
        write(&file, b"two", true).expect("writes over it");
        assert_eq!(fs::read(&file).expect("reads"), b"two");
        let left = fs::read_dir(folder.path()).expect("lists").count();
        assert_eq!(left, 1, "no part is left");
    }
}
