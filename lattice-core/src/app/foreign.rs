//! Recognizes manifests of other tools, and returns advice on what to write instead.

use super::{
    load::{self, LoadError},
    tree::{Node, Value},
};
use std::{fmt, path::Path};

/// A file for another tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Foreign {
    /// An application of the Open Application Model, as wadm reads it.
    Oam,
    /// An object of Kubernetes.
    Kubernetes,
    /// A file of Docker Compose.
    Compose,
    /// YAML.
    Yaml,
}

impl Foreign {
    /// Returns what to write instead.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Oam => {
                "Lattice reads manifests of its own, in TOML or JSON. Write for a component of type\n\
                 `component`: [actors.NAME] with image = \"REGISTRY/REPOSITORY:TAG\", and replicas = N for its spreadscaler;\n\
                 `capability`: [providers.NAME] with builtin = \"NAME\", or NAME in `external = [\"NAME\"]` when it joins the lattice by itself;\n\
                 and for each trait `link`: [[links]] with from = \"COMPONENT\", to = \"TARGET\", interface = \"NAMESPACE:PACKAGE/INTERFACE@VERSION\"\n\
                 for each of its interfaces, and config = { … } for its target's configuration"
            }
            Self::Kubernetes | Self::Compose => {
                "Lattice reads manifests of its own, in TOML or JSON, such as: name = \"shop\", then [actors.greeter] with image = \"ghcr.io/shop/greeter:1.2\""
            }
            Self::Yaml => {
                "manifests are TOML or JSON; convert it, for example with `yq -o=json`, and end its name in `.json`"
            }
        }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Oam => "an OAM application for wadm, not a manifest of Lattice",
            Self::Kubernetes => "an object for Kubernetes, not a manifest of Lattice",
            Self::Compose => "a file for Docker Compose, not a manifest of Lattice",
            Self::Yaml => "YAML",
        })
    }
}

/// Recognizes another tool's manifest by its top-level fields.
pub(super) fn of(tree: &Node) -> Option<Foreign> {
    let Value::Table(entries) = &tree.value else {
        return None;
    };
    let api = entries.iter().find_map(|(key, node)| match &node.value {
        Value::Text(text) if key.text == "apiVersion" => Some(text.as_str()),
        _ => None,
    });
    named(api, |name| entries.iter().any(|(key, _)| key.text == name))
}

/// Recognizes another tool's manifest by the value of `apiVersion` and the fields that it has.
fn named(api: Option<&str>, has: impl Fn(&str) -> bool) -> Option<Foreign> {
    match api {
        Some(api) if api.starts_with("core.oam.dev/") => Some(Foreign::Oam),
        Some(_) if has("kind") => Some(Foreign::Kubernetes),
        _ if has("services") && !has("actors") => Some(Foreign::Compose),
        _ => None,
    }
}

/// Returns the error for a YAML file. Its top-level fields show which tool it is for.
pub(super) fn yaml(path: &Path) -> LoadError {
    let text = match load::read(path) {
        Ok(text) => text,
        Err(error) => return error,
    };
    let value = |name: &str| {
        text.lines().find_map(|line| {
            let rest = line.strip_prefix(name)?.trim_start().strip_prefix(':')?;
            let value = rest.split(" #").next().unwrap_or_default();
            Some(value.trim().trim_matches(['"', '\'']))
        })
    };
    LoadError::Foreign {
        path: path.into(),
        found: named(value("apiVersion"), |name| value(name).is_some()).unwrap_or(Foreign::Yaml),
    }
}
