//! The provider: a link for each config, and the requests that are made over it.

use super::{
    allow::AllowList,
    body::RequestBody,
    config::LinkConfig,
    failure::Failure,
    head::{check, framing},
    pool::Pool,
    resolve::{Resolve, SystemResolver},
    roots,
    target::Target,
    timeouts::Timeouts,
    warnings::Warnings,
};
use crate::http::{
    exchange::{
        self, ErrorCode, HANDLER, Handler, Request, RequestOptions, Response, ServedAs,
        bindings::World,
    },
    figures::SENT,
    spans::{RequestSpan, propagate},
};
use http::{HeaderValue, Method, header};
use lattice_core::{
    call::Context,
    link::{Link, LinkKey},
    name::InterfaceName,
    serve::Service,
};
use lattice_provider_sdk::{Call, HostPath, Instance, IntoService, Provider, Refusal};
use serde::Deserialize;
use std::{fmt::Display, sync::Arc};
use tokio::time::Instant;
use tracing::Instrument as _;

/// The interfaces that the provider serves, all with the same function.
const SERVED_AS: [&str; 3] = [
    HANDLER,
    "wasi:http/outgoing-handler@0.2.0",
    "wasi:http/client@0.3.0",
];

/// The longest part of a method that is logged.
const LOGGED: usize = 32;

/// The provider that sends requests to the web. See the [module](super) for the config of its
/// links.
///
/// Each host has it under the name `http`, so that a manifest needs only
///
/// ```toml
/// [providers.web]
/// builtin = "http"
/// ```
///
/// Its settings, which are `config` there, are [`OutgoingSettings`].
#[derive(Default)]
pub struct OutgoingHttp {
    settings: OutgoingSettings,
    /// That of the system, if there is none.
    resolver: Option<Arc<dyn Resolve>>,
}

/// The settings of [`OutgoingHttp`], for all of its links.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct OutgoingSettings {
    /// A file with the certificates of authorities, in PEM, that are trusted in place of those of
    /// the system. It is read when the provider starts, and again for each new link.
    pub ca_file: Option<HostPath>,
}

impl OutgoingHttp {
    /// Creates the provider, with the certificates of the system.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates the provider with settings.
    pub fn with_settings(settings: OutgoingSettings) -> Self {
        Self {
            settings,
            resolver: None,
        }
    }

    /// Creates the provider with a resolver of its own.
    #[cfg(test)]
    pub(super) fn with_resolver(resolver: Arc<dyn Resolve>) -> Self {
        Self {
            resolver: Some(resolver),
            ..Self::default()
        }
    }
}

impl IntoService for OutgoingHttp {
    fn into_service(self) -> Arc<dyn Service> {
        let provider = Web {
            settings: self.settings,
            resolver: self.resolver,
        };
        Arc::new(ServedAs::new(provider.into_service(), SERVED_AS))
    }
}

impl std::fmt::Debug for OutgoingHttp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutgoingHttp")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The provider as the SDK sees it.
struct Web {
    settings: OutgoingSettings,
    resolver: Option<Arc<dyn Resolve>>,
}

/// A link that leads to the web.
struct WebLink {
    key: LinkKey,
    allow: Arc<AllowList>,
    timeouts: Timeouts,
    pool: Pool,
    warnings: Warnings,
}

impl Provider for Web {
    type World = World;
    type Config = LinkConfig;
    type Binding = WebLink;

    async fn start(&self, _: &Instance) -> Result<(), Refusal> {
        if self.settings.ca_file.is_some() {
            roots::tls(self.settings.ca_file.clone()).await?;
        }
        Ok(())
    }

    async fn link(&self, link: &Link, config: LinkConfig) -> Result<WebLink, Refusal> {
        let settings = config.check()?;
        let tls = roots::tls(self.settings.ca_file.clone()).await?;
        let resolver = self.resolver.clone();
        let resolver = resolver.unwrap_or_else(|| Arc::new(SystemResolver::default()));
        Ok(WebLink {
            key: link.key(),
            pool: Pool::new(&settings, tls, resolver),
            allow: settings.allow,
            timeouts: settings.timeouts,
            warnings: Warnings::default(),
        })
    }

    fn config_schema() -> Option<String> {
        Some(LinkConfig::schema())
    }

    fn also_served_as() -> Vec<InterfaceName> {
        let names = SERVED_AS.iter();
        names
            .filter_map(|name| InterfaceName::new(name).ok())
            .collect()
    }
}

impl Handler for Web {
    async fn handle(
        &self,
        call: &Call<Self>,
        mut request: Request,
        options: RequestOptions,
    ) -> Result<Response, ErrorCode> {
        let (begun, link) = (Instant::now(), call.binding());
        let method = logged(&request.method);
        // Counted as well if the call is dropped, or its time is over.
        let counted = SENT.begin(&method, call.context().deadline);
        let target = check(&mut request);
        let sent = match &target {
            Ok(target) => {
                let context = *call.context();
                let sending = link.send_in_span(target, request, &options, (&method, context));
                sending.await
            }
            Err(failure) => Err(failure.clone()),
        };
        let outcome = sent.as_ref().map(http::Response::status);
        let outcome = outcome.map_err(|failure| &failure.code as &dyn std::fmt::Debug);
        counted.end(outcome);
        link.log(&method, target.ok().as_ref(), begun, &sent);
        sent.map(exchange::response_to_wire)
            .map_err(|failure| failure.code)
    }
}

type Sent = Result<http::Response<super::body::ResponseBody>, Failure>;

impl WebLink {
    /// Sends a request within a span, if it is sampled, with its position in the trace.
    async fn send_in_span(
        &self,
        target: &Target,
        mut request: Request,
        options: &RequestOptions,
        (method, mut context): (&str, Context),
    ) -> Sent {
        let Target { scheme, host, port } = target;
        let server: (&str, &dyn Display, u16) = (scheme.as_str(), host, *port);
        let path = request.path_with_query.as_deref().unwrap_or_default();
        let span = RequestSpan::client(method, server, (target, path), &mut context);
        let undecided = span.until_outcome(context.deadline);
        propagate(&mut request.headers, context.trace);
        let sent = self.send(target, request, options);
        let sent = sent.instrument(span.span()).await;
        undecided.decided();
        match &sent {
            Ok(response) => span.responded(response.status(), |status| {
                status.is_client_error() || status.is_server_error()
            }),
            Err(failure) => span.failed_with(&failure.code, &failure.reason),
        }
        sent
    }

    async fn send(&self, target: &Target, request: Request, options: &RequestOptions) -> Sent {
        if self.allow.reach(target).is_none() {
            let text = format!(
                "the link doesn't lead to `{target}`; add `\"{target}\"` to `allow` in its config \
                 if it should"
            );
            return Err(Failure::new(ErrorCode::HttpRequestDenied, text));
        }
        let timeouts = self.timeouts.within(options);
        let request = sendable(request).await?;
        self.pool.send(request, target, timeouts).await
    }

    /// Writes a line for each request, without its path and query, which may be secrets.
    fn log(&self, method: &str, target: Option<&Target>, begun: Instant, sent: &Sent) {
        let (link, took) = (&self.key, begun.elapsed());
        let target = target.map(ToString::to_string).unwrap_or_default();
        match sent {
            Ok(response) => {
                let status = response.status().as_u16();
                tracing::debug!(%link, method, target, status, ?took, "sent a request");
            }
            Err(failure) => {
                let Failure { code, reason } = failure;
                tracing::debug!(%link, method, target, %code, ?took, "a request failed: {reason}");
                if failure.is_denied()
                    && let Some(left_out) = self.warnings.admit()
                {
                    tracing::warn!(%link, method, target, left_out, "denied a request: {reason}");
                }
            }
        }
    }
}

/// Returns the request as it is sent.
async fn sendable(request: Request) -> Result<http::Request<RequestBody>, Failure> {
    let has_trailers = request.trailers.is_some();
    let request = exchange::request_from_wire(request)?;
    let (mut parts, body) = request.into_parts();
    let framing = framing(&mut parts.headers, has_trailers)?;
    let body = match framing.length {
        Some(length) => exchange::check_length(body, length, ErrorCode::HttpRequestBodySize),
        None => body,
    };
    let mut body = RequestBody::new(body, framing.trailers);
    // hyper sends a body of unknown length with other methods only.
    let rarely_has_one = matches!(parts.method, Method::GET | Method::HEAD);
    if rarely_has_one
        && (framing.length.is_none() || framing.trailers)
        && body.has_content().await?
    {
        let chunked = HeaderValue::from_static("chunked");
        parts.headers.insert(header::TRANSFER_ENCODING, chunked);
    }
    Ok(http::Request::from_parts(parts, body))
}

fn logged(method: &str) -> String {
    let end = method.floor_char_boundary(LOGGED);
    method.get(..end).unwrap_or_default().to_owned()
}
