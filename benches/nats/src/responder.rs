//! The other process.

#[cfg(feature = "grpc")]
use crate::grpc;
use crate::{options::Role, raw};
use lattice_benches_common::{
    Failure, bare,
    native::EchoProvider,
    responder::{KEY, LATTICE, SUBJECT, URL, end_of_input, ready},
};
use lattice_core::{Lattice, auth::LatticeKey};
use lattice_provider_sdk::serve;
use std::time::Duration;

/// Responds until the first process ends.
pub(crate) async fn respond(role: Role) -> Result<(), Failure> {
    let url = std::env::var(URL)?;
    match role {
        Role::Lattice => in_lattice(&url).await,
        Role::Bare => {
            let responder = bare::Responder::start(&url, SUBJECT, None).await?;
            ready();
            tokio::select! {
                ended = responder.respond() => ended,
                ended = end_of_input() => ended,
            }
        }
        Role::Raw => {
            let responder = raw::Responder::connect(&url).await?;
            ready();
            tokio::select! {
                ended = responder.respond() => ended,
                ended = end_of_input() => ended,
            }
        }
        #[cfg(feature = "grpc")]
        Role::Grpc => {
            tokio::select! {
                ended = grpc::serve() => ended,
                ended = end_of_input() => ended,
            }
        }
    }
}

async fn in_lattice(url: &str) -> Result<(), Failure> {
    let lattice = Lattice::connect(url, LATTICE)
        .key(LatticeKey::from_env(KEY)?)
        .await?;
    let serving = serve(&lattice, "callee", EchoProvider).await?;
    ready();
    end_of_input().await?;
    let _ = serving.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
