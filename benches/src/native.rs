//! Native code that speaks the interfaces of the benches: a provider of `echo`, and clients of everything.

use lattice_provider_sdk::{Bytes, Call, Stateless};

mod generated {
    lattice_provider_sdk::provider!({ path: "guests/wit", world: "native" });
}

mod silent {
    lattice_provider_sdk::provider!({ path: "guests/wit", world: "silent" });
}

pub use generated::World;
pub use generated::lattice_bench::calls::{
    drive::DriveClient,
    echo::{Echo, EchoClient, Quality, Reading},
    silence::SilenceClient,
    spin::SpinClient,
};
pub use silent::lattice_bench::calls::silence::Silence;

/// The interface that calls end at.
pub const ECHO: &str = "lattice-bench:calls/echo@0.1.0";
/// The interface that makes an actor call.
pub const DRIVE: &str = "lattice-bench:calls/drive@0.1.0";

/// The interface that calls are lost in.
pub const SILENCE: &str = "lattice-bench:calls/silence@0.1.0";
/// The interface that keeps a CPU busy.
pub const SPIN: &str = "lattice-bench:calls/spin@0.1.0";

/// Gives back what it gets.
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

/// Takes calls and answers none.
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

/// `count` readings with a bit of everything in each.
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
