//! An outside program that uses only the packages: its own provider, a call to it over a link, and
//! a host.

// This crate is only for actors. Here it only has to build from its package.
use lattice_actor_sdk as _;
use lattice_host::Host;
use lattice_provider_sdk::{Call, Lattice, Link, Stateless, provider, serve};
use std::{error::Error, time::Duration};

provider!({
    inline: "
        package outside:consumer@0.1.0;
        interface echo { say: func(text: string) -> string; }
        world echoing { import echo; export echo; }
    ",
});
use outside::consumer::echo::{Echo, EchoClient, INTERFACE};

struct Parrot;

impl Stateless for Parrot {
    type World = World;
}

impl Echo for Parrot {
    async fn say(&self, _: &Call<Self>, text: String) -> String {
        text
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let lattice = Lattice::in_memory("outside").await?;
    let host = Host::builder(&lattice)
        .provider("parrot", Parrot)
        .start()
        .await?;
    lattice
        .links()
        .put(Link::new("app", INTERFACE.name(), "parrot")?)
        .await?;
    let app = EchoClient::new(lattice.caller("app")?);
    assert_eq!(app.say("hello").await?, "hello");
    assert!(host.shutdown(Duration::from_secs(1)).await.is_clean());

    let serving = serve(&lattice, "second", Parrot).await?;
    let operator = EchoClient::new(lattice.operator().component("second"));
    assert_eq!(operator.say("again").await?, "again");
    assert!(serving.shutdown(Duration::from_secs(1)).await.is_clean());
    Ok(())
}

/// In the workspace, this is a test of the examples, where everything that it needs is already
/// built.
#[test]
fn it_runs() -> Result<(), Box<dyn Error>> {
    main()
}
