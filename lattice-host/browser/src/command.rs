//! Commands of chromedriver beside those of the standard.

use fantoccini::wd::WebDriverCompatibleCommand;
use http::Method;
use serde_json::{Value, json};
use url::{ParseError, Url};

/// A command to the session: the end of its path, and its parameters.
#[derive(Debug)]
pub(crate) struct Vendor {
    path: &'static str,
    parameters: Value,
}

impl Vendor {
    /// A command of the `DevTools` protocol.
    pub(crate) fn devtools(method: &str, parameters: Value) -> Self {
        Self {
            path: "goog/cdp/execute",
            parameters: json!({ "cmd": method, "params": parameters }),
        }
    }

    /// Reads what pages have logged since this was read last.
    pub(crate) fn log() -> Self {
        Self {
            path: "se/log",
            parameters: json!({ "type": "browser" }),
        }
    }
}

impl WebDriverCompatibleCommand for Vendor {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        let session = session.unwrap_or_default();
        base.join(&format!("session/{session}/{}", self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.parameters.to_string()))
    }
}
