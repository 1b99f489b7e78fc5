//! Docker's logins.

use crate::artifact::{Credentials, RegistryError, error::Cause};
use docker_credential::{
    CredentialRetrievalError as Failure, DockerCredential, get_credential_from_reader,
};
use std::{
    env::var_os,
    fs::File,
    io::{BufReader, ErrorKind},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{task::spawn_blocking, time::timeout};

/// What a credential helper prints when it has no login for a registry. Nothing else distinguishes
/// that from a failure.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// One of docker's credential helpers failed. Its output isn't shown, because it may contain a
/// secret.
#[derive(Debug, thiserror::Error)]
#[error("`{helper} get` failed: run it by hand, with the registry's name as its input, to see why")]
struct HelperFailed {
    helper: String,
}

/// Returns the folder of docker's configuration: `DOCKER_CONFIG`, or `.docker` in the user's home.
fn config() -> Option<PathBuf> {
    let own = var_os("DOCKER_CONFIG").map(PathBuf::from);
    let folder = own.or_else(|| Some(PathBuf::from(var_os("HOME")?).join(".docker")));
    Some(folder?.join("config.json"))
}

/// Returns docker's credentials for a registry. There are none without a configuration file.
/// Docker's helpers are programs, and get as much time as a registry.
pub(super) async fn credentials(
    registry: &str,
    silence: Duration,
) -> Result<Credentials, RegistryError> {
    let failed = |source: Cause| RegistryError::DockerConfig {
        registry: registry.into(),
        source,
    };
    let Some(config) = config() else {
        return Ok(Credentials::Anonymous);
    };
    let asked = registry.to_owned();
    let read = move || match File::open(config) {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Failure::ConfigNotFound),
        Err(_) => Err(Failure::ConfigReadError),
        Ok(config) => get_credential_from_reader(BufReader::new(config), &asked),
    };
    let answer = spawn_blocking(read);
    let answer = timeout(silence, answer)
        .await
        .map_err(|elapsed| failed(Arc::new(elapsed)))?
        .map_err(|ended| failed(Arc::new(ended)))?;
    match answer {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Credentials::Basic { user, password })
        }
        Ok(DockerCredential::IdentityToken(token)) => Ok(Credentials::Bearer { token }),
        Err(Failure::ConfigNotFound | Failure::NoCredentialConfigured) => {
            Ok(Credentials::Anonymous)
        }
        Err(Failure::HelperFailure { stdout, .. }) if stdout.trim() == NOT_FOUND => {
            Ok(Credentials::Anonymous)
        }
        Err(Failure::HelperFailure { helper, .. }) => {
            Err(failed(Arc::new(HelperFailed { helper })))
        }
        Err(error) => Err(failed(Arc::new(error))),
    }
}
