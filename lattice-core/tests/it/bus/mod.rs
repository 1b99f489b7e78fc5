//! The bus: every implementation against the contract, and NATS against a real server.

mod auth;
mod conform;
mod connect;
mod hostile;
mod loss;
mod memory;
mod tap;
mod tls;

use crate::{certificates, jwt, nats};
use futures_util::StreamExt;
use lattice_core::{
    bus::{Body, Bus, BusError, BusState},
    name::LatticeName,
    nats::{ConnectError, NatsConnection, NatsOptions},
    subject::Subjects,
};
use std::{error::Error, future::Future, time::Duration};

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    let Ok(done) = tokio::time::timeout(Duration::from_secs(30), work).await else {
        panic!("took too long: {what}")
    };
    done
}

fn subjects() -> Subjects {
    Subjects::new(&LatticeName::new("prod").expect("valid"))
}

/// Connects, publishes a message and receives it.
async fn works(options: &NatsOptions) -> NatsConnection {
    let connection = within("connect", options.connect())
        .await
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    goes_round(&connection).await;
    connection
}

async fn goes_round(connection: &NatsConnection) {
    let (bus, beat) = (connection.bus(), subjects().beat());
    let mut inbox = bus.subscribe(beat.clone(), 8).await.expect("subscribes");
    bus.publish(beat, None, "round".into())
        .await
        .expect("publishes");
    let message = within("the message", inbox.next()).await.expect("open");
    assert_eq!(message.body, Body::Payload("round".into()));
}

async fn fails(options: &NatsOptions) -> ConnectError {
    match within("connect", options.connect()).await {
        Ok(_) => panic!("connected with {options:?}"),
        Err(error) => error,
    }
}

async fn until_state(connection: &NatsConnection, state: BusState) {
    let states = connection.watch_state();
    let mut reached = states.filter(|now| std::future::ready(*now == state));
    within(&format!("the state {state:?}"), reached.next())
        .await
        .expect("the connection lives");
}

/// Returns the text of an error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// `Result::expect_err` can't be used, since it prints the value.
fn error_of<T>(result: Result<T, BusError>) -> BusError {
    match result {
        Ok(_) => panic!("worked"),
        Err(error) => error,
    }
}
