//! The list of hosts to which a link leads.

use super::{
    address::{Kind, Reach, kind},
    target::{Flaw, Host, Scheme, Target, split},
};
use std::net::IpAddr;

/// The most entries of a list. Each request is compared with all of them.
const MOST_ENTRIES: usize = 1_024;

/// The hosts to which a link leads, and the addresses that they may have.
#[derive(Debug)]
pub(super) struct AllowList {
    entries: Vec<Entry>,
    private: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    /// Any, if there is none.
    scheme: Option<Scheme>,
    hosts: Hosts,
    ports: Ports,
}

#[derive(Debug, PartialEq, Eq)]
enum Hosts {
    /// `*`
    All,
    /// `*.example.com`, with its dot: `.example.com`.
    Under(String),
    One(Host),
}

#[derive(Debug, PartialEq, Eq)]
enum Ports {
    All,
    /// That of the scheme.
    Default,
    One(u16),
}

/// Why a list isn't valid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AllowError {
    #[error(
        "`allow` is empty; list the hosts to which the link leads, as in \
         `{{\"allow\": [\"https://api.example.com\"]}}`"
    )]
    Empty,
    #[error("`allow` has {0} entries; up to {MOST_ENTRIES} are possible, so use patterns")]
    Many(usize),
    // Not repeated, because there may be a password in it.
    #[error("entry {0} of `allow` can't be used: {user}", user = Flaw::User)]
    User(usize),
    #[error("`{entry}` in `allow` can't be used: {flaw}")]
    Flaw { entry: String, flaw: Flaw },
    #[error(
        "`{0}` in `allow` has a path, a query or a fragment; remove it, because a link leads to \
         whole hosts"
    )]
    Path(String),
    #[error(
        "`{0}` in `allow` has `*` in a wrong place; write `*` for every host, or `*.` before a \
         name for all names under it"
    )]
    Star(String),
    #[error("`{entry}` in `allow` leads nowhere: the address is {kind}")]
    Address { entry: String, kind: Kind },
    #[error(
        "`{0}` in `allow` is this host itself; add `\"private\": true` to the link's config if \
         that is wanted, and remove the entry if it isn't"
    )]
    Loopback(String),
}

impl AllowList {
    /// # Errors
    /// Fails with what is wrong, and names the entry.
    pub(super) fn parse(entries: &[String], private: bool) -> Result<Self, AllowError> {
        if entries.is_empty() {
            return Err(AllowError::Empty);
        }
        if entries.len() > MOST_ENTRIES {
            return Err(AllowError::Many(entries.len()));
        }
        let numbered = entries.iter().zip(1..);
        let parsed = numbered.map(|(text, number)| Entry::parse(text, number, private));
        Ok(Self {
            entries: parsed.collect::<Result<_, _>>()?,
            private,
        })
    }

    /// Returns which addresses the target may have, or `None` if the link doesn't lead there.
    pub(super) fn reach(&self, target: &Target) -> Option<Reach> {
        let mut matching = self.entries.iter().filter(|entry| entry.has(target));
        let first = matching.next()?;
        let is_listed =
            first.lists(&target.host) || matching.any(|entry| entry.lists(&target.host));
        Some(Reach {
            private: self.private,
            loopback: self.private && is_listed && target.host.is_loopback(),
        })
    }
}

impl Entry {
    fn parse(text: &str, number: usize, private: bool) -> Result<Self, AllowError> {
        if text.contains('@') {
            return Err(AllowError::User(number));
        }
        let flawed = |flaw| AllowError::Flaw {
            entry: text.to_owned(),
            flaw,
        };
        let (scheme, authority) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(Scheme::parse(scheme).map_err(flawed)?), rest),
            None => (None, text),
        };
        if authority.contains(['/', '\\', '?', '#']) {
            return Err(AllowError::Path(text.to_owned()));
        }
        let (host, port) = split(authority).map_err(flawed)?;
        let hosts = match host.strip_prefix('*') {
            Some("") => Hosts::All,
            Some(rest) => {
                let name = rest.strip_prefix('.').filter(|name| !name.contains('*'));
                match Host::parse(name.ok_or_else(|| AllowError::Star(text.to_owned()))?) {
                    Ok(Host::Name(name)) => Hosts::Under(format!(".{name}")),
                    Ok(Host::Address(_)) => return Err(AllowError::Star(text.to_owned())),
                    Err(flaw) => return Err(flawed(flaw)),
                }
            }
            None if host.contains('*') => return Err(AllowError::Star(text.to_owned())),
            None => Hosts::One(Host::parse(host).map_err(flawed)?),
        };
        let ports = match (&hosts, port) {
            (_, Some(port)) => Ports::One(port),
            (Hosts::All, None) => Ports::All,
            (_, None) => Ports::Default,
        };
        if let Hosts::One(host) = &hosts {
            leads_somewhere(text, host, private)?;
        }
        Ok(Self {
            scheme,
            hosts,
            ports,
        })
    }

    fn has(&self, target: &Target) -> bool {
        let has_host = match &self.hosts {
            Hosts::All => true,
            Hosts::One(host) => *host == target.host,
            Hosts::Under(suffix) => match &target.host {
                Host::Name(name) => name.ends_with(suffix.as_str()),
                Host::Address(_) => false,
            },
        };
        let has_port = match self.ports {
            Ports::All => true,
            Ports::Default => target.port == target.scheme.default_port(),
            Ports::One(port) => target.port == port,
        };
        has_host && has_port && self.scheme.is_none_or(|scheme| scheme == target.scheme)
    }

    /// Returns whether the entry names this host, and not only a pattern.
    fn lists(&self, host: &Host) -> bool {
        matches!(&self.hosts, Hosts::One(listed) if listed == host)
    }
}

/// Fails for an entry whose address the link could never reach.
fn leads_somewhere(entry: &str, host: &Host, private: bool) -> Result<(), AllowError> {
    if host.is_loopback() && !private {
        return Err(AllowError::Loopback(entry.to_owned()));
    }
    let reach = Reach {
        private,
        loopback: private,
    };
    match host {
        Host::Address(address) => check(reach, *address).map_err(|kind| AllowError::Address {
            entry: entry.to_owned(),
            kind,
        }),
        Host::Name(_) => Ok(()),
    }
}

fn check(reach: Reach, address: IpAddr) -> Result<(), Kind> {
    reach.check(address).map_err(|_| kind(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str], private: bool) -> Result<AllowList, AllowError> {
        let entries: Vec<String> = entries.iter().map(|&entry| entry.to_owned()).collect();
        AllowList::parse(&entries, private)
    }

    /// Returns which of the URLs are reached.
    fn reached<'a>(entry: &str, urls: &[&'a str]) -> Vec<&'a str> {
        let list = list(&[entry], true).expect(entry);
        let is_reached = |url: &&&str| list.reach(&target(url)).is_some();
        urls.iter().filter(is_reached).copied().collect()
    }

    fn target(url: &str) -> Target {
        let (scheme, authority) = url.split_once("://").expect("a URL");
        let scheme = Scheme::parse(scheme).expect("a scheme");
        Target::parse(scheme, authority).expect("an authority")
    }

    #[test]
    fn entries_reach_what_they_say_and_nothing_else() {
        let urls = [
            "https://example.com",
            "http://example.com",
            "https://example.com:8080",
            "http://example.com:8080",
            "https://a.example.com",
            "https://b.a.example.com",
            "https://badexample.com",
            "https://example.com.evil.test",
            "https://example.comx",
            "https://1.2.3.4",
        ];
        for (entry, expected) in [
            ("https://example.com", &[0][..]),
            ("HTTPS://EXAMPLE.COM.", &[0]),
            ("http://example.com", &[1]),
            ("http://example.com:8080", &[3]),
            ("example.com", &[0, 1]),
            ("example.com:8080", &[2, 3]),
            ("*.example.com", &[4, 5]),
            ("https://*.Example.com", &[4, 5]),
            ("http://*.example.com", &[]),
            ("*.a.example.com", &[5]),
            ("*", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
            ("http://*", &[1, 3]),
            ("*:8080", &[2, 3]),
            ("https://*:443", &[0, 4, 5, 6, 7, 8, 9]),
            ("1.2.3.4", &[9]),
            ("0x01020304", &[9]),
        ] {
            let expected: Vec<&str> = expected.iter().map(|&at: &usize| urls[at]).collect();
            assert_eq!(reached(entry, &urls), expected, "{entry}");
        }
    }

    #[test]
    fn every_spelling_of_a_listed_host_is_reached() {
        let urls = [
            "https://xn--bcher-kva.example",
            "https://BÜCHER.example",
            "https://bücher.example.",
        ];
        for entry in ["bücher.example", "xn--bcher-kva.example.", "BÜCHER.example"] {
            assert_eq!(reached(entry, &urls), urls, "{entry}");
        }
        // A lookalike, with a Cyrillic `е`.
        assert!(reached("example.com", &["https://еxample.com"]).is_empty());
    }

    #[test]
    fn entries_that_are_wrong_are_refused_by_name() {
        for (entry, expected) in [
            ("https://example.com/", "has a path"),
            ("https://example.com/v1", "has a path"),
            ("example.com?x", "has a path"),
            ("example.com#x", "has a path"),
            ("example.com\\x", "has a path"),
            ("example.com:", "port"),
            ("example.com:0", "port"),
            ("example.com:65536", "port"),
            ("example.com:http", "port"),
            ("ftp://example.com", "scheme"),
            ("://example.com", "scheme"),
            ("::1", "brackets"),
            ("", "isn't the name"),
            ("https://", "isn't the name"),
            ("exa mple.com", "isn't the name"),
            ("*example.com", "`*` in a wrong place"),
            ("*.*.example.com", "`*` in a wrong place"),
            ("a.*.example.com", "`*` in a wrong place"),
            ("*.1.2.3.4", "`*` in a wrong place"),
            ("**", "`*` in a wrong place"),
            ("169.254.169.254", "metadata"),
            ("[::ffff:1.2.3.4]", "IPv4 address in an IPv6"),
            ("0.0.0.0:80", "unspecified"),
            ("10.0.0.1", "\"private\": true"),
            ("127.0.0.1:8080", "\"private\": true"),
            ("[::1]:8080", "\"private\": true"),
            ("localhost:8080", "\"private\": true"),
        ] {
            let error = list(&["ok.example", entry], false).expect_err(entry);
            let message = error.to_string();
            assert!(message.contains(expected), "{entry}: {message}");
            assert!(message.contains(&format!("`{entry}`")), "{message}");
        }
        assert_eq!(list(&[], true).err(), Some(AllowError::Empty));
        let many = vec!["ok.example"; MOST_ENTRIES + 1];
        let many = list(&many, true).err();
        assert_eq!(many, Some(AllowError::Many(MOST_ENTRIES + 1)));
    }

    #[test]
    fn a_password_in_an_entry_is_not_repeated() {
        let error = list(&["ok.example", "https://joe:s3cret@example.com"], false);
        let message = error.expect_err("refused").to_string();
        assert!(message.contains("entry 2") && !message.contains("s3cret"));
    }

    #[test]
    fn loopback_is_reached_only_where_it_is_listed_itself() {
        let loopback = |entries: &[&str], url| {
            let reach = list(entries, true).expect("valid").reach(&target(url));
            reach.map(|reach| reach.loopback)
        };
        let literal = "http://127.0.0.1:8080";
        assert_eq!(loopback(&["127.0.0.1:8080"], literal), Some(true));
        assert_eq!(loopback(&["*", "127.0.0.1:8080"], literal), Some(true));
        assert_eq!(loopback(&["[::1]:8080"], "http://[::1]:8080"), Some(true));
        assert_eq!(loopback(&["LocalHost."], "http://localhost"), Some(true));
        assert_eq!(loopback(&["*"], literal), Some(false));
        assert_eq!(loopback(&["*"], "http://localhost"), Some(false));
        assert_eq!(
            loopback(&["app.example", "localhost"], "http://app.example"),
            Some(false),
            "a name that may resolve to it"
        );
        assert_eq!(
            loopback(&["*", "127.0.0.1:8080"], "http://127.0.0.1:9090"),
            Some(false),
            "another port"
        );
    }
}
