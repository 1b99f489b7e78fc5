//! The subjects of the bus. All of them are built and parsed here.
//!
//! ```text
//! lattice.<lattice>.host.<host>.<epoch>.call            calls and probes for one boot of a host
//! lattice.<lattice>.host.<host>.<epoch>.reply.<peer>.<frame>
//!                                                       replies from one peer to one frame
//! lattice.<lattice>.host.<host>.<epoch>.session         steps of sessions, for one boot of a host
//! lattice.<lattice>.beat                                beats and goodbyes, to all members
//! lattice.<lattice>.report                              reports, to all members
//! lattice.<lattice>.report.wanted                       requests to report at once, to every host
//! lattice.<lattice>.logs                                log lines, to all members or one reader
//! lattice.<lattice>.logs.wanted                         requests for logs, to every host
//! lattice.<lattice>.serves.<component>                  discovery questions, to a queue group
//! ```

use crate::name::{ComponentId, HostId, LatticeName};
use std::{fmt, fmt::Write as _, sync::Arc};

/// Length of a reply subject without prefix and host, in bytes.
const REPLY: usize = 64;

/// A subject (address) on the bus, with NATS semantics: tokens joined by `.`; a subscription may
/// end in the wildcard token `*`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(Arc<str>);

impl Subject {
    /// Creates the subject that came from the bus or a test.
    pub fn from_wire(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the subject as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether a message to `subject` reaches a subscription to `self`.
    pub fn matches(&self, subject: &Subject) -> bool {
        let (mut ours, mut theirs) = (self.0.split('.'), subject.0.split('.'));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some("*"), Some(_)) => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Builds the subjects of one lattice.
#[derive(Debug, Clone)]
pub struct Subjects {
    prefix: Arc<str>,
}

impl Subjects {
    /// Returns the subjects of `lattice`.
    pub fn new(lattice: &LatticeName) -> Self {
        Self {
            prefix: format!("lattice.{lattice}").into(),
        }
    }

    /// Returns the subject on which one boot of a host receives calls and probes.
    pub fn call(&self, host: &HostId, epoch: u64) -> Subject {
        self.host(host, epoch, "call")
    }

    /// Returns the subject on which one boot of a host receives the steps of sessions.
    pub fn session(&self, host: &HostId, epoch: u64) -> Subject {
        self.host(host, epoch, "session")
    }

    /// Returns the subject on which one boot of a host receives replies from all peers.
    pub fn replies(&self, host: &HostId, epoch: u64) -> Subject {
        self.host(host, epoch, "reply.*.*")
    }

    /// Returns the subject on which peer `peer` replies to frame `frame` of one boot of a host, and
    /// on which the bus reports that no one received the frame.
    pub fn reply(&self, host: &HostId, epoch: u64, peer: u64, frame: u64) -> Subject {
        // This runs once per frame, so the text gets its full capacity at once.
        let mut text = String::with_capacity(self.prefix.len() + host.as_str().len() + REPLY);
        let prefix = &self.prefix;
        // Writing to a `String` can't fail.
        let _ = write!(
            text,
            "{prefix}.host.{host}.{epoch:016x}.reply.{peer:x}.{frame:x}"
        );
        Subject(text.into())
    }

    /// Returns the subject of beats and goodbyes.
    pub fn beat(&self) -> Subject {
        Subject(format!("{}.beat", self.prefix).into())
    }

    /// Returns the subject of reports.
    pub fn report(&self) -> Subject {
        Subject(format!("{}.report", self.prefix).into())
    }

    /// Returns the subject of requests for reports.
    pub fn report_wanted(&self) -> Subject {
        Subject(format!("{}.report.wanted", self.prefix).into())
    }

    /// Returns the subject of log lines.
    pub fn logs(&self) -> Subject {
        Subject(format!("{}.logs", self.prefix).into())
    }

    /// Returns the subject of requests for logs.
    pub fn logs_wanted(&self) -> Subject {
        Subject(format!("{}.logs.wanted", self.prefix).into())
    }

    /// Returns the subject on which the hosts that serve `component` receive discovery questions.
    pub fn serves(&self, component: &ComponentId) -> Subject {
        Subject(format!("{}.serves.{component}", self.prefix).into())
    }

    fn host(&self, host: &HostId, epoch: u64, leaf: &str) -> Subject {
        Subject(format!("{}.host.{host}.{epoch:016x}.{leaf}", self.prefix).into())
    }
}

/// Returns peer and frame of a reply subject made by [`Subjects::reply`].
pub fn parse_reply(subject: &Subject) -> Option<(u64, u64)> {
    let mut tokens = subject.0.rsplit('.');
    let frame = u64::from_str_radix(tokens.next()?, 16).ok()?;
    let peer = u64::from_str_radix(tokens.next()?, 16).ok()?;
    Some((peer, frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_match_their_documentation() {
        let s = Subjects::new(&LatticeName::new("prod").expect("valid"));
        let host = HostId::new("h1").expect("valid");
        assert_eq!(
            s.call(&host, 255).as_str(),
            "lattice.prod.host.h1.00000000000000ff.call"
        );
        let reply = s.reply(&host, 1, 26, 3);
        assert_eq!(
            reply.as_str(),
            "lattice.prod.host.h1.0000000000000001.reply.1a.3"
        );
        assert_eq!(s.beat().as_str(), "lattice.prod.beat");
        assert_eq!(parse_reply(&reply), Some((26, 3)));
        assert!(s.replies(&host, 1).matches(&reply));
        assert!(!s.replies(&host, 2).matches(&reply));
        assert!(!s.replies(&host, 1).matches(&s.call(&host, 1)));
    }
}
