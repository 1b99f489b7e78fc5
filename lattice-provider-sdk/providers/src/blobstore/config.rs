//! What links configure.

use super::{
    bindings::lattice::blobstore::types::{Error, ObjectId},
    names,
};
use lattice_core::quantity::ByteSize;
use lattice_provider_sdk::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The config of a link to a provider of objects. Everything in it is optional.
///
/// ```text
/// { "container-prefix": "shop-", "containers": ["photos"], "read-only": true, "max-object-size": "10MiB" }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LinkConfig {
    /// What the names of all containers of this link start with, in the store. Empty by default.
    pub container_prefix: String,
    /// The containers that may be used, by their names without the prefix. All by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<Vec<String>>,
    /// Whether the link only reads. False by default.
    pub read_only: bool,
    /// The largest object that may be written, such as `10MiB`. That of the store by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub max_object_size: Option<ByteSize>,
}

/// What a link may do.
#[derive(Debug, Default)]
pub(crate) struct Binding(LinkConfig);

impl Binding {
    pub(crate) fn new(config: LinkConfig) -> Result<Self, Refusal> {
        if config.container_prefix.len() > names::MAX_CONTAINER {
            return Err(Refusal::new(format!(
                "`container-prefix` has more than {} bytes; shorten it",
                names::MAX_CONTAINER
            )));
        }
        Ok(Self(config))
    }

    /// Returns the largest object that may be written, in bytes.
    pub(crate) fn limit(&self) -> Option<u64> {
        self.0.max_object_size.map(ByteSize::as_u64)
    }

    /// Returns the name in the store of a container that is read.
    pub(crate) fn container(&self, name: &str) -> Result<String, Error> {
        let is_listed = |allowed: &Vec<String>| allowed.iter().any(|allowed| allowed == name);
        if !self.0.containers.as_ref().is_none_or(is_listed) {
            return Err(Error::AccessDenied(format!(
                "the link doesn't allow container `{}`; add it to its `containers`",
                names::shown(name)
            )));
        }
        let full = format!("{}{name}", self.0.container_prefix);
        names::check_container(name, full.len())?;
        Ok(full)
    }

    /// Returns the name in the store of a container that is written.
    pub(crate) fn written(&self, name: &str) -> Result<String, Error> {
        if self.0.read_only {
            return Err(Error::AccessDenied("the link is `read-only`".to_owned()));
        }
        self.container(name)
    }

    /// Returns the id in the store of an object that is read.
    pub(crate) fn object(&self, id: ObjectId) -> Result<ObjectId, Error> {
        names::check_object(&id.object)?;
        let container = self.container(&id.container)?;
        Ok(ObjectId { container, ..id })
    }

    /// Returns the id in the store of an object that is written.
    pub(crate) fn written_object(&self, id: ObjectId) -> Result<ObjectId, Error> {
        names::check_object(&id.object)?;
        let container = self.written(&id.container)?;
        Ok(ObjectId { container, ..id })
    }

    /// Names a container in an error as the link knows it.
    pub(crate) fn told(&self, error: Error) -> Error {
        match error {
            Error::NoSuchContainer(name) => {
                let own = name.strip_prefix(&self.0.container_prefix);
                Error::NoSuchContainer(own.unwrap_or(&name).to_owned())
            }
            error => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_sees_its_containers_under_their_own_names() {
        let config = LinkConfig {
            container_prefix: "shop-".to_owned(),
            containers: Some(vec!["photos".to_owned()]),
            ..LinkConfig::default()
        };
        let binding = Binding::new(config).expect("valid");
        assert_eq!(binding.written("photos"), Ok("shop-photos".to_owned()));
        assert!(matches!(
            binding.container("other"),
            Err(Error::AccessDenied(_))
        ));
        let missing = Error::NoSuchContainer("shop-photos".to_owned());
        assert_eq!(
            binding.told(missing),
            Error::NoSuchContainer("photos".to_owned())
        );
    }

    #[test]
    fn a_link_that_only_reads_writes_nothing() {
        let config: LinkConfig =
            serde_json::from_str(r#"{ "read-only": true, "max-object-size": "1KiB" }"#)
                .expect("valid");
        let binding = Binding::new(config).expect("valid");
        assert_eq!(binding.limit(), Some(1_024));
        assert!(binding.container("photos").is_ok());
        assert!(matches!(
            binding.written("photos"),
            Err(Error::AccessDenied(_))
        ));
        assert!(serde_json::from_str::<LinkConfig>(r#"{ "readonly": true }"#).is_err());
    }

    #[test]
    fn the_schema_has_every_field_with_its_default() {
        let schema = serde_json::to_value(schemars::schema_for!(LinkConfig)).expect("JSON");
        assert_eq!(schema["additionalProperties"], false);
        let fields = schema["properties"].as_object().expect("fields");
        let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
        names.sort_unstable();
        let all = [
            "container-prefix",
            "containers",
            "max-object-size",
            "read-only",
        ];
        assert_eq!(names, all);
        for (name, field) in fields {
            let one = serde_json::json!({ name: field["default"] });
            let config: LinkConfig = serde_json::from_value(one).expect("it fits");
            assert_eq!(config, LinkConfig::default(), "{name}");
            assert!(field["description"].is_string(), "{name}");
        }
        // It is written with its unit.
        let size = &schema["properties"]["max-object-size"]["type"];
        assert_eq!(*size, serde_json::json!(["string", "null"]));
    }
}
