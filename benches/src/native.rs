//! Native code that speaks the interfaces of the benches: a provider of `echo`, and clients of everything.

use lattice_provider_sdk::{Bytes, Call, Stateless};

mod generated {
    lattice_provider_sdk::provider!({ path: "guests/wit", world: "native" });
}

pub use generated::World;
pub use generated::lattice_bench::calls::{
    drive::DriveClient,
    echo::{Echo, EchoClient, Quality, Reading},
};

/// The interface that calls end at.
pub const ECHO: &str = "lattice-bench:calls/echo@0.1.0";
/// The interface that makes an actor call.
pub const DRIVE: &str = "lattice-bench:calls/drive@0.1.0";

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
