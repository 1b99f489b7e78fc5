//! `lattice up --https`: a certificate for each host name.

use super::{PATIENCE, Process, bare, guest, text, wormhole::served_at};
use crate::http::ingress::{
    tls::{Authority, read},
    wire::Wire,
};
use std::{
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

const MANIFEST: &str = r#"
[wormholes.web]
actor = "shop"
host = "one.example"
domains = ["a.two.example", "other.example"]
"#;

/// Returns the options for certificates: one for all names, and two for names of their own.
fn options(folder: &Path) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    let own = |name: &str, files: &str| {
        let (cert, key) = (file(&format!("{files}.pem")), file(&format!("{files}.key")));
        format!("{name}={cert},{key}")
    };
    let options = [
        ("--https", "127.0.0.1:0".to_owned()),
        ("--tls-cert", file("all.pem")),
        ("--tls-key", file("all.key")),
        ("--tls-host", own("one.example", "one")),
        ("--tls-host", own("*.two.example", "two")),
    ];
    let words = options.into_iter();
    words
        .flat_map(|(option, value)| [option.to_owned(), value])
        .collect()
}

fn write_all(authority: &Authority, folder: &Path) {
    authority.write(folder, "all", &["other.example"]);
    authority.write(folder, "one", &["one.example"]);
    authority.write(folder, "two", &["*.two.example"]);
}

#[tokio::test]
async fn a_host_serves_wormholes_over_tls_with_the_certificate_of_each_name() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let folder = folder.path();
    write_all(&authority, folder);
    let image = guest("hello_http").display().to_string();
    let shop = format!("name = \"shop\"\n[actors.shop]\nimage = \"file:{image}\"\n{MANIFEST}");
    let app = folder.join("shop.toml");
    fs::write(&app, shop).expect("a manifest");
    let log = folder.join("log");
    let mut command = bare();
    command
        .arg("up")
        .args(options(folder))
        .arg("--app")
        .arg(&app)
        .stdin(Stdio::null())
        .stderr(fs::File::create(&log).expect("a log"));
    let _host = Process(command.spawn().expect("starts"));
    let address = served_at(&log, "https");
    for (name, file) in [
        ("one.example", "one"),
        ("a.two.example", "two"),
        ("other.example", "all"),
    ] {
        let begun = Instant::now();
        loop {
            let (io, certificate) = authority.connect(address, name, &[]).await;
            assert_eq!(certificate, read(folder, file), "{name}");
            let answer = Wire::over(io).get(name, "/some/path").await;
            if answer.status == 200 {
                assert!(answer.text().contains("at /some/path!"), "{answer:?}");
                break;
            }
            // The actor of the wormhole has not started yet.
            assert!(begun.elapsed() < PATIENCE, "{name}: {answer:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[test]
fn certificates_that_can_not_be_used_are_refused_with_what_to_do() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let folder = folder.path();
    write_all(&authority, folder);
    let file = |name: &str| folder.join(name).display().to_string();
    let with = |more: &str| {
        let mut command = bare();
        command.arg("up").args(options(folder));
        let output = command.args(["--tls-host", more]).output().expect("runs");
        (output.status.code(), text(&output.stderr))
    };
    let (code, message) = with("three.example");
    assert_eq!(code, Some(2), "{message}");
    assert!(message.contains("shop.example=shop.pem"), "{message}");
    let (one, two) = (file("one.pem"), file("two.key"));
    for (more, says) in [
        (
            format!("three.example={one},{}", file("missing.key")),
            "missing.key` can't be read",
        ),
        (format!("three.example={one},{two}"), "belong together"),
        (
            format!("One.Example={one},{}", file("one.key")),
            "`one.example` has two certificates",
        ),
        (format!("a b={one},{two}"), "is not a host name"),
    ] {
        let (code, message) = with(&more);
        assert_eq!(code, Some(1), "{more}: {message}");
        assert!(message.contains(says), "{more}: {message}");
    }
    let output = bare().args(["up", "--tls-host", "a=b,c"]).output();
    let output = output.expect("runs");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("--https"), "{output:?}");
}
