//! Parses the command line.

use lattice_benches_common::{
    Failure,
    options::{self, Options},
    responder::RESPOND,
};

/// Returns what the program takes.
pub(crate) fn help() -> String {
    format!(
        "usage: load-nats [OPTION]…, for names such as `nats.64x16B` or `nats.raw`
       load-nats table [OPTION]…, which prints what two builds have measured\n\n{}",
        options::HELP
    )
}

/// The mode of the program.
#[derive(Debug)]
pub(crate) enum Command {
    Load(Options),
    /// Print the rows of the usual and the careful build side by side.
    Table(Options),
    Respond(Role),
    Help,
}

/// The role of this program as the other process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Lattice,
    /// With async-nats alone.
    Bare,
    /// Without a client library.
    Raw,
    #[cfg(feature = "grpc")]
    Grpc,
}

impl Role {
    const ALL: &[Self] = &[
        Self::Lattice,
        Self::Bare,
        Self::Raw,
        #[cfg(feature = "grpc")]
        Self::Grpc,
    ];

    /// Returns its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lattice => "lattice",
            Self::Bare => "bare",
            Self::Raw => "raw",
            #[cfg(feature = "grpc")]
            Self::Grpc => "grpc",
        }
    }
}

pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Command, Failure> {
    let mut args = args.peekable();
    if args.next_if(|arg| arg == RESPOND).is_some() {
        let name = args.next().unwrap_or_default();
        let known = Role::ALL.iter().find(|role| role.name() == name);
        return Ok(Command::Respond(*known.ok_or(
            "respond as `lattice`, as `bare`, as `raw` or, with the feature `grpc`, as `grpc`",
        )?));
    }
    let command = match args.next_if(|arg| arg == "table") {
        Some(_) => Command::Table,
        None => Command::Load,
    };
    Ok(options::parse(args, &help())?.map_or(Command::Help, command))
}
