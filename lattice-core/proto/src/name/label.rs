//! Names that are one label: lattices, hosts, components, links, wormholes, apps, configs.

use super::{NameError, text::text};
use std::sync::{Arc, LazyLock};

const RULE: &str = "use 1 to 63 of a-z, 0-9 and `-`, starting with a letter or a digit";
const MAX: usize = 63;

fn is_label(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= MAX
        && bytes
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 63 of `a-z`, `0-9` and `-`, starting with a letter or a digit. Cheap to clone.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses a name.
            ///
            /// # Errors
            /// A [`NameError`] that says the rule.
            pub fn new(text: &str) -> Result<Self, NameError> {
                if is_label(text) { Ok(Self(text.into())) } else { Err(NameError::new($what, text, RULE)) }
            }
        }

        text!($name);
    };
}

label!(
    /// The name of a lattice: one isolated mesh on a bus.
    LatticeName, "lattice name"
);
label!(
    /// The id of a host. Chosen by a person, or made by a process that has none.
    HostId, "host id"
);
label!(
    /// The id of a component, actor or provider, within its lattice.
    ComponentId, "component id"
);
label!(
    /// The id of a wormhole: a public endpoint that leads into the lattice.
    WormholeId, "wormhole id"
);
label!(
    /// Tells several links of one source and interface apart; [`LinkName::default`] is `default`.
    LinkName, "link name"
);

label!(
    /// The name of an app: what is declared, changed and deleted together.
    AppName, "app name"
);
label!(
    /// The name of a set of configuration values that several components share.
    ConfigName, "config name"
);

impl HostId {
    /// An id made of a number that should be random: `host-` and 16 hexadecimal digits.
    pub fn from_number(number: u64) -> Self {
        Self(format!("host-{number:016x}").into())
    }

    /// As the target of a call to the host itself: hosts and components follow one rule.
    pub fn as_component(&self) -> ComponentId {
        ComponentId(self.0.clone())
    }
}

/// Most links have this name: shared, not made anew each time.
static DEFAULT_LINK: LazyLock<LinkName> = LazyLock::new(|| LinkName("default".into()));

impl Default for LinkName {
    fn default() -> Self {
        DEFAULT_LINK.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_their_rule() {
        for good in ["a", "0", "greeter", "edge-1", "a--b", &"x".repeat(63)] {
            assert_eq!(ComponentId::new(good).expect(good).as_str(), good);
        }
        for bad in [
            "",
            "-a",
            "A",
            "a_b",
            "a.b",
            "a b",
            "é",
            "a*",
            ">",
            &"x".repeat(64),
        ] {
            let error = ComponentId::new(bad).expect_err(bad);
            assert!(error.to_string().contains("1 to 63 of a-z"), "{error}");
        }
    }

    #[test]
    fn serde_checks_the_rule() {
        let id: HostId = serde_json::from_str("\"h1\"").expect("valid");
        assert_eq!(serde_json::to_string(&id).expect("text"), "\"h1\"");
        assert!(serde_json::from_str::<HostId>("\"H 1\"").is_err());
        assert_eq!(HostId::from_number(7).as_str(), "host-0000000000000007");
    }
}
