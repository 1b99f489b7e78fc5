//! One round: the project is read, built, checked and swapped in.

use super::{
    build::Builder,
    declared::{Declared, DeclaredError},
    parts::{self, Part, PartsError, Recipe},
    place::Place,
    session::Session,
    sources::{Change, Changes, Sources, SourcesError},
    stage::Stage,
    swap::swap,
    tool::ToolError,
};
use crate::{
    app::pinned,
    failure::Failure,
    output::{in_one_line, note},
};
use lattice_core::{app::Plan, error::chain};
use lattice_host::artifact::Artifacts;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// The files that say which parts there are.
const MANIFESTS: [&str; 3] = ["Cargo.toml", "package.json", "pyproject.toml"];

/// Why a round has not put a new version into service. The old one goes on.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoundError {
    #[error(transparent)]
    Parts(#[from] PartsError),
    #[error(transparent)]
    Declared(#[from] DeclaredError),
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error(transparent)]
    Swap(#[from] Failure),
}

impl RoundError {
    /// Returns whether no change of a source can mend it.
    pub(super) fn is_missing_tool(&self) -> bool {
        match self {
            Self::Tool(error) | Self::Parts(PartsError::Tool(error)) => error.is_missing_tool(),
            Self::Declared(DeclaredError::Nothing(_)) => true,
            _ => false,
        }
    }

    /// Returns the reason for people.
    pub(super) fn reason(&self) -> String {
        match self {
            // It is a text for people, with all of its causes.
            Self::Swap(failure) => failure.message().unwrap_or_default(),
            Self::Declared(DeclaredError::Load(error)) => chain(error),
            error => chain(error),
        }
    }
}

/// How a build has ended that didn't fail.
#[derive(Debug)]
pub(super) enum Built {
    /// All that had changed is built.
    All,
    /// It went on for long, and these changes have ended it. Or sources can't be watched any more.
    Overtaken(Result<Changes, SourcesError>),
}

/// A project as it was last read, and what was built of it.
#[derive(Debug)]
pub(super) struct Work {
    place: Place,
    parts: Vec<Part>,
    /// Whether the parts are those that there are: reading them didn't fail.
    is_described: bool,
    builder: Builder,
    stage: Stage,
    /// The parts, by their outputs, whose sources have changed since they were last built.
    stale: BTreeSet<PathBuf>,
    /// The files that count although they aren't source.
    named: BTreeSet<PathBuf>,
}

/// A project that was read: what it declares.
#[derive(Debug)]
pub(super) struct Reading {
    declared: Declared,
}

impl Work {
    /// Starts with nothing.
    pub(super) fn new(place: Place, stage: Stage) -> Self {
        Self {
            place,
            parts: Vec::new(),
            is_described: false,
            builder: Builder::default(),
            stage,
            stale: BTreeSet::new(),
            named: BTreeSet::new(),
        }
    }

    /// Returns the folder of the project.
    pub(super) fn root(&self) -> &Path {
        &self.place.root
    }

    /// Returns the folder with the copies of what is built.
    pub(super) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Reads what the project declares, and which of its parts have to be built after these
    /// changes, or all of them at first.
    ///
    /// # Errors
    /// Fails with a [`RoundError`].
    pub(super) async fn read(&mut self, changes: Option<&Changes>) -> Result<Reading, RoundError> {
        let root = self.place.root.clone();
        // What has changed is to be built later, even if this round ends early.
        if let Some(changes) = changes {
            self.outdate(changes);
            self.is_described &= !changes.iter().any(describes);
        }
        if !self.is_described || self.parts.is_empty() {
            self.is_described = false;
            let parts = parts::find(&root).await?;
            let new = parts.iter().filter(|part| !self.parts.contains(part));
            self.stale.extend(new.map(|part| part.output.clone()));
            self.parts = parts;
            self.is_described = true;
        }
        let declared = Declared::load(self.place.manifest())?;
        // Fails if there is nothing at all.
        declared.parts(&root, &self.parts)?;
        Ok(Reading { declared })
    }

    /// Marks the parts that have to be built again.
    fn outdate(&mut self, changes: &Changes) {
        let sources: Vec<&Path> = changes
            .paths()
            .filter(|path| !self.named.contains(*path))
            .collect();
        // What is in no part may be part of each, such as a folder with WIT.
        let is_in = |path: &Path, part: &Part| path.starts_with(sources_of(part));
        let is_shared = |path: &Path| !self.parts.iter().any(|part| is_in(path, part));
        let all = sources.iter().any(|path| is_shared(path));
        let touched = self
            .parts
            .iter()
            .filter(|part| all || sources.iter().any(|path| is_in(path, part)));
        let touched: Vec<PathBuf> = touched.map(|part| part.output.clone()).collect();
        self.stale.extend(touched);
    }

    /// Returns the files whose changes count although they aren't source: the manifest, and what it
    /// names and no part builds.
    pub(super) fn name_files(&mut self, reading: &Reading) -> BTreeSet<PathBuf> {
        self.named = reading.declared.prebuilt(&self.parts);
        let manifest = self.place.manifest().map(Path::to_path_buf);
        self.named.extend(manifest);
        self.named.clone()
    }

    /// Returns whether programs belong to the app, which need a lattice that processes can join.
    pub(super) fn has_programs(&self, reading: &Reading) -> bool {
        reading.declared.has_programs(&self.parts)
    }

    /// Returns whether the app has providers.
    pub(super) fn has_providers(&self, reading: &Reading) -> bool {
        reading.declared.has_providers(&self.parts)
    }

    /// Builds what has changed. A change ends a build that has gone on for `long`, with all that it
    /// has started: it may hang.
    ///
    /// # Errors
    /// Fails with a [`RoundError`]. What was built before a part that fails isn't built again.
    ///
    /// # Cancel safety
    /// Dropping the future kills the tools that it runs.
    pub(super) async fn build(
        &mut self,
        reading: &Reading,
        sources: &mut Sources,
        long: Duration,
    ) -> Result<Built, RoundError> {
        let overtaken = async {
            sleep(long).await;
            // Tools may have written their own by now, and may still do so.
            sources.accept_locks();
            sources.changed_besides_locks().await
        };
        tokio::select! {
            built = self.build_all(reading) => built.map(|()| Built::All),
            changes = overtaken => Ok(Built::Overtaken(changes)),
        }
    }

    async fn build_all(&mut self, reading: &Reading) -> Result<(), RoundError> {
        let wanted = reading.declared.parts(&self.place.root, &self.parts)?;
        let is_due = |part: &&Part| self.stale.contains(&part.output) || !part.output.is_file();
        let due: Vec<&Part> = wanted.into_iter().filter(is_due).collect();
        let stale = &mut self.stale;
        let report = |parts: &[&Part], took: Duration| {
            for part in parts {
                stale.remove(&part.output);
            }
            let names: Vec<&str> = parts.iter().map(|part| &*part.name).collect();
            step("build", &names.join(", "), took);
        };
        Ok(self.builder.build(&due, report).await?)
    }

    /// Checks the app as it was built, and swaps it in. Returns what was changed.
    ///
    /// # Errors
    /// Fails with a [`RoundError`]. What was in service before goes on.
    pub(super) async fn swap_in(
        &mut self,
        reading: Reading,
        session: &Session,
        artifacts: &Artifacts,
    ) -> Result<Plan, RoundError> {
        let begun = Instant::now();
        let root = &self.place.root;
        let app = reading.declared.app(root, &self.parts, &mut self.stage)?;
        let told = |text: &str| note(&format!("  note: {}", in_one_line(text)));
        let app = pinned(app, artifacts, told).await?;
        let name = app.manifest().name.to_string();
        step("check", &name, begun.elapsed());
        let begun = Instant::now();
        let plan = swap(&session.lattice, &session.host, &app).await?;
        self.stage.serve();
        step("swap", &name, begun.elapsed());
        Ok(plan)
    }
}

/// Whether a change may be one of which parts there are: of a file that says so, or of which files
/// there are in Rust, since cargo finds libraries and programs by their files.
fn describes((path, change): (&Path, Change)) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let is_in_rust = path.extension().is_some_and(|ending| ending == "rs");
    name.is_some_and(|name| MANIFESTS.contains(&name)) || (is_in_rust && change != Change::Changed)
}

/// Returns the folder whose files a part is built from. Packages of a workspace depend on each
/// other, and cargo knows which of them to build.
fn sources_of(part: &Part) -> &Path {
    match &part.recipe {
        Recipe::Cargo(workspace) => workspace,
        Recipe::Npm | Recipe::Program(_) => &part.folder,
    }
}

/// Prints how long a step took.
fn step(what: &str, of: &str, took: Duration) {
    let took = took.as_secs_f64();
    note(&format!("  {what:<5}  {took:>7.2} s  {}", in_one_line(of)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;
    use tokio::time::timeout;

    /// No test takes so long.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A folder for a project, and its full path.
    fn folder() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("its path");
        (folder, root)
    }

    fn work(root: &Path) -> Work {
        let place = Place::of(root).expect("a project");
        Work::new(place, Stage::new().expect("a folder"))
    }

    fn write(root: &Path, file: &str, text: &str) -> Changes {
        let path = root.join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, text).expect("written");
        Changes::of(path, Change::Added)
    }

    /// Writes an actor that a script builds.
    fn actor(root: &Path, name: &str, script: &str) {
        let described = format!(
            "[tool.lattice]\nbuild = [\"sh\", \"build.sh\"]\ncomponent = \"{name}.wasm\"\n"
        );
        write(root, &format!("{name}/pyproject.toml"), &described);
        write(root, &format!("{name}/build.sh"), script);
    }

    #[tokio::test]
    async fn a_change_ends_a_build_that_goes_on_for_long() {
        let (_folder, root) = folder();
        let hangs = "sleep 1000 &\necho $! > pid.tmp\nwait\n";
        actor(&root, "py", hangs);
        let mut sources = Sources::watch(&root).expect("watched");
        let mut work = work(&root);
        let reading = work.read(None).await.expect("one part");
        let pid = || fs::read_to_string(root.join("py/pid.tmp")).unwrap_or_default();
        let change = async {
            while !pid().ends_with('\n') {
                sleep(Duration::from_millis(5)).await;
            }
            write(&root, "py/build.sh", "touch py.wasm\n");
        };
        let build = work.build(&reading, &mut sources, Duration::ZERO);
        let both = async { tokio::join!(build, change).0 };
        let built = timeout(PATIENCE, both).await.expect("it doesn't go on");
        let Ok(Built::Overtaken(Ok(changes))) = built else {
            panic!("{built:?}");
        };
        assert_eq!(changes.shown(&root), "py/build.sh");
        let stat = format!("/proc/{}/stat", pid().trim());
        let is_running = || {
            let stat = fs::read_to_string(&stat).unwrap_or_default();
            // One that was killed may stay a zombie for a moment.
            let state = stat.rsplit_once(") ").map_or("Z", |(_, rest)| rest);
            !state.starts_with('Z')
        };
        let ended = async {
            while is_running() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, ended).await.expect("it is killed");

        let reading = work.read(Some(&changes)).await.expect("one part");
        let built = work.build(&reading, &mut sources, PATIENCE).await;
        assert!(matches!(built, Ok(Built::All)), "{built:?}");
        assert!(root.join("py/py.wasm").is_file());
    }

    #[tokio::test]
    async fn a_lock_that_a_tool_writes_late_does_not_end_its_build() {
        let (_folder, root) = folder();
        // The pauses are for a build that the lock would end: it would have ended by then.
        let slow = "sleep 0.1\necho {} > package-lock.json\nsleep 0.3\ntouch py.wasm\n";
        actor(&root, "py", slow);
        let mut sources = Sources::watch(&root).expect("watched");
        let mut work = work(&root);
        let reading = work.read(None).await.expect("one part");
        let build = work.build(&reading, &mut sources, Duration::ZERO);
        let built = timeout(PATIENCE, build).await.expect("it ends");
        assert!(matches!(built, Ok(Built::All)), "{built:?}");
        assert!(root.join("py/py.wasm").is_file());
    }

    #[tokio::test]
    async fn what_is_built_is_not_built_again_because_another_part_fails() {
        let (_folder, root) = folder();
        actor(&root, "a", "echo built >> times.tmp\ntouch a.wasm\n");
        actor(&root, "b", "exit 1\n");
        let mut sources = Sources::watch(&root).expect("watched");
        let mut work = work(&root);
        let reading = work.read(None).await.expect("two parts");
        let built = work.build(&reading, &mut sources, PATIENCE).await;
        built.expect_err("the second one fails");
        let changes = write(&root, "b/build.sh", "touch b.wasm\n");
        let reading = work.read(Some(&changes)).await.expect("two parts");
        let built = work.build(&reading, &mut sources, PATIENCE).await;
        assert!(matches!(built, Ok(Built::All)), "{built:?}");
        let times = || fs::read_to_string(root.join("a/times.tmp")).expect("built");
        assert_eq!(times(), "built\n");
        // Its own change is still one to build for.
        let changes = write(&root, "a/more.py", "");
        let reading = work.read(Some(&changes)).await.expect("two parts");
        let built = work.build(&reading, &mut sources, PATIENCE).await;
        assert!(matches!(built, Ok(Built::All)), "{built:?}");
        assert_eq!(times(), "built\nbuilt\n");
    }

    #[tokio::test]
    async fn parts_that_could_not_be_read_are_read_again_at_any_change() {
        let (_folder, root) = folder();
        let write = |file: &str, text: &str| write(&root, file, text);
        write(
            "py/pyproject.toml",
            "[tool.lattice]\nbuild = [\"make\"]\ncomponent = \"py.wasm\"\n",
        );
        let mut work = work(&root);
        work.read(None).await.expect("one part");
        assert_eq!(work.parts.len(), 1);

        // A package without its library, which comes later.
        let package = "[package]\nname = \"b\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
        let changes = write("b/Cargo.toml", package);
        let error = work.read(Some(&changes)).await.expect_err("no library");
        assert!(error.reason().contains("cargo can't read"), "{error}");
        let changes = write("notes.txt", "unrelated");
        assert!(work.read(Some(&changes)).await.is_err(), "no library yet");
        let changes = write("b/src/lib.rs", "");
        work.read(Some(&changes)).await.expect("two parts");
        assert_eq!(work.parts.len(), 2);
    }

    #[test]
    fn only_some_changes_are_of_which_parts_there_are() {
        for (path, change, is_one) in [
            ("a/Cargo.toml", Change::Changed, true),
            ("package.json", Change::Removed, true),
            ("a/src/main.rs", Change::Added, true),
            ("a/src/main.rs", Change::Changed, false),
            ("a/index.js", Change::Added, false),
        ] {
            assert_eq!(describes((Path::new(path), change)), is_one, "{path}");
        }
    }
}
