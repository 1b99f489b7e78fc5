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
        let visits = store::increment(&format!("visits/{name}"), 1).map_err(in_words)?;
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

/// Returns the store's error for callers. The text of the generated type is how Rust writes it.
fn in_words(error: store::Error) -> Error {
    Error::Other(match error {
        store::Error::Other(message) | store::Error::InvalidKey(message) => message,
        _ => "the visit could not be counted".to_owned(),
    })
}
