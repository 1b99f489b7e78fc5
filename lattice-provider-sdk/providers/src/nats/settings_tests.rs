use super::*;
use lattice_provider_sdk::{Access, settings};
use std::collections::BTreeMap;

fn parse(entries: &[(&str, &str)]) -> Result<NatsSettings, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let parsed = settings(&entries.iter().map(owned).collect::<BTreeMap<_, _>>());
    parsed.map_err(|refusal| refusal.reason().to_owned())
}

/// Returns why settings that can be parsed are refused.
fn refusal(entries: &[(&str, &str)]) -> String {
    let refused = parse(entries).expect("they can be parsed").options("test");
    refused.map(drop).expect_err("refused").reason().to_owned()
}

#[test]
fn every_setting_is_taken() {
    let parsed = parse(&[
        ("servers", "tls://a:4222, b:4222"),
        ("user", "ada"),
        ("password", "enigma"),
        ("ca-file", "/ca.pem"),
        ("cert-file", "/cert.pem"),
        ("cert-key-file", "/key.pem"),
        ("tls-first", "true"),
        ("inbox-prefix", "_INBOX_shop"),
        ("jetstream-domain", "hub"),
        ("timeout", "250ms"),
    ])
    .expect("they fit");
    assert_eq!(parsed.servers.expose(), "tls://a:4222, b:4222");
    assert!(
        matches!(&parsed.login, NatsLogin::Password { user, password } if user == "ada" && password.expose() == "enigma")
    );
    let files = [
        parsed.tls.ca_file,
        parsed.tls.cert_file,
        parsed.tls.cert_key_file,
    ];
    let files = files.map(|file| file.map(HostPath::into_path_buf));
    assert_eq!(
        files,
        ["/ca.pem", "/cert.pem", "/key.pem"].map(|file| Some(file.into()))
    );
    assert!(parsed.tls.tls_first);
    assert_eq!(parsed.inbox_prefix.as_deref(), Some("_INBOX_shop"));
    assert_eq!(parsed.jetstream_domain.as_deref(), Some("hub"));
    assert_eq!(parsed.timeout, Duration::from_millis(250));
}

#[test]
fn what_is_left_out_is_as_in_rust() {
    let parsed = parse(&[("servers", "a:1")]).expect("they fit");
    let made = NatsSettings::new("a:1");
    assert_eq!(format!("{parsed:?}"), format!("{made:?}"));
    assert_eq!(parsed.timeout, TIMEOUT);
    let (parsed, made) = (parsed.options("test"), made.options("test"));
    let options = |options: Result<NatsOptions, Refusal>| format!("{:?}", options.expect("valid"));
    assert_eq!(options(parsed), options(made));
}

#[test]
fn there_is_one_login_and_it_reaches_the_options() {
    let nothing: &[(&str, &str)] = &[];
    for (entries, expected) in [
        (nothing, "login: None"),
        (&[("creds", "enigma")], "login: Credentials(redacted)"),
        (&[("nkey", "enigma")], "login: NkeySeed(redacted)"),
        (&[("token", "enigma")], "login: Token(redacted)"),
        (
            &[("user", "ada"), ("password", "enigma")],
            r#"login: Password("ada", redacted)"#,
        ),
    ] {
        let all = [&[("servers", "a:1")][..], entries].concat();
        let options = parse(&all).expect("they fit").options("test");
        let text = format!("{:?}", options.expect("valid"));
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("enigma"), "{text}");
    }
    for entries in [
        &[("user", "ada")][..],
        &[("password", "enigma")],
        &[("token", "enigma"), ("nkey", "enigma")],
        &[("creds", "enigma"), ("user", "ada"), ("password", "enigma")],
        &[("token", "enigma"), ("user", "ada")],
    ] {
        let all = [&[("servers", "a:1")][..], entries].concat();
        let refused = parse(&all).expect_err("not one login");
        assert!(refused.contains("give one login: `creds`"), "{refused}");
        assert!(!refused.contains("enigma"), "{refused}");
    }
}

#[test]
fn the_names_of_others_are_refused_with_ours() {
    for (name, expected) in [
        ("server", "the setting `servers` is missing"),
        ("credentials", "there is no setting `credentials`"),
        ("credentials-file", "there is no setting `credentials-file`"),
        ("username", "there is no setting `username`"),
        ("ca-fil", "did you mean `ca-file`?"),
        ("inbox_prefix", "did you mean `inbox-prefix`?"),
    ] {
        let servers = ("servers", "a:1");
        let entries = [servers, (name, "enigma")];
        let entries = if name == "server" {
            &entries[1..]
        } else {
            &entries[..]
        };
        let refused = parse(entries).expect_err(name);
        assert!(refused.contains(expected), "{refused}");
        assert!(!refused.contains("enigma"), "{refused}");
    }
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let servers = ("servers", "a:1");
    for (entry, expected) in [
        (("inbox-prefix", ""), "`inbox-prefix` must be"),
        (("inbox-prefix", "a.*"), "`inbox-prefix` must be"),
        (("inbox-prefix", "a b"), "`inbox-prefix` must be"),
        (("jetstream-domain", "a.b"), "`jetstream-domain` must be"),
        (("jetstream-domain", ""), "`jetstream-domain` must be"),
        (("cert-file", "/c.pem"), "go together"),
        (("cert-key-file", "/k.pem"), "go together"),
        (
            ("ca-file", "/does/not/exist"),
            "`ca-file` /does/not/exist can't be used",
        ),
    ] {
        let refused = refusal(&[servers, entry]);
        assert!(refused.contains(expected), "{refused}");
    }
    let refused = parse(&[servers, ("timeout", "0s")]).expect_err("no time");
    assert!(refused.contains("`timeout` doesn't fit"), "{refused}");
    let mut hasty = NatsSettings::new("a:1");
    hasty.timeout = Duration::ZERO;
    let refused = hasty.options("test").map(drop).expect_err("no time");
    assert!(refused.reason().contains("`timeout` is 0"), "{refused}");
}

#[test]
fn files_and_secrets_of_the_machine_need_access() {
    let servers = ("servers", "a:1");
    for entry in [
        ("ca-file", "/etc/hostname"),
        ("cert-file", "/etc/hostname"),
        ("cert-key-file", "/etc/hostname"),
        ("creds", r#"{ "file": "/etc/hostname" }"#),
        ("nkey", r#"{ "file": "/etc/hostname" }"#),
    ] {
        let refused = Access::none().scope(|| parse(&[servers, entry]));
        let refused = refused.expect_err("this host allows none");
        assert!(
            refused.contains("this host lets providers use no files"),
            "{refused}"
        );
        assert!(refused.contains(entry.0), "{refused}");
    }
}
