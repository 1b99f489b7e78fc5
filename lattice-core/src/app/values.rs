//! The form of values in a manifest that are not plain texts or numbers.

use crate::{
    desired::{Replicas, too_many},
    link::Locality,
    name::ConfigName,
    quantity::{ByteSize, parse_duration},
};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use std::{collections::BTreeMap, fmt, time::Duration};

pub(super) fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    ByteSize::deserialize(from).map(|size| Some(size.as_u64()))
}

pub(super) mod time {
    use super::*;
    use serde::Serializer;

    #[expect(clippy::ref_option, reason = "as serde calls it")]
    pub(in super::super) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(&format_args!("{}ms", time.as_millis())),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        struct Time;

        impl Visitor<'_> for Time {
            type Value = Duration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as \"500ms\" or \"10s\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
                parse_duration(text)
                    .filter(|time| !time.is_zero())
                    .ok_or_else(|| {
                        E::custom(format_args!(
                            "`{text}` isn't a valid time; write a whole number of ms, s, m or h, such as `10s`"
                        ))
                    })
            }
        }
        from.deserialize_any(Time).map(Some)
    }
}

pub(super) mod replicas {
    use super::*;
    use serde::Serializer;

    #[expect(
        clippy::ref_option,
        clippy::trivially_copy_pass_by_ref,
        reason = "as serde calls it"
    )]
    pub(in super::super) fn serialize<S: Serializer>(
        replicas: &Option<Replicas>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match replicas {
            Some(Replicas::Exactly(count)) => serializer.serialize_u32(*count),
            Some(Replicas::PerHost) => serializer.serialize_str("per-host"),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Replicas>, D::Error> {
        struct Count;

        impl Visitor<'_> for Count {
            type Value = Replicas;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of replicas or \"per-host\"")
            }
            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Replicas, E> {
                u32::try_from(count)
                    .ok()
                    .filter(|count| *count <= Replicas::MAX)
                    .map(Replicas::Exactly)
                    .ok_or_else(|| E::custom(too_many(count)))
            }
            fn visit_i64<E: de::Error>(self, count: i64) -> Result<Replicas, E> {
                let count = u64::try_from(count);
                self.visit_u64(
                    count.map_err(|_| E::custom("the number of replicas must not be negative"))?,
                )
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Replicas, E> {
                match text {
                    "per-host" => Ok(Replicas::PerHost),
                    _ => Err(E::unknown_variant(text, &["per-host"])),
                }
            }
        }
        from.deserialize_any(Count).map(Some)
    }
}

pub(super) mod locality {
    use super::*;
    use serde::{Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Words {
        PreferLocal,
        LocalOnly,
        Spread,
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub(in super::super) fn serialize<S: Serializer>(
        locality: &Locality,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let word = match locality {
            Locality::PreferLocal => Words::PreferLocal,
            Locality::LocalOnly => Words::LocalOnly,
            Locality::Anywhere => Words::Spread,
        };
        word.serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Locality, D::Error> {
        Ok(match Words::deserialize(from)? {
            Words::PreferLocal => Locality::PreferLocal,
            Words::LocalOnly => Locality::LocalOnly,
            Words::Spread => Locality::Anywhere,
        })
    }
}

/// The name of the newtype with which a configuration value requests its original text.
pub(super) const SCALAR: &str = "lattice configuration value";

/// A configuration value. A number or a boolean without quotes is accepted as a text if it keeps
/// this text when it is written again. The manifest's own reader provides the text of a number;
/// from any other deserializer, only integers are accepted.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number or a boolean")
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                from: D,
            ) -> Result<Scalar, D::Error> {
                from.deserialize_any(self)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Scalar, E> {
                Err(E::custom(format_args!(
                    "`{value}` may be written in another way; write it in quotes"
                )))
            }
        }
        from.deserialize_newtype_struct(SCALAR, Any)
    }
}

fn plain(values: BTreeMap<String, Scalar>) -> BTreeMap<String, String> {
    let plain = |(name, Scalar(value))| (name, value);
    values.into_iter().map(plain).collect()
}

pub(super) fn texts<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    BTreeMap::deserialize(from).map(plain)
}

pub(super) fn configs<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<ConfigName, BTreeMap<String, String>>, D::Error> {
    let configs = BTreeMap::<ConfigName, BTreeMap<String, Scalar>>::deserialize(from)?;
    let plain = |(name, values)| (name, plain(values));
    Ok(configs.into_iter().map(plain).collect())
}

pub(super) fn texts_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } })
}

pub(super) fn configs_schema(generator: &mut SchemaGenerator) -> Schema {
    let values = texts_schema(generator);
    json_schema!({ "type": "object", "additionalProperties": values })
}

pub(super) fn replicas_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "default": 1,
        "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": Replicas::MAX },
            { "const": "per-host" },
        ]
    })
}

pub(super) fn size_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [
            { "type": "integer", "minimum": 0 },
            { "type": "string", "pattern": "^[0-9]+ *(B|KiB|MiB|GiB)$" },
        ]
    })
}

pub(super) fn time_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9]+ *(ms|s|m|h)$" })
}

fn words(all: &[&str]) -> Schema {
    json_schema!({ "type": "string", "enum": all, "default": all.first() })
}

pub(super) fn locality_schema(_: &mut SchemaGenerator) -> Schema {
    words(&["prefer-local", "local-only", "spread"])
}

pub(super) fn instance_schema(_: &mut SchemaGenerator) -> Schema {
    words(&["fresh", "warm"])
}

pub(super) fn run_schema(_: &mut SchemaGenerator) -> Schema {
    words(&["replicated", "once"])
}

pub(super) fn wormhole_state_schema(_: &mut SchemaGenerator) -> Schema {
    words(&["open", "closed"])
}
