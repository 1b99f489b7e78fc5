use super::*;
use lattice_provider_sdk::{Access, settings};
use std::collections::BTreeMap;

fn parse(entries: &[(&str, &str)]) -> Result<AmqpSettings, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let parsed = settings(&entries.iter().map(owned).collect::<BTreeMap<_, _>>());
    parsed.map_err(|refusal| refusal.reason().to_owned())
}

fn uri(settings: &AmqpSettings) -> AMQPUri {
    let servers = settings.servers().expect("valid");
    servers[0].uri.clone()
}

#[test]
fn every_setting_is_taken() {
    let parsed = parse(&[
        ("servers", "amqps://a, amqps://b"),
        ("user", "ada"),
        ("password", "enigma"),
        ("vhost", "shop"),
        ("ca-file", "/ca.pem"),
        ("cert-file", "/cert.pem"),
        ("cert-key-file", "/key.pem"),
        ("exchange", "shop"),
        ("timeout", "250ms"),
    ])
    .expect("they fit");
    assert_eq!(parsed.servers.expose(), "amqps://a, amqps://b");
    assert_eq!(parsed.user.as_deref(), Some("ada"));
    let password = parsed.password.as_ref().map(Secret::expose);
    assert_eq!(password, Some("enigma"));
    assert_eq!(parsed.vhost.as_deref(), Some("shop"));
    let files = [&parsed.ca_file, &parsed.cert_file, &parsed.cert_key_file];
    let expected = ["/ca.pem", "/cert.pem", "/key.pem"].map(|file| Some(HostPath::from(file)));
    assert_eq!(files, expected.each_ref());
    assert_eq!(parsed.exchange, "shop");
    assert_eq!(parsed.timeout, Duration::from_millis(250));
    assert!(!format!("{parsed:?}").contains("enigma"));
}

#[test]
fn what_is_left_out_is_as_in_rust() {
    let parsed = parse(&[("servers", "amqp://a")]).expect("they fit");
    let made = AmqpSettings::new("amqp://a");
    assert_eq!(format!("{parsed:?}"), format!("{made:?}"));
    let refused = parse(&[]).expect_err("no servers");
    assert_eq!(refused, "the setting `servers` is missing");
    let refused = parse(&[("servers", "amqp://a"), ("timeout", "0s")]).expect_err("no time");
    assert!(refused.contains("`timeout` doesn't fit"), "{refused}");
}

#[test]
fn files_of_the_machine_need_access() {
    let servers = ("servers", "amqps://a");
    for name in ["ca-file", "cert-file", "cert-key-file"] {
        let parsed = || parse(&[servers, (name, "/etc/hostname")]);
        let refused = Access::none().scope(parsed).expect_err("none is allowed");
        let expected = "this host lets providers use no files";
        assert!(refused.contains(expected), "{refused}");
        assert!(refused.contains(name), "{refused}");
    }
}

#[test]
fn a_url_has_defaults_and_settings_come_first() {
    let plain = uri(&AmqpSettings::new("amqp://mq"));
    assert_eq!((&*plain.vhost, plain.authority.port), ("/", 5672));
    assert_eq!(plain.authority.userinfo.username, "guest");
    assert_eq!(plain.query.heartbeat, Some(HEARTBEAT));
    let full = uri(&AmqpSettings::new("amqps://ada:s%20x@mq/shop%2Fa"));
    assert_eq!((&*full.vhost, full.authority.port), ("shop/a", 5671));
    assert_eq!(full.authority.userinfo.password, "s x");
    assert_eq!(uri(&AmqpSettings::new("amqp://mq/")).vhost, "/");
    let settings = AmqpSettings {
        user: Some("eve".to_owned()),
        password: Some(Secret::new("p@:/".to_owned())),
        vhost: Some("other".to_owned()),
        ..AmqpSettings::new("amqp://ada:x@[::1]:7/shop, amqp://b")
    };
    let own = uri(&settings);
    assert_eq!((&*own.authority.host, own.authority.port), ("::1", 7));
    assert_eq!(own.authority.userinfo.username, "eve");
    assert_eq!(own.authority.userinfo.password, "p@:/");
    assert_eq!(own.vhost, "other");
    assert_eq!(settings.servers().expect("valid").len(), 2);
}

fn with(servers: &str, change: fn(&mut AmqpSettings)) -> AmqpSettings {
    let mut settings = AmqpSettings::new(servers);
    change(&mut settings);
    settings
}

/// Returns why settings are refused, and checks that nothing repeats their password.
fn refusal(settings: &AmqpSettings) -> String {
    let shown = format!("{settings:?}");
    let refused = settings.servers().map(drop).expect_err(&shown);
    let reason = refused.reason().to_owned();
    assert!(!format!("{reason} {shown}").contains("s3cret"), "{reason}");
    reason
}

#[test]
fn wrong_settings_are_refused_and_repeat_no_secret() {
    for (settings, expected) in [
        (AmqpSettings::new(" , "), "`servers` is empty"),
        (
            AmqpSettings::new("amqp://a, amqp://u:s3cret@["),
            "the server no. 2",
        ),
        (AmqpSettings::new("nats://u:s3cret@a"), "the server no. 1"),
        (
            AmqpSettings::new("amqps://a?heartbeat=9, amqps://a?heartbeat=9&s3cret=verify_none"),
            "the server no. 2 in `servers` has another parameter",
        ),
        (
            AmqpSettings::new("amqp://a/b?connection_timeout=1#c"),
            "`timeout`",
        ),
        (
            with("amqp://a", |settings| {
                settings.password = Some(Secret::new("s3cret".to_owned()));
            }),
            "`user` and `password` go together",
        ),
        (
            with("amqp://a", |settings| {
                settings.vhost = Some("v".repeat(256));
            }),
            "`vhost` is too long",
        ),
        (
            with("amqp://a", |settings| settings.exchange = String::new()),
            "`exchange` isn't a name",
        ),
        (
            with("amqp://a", |settings| settings.timeout = Duration::ZERO),
            "`timeout` is 0",
        ),
    ] {
        let reason = refusal(&settings);
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn files_of_tls_need_tls_and_have_to_be_there() {
    let pair = |servers: &str| {
        with(servers, |settings| {
            settings.cert_file = Some("/absent/cert.pem".into());
            settings.cert_key_file = Some("/absent/key.pem".into());
        })
    };
    let authority = |servers: &str| {
        with(servers, |settings| {
            settings.ca_file = Some("/absent/ca.pem".into());
        })
    };
    let plain = "write `amqps://` for all of `servers`";
    let no_key = with("amqps://a", |settings| {
        settings.cert_file = Some("/absent/cert.pem".into());
    });
    for (settings, expected) in [
        (authority("amqp://a"), plain),
        (authority("amqps://a, amqp://b"), plain),
        (pair("amqp://a"), plain),
        (
            authority("amqps://a"),
            "`ca-file` /absent/ca.pem can't be used",
        ),
        (
            pair("amqps://a"),
            "`cert-file` /absent/cert.pem can't be used",
        ),
        (no_key, "`cert-file` and `cert-key-file` go together"),
    ] {
        let reason = refusal(&settings);
        assert!(reason.contains(expected), "{reason}");
    }
}
