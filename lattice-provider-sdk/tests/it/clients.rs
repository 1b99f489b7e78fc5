//! Clients that `client!` generates without a provider's world, and a provider of the same
//! interface.

use lattice_core::link::Link;
use lattice_provider_sdk::{Call, CallError, ComponentId, Lattice, ServeError, Stateless, serve};
use std::time::Duration;

mod served {
    lattice_provider_sdk::provider!({
        inline: "
            package test:greeting@0.1.0;
            interface greeter {
                record guest { name: string, visits: u32 }
                greet: func(guest: guest) -> result<string, string>;
                left: func() -> u64;
            }
            world serving { export greeter; }
        ",
    });
}

/// Only the interface, without a world that imports or exports it.
mod called {
    lattice_provider_sdk::client!({
        inline: "
            package test:greeting@0.1.3;
            interface greeter {
                record guest { name: string, visits: u32 }
                greet: func(guest: guest) -> result<string, string>;
                left: func() -> u64;
            }
        ",
    });
}

/// The provider's own world: its exports are called.
mod every {
    lattice_provider_sdk::client!({ path: "tests/wit", world: "every" });
}

use called::test::greeting::greeter::{GreeterClient, Guest, INTERFACE};
use served::test::greeting::greeter::{self, Greeter};

struct Hello;

impl Stateless for Hello {
    type World = served::World;
}

impl Greeter for Hello {
    async fn greet(&self, _: &Call<Self>, guest: greeter::Guest) -> Result<String, String> {
        match guest.visits {
            0 => Err(format!("{} was never here", guest.name)),
            visits => Ok(format!("Hello, {}! Visit {visits}", guest.name)),
        }
    }

    async fn left(&self, call: &Call<Self>) -> u64 {
        call.time_left().as_millis() as u64
    }
}

#[tokio::test]
async fn a_client_from_an_interface_calls_through_a_link() -> Result<(), CallError> {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let _serving = serve(&lattice, "hello", Hello).await.expect("served");
    let client = GreeterClient::new(lattice.caller("web").expect("an id"));
    let guest = |visits| Guest {
        name: "Ada".to_owned(),
        visits,
    };

    let refused = client.greet(&guest(1)).await;
    assert!(
        matches!(refused, Err(CallError::NotLinked { .. })),
        "{refused:?}"
    );

    let link = Link::new("web", INTERFACE.name(), "hello").expect("valid");
    lattice.links().put(link).await.expect("put");
    let greeting = client.greet(&guest(2)).await?;
    assert_eq!(greeting, Ok("Hello, Ada! Visit 2".to_owned()));
    let error = client.greet(&guest(0)).await?;
    assert_eq!(error, Err("Ada was never here".to_owned()));
    let left = client.left().timeout(Duration::from_millis(700)).await?;
    assert!((1..=700).contains(&left), "{left}");
    Ok(())
}

#[test]
fn clients_and_providers_have_the_same_functions() {
    assert_eq!(INTERFACE.functions(), greeter::INTERFACE.functions());
    let values = &every::test::every::values::INTERFACE;
    assert!(values.functions().len() > 10);
    let _ = every::test::every::values::ValuesClient::<lattice_provider_sdk::Caller>::new;
}

#[tokio::test]
async fn serve_takes_any_text_that_is_a_valid_id() -> Result<(), ServeError> {
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let id = ComponentId::new("three").expect("an id");
    let _one = serve(&lattice, "one", Hello).await?;
    let _two = serve(&lattice, "two".to_owned(), Hello).await?;
    let _three = serve(&lattice, id, Hello).await?;
    let error = serve(&lattice, "Not an id", Hello).await;
    let error = error.expect_err("an invalid id");
    assert!(matches!(error, ServeError::Name(_)), "{error}");
    assert!(error.to_string().contains("`Not an id`"), "{error}");
    Ok(())
}
