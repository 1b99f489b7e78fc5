//! Recognizes manifests of other tools, and returns advice on what to write instead.

use super::{
    encoding,
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
    /// JSON under the name of another format.
    Json,
    /// TOML under the name of another format.
    Toml,
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
            Self::Json => "end its name in `.json`",
            Self::Toml => "end its name in `.toml`",
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
            Self::Json => "JSON",
            Self::Toml => "TOML",
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

/// Returns the error for a YAML file.
pub(super) fn yaml(path: &Path) -> LoadError {
    match load::read(path) {
        Ok(text) => LoadError::Foreign {
            path: path.into(),
            found: of_yaml(encoding::without_mark(&text)),
        },
        Err(error) => error,
    }
}

/// Recognizes YAML in a text that could not be read as TOML or JSON: in a file that was given the
/// ending of another format.
pub(super) fn in_yaml(text: &str) -> Option<Foreign> {
    let mut lines = text.lines().filter(|line| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with('#')
    });
    let begins_so = lines.next().is_some_and(begins_yaml);
    (begins_so && !lines.any(begins_toml)).then(|| of_yaml(text))
}

/// Returns which tool a YAML text is for, by its top-level fields.
fn of_yaml(text: &str) -> Foreign {
    let value = |name: &str| {
        text.lines().find_map(|line| {
            let rest = line.strip_prefix(name)?.trim_start().strip_prefix(':')?;
            let value = rest.split(" #").next().unwrap_or_default();
            Some(value.trim().trim_matches(['"', '\'']))
        })
    };
    named(value("apiVersion"), |name| value(name).is_some()).unwrap_or(Foreign::Yaml)
}

/// Whether this can be the first line of a YAML text: it starts a document or a list, or it is a
/// field with a colon, which is never TOML.
fn begins_yaml(line: &str) -> bool {
    let is_field = line.split_once(':').is_some_and(|(name, value)| {
        is_bare(name) && (value.is_empty() || value.starts_with(char::is_whitespace))
    });
    is_field
        || ["---", "%YAML", "- "]
            .iter()
            .any(|start| line.starts_with(start))
}

/// Whether this is a line of TOML and not of YAML: a table, or a field with an equals sign.
fn begins_toml(line: &str) -> bool {
    let name = line.split_once('=').map(|(name, _)| name.trim_end());
    line.starts_with('[') || name.is_some_and(is_bare)
}

fn is_bare(name: &str) -> bool {
    let is_part =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    !name.is_empty() && name.chars().all(is_part)
}
