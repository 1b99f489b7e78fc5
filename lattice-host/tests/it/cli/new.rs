//! `lattice new`: each project builds and passes its tests with the commands in its README, as far
//! as the tools are there. The other tests of projects run them: `dev.rs` an actor in Rust,
//! `dev/programs.rs` a provider, and `dev/apps.rs` apps in Python and JavaScript.
//!
//! Actors that are made alone in Python and JavaScript are built only in ignored tests, since the
//! actor of an app is built by the same tools from the same files. What it has more is one import,
//! which a test beside the templates checks. What each says is tested by its own tests. `sh
//! .ci/nextest.sh --run-ignored only cli::new` runs the ignored ones.

use super::{bare, of_the_root, text};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

/// A new project, in a folder of its own.
struct Project {
    _folder: TempDir,
    root: PathBuf,
    said: String,
}

impl Project {
    fn new(kind: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut new = bare();
        new.arg("new").args(kind).arg("--sdk").arg(of_the_root(""));
        let said = ran(new.arg("--in").arg(folder.path()));
        Self {
            root: folder.path().join(kind[1]),
            _folder: folder,
            said,
        }
    }

    /// Returns a command in the project.
    fn command(&self, line: &str) -> Command {
        let mut words = line.split(' ');
        let mut command = clean(words.next().expect("a program"));
        command.args(words).current_dir(&self.root);
        command
    }

    /// Returns cargo in the project, as `.ci/guests.sh` builds guests: offline, with the versions
    /// that they have and into their folder, where the dependencies have been built.
    fn guest(&self, line: &str) -> Command {
        let lock = of_the_root("examples/guests/Cargo.lock");
        fs::copy(lock, self.root.join("Cargo.lock")).expect("copied");
        let mut command = self.command(line);
        for_guests(&mut command);
        command
    }

    /// Returns cargo in the project, with the versions and the folder of the workspace.
    fn native(&self, line: &str) -> Command {
        let lock = of_the_root("Cargo.lock");
        fs::copy(lock, self.root.join("Cargo.lock")).expect("copied");
        let mut command = self.command(line);
        for_the_workspace(&mut command);
        command
    }

    /// Whether the project's README names a command.
    fn names(&self, command: &str) -> bool {
        let readme = fs::read_to_string(self.root.join("README.md"));
        readme.expect("a README").contains(command)
    }
}

/// Has cargo build guests as `.ci/guests.sh` does.
pub(super) fn for_guests(command: &mut Command) {
    let rustc = fs::read_to_string(of_the_root("target/guests/rustc.txt"));
    let rustc = rustc.expect("the compiler is unknown: run `make guests`");
    command
        .env("RUSTC", rustc.trim())
        .env("CARGO_TARGET_DIR", of_the_root("target/guests"))
        .env("CARGO_NET_OFFLINE", "true");
}

/// Has cargo build where the workspace is built, whose dependencies are there.
pub(super) fn for_the_workspace(command: &mut Command) {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    command
        .env(
            "CARGO_TARGET_DIR",
            target.unwrap_or_else(|| of_the_root("target")),
        )
        .env("CARGO_NET_OFFLINE", "true")
        // As the dependencies there.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3");
}

/// Returns a command without the variables with which the tests themselves were built.
pub(super) fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    cleaned(&mut command);
    command
}

/// Removes these variables.
pub(super) fn cleaned(command: &mut Command) {
    for variable in [
        "CARGO_BUILD_TARGET",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "CLIPPY_ARGS",
        "RUSTC",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTFLAGS",
    ] {
        command.env_remove(variable);
    }
}

/// Runs a command that succeeds, and returns what it prints.
pub(super) fn ran(command: &mut Command) -> String {
    let output: Output = command.output().expect("it runs");
    assert!(
        output.status.success(),
        "{command:?}\n{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

fn is_component(file: &Path) -> bool {
    let bytes = fs::read(file).unwrap_or_default();
    lattice_host::ComponentCheck::of(&bytes).is_ok()
}

#[test]
fn an_actor_in_rust_builds_and_passes_its_tests() {
    let project = Project::new(&["actor", "new-actor"]);
    assert!(project.said.contains("  lattice dev\n"), "{}", project.said);
    let (build, test) = ("cargo build --release --target wasm32-wasip2", "cargo test");
    assert!(project.names(build) && project.names(test));
    ran(&mut project.guest(build));
    let built = "target/guests/wasm32-wasip2/release/new_actor.wasm";
    assert!(is_component(&of_the_root(built)));
    ran(&mut project.native("cargo test --release"));
}

#[test]
fn an_app_builds_passes_its_tests_and_has_a_valid_manifest() {
    let project = Project::new(&["app", "new-app"]);
    let (build, test) = ("cargo build --release --target wasm32-wasip2", "cargo test");
    assert!(project.names(build) && project.names(test));
    ran(&mut project.guest(build));
    let built = of_the_root("target/guests/wasm32-wasip2/release/front.wasm");
    assert!(is_component(&built));
    // Where cargo puts it without `CARGO_TARGET_DIR`.
    let usual = project.root.join("target/wasm32-wasip2/release");
    fs::create_dir_all(&usual).expect("a folder");
    fs::copy(&built, usual.join("front.wasm")).expect("copied");
    let data = project.root.join("lattice.redb");
    let mut plan = bare();
    plan.arg("--data").arg(data).arg("plan");
    let plan = ran(plan.arg(project.root.join("app.toml")));
    assert!(plan.contains("app `new-app`: "), "{plan}");
    ran(&mut project.native("cargo test --release"));
}

#[test]
fn an_actor_in_python_or_javascript_passes_its_tests() {
    let project = Project::new(&["actor", "new-python", "--lang", "python"]);
    let test = "python3 -m unittest discover -s src";
    assert!(project.names(test));
    ran(&mut project.command(test));
    let project = Project::new(&["actor", "new-js", "--lang", "js"]);
    assert!(project.names("npm run build") && project.names("npm test"));
    if Command::new("npm").arg("--version").output().is_err() {
        return println!("skipped: there is no npm");
    }
    ran(&mut project.command("npm test"));
}

#[test]
#[ignore = "the same tool builds the same files for the app of `dev/apps.rs`, in 10 s on a free core"]
fn an_actor_in_python_builds() {
    let project = Project::new(&["actor", "new-python", "--lang", "python"]);
    let tools = of_the_root("target/tools/componentize-py/bin");
    if !tools.join("componentize-py").is_file() {
        return println!("skipped: there is no componentize-py, see `make guests`");
    }
    // As in its README and its `pyproject.toml`.
    let options = "--wit-path wit --world actor componentize app --python-path src --output";
    let mut build = project.command(&format!("componentize-py {options} new-python.wasm"));
    let paths = std::env::var("PATH").unwrap_or_default();
    build.env("PATH", format!("{}:{paths}", tools.display()));
    ran(&mut build);
    assert!(is_component(&project.root.join("new-python.wasm")));
}

/// They are built and run in `dev/apps.rs`.
#[test]
fn an_app_in_python_or_javascript_passes_its_tests() {
    let project = Project::new(&["app", "new-python-app", "--lang", "python"]);
    let test = "python3 -m unittest discover -s front/src";
    assert!(project.names(test));
    ran(&mut project.command(test));
    let project = Project::new(&["app", "new-js-app", "--lang", "js"]);
    let (install, test) = ("npm install --prefix front", "npm test --prefix front");
    assert!(project.said.contains(install) && project.names(install) && project.names(test));
    if Command::new("npm").arg("--version").output().is_err() {
        return println!("skipped: there is no npm");
    }
    ran(&mut project.command(test));
}

#[test]
fn there_is_no_provider_in_python() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut new = bare();
    new.args(["new", "provider", "counter", "--lang", "python", "--in"]);
    let output = new.arg(folder.path()).output().expect("it runs");
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("native code, in Rust"), "{message}");
    let instead = "`lattice new actor counter --lang python`";
    assert!(message.contains(instead), "{message}");
    assert!(!folder.path().join("counter").exists());
}

#[test]
#[ignore = "the same tool builds the same files for the app of `dev/apps.rs`, in 10 s on a free core"]
fn an_actor_in_javascript_builds() {
    let project = Project::new(&["actor", "new-js", "--lang", "js"]);
    let modules = of_the_root("target/tools/jco/node_modules");
    if !modules.join(".bin/jco").exists() {
        return println!("skipped: there is no jco, see `make guests`");
    }
    // What `npm install` would put there.
    std::os::unix::fs::symlink(modules, project.root.join("node_modules")).expect("linked");
    ran(&mut project.command("npm run build"));
    assert!(is_component(&project.root.join("new-js.wasm")));
}

#[test]
fn nothing_is_overwritten_and_names_are_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let new = |name: &str| {
        let mut new = bare();
        new.args(["new", "actor", name, "--in"]).arg(folder.path());
        let output = new.output().expect("it runs");
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(new("hello").0, Some(0));
    let (code, message) = new("hello");
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains("`Cargo.toml`, "), "{message}");
    assert!(message.contains("nothing is overwritten"), "{message}");
    for name in ["Hello", "fn", "record", "2nd", "test"] {
        let (code, message) = new(name);
        assert_eq!(code, Some(2), "{name}: {message}");
        assert!(!folder.path().join(name).exists(), "{name}");
    }
}
