//! The other process. It serves calls until its standard input is closed, which happens when the
//! first process ends.

use crate::load::{http, options::Responder, otel, providers, ui};
use crate::{
    Failure, bare,
    bulk::Drain,
    flow,
    guests::Guest,
    http::Reuse,
    native::{EchoProvider, IntakeProvider},
    responder::{KEY, LATTICE, SUBJECT, URL, end_of_input, ready},
};
use lattice_core::{Lattice, auth::LatticeKey};
use lattice_host::Host;
use std::time::Duration;

/// The subject of bulk messages.
pub(crate) const BULK: &str = "bench.bulk";

pub(crate) async fn respond(kind: Responder) -> Result<(), Failure> {
    let url = || std::env::var(URL);
    match kind {
        Responder::Sink => respond_with_sink(&url()?).await,
        Responder::Blobs => providers::respond_with_blobs(&url()?).await,
        Responder::Page => ui::respond_with_page(&url()?).await,
        Responder::HttpNear => http::near(&url()?).await,
        Responder::HttpFar => http::far(&url()?).await,
        Responder::HttpProxy => http::proxy(Guest::HttpHello, Reuse::P2).await,
        Responder::HttpProxyP3 => http::proxy(Guest::HttpHelloP3, Reuse::P3).await,
        Responder::OtelNone | Responder::OtelOff | Responder::OtelSampled => {
            otel::respond(kind).await
        }
        Responder::Drain => {
            let client = bare::connect(&url()?).await?;
            let responder = bare::Responder::on(&client, SUBJECT, None).await?;
            let drain = Drain::start(&client, BULK).await?;
            ready();
            tokio::select! {
                ended = responder.respond() => ended,
                ended = drain.receive() => ended,
                ended = end_of_input() => ended,
            }
        }
    }
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
    ready();
    end_of_input().await?;
    let _ = host.shutdown(Duration::from_secs(1)).await;
    Ok(())
}
