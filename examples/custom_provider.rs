//! A custom provider: an interface in WIT, a Rust type that serves it, links whose config is
//! checked when they are created, and a binding for each link.
//!
//! Here the provider runs in this process. Any Rust program can serve a provider the same way. To
//! run it in a host next to actors, write `Host::builder(&lattice).provider("mailer", Mailer)`.

use futures_util::StreamExt as _;
use lattice_core::{
    link::{LinkEntry, LinkStatus},
    name::NameError,
};
use lattice_provider_sdk::{Call, Lattice, Link, Provider, Refusal, provider, serve};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    error::Error,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;

// 1. The interface. A larger one would be in a folder: `provider!({ path: "wit" })`. Each export of
//    a world becomes a trait to implement, and each import becomes a client.
provider!({
    inline: "
        package example:mail@0.1.0;

        interface mailer {
            record message {
                to: string,
                subject: string,
                body: list<u8>,
            }

            variant error {
                bad-address(string),
                over-limit,
            }

            /// Sends a message, and returns how many more may be sent.
            send: func(message: message) -> result<u32, error>;
        }

        world mail {
            import mailer;
            export mailer;
        }
    ",
});
use example::mail::mailer::{
    Error as MailError, INTERFACE, Mailer as Serves, MailerClient, Message,
};

/// 2. The provider. This one has no state of its own: all of it belongs to links.
struct Mailer;

/// 3. The config of a link to it. A link whose config can't be deserialized is refused.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    sender: String,
    limit: NonZeroU32,
}

/// 4. The state of a link while it exists. Every call over the link has access to it.
struct Binding {
    sender: String,
    left: AtomicU32,
}

impl Provider for Mailer {
    type World = World;
    type Config = Config;
    type Binding = Binding;

    /// Called for each new link. This is the place for checks that a type can't make, and to
    /// connect to a backend.
    async fn link(&self, link: &Link, config: Config) -> Result<Binding, Refusal> {
        if !config.sender.contains('@') {
            return Err(Refusal::new(format!(
                "`sender` is `{}`, which isn't an address; write it as `name@host`",
                config.sender
            )));
        }
        println!(
            "mailer: took the link from {} called `{}`",
            link.source, link.name
        );
        Ok(Binding {
            sender: config.sender,
            left: AtomicU32::new(config.limit.get()),
        })
    }

    /// Called when the link was deleted or changed.
    fn unlink(&self, link: &Link, _: &Binding) {
        println!(
            "mailer: the link from {} called `{}` is gone",
            link.source, link.name
        );
    }
}

/// 5. The functions. `Err` is the function's own error. A panic would end only this call.
impl Serves for Mailer {
    async fn send(&self, call: &Call<Self>, message: Message) -> Result<u32, MailError> {
        if !message.to.contains('@') {
            return Err(MailError::BadAddress(message.to));
        }
        let Binding { sender, left } = call.binding();
        let one_less = |left: u32| left.checked_sub(1);
        let before = left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .map_err(|_| MailError::OverLimit)?;
        println!(
            "mailer: {sender} -> {}: \"{}\", {} bytes",
            message.to,
            message.subject,
            message.body.len()
        );
        Ok(before - 1)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let lattice = Lattice::in_memory("dev").await?;
    let serving = serve(&lattice, "mailer", Mailer).await?;
    links_that_are_refused(&lattice).await?;
    a_link_that_is_right(&lattice).await?;
    let _ = serving.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

/// Creates links that are refused, each for a different reason. The reason is stored on the link
/// and reported to calls over it.
async fn links_that_are_refused(lattice: &Lattice) -> Result<(), Box<dyn Error>> {
    let mistyped = BTreeMap::from([("sendr", "shop@acme.example")]);
    let no_address = Config {
        sender: "shop".to_owned(),
        limit: NonZeroU32::MIN,
    };
    for link in [
        link("no-config")?,
        link("mistyped")?.config(&mistyped)?,
        link("no-address")?.config(&no_address)?,
    ] {
        let entry = lattice.links().put(link).await?;
        let status = status(lattice, &entry).await?;
        println!("link `{}` is {status}", entry.key.name);
    }

    let shop = lattice.caller("shop")?;
    let mailer = MailerClient::new(shop.via("no-address")?);
    let answer = mailer.send(&message()).await;
    let error = answer.err().ok_or("the link was refused")?;
    println!("a call over it {}: {error}", error.ran());
    Ok(())
}

/// Creates a valid link. The limit belongs to the link, so another link to the same provider has
/// another limit.
async fn a_link_that_is_right(lattice: &Lattice) -> Result<(), Box<dyn Error>> {
    let config = Config {
        sender: "shop@acme.example".to_owned(),
        limit: NonZeroU32::MIN.saturating_add(1),
    };
    let link = link("default")?.config(&config)?;
    let entry = lattice.links().put(link).await?;
    println!("link `default` is {}", status(lattice, &entry).await?);

    let mailer = MailerClient::new(lattice.caller("shop")?);
    for _ in 0..3 {
        match mailer.send(&message()).await? {
            Ok(left) => println!("shop: sent, {left} left"),
            Err(error) => println!("shop: not sent: {error:?}"),
        }
    }
    lattice.links().delete(&entry.key).await?;
    Ok(())
}

/// Returns a link from the component `shop`, which is this program. The macro provides the
/// interface's name.
fn link(name: &str) -> Result<Link, NameError> {
    Link::new("shop", INTERFACE.name(), "mailer")?.named(name)
}

fn message() -> Message {
    Message {
        to: "ada@acme.example".to_owned(),
        subject: "Your order".to_owned(),
        body: "On its way.".into(),
    }
}

/// Returns the status that the link's target reported, as soon as there is one.
async fn status(lattice: &Lattice, entry: &Arc<LinkEntry>) -> Result<LinkStatus, Box<dyn Error>> {
    let mut changes = lattice.links().watch();
    let spoken = async {
        while let Some(change) = changes.next().await {
            let now = change.entry();
            if now.key == entry.key && now.status != LinkStatus::Pending {
                return Ok(now.status.clone());
            }
        }
        Err("the store was closed")
    };
    Ok(timeout(Duration::from_secs(5), spoken).await??)
}
