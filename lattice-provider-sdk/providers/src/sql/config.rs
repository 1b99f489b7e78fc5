//! What links and instances can set, whatever the database.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The config of a link to a SQL database. A link without one may do everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LinkConfig {
    /// Refuses statements that write. `false` by default.
    pub read_only: bool,
    /// The schema in which names are looked up, of PostgreSQL. The server's default if there is
    /// none. It isn't a boundary: a statement can name other schemas, if the user may use them.
    pub schema: Option<String>,
    /// The most rows of a `query`. That of the instance if there is none, and never more.
    pub max_rows: Option<usize>,
    /// The most bytes of the values of a `query`, and of a row of a stream. That of the instance if
    /// there is none, and never more.
    pub max_bytes: Option<usize>,
}

/// The limits of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a statement may take until its result begins, with the wait for a connection.
    pub timeout: Duration,
    /// How long a transaction may wait for its next statement, and a stream for its reader.
    pub idle_timeout: Duration,
    /// The most rows of a `query`.
    pub max_rows: usize,
    /// The most bytes of a `query`, and of a row of a stream.
    pub max_bytes: usize,
}

/// The default of `timeout-ms`: what backends of other capabilities have.
pub(super) const TIMEOUT_MS: u64 = 10_000;
/// The default of `idle-timeout-ms`: longer than the calls between two statements take.
pub(super) const IDLE_TIMEOUT_MS: u64 = 30_000;
/// The default of `max-rows`: more than a page needs, and a small part of a call's memory.
pub(super) const MAX_ROWS: usize = 10_000;
/// The default of `max-bytes`. With the encoding, the result of a call has room for that.
pub(super) const MAX_BYTES: usize = 4 << 20;

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_millis(TIMEOUT_MS),
            idle_timeout: Duration::from_millis(IDLE_TIMEOUT_MS),
            max_rows: MAX_ROWS,
            max_bytes: MAX_BYTES,
        }
    }
}

impl Limits {
    /// Returns the limits of a link with this config.
    pub(super) fn of_link(self, config: &LinkConfig) -> Self {
        let most = |of_link: Option<usize>, own: usize| of_link.map_or(own, |most| most.min(own));
        Self {
            max_rows: most(config.max_rows, self.max_rows),
            max_bytes: most(config.max_bytes, self.max_bytes),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_can_only_lower_limits() {
        let own = Limits::default();
        let config = LinkConfig {
            max_rows: Some(5),
            max_bytes: Some(usize::MAX),
            ..LinkConfig::default()
        };
        let limits = own.of_link(&config);
        assert_eq!((limits.max_rows, limits.max_bytes), (5, MAX_BYTES));
        assert_eq!(own.of_link(&LinkConfig::default()), own);
    }

    #[test]
    fn a_field_that_does_not_exist_is_refused() {
        let config = serde_json::from_str::<LinkConfig>(r#"{"readonly": true}"#);
        let error = config.expect_err("it is `read-only`").to_string();
        assert!(error.contains("unknown field `readonly`"), "{error}");
    }

    #[test]
    fn the_schema_has_every_field_with_its_default() {
        let schema = serde_json::to_value(schemars::schema_for!(LinkConfig)).expect("JSON");
        assert_eq!(schema["additionalProperties"], false);
        let fields = schema["properties"].as_object().expect("fields");
        let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["max-bytes", "max-rows", "read-only", "schema"]);
        for (name, field) in fields {
            let one = serde_json::json!({ name: field["default"] });
            let config: LinkConfig = serde_json::from_value(one).expect("it fits");
            assert_eq!(config, LinkConfig::default(), "{name}");
            assert!(field["description"].is_string(), "{name}");
        }
    }
}
