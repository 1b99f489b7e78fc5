//! `lattice dev`.

mod build;
mod child;
mod declared;
mod ignore;
mod logs;
mod parts;
mod place;
mod round;
mod server;
mod session;
mod sources;
mod stage;
mod swap;
mod tool;

use crate::{
    access::AccessOptions,
    failure::Failure,
    log,
    options::LatticeOptions,
    output::{in_one_line, note, on_one_line, print},
    page::PageOptions,
    registry::Registries,
    stop::StopSignal,
};
use clap::Args;
use lattice_core::{
    app::Plan,
    error::chain,
    name::{LatticeName, WormholeId},
};
use lattice_host::{artifact::Artifacts, ui::UiServer};
use place::Place;
use round::{Built, Reading, RoundError, Work};
use server::Server;
use session::{Session, Settings};
use sources::{Changes, Sources, SourcesError};
use stage::Stage;
use std::{
    collections::BTreeSet,
    fs,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    time::Duration,
};

const EXAMPLES: &str = "Examples:
  lattice dev                       # the project in this folder
  lattice dev shop/app.toml         # the app of a manifest
  lattice dev --no-open             # and opens no browser

A project is an `app.toml` with the actors and programs that it names and that are built below its
folder, or, without one, every actor and provider below the folder: packages of cargo, a
`package.json` with `lattice.component`, a `pyproject.toml` with `[tool.lattice]`. `lattice new`
makes them.

The lattice is in this process, and ends with it. LATTICE_NATS, LATTICE_KEY and other variables that
name a lattice aren't used. An app with programs gets a nats-server of its own.";

/// How long calls may take to finish at the end.
const GRACE: Duration = Duration::from_secs(2);
/// The folder of a project for the files of its providers.
const DATA: &str = ".lattice/data";
/// How long a build may go on before a change ends it. What was begun before is completed, so that
/// somebody who saves all the time sees something.
const LONG: Duration = Duration::from_mins(1);

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Dev {
    /// The folder of the project, or the app's manifest
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Serves the wormholes at this address. The default is `127.0.0.1:8080`, or another port if
    /// that is in use
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    #[command(flatten)]
    page: PageOptions,
    /// Serves no page. Without this and `--ui`, it is served at `127.0.0.1:9119`, or another port
    /// if that is in use
    #[arg(long, conflicts_with_all = ["ui", "ui_read_only", "ui_public", "ui_host"])]
    no_ui: bool,
    /// Doesn't open the page in a browser, which is done at a terminal
    #[arg(long)]
    no_open: bool,
    // Its files are in `.lattice/data` of the project by default.
    #[command(flatten)]
    access: AccessOptions,
    #[command(flatten)]
    registries: Registries,
}

impl Dev {
    /// Builds and runs a project, and again at each change, until it is asked to stop.
    pub(crate) async fn run(self, options: &LatticeOptions) -> Result<(), Failure> {
        let Self {
            folder,
            http,
            page,
            no_ui,
            no_open,
            access,
            registries,
        } = self;
        let wrong = |error: &(dyn std::error::Error + 'static)| Failure::Usage(chain(error));
        options.refuse_location("lattice dev")?;
        let name = LatticeName::new(&options.lattice).map_err(|error| wrong(&error))?;
        let place = Place::of(&folder).map_err(|error| wrong(&error))?;
        let page = if no_ui { page } else { page.or_usual() };
        page.check()?;
        let has_files = access.names_files()?;
        let mut access = access.access()?;
        let data = place.root.join(DATA);
        if !has_files {
            access = access.folder(data.clone());
        }
        let artifacts = registries.artifacts(None)?;
        // Listens for signals before it starts anything that would have to be stopped.
        let mut stop = StopSignal::listen()
            .map_err(|error| Failure::failed("can't listen for signals", &error))?;
        let stage = Stage::new()
            .map_err(|error| Failure::failed("the folder for copies can't be made", &error))?;
        let mut sources = Sources::watch(&place.root).map_err(|error| failed(&error))?;
        let mut work = Work::new(place, stage);
        let settings = Settings {
            name,
            http,
            access,
            artifacts: artifacts.clone(),
        };
        let begun = async {
            let first = first_of(&mut work).await?;
            let session = begin(settings, &work, first.as_ref().ok()).await?;
            let page = page.serve(&session.lattice, &artifacts).await?;
            if let Some(page) = &page {
                show_page(page, !no_open && io::stdout().is_terminal())?;
            }
            Ok::<_, Failure>((session, page, first))
        };
        let (session, page, first) = tokio::select! {
            begun = begun => begun?,
            () = stop.asked() => return Ok(()),
        };
        let mut project = Project {
            session: &session,
            data: (!has_files).then_some(&*data),
            artifacts: &artifacts,
            work: &mut work,
            sources: &mut sources,
            shown: BTreeSet::new(),
            serves: false,
        };
        let ended = tokio::select! {
            ended = project.follow(first) => ended,
            () = stop.asked() => Ok(()),
        };
        tokio::select! {
            () = end(session, page) => {}
            // What is asked for twice is done at once.
            () = stop.asked() => {}
        }
        ended
    }
}

/// Reads a project for the first time. Fails if no change of a source can mend what is wrong.
async fn first_of(work: &mut Work) -> Result<Result<Reading, RoundError>, Failure> {
    match work.read(None).await {
        Ok(reading) => Ok(Ok(reading)),
        Err(error) => not_mended(error).map(Err),
    }
}

/// Starts the lattice, with a server if programs have to join it.
async fn begin(
    settings: Settings,
    work: &Work,
    first: Option<&Reading>,
) -> Result<Session, Failure> {
    let server = if first.is_some_and(|first| work.has_programs(first)) {
        Some(Server::start().await.map_err(|error| failed(&error))?)
    } else {
        None
    };
    let session = Session::start(settings, server, work.stage()).await?;
    log::joined();
    note(&format!(
        "{} is run, and again at each change; ctrl-c ends it",
        on_one_line(&work.root().display().to_string())
    ));
    if let Some(server) = &session.server {
        note(&format!(
            "other commands reach its lattice with `--nats {} --key-file {}`",
            server.url,
            on_one_line(&server.key_file.display().to_string())
        ));
    }
    Ok(session)
}

/// Prints where the page is, and opens it in a browser if that is wanted.
fn show_page(page: &UiServer, is_to_open: bool) -> Result<(), Failure> {
    print(&format!("page  {}\n", page.url()))?;
    if is_to_open && let Err(error) = open::that_detached(page.url()) {
        note(&format!("no browser could be started: {error}"));
    }
    Ok(())
}

/// Stops the host, and then the page, which shows that meanwhile.
async fn end(session: Session, page: Option<UiServer>) {
    session.stop(GRACE).await;
    if let Some(page) = page {
        // It was about to end anyway.
        let _ = page.shutdown().await;
    }
}

/// Returns the error of the first round, if a change of a source may mend it.
fn not_mended(error: RoundError) -> Result<RoundError, Failure> {
    if error.is_missing_tool() {
        Err(Failure::Failed(error.reason()))
    } else {
        Ok(error)
    }
}

fn make_data(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| {
        let what = format!(
            "the folder `{}` for the files of providers can't be made; name another one with --provider-files",
            folder.display()
        );
        Failure::failed(what, &error)
    })
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::Failed(chain(error))
}

/// How a round has ended that didn't fail.
enum Ended {
    /// This was changed.
    Swapped(Plan),
    /// Its build went on for long, and these changes have ended it. Or sources can't be watched any
    /// more.
    Overtaken(Result<Changes, SourcesError>),
}

/// A project that runs.
struct Project<'a> {
    session: &'a Session,
    /// The folder for the files of providers, unless others were named.
    data: Option<&'a Path>,
    artifacts: &'a Artifacts,
    work: &'a mut Work,
    sources: &'a mut Sources,
    /// The addresses of wormholes that were printed.
    shown: BTreeSet<(WormholeId, String)>,
    /// Whether a version was put into service.
    serves: bool,
}

impl Project<'_> {
    /// Swaps in what was read first, and again what has changed. Changes during a round are the
    /// next one.
    async fn follow(&mut self, first: Result<Reading, RoundError>) -> Result<(), Failure> {
        let mut reading = first;
        let mut is_first = true;
        loop {
            let overtaken = match self.round(reading).await {
                Ok(Ended::Overtaken(changes)) => Some(changes),
                Ok(Ended::Swapped(plan)) => {
                    self.show(&plan)?;
                    None
                }
                Err(error) => {
                    let error = if is_first { not_mended(error)? } else { error };
                    self.report(&error);
                    None
                }
            };
            is_first = false;
            let changes = if let Some(changes) = overtaken {
                changes
            } else {
                self.sources.accept_locks();
                self.sources.changed().await
            };
            let changes = changes.map_err(|error| failed(&error))?;
            let shown = changes.shown(self.work.root());
            note(&format!("changed: {}", on_one_line(&shown)));
            reading = self.work.read(Some(&changes)).await;
        }
    }

    async fn round(&mut self, reading: Result<Reading, RoundError>) -> Result<Ended, RoundError> {
        let reading = reading?;
        let named = self.sources.name(self.work.name_files(&reading));
        named.map_err(|error| failed(&error))?;
        if self.session.server.is_none() && self.work.has_programs(&reading) {
            return Err(RoundError::Swap(Failure::Refused(
                "the app has a program now, which needs a lattice on a server; end `lattice dev` and start it again".to_owned(),
            )));
        }
        if let Some(data) = self.data
            && self.work.has_providers(&reading)
        {
            make_data(data)?;
        }
        let built = self.work.build(&reading, self.sources, LONG);
        if let Built::Overtaken(changes) = built.await? {
            return Ok(Ended::Overtaken(changes));
        }
        let (session, artifacts) = (self.session, self.artifacts);
        let plan = self.work.swap_in(reading, session, artifacts);
        plan.await.map(Ended::Swapped)
    }

    /// Prints what has changed, and where new wormholes are reached.
    fn show(&mut self, plan: &Plan) -> Result<(), Failure> {
        self.serves = true;
        if plan.is_empty() {
            note("nothing in it has changed");
        } else {
            for line in plan.to_string().lines().skip(1) {
                note(&in_one_line(line));
            }
        }
        let open = self.session.wormholes();
        for (wormhole, url) in open.difference(&self.shown) {
            print(&format!("{wormhole}  {url}\n"))?;
        }
        self.shown = open;
        Ok(())
    }

    /// Prints why nothing was swapped in.
    fn report(&self, error: &RoundError) {
        let goes_on = if self.serves {
            "the version before goes on"
        } else {
            "it is tried again at the next change"
        };
        note(&format!("error: {}\n{goes_on}", error.reason()));
    }
}
