//! `lattice graph`, `explain`, `logs` and `completions`.

use super::{Scene, bare, guest, text};

const ACTS: &str = "lattice-test:mischief/acts@0.1.0";

#[tokio::test]
async fn a_running_app_can_be_drawn_explained_and_its_logs_followed() {
    let scene = Scene::new().await;
    let _host = scene.up("one");
    let image = guest("mischief").display().to_string();
    scene.settle(&format!(
        "name = \"shop\"\nexternal = [\"peer\"]\n[actors.mischief]\nimage = \"file:{image}\"\n\
         [[links]]\nfrom = \"mischief\"\nto = \"peer\"\ninterface = \"lattice-test:mischief/peer@0.1.0\"\n"
    ));

    for (view, shows) in [("logical", "peer"), ("infrastructure", "one")] {
        for (language, begins) in [
            ("mermaid", "flowchart"),
            ("dot", "digraph"),
            ("svg", "<svg"),
        ] {
            let drawn = scene.prints(&["graph", view, "-o", language]);
            assert!(drawn.starts_with(begins), "{drawn}");
            assert!(
                drawn.contains("mischief") && drawn.contains(shows),
                "{drawn}"
            );
        }
    }

    let why = scene.prints(&["explain", "component", "mischief"]);
    assert!(why.contains("`mischief` serves on `one`"), "{why}");
    let why = scene.prints(&["explain", "component", "mischeif"]);
    assert!(why.contains("did you mean `mischief`?"), "{why}");

    let print = format!("{ACTS}#print");
    scene.prints(&["call", "mischief", &print, "\"good evening\""]);
    let logs = scene.prints(&["logs", "mischief"]);
    assert!(
        logs.contains("good evening") && logs.contains("one"),
        "{logs}"
    );
    assert!(!scene.prints(&["logs", "peer"]).contains("good evening"));
}

#[tokio::test]
async fn logs_without_a_line_say_so_and_can_be_read_for_a_time() {
    let scene = Scene::new().await;
    let _host = scene.up("one");
    scene.until_served_by(&[]);
    for args in [
        &["logs", "greeter"][..],
        &["logs", "greeter", "--for", "100ms"],
        &["logs", "greeter", "--follow", "--for", "100ms"],
    ] {
        let output = scene.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{args:?}: {output:?}");
        let note = text(&output.stderr);
        assert!(
            note.contains("no live host has a line of `greeter`"),
            "{note}"
        );
        assert!(
            note.contains("`lattice explain component greeter`"),
            "{note}"
        );
    }
}

#[test]
fn shells_complete_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = bare().args(["completions", shell]).output().expect("runs");
        assert!(output.status.success(), "{output:?}");
        let script = text(&output.stdout);
        for command in ["up", "apply", "explain", "logs", "push"] {
            assert!(script.contains(command), "{shell} lacks {command}");
        }
    }
    let unknown = bare().args(["completions", "abacus"]).output();
    assert_eq!(unknown.expect("runs").status.code(), Some(2));
}
