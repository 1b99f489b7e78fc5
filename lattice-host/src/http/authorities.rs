//! The link that takes a request, when a component has several for one interface.
//!
//! The config of a link may say which authorities it takes:
//! `{ "authorities": ["api.example.com", "*.internal", "db:8080"] }`. `*.internal` takes every name
//! below `internal`, `*` takes everything, and one without a port takes every port. The most
//! specific link that takes the authority gets the request. Without one, it is the link named
//! `default`, if its config has no `authorities`. A link whose `authorities` aren't a list of
//! strings takes nothing.

use http::Uri;
use lattice_core::{link::Link, name::LinkName};
use serde_json::Value;
use std::sync::Arc;

/// Returns the link that takes a request to this URI: the one that was chosen, or one of `links`.
/// `None` if it may not take it, or there is none.
pub(crate) fn choose<'l>(
    links: &'l [Arc<Link>],
    chosen: Option<&LinkName>,
    uri: &Uri,
) -> Option<&'l Link> {
    let authority = Authority::of(uri);
    let scored = links.iter().filter_map(|link| {
        let score = match authorities(link) {
            Some(patterns) => authority.as_ref()?.score(&patterns)?,
            // The least specific one.
            None if link.name == LinkName::default() || chosen.is_some() => Score::default(),
            None => return None,
        };
        Some((score, &**link))
    });
    let mut scored = scored.filter(|(_, link)| chosen.is_none_or(|name| link.name == *name));
    let first = scored.next()?;
    // The links are in the order of their names, and the first of equals is taken.
    let best = scored.fold(
        first,
        |best, next| if next.0 > best.0 { next } else { best },
    );
    Some(best.1)
}

/// Returns the authorities that a link takes. `None` if its config doesn't say it. If it says it in
/// a wrong way, the link takes none.
fn authorities(link: &Link) -> Option<Vec<String>> {
    let list = listed(link)?;
    Some(serde_json::from_value(list).unwrap_or_default())
}

/// Returns whether the config of a link has `authorities` that aren't a list of strings.
pub(crate) fn is_malformed(link: &Link) -> bool {
    let list = listed(link);
    list.is_some_and(|list| serde_json::from_value::<Vec<String>>(list).is_err())
}

/// Returns what the config of a link says of authorities. The rest of it is for the target.
fn listed(link: &Link) -> Option<Value> {
    if !link.config.contains("authorities") {
        return None;
    }
    let mut config: Value = serde_json::from_str(&link.config).ok()?;
    Some(config.get_mut("authorities")?.take())
}

/// How specific a pattern is: whether it is more than `*`, its length if it begins with `*`, or
/// more, and whether it names the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Score(u8, usize, bool);

/// A host in lower case without a trailing dot, and a port.
#[derive(Debug, PartialEq, Eq)]
struct Authority {
    host: String,
    port: Option<u16>,
}

impl Authority {
    fn of(uri: &Uri) -> Option<Self> {
        let authority = uri.authority()?;
        let of_scheme = match uri.scheme_str() {
            Some("https") => Some(443),
            Some("http") => Some(80),
            _ => None,
        };
        Some(Self {
            host: normal(authority.host()),
            port: authority.port_u16().or(of_scheme),
        })
    }

    /// Returns how specific the most specific pattern is that takes this.
    fn score(&self, patterns: &[String]) -> Option<Score> {
        patterns
            .iter()
            .filter_map(|pattern| self.fits(pattern))
            .max()
    }

    fn fits(&self, pattern: &str) -> Option<Score> {
        let (host, port) = split_port(pattern);
        let has_port = match port {
            Some(port) if port.parse() == Ok(self.port?) => true,
            Some(_) => return None,
            None => false,
        };
        let host = normal(host);
        if host == "*" {
            return Some(Score(1, 0, has_port));
        }
        if let Some(parent) = host.strip_prefix("*.") {
            let below = self.host.strip_suffix(parent)?.strip_suffix('.')?;
            return (!below.is_empty()).then_some(Score(2, parent.len(), has_port));
        }
        (host == self.host).then_some(Score(3, 0, has_port))
    }
}

/// Splits `host:port`. An address of IPv6 is in brackets.
fn split_port(pattern: &str) -> (&str, Option<&str>) {
    let after_brackets = pattern.rfind(']').map_or(0, |at| at + 1);
    match pattern[after_brackets..].rfind(':') {
        Some(colon) => {
            let colon = after_brackets + colon;
            (&pattern[..colon], Some(&pattern[colon + 1..]))
        }
        None => (pattern, None),
    }
}

fn normal(host: &str) -> String {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, config: &str) -> Arc<Link> {
        let link = Link::new("a", "wasi:http/outgoing-handler@0.2.0", "b").expect("valid");
        let mut link = link.named(name).expect("valid");
        config.clone_into(&mut link.config);
        Arc::new(link)
    }

    fn chosen(links: &[Arc<Link>], uri: &'static str) -> Option<String> {
        let link = choose(links, None, &Uri::from_static(uri))?;
        Some(link.name.to_string())
    }

    #[test]
    fn the_most_specific_link_takes_a_request() {
        let links = [
            link("all", r#"{"authorities":["*"]}"#),
            link(
                "api",
                r#"{"authorities":["API.example.com.", "[::1]:8080"]}"#,
            ),
            link(
                "inner",
                r#"{"authorities":["*.internal", "*.b.internal:81"], "allow": 7}"#,
            ),
            link("part", r#"{"authorities":["*.b.internal"]}"#),
        ];
        for (uri, name) in [
            ("https://api.example.com/x", "api"),
            ("https://user@Api.Example.Com.:8443/", "api"),
            ("http://[::1]:8080/", "api"),
            ("http://[::1]/", "all"),
            ("http://x.internal/", "inner"),
            ("http://a.b.internal/", "part"),
            ("http://a.b.internal:81/", "inner"),
            ("http://internal/", "all"),
            ("http://xinternal/", "all"),
            ("http://api.example.com.evil.example/", "all"),
        ] {
            assert_eq!(chosen(&links, uri).as_deref(), Some(name), "{uri}");
        }
        assert_eq!(chosen(&links[1..], "http://other/"), None);
        assert_eq!(chosen(&links[1..], "/x"), None, "no authority");
    }

    #[test]
    fn the_default_link_takes_what_no_other_takes() {
        let links = [
            link("api", r#"{"authorities":["api.example.com"]}"#),
            link("default", r#"{"allow":["*"]}"#),
            link("other", "null"),
        ];
        assert_eq!(chosen(&links, "http://b/").as_deref(), Some("default"));
        assert_eq!(chosen(&links, "/x").as_deref(), Some("default"));
        assert_eq!(
            chosen(&links, "http://api.example.com/").as_deref(),
            Some("api")
        );
        assert_eq!(chosen(&links[2..], "http://b/"), None);
        let by_name = |name: &str, uri| {
            let name = LinkName::new(name).expect("a name");
            let link = choose(&links, Some(&name), &Uri::from_static(uri))?;
            Some(link.name.to_string())
        };
        assert_eq!(by_name("other", "http://b/").as_deref(), Some("other"));
        assert_eq!(by_name("api", "http://b/"), None, "its config forbids it");
        assert_eq!(by_name("none", "http://b/"), None);
    }

    #[test]
    fn a_config_that_is_something_else_names_no_authorities() {
        for config in ["7", r#""authorities""#, r#"["authorities"]"#, "{"] {
            let links = [link("default", config)];
            assert_eq!(chosen(&links, "http://a/").as_deref(), Some("default"));
            assert!(!is_malformed(&links[0]), "{config}");
        }
        let none = [link("default", r#"{"authorities":[]}"#)];
        assert_eq!(chosen(&none, "http://a/"), None);
        assert!(!is_malformed(&none[0]));
    }

    #[test]
    fn a_link_whose_authorities_are_malformed_takes_nothing() {
        for wrong in ["7", "null", r#""a""#, r#"["a", 7]"#, r#"{"a":true}"#] {
            let config = format!(r#"{{"authorities":{wrong},"allow":["*"]}}"#);
            let links = [link("default", &config)];
            assert_eq!(chosen(&links, "http://a/"), None, "{wrong}");
            assert!(is_malformed(&links[0]), "{wrong}");
        }
    }
}
