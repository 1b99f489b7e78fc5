//! Reports a failed call as a value of the function's own result type, and a broken stream or
//! future as its last element.
//!
//! This is done only if that type is a `result` with a fitting error: `lattice:rpc/types.error`, a
//! bare `string`, or a case named `other`, `internal-error`, `internal` or `unavailable` that holds
//! a `string` or an `option<string>`. No other case is used, because for example `not-found` would
//! be wrong. The `err` of an element may also be one without a value. That of a call may not,
//! because its function means something by it.

use bytes::Bytes;
use lattice_core::call::{CallError, Ran};
use lattice_core::stream::Broken;
use lattice_core::value::{ValueError, to_bytes};
use serde::{Serialize, Serializer};
use wasmtime::component::Type;
use wasmtime::component::types::{ComponentItem, Record, Variant};

/// Cases that can hold a failure, the best match first.
const CASES: [&str; 4] = ["other", "internal-error", "internal", "unavailable"];

/// How a type reports that a call failed, or that a stream or future broke. This is determined
/// once, when the actor is linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FailureValue {
    /// `result<_>`, of an element.
    Bare,
    /// `result<_, string>`.
    Text,
    /// A case that holds a text.
    Case { index: u32, payload: Payload },
    /// `lattice:rpc/types.error`.
    Error(Box<ErrorRecord>),
}

/// The type of such a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    Text,
    OptionalText,
}

/// The names in the guest's own version of `lattice:rpc/types.error`, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErrorRecord {
    kinds: Vec<String>,
    /// The index of `other`.
    other: u32,
    ran: [u32; 3],
}

/// A failure to report.
pub(crate) struct Failure {
    /// Its name in `lattice:rpc/types.kind`.
    kind: &'static str,
    ran: Ran,
    is_retryable: bool,
    text: String,
}

impl From<&CallError> for Failure {
    fn from(error: &CallError) -> Self {
        Self {
            kind: kind(error),
            ran: error.ran(),
            is_retryable: error.is_retryable(),
            text: error.to_string(),
        }
    }
}

impl From<&Broken> for Failure {
    fn from(broken: &Broken) -> Self {
        let (kind, is_retryable) = match broken {
            Broken::WriterLost | Broken::InstanceLost { .. } => ("instance-lost", true),
            Broken::HostLost { .. } => ("host-lost", true),
            Broken::CutOff { .. } => ("disconnected", true),
            Broken::Failed { .. } => ("callee-failed", false),
            Broken::Invalid { .. } => ("bad-result", false),
            _ => ("other", false),
        };
        Self {
            kind,
            // The writer may be the callee of a call, its caller, or a third component.
            ran: Ran::Maybe,
            is_retryable,
            text: format!("the stream or future broke: {broken}"),
        }
    }
}

impl FailureValue {
    /// Returns how a function's result can report that the call failed, if it can.
    pub(crate) fn of(function: &ComponentItem) -> Option<Self> {
        let ComponentItem::ComponentFunc(function) = function else {
            return None;
        };
        let result = Self::of_element(&function.results().next()?);
        result.filter(|value| *value != Self::Bare)
    }

    /// Returns how an element of this type can report that its stream or future broke, if it can.
    pub(super) fn of_element(ty: &Type) -> Option<Self> {
        let Type::Result(result) = ty else {
            return None;
        };
        let Some(err) = result.err() else {
            return Some(Self::Bare);
        };
        match err {
            Type::String => Some(Self::Text),
            Type::Variant(variant) => case(&variant),
            Type::Record(record) => {
                ErrorRecord::of(&record).map(|record| Self::Error(Box::new(record)))
            }
            _ => None,
        }
    }

    /// Encodes the result that reports a failure.
    ///
    /// # Errors
    /// None are known, because every part of the value has an encoding.
    pub(crate) fn encode(&self, failure: impl Into<Failure>) -> Result<Bytes, ValueError> {
        let failure = failure.into();
        let text = &failure.text;
        match self {
            Self::Bare => to_bytes(&failed(())),
            Self::Text => to_bytes(&failed(text)),
            Self::Case {
                index,
                payload: Payload::Text,
            } => to_bytes(&failed(Case(*index, text))),
            Self::Case {
                index,
                payload: Payload::OptionalText,
            } => to_bytes(&failed(Case(*index, Some(text)))),
            Self::Error(record) => to_bytes(&failed(record.fields(&failure))),
        }
    }
}

/// Returns `error` as a result.
fn failed<E: Serialize>(error: E) -> Result<(), E> {
    Err(error)
}

/// A case of a variant that is known only at run time, with its payload.
struct Case<P>(u32, P);

impl<P: Serialize> Serialize for Case<P> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_newtype_variant("", self.0, "", &self.1)
    }
}

fn case(variant: &Variant) -> Option<FailureValue> {
    let found = |name: &&str| {
        let (index, case) = variant
            .cases()
            .enumerate()
            .find(|(_, case)| case.name == *name)?;
        let payload = match case.ty? {
            Type::String => Payload::Text,
            Type::Option(option) if option.ty() == Type::String => Payload::OptionalText,
            _ => return None,
        };
        Some(FailureValue::Case {
            index: u32::try_from(index).ok()?,
            payload,
        })
    };
    CASES.iter().find_map(found)
}

impl ErrorRecord {
    fn of(record: &Record) -> Option<Self> {
        let mut fields = record.fields();
        let mut next = |name| {
            fields
                .next()
                .filter(|field| field.name == name)
                .map(|field| field.ty)
        };
        let (Some(Type::Enum(kinds)), Some(Type::Enum(ran)), Some(Type::Bool), Some(Type::String)) = (
            next("kind"),
            next("ran"),
            next("retryable"),
            next("message"),
        ) else {
            return None;
        };
        if fields.next().is_some() {
            return None;
        }
        let kinds: Vec<String> = kinds.names().map(str::to_owned).collect();
        let position = |names: &[String], name| {
            names
                .iter()
                .position(|n| n == name)
                .and_then(|at| u32::try_from(at).ok())
        };
        let names: Vec<String> = ran.names().map(str::to_owned).collect();
        Some(Self {
            other: position(&kinds, "other")?,
            ran: [
                position(&names, "no")?,
                position(&names, "maybe")?,
                position(&names, "yes")?,
            ],
            kinds,
        })
    }

    /// Returns the record's fields. Enums are the indices that they are encoded as.
    fn fields<'f>(&self, failure: &'f Failure) -> (u32, u32, bool, &'f str) {
        let index = self
            .kinds
            .iter()
            .position(|known| known == failure.kind)
            .and_then(|at| u32::try_from(at).ok());
        let [no, maybe, yes] = self.ran;
        let ran = match failure.ran {
            Ran::No => no,
            Ran::Maybe => maybe,
            Ran::Yes => yes,
        };
        let kind = index.unwrap_or(self.other);
        (kind, ran, failure.is_retryable, &failure.text)
    }
}

/// Returns the name of the error in `lattice:rpc/types.kind`.
fn kind(error: &CallError) -> &'static str {
    match error {
        CallError::NotLinked { .. } => "not-linked",
        CallError::LinkRejected { .. } => "link-rejected",
        CallError::LinkTableBehind => "link-table-behind",
        CallError::NotServed { .. } => "not-served",
        CallError::NotExported { .. } => "not-exported",
        CallError::SchemaMismatch { .. } => "schema-mismatch",
        CallError::BadArguments { .. } => "bad-arguments",
        CallError::Overloaded { .. } | CallError::TooManySessions { .. } => "overloaded",
        CallError::Stopping { .. } => "stopping",
        CallError::TooManyHops { .. } => "too-many-hops",
        CallError::TooLarge { .. } => "too-large",
        CallError::DeadlineExceeded { .. } => "deadline",
        CallError::Disconnected { .. } | CallError::StoreUnavailable { .. } => "disconnected",
        CallError::HostLost { .. } | CallError::HostGone { .. } => "host-lost",
        CallError::InstanceLost { .. } => "instance-lost",
        CallError::CalleeFailed { .. } => "callee-failed",
        CallError::LimitExceeded { .. } => "limit-exceeded",
        CallError::BadResult { .. } => "bad-result",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_core::value;
    use serde::Deserialize;
    use wasmtime::{Config, Engine, component::Component};

    /// Returns the failure value of a function with this result type.
    fn failure_value(types: &str, err: &str) -> Option<FailureValue> {
        let wat = format!(
            r#"(component (import "a:b/c" (instance $i {types} (export "f" (func (result (result (error {err}))))))))"#
        );
        let engine = Engine::new(&Config::new()).expect("an engine");
        let component = Component::new(&engine, wat::parse_str(&wat).expect(&wat)).expect(&wat);
        let ty = component.component_type();
        let Some(ComponentItem::ComponentInstance(instance)) =
            ty.get_import(&engine, "a:b/c").map(|item| item.ty)
        else {
            panic!("no interface in {wat}");
        };
        FailureValue::of(&instance.get_export(&engine, "f").expect("a function").ty)
    }

    /// Returns the failure value for a named type, written as in WIT.
    fn named(ty: &str) -> Option<FailureValue> {
        failure_value(
            &format!(r#"(type $t' {ty}) (export "t" (type $t (eq $t')))"#),
            "$t",
        )
    }

    fn encoded(value: &FailureValue, error: &CallError) -> Bytes {
        value.encode(error).expect("every value has an encoding")
    }

    fn overloaded() -> CallError {
        CallError::Overloaded {
            component: "greeter".parse().expect("an id"),
        }
    }

    #[test]
    fn a_text_holds_the_message() {
        let value = failure_value("", "string").expect("a failure value");
        let back: Result<(), String> =
            value::from_bytes(&encoded(&value, &overloaded())).expect("decodes");
        assert!(back.expect_err("a failure").contains("greeter"));
    }

    #[test]
    fn an_element_holds_why_its_stream_broke() {
        let lost = Broken::InstanceLost {
            reason: "it trapped".into(),
        };
        let text = FailureValue::Text.encode(&lost).expect("encodes");
        let back: Result<(), String> = value::from_bytes(&text).expect("decodes");
        let back = back.expect_err("a failure");
        assert!(
            back.contains("stream or future broke") && back.contains("it trapped"),
            "{back}"
        );
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let record = FailureValue::Error(Box::new(ErrorRecord {
            kinds: names(&["other", "instance-lost", "bad-result"]),
            other: 0,
            ran: [0, 1, 2],
        }));
        let invalid = Broken::Invalid { reason: "x".into() };
        for (broken, expected) in [
            (lost, (1, 1, true)),
            (invalid, (2, 1, false)),
            (Broken::CutOff { reason: "x".into() }, (0, 1, true)),
        ] {
            let bytes = record.encode(&broken).expect("encodes");
            let back: Result<(), (u32, u32, bool, String)> =
                value::from_bytes(&bytes).expect("decodes");
            let (kind, ran, retryable, _) = back.expect_err("a failure");
            assert_eq!((kind, ran, retryable), expected, "{broken}");
        }
    }

    #[test]
    fn an_error_without_a_value_is_for_elements_only() {
        let wat =
            r#"(component (import "a:b/c" (instance (export "f" (func (result (result u32)))))))"#;
        let engine = Engine::new(&Config::new()).expect("an engine");
        let component = Component::new(&engine, wat::parse_str(wat).expect(wat)).expect(wat);
        let ty = component.component_type();
        let Some(ComponentItem::ComponentInstance(instance)) =
            ty.get_import(&engine, "a:b/c").map(|item| item.ty)
        else {
            panic!("no interface in {wat}");
        };
        let function = instance.get_export(&engine, "f").expect("a function").ty;
        assert_eq!(FailureValue::of(&function), None);
        let ComponentItem::ComponentFunc(function) = function else {
            panic!("no function in {wat}");
        };
        let result = function.results().next().expect("a result");
        let value = FailureValue::of_element(&result).expect("a failure value");
        let bytes = value.encode(&Broken::WriterLost).expect("encodes");
        assert_eq!(&bytes[..], [1]);
    }

    #[test]
    fn only_a_fitting_case_is_used_for_the_message() {
        let value = named(
            r#"(variant (case "not-found") (case "unavailable" (option string)) (case "other" string))"#,
        );
        assert_eq!(
            value,
            Some(FailureValue::Case {
                index: 2,
                payload: Payload::Text
            })
        );
        let value =
            named(r#"(variant (case "not-found" string) (case "unavailable" (option string)))"#)
                .expect("a failure value");
        #[derive(Debug, Deserialize)]
        enum Theirs {
            NotFound(String),
            Unavailable(Option<String>),
        }
        let back: Result<(), Theirs> =
            value::from_bytes(&encoded(&value, &overloaded())).expect("decodes");
        match back.expect_err("a failure") {
            Theirs::Unavailable(text) => assert!(text.expect("a text").contains("greeter")),
            Theirs::NotFound(text) => panic!("an unrelated case was used: {text}"),
        }
        for none in [
            r#"(variant (case "not-found" string))"#,
            r#"(variant (case "other"))"#,
            r#"(variant (case "other" u32))"#,
            r#"(enum "other")"#,
            r#"(record (field "message" string))"#,
        ] {
            assert_eq!(named(none), None, "{none}");
        }
        assert_eq!(failure_value("", "u32"), None);
    }

    #[test]
    fn the_error_record_uses_the_names_in_the_guests_own_version() {
        let types = |kinds: &str| {
            format!(
                r#"(type $k' (enum {kinds})) (export "kind" (type $k (eq $k')))
                   (type $r' (enum "no" "maybe" "yes")) (export "ran" (type $r (eq $r')))
                   (type $e' (record (field "kind" $k) (field "ran" $r) (field "retryable" bool) (field "message" string)))
                   (export "error" (type $e (eq $e')))"#
            )
        };
        let value = failure_value(&types(r#""not-linked" "overloaded" "other""#), "$e")
            .expect("a failure value");
        let decode = |error: &CallError| -> (u32, u32, bool, String) {
            let back: Result<(), _> = value::from_bytes(&encoded(&value, error)).expect("decodes");
            back.expect_err("a failure")
        };
        let (kind, ran, retryable, message) = decode(&overloaded());
        assert_eq!((kind, ran, retryable), (1, 0, true));
        assert!(message.contains("greeter"));
        let lost = CallError::InstanceLost { reason: "x".into() };
        let (kind, ran, ..) = decode(&lost);
        assert_eq!(
            (kind, ran),
            (2, 1),
            "a kind that is missing in the guest's version becomes `other`"
        );
        assert_eq!(
            failure_value(&types(r#""not-linked""#), "$e"),
            None,
            "a record without `other` isn't used"
        );
    }
}
