//! The names in requests.

use super::failed;
use crate::problem::Problem;
use lattice_core::{
    link::LinkKey,
    name::{ComponentId, InterfaceName, LinkName, NameError},
};
use serde::Deserialize;

/// Longest interface in bytes, as in the lattice.
const MAX_INTERFACE: usize = 128;

/// The key of a link, as a request names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyText {
    pub(super) source: String,
    pub(super) interface: String,
    #[serde(default = "default_name")]
    pub(super) name: String,
}

pub(super) fn default_name() -> String {
    LinkName::default().to_string()
}

impl KeyText {
    pub(super) fn key(&self) -> Result<LinkKey, Problem> {
        key(&self.source, &self.interface, &self.name)
    }
}

/// Returns the key of a link. The interface has its whole version, or the compatible one alone, as
/// in the key itself.
pub(super) fn key(source: &str, interface: &str, name: &str) -> Result<LinkKey, Problem> {
    let interface = match InterfaceName::new(interface) {
        Ok(exact) => exact.compat(),
        Err(_) if is_compatible_version(interface) => interface.to_owned(),
        Err(error) => return Err(failed::name(&error)),
    };
    Ok(LinkKey {
        source: component(source)?,
        interface,
        name: LinkName::new(name).map_err(|error| failed::name(&error))?,
    })
}

/// Returns whether this is an interface with a version such as `1` or `0.2`.
fn is_compatible_version(text: &str) -> bool {
    let Some((path, version)) = text.split_once('@') else {
        return false;
    };
    let numbers: Vec<&str> = version.split('.').collect();
    let is_number =
        |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let whole = format!("{path}@{version}{}", ".0".repeat(3 - numbers.len().min(3)));
    text.len() <= MAX_INTERFACE
        && numbers.iter().all(is_number)
        && InterfaceName::new(&whole).is_ok_and(|exact| exact.compat() == text)
}

pub(super) fn component(id: &str) -> Result<ComponentId, Problem> {
    named(ComponentId::new(id))
}

pub(super) fn interface(text: &str) -> Result<InterfaceName, Problem> {
    named(InterfaceName::new(text))
}

pub(super) fn named<T>(name: Result<T, NameError>) -> Result<T, Problem> {
    name.map_err(|error| failed::name(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_compatible_version_however_it_is_written() {
        for (given, expected) in [
            ("a:b/c@0.2.7", "a:b/c@0.2"),
            ("a:b/c@0.2", "a:b/c@0.2"),
            ("a:b/c@3.1.0", "a:b/c@3"),
            ("a:b/c@3", "a:b/c@3"),
            ("a:b/c@0.0.4", "a:b/c@0.0.4"),
            ("a:b/c", "a:b/c"),
            ("a:b/c@0.2.0-draft", "a:b/c@0.2.0-draft"),
        ] {
            let key = key("front", given, "default").expect(given);
            assert_eq!(key.interface, expected, "{given}");
        }
        for wrong in [
            "",
            "a",
            "a:b/c@",
            "a:b/c@x",
            "a:b/c@0",
            "a:b/c@3.1",
            "a:b/c@1.2.3.4",
        ] {
            assert!(key("front", wrong, "default").is_err(), "{wrong}");
        }
        assert!(key("Front", "a:b/c", "default").is_err());
        assert!(key("front", "a:b/c", "a b").is_err());
    }
}
