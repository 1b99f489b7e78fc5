//! Spans and log lines as they came, without what tests don't need.

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{Span, span::Event, status::StatusCode},
};
use std::collections::BTreeMap;

/// Attributes, with their values as text.
type Attributes = BTreeMap<String, String>;

/// A span.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpanRecord {
    /// Its name.
    pub name: String,
    /// `internal`, `server`, `client`, `producer`, `consumer` or `unspecified`.
    pub kind: String,
    /// The id of its trace.
    pub trace_id: Vec<u8>,
    /// Its own id.
    pub span_id: Vec<u8>,
    /// The id of its parent, which is empty if it has none.
    pub parent_id: Vec<u8>,
    /// Its attributes.
    pub attributes: Attributes,
    /// What happened during it, in order.
    pub events: Vec<SpanEvent>,
    /// The text of its error, if it failed.
    pub error: Option<String>,
    /// The name of the service that sent it.
    pub service: String,
    /// The number of nanoseconds that it took.
    pub nanoseconds: u64,
}

/// Something that happened during a span.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpanEvent {
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub attributes: Attributes,
}

/// A log line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogRecord {
    /// The text.
    pub body: String,
    /// Its level, such as `INFO`.
    pub severity: String,
    /// The id of the trace that it belongs to, which is empty if there is none.
    pub trace_id: Vec<u8>,
    /// The id of its span.
    pub span_id: Vec<u8>,
    /// Its attributes.
    pub attributes: Attributes,
    /// The name of the service that sent it.
    pub service: String,
}

impl SpanRecord {
    pub(super) fn all(request: ExportTraceServiceRequest) -> impl Iterator<Item = Self> {
        let resources = request.resource_spans.into_iter();
        resources.flat_map(|of| {
            let service = service(of.resource);
            let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.map(move |span| Self::new(span, service.clone()))
        })
    }

    fn new(span: Span, service: String) -> Self {
        let kind = span.kind().as_str_name().to_lowercase();
        let status = span.status.unwrap_or_default();
        Self {
            kind: kind.trim_start_matches("span_kind_").to_owned(),
            error: (status.code() == StatusCode::Error).then_some(status.message),
            nanoseconds: span
                .end_time_unix_nano
                .saturating_sub(span.start_time_unix_nano),
            name: span.name,
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_id: span.parent_span_id,
            attributes: attributes(span.attributes),
            events: span.events.into_iter().map(SpanEvent::new).collect(),
            service,
        }
    }
}

impl SpanEvent {
    fn new(event: Event) -> Self {
        Self {
            name: event.name,
            attributes: attributes(event.attributes),
        }
    }
}

impl LogRecord {
    pub(super) fn all(request: ExportLogsServiceRequest) -> impl Iterator<Item = Self> {
        let resources = request.resource_logs.into_iter();
        resources.flat_map(|of| {
            let service = service(of.resource);
            let records = of
                .scope_logs
                .into_iter()
                .flat_map(|scope| scope.log_records);
            records.map(move |record| Self {
                body: text(record.body),
                severity: record.severity_text,
                trace_id: record.trace_id,
                span_id: record.span_id,
                attributes: attributes(record.attributes),
                service: service.clone(),
            })
        })
    }
}

fn service(resource: Option<Resource>) -> String {
    let all = attributes(resource.unwrap_or_default().attributes);
    all.get("service.name").cloned().unwrap_or_default()
}

fn attributes(all: Vec<KeyValue>) -> Attributes {
    let all = all.into_iter();
    all.map(|pair| (pair.key, text(pair.value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        None => String::new(),
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        Some(other) => format!("{other:?}"),
    }
}
