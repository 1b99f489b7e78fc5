//! Welcomes guests with the greeting of another actor, the greeter. A link determines which greeter
//! that is, wherever it runs.

lattice_actor_sdk::actor!({ world: "front-desk-actor", path: "../wit", export: FrontDesk });

use example::hello::greeter::{Error, Greeting, greet, greet_async};
use exports::example::hello::desk::Guest;
use futures_util::future::join_all;
use lattice_actor_sdk::log;

struct FrontDesk;

impl Guest for FrontDesk {
    fn welcome(name: String) -> Result<String, String> {
        in_words(greet(&name))
    }

    async fn welcome_all(names: Vec<String>) -> Result<Vec<String>, String> {
        log::info!("a party of {}", names.len());
        let greetings = join_all(names.into_iter().map(greet_async)).await;
        greetings.into_iter().map(in_words).collect()
    }
}

fn in_words(answer: Result<Greeting, Error>) -> Result<String, String> {
    match answer {
        Ok(greeting) => Ok(format!(
            "{} (visit {}, received on {}, greeted on {})",
            greeting.text,
            greeting.visits,
            std::env::var("HOST")
                .or_else(|_| std::env::var("LATTICE_HOST"))
                .unwrap_or_else(|_| "a host".to_owned()),
            greeting.host,
        )),
        Err(Error::EmptyName) => Err("please say who you are".to_owned()),
        Err(Error::Other(message)) => Err(message),
    }
}
