//! Values that were hidden in an export, because they may be secrets.
//!
//! A hidden value of a config is the text [`HIDDEN`]. The hashes of those that a wormhole lets
//! through have a form of their own, so that a hidden one is a hash that nobody has: where it is
//! applied by mistake, nobody is let through.

use super::{
    App, AppManifest, LinkManifest,
    check::Found,
    problem::{ManifestPath, ProblemKind},
};
use crate::{
    Lattice,
    desired::Desired,
    link::LinkTable,
    name::{ComponentId, ConfigName, WormholeId},
    wormhole::{PasswordHash, TokenHash, WormholeAuth},
};
use serde_json::Value;

/// What stands for a value that was hidden.
const HIDDEN: &str = "(hidden)";
/// The start of a hidden hash of a password. It has the form of one, and is none.
const HIDDEN_PASSWORD: &str = "$argon2id$v=0$hidden$hidden$hidden";
/// The start of the salt of a hidden hash of a token.
const HIDDEN_SALT: &str = "(hidden)-";

impl App {
    /// Returns the app with the values that an [export](super::Export::hide) has hidden, as
    /// `lattice` has them now. A value that `lattice` doesn't have stays hidden, and such an app
    /// can't be planned.
    pub fn with_hidden_values(self, lattice: &Lattice) -> Self {
        let (desired, links) = (lattice.desired(), lattice.replica().snapshot());
        let mut manifest = self.manifest().clone();
        let present = Present {
            desired: &desired,
            links: &links,
        };
        present.fill(&mut manifest);
        self.with_manifest(manifest)
    }
}

/// Hides every value that may be a secret, and returns their paths.
pub(super) fn hide(manifest: &mut AppManifest) -> Vec<String> {
    let mut paths = Vec::new();
    for_texts(manifest, |path, _, value| {
        HIDDEN.clone_into(value);
        paths.push(path.to_string());
    });
    for (at, link) in manifest.links.iter_mut().enumerate() {
        let path = ManifestPath::of(["links"]).item(at).field("config");
        hide_json(&path, &mut link.config, &mut paths);
    }
    for (id, wormhole) in &mut manifest.wormholes {
        let Some(auth) = &mut wormhole.auth else {
            continue;
        };
        let path = ManifestPath::of(["wormholes", id.as_str(), "auth"]);
        for (user, hash) in auth.basic.iter_mut().flatten() {
            if let Ok(hidden) = HIDDEN_PASSWORD.parse() {
                *hash = hidden;
            }
            paths.push(path.field("basic").field(user).to_string());
        }
        for (at, hash) in auth.bearer.iter_mut().flatten().enumerate() {
            let zeros = "0".repeat(64);
            if let Ok(hidden) = format!("{HIDDEN_SALT}{at}:{zeros}").parse() {
                *hash = hidden;
            }
            paths.push(path.field("bearer").item(at).to_string());
        }
    }
    paths
}

/// Returns a problem for each value that is still hidden.
pub(super) fn still(manifest: &AppManifest) -> Vec<Found> {
    let mut manifest = manifest.clone();
    let mut found = Vec::new();
    let mut add = |path: ManifestPath| {
        let reason = "this value was hidden when the manifest was exported; write the value itself";
        let reason = reason.to_owned();
        found.push((path, ProblemKind::BadValue { reason }));
    };
    for_texts(&mut manifest, |path, _, value| {
        if value == HIDDEN {
            add(path.clone());
        }
    });
    for (at, link) in manifest.links.iter().enumerate() {
        if has_hidden(&link.config) {
            add(ManifestPath::of(["links"]).item(at).field("config"));
        }
    }
    for (id, wormhole) in &manifest.wormholes {
        let auth = wormhole.auth.as_ref();
        let mut users = auth.iter().flat_map(|auth| auth.basic.iter().flatten());
        let mut tokens = auth.iter().flat_map(|auth| auth.bearer.iter().flatten());
        if users.any(|(_, hash)| is_hidden_password(hash)) || tokens.any(is_hidden_token) {
            add(ManifestPath::of(["wormholes", id.as_str(), "auth"]));
        }
    }
    found
}

/// Where a text of a config is: of an actor, of a provider, or of a named configuration.
#[derive(Clone, Copy)]
enum Holder<'m> {
    Actor(&'m ComponentId),
    Provider(&'m ComponentId),
    Config(&'m ConfigName),
}

/// Passes every value of the configs of components, and of named configurations, to `each`, with
/// its path, and with what has it under which name.
fn for_texts(
    manifest: &mut AppManifest,
    mut each: impl FnMut(&ManifestPath, (Holder<'_>, &str), &mut String),
) {
    for (id, actor) in &mut manifest.actors {
        let path = ManifestPath::of(["actors", id.as_str(), "config"]);
        for (name, value) in &mut actor.config {
            each(&path.field(name), (Holder::Actor(id), name.as_str()), value);
        }
    }
    for (id, provider) in &mut manifest.providers {
        let path = ManifestPath::of(["providers", id.as_str(), "config"]);
        for (name, value) in &mut provider.config {
            let holder = (Holder::Provider(id), name.as_str());
            each(&path.field(name), holder, value);
        }
    }
    for (config, values) in &mut manifest.configs {
        let path = ManifestPath::of(["configs", config.as_str()]);
        for (name, value) in values {
            let holder = (Holder::Config(config), name.as_str());
            each(&path.field(name), holder, value);
        }
    }
}

/// Hides texts and numbers, and keeps the names and the structure.
fn hide_json(path: &ManifestPath, json: &mut Value, paths: &mut Vec<String>) {
    match json {
        Value::Null | Value::Bool(_) => {}
        Value::Number(_) | Value::String(_) => {
            *json = HIDDEN.into();
            paths.push(path.to_string());
        }
        Value::Array(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                hide_json(&path.item(at), item, paths);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                hide_json(&path.field(name), value, paths);
            }
        }
    }
}

fn has_hidden(json: &Value) -> bool {
    match json {
        Value::String(text) => text == HIDDEN,
        Value::Array(items) => items.iter().any(has_hidden),
        Value::Object(fields) => fields.values().any(has_hidden),
        _ => false,
    }
}

fn is_hidden_password(hash: &PasswordHash) -> bool {
    hash.as_str() == HIDDEN_PASSWORD
}

fn is_hidden_token(hash: &TokenHash) -> bool {
    hash.salt().starts_with(HIDDEN_SALT)
}

/// What the lattice declares now.
struct Present<'a> {
    desired: &'a Desired,
    links: &'a LinkTable,
}

impl Present<'_> {
    fn fill(&self, manifest: &mut AppManifest) {
        for_texts(manifest, |_, (of, name), value| {
            if value == HIDDEN
                && let Some(present) = self.text(of, name)
            {
                value.clone_from(present);
            }
        });
        for link in &mut manifest.links {
            self.fill_link(link);
        }
        for (id, wormhole) in &mut manifest.wormholes {
            let Some(auth) = &mut wormhole.auth else {
                continue;
            };
            for (user, hash) in auth.basic.iter_mut().flatten() {
                if is_hidden_password(hash)
                    && let Some(present) = self.password(id, user)
                {
                    hash.clone_from(present);
                }
            }
            for hash in auth.bearer.iter_mut().flatten() {
                if is_hidden_token(hash)
                    && let Some(present) = self.token(id, hash)
                {
                    *hash = present.clone();
                }
            }
        }
    }

    fn text(&self, of: Holder<'_>, name: &str) -> Option<&String> {
        match of {
            Holder::Actor(id) => self.desired.actors.get(id)?.spec.config.get(name),
            Holder::Provider(id) => self.desired.providers.get(id)?.spec.config.get(name),
            Holder::Config(config) => self.desired.configs.get(config)?.spec.values.get(name),
        }
    }

    fn fill_link(&self, link: &mut LinkManifest) {
        if !has_hidden(&link.config) {
            return;
        }
        let present = self.links.entry(&link.to_link().key());
        let present = present.map(|entry| serde_json::from_str::<Value>(&entry.link.config));
        if let Some(Ok(present)) = present {
            fill_json(&mut link.config, &present);
        }
    }

    fn auth(&self, id: &WormholeId) -> Option<&WormholeAuth> {
        self.desired.wormholes.get(id)?.spec.auth.as_ref()
    }

    fn password(&self, id: &WormholeId, user: &str) -> Option<&PasswordHash> {
        match self.auth(id)? {
            WormholeAuth::Basic { users } => users.get(user),
            _ => None,
        }
    }

    /// Returns the token in whose place the hidden one was.
    fn token(&self, id: &WormholeId, hidden: &TokenHash) -> Option<&TokenHash> {
        let at = hidden.salt().strip_prefix(HIDDEN_SALT)?;
        match self.auth(id)? {
            WormholeAuth::Bearer { tokens } => tokens.get(at.parse::<usize>().ok()?),
            _ => None,
        }
    }
}

/// Fills in the hidden parts from a config of the same structure.
fn fill_json(json: &mut Value, present: &Value) {
    match present {
        Value::Null | Value::Bool(_) => {}
        Value::Number(_) | Value::String(_) => {
            if json == HIDDEN {
                json.clone_from(present);
            }
        }
        Value::Array(present) => {
            let items = json.as_array_mut().into_iter().flatten();
            for (item, present) in items.zip(present) {
                fill_json(item, present);
            }
        }
        Value::Object(present) => {
            for (name, value) in json.as_object_mut().into_iter().flatten() {
                if let Some(present) = present.get(name) {
                    fill_json(value, present);
                }
            }
        }
    }
}
