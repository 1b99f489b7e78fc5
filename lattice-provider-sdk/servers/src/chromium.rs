//! Chromium's driver on a free port, which starts browsers.

use crate::{
    failure::NoServer,
    running::{self, End, Running},
};
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const NAME: &str = "Chromium";
/// The packages of Debian that have the browser and its driver.
const PACKAGES: &str = "chromium and chromium-driver";
/// Variable with the browser, if it isn't one of [`BROWSERS`].
const BROWSER: &str = "CHROMIUM";
/// Variable with the driver, if it isn't [`DRIVERS`].
const DRIVER: &str = "CHROMEDRIVER";
/// Browsers on the `PATH`.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// The driver on the `PATH`.
const DRIVERS: [&str; 1] = ["chromedriver"];
/// How long the driver may take to start, on a busy machine.
const START: Duration = Duration::from_secs(20);
/// Interval between two looks whether it has started.
const LOOK: Duration = Duration::from_millis(5);

/// A driver. It ends with this value, and with the process that has started it, and so do its
/// browsers.
pub struct Chromedriver {
    browser: PathBuf,
    port: u16,
    /// Before the folder, which can only be removed when nothing runs there.
    _running: Running,
    folder: TempDir,
}

impl Chromedriver {
    /// Starts a driver. Its browsers have an empty home.
    ///
    /// # Errors
    /// Fails when this machine has no browser or no driver, or the driver doesn't start within
    /// 20 s.
    pub async fn start() -> Result<Self, NoServer> {
        let not_installed = NoServer::NotInstalled {
            server: NAME,
            package: PACKAGES,
        };
        let programs = program(BROWSER, &BROWSERS).zip(program(DRIVER, &DRIVERS));
        let Some((browser, driver)) = programs else {
            return Err(not_installed);
        };
        running::require(NAME, &["setsid"])?;
        let unprepared = |source| NoServer::Unprepared {
            server: NAME,
            source,
        };
        let folder = tempfile::tempdir().map_err(unprepared)?;
        let port = running::free_port().map_err(unprepared)?;
        let mut shell = Command::new("sh");
        shell
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_CACHE_HOME");
        let option = format!("--port={port}");
        let server = [driver.as_os_str(), option.as_ref()];
        let running = Running::start(shell, End::WithItsSession, folder.path(), server);
        let driver = Self {
            _running: running.map_err(unprepared)?,
            browser,
            port,
            folder,
        };
        driver.started().await?;
        Ok(driver)
    }

    /// Returns `http://127.0.0.1:<port>`, where it takes commands of `WebDriver`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the program of the browser.
    pub fn browser(&self) -> &Path {
        &self.browser
    }

    /// Returns a folder for what a browser keeps. It is removed with the driver.
    pub fn profile(&self) -> PathBuf {
        self.folder.path().join("profile")
    }

    /// Returns what driver and browser have logged.
    pub fn log(&self) -> String {
        running::log(self.folder.path())
    }

    /// Returns that driver and browser don't fit each other.
    pub fn misfit(reason: impl Into<String>) -> NoServer {
        NoServer::Misfit {
            server: NAME,
            reason: reason.into(),
            package: PACKAGES,
        }
    }

    async fn started(&self) -> Result<(), NoServer> {
        let deadline = Instant::now() + START;
        while !self.log().contains("started successfully") {
            if Instant::now() > deadline {
                return Err(NoServer::NotStarted {
                    server: NAME,
                    log: self.log(),
                });
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

/// Returns the program that a variable names or, without that, the first one of these names. A name
/// without a folder is looked for on the `PATH`.
fn program(variable: &str, names: &[&str]) -> Option<PathBuf> {
    let named = env::var(variable).ok().filter(|name| !name.is_empty());
    let names = named
        .as_ref()
        .map_or(names.to_vec(), |name| vec![name.as_str()]);
    let found =
        |name: &str| Some(running::folder_with(running::search_path(), &[name])?.join(name));
    names.into_iter().find_map(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::installed;

    #[tokio::test]
    async fn a_driver_listens_until_it_is_dropped() {
        let Some(driver) = installed(Chromedriver::start().await) else {
            return;
        };
        let port = driver.port;
        assert!(running::is_listening(port), "{}", driver.log());
        assert!(driver.browser().is_file());
        let folder = driver.folder.path().to_owned();
        assert!(driver.profile().starts_with(&folder));
        drop(driver);
        assert!(!running::is_listening(port));
        assert!(!folder.exists());
    }

    #[test]
    fn a_program_is_found_by_its_name() {
        let found = program("LATTICE_NO_SUCH_VARIABLE", &["no-such-program", "sh"]);
        let found = found.expect("it is on every PATH");
        assert!(found.ends_with("sh"));
        let path = found.to_str().expect("text");
        assert_eq!(
            program("LATTICE_NO_SUCH_VARIABLE", &[path]),
            Some(found.clone())
        );
        assert_eq!(
            program("LATTICE_NO_SUCH_VARIABLE", &["no-such-program"]),
            None
        );
    }
}
