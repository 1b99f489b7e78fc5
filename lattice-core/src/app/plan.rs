//! The plan of an app: what applying it would do.

use super::{ResourceRef, warning::Warning};
use crate::name::AppName;
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// The changes that applying an app makes or would make. It is displayed with one line per
/// resource, followed by the fields that change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// The app.
    pub app: AppName,
    /// The resources that are created.
    pub create: Vec<ResourceRef>,
    /// The resources that exist and change.
    pub change: Vec<PlannedChange>,
    /// The resources that are deleted, because the app no longer names them.
    pub delete: Vec<ResourceRef>,
    /// The resources that stay as they are.
    pub unchanged: Vec<ResourceRef>,
    /// Parts of the app that work but may be mistakes.
    pub warnings: Vec<Warning>,
}

/// How one resource changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlannedChange {
    /// The resource.
    pub resource: ResourceRef,
    /// The fields that differ.
    pub differences: Vec<Difference>,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// The path of the field in the manifest, such as `replicas` or `require.zone`.
    pub field: String,
    /// The present value, or `None` if the field is added.
    pub before: Option<String>,
    /// The new value, or `None` if the field is removed.
    pub after: Option<String>,
}

impl Plan {
    pub(super) fn new(app: AppName) -> Self {
        Self {
            app,
            create: Vec::new(),
            change: Vec::new(),
            delete: Vec::new(),
            unchanged: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Returns whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.create.is_empty() && self.change.is_empty() && self.delete.is_empty()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            app,
            create,
            change,
            delete,
            unchanged,
            warnings,
        } = self;
        writeln!(
            f,
            "app `{app}`: {} to create, {} to change, {} to delete, {} unchanged",
            create.len(),
            change.len(),
            delete.len(),
            unchanged.len()
        )?;
        for resource in create {
            writeln!(f, "  + {resource}")?;
        }
        for change in change {
            writeln!(f, "  ~ {}", change.resource)?;
            for difference in &change.differences {
                writeln!(f, "      {difference}")?;
            }
        }
        for resource in delete {
            writeln!(f, "  - {resource}")?;
        }
        for warning in warnings {
            writeln!(f, "  ! {warning}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_nothing =
            |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        let (before, after) = (or_nothing(&self.before), or_nothing(&self.after));
        write!(f, "{}: {before} -> {after}", self.field)
    }
}

impl Difference {
    pub(super) fn new(field: &str, before: Option<&Value>, after: Option<&Value>) -> Self {
        Self {
            field: field.to_owned(),
            before: before.map(Value::to_string),
            after: after.map(Value::to_string),
        }
    }

    /// Hides the values of a link's configuration, which may hold secrets, and the hashes of those
    /// that a wormhole lets through.
    pub(super) fn without_secrets(self) -> Self {
        let hidden = |value: Option<String>, text: &str| value.map(|_| text.to_owned());
        match self.field.as_str() {
            field if field == "config" || field.split('.').next() == Some("auth") => Self {
                field: self.field,
                before: hidden(self.before, "(hidden)"),
                after: hidden(self.after, "another one (hidden)"),
            },
            _ => self,
        }
    }

    /// Returns the fields that differ between two records.
    pub(super) fn between(before: &Value, after: &Value) -> Vec<Self> {
        let mut all = Vec::new();
        let (before, after) = (as_in_manifest(before), as_in_manifest(after));
        compare("", Some(&before), Some(&after), &mut all);
        all
    }
}

/// Returns a record in the form of a manifest: the fields of `placement` are moved into the
/// component, and the number of replicas is a number.
fn as_in_manifest(record: &Value) -> Value {
    let mut record = record.clone();
    let Some(fields) = record.as_object_mut() else {
        return record;
    };
    if let Some(Value::Object(placement)) = fields.remove("placement") {
        fields.extend(placement);
    }
    if let Some(replicas) = fields.get_mut("replicas") {
        match replicas.get("Exactly") {
            Some(count) => *replicas = count.clone(),
            None if replicas == "PerHost" => *replicas = "per-host".into(),
            None => {}
        }
    }
    record
}

fn compare(field: &str, before: Option<&Value>, after: Option<&Value>, all: &mut Vec<Difference>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let added = after.keys().filter(|name| !before.contains_key(*name));
            for name in before.keys().chain(added) {
                let field = match field {
                    "" => name.clone(),
                    field => format!("{field}.{name}"),
                };
                compare(&field, before.get(name), after.get(name), all);
            }
        }
        (before, after) => all.push(Difference::new(field, before, after)),
    }
}
