//! Native code for the interfaces of the benches: a provider of `echo`, and clients of every
//! interface.

use lattice_provider_sdk::{Bytes, Call, Stateless};

mod generated {
    lattice_provider_sdk::provider!({ path: "../guests/wit", world: "native" });
}

mod silent {
    lattice_provider_sdk::provider!({ path: "../guests/wit", world: "silent" });
}

mod taking {
    lattice_provider_sdk::provider!({ path: "../guests/wit", world: "taking" });
}

pub use generated::World;
pub use generated::lattice_bench::calls::{
    drive::DriveClient,
    echo::{Echo, EchoClient, Quality, Reading},
    fill::FillClient,
    intake::IntakeClient,
    silence::SilenceClient,
    spin::SpinClient,
};
pub use silent::lattice_bench::calls::{silence::Silence, sink::Sink};
pub use taking::lattice_bench::calls::intake::Intake;

/// The interface of the callee.
pub const ECHO: &str = "lattice-bench:calls/echo@0.1.0";
/// The interface through which an actor is requested to make calls.
pub const DRIVE: &str = "lattice-bench:calls/drive@0.1.0";

/// The interface whose calls never get a reply.
pub const SILENCE: &str = "lattice-bench:calls/silence@0.1.0";
/// The interface that keeps a CPU busy.
pub const SPIN: &str = "lattice-bench:calls/spin@0.1.0";
/// The interface that takes memory.
pub const FILL: &str = "lattice-bench:calls/fill@0.1.0";
/// The interface that keeps what it is given.
pub const SINK: &str = "lattice-bench:calls/sink@0.1.0";

/// The interface that takes large arguments.
pub const INTAKE: &str = "lattice-bench:calls/intake@0.1.0";

/// Returns the bytes that it receives.
#[derive(Debug)]
pub struct EchoProvider;

impl Stateless for EchoProvider {
    type World = World;
}

impl Echo for EchoProvider {
    async fn echo(&self, _: &Call<Self>, body: Bytes) -> Bytes {
        body
    }

    async fn readings(&self, _: &Call<Self>, all: Vec<Reading>) -> Vec<Reading> {
        all
    }
}

/// Takes calls and never replies.
#[derive(Debug)]
pub struct SilentProvider;

impl Stateless for SilentProvider {
    type World = silent::World;
}

impl Silence for SilentProvider {
    async fn hold(&self, _: &Call<Self>, _: Bytes) -> Bytes {
        std::future::pending().await
    }
}

impl Sink for SilentProvider {
    async fn put(&self, _: &Call<Self>, _: Bytes) -> Result<(), String> {
        std::future::pending().await
    }

    async fn wait(&self, _: &Call<Self>) -> Result<(), String> {
        std::future::pending().await
    }
}

/// Takes large arguments.
#[derive(Debug)]
pub struct IntakeProvider;

impl Stateless for IntakeProvider {
    type World = taking::World;
}

impl Intake for IntakeProvider {
    async fn take(&self, _: &Call<Self>, body: Bytes) -> u64 {
        body.len() as u64
    }
}

/// Returns `count` readings, each with a value of every kind.
pub fn readings(count: u32) -> Vec<Reading> {
    let reading = |number: u32| Reading {
        sensor: format!("boiler-{number}"),
        at: 1_700_000_000_000 + u64::from(number),
        value: f64::from(number) / 8.0,
        unit: Some("kPa".to_owned()),
        quality: match number % 3 {
            0 => Quality::Good,
            1 => Quality::Estimated(0.5),
            _ => Quality::Bad("stuck".to_owned()),
        },
        samples: (0..8).map(|sample| sample * number).collect(),
    };
    (0..count).map(reading).collect()
}
