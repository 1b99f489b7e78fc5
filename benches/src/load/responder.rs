//! The other process. It serves calls until its standard input is closed, which happens when the
//! first process ends.

use crate::load::options::Responder;
use crate::{
    Failure, bare,
    bulk::Drain,
    flow,
    native::{EchoProvider, IntakeProvider},
};
use lattice_core::{Lattice, auth::LatticeKey};
use lattice_host::Host;
use lattice_provider_sdk::serve;
use std::{io::Read, time::Duration};

/// Variable with the URL of the server.
pub(crate) const URL: &str = "LATTICE_BENCH_URL";
/// Variable with the lattice key.
pub(crate) const KEY: &str = "LATTICE_BENCH_KEY";
/// The subject of the bare responder.
pub(crate) const SUBJECT: &str = "bench.echo";
/// The subject of bulk messages.
pub(crate) const BULK: &str = "bench.bulk";
/// The lattice of the other responders.
pub(crate) const LATTICE: &str = "bench";
/// Printed when the process is ready for calls.
pub(crate) const READY: &str = "ready";

pub(crate) async fn respond(kind: Responder) -> Result<(), Failure> {
    let url = std::env::var(URL)?;
    match kind {
        Responder::Lattice => respond_in_lattice(&url).await,
        Responder::Bare => {
            let responder = bare::Responder::start(&url, SUBJECT, None).await?;
            println!("{READY}");
            tokio::select! {
                ended = responder.respond() => ended,
                ended = end_of_input() => ended,
            }
        }
        Responder::Sink => respond_with_sink(&url).await,
        Responder::Drain => {
            let client = bare::connect(&url).await?;
            let responder = bare::Responder::on(&client, SUBJECT, None).await?;
            let drain = Drain::start(&client, BULK).await?;
            println!("{READY}");
            tokio::select! {
                ended = responder.respond() => ended,
                ended = drain.receive() => ended,
                ended = end_of_input() => ended,
            }
        }
    }
}

async fn respond_in_lattice(url: &str) -> Result<(), Failure> {
    let lattice = Lattice::connect(url, LATTICE)
        .key(LatticeKey::from_env(KEY)?)
        .await?;
    let serving = serve(&lattice, "callee", EchoProvider).await?;
    println!("{READY}");
    end_of_input().await?;
    let _ = serving.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

/// Runs a host that takes streams, large arguments, and the small calls beside them.
async fn respond_with_sink(url: &str) -> Result<(), Failure> {
    let lattice = Lattice::connect(url, LATTICE)
        .key(LatticeKey::from_env(KEY)?)
        .await?;
    let host = Host::builder(&lattice)
        .actor("sink", flow::sink()?)
        .provider("intake", IntakeProvider)
        .provider("callee", EchoProvider)
        .start()
        .await?;
    println!("{READY}");
    end_of_input().await?;
    let _ = host.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

async fn end_of_input() -> Result<(), Failure> {
    let read = || std::io::stdin().lock().read_to_end(&mut Vec::new());
    tokio::task::spawn_blocking(read).await??;
    Ok(())
}
