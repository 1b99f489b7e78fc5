//! Parses a link's config from JSON into the provider's type.

use crate::provider::Refusal;
use serde::de::DeserializeOwned;

/// The config of a link that was made without one.
const NONE: &str = "null";

/// Parses a link's config. `null` means that there is none: for a type that can't be `null`, an
/// empty object is parsed, so that its defaults apply.
pub(crate) fn parse<C: DeserializeOwned>(text: &str) -> Result<C, Refusal> {
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

/// Returns the error without its position, because the config may have been given as a value.
fn brief(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).unwrap_or(&text).to_owned()
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
