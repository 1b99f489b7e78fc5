//! The config of a link to the web.

use super::{
    allow::{AllowError, AllowList},
    timeouts::Timeouts,
};
use lattice_provider_sdk::HostPath;
use schemars::JsonSchema;
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

/// The longest timeout: a day.
const LONGEST: Duration = Duration::from_hours(24);
/// The most connections to one authority.
const MOST_CONNECTIONS: usize = 1_024;

/// The config of a link to the web. It has to list at least one host in `allow`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct LinkConfig {
    /// The hosts to which the link leads, such as `https://api.example.com` or `*.example.com`.
    allow: Vec<String>,
    /// Whether names in `allow` may have, and entries be, addresses of private networks. False by
    /// default.
    private: bool,
    /// Whether HTTP/2 is used with servers that speak it over TLS. True by default.
    http2: bool,
    /// The most connections to one scheme, host and port, at most 1,024. 32 by default.
    connections: usize,
    /// How long it may take until there is a connection, in milliseconds, with the time until one
    /// is free. 10,000 by default.
    connect_timeout_ms: u64,
    /// How long it may take until the head of the response, in milliseconds, from the last part of
    /// the request that was sent. 30,000 by default.
    first_byte_timeout_ms: u64,
    /// How long it may take between two parts of the response's body, and until a part of the
    /// request can be sent, in milliseconds. 30,000 by default.
    between_bytes_timeout_ms: u64,
    /// A setting of the provider, and known here for its refusal, which says so: the config of a
    /// link names no files.
    #[serde(rename = "ca-file")]
    #[schemars(skip)]
    _ca_file: Option<HostPath>,
    /// The hosts for which the caller uses this link, if it has several for one interface: the host
    /// of the component that makes the requests chooses a link by it. Not for the provider.
    #[serde(rename = "authorities")]
    _authorities: Vec<String>,
}

/// The config of a link, as it is used.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) allow: Arc<AllowList>,
    pub(super) http2: bool,
    /// To one authority.
    pub(super) connections: usize,
    pub(super) timeouts: Timeouts,
}

/// Why a config can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigError {
    #[error(transparent)]
    Allow(#[from] AllowError),
    #[error("`{name}` is {value}; it can be from 1 to {most}")]
    Number {
        name: &'static str,
        value: u64,
        most: u64,
    },
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            private: false,
            http2: true,
            connections: 32,
            connect_timeout_ms: 10_000,
            first_byte_timeout_ms: 30_000,
            between_bytes_timeout_ms: 30_000,
            _ca_file: None,
            _authorities: Vec::new(),
        }
    }
}

impl LinkConfig {
    /// Returns the JSON schema of the config.
    pub(super) fn schema() -> String {
        schemars::schema_for!(Self).as_value().to_string()
    }

    /// # Errors
    /// Fails with the first part that is wrong.
    pub(super) fn check(self) -> Result<Settings, ConfigError> {
        let allow = AllowList::parse(&self.allow, self.private)?;
        let most = MOST_CONNECTIONS as u64;
        let connections = number("connections", self.connections as u64, most)?;
        Ok(Settings {
            allow: Arc::new(allow),
            http2: self.http2,
            connections: connections as usize,
            timeouts: Timeouts {
                connect: time("connect-timeout-ms", self.connect_timeout_ms)?,
                first_byte: time("first-byte-timeout-ms", self.first_byte_timeout_ms)?,
                between_bytes: time("between-bytes-timeout-ms", self.between_bytes_timeout_ms)?,
            },
        })
    }
}

fn time(name: &'static str, value: u64) -> Result<Duration, ConfigError> {
    let most = LONGEST.as_millis() as u64;
    number(name, value, most).map(Duration::from_millis)
}

fn number(name: &'static str, value: u64, most: u64) -> Result<u64, ConfigError> {
    if (1..=most).contains(&value) {
        return Ok(value);
    }
    Err(ConfigError::Number { name, value, most })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Settings, String> {
        let config: LinkConfig = serde_json::from_str(text).map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_out_has_defaults() {
        let settings = parsed(r#"{"allow": ["example.com"]}"#).expect("valid");
        assert!(settings.http2);
        assert_eq!(settings.connections, 32);
        assert_eq!(settings.timeouts.connect, Duration::from_secs(10));
        assert_eq!(settings.timeouts.first_byte, Duration::from_secs(30));
        assert_eq!(settings.timeouts.between_bytes, Duration::from_secs(30));
    }

    #[test]
    fn every_setting_is_taken() {
        let settings = parsed(
            r#"{"allow": ["10.0.0.1"], "private": true, "http2": false, "connections": 2,
                "connect-timeout-ms": 1, "first-byte-timeout-ms": 2,
                "between-bytes-timeout-ms": 3, "authorities": ["10.0.0.1"]}"#,
        );
        let settings = settings.expect("valid");
        assert!(!settings.http2);
        assert_eq!(settings.connections, 2);
        assert_eq!(settings.timeouts.connect, Duration::from_millis(1));
        assert_eq!(settings.timeouts.first_byte, Duration::from_millis(2));
        assert_eq!(settings.timeouts.between_bytes, Duration::from_millis(3));
    }

    #[test]
    fn the_schema_has_every_field_with_its_default() {
        let schema: serde_json::Value = serde_json::from_str(&LinkConfig::schema()).expect("JSON");
        assert_eq!(schema["additionalProperties"], false);
        let fields = schema["properties"].as_object().expect("fields");
        let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
        names.sort_unstable();
        let all = [
            "allow",
            "authorities",
            "between-bytes-timeout-ms",
            "connect-timeout-ms",
            "connections",
            "first-byte-timeout-ms",
            "http2",
            "private",
        ];
        assert_eq!(names, all, "and no file");
        let whole = format!("{:?}", LinkConfig::default());
        for (name, field) in fields {
            let one = serde_json::json!({ name: field["default"] });
            let config: LinkConfig = serde_json::from_value(one).expect("it fits");
            assert_eq!(format!("{config:?}"), whole, "{name}");
            assert!(field["description"].is_string(), "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused_by_name() {
        for (text, expected) in [
            ("{}", "`allow` is empty"),
            (r#"{"alow": []}"#, "unknown field `alow`"),
            (r#"{"allow": "example.com"}"#, "expected a sequence"),
            (r#"{"connect_timeout_ms": 1}"#, "unknown field"),
            (r#"{"private": "yes"}"#, "expected a boolean"),
            (
                r#"{"allow": ["a.example"], "connections": 0}"#,
                "`connections` is 0; it can be from 1 to 1024",
            ),
            (
                r#"{"allow": ["a.example"], "first-byte-timeout-ms": 0}"#,
                "`first-byte-timeout-ms` is 0",
            ),
            (
                r#"{"allow": ["a.example"], "connect-timeout-ms": 86400001}"#,
                "from 1 to 86400000",
            ),
        ] {
            let message = parsed(text).map(drop).expect_err(text);
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
