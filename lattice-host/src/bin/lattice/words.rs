//! Prepares texts of the library, hosts, guests and peers for a terminal: names of the library's
//! methods are replaced by the command's options, and control characters are removed.

/// Phrases of the library that name its API, each with the phrase for the command line.
const PHRASES: [(&str, &str); 37] = [
    // Before the one for links, which is a part of it.
    (
        "; `list` shows the existing ones, `create` makes one",
        "; `lattice wormhole list` shows the existing ones, `lattice wormhole open` makes one",
    ),
    (
        "; give this one a name of its own with `Link::named`, or put it with `replace`",
        "; give this one another name with `--name`, or replace that one with `--replace`",
    ),
    (
        "give it something that serializes with `Link::config`",
        "give it JSON with `--config`",
    ),
    (
        "; `list` shows the existing ones",
        "; `lattice link list` shows the existing ones",
    ),
    (
        "; change it with `update`, or choose another id",
        "; change it with `lattice wormhole open`, or choose another id",
    ),
    (" or `MetricsEndpoint::token`", ""),
    (" or `MetricsEndpoint::open`", ""),
    (", or with `Limits::memory`", ""),
    (", or with `Limits::table_elements`", ""),
    (", or with `Limits::handles`", ""),
    (", or with `Limits::kept`", ""),
    (", or with `Limits::outgoing_bytes`", ""),
    (", or with `NatsOptions::max_payload`", ""),
    (
        ", or raise `message_memory` of its connection",
        ", or start more hosts",
    ),
    (
        "request less, or raise `message_memory` of the connection",
        "or request less",
    ),
    (
        "give it one with `.key(LatticeKey::from_env(\"LATTICE_KEY\")?)`, or call `.trust_bus()` if",
        "give it one with `--key-file`, or use `--trust-bus` if",
    ),
    (
        "; move what takes long into `tokio::task::spawn_blocking`",
        "; its code has to do what takes long on other threads",
    ),
    (
        "; call `shutdown` first",
        "; one that is signalled only once lets them finish first",
    ),
    (
        "; the limit is `Provider::handles`",
        "; its provider sets the limit",
    ),
    (", or with `EngineBuilder::guest_memory`", ""),
    (" or `EngineBuilder::guest_memory`", ""),
    (
        "with `Connect::store_max_bytes`",
        "with `--store-max-bytes`",
    ),
    ("name it with `plain_http`", "name it with `--plain-http`"),
    (
        "give its authority with `root_certificate`",
        "give its authority with `--registry-ca`",
    ),
    (
        "give the authority of the registry with `root_certificate`",
        "give the authority of the registry with `--registry-ca`",
    ),
    (
        "the certificates given with `root_certificate`",
        "the certificates given with `--registry-ca`",
    ),
    (
        "log in with docker and use `docker_config`",
        "log in with `docker login`",
    ),
    (", or raise the limit with `max_size`", ""),
    (": raise it with `max_size`", ""),
    (", or raise the deadline with `within`", ", or try again"),
    (
        ", or the provider into it with `HostBuilder::builtin`",
        ", or a host program of your own with the provider in it",
    ),
    (
        "; add it with `HostBuilder::builtin`,",
        "; add it to the host's program,",
    ),
    (", or `HostBuilder::provider_access`", ""),
    (" or `HostBuilder::programs`", ""),
    (" or `HostBuilder::program_folder`", ""),
    (
        "call `lattice_host::wrap_programs` at the start of the host's `main`, as the command `lattice` does, or install",
        "install",
    ),
    ("; `components()` returns the components that it serves", ""),
];

/// The most characters of a quoted part. Some types have a hundred thousand.
const LONGEST_QUOTE: usize = 400;

/// Returns the text for a terminal, with its line breaks.
pub(crate) fn for_terminal(text: &str) -> String {
    let text = harmless(&in_commands(text));
    let lines: Vec<_> = text.split('\n').map(with_short_quotes).collect();
    lines.join("\n")
}

/// Returns a line in which the parts in backticks are shortened. An unmatched backtick has no
/// effect.
fn with_short_quotes(line: &str) -> String {
    let parts: Vec<_> = line.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return line.to_owned();
    }
    let parts = parts.iter().enumerate().map(|(at, part)| match at % 2 {
        1 => shortened(part, LONGEST_QUOTE),
        _ => (*part).to_owned(),
    });
    parts.collect::<Vec<_>>().join("`")
}

/// Returns the text without characters that control a terminal or the direction of writing. Line
/// ends stay.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => c,
            c if is_control(c) => ' ',
            c => c,
        })
        .collect()
}

/// Returns whether a terminal would act on the character instead of showing it.
pub(crate) fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns JSON in which such characters in strings are replaced by their escapes.
pub(crate) fn harmless_json(json: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        // Outside of strings JSON has only ASCII, and inside no control characters of ASCII.
        if is_control(c) && (c > '\u{7e}') {
            // Writing to a string never fails.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Returns the start of a very long text, such as the type of a large interface.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

/// Returns a text of the library with the names of options and commands in place of those of Rust.
pub(crate) fn in_commands(text: &str) -> String {
    let mut text = with_link_command(text);
    for (library, command) in PHRASES {
        if text.contains(library) {
            text = text.replace(library, command);
        }
    }
    with_login_options(&text)
}

/// Replaces the call that puts a link with the command that adds it.
fn with_link_command(text: &str) -> String {
    const CALL: &str = "lattice.links().put(Link::new(";
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(CALL) {
        let (before, call) = rest.split_at(at);
        let arguments = &call[CALL.len()..];
        let Some(end) = arguments.find("))") else {
            break;
        };
        let words: Vec<&str> = arguments[..end]
            .split(", ")
            .map(|word| word.trim_matches(['\\', '"']))
            .collect();
        out.push_str(before);
        out.push_str("lattice link add ");
        out.push_str(&words.join(" "));
        if let Some(name) = link_name(before) {
            out.push_str(" --name ");
            out.push_str(name);
        }
        rest = &arguments[end + 2..];
    }
    out.push_str(rest);
    out
}

/// Returns the name of the link that the sentence before is about, unless it is the default name.
fn link_name(before: &str) -> Option<&str> {
    let (_, name) = before.rsplit_once("has no link `")?;
    let (name, _) = name.split_once('`')?;
    (name != "default").then_some(name)
}

/// Replaces `credentials("registry", …)`, which names the registry, with the options.
fn with_login_options(text: &str) -> String {
    const CALL: &str = "`credentials(\"";
    let mut text = text.to_owned();
    while let Some(at) = text.find(CALL) {
        let Some(end) = text[at..].find(")`") else {
            break;
        };
        text.replace_range(at..at + end + 2, "`--user` and `--password-file`");
    }
    text
}

#[cfg(test)]
mod sources;

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_core::{app::App, call::CallError};
    use lattice_host::{
        ActorError, ByteSize,
        artifact::{FetchError, RegistryError},
    };

    /// Names of Rust items that a message for the command line must not contain.
    fn rust_in(text: &str) -> Option<&'static str> {
        let words = [
            "::",
            ".put(",
            "plain_http",
            "credentials(",
            "docker_config",
            "max_size",
            "()",
            "Exactly",
        ];
        words.into_iter().find(|word| text.contains(word))
    }

    #[test]
    fn advice_names_commands_and_options() {
        let not_linked = CallError::NotLinked {
            source_id: "web".parse().expect("an id"),
            interface: "a:b/c@1.0.0".to_owned(),
            link: "second".parse().expect("a name"),
        };
        let text = for_terminal(&not_linked.to_string());
        assert!(
            text.ends_with("add one with `lattice link add web a:b/c@1.0.0 TARGET --name second`"),
            "{text}"
        );
        // The message is also tested as the reason of another error, with the quotes escaped once.
        let nested = format!("{not_linked:?}: {:?}", not_linked.to_string());
        let text = for_terminal(&nested);
        assert!(
            text.contains("`lattice link add web a:b/c@1.0.0 TARGET --name second`"),
            "{text}"
        );

        let registry = "ghcr.io".to_owned();
        for error in [
            RegistryError::CredentialsNeeded {
                registry: registry.clone(),
                repository: "shop/greeter".to_owned(),
            },
            RegistryError::DockerConfig {
                registry,
                source: std::sync::Arc::new(std::io::Error::other("broken")),
            },
        ] {
            let text = for_terminal(&FetchError::from(error).to_string());
            assert_eq!(rust_in(&text), None, "{text}");
        }
    }

    #[test]
    fn limits_are_raised_in_the_manifest_or_with_options() {
        let (needs, limit) = (ByteSize::mib(3), ByteSize::mib(2));
        let memory = ActorError::TooMuchMemory { needs, limit };
        let elements = ActorError::TooManyTableElements {
            needs: 30,
            limit: 20,
        };
        let guests = ActorError::OverGuestMemory { needs, limit };
        for (error, advice) in [
            (
                memory,
                "raise it with `limits = { memory = \"3MiB\" }` in the manifest",
            ),
            (
                elements,
                "raise it with `limits = { table-elements = 30 }` in the manifest",
            ),
            (guests, "raise that with `lattice up --guest-memory`"),
        ] {
            let text = for_terminal(&error.to_string());
            assert!(text.ends_with(advice), "{text}");
        }
    }

    #[tokio::test]
    async fn a_plan_names_fields_as_a_manifest_does() {
        let lattice = lattice_core::Lattice::in_memory("dev")
            .await
            .expect("in memory");
        let manifest = |replicas: &str| {
            let text = format!(
                "name = \"shop\"\n[actors.greeter]\nimage = \"oci:ghcr.io/shop/greeter@sha256:{}\"\n{replicas}\n",
                "0".repeat(64)
            );
            App::from_toml("shop.toml", &text).expect("a manifest")
        };
        lattice
            .apply(&manifest("replicas = 12"))
            .await
            .expect("applies");
        let plan = lattice
            .plan(&manifest("replicas = 1"))
            .await
            .expect("plans");
        let text = for_terminal(&plan.to_string());
        assert!(text.contains("\n      replicas: 12 -> 1\n"), "{text}");
        let newer = manifest("replicas = \"per-host\"\nrequire = { zone = \"a\" }");
        let plan = lattice.plan(&newer).await.expect("plans");
        let text = for_terminal(&plan.to_string());
        assert_eq!(rust_in(&text), None, "{text}");
        assert!(
            text.contains("per-host") && text.contains("\n      require.zone: "),
            "{text}"
        );
    }

    #[test]
    fn a_long_type_in_a_message_is_short() {
        let ty = |name: &str| format!("func(a: {})", format!("list<{name}>, ").repeat(20_000));
        let error = CallError::SchemaMismatch {
            component: "greeter".parse().expect("an id"),
            interface: "a:b/c@1.0.0".to_owned(),
            function: "f".to_owned(),
            expected: ty("u8"),
            found: ty("u16"),
        };
        let text = for_terminal(&error.to_string());
        assert!(text.len() < 2_000, "{} bytes", text.len());
        assert!(
            text.contains("func(a: list<u16>") && text.ends_with("the same WIT"),
            "{text}"
        );
    }

    #[test]
    fn control_characters_are_removed() {
        assert_eq!(for_terminal("a\u{61c}b\u{200f}c\u{2067}d"), "a b c d");
        let text = "a\u{1b}[2J\u{9b}31m\u{202e}b\r\nc\u{7f}\u{7}";
        let shown = for_terminal(text);
        assert_eq!(shown, "a [2J 31m b \nc  ");
        let json = serde_json::json!({ "ö\u{9b}": "\u{1b}\u{202e}ß" }).to_string();
        let shown = harmless_json(&json);
        assert!(!shown.chars().any(is_control), "{shown}");
        let back: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(back["ö\u{9b}"], "\u{1b}\u{202e}ß");
    }
}
