//! `lattice secret`.

use crate::{
    failure::Failure,
    options::{LatticeOptions, unreadable},
    output::{Format, print, print_rows},
};
use clap::{Args, Subcommand};
use lattice_core::{name::SecretName, secrets::MAX_SECRET};
use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    path::PathBuf,
};

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Sets a secret to what is piped to this command, or is in a file, byte by byte
    Set(Set),
    /// Deletes a secret
    Delete {
        /// Its name
        name: String,
    },
    /// Lists the names of all secrets
    List {
        /// How to print it
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Its name, such as `db.password`. An existing secret is changed
    name: String,
    /// File with the value. By default, it is what is piped to this command
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Refused: every user of the machine can see it
    #[arg(hide = true)]
    value: Vec<String>,
}

impl SecretCommand {
    pub(crate) async fn run(self, options: &LatticeOptions) -> Result<(), Failure> {
        match self {
            Self::Set(set) => set.run(options).await,
            Self::Delete { name } => {
                let name = parse(&name)?;
                let lattice = options.open().await?;
                lattice.secrets().delete(&name).await?;
                print(&format!("secret {name} is deleted\n"))
            }
            Self::List { output } => {
                let lattice = options.open().await?;
                let entries = lattice.secrets().list().into_iter();
                let rows: Vec<_> = entries
                    .map(|entry| {
                        let note = entry.unreadable.map(|reason| match entry.revision {
                            Some(_) => format!("unreadable, the last value stays: {reason}"),
                            None => format!("unreadable: {reason}"),
                        });
                        vec![entry.name.to_string(), note.unwrap_or_default()]
                    })
                    .collect();
                print_rows(&["secret", "note"], &rows, output)
            }
        }
    }
}

impl Set {
    async fn run(self, options: &LatticeOptions) -> Result<(), Failure> {
        if !self.value.is_empty() {
            return Err(Failure::Usage(format!(
                "the value of a secret isn't given on the command line, where every user of the machine can see it; {ADVICE}"
            )));
        }
        let name = parse(&self.name)?;
        let value = self.bytes()?;
        if value.is_empty() {
            return Err(Failure::Usage(format!("the value is empty; {ADVICE}")));
        }
        let lattice = options.open().await?;
        lattice.secrets().set(&name, &value).await?;
        print(&format!("secret {name} is set\n"))
    }

    fn bytes(&self) -> Result<Vec<u8>, Failure> {
        match &self.file {
            Some(path) => {
                let bytes = File::open(path).and_then(read);
                bytes.map_err(|error| unreadable("--file", &error))
            }
            // A terminal would show what is typed.
            None if io::stdin().is_terminal() => {
                Err(Failure::Usage(format!("there is no value; {ADVICE}")))
            }
            None => read(io::stdin().lock())
                .map_err(|error| Failure::failed("the value can't be read", &error)),
        }
    }
}

/// How a value is given.
const ADVICE: &str = "pipe it to this command, as in `lattice secret set NAME < file`, or name its file with `--file`";

fn parse(name: &str) -> Result<SecretName, Failure> {
    SecretName::new(name).map_err(|error| Failure::Usage(error.to_string()))
}

/// Reads a value, and no more of a larger one than shows that it is too large.
fn read(from: impl Read) -> io::Result<Vec<u8>> {
    let most = MAX_SECRET.as_u64() + 1;
    // All of it is reserved, so that no copy is left behind when it grows.
    let mut bytes = Vec::with_capacity(MAX_SECRET.as_usize() + 1);
    from.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
