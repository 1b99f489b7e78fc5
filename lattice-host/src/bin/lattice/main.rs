//! The `lattice` command manages the hosts, apps and links of a lattice from a terminal.

mod access;
mod app;
mod call;
mod command_line;
mod dev;
mod failure;
mod get;
mod images;
mod ingress;
mod inspect;
mod key;
mod link;
mod log;
mod logs;
mod metrics;
mod new;
mod options;
mod output;
mod page;
mod programs;
mod pull;
mod push;
mod registry;
mod secret;
mod secrets;
mod see;
mod stop;
mod suggest;
mod telemetry;
mod up;
mod watch;
mod words;
mod wormhole;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use failure::Failure;
use log::Log;
use options::LatticeOptions;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// The end of the text of `--help`.
const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed
  2  the command line is wrong
  3  refused: the manifest has problems, or the request conflicts with the current state
  4  the lattice can't be reached
  5  `call`: the function returned `err(...)`
  6  `call`: the call failed, and the function did not run
  7  `call`: the call failed, and the function may have run
  8  `call`: the function ran, and failed

Results go to stdout, everything else to stderr. RUST_LOG sets the log level. An environment
variable that is empty counts as unset.";

/// Runs hosts, and declares and shows the contents of a lattice.
#[derive(Debug, Parser)]
#[command(name = "lattice", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    lattice: LatticeOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a project: an actor, a provider or an app
    #[command(subcommand)]
    New(new::New),
    /// Builds and runs a project, and again at each change, until ctrl-c
    Dev(Box<dev::Dev>),
    /// Runs a host until it receives SIGTERM or ctrl-c
    Up(Box<up::Up>),
    /// Shows the constellation in a browser, until it receives SIGTERM or ctrl-c
    Ui(page::Ui),
    /// Creates keys
    #[command(subcommand)]
    Key(key::Key),
    /// Shows what applying a manifest would do
    Plan(app::Plan),
    /// Applies an app's manifest
    Apply(app::Apply),
    /// Deletes an app and everything that it declared
    Delete(app::Delete),
    /// Lists hosts, actors, providers, links, apps or wormholes
    Get(get::Get),
    /// Adds, removes and lists links
    #[command(subcommand)]
    Link(link::LinkCommand),
    /// Opens, closes and lists wormholes, which lead requests to actors
    #[command(subcommand)]
    Wormhole(wormhole::WormholeCommand),
    /// Sets, deletes and lists secrets, which are sealed in the store
    #[command(subcommand)]
    Secret(secret::SecretCommand),
    /// Calls a function of a component
    Call(call::Call),
    /// Shows the exports and imports of a component
    Inspect(inspect::Inspect),
    /// Pushes a component to a registry
    Push(push::Push),
    /// Pulls a component from a registry
    Pull(pull::Pull),
    /// Prints every change of the constellation
    Watch(watch::Watch),
    /// Shows the logs of actors
    Logs(logs::Logs),
    /// Draws the constellation
    Graph(see::Graph),
    /// Explains why something runs or does not, and what to do next
    #[command(subcommand)]
    Explain(see::Explain),
    /// Prints completions for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

fn main() -> ExitCode {
    // First: this process may be one that a host has started for a provider.
    lattice_host::wrap_programs();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return command_line::explain(&error),
    };
    let filter = match filter(&cli.command) {
        Ok(filter) => filter,
        Err(failure) => return refused(&failure),
    };
    let telemetry = match &cli.command {
        Command::Up(up) => up.telemetry.start(),
        _ => Ok(None),
    };
    let (layer, guard) = match telemetry {
        Ok(telemetry) => telemetry.unzip(),
        Err(failure) => return refused(&failure),
    };
    let log = Log::start(filter, layer);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(run(cli));
            if let Some(guard) = guard
                && let Err(error) = runtime.block_on(guard.shutdown(telemetry::LAST))
            {
                log.line(format!("warning: {error}\n").into_bytes());
            }
            done
        }
        Err(error) => Err(Failure::failed("the runtime can't be started", &error)),
    };
    let code = match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(message) = failure.message() {
                log.line(format!("error: {message}\n").into_bytes());
            }
            failure.exit_code()
        }
    };
    log.flush();
    code
}

/// Says why the command can't run, before there is a log.
fn refused(failure: &Failure) -> ExitCode {
    output::note(&format!("error: {failure}"));
    failure.exit_code()
}

/// Returns the filter of the log: `RUST_LOG`, or else the default of the command.
fn filter(command: &Command) -> Result<EnvFilter, Failure> {
    let by_default = match command {
        // The client's own lines repeat what this program logs, and those of actors are printed
        // by `lattice dev`.
        Command::Up(_) => "info,async_nats=off",
        Command::Dev(_) => "warn,async_nats=off,lattice::actor=off",
        _ => "error",
    };
    let directives = options::variable("RUST_LOG")?;
    let directives = directives.as_deref().unwrap_or(by_default);
    EnvFilter::try_new(directives)
        .map_err(|error| Failure::Usage(format!("RUST_LOG isn't a valid filter: {error}")))
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let lattice = &cli.lattice;
    match cli.command {
        Command::New(new) => new.run(),
        Command::Dev(dev) => dev.run(lattice).await,
        Command::Up(up) => up.run(lattice).await,
        Command::Ui(page) => page.run(lattice).await,
        Command::Key(key) => key.run(),
        Command::Plan(plan) => plan.run(lattice).await,
        Command::Apply(apply) => apply.run(lattice).await,
        Command::Delete(delete) => delete.run(lattice).await,
        Command::Get(get) => get.run(lattice).await,
        Command::Link(link) => link.run(lattice).await,
        Command::Wormhole(wormhole) => wormhole.run(lattice).await,
        Command::Secret(secret) => secret.run(lattice).await,
        Command::Call(call) => call.run(lattice).await,
        Command::Inspect(inspect) => inspect.run().await,
        Command::Push(push) => push.run().await,
        Command::Pull(pull) => pull.run().await,
        Command::Watch(watch) => watch.run(lattice).await,
        Command::Logs(logs) => logs.run(lattice).await,
        Command::Graph(graph) => graph.run(lattice).await,
        Command::Explain(explain) => explain.run(lattice).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "lattice", &mut script);
            output::print(&String::from_utf8_lossy(&script))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn common_options_are_accepted_before_and_after_the_command() {
        for line in [
            ["lattice", "--lattice", "prod", "get", "hosts"],
            ["lattice", "get", "hosts", "--lattice", "prod"],
        ] {
            let cli = Cli::try_parse_from(line).expect("parses");
            assert_eq!(cli.lattice.lattice, "prod");
        }
    }

    #[test]
    fn two_locations_of_one_lattice_are_refused() {
        let line = ["lattice", "--nats", "a", "--data", "b", "get", "hosts"];
        let error = Cli::try_parse_from(line).expect_err("refused");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a_label_needs_a_value() {
        let parse = |label| Cli::try_parse_from(["lattice", "up", "--label", label]);
        assert!(parse("zone=a").is_ok());
        assert!(parse("zone").is_err());
        assert!(parse("=a").is_err());
    }
}
