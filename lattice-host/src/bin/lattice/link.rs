//! `lattice link`.

use crate::{
    failure::Failure,
    get::links,
    options::LatticeOptions,
    output::{Format, print, print_rows},
};
use clap::{Args, Subcommand, ValueEnum};
use lattice_core::{
    Lattice,
    link::{Link, LinkKey, Locality},
    name::NameError,
};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum LinkCommand {
    /// Lets one component call another through an interface
    Add(Add),
    /// Removes a link
    #[command(visible_alias = "remove")]
    Rm(Rm),
    /// Lists all links
    List {
        /// How to print it
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
}

/// The key of a link.
#[derive(Debug, Args)]
pub(crate) struct LinkSelector {
    /// The component that calls
    source: String,
    /// The interface, such as `example:hello/greeter@0.1.0`
    interface: String,
    /// The link's name, if the source has several targets for one interface
    #[arg(long, default_value = "default")]
    name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Rm {
    #[command(flatten)]
    which: LinkSelector,
    /// Removes the link even if an app owns it. The app lacks it until it is applied again
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    which: LinkSelector,
    /// The component to call
    target: String,
    /// Configuration for the target, as JSON
    #[arg(long, value_name = "JSON", conflicts_with = "config_file")]
    config: Option<String>,
    /// File with the configuration, which keeps secrets off the command line
    #[arg(long, value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// Which replicas may be called
    #[arg(long, value_enum, default_value_t)]
    locality: LocalityOption,
    /// A function that may run twice without harm. May be repeated
    #[arg(long, value_name = "FUNCTION")]
    idempotent: Vec<String>,
    /// Replaces an existing link
    #[arg(long)]
    replace: bool,
    /// Changes the link even if an app owns it. Applying the app undoes the change
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum LocalityOption {
    /// A replica on the caller's host if there is one, otherwise any
    #[default]
    PreferLocal,
    /// Only replicas on the caller's host
    LocalOnly,
    /// Any
    Spread,
}

impl LinkCommand {
    pub(crate) async fn run(self, options: &LatticeOptions) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(options).await,
            Self::Rm(rm) => rm.run(options).await,
            Self::List { output } => {
                let lattice = options.open().await?;
                let (headings, rows) = links(&lattice);
                print_rows(headings, &rows, output)
            }
        }
    }
}

impl LinkSelector {
    fn link(&self, target: &str) -> Result<Link, NameError> {
        Link::new(&self.source, &self.interface, target)?.named(&self.name)
    }
}

impl Rm {
    async fn run(self, options: &LatticeOptions) -> Result<(), Failure> {
        let which = &self.which;
        // The target is not part of a link's key.
        let link = which.link(&which.source).map_err(|error| wrong(&error))?;
        let key = link.key();
        let lattice = options.open().await?;
        refuse_owned(&lattice, &key, self.force)?;
        lattice.links().delete(&key).await?;
        print(&format!("link {key} is removed\n"))
    }
}

/// Fails when an app owns the link. It has to be changed in the app's manifest, or the next apply
/// undoes the change.
fn refuse_owned(lattice: &Lattice, key: &LinkKey, force: bool) -> Result<(), Failure> {
    match lattice.desired().link_owner(key) {
        Some(app) if !force => Err(Failure::Refused(format!(
            "app `{app}` owns link {key}; change its manifest and apply it, or use --force"
        ))),
        _ => Ok(()),
    }
}

impl Add {
    async fn run(self, options: &LatticeOptions) -> Result<(), Failure> {
        let link = self.link()?;
        let lattice = options.open().await?;
        refuse_owned(&lattice, &link.key(), self.force)?;
        let links = lattice.links();
        let entry = if self.replace {
            links.replace(link).await?
        } else {
            links.put(link).await?
        };
        print(&format!(
            "link {} leads to {}\n",
            entry.key, entry.link.target
        ))
    }

    fn link(&self) -> Result<Link, Failure> {
        let link = self
            .which
            .link(&self.target)
            .and_then(|link| link.idempotent(&self.idempotent))
            .map_err(|error| wrong(&error))?
            .locality(match self.locality {
                LocalityOption::PreferLocal => Locality::PreferLocal,
                LocalityOption::LocalOnly => Locality::LocalOnly,
                LocalityOption::Spread => Locality::Anywhere,
            });
        let Some(config) = self.config_text()? else {
            return Ok(link);
        };
        let config: serde_json::Value = serde_json::from_str(&config).map_err(|error| {
            Failure::Usage(format!("the configuration isn't valid JSON: {error}"))
        })?;
        link.config(&config)
            .map_err(|error| Failure::failed("the configuration can't be written", &error))
    }

    fn config_text(&self) -> Result<Option<String>, Failure> {
        match &self.config_file {
            None => Ok(self.config.clone()),
            Some(path) => match std::fs::read_to_string(path) {
                // Some editors write a byte order mark.
                Ok(text) => Ok(Some(text.trim_start_matches('\u{feff}').to_owned())),
                Err(error) => Err(Failure::failed(path.display(), &error)),
            },
        }
    }
}

fn wrong(error: &NameError) -> Failure {
    Failure::Usage(error.to_string())
}
