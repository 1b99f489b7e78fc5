//! Parses a link's config from JSON into the provider's type.

use crate::{access::Access, provider::Refusal};
use lattice_core::link::Link;
use serde::de::DeserializeOwned;

/// The config of a link that was made without one.
const NONE: &str = "null";

/// Parses the config of a link whose *source* a provider is, such as that of a link from a
/// messaging provider to an actor, which names the subjects. Links that lead to a provider are
/// parsed before [`Provider::link`](crate::Provider::link) gets them.
///
/// A link without config parses as an empty one: as a type whose fields all have defaults.
///
/// # Errors
/// Fails with the reason, which repeats no text of the config.
pub fn link_config<C: DeserializeOwned>(link: &Link) -> Result<C, Refusal> {
    parse(&link.config)
}

/// Parses a link's config. `null` means that there is none: for a type that can't be `null`, an
/// empty object is parsed, so that its defaults apply.
///
/// Links are made by apps, so a config can't name files and variables of the machine.
pub(crate) fn parse<C: DeserializeOwned>(text: &str) -> Result<C, Refusal> {
    Access::of_link().scope(|| parse_in_scope(text))
}

fn parse_in_scope<C: DeserializeOwned>(text: &str) -> Result<C, Refusal> {
    if text.trim() == NONE {
        return serde_json::from_str(NONE).or_else(|_| {
            serde_json::from_str("{}").map_err(|error| {
                Refusal::new(format!(
                    "the link has no config, but the provider needs one: {}",
                    brief(&error)
                ))
            })
        });
    }
    serde_json::from_str(text).map_err(|error| {
        Refusal::new(format!(
            "the link's config doesn't fit the provider: {}",
            brief(&error)
        ))
    })
}

/// Returns the error without its position, because the config may have been given as a value, and
/// without texts from the config, which may be secrets: every member can read it.
pub(crate) fn brief(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    without_texts(text.strip_suffix(&position).unwrap_or(&text))
}

/// Removes the text that serde's errors repeat: the one that has another type or value than
/// expected, and the one that isn't a variant.
fn without_texts(error: &str) -> String {
    for (start, end) in [
        ("invalid type: string", ", expected "),
        ("invalid value: string", ", expected "),
        ("unknown variant", ", expected "),
        ("unknown variant", ", there are no variants"),
    ] {
        // The text may contain anything, also the words behind it.
        if error.starts_with(start)
            && let Some(at) = error.rfind(end)
        {
            return format!("{start}{}", &error[at..]);
        }
    }
    error.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Database {
        url: String,
        #[serde(default)]
        pool: u32,
    }

    #[derive(Debug, PartialEq, Default, Deserialize)]
    #[serde(default)]
    struct Optional {
        prefix: String,
    }

    #[test]
    fn a_link_without_config_parses_as_types_that_need_none() {
        parse::<()>(NONE).expect("unit");
        assert_eq!(parse::<Option<Database>>(" null\n").expect("option"), None);
        assert_eq!(
            parse::<Optional>(NONE).expect("defaults"),
            Optional::default()
        );
        assert_eq!(
            parse::<BTreeMap<String, u8>>(NONE).expect("no entries"),
            BTreeMap::new()
        );
        assert_eq!(
            parse::<serde_json::Value>(NONE).expect("any"),
            serde_json::Value::Null
        );
    }

    #[test]
    fn a_config_is_parsed_as_the_providers_type() {
        let config: Database = parse(r#"{"url": "db:1", "pool": 4}"#).expect("fits");
        assert_eq!(
            config,
            Database {
                url: "db:1".to_owned(),
                pool: 4
            }
        );
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        Fast,
        Safe,
    }

    #[test]
    fn texts_of_a_config_are_not_repeated() {
        let secret = r#""postgres://joe:s3cret\", expected s3cret@db""#;
        for (refusal, expected) in [
            (
                parse::<Database>(secret).map(drop),
                "invalid type: string, expected struct Database",
            ),
            (
                parse::<Database>(&format!(r#"{{"url": "x", "pool": {secret}}}"#)).map(drop),
                "invalid type: string, expected u32",
            ),
            (
                parse::<char>(secret).map(drop),
                "invalid value: string, expected a character",
            ),
            (
                parse::<Mode>(secret).map(drop),
                "unknown variant, expected `fast` or `safe`",
            ),
        ] {
            let refusal = refusal.expect_err("does not fit");
            assert!(refusal.reason().ends_with(expected), "{refusal}");
            assert!(
                !format!("{refusal} {refusal:?}").contains("s3cret"),
                "{refusal}"
            );
        }
        assert!(matches!(parse(r#""fast""#), Ok(Mode::Fast)));
        assert!(matches!(parse(r#""safe""#), Ok(Mode::Safe)));
    }

    #[test]
    fn a_config_that_does_not_fit_is_refused_with_the_field() {
        for (text, expected) in [
            (
                "null",
                "the link has no config, but the provider needs one: missing field `url`",
            ),
            (
                "{}",
                "the link's config doesn't fit the provider: missing field `url`",
            ),
            (
                r#"{"url": 1}"#,
                "invalid type: integer `1`, expected a string",
            ),
            (
                r#"{"url": "x", "pol": 1}"#,
                "unknown field `pol`, expected `url` or `pool`",
            ),
            ("{", "EOF while parsing"),
        ] {
            let refusal = parse::<Database>(text).expect_err(text);
            assert!(refusal.reason().contains(expected), "{refusal}");
        }
        let refusal = parse::<serde_json::Value>(&"[".repeat(10_000)).expect_err("too deep");
        assert!(
            refusal.reason().contains("recursion limit exceeded"),
            "{refusal}"
        );
        let refusal = parse::<()>(r#"{"url": "x"}"#).expect_err("takes none");
        assert!(
            refusal
                .reason()
                .contains("invalid type: map, expected unit"),
            "{refusal}"
        );
    }
}
