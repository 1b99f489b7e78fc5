//! The settings of the three clouds, and the clients that are made of them.
//!
//! Clients retry what is safe to retry, with growing pauses, for as long as an operation may take.
//! TLS is rustls with ring. The roots are those of the system, or those of `ca-file`.

use super::{Client, Remote};
use crate::{
    blobstore::{provider::served, timeout},
    certificates::authorities,
};
use lattice_core::serve::Service;
use lattice_provider_sdk::{Access, HostPath, IntoService, Refusal, Secret};
use object_store::{
    Certificate, ClientOptions, RetryConfig, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder,
    gcp::GoogleCloudStorageBuilder,
};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

/// How long a server may be silent while data goes through: longer than an operation may take,
/// because it says nothing while a part is sent to it.
const SILENCE: Duration = Duration::from_secs(30);
/// Retries of one request.
const RETRIES: usize = 3;

/// The settings of a provider of the objects in a bucket of S3, or of a store that is compatible
/// with it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct S3Settings {
    /// The bucket. Containers are folders of it.
    pub bucket: String,
    /// The region. `us-east-1` by default.
    #[serde(default)]
    pub region: Option<String>,
    /// The URL of the server, such as `http://localhost:9000`. That of AWS by default.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The id of the access key. Without it, the credentials are those of the machine's role, which
    /// no app may use on a host whose access isn't `Access::all`.
    #[serde(default)]
    pub access_key_id: Option<String>,
    /// The access key.
    #[serde(default)]
    pub secret_access_key: Option<Secret>,
    /// The token of a session, if the key is temporary.
    #[serde(default)]
    pub session_token: Option<Secret>,
    /// Whether requests aren't signed. False by default.
    #[serde(default)]
    pub anonymous: bool,
    /// Whether the bucket is part of the host's name, and not of the path. False by default.
    #[serde(default)]
    pub virtual_hosted: bool,
    /// A file with the certificates of authorities, in PEM, that are trusted in place of those of
    /// the system.
    #[serde(default)]
    pub ca_file: Option<HostPath>,
    /// The folder of the bucket in which everything is. The whole bucket by default.
    #[serde(default)]
    pub prefix: String,
    /// How long an operation may take, such as `10s`, which is the default. Data may take longer.
    #[serde(default = "timeout::default", deserialize_with = "timeout::duration")]
    pub timeout: Duration,
}

/// The settings of a provider of the objects in a container of Azure Blob Storage.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AzureSettings {
    /// The account.
    pub account: String,
    /// The container of Azure. Containers of links are folders of it.
    pub container: String,
    /// The access key. Without it, the credentials are those of the machine's identity, which no
    /// app may use on a host whose access isn't `Access::all`.
    #[serde(default)]
    pub access_key: Option<Secret>,
    /// The URL of the server. That of Azure by default.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// A file with the certificates of authorities, in PEM, that are trusted in place of those of
    /// the system.
    #[serde(default)]
    pub ca_file: Option<HostPath>,
    /// The folder in which everything is. The whole container by default.
    #[serde(default)]
    pub prefix: String,
    /// How long an operation may take, such as `10s`, which is the default. Data may take longer.
    #[serde(default = "timeout::default", deserialize_with = "timeout::duration")]
    pub timeout: Duration,
}

/// The settings of a provider of the objects in a bucket of Google Cloud Storage.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GcsSettings {
    /// The bucket. Containers are folders of it.
    pub bucket: String,
    /// The key of a service account, as the JSON text that Google gives out. Without it, the
    /// credentials are those of the machine's service account, which no app may use on a host whose
    /// access isn't `Access::all`.
    #[serde(default)]
    pub service_account_key: Option<Secret>,
    /// Whether requests aren't signed. False by default.
    #[serde(default)]
    pub anonymous: bool,
    /// The URL of the server. That of Google by default.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// A file with the certificates of authorities, in PEM, that are trusted in place of those of
    /// the system.
    #[serde(default)]
    pub ca_file: Option<HostPath>,
    /// The folder of the bucket in which everything is. The whole bucket by default.
    #[serde(default)]
    pub prefix: String,
    /// How long an operation may take, such as `10s`, which is the default. Data may take longer.
    #[serde(default = "timeout::default", deserialize_with = "timeout::duration")]
    pub timeout: Duration,
}

/// A provider of the objects in a bucket of S3, or of a store that is compatible with it.
#[derive(Debug)]
pub struct S3(S3Settings, Access);

impl S3 {
    /// Creates the provider.
    pub fn new(settings: S3Settings) -> Self {
        Self(settings, Access::current())
    }

    fn client(&self) -> Result<Client, Refusal> {
        let Self(settings, access) = self;
        let has_own = settings.anonymous || settings.access_key_id.is_some();
        check_identity(has_own, access)?;
        s3(settings)
    }
}

impl IntoService for S3 {
    fn into_service(self) -> Arc<dyn Service> {
        let (prefix, timeout) = (self.0.prefix.clone(), self.0.timeout);
        let connect = move || self.client();
        served(Remote::new("s3", connect, prefix, timeout))
    }
}

/// A provider of the objects in a container of Azure Blob Storage.
#[derive(Debug)]
pub struct Azure(AzureSettings, Access);

impl Azure {
    /// Creates the provider.
    pub fn new(settings: AzureSettings) -> Self {
        Self(settings, Access::current())
    }

    fn client(&self) -> Result<Client, Refusal> {
        let Self(settings, access) = self;
        let has_own = settings.access_key.is_some();
        check_identity(has_own, access)?;
        azure(settings)
    }
}

impl IntoService for Azure {
    fn into_service(self) -> Arc<dyn Service> {
        let (prefix, timeout) = (self.0.prefix.clone(), self.0.timeout);
        let connect = move || self.client();
        served(Remote::new("azure", connect, prefix, timeout))
    }
}

/// A provider of the objects in a bucket of Google Cloud Storage.
#[derive(Debug)]
pub struct Gcs(GcsSettings, Access);

impl Gcs {
    /// Creates the provider.
    pub fn new(settings: GcsSettings) -> Self {
        Self(settings, Access::current())
    }

    fn client(&self) -> Result<Client, Refusal> {
        let Self(settings, access) = self;
        let has_own = settings.anonymous || settings.service_account_key.is_some();
        check_identity(has_own, access)?;
        gcs(settings)
    }
}

impl IntoService for Gcs {
    fn into_service(self) -> Arc<dyn Service> {
        let (prefix, timeout) = (self.0.prefix.clone(), self.0.timeout);
        let connect = move || self.client();
        served(Remote::new("gcs", connect, prefix, timeout))
    }
}

/// Fails if a provider without credentials of its own may not use those of the machine. An app
/// could have them sent to a server of its choice.
fn check_identity(has_own: bool, access: &Access) -> Result<(), Refusal> {
    if has_own || access.is_all() {
        return Ok(());
    }
    Err(Refusal::new(
        "this host doesn't let providers use the credentials of its machine; set the provider's own, or run it with `lattice-provider`",
    ))
}

fn s3(settings: &S3Settings) -> Result<Client, Refusal> {
    let region = settings.region.as_deref().unwrap_or("us-east-1");
    let endpoint = settings.endpoint.as_deref();
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&settings.bucket)
        .with_region(region)
        .with_virtual_hosted_style_request(settings.virtual_hosted)
        .with_skip_signature(settings.anonymous)
        .with_client_options(options(
            endpoint,
            settings.ca_file.as_ref(),
            settings.timeout,
        )?)
        .with_retry(retries(settings.timeout));
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    match (&settings.access_key_id, &settings.secret_access_key) {
        (Some(id), Some(key)) => {
            builder = builder
                .with_access_key_id(id)
                .with_secret_access_key(key.expose());
        }
        (None, None) => {}
        _ => {
            let reason = "`access-key-id` and `secret-access-key` go together; set both or none";
            return Err(Refusal::new(reason));
        }
    }
    if let Some(token) = &settings.session_token {
        builder = builder.with_token(token.expose());
    }
    Ok(Arc::new(builder.build().map_err(|error| invalid(&error))?))
}

fn azure(settings: &AzureSettings) -> Result<Client, Refusal> {
    let endpoint = settings.endpoint.as_deref();
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(&settings.account)
        .with_container_name(&settings.container)
        .with_client_options(options(
            endpoint,
            settings.ca_file.as_ref(),
            settings.timeout,
        )?)
        .with_retry(retries(settings.timeout));
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint.to_owned());
    }
    if let Some(key) = &settings.access_key {
        builder = builder.with_access_key(key.expose());
    }
    Ok(Arc::new(builder.build().map_err(|error| invalid(&error))?))
}

fn gcs(settings: &GcsSettings) -> Result<Client, Refusal> {
    let endpoint = settings.endpoint.as_deref();
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&settings.bucket)
        .with_skip_signature(settings.anonymous)
        .with_client_options(options(
            endpoint,
            settings.ca_file.as_ref(),
            settings.timeout,
        )?)
        .with_retry(retries(settings.timeout));
    if let Some(endpoint) = endpoint {
        builder = builder.with_base_url(endpoint);
    }
    if let Some(key) = &settings.service_account_key {
        builder = builder.with_service_account_key(key.expose());
    }
    Ok(Arc::new(builder.build().map_err(|error| invalid(&error))?))
}

/// What is wrong with the settings. The error could repeat a secret that it can't parse.
fn invalid(error: &object_store::Error) -> Refusal {
    tracing::debug!(kind = ?std::mem::discriminant(error), "a client of a store was not made");
    Refusal::new(
        "the settings don't make a client of the store; check the names, `endpoint` and credentials",
    )
}

fn retries(timeout: Duration) -> RetryConfig {
    RetryConfig {
        max_retries: RETRIES,
        retry_timeout: timeout,
        ..RetryConfig::default()
    }
}

fn options(
    endpoint: Option<&str>,
    ca_file: Option<&HostPath>,
    timeout: Duration,
) -> Result<ClientOptions, Refusal> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // The client takes that of the process. One that was installed meanwhile is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut options = ClientOptions::new()
        .with_allow_http(is_plain)
        // A machine without roots can talk to a server without TLS.
        .with_no_system_certificates(is_plain || ca_file.is_some())
        .with_connect_timeout(timeout)
        .with_timeout_disabled()
        .with_read_timeout(SILENCE);
    if let Some(file) = ca_file {
        let certificates = Certificate::from_pem_bundle(&authorities(file)?);
        for certificate in certificates.map_err(|error| invalid(&error))? {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_provider_sdk::settings;
    use std::collections::BTreeMap;

    fn of(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        let entries = entries.iter();
        entries
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn clients_are_made_of_settings() {
        let keys = [("access-key-id", "a"), ("secret-access-key", "enigma")];
        let mut entries = of(&[
            ("bucket", "b"),
            ("endpoint", "http://localhost:1"),
            ("timeout", "3s"),
        ]);
        entries.extend(of(&keys));
        let parsed: S3Settings = settings(&entries).expect("valid");
        assert_eq!(parsed.timeout, Duration::from_secs(3));
        assert!(!format!("{parsed:?}").contains("enigma"));
        assert!(s3(&parsed).is_ok());

        entries.remove("access-key-id");
        let parsed: S3Settings = settings(&entries).expect("valid");
        let refusal = s3(&parsed).map(drop).expect_err("half of a key");
        assert!(refusal.reason().contains("access-key-id"), "{refusal}");

        let key = "ZW5pZ21h";
        let entries = of(&[("account", "a"), ("container", "c"), ("access-key", key)]);
        let parsed: AzureSettings = settings(&entries).expect("valid");
        assert!(azure(&parsed).is_ok());

        let entries = of(&[("bucket", "b"), ("service-account-key", "enigma")]);
        let parsed: GcsSettings = settings(&entries).expect("valid");
        let refusal = gcs(&parsed).map(drop).expect_err("no key");
        assert!(!refusal.reason().contains("enigma"), "{refusal}");
    }

    #[test]
    fn an_app_does_not_use_the_credentials_of_the_machine() {
        let none = Access::none();
        let mut entries = of(&[("bucket", "b"), ("endpoint", "http://localhost:1")]);
        let s3 = |entries: &BTreeMap<String, String>| {
            S3::new(settings(entries).expect("valid"))
                .client()
                .map(drop)
        };
        let refusal = none.scope(|| s3(&entries)).expect_err("the machine's");
        assert!(refusal.reason().contains("of its machine"), "{refusal}");
        assert!(s3(&entries).is_ok(), "its own operator may");
        let gcs = none.scope(|| Gcs::new(settings(&entries).expect("valid")));
        let refusal = gcs.client().map(drop).expect_err("the machine's");
        assert!(refusal.reason().contains("of its machine"), "{refusal}");
        let account = of(&[("account", "a"), ("container", "c")]);
        let azure = none.scope(|| Azure::new(settings(&account).expect("valid")));
        let refusal = azure.client().map(drop).expect_err("the machine's");
        assert!(refusal.reason().contains("of its machine"), "{refusal}");

        entries.extend(of(&[("access-key-id", "a"), ("secret-access-key", "k")]));
        assert!(none.scope(|| s3(&entries)).is_ok(), "its own key");
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let entries = of(&[("bucket", "b"), ("ca-file", "/no/such/file")]);
        let parsed: S3Settings = settings(&entries).expect("valid");
        let refusal = s3(&parsed).map(drop).expect_err("no file");
        assert!(
            refusal
                .reason()
                .contains("`ca-file` /no/such/file can't be used"),
            "{refusal}"
        );
    }
}
