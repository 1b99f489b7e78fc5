//! Greets people, and counts the greetings in a key-value store.

lattice_actor_sdk::actor!({ world: "greeter-actor", path: "../wit", export: Greeter });

use exports::example::hello::greeter::{Error, Greeting, Guest};
use lattice_actor_sdk::{keyvalue::store, log};

struct Greeter;

impl Guest for Greeter {
    fn greet(name: String) -> Result<Greeting, Error> {
        let name = name.trim();
        if name.is_empty() {
            return Err(Error::EmptyName);
        }
        let visits = store::increment(&format!("visits/{name}"), 1)
            .map_err(|error| Error::Other(error.to_string()))?;
        log::info!("greeting {name}, visit {visits}");
        Ok(Greeting {
            text: format!("Hello, {name}!"),
            visits,
            // An actor doesn't know its machine. A program that starts this one can pass a name for
            // it, so that the examples can show it.
            host: std::env::var("HOST")
                .or_else(|_| std::env::var("LATTICE_HOST"))
                .unwrap_or_else(|_| "a host".to_owned()),
        })
    }

    async fn greet_async(name: String) -> Result<Greeting, Error> {
        Self::greet(name)
    }
}
