//! Tokens of portable resources, sealed for the component that holds the handle.
//!
//! ```text
//! ┌────────────────┬─────┐  tag over: component · type of the resource · holder · token
//! │ token          │ tag │
//! └────────────────┴─────┘
//! ```
//! Sealed means authenticated, not encrypted: the holder's host can read the token. In suite 0, the
//! tag proves nothing, like that of a frame.

use super::{Auth, Purpose, TAG_LEN};
use crate::{id::Source, name::ComponentId, value::bounded};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Most bytes of a token. It names what the resource stands for, and doesn't contain it; it is sent
/// along with each handle.
pub const MAX_TOKEN: usize = 1_024;

const MAX_SEALED: usize = MAX_TOKEN + TAG_LEN;

/// What a token is bound to: it is valid for nothing else.
#[derive(Debug, Clone, Copy)]
pub struct TokenScope<'s> {
    /// The component that has the resource. Every replica of it accepts the token.
    pub component: &'s ComponentId,
    /// The resource's type: `package/interface/name` without a version.
    pub resource: &'s str,
    /// Who holds the handle. `None` while it is on its way in a stream, when no component does. No
    /// replica accepts such a token before it is sealed again, for the component that takes the
    /// handle.
    pub holder: Option<&'s Source>,
}

/// A sealed token, as hosts pass it to each other.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SealedToken(#[serde(deserialize_with = "sealed")] Box<[u8]>);

fn sealed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[u8]>, D::Error> {
    let bytes: Vec<u8> = bounded::list::<_, u8, MAX_SEALED>(deserializer)?;
    Ok(bytes.into_boxed_slice())
}

impl fmt::Debug for SealedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedToken({} bytes)", self.0.len())
    }
}

/// Why a token was not sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is too long.
    #[error(
        "a token has {size} bytes, and may have {}; keep what it stands for elsewhere, and only its name in the token",
        MAX_TOKEN
    )]
    TooLong {
        /// How many bytes it has.
        size: usize,
    },
    /// It was forged, changed, or is bound to another component, resource or holder.
    #[error("its token isn't valid for this component, resource and holder")]
    Invalid,
}

impl Auth {
    /// Seals a token.
    ///
    /// # Errors
    /// Fails with [`TokenError::TooLong`].
    pub fn seal_token(
        &self,
        scope: TokenScope<'_>,
        token: &[u8],
    ) -> Result<SealedToken, TokenError> {
        let size = token.len();
        if size > MAX_TOKEN {
            return Err(TokenError::TooLong { size });
        }
        let tag = scope.with_parts(token, |parts| self.tag(Purpose::Token, parts));
        let mut sealed = Vec::with_capacity(size + TAG_LEN);
        sealed.extend_from_slice(token);
        sealed.extend_from_slice(&tag);
        Ok(SealedToken(sealed.into_boxed_slice()))
    }

    /// Returns the token that was sealed.
    ///
    /// # Errors
    /// Fails with [`TokenError::Invalid`], unless it was sealed in this very scope.
    pub fn open_token(
        &self,
        scope: TokenScope<'_>,
        sealed: &SealedToken,
    ) -> Result<Bytes, TokenError> {
        let (token, tag) = sealed
            .0
            .split_last_chunk::<TAG_LEN>()
            .ok_or(TokenError::Invalid)?;
        let is_valid =
            scope.with_parts(token, |parts| self.verify(Purpose::Token, parts, &tag[..]));
        if is_valid {
            Ok(Bytes::copy_from_slice(token))
        } else {
            Err(TokenError::Invalid)
        }
    }
}

impl TokenScope<'_> {
    /// Calls `f` with what is authenticated.
    fn with_parts<T>(self, token: &[u8], f: impl FnOnce(&[&[u8]]) -> T) -> T {
        let (kind, holder): (u8, &str) = match self.holder {
            None => (0, ""),
            Some(Source::Component(id)) => (1, id.as_str()),
            Some(Source::Operator) => (2, ""),
            Some(Source::Wormhole(id)) => (3, id.as_str()),
            Some(Source::Host(id)) => (4, id.as_str()),
        };
        f(&[
            self.component.as_str().as_bytes(),
            self.resource.as_bytes(),
            &[kind],
            holder.as_bytes(),
            token,
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::LatticeKey,
        name::{HostId, LatticeName},
        value,
    };

    fn auth(lattice: &str, key: u8) -> Auth {
        let key = LatticeKey::from_hex(&hex::encode([key; 32])).expect("a key");
        Auth::keyed(&LatticeName::new(lattice).expect("a name"), &key)
    }

    fn component(id: &str) -> ComponentId {
        ComponentId::new(id).expect("an id")
    }

    /// Seals a token of `store`'s bucket for `app`, and tries to open it in another scope.
    fn opened(by: &Auth, component: &ComponentId, resource: &str, holder: Option<&Source>) -> bool {
        let (store, app) = (
            self::component("store"),
            Source::Component(self::component("app")),
        );
        let scope = TokenScope {
            component: &store,
            resource: "a:b/store/bucket",
            holder: Some(&app),
        };
        let sealed = auth("prod", 7).seal_token(scope, b"photos");
        let scope = TokenScope {
            component,
            resource,
            holder,
        };
        let opened = by.open_token(scope, &sealed.expect("it fits"));
        assert!(matches!(opened, Ok(_) | Err(TokenError::Invalid)));
        opened.is_ok_and(|token| token == b"photos"[..])
    }

    #[test]
    fn a_token_is_valid_in_the_scope_that_it_was_sealed_in_and_in_no_other() {
        let (key, store, bucket) = (auth("prod", 7), component("store"), "a:b/store/bucket");
        let app = Source::Component(component("app"));
        assert!(opened(&key, &store, bucket, Some(&app)));
        for other in [auth("prod", 8), auth("test", 7), Auth::trusting()] {
            assert!(!opened(&other, &store, bucket, Some(&app)), "{other:?}");
        }
        assert!(!opened(&key, &component("other"), bucket, Some(&app)));
        for resource in ["a:b/store/buckets", "a:b/other/bucket", ""] {
            assert!(!opened(&key, &store, resource, Some(&app)), "{resource}");
        }
        let others = [
            None,
            Some(Source::Component(component("thief"))),
            Some(Source::Host(HostId::new("app").expect("an id"))),
            Some(Source::Operator),
        ];
        for holder in others {
            assert!(!opened(&key, &store, bucket, holder.as_ref()), "{holder:?}");
        }
    }

    #[test]
    fn a_token_that_was_changed_or_cut_is_refused() {
        let (key, store, operator) = (auth("prod", 7), component("store"), Source::Operator);
        let scope = TokenScope {
            component: &store,
            resource: "a:b/store/bucket",
            holder: Some(&operator),
        };
        let sealed = key.seal_token(scope, b"photos").expect("it fits");
        assert_eq!(
            key.open_token(scope, &sealed),
            Ok(Bytes::from_static(b"photos"))
        );
        let refused = |bytes: &[u8]| {
            let forged = SealedToken(bytes.into());
            let opened = key.open_token(scope, &forged);
            assert_eq!(opened, Err(TokenError::Invalid), "{bytes:?}");
        };
        for bit in 0..sealed.0.len() * 8 {
            let mut changed = sealed.0.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            refused(&changed);
        }
        for length in 0..sealed.0.len() {
            refused(&sealed.0[..length]);
            refused(&sealed.0[length + 1..]);
        }
        refused(&[&sealed.0[..], b"x"].concat());
        // A tag for another purpose.
        let parts: [&[u8]; 5] = [b"store", b"a:b/store/bucket", &[2], b"", b"photos"];
        let tag = key.tag(Purpose::Store, &parts);
        refused(&[&b"photos"[..], &tag].concat());
    }

    #[test]
    fn a_token_that_is_too_long_is_neither_sealed_nor_decoded() {
        let (key, store) = (auth("prod", 7), component("store"));
        let scope = TokenScope {
            component: &store,
            resource: "a:b/store/bucket",
            holder: None,
        };
        let longest = key.seal_token(scope, &[1; MAX_TOKEN]).expect("it fits");
        let bytes = value::to_bytes(&longest).expect("encodes");
        assert_eq!(value::from_bytes::<SealedToken>(&bytes), Ok(longest));
        let size = MAX_TOKEN + 1;
        let refused = key.seal_token(scope, &vec![1; size]);
        assert_eq!(refused, Err(TokenError::TooLong { size }));
        let bytes = value::to_bytes(&SealedToken([1; MAX_SEALED + 1].into())).expect("encodes");
        assert!(value::from_bytes::<SealedToken>(&bytes).is_err());
    }

    #[test]
    fn golden_token() {
        let store = component("store");
        let scope = TokenScope {
            component: &store,
            resource: "r",
            holder: None,
        };
        let sealed = Auth::trusting().seal_token(scope, b"abc").expect("it fits");
        assert_eq!(
            value::to_bytes(&sealed).expect("encodes"),
            &b"\x13abc\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"[..]
        );
        assert_eq!(format!("{sealed:?}"), "SealedToken(19 bytes)");
    }
}
