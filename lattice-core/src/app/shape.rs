//! Reads a tree into the manifest's structs, and finds every part that doesn't have the right
//! shape.

use super::{
    manifest::AppManifest,
    problem::{ManifestPath, ProblemKind, Step, nearest},
    tree::{Key, Node, Number, NumberValue, Side, Value},
    values::SCALAR,
};
use serde::{
    Deserialize,
    de::{
        self, DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
        Unexpected, VariantAccess, Visitor, value::StrDeserializer,
    },
};
use std::{collections::BTreeSet, fmt::Display};

/// The most problems that are reported for one text. Finding each one takes a pass over the text.
pub(super) const MAX_PROBLEMS: usize = 64;

/// A part that doesn't have the right shape.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{path}: {kind}")]
pub(super) struct Misshapen {
    pub(super) path: ManifestPath,
    pub(super) side: Side,
    pub(super) kind: ProblemKind,
}

/// The result of reading a tree.
#[derive(Debug)]
pub(super) struct Shaped {
    /// The manifest without the parts that were taken out, or `None` if too little is left of it.
    pub(super) manifest: Option<AppManifest>,
    /// The parts that don't have the right shape.
    pub(super) found: Vec<Misshapen>,
    /// The parts that were taken out.
    cut: BTreeSet<ManifestPath>,
}

impl Shaped {
    /// Returns the path of a part in the text, where items that were taken out count as well.
    pub(super) fn in_text(&self, path: &ManifestPath) -> ManifestPath {
        let mut found = ManifestPath::default();
        for step in &path.0 {
            found = match step {
                Step::Field(name) => found.field(name),
                Step::Item(at) => {
                    let items = (0..).map(|item| found.item(item));
                    let left = items.filter(|item| !self.cut.contains(item)).nth(*at);
                    left.unwrap_or_else(|| found.item(*at))
                }
            };
        }
        found
    }
}

/// Reads the manifest from a tree, and finds everything that doesn't have the right shape.
///
/// Deserialization stops at the first part that doesn't fit. That part is taken out and
/// deserialization starts again, until it succeeds or a required part is missing.
pub(super) fn read(mut tree: Node) -> Shaped {
    let mut found: Vec<Misshapen> = Vec::new();
    let mut cut = BTreeSet::new();
    loop {
        let error = match AppManifest::deserialize(&tree) {
            Ok(manifest) => {
                let manifest = Some(manifest);
                return Shaped {
                    manifest,
                    found,
                    cut,
                };
            }
            Err(error) => error,
        };
        let path = error.path.clone();
        if !is_consequence(&error, &cut) && !is_known(&error, &found) {
            found.push(error);
        }
        if found.len() >= MAX_PROBLEMS || !tree.cut(&path) {
            let manifest = None;
            return Shaped {
                manifest,
                found,
                cut,
            };
        }
        cut.insert(path);
    }
}

/// Returns whether the error is only a consequence of what was taken out before.
fn is_consequence(error: &Misshapen, cut: &BTreeSet<ManifestPath>) -> bool {
    match &error.kind {
        ProblemKind::MissingField { field } => cut.contains(&error.path.field(field)),
        _ => false,
    }
}

/// Returns whether the error repeats one about the same invalid name. A component or a
/// configuration is declared in one place and named in others, so one wrong name causes several
/// errors.
fn is_known(error: &Misshapen, found: &[Misshapen]) -> bool {
    let is_name = |reason: &str| {
        ["invalid component id `", "invalid config name `"]
            .iter()
            .any(|start| reason.starts_with(start))
    };
    match &error.kind {
        ProblemKind::BadValue { reason } if is_name(reason) => {
            found.iter().any(|known| known.kind == error.kind)
        }
        _ => false,
    }
}

impl Misshapen {
    fn new(kind: ProblemKind) -> Self {
        Self {
            path: ManifestPath::default(),
            side: Side::Value,
            kind,
        }
    }

    fn inside(mut self, step: Step) -> Self {
        self.path.0.insert(0, step);
        self
    }

    fn at_key(mut self, key: &Key) -> Self {
        self.side = Side::Key;
        self.inside(Step::Field(key.text.clone()))
    }
}

impl de::Error for Misshapen {
    fn custom<T: Display>(reason: T) -> Self {
        let reason = reason.to_string();
        Self::new(ProblemKind::BadValue { reason })
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match found {
            Unexpected::Map => "a table".to_owned(),
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Unit => "nothing".to_owned(),
            // It may be a secret: a whole configuration that was given as one text, for example.
            Unexpected::Str(_) => "a text".to_owned(),
            other => other.to_string(),
        };
        let expected = match expected.to_string() {
            text if text.starts_with("struct ") || text == "a map" => "a table".to_owned(),
            text if text == "a sequence" => "a list".to_owned(),
            text => text,
        };
        Self::new(ProblemKind::WrongType { found, expected })
    }

    fn unknown_variant(given: &str, known: &'static [&'static str]) -> Self {
        Self::new(ProblemKind::UnknownValue {
            given: given.to_owned(),
            known: known.iter().map(|&name| name.to_owned()).collect(),
            suggestion: nearest(given, known).map(|&name| name.to_owned()),
        })
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(ProblemKind::UnknownField {
            field: field.to_owned(),
            known: known.iter().map(|&name| name.to_owned()).collect(),
            suggestion: nearest(field, known).map(|&name| name.to_owned()),
        })
    }

    fn missing_field(field: &'static str) -> Self {
        let field = field.to_owned();
        Self::new(ProblemKind::MissingField { field })
    }
}

impl<'de> de::Deserializer<'de> for &'de Node {
    type Error = Misshapen;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misshapen> {
        match &self.value {
            Value::Null | Value::Cut => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(Number { value, .. }) => match value {
                NumberValue::Integer(value) => visitor.visit_i64(*value),
                NumberValue::Float(value) if value.is_finite() => visitor.visit_f64(*value),
                NumberValue::Float(_) | NumberValue::OutOfRange => Err(Misshapen::custom(
                    "this number is out of range; write a smaller one, or a text in quotes",
                )),
            },
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items { items, at: 0 }),
            Value::Table(entries) => visitor.visit_map(Entries {
                entries: entries.iter(),
                value: None,
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misshapen> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misshapen> {
        match &self.value {
            Value::Number(number) if name == SCALAR => match number.kept() {
                Some(text) => visitor.visit_str(text),
                None => Err(Misshapen::custom(format_args!(
                    "this is a number, and configuration values are texts: `{0}` may have another text as a number, so write it in quotes: \"{0}\"",
                    number.text
                ))),
            },
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misshapen> {
        match &self.value {
            Value::Text(text) => visitor.visit_enum(Choice(text.as_str().into_deserializer())),
            _ => Err(self.wrong_type(&"a text")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misshapen> {
        match self.value {
            Value::Table(_) => self.deserialize_any(visitor),
            // For a list, serde would assign its items to the fields in order.
            _ => Err(self.wrong_type(&"a table")),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}

impl Node {
    fn wrong_type(&self, expected: &dyn de::Expected) -> Misshapen {
        let found = match &self.value {
            Value::Null | Value::Cut => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Number(Number { value, .. }) => match value {
                NumberValue::Integer(value) => Unexpected::Signed(*value),
                NumberValue::Float(value) => Unexpected::Float(*value),
                NumberValue::OutOfRange => Unexpected::Other("a number that is out of range"),
            },
            Value::Text(text) => Unexpected::Str(text),
            Value::List(_) => Unexpected::Seq,
            Value::Table(_) => Unexpected::Map,
        };
        Misshapen::invalid_type(found, expected)
    }
}

struct Items<'de> {
    items: &'de [Node],
    at: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Misshapen;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Misshapen> {
        let rest = self.items.iter().enumerate().skip(self.at);
        let is_left = |(_, item): &(usize, &Node)| !matches!(item.value, Value::Cut);
        let Some((at, item)) = rest.into_iter().find(is_left) else {
            return Ok(None);
        };
        self.at = at + 1;
        seed.deserialize(item)
            .map(Some)
            .map_err(|error| error.inside(Step::Item(at)))
    }
}

struct Entries<'de> {
    entries: std::slice::Iter<'de, (Key, Node)>,
    value: Option<&'de (Key, Node)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Misshapen;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Misshapen> {
        let Some(entry) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some(entry);
        let key: StrDeserializer<'de, Misshapen> = entry.0.text.as_str().into_deserializer();
        seed.deserialize(key)
            .map(Some)
            .map_err(|error| error.at_key(&entry.0))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misshapen> {
        let Some((key, value)) = self.value.take() else {
            return Err(Misshapen::custom("a value was requested before its key"));
        };
        seed.deserialize(value)
            .map_err(|error| error.inside(Step::Field(key.text.clone())))
    }
}

/// One of several words.
struct Choice<'de>(StrDeserializer<'de, Misshapen>);

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = Misshapen;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Misshapen> {
        Ok((seed.deserialize(self.0)?, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = Misshapen;

    fn unit_variant(self) -> Result<(), Misshapen> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Misshapen> {
        Err(Misshapen::custom("this word takes a value here"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Misshapen> {
        Err(Misshapen::custom("this word takes values here"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Misshapen> {
        Err(Misshapen::custom("this word takes fields here"))
    }
}
