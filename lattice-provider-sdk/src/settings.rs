//! Parses the settings of an instance, which are strings, into the provider's type.

mod groups;

use crate::{config, provider::Refusal};
use groups::All;
use serde::{
    de::{
        self, DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer,
        MapAccess, Unexpected, Visitor,
        value::{StrDeserializer, UnitDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::Value;
use std::{collections::BTreeMap, fmt};

/// Parses the settings of an instance, as manifests and `lattice-provider --set` have them, into a
/// type: each value by the type of its field. A string is taken as it is, numbers and booleans are
/// parsed, as are types that deserialize from a string, and lists and objects are JSON text.
///
/// ```
/// use lattice_provider_sdk::settings;
/// use std::collections::BTreeMap;
///
/// #[derive(serde::Deserialize)]
/// #[serde(deny_unknown_fields, rename_all = "kebab-case")]
/// struct Settings {
///     url: String,
///     #[serde(default)]
///     pool_size: Option<u32>,
///     #[serde(default)]
///     labels: Vec<String>,
/// }
///
/// let entries = [("url", "db:5432"), ("pool-size", "4"), ("labels", r#"["a", "b"]"#)];
/// let entries = entries.map(|(key, value)| (key.to_owned(), value.to_owned()));
/// let parsed: Settings = settings(&BTreeMap::from(entries))?;
/// assert_eq!((&*parsed.url, parsed.pool_size, parsed.labels.len()), ("db:5432", Some(4), 2));
///
/// let entries = [("url", "db:5432"), ("pol-size", "4")];
/// let entries = entries.map(|(key, value)| (key.to_owned(), value.to_owned()));
/// let refusal = settings::<Settings>(&BTreeMap::from(entries)).err().expect("unknown");
/// assert!(refusal.reason().contains("did you mean `pool-size`?"));
/// # Ok::<_, lattice_provider_sdk::Refusal>(())
/// ```
///
/// A tuple of structs takes the settings together: each of the structs has those that are its
/// fields. So several providers can have a struct in common, such as that of a connection, and a
/// struct can have parts: with `#[serde(from = "(Connection, Own)")]`, it is made of such a tuple.
/// Types with `#[serde(flatten)]` aren't supported: there, all values are strings.
///
/// ```
/// use lattice_provider_sdk::settings;
/// use std::collections::BTreeMap;
///
/// #[derive(serde::Deserialize)]
/// struct Connection { url: String }
///
/// #[derive(serde::Deserialize)]
/// struct Own { prefix: String }
///
/// let entries = [("url", "db:5432"), ("prefix", "shop")];
/// let entries = entries.map(|(key, value)| (key.to_owned(), value.to_owned()));
/// let (connection, own): (Connection, Own) = settings(&BTreeMap::from(entries))?;
/// assert_eq!((&*connection.url, &*own.prefix), ("db:5432", "shop"));
/// # Ok::<_, lattice_provider_sdk::Refusal>(())
/// ```
///
/// # Errors
/// Fails with a [`Refusal`] that names the setting and says what it should be. It never repeats a
/// value, which may be a secret.
pub fn settings<C: DeserializeOwned>(settings: &BTreeMap<String, String>) -> Result<C, Refusal> {
    let nothing = || C::deserialize(UnitDeserializer::<SettingError>::new());
    match (settings.keys().next(), nothing()) {
        (None, Ok(parsed)) => return Ok(parsed),
        // Only a unit can be made of nothing and of nothing else; others are tried below.
        (Some(key), Ok(_)) if size_of::<C>() == 0 => {
            return Err(Refusal::new(format!(
                "the provider has no settings, but `{key}` is set; remove it"
            )));
        }
        _ => {}
    }
    let parsed = C::deserialize(&All::new(settings));
    parsed.map_err(|error| Refusal::new(error.message))
}

/// The settings, one after the other.
struct Entries<'a, I> {
    entries: I,
    /// The one whose key was read last.
    value: Option<Setting<'a>>,
}

impl<'de, I: Iterator<Item = Setting<'de>>> MapAccess<'de> for Entries<'de, I> {
    type Error = SettingError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, SettingError> {
        self.value = self.entries.next();
        let Some(setting) = &self.value else {
            return Ok(None);
        };
        let key: StrDeserializer<'_, SettingError> = setting.key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    /// Checks the error of a type that takes the value as a text and then refuses it, too.
    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, SettingError> {
        let setting = self.value.take();
        let setting = setting.ok_or_else(|| de::Error::custom("a value has no key"))?;
        setting.checked(seed.deserialize(setting))
    }
}

/// Why settings don't fit.
#[derive(Debug)]
struct SettingError {
    message: String,
    kind: ErrorKind,
}

#[derive(Debug)]
enum ErrorKind {
    /// It has the name of its setting, or is about no single one.
    Complete,
    /// It lacks the name.
    Unnamed,
    /// It lacks the name, and is a type's own message, which may repeat the value.
    Custom,
}

impl SettingError {
    fn complete(message: String) -> Self {
        Self {
            message,
            kind: ErrorKind::Complete,
        }
    }

    fn unnamed(message: String) -> Self {
        Self {
            message,
            kind: ErrorKind::Unnamed,
        }
    }

    /// There is no setting of this name, but there are others.
    fn unknown(name: &str, others: &[&str]) -> Self {
        let close = others.iter().filter(|other| are_close(name, other));
        let hint = match close.min_by_key(|other| distance(name, other)) {
            Some(other) => format!("did you mean `{other}`?"),
            None if others.is_empty() => "the provider has none".to_owned(),
            None => format!("the provider has {}", quoted(others)),
        };
        Self::complete(format!("there is no setting `{name}`; {hint}"))
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SettingError {}

impl de::Error for SettingError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            message: message.to_string(),
            kind: ErrorKind::Custom,
        }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::unnamed(format!("it should be {expected}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::unnamed(format!("it should be {expected}"))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::unnamed(format!("it should be one of {}", quoted(expected)))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown(field, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::complete(format!("the setting `{field}` is missing"))
    }
}

fn quoted(names: &[&str]) -> String {
    format!("`{}`", names.join("`, `"))
}

/// Returns whether one name may be a misspelling of the other.
fn are_close(one: &str, other: &str) -> bool {
    let alike = |name: &str| name.replace('_', "-").to_lowercase();
    alike(one) == alike(other) || distance(one, other) * 2 <= one.len().max(other.len()) + 1
}

/// Returns how many characters have to be changed, added or removed to get from one name to the
/// other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// One setting.
#[derive(Clone, Copy)]
struct Setting<'a> {
    key: &'a str,
    value: &'a str,
}

impl Setting<'_> {
    fn invalid(&self, reason: &str) -> SettingError {
        SettingError::complete(format!("the setting `{}` doesn't fit: {reason}", self.key))
    }

    /// Adds the name of this setting to an error, and takes away what repeats its value.
    fn checked<T>(&self, parsed: Result<T, SettingError>) -> Result<T, SettingError> {
        let json = || serde_json::from_str::<Value>(self.value).ok();
        parsed.map_err(|error| match error.kind {
            ErrorKind::Complete => error,
            ErrorKind::Custom if repeats(&error.message, self.value, json) => {
                self.invalid("its value isn't valid")
            }
            ErrorKind::Custom | ErrorKind::Unnamed => self.invalid(&error.message),
        })
    }

    /// Visits a list or an object, which is JSON text.
    fn structured<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        let Ok(value) = serde_json::from_str::<Value>(self.value) else {
            let expected = &visitor as &dyn Expected;
            return Err(self.invalid(&format!("it should be JSON text: {expected}")));
        };
        let visited = value.deserialize_any(visitor);
        self.checked(visited.map_err(of_json))
    }

    fn number<T: std::str::FromStr>(&self) -> Result<T, SettingError> {
        let parsed = self.value.trim().parse();
        parsed.map_err(|_| self.invalid("it should be a number in the range of its type"))
    }
}

fn of_json(error: serde_json::Error) -> SettingError {
    de::Error::custom(config::brief(&error))
}

/// Returns whether an error repeats the value of a setting, or a text in it if it is JSON. Names of
/// files and variables in which secrets are may be repeated.
fn repeats(message: &str, value: &str, json: impl FnOnce() -> Option<Value>) -> bool {
    let has = |text: &str| {
        let escaped = text.escape_debug().to_string();
        !text.is_empty() && (message.contains(text) || message.contains(&escaped))
    };
    match json() {
        Some(value @ (Value::Array(_) | Value::Object(_))) => any_text(&value, &has),
        _ => has(value),
    }
}

fn any_text(value: &Value, has: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => has(text),
        Value::Array(values) => values.iter().any(|value| any_text(value, has)),
        Value::Object(entries) => entries
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "file" | "env"))
            .any(|(_, value)| any_text(value, has)),
        _ => false,
    }
}

macro_rules! numbers {
    ($($method:ident => $visit:ident,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
            let number = self.number()?;
            self.checked(visitor.$visit(number))
        }
    )*};
}

impl<'de> Deserializer<'de> for Setting<'de> {
    type Error = SettingError;

    /// An object in JSON for types that can be one, such as a secret's place. A text otherwise.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        match serde_json::from_str::<Value>(self.value) {
            Ok(Value::Object(_)) => self.structured(visitor),
            _ => self.checked(visitor.visit_borrowed_str(self.value)),
        }
    }

    numbers! {
        deserialize_i8 => visit_i8,
        deserialize_i16 => visit_i16,
        deserialize_i32 => visit_i32,
        deserialize_i64 => visit_i64,
        deserialize_i128 => visit_i128,
        deserialize_u8 => visit_u8,
        deserialize_u16 => visit_u16,
        deserialize_u32 => visit_u32,
        deserialize_u64 => visit_u64,
        deserialize_u128 => visit_u128,
        deserialize_f32 => visit_f32,
        deserialize_f64 => visit_f64,
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        match self.value.trim() {
            "true" => self.checked(visitor.visit_bool(true)),
            "false" => self.checked(visitor.visit_bool(false)),
            _ => Err(self.invalid("it should be `true` or `false`")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        self.checked(visitor.visit_borrowed_str(self.value))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, SettingError> {
        let parsed = visitor.visit_newtype_struct(self);
        self.checked(parsed)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SettingError> {
        if let Ok(value @ Value::Object(_)) = serde_json::from_str::<Value>(self.value) {
            let visited = value.deserialize_enum(name, variants, visitor);
            self.checked(visited.map_err(of_json))
        } else {
            let variant: StrDeserializer<'_, SettingError> = self.value.into_deserializer();
            self.checked(visitor.visit_enum(variant))
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        self.structured(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, SettingError> {
        self.structured(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, SettingError> {
        self.structured(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        self.structured(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SettingError> {
        self.structured(visitor)
    }

    forward_to_deserialize_any! { char bytes byte_buf unit unit_struct identifier ignored_any }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
