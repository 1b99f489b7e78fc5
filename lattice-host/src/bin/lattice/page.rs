//! `lattice ui`, and the options of `lattice up` for the page.

use crate::{
    app,
    failure::Failure,
    log,
    options::{LatticeOptions, secret_variable},
    output::print,
    registry::Registries,
    stop::StopSignal,
};
use clap::Args;
use futures_util::{FutureExt as _, future::BoxFuture};
use lattice_core::{Lattice, app::App, sync::Mutex};
use lattice_host::{
    artifact::Artifacts,
    ui::{self, Images, Pinned, UiError, UiServer},
};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
};

/// Variable with the token, in place of a random one.
const TOKEN: &str = "LATTICE_UI_TOKEN";

/// Where it is served if nothing else is asked for.
const USUAL: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 9119);

const EXAMPLES: &str = "Examples:
  lattice ui --nats nats://one:4222   # prints the address to open
  lattice ui 127.0.0.1:0 --read-only  # to look at it only, at a port that is free

The page may do what this command line may do. Its address ends with a token, which is another one
at each start; LATTICE_UI_TOKEN sets it.";

/// Where a host serves the page. It serves none by default.
#[derive(Debug, Args)]
#[command(next_help_heading = "Page")]
pub(crate) struct PageOptions {
    /// Shows the lattice in a browser: serves the page at this address, such as `127.0.0.1:9119`.
    /// The log has the address to open, with its token [env: `LATTICE_UI_TOKEN`, which sets the
    /// token]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    ui: Option<SocketAddr>,
    /// The page can't change anything
    #[arg(long, requires = "ui")]
    ui_read_only: bool,
    /// Lets the page be served at an address that other machines reach. Put something in front of
    /// it that speaks TLS
    #[arg(long, requires = "ui")]
    ui_public: bool,
    /// A host name under which browsers reach the page. May be repeated
    #[arg(long, value_name = "NAME", requires = "ui")]
    ui_host: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Ui {
    /// Where to serve the page
    #[arg(default_value = "127.0.0.1:9119", value_parser = address)]
    address: SocketAddr,
    /// The page can't change anything
    #[arg(long)]
    read_only: bool,
    /// Lets the page be served at an address that other machines reach. Put something in front of
    /// it that speaks TLS
    #[arg(long)]
    public: bool,
    /// A host name under which browsers reach the page. May be repeated
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    #[command(flatten)]
    registries: Registries,
}

impl PageOptions {
    /// Serves the page at the usual address, or at a port that is free if that is in use, unless an
    /// address was given.
    pub(crate) fn or_usual(mut self) -> Self {
        let address = self.ui.unwrap_or_else(|| {
            let port = TcpListener::bind(USUAL).map_or(0, |_| USUAL.1);
            SocketAddr::from((USUAL.0, port))
        });
        self.ui = Some(address);
        self
    }

    /// Checks what doesn't need the lattice.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match &self.ui {
            Some(address) => check(*address, self.ui_public, "--ui-public"),
            None => Ok(()),
        }
    }

    /// Serves the page, if an address was given.
    pub(crate) async fn serve(
        &self,
        lattice: &Lattice,
        artifacts: &Artifacts,
    ) -> Result<Option<UiServer>, Failure> {
        let Some(address) = self.ui else {
            return Ok(None);
        };
        let page = page(lattice, artifacts, &self.ui_host)?;
        let page = if self.ui_read_only {
            page.read_only()
        } else {
            page
        };
        let page = if self.ui_public {
            page.any_address()
        } else {
            page
        };
        let page = page.serve(address).await.map_err(failed)?;
        tracing::info!("the page is at {}", page.url());
        Ok(Some(page))
    }
}

impl Ui {
    /// Joins the lattice as a member that runs nothing, and serves the page.
    pub(crate) async fn run(self, options: &LatticeOptions) -> Result<(), Failure> {
        check(self.address, self.public, "--public")?;
        let mut stop = StopSignal::listen()
            .map_err(|error| Failure::failed("can't listen for signals", &error))?;
        let artifacts = self.registries.artifacts(None)?;
        let lattice = tokio::select! {
            lattice = options.open_early() => lattice?,
            () = stop.asked() => return Ok(()),
        };
        log::joined();
        let page = page(&lattice, &artifacts, &self.host)?;
        let page = if self.read_only {
            page.read_only()
        } else {
            page
        };
        let page = if self.public {
            page.any_address()
        } else {
            page
        };
        let page = page.serve(self.address).await.map_err(failed)?;
        print(&format!("{}\n", page.url()))?;
        stop.asked().await;
        page.shutdown().await;
        Ok(())
    }
}

/// Returns the page with what both commands have in common.
fn page(lattice: &Lattice, artifacts: &Artifacts, hosts: &[String]) -> Result<ui::Ui, Failure> {
    let page = ui::Ui::new(lattice).images(Arc::new(Resolver(artifacts.clone())));
    let page = match secret_variable(TOKEN)? {
        Some(token) => page.token(token),
        None => page,
    };
    Ok(hosts.iter().fold(page, ui::Ui::host_name))
}

/// Refuses an address that other machines reach, before anything is started.
fn check(address: SocketAddr, is_allowed: bool, option: &str) -> Result<(), Failure> {
    if is_allowed || address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    let port = address.port();
    Err(Failure::Usage(format!(
        "other machines can reach the page at {address}; serve it at `127.0.0.1:{port}`, or allow that with {option}, behind something that speaks TLS"
    )))
}

fn failed(error: UiError) -> Failure {
    match error {
        UiError::BadToken => Failure::Usage(format!("{TOKEN}: {error}")),
        UiError::BadHostName { .. } => Failure::Usage(error.to_string()),
        error => Failure::failed("the page isn't served", &error),
    }
}

/// Parses an address of this machine. `localhost` is IPv4, as browsers try it too.
fn address(text: &str) -> Result<SocketAddr, String> {
    let numeric = text
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"));
    let numeric = numeric.as_deref().unwrap_or(text);
    numeric.parse().map_err(|_| {
        "it isn't an address with a port; write it as `127.0.0.1:9119` or `[::1]:9119`".to_owned()
    })
}

/// Resolves the images of manifests as `lattice apply` does.
struct Resolver(Artifacts);

impl Images for Resolver {
    fn pin(&self, app: App) -> BoxFuture<'_, Result<Pinned, String>> {
        async move {
            let notes = Mutex::new(Vec::new());
            let note = |note: &str| notes.lock().push(note.to_owned());
            match app::pinned(app, &self.0, note).await {
                Ok(app) => Ok(Pinned {
                    app,
                    notes: std::mem::take(&mut *notes.lock()),
                }),
                Err(failure) => Err(failure.to_string()),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cli;
    use clap::Parser as _;

    #[test]
    fn an_address_has_a_port() {
        for (text, parsed) in [
            ("127.0.0.1:9119", "127.0.0.1:9119"),
            ("localhost:80", "127.0.0.1:80"),
            ("[::1]:0", "[::1]:0"),
        ] {
            assert_eq!(address(text).expect(text).to_string(), parsed);
        }
        for text in [
            "",
            "9119",
            "127.0.0.1",
            ":9119",
            "localhost",
            "http://127.0.0.1:9119",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn other_machines_reach_the_page_only_if_they_may() {
        for (text, is_own) in [
            ("127.0.0.1:1", true),
            ("127.3.4.5:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.168.1.1:1", false),
        ] {
            let address = address(text).expect("an address");
            assert_eq!(check(address, false, "--public").is_ok(), is_own, "{text}");
            assert_eq!(check(address, true, "--public"), Ok(()), "{text}");
        }
        let refused = check(
            address("0.0.0.0:9119").expect("an address"),
            false,
            "--ui-public",
        );
        let message = refused.expect_err("refused").to_string();
        assert!(
            message.contains("`127.0.0.1:9119`") && message.contains("--ui-public"),
            "{message}"
        );
    }

    #[test]
    fn options_of_the_page_need_the_page() {
        let parse = |options: &[&str]| Cli::try_parse_from(["lattice", "up"].iter().chain(options));
        assert!(parse(&["--ui", "127.0.0.1:0", "--ui-read-only", "--ui-host", "a"]).is_ok());
        assert!(parse(&["--ui-read-only"]).is_err());
        assert!(parse(&["--ui-public"]).is_err());
        assert!(parse(&["--ui", "everywhere"]).is_err());
    }
}
