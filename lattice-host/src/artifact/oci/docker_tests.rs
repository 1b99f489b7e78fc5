use super::*;
use std::fs;

fn config(text: &str) -> Config {
    serde_json::from_str(text).unwrap()
}

/// Returns the user that a file has for a repository.
fn user(text: &str, registry: &str, repository: &str) -> Option<String> {
    let config = config(text);
    let (_, login) = Wanted::new(registry, repository).best(&config.auths)?;
    match login.credentials().unwrap()? {
        Credentials::Basic { user, .. } => Some(user),
        Credentials::Identity { token } => Some(format!("identity {token}")),
        other => panic!("{other:?}"),
    }
}

fn keyed(key: &str) -> String {
    format!(r#"{{"auths":{{"other.example":{{"auth":"eDp5"}},"{key}":{{"auth":"dTpw"}}}}}}"#)
}

#[test]
fn a_login_is_found_under_every_key_that_tools_write() {
    for (registry, keys) in [
        (
            "docker.io",
            &[
                "https://index.docker.io/v1/",
                "https://index.docker.io/v1",
                "https://index.docker.io/v2/",
                "index.docker.io",
                "docker.io",
                "https://docker.io",
                "registry-1.docker.io",
                "https://registry-1.docker.io/v2/",
                "docker.io/shop",
                "docker.io/shop/greeter",
            ][..],
        ),
        (
            "index.docker.io",
            &["https://index.docker.io/v1/", "docker.io"],
        ),
        (
            "registry.example.com:5000",
            &[
                "registry.example.com:5000",
                "Registry.Example.com:5000",
                "registry.example.com:5000/",
                "https://registry.example.com:5000",
                "http://registry.example.com:5000",
                "https://registry.example.com:5000/v2/",
                "registry.example.com:5000/shop",
            ],
        ),
    ] {
        for key in keys {
            let found = user(&keyed(key), registry, "shop/greeter");
            assert_eq!(found.as_deref(), Some("u"), "{registry}: {key}");
        }
    }
    for key in [
        "registry.example.com",
        "registry.example.com:5000/sho",
        "registry.example.com:5000/shop/greeter/more",
        "registry.example.com:5000.evil.example",
    ] {
        let found = user(&keyed(key), "registry.example.com:5000", "shop/greeter");
        assert_eq!(found, None, "{key}");
    }
}

#[test]
fn the_key_that_covers_most_of_the_repository_counts() {
    let text = r#"{"auths":{
        "r.example":{"auth":"YTpw"}, "r.example/shop":{"auth":"Yjpw"}, "r.example/shop/greeter":{"auth":"Yzpw"}}}"#;
    for (repository, expected) in [("shop/greeter", "c"), ("shop/cart", "b"), ("shops/x", "a")] {
        assert_eq!(
            user(text, "r.example", repository).as_deref(),
            Some(expected)
        );
    }
}

#[test]
fn every_form_of_a_login_is_read() {
    for (login, expected) in [
        (r#"{"auth":"dTpw"}"#, Some("u")),
        // `user:with:colons`, and a password that is padded.
        (r#"{"auth":"dXNlcjp3aXRoOmNvbG9ucw=="}"#, Some("user")),
        (r#"{"auth":"dXNlcjp3aXRoOmNvbG9ucw"}"#, Some("user")),
        (r#"{"username":"u","password":"p"}"#, Some("u")),
        (
            r#"{"auth":"","username":"u","password":"p","email":"e"}"#,
            Some("u"),
        ),
        (r#"{"auth":"dTpw","identitytoken":"t"}"#, Some("identity t")),
        // Broken into lines, as `base64` writes it.
        (r#"{"auth":"dXNlcjp3\naXRoOmNvbG9ucw==\r\n"}"#, Some("user")),
        (r"{}", None),
        (r"null", None),
        (r#"{"auth":null,"identitytoken":null}"#, None),
    ] {
        let text = format!(r#"{{"auths":{{"r.example":{login}}}}}"#);
        assert_eq!(
            user(&text, "r.example", "a").as_deref(),
            expected,
            "{login}"
        );
    }
    for auth in ["garbage!", "bm9jb2xvbg==", "/w=="] {
        let login = Login {
            auth: Some(auth.to_owned()),
            ..Login::default()
        };
        assert!(login.credentials().is_err(), "{auth}");
    }
}

#[test]
fn a_helper_is_called_with_the_names_that_tools_store() {
    let store = config(r#"{"credsStore":"desktop","auths":{"https://r.example/v2/":{}}}"#);
    let hub = Wanted::new("docker.io", "shop/greeter");
    assert_eq!(store.program(&hub), Some("desktop"));
    assert_eq!(store.names(&hub), [HUB_KEY, "https://docker.io"]);
    let other = Wanted::new("r.example", "a");
    assert_eq!(
        store.names(&other),
        ["r.example", "https://r.example/v2/", "https://r.example"]
    );
    let helpers = config(
        r#"{"credsStore":"desktop","credHelpers":{"https://index.docker.io/v1/":"hub","r.example":""}}"#,
    );
    assert_eq!(helpers.program(&hub), Some("hub"));
    assert_eq!(helpers.program(&other), None, "an empty name turns it off");
}

#[test]
fn files_of_every_tool_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let login = r#"{"auths":{"r.example":{"auth":"dTpw"}},"credHelpers":null,"credsStore":null}"#;
    for (text, logins) in [
        (login.to_owned(), 1),
        (format!("\u{feff}{login}\r\n"), 1),
        (r#"{"auths":null}"#.to_owned(), 0),
        ("\u{feff}\r\n".to_owned(), 0),
    ] {
        fs::write(&path, &text).unwrap();
        let config = read(&path).unwrap().unwrap();
        assert_eq!(config.auths.len(), logins, "{text:?}");
        assert_eq!(config.program(&Wanted::new("r.example", "a")), None);
    }
}
