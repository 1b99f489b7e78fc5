//! The page of a lattice in a real browser.
//!
//! | row | ours | baseline |
//! | --- | --- | --- |
//! | `ui.delta.p95_ms` | from a change of a lattice with 2,000 components on 300 hosts to its picture, at 50 changes/s | none |
//! | `ui.idle.cpu` | CPU time of a host whose page is open on a quiet lattice, in hundredths of a core | that of the same host while it isn't |
//!
//! Lattice and service of the first row are in this process. The host of the second one is a
//! process of its own. Where there is no browser, both rows are left out, and the program prints
//! why.

use crate::load::options::Responder;
use crate::{
    Failure,
    bars::Bar,
    guests::Guest,
    responder::{self, KEY, LATTICE, end_of_input, ready_at},
    server::Server,
    summary::Row,
};
use lattice_benches_common::{cpu::Processes, report::Report};
use lattice_core::{Lattice, auth::LatticeKey};
use lattice_host::{Actor, Host};
use lattice_test_browser::{
    Browser,
    crowd::Crowd,
    paint::{Marks, quantile},
};
use lattice_ui::Ui;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::time::sleep;

const DELTA: &str = "ui.delta.p95_ms";
const IDLE: &str = "ui.idle.cpu";

/// Changes per second, and how many there are in all.
const RATE: u32 = 50;
const CHANGES: usize = 500;
/// As many are made in a quick run.
const FEW: usize = 10;
/// Rounds with less time than this are those of a quick run.
const QUICK: Duration = Duration::from_millis(100);
/// How long CPU time is counted for each round and side. The kernel counts it in hundredths of a
/// second.
const COUNTED: Duration = Duration::from_secs(5);
/// How long a host gets to do what its start, or opening the page, takes.
const SETTLE: Duration = Duration::from_secs(2);
/// An address with any free port.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(super) async fn compare(report: &mut Report) -> Result<(), Failure> {
    let rows = [DELTA, IDLE].into_iter();
    let wanted: Vec<&str> = rows.filter(|row| report.wants(row)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let browser = match Browser::start().await {
        Ok(browser) => browser,
        Err(reason) if reason.is_missing() => {
            for row in wanted {
                report.leave_out(row, &reason);
            }
            return Ok(());
        }
        Err(failed) => return Err(failed.into()),
    };
    if wanted.contains(&IDLE) {
        idle(report, &browser).await?;
    }
    if wanted.contains(&DELTA) {
        delta(report, &browser).await?;
    }
    Ok(())
}

async fn delta(report: &mut Report, browser: &Browser) -> Result<(), Failure> {
    let crowd = Crowd::new().await?;
    let page = Ui::new(&crowd.lattice).serve(ANY).await?;
    browser.watch_marks().await;
    browser.open(&page.url()).await;
    browser.is_live().await;
    let mut marks = Marks::default();
    let count = if is_quick(report) { FEW } else { CHANGES };
    crowd.change(&mut marks, count, RATE).await?;
    let times = marks.painted(browser).await;
    let p95 = quantile(&times, 0.95).as_secs_f64() * 1e3;
    report.add_row(Row::new(DELTA, p95, None, "ms"), Bar::AtMost(60.0));
    Ok(())
}

async fn idle(report: &mut Report, browser: &Browser) -> Result<(), Failure> {
    let server = Server::start().await?;
    let key = LatticeKey::generate();
    let host = responder::start(Responder::Page.name(), &server, &key).await?;
    let processes = Processes::of(host.program.id()?);
    let (counted, settle) = if is_quick(report) {
        (report.time(), Duration::ZERO)
    } else {
        (COUNTED, SETTLE)
    };
    let (mut with, mut without) = (0.0, 0.0);
    // The service goes on for some seconds after the last page was closed.
    for _ in 0..report.rounds() {
        sleep(settle).await;
        without += share(&processes, counted).await?;
    }
    for _ in 0..report.rounds() {
        browser.open(&host.address).await;
        browser.is_live().await;
        sleep(settle).await;
        with += share(&processes, counted).await?;
    }
    let rounds = report.rounds() as f64;
    let row = Row::new(IDLE, with / rounds, Some(without / rounds), "% of a core");
    report.add_row(row, Bar::RatioOrMore(1.0, 1.0));
    Ok(())
}

/// Returns the CPU time that is used from now on, in hundredths of a core.
async fn share(processes: &Processes, time: Duration) -> Result<f64, Failure> {
    let (before, begun) = (processes.used()?, Instant::now());
    sleep(time).await;
    let used = processes.used()?.saturating_sub(before);
    Ok(used.as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0)
}

fn is_quick(report: &Report) -> bool {
    report.time() < QUICK
}

/// Runs the host whose page is opened.
pub(crate) async fn respond_with_page(url: &str) -> Result<(), Failure> {
    let lattice = Lattice::connect(url, LATTICE)
        .key(LatticeKey::from_env(KEY)?)
        .await?;
    let actor = Actor::from_file(Guest::HttpHello.path()?);
    let _host = Host::builder(&lattice)
        .actor("hello", actor)
        .start()
        .await?;
    let page = Ui::new(&lattice).serve(ANY).await?;
    ready_at(page.url());
    end_of_input().await
}
