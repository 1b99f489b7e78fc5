//! The programs of processes: what is checked at each start, and the limits that they start under.

use super::{
    life::replaced,
    scene::{PROGRAM, Scene, host_process, pid},
};
use crate::{
    artifact::{
        fake::{Contents, Fake, manifest},
        support::plain,
    },
    host::support::started,
    nats::signal,
};
use lattice_host::{Host, Programs};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Prints the limits that it has, and ends.
const SHOWS_LIMITS: &str =
    "#!/bin/sh\necho \"limits: $(ulimit -c) $(ulimit -n) $(ulimit -v)\"\nexit 3\n";

fn script(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("program");
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("set");
    path
}

fn has_prlimit() -> bool {
    let is_there = Path::new("/usr/bin/prlimit").is_file();
    if !is_there {
        println!("skipped: the system has no `prlimit`");
    }
    is_there
}

#[tokio::test]
async fn limits_are_in_force_before_a_program_runs() {
    if !has_prlimit() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let scene = Scene::new().await;
    let _host = started(scene.host()).await;
    let program = script(folder.path(), SHOWS_LIMITS);
    let config = "\"lattice.memory\" = \"512MiB\", \"lattice.open-files\" = 77";
    scene.apply_program(&program, config).await;
    scene.says("limits: 0 77 524288").await;
}

#[tokio::test]
async fn the_command_lattice_sets_limits_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let scene = Scene::new().await;
    let _host = host_process(&scene, "own");
    let program = script(folder.path(), SHOWS_LIMITS);
    let config = "\"lattice.memory\" = \"512MiB\", \"lattice.open-files\" = 77";
    scene.apply_program(&program, config).await;
    scene.says("limits: 0 77 524288").await;
    // The process of a provider that serves has the same, and its own name.
    scene.apply("\"lattice.open-files\" = 77").await;
    let client = scene.client().await;
    let process = pid(&client).await;
    let environment = client.environment().await.expect("it serves");
    assert!(environment.is_empty(), "{environment:?}");
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).expect("it runs");
    let of = |name: &str| limits.lines().find_map(|line| line.strip_prefix(name));
    for (name, most) in [("Max core file size", "0"), ("Max open files", "77")] {
        let found = of(name).and_then(|line| line.split_whitespace().nth(1));
        assert_eq!(found, Some(most), "{limits}");
    }
    let words = fs::read(format!("/proc/{process}/cmdline")).expect("it runs");
    let name = words.split(|byte| *byte == 0).next();
    let program = Path::new(PROGRAM).canonicalize().expect("it was built");
    assert_eq!(name, Some(program.as_os_str().as_encoded_bytes()));
}

#[tokio::test]
async fn a_program_that_was_swapped_after_its_app_was_applied_is_not_started_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let scene = Scene::new().await;
    let _host = started(scene.host()).await;
    let (program, kept) = (folder.path().join("program"), folder.path().join("kept"));
    fs::copy(PROGRAM, &program).expect("copied");
    scene.apply_program(&program, "").await;
    let client = scene.client().await;
    let first = pid(&client).await;
    fs::rename(&program, &kept).expect("moved");
    script(folder.path(), "#!/bin/sh\necho \"the other one\"\nexit 3\n");
    signal(first, "KILL");
    let said = scene.says("has other contents").await;
    assert!(!said.contains("the other one"), "{said}");
    fs::rename(&kept, &program).expect("put back");
    replaced(&client, first).await;
}

/// A registry with the program as the image `a:1`.
async fn registry() -> Fake {
    let program = fs::read(PROGRAM).expect("it was built");
    let document = manifest(&[("application/octet-stream", &*program)]);
    let contents = Contents::default().blob(&program).manifest("1", &document);
    Fake::start(move |asked| contents.answer(asked)).await
}

/// Starts a host that runs the programs of a registry in this folder, and applies an app with the
/// one that is there.
async fn from_registry(scene: &Scene, registry: &Fake, folder: &Path) -> Host {
    let host = Host::builder(&scene.lattice)
        .artifacts(plain(registry.address()).build())
        .programs(Programs::Registry(registry.address().to_owned()))
        .program_folder(folder);
    let host = started(host).await;
    let image = format!("oci:{}/a:1", registry.address());
    let app = format!("name = \"test\"\n[providers.actor]\nimage = \"{image}\"\n");
    scene.apply_text(&app).await;
    host
}

#[tokio::test]
async fn a_program_from_a_registry_is_in_the_folder_that_was_chosen_and_checked_there() {
    let (scene, registry) = (Scene::new().await, registry().await);
    let folder = tempfile::tempdir().expect("a folder");
    let _host = from_registry(&scene, &registry, folder.path()).await;
    let first = pid(&scene.client().await).await;
    let mut made = fs::read_dir(folder.path()).expect("it is there");
    let own = made.next().expect("one").expect("it is there").path();
    fs::remove_file(own.join("program")).expect("removed");
    script(&own, "#!/bin/sh\necho \"the other one\"\nexit 3\n");
    signal(first, "KILL");
    let said = scene.says("has other contents").await;
    assert!(!said.contains("the other one"), "{said}");
}

#[tokio::test]
async fn a_folder_for_programs_that_is_not_there_is_reported() {
    let (scene, registry) = (Scene::new().await, registry().await);
    let _host = from_registry(&scene, &registry, Path::new("/no/such/folder")).await;
    scene.says("`/no/such/folder`; name another folder").await;
}
