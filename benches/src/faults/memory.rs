//! One call in ten never gets a reply. Checks that no memory is leaked.

use crate::faults::{
    mesh::Mesh,
    options::Options,
    report::{Bar, Report, note},
};
use crate::{
    Failure,
    native::{ECHO, SILENCE},
    process,
    program::Program,
    summary::Row,
};
use std::time::{Duration, Instant};

/// Calls made before the first measurement of memory.
const WARM_UP: u64 = 10_000;
/// Enough for a million calls.
const PATIENCE: Duration = Duration::from_mins(30);

pub(crate) async fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let mesh = Mesh::start().await?;
    mesh.link("callee", ECHO, "callee", &[]).await?;
    mesh.link("silent", SILENCE, "silent", &[]).await?;
    let calls = options.length.pick(1_000_000, 200_000);
    let host = mesh.host("a", &["callee=echo", "silent=silence"]).await?;
    let caller = mesh.caller("lattice").await?;
    let ours = grow("memory", caller, &host, calls).await?;
    drop(host);
    let responder = mesh.responder().await?;
    let caller = mesh.caller("bare").await?;
    let baseline = grow("memory, async-nats", caller, &responder, calls).await?;
    let row =
        |name: &str, of: fn(&Growth) -> f64| Row::new(name, of(&ours), Some(of(&baseline)), "MiB");
    report.add(
        row("memory.growth.unanswered", |growth| {
            growth.caller.max(growth.callee)
        }),
        Bar::AtMost(2.0),
    );
    report.add(
        row("memory.growth.caller", |growth| growth.caller),
        Bar::None,
    );
    report.add(
        row("memory.growth.callee", |growth| growth.callee),
        Bar::None,
    );
    Ok(())
}

/// How much more memory each process uses at the end, in MiB.
struct Growth {
    caller: f64,
    callee: f64,
}

async fn grow(
    what: &str,
    mut caller: Program,
    callee: &Program,
    calls: u64,
) -> Result<Growth, Failure> {
    let pids = [caller.id()?, callee.id()?];
    let taken = || Ok::<_, Failure>([process::resident(pids[0])?, process::resident(pids[1])?]);
    let warm: u64 = caller.ask(&WARM_UP.to_string(), PATIENCE).await?.parse()?;
    let before = taken()?;
    let start = Instant::now();
    let rest = calls - WARM_UP;
    let failed: u64 = caller.ask(&rest.to_string(), PATIENCE).await?.parse()?;
    let after = taken()?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let [caller, callee] = [0, 1].map(|at| mib(after[at]) - mib(before[at]));
    note(&format!(
        "{what}: caller {:.1} MiB {caller:+.2}, callee {:.1} MiB {callee:+.2}; {:.0} calls/s, {} not as expected",
        mib(before[0]),
        mib(before[1]),
        rest as f64 / start.elapsed().as_secs_f64(),
        warm + failed
    ));
    Ok(Growth { caller, callee })
}
