//! Messaging: one suite for all backends, and what only some of them have.

mod actor;
mod amqp;
mod amqp_faults;
mod lasting;
mod lattice;
mod nats;
mod proxy;
mod scene;
mod suite;

use crate::wait::{eventually, soon};
use scene::Backend;
use std::time::Duration;

/// What calls have that are to end with the error of the interface. The provider ends them 250 ms
/// earlier, which is enough for a busy machine to reply.
const DEADLINE: Duration = Duration::from_secs(4);

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

        mod over_amqp {
            use super::{Backend, suite};
            $(#[tokio::test]
            async fn $test() {
                if let Some(backend) = Backend::amqp().await {
                    suite::$test(backend).await;
                }
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
    others_stay_in_order_around_a_message_that_fails
    messages_wait_for_an_actor_that_is_away
    a_wrong_link_is_shown_and_mended
    a_trace_goes_on_at_the_handler
}

/// Runs the tests of the backends that store messages.
macro_rules! on_each_that_stores {
    ($($test:ident)*) => {
        mod stored_in_streams {
            use super::{Backend, lasting};
            $(#[tokio::test]
            async fn $test() {
                lasting::$test(Backend::streams().await).await;
            })*
        }

        mod stored_over_amqp {
            use super::{Backend, lasting};
            $(#[tokio::test]
            async fn $test() {
                if let Some(backend) = Backend::amqp().await {
                    lasting::$test(backend).await;
                }
            })*
        }
    };
}

on_each_that_stores! {
    messages_of_a_killed_actor_are_handled_by_another_replica
    what_a_replica_of_the_provider_leaves_another_takes
}
