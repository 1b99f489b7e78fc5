//! The options of `lattice up` for programs that run as providers.

use crate::{failure::Failure, options::parsed};
use clap::Args;
use lattice_host::{HostBuilder, Programs};
use std::path::PathBuf;

const FOLDER: &str = "LATTICE_PROGRAM_FOLDER";

/// Which programs apps may run as providers. None by default.
#[derive(Debug, Args)]
pub(crate) struct ProgramOptions {
    /// Programs that apps may run on this host as providers, with the host's rights:
    /// `file:/folder`, `oci:registry/path`, or `any`. May be repeated. There are none by default
    #[arg(long, value_name = "SOURCE")]
    programs: Vec<Programs>,
    /// Folder for programs from registries, while they may run. It may not be mounted with
    /// `noexec`. The default is the one for temporary files [env: `LATTICE_PROGRAM_FOLDER`]
    #[arg(long, value_name = "FOLDER")]
    program_folder: Option<PathBuf>,
}

impl ProgramOptions {
    /// Checks the folder, and returns the options with it.
    pub(crate) fn checked(self) -> Result<Self, Failure> {
        let option = match self.program_folder {
            Some(_) => "--program-folder",
            None => FOLDER,
        };
        let folder = parsed(self.program_folder, FOLDER, |text| Ok(PathBuf::from(text)))?;
        match &folder {
            Some(folder) if !folder.is_dir() => Err(Failure::Usage(format!(
                "{option}: `{}` isn't a folder; create it first",
                folder.display()
            ))),
            _ => Ok(Self {
                program_folder: folder,
                ..self
            }),
        }
    }

    /// Lets a host run them.
    pub(crate) fn add_to(self, mut builder: HostBuilder) -> HostBuilder {
        for programs in self.programs {
            builder = builder.programs(programs);
        }
        match self.program_folder {
            Some(folder) => builder.program_folder(folder),
            None => builder,
        }
    }
}
