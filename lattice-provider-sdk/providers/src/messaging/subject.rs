//! Subjects, and the patterns that subscriptions have.

use lattice_provider_sdk::Refusal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// Longest subject in bytes.
const LONGEST: usize = 1_024;
/// The first token of the subjects of lattices themselves.
const LATTICE: &str = "lattice";
/// Most patterns of one link.
const MOST: usize = 64;

/// A pattern of subjects. A subject is one or more tokens separated by `.`, such as
/// `orders.created`. In a pattern, `*` stands for any one token, and `>` at the end for one or
/// more.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern(String);

/// One or more patterns: in a config a string, or a list of strings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Patterns(Vec<Pattern>);

/// Checks a subject to which a message is published.
pub(crate) fn check(subject: &str) -> Result<(), String> {
    if subject.is_empty() || subject.len() > LONGEST {
        return Err(format!(
            "a subject has from 1 to {LONGEST} bytes, and this one has {}",
            subject.len()
        ));
    }
    let is_token = |token: &str| {
        let is_allowed = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '*' | '>');
        !token.is_empty() && token.chars().all(is_allowed)
    };
    if subject.split('.').all(is_token) {
        return Ok(());
    }
    Err(format!(
        "`{}` isn't a subject: it has tokens without spaces, `*` and `>`, separated by `.`",
        subject.escape_debug()
    ))
}

fn first_token(text: &str) -> &str {
    text.split_once('.').map_or(text, |(first, _)| first)
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// Fails with what is wrong with the text.
    pub fn new(text: impl Into<String>) -> Result<Self, Refusal> {
        let text = text.into();
        let (body, has_rest) = match text.strip_suffix('>') {
            Some("") => ("x", true),
            Some(body) => (body.strip_suffix('.').unwrap_or("*"), true),
            None => (&*text, false),
        };
        // `a>` has no `.` before its `>`. What is left must be a subject, except for its `*`.
        let is_cut = has_rest && text != ">" && !text.ends_with(".>");
        let tokens = body.split('.');
        let tokens = tokens.map(|token| if token == "*" { "x" } else { token });
        let subject = tokens.collect::<Vec<_>>().join(".");
        if is_cut || check(&subject).is_err() || text.len() > LONGEST {
            return Err(Refusal::new(format!(
                "`{}` isn't a pattern of subjects: it has tokens separated by `.`, each of them \
                 text or `*`, and may end with `.>`",
                text.escape_debug()
            )));
        }
        Ok(Self(text))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether a subject matches.
    pub fn matches(&self, subject: &str) -> bool {
        let mut tokens = subject.split('.');
        for expected in self.0.split('.') {
            match (expected, tokens.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (expected, Some(token)) if expected == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Patterns {
    /// Parses patterns: from 1 to 64.
    ///
    /// # Errors
    /// Fails with what is wrong with them.
    pub fn new<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Result<Self, Refusal> {
        let patterns = texts.into_iter().map(Pattern::new);
        let patterns = patterns.collect::<Result<Vec<_>, _>>()?;
        if patterns.is_empty() || patterns.len() > MOST {
            return Err(Refusal::new(format!(
                "from 1 to {MOST} patterns of subjects are allowed, and there are {}",
                patterns.len()
            )));
        }
        Ok(Self(patterns))
    }

    /// Matches every subject.
    pub fn all() -> Self {
        Self(vec![Pattern(">".to_owned())])
    }

    /// Returns whether one of them matches.
    pub fn matches(&self, subject: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(subject))
    }

    /// Returns the text of the first one that matches, without those that match everything.
    pub(crate) fn narrow(&self, subject: &str) -> Option<&str> {
        let narrow = |pattern: &&Pattern| pattern.as_str() != ">" && pattern.matches(subject);
        self.0.iter().find(narrow).map(Pattern::as_str)
    }

    /// Returns whether one of them permits to publish to a subject. One that is the server's own or
    /// a lattice's is permitted only by a pattern that names its first token, such as `$JS.>`, and
    /// not by a wildcard: who may publish there administers the server, or speaks for hosts.
    pub(crate) fn permit(&self, subject: &str) -> bool {
        let first = first_token(subject);
        let is_reserved = first.starts_with('$') || first == LATTICE;
        let mut matching = self.0.iter().filter(|pattern| pattern.matches(subject));
        matching.any(|pattern| !is_reserved || first_token(&pattern.0) == first)
    }

    /// Returns the patterns as texts.
    #[cfg(any(feature = "messaging-amqp", feature = "messaging-nats"))]
    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.iter().map(Pattern::to_string).collect()
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(PatternsVisitor)
    }
}

struct PatternsVisitor;

impl<'de> de::Visitor<'de> for PatternsVisitor {
    type Value = Patterns;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pattern of subjects, or a list of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Patterns, E> {
        Patterns::new([text]).map_err(E::custom)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Patterns, A::Error> {
        let mut texts: Vec<String> = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
            if texts.len() > MOST {
                break;
            }
        }
        Patterns::new(texts).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_by_tokens() {
        for (pattern, subject, matches) in [
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.b.c", "a.b", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            ("a.>", "a.b", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            (">", "a.b", true),
            ("*", "a.b", false),
            ("a.*.c.>", "a.b.c.d.e", true),
            ("é.*", "é.ü", true),
        ] {
            let parsed = Pattern::new(pattern).expect(pattern);
            assert_eq!(parsed.matches(subject), matches, "{pattern} {subject}");
        }
    }

    #[test]
    fn subjects_of_the_server_and_of_lattices_are_permitted_by_name_only() {
        let patterns = |texts: &[&str]| Patterns::new(texts.iter().copied()).expect("valid");
        for reserved in [
            "$JS.API.STREAM.DELETE.A",
            "$SYS.a",
            "lattice.prod.beat",
            "lattice",
        ] {
            assert!(!Patterns::all().permit(reserved), "{reserved}");
            assert!(
                !patterns(&["*", "*.*.>", "a"]).permit(reserved),
                "{reserved}"
            );
        }
        assert!(patterns(&["a", "$JS.API.>"]).permit("$JS.API.INFO"));
        assert!(!patterns(&["$JS.API.>"]).permit("$JS.ACK.a"));
        assert!(patterns(&["lattice.>"]).permit("lattice.prod.beat"));
        for own in ["a", "a.$b", "lattices.a"] {
            assert!(Patterns::all().permit(own), "{own}");
        }
    }

    #[test]
    fn texts_that_are_no_patterns_are_refused() {
        for text in [
            "", ".", "a.", ".a", "a..b", "a b", "a.\n", "a>", "a.b>", ">.a", "a.>.b", "a*", "**",
            "*.>.",
        ] {
            assert!(Pattern::new(text).is_err(), "{text:?}");
        }
        assert!(Pattern::new("a".repeat(LONGEST + 1)).is_err());
        for text in [">", "*", "a.>", "*.>", "a.*.b", "a-b_c.D1"] {
            assert!(Pattern::new(text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn wildcards_are_no_subjects() {
        for text in ["", "a.*", "a.>", "a..b", "a b", ".a"] {
            assert!(check(text).is_err(), "{text:?}");
        }
        check("orders.created.7").expect("a subject");
    }

    #[test]
    fn patterns_are_one_text_or_a_list() {
        let one: Patterns = serde_json::from_str("\"a.*\"").expect("one");
        let list: Patterns = serde_json::from_str("[\"a.*\"]").expect("a list");
        assert_eq!(one, list);
        assert_eq!(serde_json::to_string(&one).expect("JSON"), "[\"a.*\"]");
        for bad in ["[]", "\"a..b\"", "7", "null", "[7]"] {
            assert!(serde_json::from_str::<Patterns>(bad).is_err(), "{bad}");
        }
    }
}
