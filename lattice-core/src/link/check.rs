//! Checks whether a link can work, as far as that is known when it is created. Pure.

use super::Link;
use crate::{
    name::{ComponentId, FunctionName, InterfaceName},
    types::{ComponentTypes, InterfaceTypes},
};
use std::fmt::{self, Display};

/// Largest encoded link in bytes. Every host keeps every link in memory, and the configuration of a
/// session is small. Larger configuration belongs where the provider can fetch it.
pub const MAX_LINK: usize = 64 * 1024;
/// Most functions that a link declares idempotent: more than interfaces have, and few enough that a
/// link takes at most twice its bytes and 64 KiB of memory.
pub const MAX_IDEMPOTENT: usize = 1024;

/// Why a link can't work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkMismatch {
    /// The configuration is not JSON.
    #[error(
        "the link's config is not JSON ({reason}); give it something that serializes with `Link::config`"
    )]
    Config {
        /// The parser's error.
        reason: String,
    },
    /// The link is too large.
    #[error(
        "the link has {bytes} bytes and the limit is {limit}; let the target fetch large configuration from elsewhere"
    )]
    TooLarge {
        /// Its encoded size in bytes.
        bytes: usize,
        /// The limit: [`MAX_LINK`].
        limit: usize,
    },
    /// The link declares more functions idempotent than allowed.
    #[error(
        "the link declares {count} functions idempotent and the limit is {limit}; name only those that the source calls"
    )]
    TooManyIdempotent {
        /// How many functions.
        count: usize,
        /// The limit: [`MAX_IDEMPOTENT`].
        limit: usize,
    },
    /// The target does not export the interface in a compatible version.
    #[error(
        "component `{target}` does not export `{interface}`, only {}; link to one that does, or start a version of it that does",
        Listed(exports)
    )]
    NotExported {
        /// The target.
        target: ComponentId,
        /// The link's interface.
        interface: InterfaceName,
        /// The interfaces that it exports.
        exports: Vec<InterfaceName>,
    },
    /// The source calls a function that the target's version of the interface does not have.
    #[error(
        "component `{source_id}` calls `{interface}#{function}`, and component `{target}` exports it without that function, only with {}; start a newer version of the target",
        Listed(exports)
    )]
    FunctionNotExported {
        /// The source.
        source_id: ComponentId,
        /// The target.
        target: ComponentId,
        /// The interface as the target exports it.
        interface: InterfaceName,
        /// The function.
        function: FunctionName,
        /// The functions that the target has.
        exports: Vec<FunctionName>,
    },
    /// Source and target disagree on a function's type.
    #[error(
        "`{interface}#{function}` has type `{expected}` for component `{source_id}`, but component `{target}` has `{found}`; build both against the same WIT"
    )]
    SchemaMismatch {
        /// The source.
        source_id: ComponentId,
        /// The target.
        target: ComponentId,
        /// The interface as the source imports it.
        interface: InterfaceName,
        /// The function.
        function: FunctionName,
        /// The source's signature.
        expected: String,
        /// The target's signature.
        found: String,
    },
    /// The link declares a function idempotent that the target does not have. Such a function would
    /// never be retried.
    #[error(
        "the link declares `{function}` idempotent, but `{interface}` of component `{target}` has only {}; correct the name",
        Listed(exports)
    )]
    NoSuchIdempotent {
        /// The target.
        target: ComponentId,
        /// The interface as the target exports it.
        interface: InterfaceName,
        /// The function.
        function: FunctionName,
        /// The functions that the target has.
        exports: Vec<FunctionName>,
    },
}

impl Link {
    /// Checks that this link can work: by itself, and against the types of its two ends as far as
    /// they are known.
    ///
    /// A component may link to itself: a call of its own export goes to another instance, and the
    /// hop limit ends a loop.
    ///
    /// # Errors
    /// Fails with the first [`LinkMismatch`] found.
    pub fn check(
        &self,
        source: Option<&ComponentTypes>,
        target: Option<&ComponentTypes>,
    ) -> Result<(), LinkMismatch> {
        self.check_itself()?;
        let Some(target) = target else {
            return Ok(());
        };
        let Some((name, exported)) = target.export(&self.interface) else {
            return Err(LinkMismatch::NotExported {
                target: self.target.clone(),
                interface: self.interface.clone(),
                exports: target.exports.keys().cloned().collect(),
            });
        };
        self.check_idempotent(name, exported)?;
        // The link serves every version of the interface that the source imports.
        source
            .into_iter()
            .flat_map(|source| &source.imports)
            .filter(|(import, _)| import.is_compatible(&self.interface))
            .try_for_each(|import| self.check_functions(import, (name, exported)))
    }

    fn check_itself(&self) -> Result<(), LinkMismatch> {
        // The config is most of a link. The rest is names, whose lengths are limited.
        let names: usize = self.idempotent.iter().map(|name| name.as_str().len()).sum();
        let bytes = self.config.len() + names;
        if bytes > MAX_LINK {
            return Err(LinkMismatch::TooLarge {
                bytes,
                limit: MAX_LINK,
            });
        }
        if self.idempotent.len() > MAX_IDEMPOTENT {
            return Err(LinkMismatch::TooManyIdempotent {
                count: self.idempotent.len(),
                limit: MAX_IDEMPOTENT,
            });
        }
        match serde_json::from_str::<serde::de::IgnoredAny>(&self.config) {
            Ok(_) => Ok(()),
            Err(error) => Err(LinkMismatch::Config {
                reason: error.to_string(),
            }),
        }
    }

    fn check_idempotent(
        &self,
        interface: &InterfaceName,
        exported: &InterfaceTypes,
    ) -> Result<(), LinkMismatch> {
        let unknown = self
            .idempotent
            .iter()
            .find(|function| !exported.functions.contains_key(*function));
        match unknown {
            None => Ok(()),
            Some(function) => Err(LinkMismatch::NoSuchIdempotent {
                target: self.target.clone(),
                interface: interface.clone(),
                function: function.clone(),
                exports: exported.functions.keys().cloned().collect(),
            }),
        }
    }

    fn check_functions(
        &self,
        (import, imported): (&InterfaceName, &InterfaceTypes),
        (export, exported): (&InterfaceName, &InterfaceTypes),
    ) -> Result<(), LinkMismatch> {
        for (function, expected) in &imported.functions {
            let Some(found) = exported.functions.get(function) else {
                return Err(LinkMismatch::FunctionNotExported {
                    source_id: self.source.clone(),
                    target: self.target.clone(),
                    interface: export.clone(),
                    function: function.clone(),
                    exports: exported.functions.keys().cloned().collect(),
                });
            };
            if !found.lines().any(|found| found == expected) {
                return Err(LinkMismatch::SchemaMismatch {
                    source_id: self.source.clone(),
                    target: self.target.clone(),
                    interface: import.clone(),
                    function: function.clone(),
                    expected: expected.clone(),
                    found: found.clone(),
                });
            }
        }
        Ok(())
    }
}

/// The first few names, for a message.
struct Listed<'a, T>(&'a [T]);

impl<T: Display> Display for Listed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        for (at, name) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}`{name}`", if at == 0 { "" } else { ", " })?;
        }
        match self.0.len() {
            0 => f.write_str("nothing"),
            all if all > SHOWN => write!(f, " and {} more", all - SHOWN),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(exports: &[(&str, &[(&str, &str)])]) -> ComponentTypes {
        let interface = |(name, functions): &(&str, &[(&str, &str)])| {
            let functions = functions
                .iter()
                .map(|(name, text)| (FunctionName::new(name).expect(name), (*text).to_owned()))
                .collect();
            (
                InterfaceName::new(name).expect(name),
                InterfaceTypes { functions },
            )
        };
        ComponentTypes {
            exports: exports.iter().map(interface).collect(),
            ..ComponentTypes::default()
        }
    }

    fn importing(imports: &[(&str, &[(&str, &str)])]) -> ComponentTypes {
        ComponentTypes {
            imports: types(imports).exports,
            ..ComponentTypes::default()
        }
    }

    fn link() -> Link {
        Link::new("front", "a:b/c@0.2.0", "back").expect("valid")
    }

    #[test]
    fn a_link_is_checked_against_the_known_types() {
        let target = types(&[("a:b/c@0.2.5", &[("get", "func()"), ("put", "func(a: u8)")])]);
        let same = importing(&[("a:b/c@0.2.1", &[("get", "func()")])]);
        let differs = importing(&[("a:b/c@0.2.1", &[("put", "func(a: u16)")])]);
        let more = importing(&[("a:b/c@0.2.1", &[("list", "func()")])]);
        let unrelated = importing(&[("x:y/z", &[("put", "func(a: u16)")])]);
        let link = link();
        assert_eq!(link.check(None, None), Ok(()));
        assert_eq!(link.check(Some(&differs), None), Ok(()));
        assert_eq!(link.check(None, Some(&target)), Ok(()));
        assert_eq!(link.check(Some(&same), Some(&target)), Ok(()));
        assert_eq!(link.check(Some(&unrelated), Some(&target)), Ok(()));
        let error = link
            .check(Some(&differs), Some(&target))
            .expect_err("differs");
        assert_eq!(
            error.to_string(),
            "`a:b/c@0.2.1#put` has type `func(a: u16)` for component `front`, but component `back` has `func(a: u8)`; build both against the same WIT"
        );
        let error = link.check(Some(&more), Some(&target)).expect_err("more");
        assert!(
            matches!(&error, LinkMismatch::FunctionNotExported { exports, .. } if exports.len() == 2),
            "{error}"
        );
    }

    #[test]
    fn an_interface_that_is_not_exported_is_rejected_with_a_list_of_the_exported_ones() {
        for (target, listed) in [
            (types(&[("a:b/c@0.3.0", &[])]), "only `a:b/c@0.3.0`;"),
            (types(&[]), "only nothing;"),
        ] {
            let error = link().check(None, Some(&target)).expect_err("not exported");
            assert!(matches!(error, LinkMismatch::NotExported { .. }));
            assert!(error.to_string().contains(listed), "{error}");
        }
    }

    #[test]
    fn a_misspelt_idempotent_function_is_rejected_when_the_target_is_known() {
        let target = types(&[("a:b/c@0.2.0", &[("get", "func()")])]);
        let link = link().idempotent(["gte"]).expect("a name");
        assert_eq!(link.check(None, None), Ok(()));
        let error = link.check(None, Some(&target)).expect_err("misspelt");
        assert!(error.to_string().contains("only `get`"), "{error}");
    }

    #[test]
    fn config_must_be_json_within_its_size_limit() {
        for bad in ["", "{", "{} x", "nope", &"[".repeat(10_000)] {
            let link = Link {
                config: bad.to_owned(),
                ..link()
            };
            assert!(
                matches!(link.check(None, None), Err(LinkMismatch::Config { .. })),
                "{bad:.20}"
            );
        }
        for (length, fits) in [(MAX_LINK - 2, true), (MAX_LINK, false)] {
            let link = link().config(&"x".repeat(length)).expect("JSON");
            assert_eq!(link.check(None, None).is_ok(), fits, "{length}");
        }
    }

    #[test]
    fn as_many_idempotent_functions_can_be_written_as_can_be_read() {
        for (count, fits) in [(MAX_IDEMPOTENT, true), (MAX_IDEMPOTENT + 1, false)] {
            let names = (0..count).map(|n| format!("f{n}"));
            let link = link().idempotent(names).expect("names");
            assert_eq!(link.check(None, None).is_ok(), fits, "{count}");
            let bytes = crate::value::to_bytes(&link).expect("encodes");
            let read = crate::value::from_bytes::<Link>(&bytes);
            assert_eq!(read.is_ok(), fits, "{read:?}");
        }
    }
}
