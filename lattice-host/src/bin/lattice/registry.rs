//! Options for reaching registries, and the display of progress.

use crate::{
    failure::Failure,
    options::{secret_in, secret_variable},
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lattice_core::error::chain;
use lattice_host::artifact::{
    Artifacts, ArtifactsBuilder, Credentials, FetchError, Image, OciReference, Progress, PushError,
};
use std::{path::PathBuf, time::Duration};

/// Variable with the password, used when no file is given.
const PASSWORD: &str = "LATTICE_REGISTRY_PASSWORD";
/// Interval between two updates of a spinner.
const TICK: Duration = Duration::from_millis(100);

/// Options for reaching registries.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registry")]
pub(crate) struct Registries {
    /// A registry that uses plain HTTP, such as `localhost:5000`. May be repeated
    #[arg(long, value_name = "HOST:PORT")]
    plain_http: Vec<String>,
    /// File with certificates (PEM) of an authority to trust, in addition to those that this
    /// machine trusts
    #[arg(long, value_name = "FILE")]
    registry_ca: Option<PathBuf>,
}

/// Credentials for one registry, instead of docker's logins.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registry")]
pub(crate) struct Login {
    /// User for the registry, by default the one that `docker login` logged in
    #[arg(long)]
    user: Option<String>,
    /// File with the user's password [env: `LATTICE_REGISTRY_PASSWORD`, which holds the password
    /// itself]
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
}

impl Registries {
    /// Returns artifacts that use the credentials of `docker login`, and a cache if `cache` names a
    /// folder.
    pub(crate) fn artifacts(&self, cache: Option<PathBuf>) -> Result<Artifacts, Failure> {
        let builder = self.builder()?;
        Ok(match cache {
            Some(folder) => builder.cache(folder).build(),
            None => builder.build(),
        })
    }

    /// Returns artifacts for one image, with these credentials.
    pub(crate) fn artifacts_for(&self, image: &Image, login: &Login) -> Result<Artifacts, Failure> {
        let builder = self.builder()?;
        Ok(match (image, login.credentials()?) {
            (Image::Oci(image), Some(credentials)) => {
                builder.credentials(image.registry(), credentials).build()
            }
            _ => builder.build(),
        })
    }

    fn builder(&self) -> Result<ArtifactsBuilder, Failure> {
        let mut builder = Artifacts::builder().docker_config();
        for registry in &self.plain_http {
            builder = builder.plain_http(registry);
        }
        Ok(match &self.registry_ca {
            None => builder,
            Some(file) => {
                let pem =
                    std::fs::read(file).map_err(|error| Failure::failed(file.display(), &error))?;
                builder.root_certificate(pem)
            }
        })
    }
}

impl Login {
    fn credentials(&self) -> Result<Option<Credentials>, Failure> {
        let Some(user) = &self.user else {
            return Ok(None);
        };
        // What follows the colon may be the password, as other tools take it, so it isn't repeated.
        if user.contains(':') {
            return Err(Failure::Usage(format!(
                "--user is a name without a colon; give the password in {PASSWORD}, or name a file with --password-file"
            )));
        }
        let password = match &self.password_file {
            Some(file) => secret_in("--password-file", file)?,
            None => secret_variable(PASSWORD)?.ok_or_else(|| {
                Failure::Usage(format!(
                    "there is no password for `{user}`; set {PASSWORD}, or name a file with --password-file"
                ))
            })?,
        };
        Ok(Some(Credentials::basic(user, password)))
    }
}

/// Parses the name of an image in a registry.
pub(crate) fn oci(text: &str) -> Result<(OciReference, Image), Failure> {
    let image: Image = text
        .parse()
        .map_err(|error| Failure::Usage(chain(&error)))?;
    match &image {
        Image::Oci(reference) => Ok((reference.clone(), image)),
        _ => Err(Failure::Usage(format!(
            "`{text}` isn't in a registry; name an image in a registry, such as `registry.example.com/greeter:1.0`"
        ))),
    }
}

/// Returns a progress bar for received bytes. It is shown only on a terminal.
pub(crate) fn bar(what: &str) -> ProgressBar {
    let bar = ProgressBar::no_length().with_message(what.to_owned());
    let style = ProgressStyle::with_template(
        "{spinner} {msg} {bytes}/{total_bytes} {wide_bar} {bytes_per_sec} {eta}",
    );
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    bar
}

/// Returns a spinner. It is shown only on a terminal.
pub(crate) fn spinner(what: &str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
    spinner.enable_steady_tick(TICK);
    spinner
}

/// Shows the progress of a download.
pub(crate) fn show(bar: &ProgressBar, progress: Progress) {
    if let Some(size) = progress.size {
        bar.set_length(size);
    }
    bar.set_position(progress.received);
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        let text = chain(&error);
        match error {
            FetchError::NotWasm { .. }
            | FetchError::Mismatch { .. }
            | FetchError::Manifest { .. }
            | FetchError::Platforms { .. }
            | FetchError::TooLarge { .. } => Self::Refused(text),
            _ => Self::Failed(text),
        }
    }
}

impl From<PushError> for Failure {
    fn from(error: PushError) -> Self {
        let text = chain(&error);
        match error {
            PushError::NotARegistry { .. } | PushError::NoTag { .. } => Self::Usage(text),
            PushError::NotWasm { .. } | PushError::TooLarge { .. } => Self::Refused(text),
            _ => Self::Failed(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_behind_the_user_is_refused_and_not_repeated() {
        let login = Login {
            user: Some("joe:s3cret".to_owned()),
            password_file: None,
        };
        let failure = login.credentials().expect_err("a colon");
        assert!(matches!(failure, Failure::Usage(_)), "{failure:?}");
        let text = failure.to_string();
        assert!(
            text.contains(PASSWORD) && !text.contains("s3cret"),
            "{text}"
        );
    }
}
