//! Messaging: one suite for all backends, and what only some of them have.

mod actor;
mod lattice;
mod nats;
mod scene;
mod suite;

use scene::Backend;
use std::time::Duration;

/// Much longer than any step takes, so that a test that hangs fails with the name of the step.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that happens soon.
async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| panic!("{what}: no end within {PATIENCE:?}"))
}

/// Waits until a condition holds.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Runs the tests of the suite on every backend.
macro_rules! on_each_backend {
    ($($test:ident)*) => {
        mod over_the_lattice {
            use super::{Backend, suite};
            $(#[tokio::test]
            async fn $test() {
                suite::$test(Backend::Lattice).await;
            })*
        }

        mod over_subjects {
            use super::{Backend, suite};
            $(#[tokio::test]
            async fn $test() {
                suite::$test(Backend::subjects().await).await;
            })*
        }

        mod over_streams {
            use super::{Backend, suite};
            $(#[tokio::test]
            async fn $test() {
                suite::$test(Backend::streams().await).await;
            })*
        }
    };
}

on_each_backend! {
    a_message_reaches_each_matching_link_once
    bodies_arrive_as_they_were_sent
    wrong_subjects_are_refused
    messages_of_one_link_are_handled_in_order
    a_message_that_fails_too_often_is_set_aside
    messages_wait_for_an_actor_that_is_away
    a_wrong_link_is_shown_and_mended
}
