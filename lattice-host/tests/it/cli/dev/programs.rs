//! `lattice dev` with providers in processes of their own, which need a server of NATS.

use super::{Dev, is_running, project, until_gone};
use crate::cli::{PATIENCE, bare, new, of_the_root, text};
use lattice_core::{Lattice, auth::LatticeKey, call::CallError};
use std::{fs, time::Instant};

impl Dev {
    /// Returns the options with which other commands reach its lattice.
    fn options(&mut self) -> String {
        self.until_said("reach its lattice with `", 1);
        let log = self.log();
        let (_, options) = log
            .split_once("reach its lattice with `")
            .expect("the options");
        options.split_once('`').expect("their end").0.to_owned()
    }
}

#[test]
fn an_app_with_a_program_gets_a_server_which_ends_with_it() {
    let folder = project();
    let program = env!("CARGO_BIN_EXE_lattice-test-provider");
    let manifest = format!("name = \"shop\"\nproviders.acts.image = \"file:{program}\"\n");
    fs::write(folder.path().join("project/app.toml"), manifest).expect("written");
    let mut dev = Dev::begin(folder, bare());
    dev.until_said("  swap ", 1);
    let options = dev.options();
    // The program has just started, and may not have heard of the command yet.
    let mut called = None;
    dev.until("it is called", |_| {
        let mut call = bare();
        call.args(options.split(' '));
        call.args(["call", "acts", "test:process/acts@0.1.0#pid"]);
        let output = call.output().expect("it runs");
        let is_served = output.status.success();
        called = Some(output);
        is_served.then_some(())
    });
    let called = called.expect("it was called");
    let pid = text(&called.stdout).trim().to_owned();
    assert!(is_running(&pid), "{pid}");
    dev.interrupt();
    dev.ends_well();
    until_gone(&pid);
}

#[test]
fn a_program_that_comes_to_a_running_app_needs_another_start() {
    let mut dev = Dev::start(project());
    let program = env!("CARGO_BIN_EXE_lattice-test-provider");
    let manifest = format!("name = \"shop\"\nproviders.acts.image = \"file:{program}\"\n");
    dev.save("app.toml", manifest.as_bytes());
    dev.until_said("end `lattice dev` and start it again", 1);
    dev.until_said("the version before goes on", 1);
    dev.answers("Hello from Rust");
}

/// From the template to a call over the link that its README declares. The program is the one that
/// its tests have built.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_provider_passes_its_tests_runs_and_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("tmp")).expect("a folder");
    let mut make = bare();
    make.args(["new", "provider", "new-provider", "--in"]);
    make.arg(folder.path()).arg("--sdk").arg(of_the_root(""));
    new::ran(&mut make);
    let project = folder.path().join("project");
    fs::rename(folder.path().join("new-provider"), &project).expect("renamed");
    let readme = fs::read_to_string(project.join("README.md")).expect("a README");
    assert!(readme.contains("| `cargo test` |") && readme.contains("| `lattice dev` |"));
    let lock = of_the_root("Cargo.lock");
    fs::copy(lock, project.join("Cargo.lock")).expect("copied");
    let mut test = new::clean("cargo");
    new::for_the_workspace(&mut test);
    new::ran(test.args(["test", "--release"]).current_dir(&project));

    let (_, manifest) = readme.split_once("```toml\n").expect("a manifest");
    let (manifest, _) = manifest.split_once("```").expect("its end");
    fs::write(project.join("app.toml"), manifest).expect("written");
    let mut command = bare();
    new::cleaned(&mut command);
    new::for_the_workspace(&mut command);
    let mut dev = Dev::begin(folder, command);
    dev.until_said("  build ", 1);
    dev.until_said("  swap ", 1);
    let options = dev.options();
    let options: Vec<&str> = options.split(' ').collect();
    let ["--nats", url, "--key-file", key] = options[..] else {
        panic!("{options:?}");
    };
    let key = LatticeKey::from_file(key).expect("a key");
    let lattice = Lattice::connect(url, "default").key(key).await;
    let lattice = lattice.expect("connected");
    let user = lattice.caller("new-provider-user").expect("an id");
    let begun = Instant::now();
    let sum = loop {
        let called = user.call(
            "example:new-provider/counter@0.1.0",
            "add",
            ("orders", 2_u32),
        );
        let called: Result<Result<u64, String>, CallError> = called.await;
        match called {
            Ok(sum) => break sum,
            // The provider has just started, and may not have heard of the caller yet.
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error:?}\n{}", dev.log()),
        }
    };
    assert_eq!(sum, Ok(3), "its config in the README has `start = 1`");
    dev.interrupt();
    dev.ends_well();
}
