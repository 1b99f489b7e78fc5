//! The logins of docker, podman and the tools that read and write the same files.
//!
//! A file has credentials by registry (`auths`), a program that has them for one registry
//! (`credHelpers`), or a program that has them for all (`credsStore`). The tools differ in how they
//! write the key of a registry: with a scheme or without, with `/v1/` or without, and podman with
//! the beginning of a repository. Docker Hub has three names, of which most tools use the oldest.

use super::helper;
use crate::{
    artifact::{Credentials, RegistryError, error::Cause},
    regular_file,
};
use data_encoding::BASE64_NOPAD;
use serde::{Deserialize, Deserializer};
use std::{
    collections::BTreeMap,
    env::var_os,
    io::{self, ErrorKind, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::task::spawn_blocking;

/// The largest file that is read.
const MAX_FILE: u64 = 1 << 20;
/// The key under which tools store the login for Docker Hub.
const HUB_KEY: &str = "https://index.docker.io/v1/";
/// The name of Docker Hub in images.
const HUB: &str = "docker.io";
/// Its other names.
const HUB_ALIASES: [&str; 3] = [
    "index.docker.io",
    "registry-1.docker.io",
    "registry.docker.io",
];

/// The fields of a file that are used here.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    #[serde(deserialize_with = "entries")]
    auths: BTreeMap<String, Login>,
    creds_store: Option<String>,
    #[serde(deserialize_with = "entries")]
    cred_helpers: BTreeMap<String, String>,
}

/// Reads `null` as nothing, as the tools do that write and read the file.
fn entries<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<BTreeMap<String, T>, D::Error> {
    let entries = Option::<BTreeMap<String, Option<T>>>::deserialize(from)?;
    let entries = entries.into_iter().flatten();
    Ok(entries
        .map(|(key, value)| (key, value.unwrap_or_default()))
        .collect())
}

/// The entry of a file for one registry. It is empty when a program has the credentials.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Login {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// Omits the secrets.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// A file can't be used.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("`{}` can't be read", path.display())]
    Read { path: PathBuf, source: io::Error },
    // The parser's message may show a secret.
    #[error("`{}` isn't valid JSON", path.display())]
    Json { path: PathBuf },
    #[error("`{}` has a login for `{key}` that isn't Base64 of user and password; log in again", path.display())]
    Login { path: PathBuf, key: String },
}

/// Returns the credentials for a repository, which are anonymous without a file. The timeout of a
/// credential helper is that of a registry.
pub(super) async fn credentials(
    registry: &str,
    repository: &str,
    silence: Duration,
) -> Result<Credentials, RegistryError> {
    let failed = |source: Cause| RegistryError::DockerConfig {
        registry: registry.into(),
        source,
    };
    for path in files() {
        let file = path.clone();
        let read = spawn_blocking(move || read(&file)).await;
        let read = read.map_err(|ended| failed(Arc::new(ended)))?;
        let Some(config) = read.map_err(|error| failed(Arc::new(error)))? else {
            continue;
        };
        let wanted = Wanted::new(registry, repository);
        if let Some(program) = config.program(&wanted) {
            for name in config.names(&wanted) {
                let found = helper::get(program, &name, silence).await;
                if let Some(found) = found.map_err(|error| failed(Arc::new(error)))? {
                    return Ok(found);
                }
            }
        }
        if let Some((key, login)) = wanted.best(&config.auths) {
            match login.credentials() {
                Ok(None) => {}
                Ok(Some(found)) => return Ok(found),
                Err(()) => {
                    let key = key.to_owned();
                    return Err(failed(Arc::new(FileError::Login { path, key })));
                }
            }
        }
    }
    Ok(Credentials::Anonymous)
}

/// Returns the files to look in. If a variable names a file, that is the only one.
fn files() -> Vec<PathBuf> {
    let variable = |name| {
        var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(file) = variable("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    if let Some(folder) = variable("DOCKER_CONFIG") {
        return vec![folder.join("config.json")];
    }
    let home = variable("HOME");
    let of_docker = home.as_ref().map(|home| home.join(".docker/config.json"));
    let of_session = variable("XDG_RUNTIME_DIR").map(|run| run.join("containers/auth.json"));
    let settings = variable("XDG_CONFIG_HOME").or_else(|| home.map(|home| home.join(".config")));
    let of_podman = settings.map(|settings| settings.join("containers/auth.json"));
    [of_docker, of_session, of_podman]
        .into_iter()
        .flatten()
        .collect()
}

/// Reads a file. `None` if there is none.
fn read(path: &Path) -> Result<Option<Config>, FileError> {
    let failed = |source| FileError::Read {
        path: path.into(),
        source,
    };
    let file = match regular_file::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text).map_err(failed)?;
    // Some editors write a byte order mark.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    // An empty file, as `touch` creates it. Docker accepts it, too.
    if text.trim_ascii().is_empty() {
        return Ok(Some(Config::default()));
    }
    let config = serde_json::from_slice(text);
    config
        .map(Some)
        .map_err(|_| FileError::Json { path: path.into() })
}

/// The repository for which a login is looked up.
struct Wanted {
    registry: String,
    repository: String,
}

impl Wanted {
    fn new(registry: &str, repository: &str) -> Self {
        Self {
            registry: known_as(registry),
            repository: repository.to_owned(),
        }
    }

    /// Returns how much of the repository a key covers. `None` if it is for another one.
    fn covers(&self, key: &str) -> Option<usize> {
        let bare = ["https://", "http://"]
            .iter()
            .find_map(|scheme| key.strip_prefix(scheme));
        let (host, path) = match bare.unwrap_or(key).split_once('/') {
            Some((host, path)) => (host, path.trim_matches('/')),
            None => (bare.unwrap_or(key), ""),
        };
        if known_as(host) != self.registry {
            return None;
        }
        match path {
            "" | "v1" | "v2" => Some(0),
            // The path of a URL is that of an API.
            _ if bare.is_some() => Some(0),
            path => {
                let rest = self.repository.strip_prefix(path)?;
                (rest.is_empty() || rest.starts_with('/')).then_some(path.len())
            }
        }
    }

    /// Returns the entry whose key covers most of the repository.
    fn best<'c, T>(&self, entries: &'c BTreeMap<String, T>) -> Option<(&'c str, &'c T)> {
        let covering = entries
            .iter()
            .filter_map(|(key, value)| Some((self.covers(key)?, key, value)));
        let best = covering.max_by_key(|(covered, ..)| *covered);
        best.map(|(_, key, value)| (key.as_str(), value))
    }
}

/// Returns the canonical name of a registry.
fn known_as(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    if HUB_ALIASES.contains(&&*host) {
        HUB.to_owned()
    } else {
        host
    }
}

impl Config {
    /// Returns the program that has the credentials, without the `docker-credential-` in front of
    /// its name.
    fn program(&self, wanted: &Wanted) -> Option<&str> {
        let own = wanted.best(&self.cred_helpers).map(|(_, name)| name);
        let program = own.or(self.creds_store.as_ref())?;
        Some(program.as_str()).filter(|program| !program.is_empty())
    }

    /// Returns the names under which a program may have the credentials, the most likely first.
    fn names(&self, wanted: &Wanted) -> Vec<String> {
        let mut names = vec![if wanted.registry == HUB {
            HUB_KEY.to_owned()
        } else {
            wanted.registry.clone()
        }];
        let keys = [
            wanted.best(&self.cred_helpers).map(|(key, _)| key),
            wanted.best(&self.auths).map(|(key, _)| key),
        ];
        names.extend(keys.into_iter().flatten().map(ToOwned::to_owned));
        names.push(format!("https://{}", wanted.registry));
        let mut once: Vec<String> = Vec::new();
        for name in names {
            if !once.contains(&name) {
                once.push(name);
            }
        }
        once
    }
}

impl Login {
    /// Returns the credentials, if there are any. Fails when they can't be decoded.
    fn credentials(&self) -> Result<Option<Credentials>, ()> {
        let there = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = there(&self.identitytoken) {
            return Ok(Some(Credentials::Identity { token }));
        }
        if let Some(token) = there(&self.registrytoken) {
            return Ok(Some(Credentials::Bearer { token }));
        }
        if let Some(auth) = there(&self.auth) {
            // `base64` breaks long lines, and Docker ignores that.
            let auth: String = auth.split_whitespace().collect();
            let auth = auth.trim_end_matches('=');
            let decoded = BASE64_NOPAD.decode(auth.as_bytes()).map_err(drop)?;
            let text = String::from_utf8(decoded).map_err(drop)?;
            let (user, password) = text.split_once(':').ok_or(())?;
            // Old clients pad the password with zeros.
            let password = password.trim_end_matches('\0');
            return Ok(Some(Credentials::basic(user, password)));
        }
        match (there(&self.username), there(&self.password)) {
            (Some(user), Some(password)) => Ok(Some(Credentials::Basic { user, password })),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "docker_tests.rs"]
mod tests;
