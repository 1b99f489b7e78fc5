//! The provider on a lattice in memory, as in any Rust program that joins a lattice.

use lattice_provider_sdk::{Lattice, Link, serve};
use placeholder_name::{Config, CounterClient, Counters, Settings};

const COUNTER: &str = "example:placeholder-name/counter@0.1.0";

#[tokio::test]
async fn it_counts() -> Result<(), Box<dyn std::error::Error>> {
    let lattice = Lattice::in_memory("test").await?;
    let counters = Counters::new(Settings { start: 40 });
    let _serving = serve(&lattice, "placeholder-name", counters).await?;
    let config = Config {
        prefix: "shop/".to_owned(),
    };
    let link = Link::new("shop", COUNTER, "placeholder-name")?.config(&config)?;
    lattice.links().put(link).await?;
    let client = CounterClient::new(lattice.caller("shop")?);
    assert_eq!(client.add("orders", 2).await?, Ok(42));
    Ok(())
}
