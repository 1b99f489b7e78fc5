//! A provider in a process of its own, next to one in the caller's process.

use crate::load::{
    options::Responder,
    requests::{Direct, Requests},
};
use crate::{
    Failure, bare,
    bars::Bar,
    native::{ECHO, EchoClient, EchoProvider},
    program::START,
    provided,
    responder::{self, LATTICE},
    server::Server,
    summary::Row,
};
use lattice_benches_common::{
    cell::Cell,
    compare::{Side, in_turns},
    report::Report,
};
use lattice_core::{Lattice, auth::LatticeKey, link::Link};
use lattice_host::{Host, Programs};
use tokio::time::timeout;

const ADDED: &str = "provider.process.added_p50";

/// The providers, and the links to them.
const HERE: &str = "here";
const APART: &str = "apart";

pub(super) async fn compare(report: &mut Report) -> Result<(), Failure> {
    if !report.wants(ADDED) {
        return Ok(());
    }
    let server = Server::start().await?;
    let key = LatticeKey::generate();
    let _responder = responder::start(Responder::Drain.name(), &server, &key).await?;
    let bare = Side::here(Requests(bare::connect(&server.url).await?));
    let lattice = Lattice::connect(&server.url, LATTICE).key(key).await?;
    let host = Host::builder(&lattice)
        .programs(Programs::Any)
        .provider(HERE, EchoProvider)
        .start()
        .await?;
    lattice.apply(&provided::app(APART)?).await?;
    timeout(START, lattice.served(APART)).await??;
    for target in [HERE, APART] {
        let link = Link::new("driver", ECHO, target)?.named(target)?;
        lattice.links().put(link).await?;
    }
    let driver = host.node().caller("driver")?;
    let through = |link: &str| {
        let driver = driver.clone().via(link)?;
        Ok::<_, Failure>(Side::here(Direct(EchoClient::new(driver))))
    };
    let (apart, here) = (through(APART)?, through(HERE)?);
    let cell = Cell {
        path: ADDED,
        in_flight: 1,
        size: super::SIZE,
    };
    let [apart, here, bare] = in_turns(report, cell, &apart, &here, &bare).await?;
    report.add_row(
        Row::new(ADDED, apart.p50 - here.p50, Some(bare.p50), "µs"),
        Bar::Ratio(1.5),
    );
    Ok(())
}
