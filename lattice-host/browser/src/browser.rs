//! The browser.

use crate::command::Vendor;
use fantoccini::{
    Client, ClientBuilder,
    error::{CmdError, NewSessionError},
    wd::Capabilities,
};
use hyper_util::client::legacy::connect::HttpConnector;
use lattice_test_servers::{Chromedriver, NoServer, installed};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// The deadline of each wait. It suffices on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Interval between two looks whether something is as it should be.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
/// Where images are kept.
const IMAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/ui");
/// What driver and browser say if they don't have the same version.
const MISFIT: &str = "only supports";
/// No window, no sandbox (root has none), no GPU, and no requests of the browser's own. Only this
/// machine can be reached. A page that isn't in front isn't slowed down.
const OPTIONS: [&str; 17] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--disable-component-update",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--no-first-run",
    "--no-default-browser-check",
    "--window-size=1400,1000",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1",
];

/// A browser with one page. It ends with this value, and with the process that has started it.
pub struct Browser {
    pub(crate) client: Client,
    /// The browser ends with it.
    driver: Chromedriver,
}

/// Starts a browser for a test. Returns none, and prints why, if this machine has none: the test is
/// skipped.
///
/// # Panics
/// If this machine has one and it doesn't start.
pub async fn browser() -> Option<Browser> {
    installed(Browser::start().await)
}

impl Browser {
    /// Starts a browser with an empty profile.
    ///
    /// # Errors
    /// Fails when this machine has no browser, or it doesn't start within 30 s.
    pub async fn start() -> Result<Self, NoServer> {
        let driver = Chromedriver::start().await?;
        let mut session = ClientBuilder::new(HttpConnector::new());
        session.capabilities(capabilities(&driver));
        let url = driver.url();
        let reason = match timeout(PATIENCE, session.connect(&url)).await {
            Ok(Ok(client)) => return Ok(Self { client, driver }),
            Ok(Err(NewSessionError::SessionNotCreated(reason)))
                if reason.message.contains(MISFIT) =>
            {
                return Err(Chromedriver::misfit(reason.message));
            }
            Ok(Err(failed)) => failed.to_string(),
            Err(late) => late.to_string(),
        };
        Err(NoServer::NotStarted {
            server: "Chromium",
            log: format!("{reason}\n{}", driver.log()),
        })
    }

    /// Opens an address, and waits until its page is loaded.
    ///
    /// # Panics
    /// If it can't be loaded in time.
    pub async fn open(&self, url: &str) {
        self.done(&format!("{url} opens"), self.client.goto(url))
            .await;
    }

    /// Returns the value of an expression in the page.
    ///
    /// # Panics
    /// If it throws something.
    pub async fn value(&self, expression: &str) -> Value {
        let script = format!("return ({expression})");
        let value = self.client.execute(&script, Vec::new());
        self.done(&format!("the value of {expression}"), value)
            .await
    }

    /// Returns what a promise in the page resolves to, or the text of its error.
    ///
    /// # Panics
    /// If it isn't resolved in time.
    pub async fn answer(&self, promise: &str) -> Value {
        let script = format!(
            "const done = arguments[0]; Promise.resolve({promise}).then(done, (error) => done(String(error)));"
        );
        let answer = self.client.execute_async(&script, Vec::new());
        self.done(&format!("the answer of {promise}"), answer).await
    }

    /// Waits until an expression in the page is true, which `what` describes, and returns its
    /// value.
    ///
    /// # Panics
    /// If it isn't in time.
    pub async fn until(&self, what: &str, expression: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.value(expression).await;
            if is_true(&value) {
                return value;
            }
            if Instant::now() > deadline {
                self.fail(&format!("not in time: {what} ({expression} is {value})"))
                    .await;
            }
            sleep(LOOK).await;
        }
    }

    /// Keeps an image of the page as `target/ui/<name>.png`.
    ///
    /// # Panics
    /// If there is none in time, or it can't be written.
    pub async fn image(&self, name: &str) {
        let image = self.done("an image", self.client.screenshot()).await;
        kept(name, &image);
    }

    /// Shows the page as people see it who prefer dark or light colours, `dark` or `light`.
    ///
    /// # Panics
    /// If the browser refuses.
    pub async fn prefer(&self, colours: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": colours });
        let media = json!({ "features": [feature] });
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// Gives the page this size, in pixels.
    ///
    /// # Panics
    /// If the browser refuses.
    pub async fn resize(&self, width: u32, height: u32) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", size)
            .await;
    }

    /// Returns the result of a command of the `DevTools` protocol.
    pub(crate) async fn devtools(&self, method: &str, parameters: Value) -> Value {
        let command = self.client.issue_cmd(Vendor::devtools(method, parameters));
        self.done(method, command).await
    }

    /// Waits for a command to the browser.
    pub(crate) async fn done<T>(
        &self,
        what: &str,
        command: impl Future<Output = Result<T, CmdError>>,
    ) -> T {
        let Ok(ended) = timeout(PATIENCE, command).await else {
            panic!("not in time: {what}; {}", self.driver.log());
        };
        match ended {
            Ok(done) => done,
            Err(failed) => self.fail(&format!("{what}: {failed}")).await,
        }
    }

    /// Ends the test, with what the page shows and has logged.
    pub(crate) async fn fail(&self, what: &str) -> ! {
        let shown = timeout(PATIENCE, self.client.screenshot()).await;
        let image = match shown {
            Ok(Ok(image)) => kept(&format!("failed-{}", std::process::id()), &image),
            _ => PathBuf::from("no image"),
        };
        let logged = timeout(PATIENCE, self.client.issue_cmd(Vendor::log())).await;
        let logged = logged.map(Result::unwrap_or_default);
        panic!(
            "{what}\nthe page: {}\nits log: {}",
            image.display(),
            logged.unwrap_or_default()
        );
    }
}

fn capabilities(driver: &Chromedriver) -> Capabilities {
    let profile = format!("--user-data-dir={}", driver.profile().display());
    let options: Vec<&str> = OPTIONS.into_iter().chain([profile.as_str()]).collect();
    let browser = json!({ "binary": driver.browser(), "args": options });
    let all = [
        ("goog:chromeOptions", browser),
        ("goog:loggingPrefs", json!({ "browser": "ALL" })),
    ];
    let all = all.map(|(name, value)| (name.to_owned(), value));
    all.into_iter().collect()
}

/// Writes an image, and returns where.
fn kept(name: &str, image: &[u8]) -> PathBuf {
    let folder = Path::new(IMAGES);
    fs::create_dir_all(folder).expect("a folder for images");
    let file = folder.join(name).with_extension("png");
    fs::write(&file, image).expect("an image");
    file
}

/// Returns whether JavaScript takes a value for true.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_javascript_takes_for_true_is() {
        for (value, is) in [
            (json!(null), false),
            (json!(false), false),
            (json!(0), false),
            (json!(""), false),
            (json!(true), true),
            (json!(0.5), true),
            (json!("no"), true),
            (json!([]), true),
        ] {
            assert_eq!(is_true(&value), is, "{value}");
        }
    }
}
