use super::*;
use crate::secret::Secret;
use serde::Deserialize;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    Fast,
    Safe,
    Limit(u32),
}

#[derive(Debug, PartialEq, Deserialize)]
struct Labels(Vec<String>);

/// A type that is parsed from its text, and whose error repeats it.
#[derive(Debug, PartialEq)]
struct Size(u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let number = text.strip_suffix(" B").and_then(|text| text.parse().ok());
        number
            .map(Self)
            .ok_or_else(|| de::Error::custom(format_args!("{text:?} isn't a size")))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Settings {
    url: String,
    port: u16,
    ratio: f64,
    is_safe: bool,
    mode: Mode,
    labels: Labels,
    limits: BTreeMap<String, u8>,
    size: Option<Size>,
    password: Option<Secret>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: String::new(),
            port: 1,
            ratio: 0.5,
            is_safe: true,
            mode: Mode::Safe,
            labels: Labels(Vec::new()),
            limits: BTreeMap::new(),
            size: None,
            password: None,
        }
    }
}

fn parse<C: DeserializeOwned>(entries: &[(&str, &str)]) -> Result<C, Refusal> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    settings(&entries.iter().map(owned).collect())
}

#[test]
fn each_value_is_parsed_as_the_type_of_its_field() {
    let parsed: Settings = parse(&[
        ("url", "[::1]:4222"),
        ("port", " 6379\n"),
        ("ratio", "0.25"),
        ("is-safe", "false"),
        ("mode", "fast"),
        ("labels", r#"["a", "b"]"#),
        ("limits", r#"{"x": 3}"#),
        ("size", "7 B"),
        ("password", "{7\"enigma"),
    ])
    .expect("they fit");
    assert_eq!((&*parsed.url, parsed.port), ("[::1]:4222", 6_379));
    assert!((parsed.ratio - 0.25).abs() < f64::EPSILON && !parsed.is_safe);
    assert_eq!(parsed.mode, Mode::Fast);
    assert_eq!(parsed.labels.0, ["a", "b"]);
    assert_eq!(parsed.limits["x"], 3);
    assert_eq!(parsed.size, Some(Size(7)));
    assert_eq!(parsed.password.expect("set").expose(), "{7\"enigma");

    let limit: Settings = parse(&[("mode", r#"{"limit": 3}"#)]).expect("it fits");
    assert_eq!(limit.mode, Mode::Limit(3));
    let number: Settings = parse(&[("url", "7"), ("password", "8")]).expect("texts");
    assert_eq!(number.url, "7");
    assert_eq!(number.password.expect("set").expose(), "8");
}

#[test]
fn no_settings_are_the_defaults_or_a_unit() {
    assert_eq!(parse::<Settings>(&[]).expect("defaults").port, 1);
    parse::<()>(&[]).expect("a unit");
    let refusal = parse::<()>(&[("url", "enigma")]).expect_err("there are none");
    assert_eq!(
        refusal.reason(),
        "the provider has no settings, but `url` is set; remove it"
    );
    let any: BTreeMap<String, String> = parse(&[("a", "b")]).expect("a map");
    assert_eq!(any["a"], "b");
}

#[test]
fn a_secret_in_settings_may_be_elsewhere() {
    let missing = [("password", r#"{"env": "NO_SUCH_VARIABLE_OF_A_PROVIDER"}"#)];
    let refusal = parse::<Settings>(&missing).expect_err("it isn't set");
    assert_eq!(
        refusal.reason(),
        "the setting `password` doesn't fit: the secret in the environment variable `NO_SUCH_VARIABLE_OF_A_PROVIDER` can't be read: it isn't set; set it for the process of the host or provider, and start that again"
    );
}

#[test]
fn an_unknown_setting_is_refused_with_a_suggestion() {
    for (key, expected) in [
        ("ulr", "there is no setting `ulr`; did you mean `url`?"),
        ("is_safe", "did you mean `is-safe`?"),
        ("labls", "did you mean `labels`?"),
        ("zzzzzz", "the provider has `url`, `port`, "),
    ] {
        let refusal = parse::<Settings>(&[(key, "enigma")]).expect_err(key);
        assert!(refusal.reason().contains(expected), "{refusal}");
    }
}

#[test]
fn an_error_names_the_setting_and_never_its_value() {
    for (key, value, expected) in [
        (
            "port",
            "enigma",
            "the setting `port` doesn't fit: it should be a number",
        ),
        ("port", "65536", "in the range of its type"),
        ("ratio", "enigma", "it should be a number"),
        ("is-safe", "enigma", "it should be `true` or `false`"),
        (
            "mode",
            "enigma",
            "it should be one of `fast`, `safe`, `limit`",
        ),
        ("mode", r#"{"limit": "enigma"}"#, "expected u32"),
        ("labels", "enigma", "it should be JSON text"),
        ("labels", r#"{"enigma": 1}"#, "`labels` doesn't fit"),
        ("limits", r#"{"x": "enigma"}"#, "expected u8"),
        ("size", "enigma", "its value isn't valid"),
        ("size", "enig\"ma", "its value isn't valid"),
        ("password", r#"{"pasword": "enigma"}"#, "unknown variant"),
    ] {
        let refusal = parse::<Settings>(&[(key, value)]).expect_err(value);
        let text = format!("{refusal} {refusal:?}");
        assert!(refusal.reason().contains(expected), "{refusal}");
        assert!(
            !text.contains("enigma") && !text.contains("enig\\\"ma"),
            "{text}"
        );
        assert!(!text.contains("65536"), "{text}");
    }
    #[derive(Debug, Deserialize)]
    struct Needs {
        #[expect(dead_code, reason = "only its absence is of interest")]
        url: String,
    }
    let refusal = parse::<Needs>(&[]).expect_err("it is missing");
    assert_eq!(refusal.reason(), "the setting `url` is missing");
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Address {
    host: String,
    #[serde(default)]
    port: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Login {
    user: Option<String>,
    password: Option<Secret>,
}

/// A struct that is made of two.
#[derive(Debug, Deserialize)]
#[serde(from = "(Address, Login)")]
struct Server {
    address: Address,
    login: Login,
}

impl From<(Address, Login)> for Server {
    fn from((address, login): (Address, Login)) -> Self {
        Self { address, login }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Own {
    prefix: String,
}

#[test]
fn the_structs_of_a_tuple_take_the_settings_together() {
    let entries = [
        ("host", "db"),
        ("port", "6379"),
        ("password", r#""enigma"#),
        ("prefix", "shop"),
    ];
    let (server, own): (Server, Own) = parse(&entries).expect("they fit");
    assert_eq!((&*server.address.host, server.address.port), ("db", 6_379));
    assert!(server.login.user.is_none());
    let password = server.login.password.expect("it is set");
    assert_eq!((password.expose(), &*own.prefix), (r#""enigma"#, "shop"));

    let server: Server = parse(&entries[..2]).expect("the others have defaults");
    assert_eq!(server.address.port, 6_379);
    let (login, own): (Login, Own) = parse(&[]).expect("all have defaults");
    assert!(login.user.is_none() && own.prefix.is_empty());
}

#[test]
fn a_setting_that_no_struct_of_a_tuple_has_is_refused() {
    for (entries, expected) in [
        (
            [("host", "db"), ("prefx", "enigma")],
            "there is no setting `prefx`; did you mean `prefix`?",
        ),
        (
            [("host", "db"), ("zzzzzzzzzz", "enigma")],
            "the provider has `host`, `port`, `user`, `password`, `prefix`",
        ),
        (
            [("host", "db"), ("port", "enigma")],
            "the setting `port` doesn't fit: it should be a number",
        ),
        (
            [("user", "ada"), ("prefix", "enigma")],
            "the setting `host` is missing",
        ),
    ] {
        let refusal = parse::<(Server, Own)>(&entries).expect_err(expected);
        assert!(refusal.reason().contains(expected), "{refusal}");
        assert!(!refusal.reason().contains("enigma"), "{refusal}");
    }
    // What isn't a struct takes no settings of its own.
    let refusal = parse::<(Own, String)>(&[("prefix", "shop")]).expect_err("a text");
    assert!(refusal.reason().contains("structs"), "{refusal}");
}

#[test]
fn names_that_differ_little_are_close() {
    assert_eq!(distance("kitten", "sitting"), 3);
    assert_eq!(distance("", "abc"), 3);
    assert!(are_close("urls", "url") && !are_close("url", "pool"));
}
