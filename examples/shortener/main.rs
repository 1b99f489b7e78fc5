//! Runs the URL shortener of `app.toml` on a host of its own: actors in Rust and in JavaScript, and
//! providers with a key-value store in a file, SQLite, messages and a schedule. `make demo` runs
//! this example last.
//!
//! Only the requests here are about the shortener. The command `lattice` runs the same app without
//! any program: README.md has the commands.

use lattice_core::{Lattice, app::App};
use lattice_examples::{
    Report,
    fetch::{Answer, follow, post},
    guests,
};
use lattice_host::{Access, Host, http::Ingress};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/shortener/app.toml");
/// The label of the wormhole in the manifest, below a domain that every ingress has.
const NAME: &str = "short.localhost";
/// Far longer than any step here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the link is followed.
const CLICKS: usize = 16;

#[tokio::main]
async fn main() -> Result<(), Report> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    if let Err(reason) = guests::counter() {
        println!("skipped, because there is no guest in JavaScript: {reason}");
        return Ok(());
    }

    // The files of the providers. They may name no others.
    let files = tempfile::tempdir()?;
    let lattice = Lattice::in_memory("demo").await?;
    let host = Host::builder(&lattice)
        .id("red")
        .provider_access(Access::none().folder(files.path()))
        .ingress(Ingress::http("127.0.0.1:0"))
        .start()
        .await?;
    let addresses = host.ingress_addresses();
    let site = Site(*addresses.first().ok_or("the host has an ingress")?);

    println!("\n1. app.toml declares a URL shortener");
    let begun = Instant::now();
    let app = App::load(MANIFEST)?;
    println!("{}", indented(&lattice.apply(&app).await?.plan.to_string()));
    timeout(PATIENCE, all_serve(&lattice, &app)).await??;
    let took = begun.elapsed().as_millis();
    println!("   all of it serves after {took} ms");

    create(&site).await?;
    click(&site).await?;
    refuse(&site).await?;
    let _ = host.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

/// The ingress of the host, which serves the site.
struct Site(SocketAddr);

impl Site {
    async fn get(&self, path: &str) -> Result<Answer, Report> {
        follow(self.0, NAME, path).await
    }

    async fn post(&self, link: &Value) -> Result<Answer, Report> {
        post(self.0, NAME, "/api/links", link.to_string()).await
    }

    /// Returns how often a link was followed.
    async fn clicks(&self, code: &str) -> Result<u64, Report> {
        let answer = self.get(&format!("/api/links/{code}")).await?;
        let shown: Value = serde_json::from_str(&answer.body)?;
        let total = shown["clicks"]["total"].as_u64();
        total.ok_or_else(|| format!("it has no statistics: {}", answer.body).into())
    }
}

async fn all_serve(lattice: &Lattice, app: &App) -> Result<(), Report> {
    let manifest = app.manifest();
    for id in manifest.actors.keys().chain(manifest.providers.keys()) {
        lattice.served(id.as_str()).await?;
    }
    Ok(())
}

async fn create(site: &Site) -> Result<(), Report> {
    println!("\n2. a link is made");
    let link = json!({ "url": "https://example.com/a/long/way?to=go", "alias": "way" });
    println!("   POST /api/links {link}");
    let answer = site.post(&link).await?;
    println!("   {} {}", answer.status, answer.body);
    Ok(())
}

/// Follows the link, and waits until the other actor has counted that.
async fn click(site: &Site) -> Result<(), Report> {
    println!("\n3. it is followed, and another actor counts that");
    let answer = site.get("/way").await?;
    let location = answer.headers.get("location");
    let location = location.ok_or("it leads nowhere")?.to_str()?;
    println!("   GET /way: {} to {location}", answer.status);
    // The subscription of an app that was just applied may not be there yet.
    let first = async {
        while site.clicks("way").await? == 0 {
            site.get("/way").await?;
            sleep(Duration::from_millis(10)).await;
        }
        Ok::<_, Report>(())
    };
    timeout(PATIENCE, first).await??;

    site.post(&json!({ "url": "https://example.com/", "alias": "popular" }))
        .await?;
    let begun = Instant::now();
    for _ in 0..CLICKS {
        site.get("/popular").await?;
    }
    let counted = async {
        while site.clicks("popular").await? < CLICKS as u64 {
            sleep(Duration::from_millis(1)).await;
        }
        Ok::<_, Report>(())
    };
    timeout(PATIENCE, counted).await??;
    let (clicks, took) = (site.clicks("popular").await?, begun.elapsed().as_millis());
    println!("   GET /popular, {CLICKS} times: {clicks} clicks are counted after {took} ms");
    Ok(())
}

async fn refuse(site: &Site) -> Result<(), Report> {
    println!("\n4. what isn't a link of the web is refused");
    for url in [
        "javascript:alert(1)",
        "http://short.localhost/loop",
        "https://ada@example.com",
    ] {
        let answer = site.post(&json!({ "url": url })).await?;
        println!("   {url}: {} {}", answer.status, answer.body);
    }
    let answer = site.get("/nothing").await?;
    println!("   GET /nothing: {}", answer.status);
    Ok(())
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("   {line}")).collect();
    lines.join("\n")
}
