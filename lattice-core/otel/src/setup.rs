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
    /// How long one request may take.
    timeouts: [Duration; 3],
    pub(crate) resource: Resource,
    pub(crate) client: Exporter,
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
        let of_signal = |signal| match timeout {
            Some(timeout) => Ok(timeout),
            None => environment.timeout(signal),
        };
        let [traces, metrics, logs] = Signal::ALL;
        let timeouts = [of_signal(traces)?, of_signal(metrics)?, of_signal(logs)?];
        let headers = |signal| environment.headers(signal);
        Ok(Self {
            urls,
            headers: [headers(traces)?, headers(metrics)?, headers(logs)?],
            timeouts,
            resource,
            client: Exporter::new(is_https, timeouts[0])?,
        })
    }

    /// Where a signal is sent.
    pub(crate) fn url(&self, signal: Signal) -> String {
        self.urls[signal as usize].clone()
    }

    /// How long one request for a signal may take.
    pub(crate) fn timeout(&self, signal: Signal) -> Duration {
        self.timeouts[signal as usize]
    }

    /// What sends a signal.
    pub(crate) fn client(&self, signal: Signal) -> Exporter {
        self.client.within(self.timeout(signal))
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
