use super::tls::{identified, roots, trusting};
use super::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use std::fs;

/// What no refusal repeats: the content of a file that isn't what it should be.
const HIDDEN: &str = "U0VDUkVU";

/// Returns the certificate of an authority and its key, in PEM.
fn authority() -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    (certificate, key.serialize_pem())
}

fn wrong_key() -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{HIDDEN}\n-----END PRIVATE KEY-----\n")
}

fn wrong_certificate() -> String {
    format!("-----BEGIN CERTIFICATE-----\n{HIDDEN}\n-----END CERTIFICATE-----\n")
}

#[test]
fn files_of_every_editor_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = HostPath::from(folder.path().join("ca.pem"));
    let two = authority().0 + &authority().0;
    for text in [
        two.clone(),
        two.replace('\n', "\r\n"),
        format!("\u{feff}{two}"),
    ] {
        fs::write(&file, &text).expect("written");
        let pem = authorities(&file).expect("certificates");
        assert_eq!(CertificateDer::pem_slice_iter(&pem).flatten().count(), 2);
        assert_eq!(roots(Some(&file)).expect("certificates").len(), 2);
    }
}

#[test]
fn a_wrong_file_is_refused_by_name_and_not_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content, expected) in [
        ("absent", None, "No such file"),
        (".", None, "it isn't a regular file"),
        ("key", Some(wrong_key()), "there is no such block"),
        ("other", Some(wrong_certificate()), "isn't a certificate"),
        (
            "cut",
            Some(authority().0.replace("-----END", HIDDEN)),
            "damaged",
        ),
        ("large", Some(" ".repeat((4 << 20) + 1)), "more than 4 MiB"),
    ] {
        let file = HostPath::from(folder.path().join(name));
        if let Some(content) = content {
            fs::write(&file, content).expect("written");
        }
        for refusal in [
            authorities(&file).map(drop).expect_err(name),
            roots(Some(&file)).map(drop).expect_err(name),
        ] {
            let reason = refusal.reason();
            assert!(reason.starts_with("`ca-file` /"), "{reason}");
            assert!(reason.contains(expected), "{name}: {reason}");
            assert!(!reason.contains(HIDDEN), "{reason}");
        }
    }
}

#[test]
fn a_certificate_needs_its_own_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let written = |name: &str, content: String| {
        let file = HostPath::from(folder.path().join(name));
        fs::write(&file, content).expect("written");
        file
    };
    let (certificate, key) = authority();
    let chain = written("cert", format!("\u{feff}{certificate}"));
    let key = written("key", format!("\u{feff}{key}"));
    let tried = |files: [&HostPath; 2]| {
        let builder = trusting(RootCertStore::empty()).expect("versions");
        identified(builder, files)
    };
    let files = identity(Some(&chain), Some(&key)).expect("a pair");
    tried(files.expect("both")).expect("they belong together");
    assert_eq!(identity(None, None), Ok(None));
    for one in [identity(Some(&chain), None), identity(None, Some(&key))] {
        assert!(one.expect_err("one").reason().contains("go together"));
    }

    let absent = HostPath::from(folder.path().join("absent"));
    let other = written("other", authority().1);
    let [no_key, no_chain] = [wrong_key(), wrong_certificate()];
    let [no_key, no_chain] = [written("no-key", no_key), written("no-cert", no_chain)];
    for (files, expected) in [
        ([&absent, &key], "`cert-file` /"),
        ([&chain, &absent], "`cert-key-file` /"),
        ([&key, &key], "there is no such block"),
        ([&chain, &chain], "there is no such block"),
        ([&chain, &other], "and its own key"),
        ([&chain, &no_key], "and its own key"),
        ([&no_chain, &key], "and its own key"),
    ] {
        let refusal = tried(files).map(drop).expect_err(expected);
        let reason = refusal.reason();
        assert!(reason.contains(expected), "{reason}");
        assert!(!reason.contains(HIDDEN), "{reason}");
    }
}
