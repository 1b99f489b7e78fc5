//! What `lattice wormhole show` prints. Hashes of passwords and tokens are left out.

use crate::{
    failure::Failure,
    output::{Format, on_one_line, print as print_to_stdout, print_json},
};
use lattice_core::{
    name::{AppName, ComponentId, LinkName, WormholeId},
    wormhole::{Rate, WormholeAuth, WormholeSpec},
    wormholes::Ingresses,
};
use lattice_host::ByteSize;
use serde_json::{Value as Json, json};
use std::{fmt::Write as _, time::Duration};

pub(super) fn print(
    id: &WormholeId,
    spec: &WormholeSpec,
    ingresses: &Ingresses,
    output: Format,
) -> Result<(), Failure> {
    match output {
        Format::Table => print_to_stdout(&text(id, spec, ingresses)),
        Format::Json => print_json(&format!("{:#}", json(id, spec, ingresses))),
    }
}

fn text(id: &WormholeId, spec: &WormholeSpec, ingresses: &Ingresses) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a string never fails.
            let _ = writeln!(out, "{name:<13} {}", on_one_line(value));
        }
    };
    line("wormhole", id.as_str());
    line("state", state(spec));
    let hosts: Vec<String> = spec.hosts().map(|host| host.to_string()).collect();
    let mut hosts = hosts.join(", ");
    if hosts.is_empty() {
        hosts.push_str("any that no open wormhole has");
    }
    line("hosts", &hosts);
    line("path", &spec.path);
    line("actor", spec.actor.as_str());
    line("link", spec.link.as_str());
    line("app", spec.app.as_ref().map_or("", AppName::as_str));
    line("auth", &auth(spec));
    let limits = &spec.limits;
    let text = |value: Option<String>| value.unwrap_or_default();
    line("body", &text(limits.body.map(|size| size.to_string())));
    line("head timeout", &text(limits.head_timeout.map(time)));
    line("total timeout", &text(limits.total_timeout.map(time)));
    line("rate", &text(limits.rate.map(rate)));
    line("client rate", &text(limits.client_rate.map(rate)));
    for url in ingresses.urls(spec) {
        line("address", &url);
    }
    if ingresses.is_empty() {
        line(
            "note",
            "no live host serves wormholes; start one with `lattice up --http 127.0.0.1:8080`",
        );
    }
    out
}

fn json(id: &WormholeId, spec: &WormholeSpec, ingresses: &Ingresses) -> Json {
    let limits = &spec.limits;
    let millis = |time: Option<Duration>| {
        time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    };
    json!({
        "wormhole": id.as_str(),
        "state": state(spec),
        "hosts": spec.hosts().collect::<Vec<_>>(),
        "path": spec.path,
        "actor": spec.actor.as_str(),
        "link": spec.link.as_str(),
        "app": spec.app.as_ref().map(AppName::as_str),
        "auth": spec.auth.as_ref().map(|auth| json!({
            "kind": auth.kind(),
            "users": users(auth),
            "tokens": tokens(auth),
            "verifier": auth.verifier().map(ComponentId::as_str),
            "verifier_link": auth.verifier_link().map(LinkName::as_str),
        })),
        "limits": {
            "body": limits.body.map(ByteSize::as_u64),
            "head_timeout_ms": millis(limits.head_timeout),
            "total_timeout_ms": millis(limits.total_timeout),
            "rate": limits.rate.map(rate),
            "client_rate": limits.client_rate.map(rate),
        },
        "addresses": ingresses.urls(spec),
    })
}

fn state(spec: &WormholeSpec) -> &'static str {
    if spec.is_open() { "open" } else { "closed" }
}

fn auth(spec: &WormholeSpec) -> String {
    let Some(auth) = &spec.auth else {
        return "none: all requests are let through".to_owned();
    };
    let kind = auth.kind();
    if let Some(users) = users(auth) {
        return format!("{kind}: {}", users.join(", "));
    }
    if let Some(tokens) = tokens(auth) {
        return format!("{kind}: {tokens} of them");
    }
    let actor = auth.verifier().map_or("", ComponentId::as_str);
    let link = auth.verifier_link().map_or("", LinkName::as_str);
    format!("{kind}: {actor} over link {link}")
}

fn users(auth: &WormholeAuth) -> Option<Vec<&str>> {
    match auth {
        WormholeAuth::Basic { users } => Some(users.keys().map(String::as_str).collect()),
        _ => None,
    }
}

fn tokens(auth: &WormholeAuth) -> Option<usize> {
    match auth {
        WormholeAuth::Bearer { tokens } => Some(tokens.len()),
        _ => None,
    }
}

fn time(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

fn rate(rate: Rate) -> String {
    if rate.burst == rate.per_second {
        format!("{}/s", rate.per_second)
    } else {
        format!("{}/s:{}", rate.per_second, rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_host::http::hash_password;

    #[test]
    fn no_hash_is_shown() {
        let mut spec = WormholeSpec::new("shop".parse().expect("an id"));
        let hash = hash_password("s3cret").parse().expect("a hash");
        spec.auth = Some(WormholeAuth::Basic {
            users: [("ada".to_owned(), hash)].into(),
        });
        let id = "quiet-harbor-4821".parse().expect("an id");
        let none = Ingresses::default();
        let (text, json) = (text(&id, &spec, &none), json(&id, &spec, &none));
        assert!(text.contains("auth          basic: ada\n"), "{text}");
        assert!(text.contains("lattice up --http"), "{text}");
        assert_eq!(json["auth"]["users"], json!(["ada"]));
        for shown in [text, json.to_string()] {
            assert!(!shown.contains("argon2"), "{shown}");
        }
    }
}
