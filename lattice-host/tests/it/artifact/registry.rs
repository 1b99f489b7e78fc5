//! A real registry for one test: on a free port, with its own directory, stopped on drop.

use super::support::PATIENCE;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// User and password of [`Registry::private`].
pub(crate) const USER: &str = "captain";
pub(crate) const PASSWORD: &str = "open sesame";
/// User and password, hashed by bcrypt.
const HTPASSWD: &str = "captain:$2b$05$BeO84L.pYeRxsaXlyekeJe7UmEpm53ZbrQq8/JQB4E4B6S2yLUX5S\n";

pub(crate) struct Registry {
    directory: TempDir,
    address: String,
    more: String,
    child: Option<Child>,
}

impl Registry {
    /// Starts a registry without authentication, over plain HTTP.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| String::new()).await
    }

    /// Starts a registry that requires [`USER`] and [`PASSWORD`].
    pub(crate) async fn private() -> Self {
        Self::start_with(|directory| {
            let path = directory.join("htpasswd");
            fs::write(&path, HTPASSWD).expect("a file for the registry");
            format!(
                "auth:\n  htpasswd:\n    realm: tests\n    path: {}\n",
                path.display()
            )
        })
        .await
    }

    /// Starts a registry over HTTPS, with this certificate and key (PEM).
    pub(crate) async fn https(certificate: &str, key: &str) -> Self {
        Self::start_with(|directory| {
            let [certificate, key] =
                [("certificate.pem", certificate), ("key.pem", key)].map(|(name, text)| {
                    let path = directory.join(name);
                    fs::write(&path, text).expect("a file for the registry");
                    path
                });
            format!(
                "  tls:\n    certificate: {}\n    key: {}\n",
                certificate.display(),
                key.display()
            )
        })
        .await
    }

    async fn start_with(more: impl FnOnce(&Path) -> String) -> Self {
        let directory = tempfile::tempdir().expect("a directory for the registry");
        let more = more(directory.path());
        let mut registry = Self {
            directory,
            address: "127.0.0.1:0".into(),
            more,
            child: None,
        };
        registry.restart().await;
        registry
    }

    /// Returns host and port, which stay the same over restarts.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts the registry with its content, and waits until it listens.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        let (config, log) = (self.path("config.yml"), self.path("log"));
        let storage = self.path("storage");
        let text = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {}\n{}",
            storage.display(),
            self.address,
            self.more
        );
        fs::write(&config, text).expect("a configuration for the registry");
        let output = fs::File::create(&log).expect("a log for the registry");
        let child = Command::new(binary())
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .expect("the registry starts");
        self.child = Some(child);
        self.address = self.listening(&log).await;
    }

    async fn listening(&mut self, log: &Path) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(log).unwrap_or_default();
            if let Some((_, rest)) = text.split_once("listening on ") {
                let end = rest.find([',', '"', ' ', '\n']);
                return rest[..end.unwrap_or(rest.len())].to_owned();
            }
            let gone = self
                .child
                .as_mut()
                .expect("just started")
                .try_wait()
                .expect("its status");
            assert!(
                gone.is_none() && Instant::now() < deadline,
                "the registry didn't start ({gone:?}):\n{text}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns the path that the script prints, which is `OCI_REGISTRY` if that is set.
fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("OCI_REGISTRY") {
        return named.into();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/registry.sh");
    let output = Command::new("sh")
        .arg(script)
        .stderr(Stdio::inherit())
        .output()
        .expect("a shell");
    assert!(
        output.status.success(),
        "no registry to test with: set OCI_REGISTRY to one"
    );
    String::from_utf8(output.stdout)
        .expect("a path")
        .trim()
        .into()
}
