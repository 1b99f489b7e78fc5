//! Parses the command line.

use crate::{Failure, responder::RESPOND};
use lattice_benches_common::options::{self, Options};

/// Returns what the program takes.
pub(crate) fn help() -> String {
    format!(
        "usage: load [OPTION]…, for names such as `local.provider.64x16B`, `stream.local`, `http.local`, `kv.` or `ui.`\n\n{}",
        options::HELP
    )
}

/// The mode of the program.
pub(crate) enum Command {
    Load(Options),
    Respond(Responder),
    Help,
}

/// The role of this program as the other process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Responder {
    /// In the lattice, with an actor that takes streams.
    Sink,
    /// Bare, and it receives bulk messages.
    Drain,
    /// In the lattice, with an actor that writes and reads objects.
    Blobs,
    /// In the lattice, with an ingress and actors that serve HTTP.
    HttpNear,
    /// In the lattice, with an actor that serves HTTP.
    HttpFar,
    /// Bare, and it serves HTTP by a guest of WASI 0.2.
    HttpProxy,
    /// Bare, and it serves HTTP by a guest of WASI 0.3.
    HttpProxyP3,
    /// In the lattice, with a page for people.
    Page,
    /// A host whose process has no subscriber of `tracing`.
    OtelNone,
    /// A host whose process has the log of `lattice up`.
    OtelOff,
    /// A host whose process sends telemetry.
    OtelSampled,
}

impl Responder {
    const ALL: [Self; 11] = [
        Self::Sink,
        Self::Drain,
        Self::Blobs,
        Self::HttpNear,
        Self::HttpFar,
        Self::HttpProxy,
        Self::HttpProxyP3,
        Self::Page,
        Self::OtelNone,
        Self::OtelOff,
        Self::OtelSampled,
    ];

    /// Returns its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sink => "sink",
            Self::Drain => "drain",
            Self::Blobs => "blobs",
            Self::HttpNear => "http-near",
            Self::HttpFar => "http-far",
            Self::HttpProxy => "http-proxy",
            Self::HttpProxyP3 => "http-proxy-p3",
            Self::Page => "page",
            Self::OtelNone => "otel-none",
            Self::OtelOff => "otel-off",
            Self::OtelSampled => "otel-sampled",
        }
    }
}

pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Command, Failure> {
    let mut args = args.peekable();
    if args.next_if(|arg| arg == RESPOND).is_some() {
        let kind = args.next().unwrap_or_default();
        let known = Responder::ALL
            .into_iter()
            .find(|known| known.name() == kind);
        return Ok(Command::Respond(known.ok_or(
            "respond as one of `sink`, `drain`, `blobs`, `page` or the ones that begin with `http-` or `otel-`",
        )?));
    }
    Ok(options::parse(args, &help())?.map_or(Command::Help, Command::Load))
}
