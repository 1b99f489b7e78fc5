//! Calls `echo`, which a link or the baseline connects to the callee that is measured.

lattice_actor_sdk::actor!({ world: "caller-actor", path: "../wit", export: Caller });

use exports::lattice_bench::calls::drive::Guest;
use lattice_bench::calls::echo::{Quality, Reading, echo, readings};

struct Caller;

impl Guest for Caller {
    fn run(calls: u32, size: u32) -> u64 {
        let body = vec![7; size as usize];
        (0..calls).map(|_| echo(&body).len() as u64).sum()
    }

    fn run_readings(calls: u32, count: u32) -> u64 {
        let all: Vec<Reading> = (0..count).map(reading).collect();
        (0..calls).map(|_| readings(&all).len() as u64).sum()
    }

    fn relay(body: Vec<u8>) -> Vec<u8> {
        echo(&body)
    }
}

fn reading(number: u32) -> Reading {
    Reading {
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
    }
}
