//! Reports a failed call as a value of the function's own result type.
//!
//! This is done only if that type has a fitting error: `lattice:rpc/types.error`, a bare `string`,
//! or a case named `other`, `internal-error`, `internal` or `unavailable` that holds a `string` or
//! an `option<string>`. No other case is used, because for example `not-found` would be wrong.

use bytes::Bytes;
use lattice_core::{
    call::{CallError, Ran},
    value::{ValueError, to_bytes},
};
use serde::{Serialize, Serializer};
use wasmtime::component::{
    Type,
    types::{ComponentItem, Record, Variant},
};

/// Cases that can hold a failure, the best match first.
const CASES: [&str; 4] = ["other", "internal-error", "internal", "unavailable"];

/// How a function's result reports that the call failed. This is determined once, when the actor is
/// linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FailureValue {
    /// `result<_, string>`.
    Text,
    /// A case that holds a text.
    Case { index: u32, payload: Payload },
    /// `lattice:rpc/types.error`.
    Error(Box<ErrorRecord>),
}

/// The type of such a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payload {
    Text,
    OptionalText,
}

/// The names in the guest's own version of `lattice:rpc/types.error`, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ErrorRecord {
    kinds: Vec<String>,
    /// The index of `other`.
    other: u32,
    ran: [u32; 3],
}

impl FailureValue {
    /// Returns how a function's result can report a failure, if it can.
    pub(super) fn of(item: &ComponentItem) -> Option<Self> {
        let ComponentItem::ComponentFunc(function) = item else {
            return None;
        };
        let Some(Type::Result(result)) = function.results().next() else {
            return None;
        };
        match result.err()? {
            Type::String => Some(Self::Text),
            Type::Variant(variant) => case(&variant),
            Type::Record(record) => {
                ErrorRecord::of(&record).map(|record| Self::Error(Box::new(record)))
            }
            _ => None,
        }
    }

    /// Encodes the result that reports `error`.
    ///
    /// # Errors
    /// None are known, because every part of the value has an encoding.
    pub(super) fn encode(&self, error: &CallError) -> Result<Bytes, ValueError> {
        let text = &error.to_string();
        match self {
            Self::Text => to_bytes(&failed(text)),
            Self::Case {
                index,
                payload: Payload::Text,
            } => to_bytes(&failed(Case(*index, text))),
            Self::Case {
                index,
                payload: Payload::OptionalText,
            } => to_bytes(&failed(Case(*index, Some(text)))),
            Self::Error(record) => to_bytes(&failed(record.fields(error, text))),
        }
    }
}

/// Returns `error` as a function's result.
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
    fn fields<'t>(&self, error: &CallError, text: &'t str) -> (u32, u32, bool, &'t str) {
        let kind = kind(error);
        let index = self
            .kinds
            .iter()
            .position(|known| known == kind)
            .and_then(|at| u32::try_from(at).ok());
        let [no, maybe, yes] = self.ran;
        let ran = match error.ran() {
            Ran::No => no,
            Ran::Maybe => maybe,
            Ran::Yes => yes,
        };
        (index.unwrap_or(self.other), ran, error.is_retryable(), text)
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
