//! `lattice graph` and `lattice explain`.

use crate::{failure::Failure, options::LatticeOptions, output, words::harmless};
use clap::{Args, Subcommand, ValueEnum};
use lattice_core::{
    constellation::{GraphKind, Subject},
    link::Link,
    name::{AppName, ComponentId, WormholeId},
};

#[derive(Debug, Args)]
pub(crate) struct Graph {
    /// What to draw
    #[arg(value_enum, default_value_t)]
    view: GraphView,
    /// The output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Language,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum GraphView {
    /// Components and their links
    #[default]
    Logical,
    /// Hosts and what they run
    Infrastructure,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Language {
    /// For Markdown pages
    #[default]
    Mermaid,
    /// For Graphviz
    Dot,
    /// An image
    Svg,
}

impl Graph {
    pub(crate) async fn run(self, options: &LatticeOptions) -> Result<(), Failure> {
        let lattice = options.open().await?;
        let view = lattice.constellation().settled().await;
        let kind = match self.view {
            GraphView::Logical => GraphKind::Logical,
            GraphView::Infrastructure => GraphKind::Infrastructure,
        };
        output::print(&harmless(&match self.output {
            Language::Mermaid => view.to_mermaid(kind),
            Language::Dot => view.to_dot(kind),
            Language::Svg => view.to_svg(kind),
        }))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Explain {
    /// Why an actor or a provider runs, or does not
    Component {
        /// Its id
        id: String,
    },
    /// Why an app is complete, or is not
    App {
        /// Its name
        name: String,
    },
    /// Why calls over a link arrive, or do not
    Link {
        /// The component that calls
        from: String,
        /// The interface, such as `wasi:keyvalue/store@0.2.0`
        interface: String,
        /// The link's name
        #[arg(long, default_value = "default")]
        name: String,
    },
    /// Why requests get through a wormhole, or do not
    Wormhole {
        /// Its id
        id: String,
    },
}

impl Explain {
    pub(crate) async fn run(self, options: &LatticeOptions) -> Result<(), Failure> {
        let subject = self.subject()?;
        let lattice = options.open().await?;
        let explanation = lattice.explain(&subject).await;
        output::print_text(&format!("{explanation}\n"))
    }

    fn subject(&self) -> Result<Subject, Failure> {
        let wrong = |error: lattice_core::name::NameError| Failure::Usage(error.to_string());
        Ok(match self {
            Self::Component { id } => Subject::Component(ComponentId::new(id).map_err(wrong)?),
            Self::App { name } => Subject::App(AppName::new(name).map_err(wrong)?),
            Self::Wormhole { id } => Subject::Wormhole(WormholeId::new(id).map_err(wrong)?),
            Self::Link {
                from,
                interface,
                name,
            } => {
                // The target is not part of a link's key.
                let link = Link::new(from, interface, from).map_err(wrong)?;
                Subject::Link(link.named(name).map_err(wrong)?.key())
            }
        })
    }
}
