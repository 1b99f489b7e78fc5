//! Uses what the other two have, and checks what it gets: see `values.wit`.

wit_bindgen::generate!({ path: "../values", world: "user" });

mod endings;
mod passing;
mod places;
mod resources;
mod streams;

use exports::lattice_test::values::checks::Guest;
use lattice_test::values::{flows::Reading, things::Thing};

struct User;
export!(User);

impl Guest for User {
    async fn check(what: String) {
        match &*what {
            "handles" => resources::handles(),
            "handles in values" => resources::in_values(),
            "drops" => resources::drops().await,
            "drop during a call" => resources::drop_during_a_call().await,
            "stale handle" => resources::stale(),
            "stream of bytes" => streams::bytes().await,
            "stream of records" => streams::records().await,
            "stream of resources" => streams::resources().await,
            "stream of streams" => streams::nested().await,
            "futures" => streams::futures().await,
            "future of a resource" => streams::future_of_a_resource().await,
            "reader gone" => endings::reader_gone().await,
            "writer gone" => endings::writer_gone().await,
            "never read" => endings::never_read().await,
            "writer traps" => endings::writer_traps().await,
            "reader traps" => endings::reader_traps().await,
            "resource through three" => passing::resource(),
            "streams through three" => passing::streams().await,
            "stream back to its sender" => passing::back().await,
            "future through three" => passing::future().await,
            "rest passed on" => passing::rest().await,
            "middle traps" => passing::middle_traps().await,
            "two types of resources" => places::two_types().await,
            "records in streams" => places::records().await,
            "resources in elements" => places::holdings().await,
            "futures that fail" => places::promises().await,
            "large elements" => places::large_elements().await,
            "streams in values" => places::in_values().await,
            "handles in a record" => places::in_a_record().await,
            other => panic!("there is no check `{other}`"),
        }
    }
}

fn reading(n: u32) -> Reading {
    Reading {
        x: n as u8,
        label: format!("r{n}"),
        at: u64::from(n),
        tags: vec![1; n as usize % 9],
    }
}

/// Returns the bytes that `flows.bytes` makes.
fn bytes(count: u64) -> impl Iterator<Item = u8> {
    (0..count).map(|at| at as u8)
}

fn sum(count: u64) -> u64 {
    bytes(count).map(u64::from).sum()
}

/// Waits until things of these names were dropped in the instance of `anchor`, which was made
/// before that. They must have been in this order.
async fn were_dropped(anchor: &Thing, expected: &[&str]) {
    loop {
        let mut names = anchor.dropped();
        names.retain(|name| expected.contains(&&**name));
        if names.len() >= expected.len() {
            assert_eq!(names, expected);
            return;
        }
        wit_bindgen::yield_async().await;
    }
}
