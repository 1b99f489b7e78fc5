//! What links configure, and what is common to the configs of all backends.

pub(super) use crate::duration::duration;

use super::backend::Failure;
use lattice_core::quantity::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// Longest key, in bytes. What every backend can have, encoded.
pub(super) const MAX_KEY: usize = 1_024;
/// Longest name of a bucket with its prefix, in bytes.
pub(super) const MAX_BUCKET: usize = 255;
/// Most keys of a batch.
pub(super) const MAX_BATCH: usize = 1_000;
/// Most keys of a page. Together they have at most 500 KiB.
pub(super) const PAGE: usize = 500;

/// What is the same for every backend: the limits of values, and how long an operation may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest value, in bytes. 1 MiB by default.
    pub max_value_size: ByteSize,
    /// How long an operation may take. It ends with its call in any case. 10 s by default.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_value_size: max_value_size(),
            timeout: timeout(),
        }
    }
}

/// The largest value by default.
pub(super) fn max_value_size() -> ByteSize {
    ByteSize::mib(1)
}

/// How long an operation may take by default.
pub(super) fn timeout() -> Duration {
    Duration::from_secs(10)
}

/// The config of a link to a key-value provider. Everything in it is optional.
///
/// ```text
/// { "bucket-prefix": "shop-", "buckets": ["carts"], "read-only": true, "bucket": "carts" }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LinkConfig {
    /// What the names of all buckets of this link start with, in the backend. Empty by default.
    ///
    /// Nothing separates it from the name: `shop` and the bucket `-b/x` are the same as `shop-b/`
    /// and `x`. So links that mustn't reach each other's buckets have prefixes none of which starts
    /// with another, such as `shop/` and `shop-b/`, or `buckets`.
    pub bucket_prefix: String,
    /// The buckets that may be opened, by their names without the prefix. All by default.
    pub buckets: Option<Vec<String>>,
    /// Whether the link only reads. False by default.
    pub read_only: bool,
    /// The bucket of `lattice:keyvalue/store`, which has no others. `default` by default.
    pub bucket: String,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            bucket_prefix: String::new(),
            buckets: None,
            read_only: false,
            bucket: "default".to_owned(),
        }
    }
}

/// What a link may do.
#[derive(Debug, Clone, Default)]
pub struct Binding(LinkConfig);

impl Binding {
    /// What a link with this config may do.
    ///
    /// # Errors
    /// Fails when the config contradicts itself.
    pub(super) fn new(config: LinkConfig) -> Result<Self, Failure> {
        let mut names = config.buckets.iter().flatten();
        let long = names.find(|name| config.bucket_prefix.len() + name.len() > MAX_BUCKET);
        if config.bucket_prefix.len() > MAX_BUCKET || long.is_some() {
            return Err(Failure::Config(format!(
                "the name of a bucket with `bucket-prefix` has at most {MAX_BUCKET} bytes; shorten them"
            )));
        }
        Ok(Self(config))
    }

    /// Returns the name in the backend of a bucket that the link may open.
    pub(super) fn bucket(&self, name: &str) -> Result<String, Failure> {
        let is_allowed = |buckets: &Vec<String>| buckets.iter().any(|bucket| bucket == name);
        if !self.0.buckets.as_ref().is_none_or(is_allowed) {
            return Err(Failure::NoSuchBucket(shown(name)));
        }
        let full = format!("{}{name}", self.0.bucket_prefix);
        if full.len() > MAX_BUCKET {
            return Err(Failure::InvalidKey(format!(
                "the name of a bucket has at most {MAX_BUCKET} bytes, and this one has {}",
                full.len()
            )));
        }
        Ok(full)
    }

    /// Returns the name in the backend of the bucket of `lattice:keyvalue/store`.
    pub(super) fn flat_bucket(&self) -> Result<String, Failure> {
        self.bucket(&self.0.bucket)
    }

    /// Fails when the link only reads.
    pub(super) fn writable(&self) -> Result<(), Failure> {
        if self.0.read_only {
            return Err(Failure::ReadOnly);
        }
        Ok(())
    }
}

/// Returns a name as it may be shown in an error.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(config: &str) -> Result<Binding, Failure> {
        Binding::new(serde_json::from_str(config).expect("a config"))
    }

    #[test]
    fn a_link_opens_only_its_buckets_below_its_prefix() {
        let all = binding("{}").expect("valid");
        assert_eq!(all.bucket("").as_deref(), Ok(""));
        assert_eq!(all.flat_bucket().as_deref(), Ok("default"));
        assert_eq!(all.writable(), Ok(()));

        let config = r#"{"bucket-prefix": "shop-", "buckets": ["carts"], "read-only": true}"#;
        let some = binding(config).expect("valid");
        assert_eq!(some.bucket("carts").as_deref(), Ok("shop-carts"));
        let refused = Err(Failure::NoSuchBucket("shop-carts".to_owned()));
        assert_eq!(some.bucket("shop-carts"), refused);
        assert!(some.flat_bucket().is_err(), "`default` isn't in the list");
        assert_eq!(some.writable(), Err(Failure::ReadOnly));
    }

    #[test]
    fn a_prefix_is_a_boundary_unless_another_one_begins_with_it() {
        let reached = |prefix: &str, name: &str| {
            let config = LinkConfig {
                bucket_prefix: prefix.to_owned(),
                ..LinkConfig::default()
            };
            Binding::new(config).and_then(|binding| binding.bucket(name))
        };
        assert_eq!(reached("shop", "-b/x"), reached("shop-b/", "x"));
        for name in ["x", "-b/x", "../shop-b/x", "/shop-b/x", ""] {
            let reached = reached("shop/", name).expect("short enough");
            assert!(!reached.starts_with("shop-b/"), "{reached}");
        }
    }

    #[test]
    fn names_that_are_too_long_are_refused() {
        let prefix = "p".repeat(MAX_BUCKET);
        let full = binding(&format!(r#"{{"bucket-prefix": "{prefix}"}}"#)).expect("valid");
        assert_eq!(full.bucket("").map(|name| name.len()), Ok(MAX_BUCKET));
        let refused = full.bucket("x").expect_err("too long");
        assert!(matches!(refused, Failure::InvalidKey(_)), "{refused}");
        let refused = binding(&format!(r#"{{"bucket-prefix": "{prefix}p"}}"#));
        assert!(matches!(refused, Err(Failure::Config(_))), "{refused:?}");
    }

    #[test]
    fn unknown_fields_are_refused() {
        let unknown = serde_json::from_str::<LinkConfig>(r#"{"readonly": true}"#);
        assert!(unknown.is_err_and(|error| error.to_string().contains("read-only")));
    }

    #[test]
    fn the_schema_has_every_field_with_its_default() {
        let schema = serde_json::to_value(schemars::schema_for!(LinkConfig)).expect("JSON");
        assert_eq!(schema["additionalProperties"], false);
        let fields = schema["properties"].as_object().expect("fields");
        let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["bucket", "bucket-prefix", "buckets", "read-only"]);
        for (name, field) in fields {
            let one = serde_json::json!({ name: field["default"] });
            let config: LinkConfig = serde_json::from_value(one).expect("it fits");
            assert_eq!(config, LinkConfig::default(), "{name}");
            assert!(field["description"].is_string(), "{name}");
        }
    }
}
