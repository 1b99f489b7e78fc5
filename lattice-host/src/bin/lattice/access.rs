//! The options of `lattice up` and `lattice dev` for what the settings of providers may name.

use crate::{failure::Failure, options::variable};
use clap::Args;
use lattice_host::Access;
use std::{env, path::PathBuf};

const FILES: &str = "LATTICE_PROVIDER_FILES";
const ENV: &str = "LATTICE_PROVIDER_ENV";

/// What of this machine apps may name in the settings of providers. Nothing by default.
#[derive(Debug, Args)]
pub(crate) struct AccessOptions {
    /// Folder whose files apps may name in the settings of their providers, to read and to write.
    /// May be repeated; relative paths are below the first. There are none by default
    /// [env: `LATTICE_PROVIDER_FILES`, joined as in PATH]
    #[arg(long, value_name = "FOLDER")]
    provider_files: Vec<PathBuf>,
    /// What the variables start with that apps may name there, such as `SHOP_`. May be repeated.
    /// There are none by default [env: `LATTICE_PROVIDER_ENV`, joined by commas]
    #[arg(long, value_name = "PREFIX")]
    provider_env: Vec<String>,
}

impl AccessOptions {
    /// Returns whether they name folders.
    pub(crate) fn names_files(&self) -> Result<bool, Failure> {
        Ok(!self.provider_files.is_empty() || variable(FILES)?.is_some())
    }

    /// Returns what the settings may name.
    pub(crate) fn access(self) -> Result<Access, Failure> {
        let mut access = Access::none();
        let (option, folders) = match (self.provider_files, variable(FILES)?) {
            (folders, Some(text)) if folders.is_empty() => {
                (FILES, env::split_paths(&text).collect())
            }
            (folders, _) => ("--provider-files", folders),
        };
        for folder in folders {
            if !folder.is_dir() {
                let folder = folder.display();
                return Err(Failure::Usage(format!(
                    "{option}: `{folder}` isn't a folder; create it first"
                )));
            }
            access = access.folder(folder);
        }
        let (option, prefixes) = match (self.provider_env, variable(ENV)?) {
            (prefixes, Some(text)) if prefixes.is_empty() => (
                ENV,
                text.split(',').map(|part| part.trim().to_owned()).collect(),
            ),
            (prefixes, _) => ("--provider-env", prefixes),
        };
        for prefix in prefixes {
            if prefix.is_empty() {
                return Err(Failure::Usage(format!(
                    "{option}: it is empty, which would give away all variables; set it, for example to `SHOP_`"
                )));
            }
            access = access.env(prefix);
        }
        Ok(access)
    }
}
