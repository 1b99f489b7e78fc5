//! What the exporters of all signals need.

use crate::{
    InstallError,
    environment::{Environment, Signal},
    export::Exporter,
};
use opentelemetry_sdk::Resource;
use std::{collections::HashMap, time::Duration};

/// What the exporters of all signals need.
#[derive(Debug)]
pub(crate) struct Setup {
    urls: [String; 3],
    headers: [Vec<(String, String)>; 3],
    pub(crate) resource: Resource,
    pub(crate) client: Exporter,
    /// How long one request may take.
    pub(crate) timeout: Duration,
}

impl Setup {
    pub(crate) fn new(
        environment: &Environment<'_>,
        endpoint: Option<&str>,
        timeout: Option<Duration>,
        resource: Resource,
    ) -> Result<Self, InstallError> {
        environment.check_protocol()?;
        let urls = Signal::ALL.map(|signal| environment.url(signal, endpoint));
        let mut is_https = false;
        for url in &urls {
            is_https |= is_of_https(url)?;
        }
        let timeout = match timeout {
            Some(timeout) => timeout,
            None => environment.timeout()?,
        };
        Ok(Self {
            urls,
            headers: Signal::ALL.map(|signal| environment.headers(signal)),
            resource,
            client: Exporter::new(is_https, timeout)?,
            timeout,
        })
    }

    /// Where a signal is sent.
    pub(crate) fn url(&self, signal: Signal) -> String {
        self.urls[signal as usize].clone()
    }

    /// The headers that the collector wants with a signal.
    pub(crate) fn headers(&self, signal: Signal) -> HashMap<String, String> {
        self.headers[signal as usize].iter().cloned().collect()
    }
}

fn is_of_https(text: &str) -> Result<bool, InstallError> {
    let parsed = reqwest::Url::parse(text).ok();
    let url = parsed.filter(reqwest::Url::has_host);
    match url.as_ref().map(reqwest::Url::scheme) {
        Some("http") => Ok(false),
        Some("https") => Ok(true),
        _ => Err(InstallError::Endpoint {
            url: text.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_host() {
        assert!(matches!(is_of_https("http://localhost:4318"), Ok(false)));
        assert!(matches!(is_of_https("https://collector/v1"), Ok(true)));
        for wrong in [
            "",
            "localhost:4318",
            "grpc://localhost:4317",
            "http://",
            "/v1",
        ] {
            assert!(is_of_https(wrong).is_err(), "{wrong}");
        }
    }
}
