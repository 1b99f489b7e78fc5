//! Makes mixed calls for a long time while hosts and the server are killed every few seconds.
//! Checks that no call hangs and that nothing grows.
//!
//! One host and the caller stay alive for the whole run. Their memory, file descriptors and tasks
//! are sampled every second. The last third of the time is compared with the second third; the
//! first third is the warm-up.

mod caller;
mod sample;

pub(crate) use caller::run as call;

use crate::faults::{mesh::Mesh, way::DRIVER};
use crate::{
    Failure,
    native::{ECHO, SILENCE},
    program::{Program, START},
};
use caller::Tally;
use sample::{Grown, Sample};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Interval between two samples.
const LOOK: Duration = Duration::from_secs(1);
/// Samples between two faults.
const LOOKS: usize = 4;
/// How long the server stays down.
const DOWN: Duration = Duration::from_millis(500);
/// Interval between two lines of progress.
const PRINT_EVERY: Duration = Duration::from_mins(1);
/// The components that every host serves.
const COMPONENTS: [&str; 3] = ["callee=echo", "actor=echo-actor", "silent=silence"];

pub(crate) async fn run(time: Duration) -> Result<(), Failure> {
    let mut soak = Soak::start().await?;
    let samples = soak.through(time).await?;
    let tally: Tally = serde_json::from_str(&soak.caller.ask(caller::REPORT, START).await?)?;
    println!("{tally}\n{} faults\n", soak.faults);
    println!(
        "| {:19} | {:>8} | {:>8} | {:>7} | {:>7} |     |",
        "", "middle", "last", "growth", "bar"
    );
    println!("| --- | --: | --: | --: | --: | --- | --- |");
    let grown = Grown::table(&samples);
    for line in &grown {
        println!("{line}");
    }
    let flat = grown.iter().all(Grown::is_flat);
    if tally.hung > 0 {
        Err(format!("{} calls hung", tally.hung).into())
    } else if !flat {
        Err("some figure grows; see the table".into())
    } else {
        Ok(())
    }
}

struct Soak {
    mesh: Mesh,
    /// Stays alive for the whole run.
    steady: Program,
    /// Killed in turns.
    mortals: [Program; 2],
    caller: Program,
    faults: usize,
}

impl Soak {
    async fn start() -> Result<Self, Failure> {
        let mesh = Mesh::start().await?;
        for target in ["callee", "actor"] {
            mesh.link(&format!("{target}-once"), ECHO, target, &[])
                .await?;
            mesh.link(&format!("{target}-again"), ECHO, target, &["echo"])
                .await?;
        }
        mesh.link("silent", SILENCE, "silent", &[]).await?;
        let steady = mesh.host("steady", &COMPONENTS).await?;
        let mortals = [mortal(&mesh, 0).await?, mortal(&mesh, 1).await?];
        mesh.served("silent", 3).await?;
        println!(
            "soaking: one host lives, two are killed in turns, so is the server; `{DRIVER}` calls them all"
        );
        Ok(Self {
            caller: mesh.caller("soak").await?,
            mesh,
            steady,
            mortals,
            faults: 0,
        })
    }

    async fn through(&mut self, time: Duration) -> Result<Vec<Sample>, Failure> {
        let start = Instant::now();
        let mut printed = start;
        let mut samples = Vec::new();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while start.elapsed() < time {
            looks.tick().await;
            let sample = Sample::take(&mut self.caller, &mut self.steady).await?;
            if printed.elapsed() >= PRINT_EVERY {
                printed = Instant::now();
                println!("{:>4} s: {sample}", start.elapsed().as_secs());
            }
            samples.push(sample);
            if samples.len().is_multiple_of(LOOKS) {
                self.fault().await?;
            }
        }
        Ok(samples)
    }

    async fn fault(&mut self) -> Result<(), Failure> {
        let number = self.faults % 3;
        self.faults += 1;
        if let Some(host) = self.mortals.get_mut(number) {
            host.kill().await?;
            self.mortals[number] = mortal(&self.mesh, number).await?;
        } else {
            self.mesh.server.kill().await?;
            sleep(DOWN).await;
            self.mesh.server.restart().await?;
        }
        Ok(())
    }
}

async fn mortal(mesh: &Mesh, number: usize) -> Result<Program, Failure> {
    mesh.host(&format!("mortal-{number}"), &COMPONENTS).await
}
