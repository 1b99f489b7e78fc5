//! Registries that require credentials, and registries over TLS.

use super::{
    registry::{PASSWORD, Registry, USER},
    support::{PATIENCE, component, error_chain, image, plain},
};
use crate::wait::until;
use lattice_host::artifact::{
    Artifacts, Credentials, FetchError, ImageDigest, PushError, RegistryError,
};
use std::{
    fs::Permissions, num::NonZeroU32, os::unix::fs::PermissionsExt as _, path::Path,
    process::Command,
};

#[tokio::test]
async fn a_private_registry_requires_valid_credentials() {
    let registry = Registry::private().await;
    let address = registry.address();
    let tag = image(&format!("oci:{address}/greeter:1"));
    let known = plain(address)
        .credentials(address, Credentials::basic(USER, PASSWORD))
        .build();
    let pushed = known.push(component("greeter"), &tag).await.unwrap();
    assert_eq!(known.fetch(&tag, None).await.unwrap().digest, pushed.digest);

    let stranger = plain(address).build();
    for error in [
        stranger.fetch(&tag, None).await.map(drop).unwrap_err(),
        stranger.resolve(&pushed.image).await.map(drop).unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                FetchError::Registry(RegistryError::CredentialsNeeded { .. })
            ),
            "{error:?}"
        );
        assert!(
            error
                .to_string()
                .contains(&format!("`credentials(\"{address}\", …)`")),
            "{error}"
        );
    }
    let error = stranger.push(component("greeter"), &tag).await.unwrap_err();
    assert!(
        matches!(
            error,
            PushError::Registry(RegistryError::CredentialsNeeded { .. })
        ),
        "{error:?}"
    );

    for credentials in [
        Credentials::basic(USER, "wrong"),
        Credentials::bearer("hush-hush"),
    ] {
        let wrong = plain(address).credentials(address, credentials).build();
        let error = wrong.fetch(&tag, None).await.unwrap_err();
        assert!(
            matches!(
                error,
                FetchError::Registry(RegistryError::CredentialsRefused { .. })
            ),
            "{error:?}"
        );
        let error = wrong.push(component("greeter"), &tag).await.unwrap_err();
        assert!(
            matches!(
                error,
                PushError::Registry(RegistryError::CredentialsRefused { .. })
            ),
            "{error:?}"
        );
        for secret in [PASSWORD, "wrong", "hush-hush"] {
            assert!(
                !format!("{error:?} {error} {wrong:?}").contains(secret),
                "{error:?} {wrong:?}"
            );
        }
    }
}

/// Writes a credential helper of Docker, which runs the commands `does`.
fn helper(folder: &Path, name: &str, does: &str) {
    let program = folder.join(format!("docker-credential-{name}"));
    std::fs::write(&program, format!("#!/bin/sh\ncat >/dev/null\n{does}\n")).unwrap();
    std::fs::set_permissions(program, Permissions::from_mode(0o755)).unwrap();
}

/// Pushes to a registry from a separate process, in which only these variables name files with
/// logins. Fails unless the process finds a login, none, or a broken one, as expected.
fn pushes(registry: &str, logged_in: &str, variables: &[(&str, &Path)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    for name in [
        "REGISTRY_AUTH_FILE",
        "DOCKER_CONFIG",
        "HOME",
        "XDG_CONFIG_HOME",
        "XDG_RUNTIME_DIR",
    ] {
        command.env_remove(name);
    }
    let ran = command
        .args([
            "--exact",
            "artifact::private::with_the_credentials_of_docker",
            "--ignored",
            "--nocapture",
        ])
        .envs(variables.iter().copied())
        .env("TEST_REGISTRY", registry)
        .env("TEST_LOGGED_IN", logged_in)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success() && output.contains("1 passed"),
        "{variables:?}, {logged_in}: {output}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

/// Runs in a separate process, whose environment names Docker's configuration.
#[tokio::test]
async fn credentials_of_docker_are_used() {
    let registry = Registry::private().await;
    let folder = tempfile::tempdir().unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", folder.path().display());
    let login = format!(r#"echo '{{"Username":"{USER}","Secret":"{PASSWORD}"}}'"#);
    helper(folder.path(), "knows", &login);
    let not_found = "echo 'credentials not found in native keychain'; exit 1";
    helper(folder.path(), "knows-none", not_found);
    helper(folder.path(), "fails", &format!("{login}; exit 1"));
    let pid = folder.path().join("pid");
    helper(
        folder.path(),
        "hangs",
        &format!("echo $$ >{}; exec sleep 600", pid.display()),
    );
    let store = |name: &str| format!(r#"{{"credsStore":"{name}"}}"#);
    // `captain:open sesame` in Base64.
    let config = format!(
        r#"{{"auths":{{"{}":{{"auth":"Y2FwdGFpbjpvcGVuIHNlc2FtZQ=="}}}}}}"#,
        registry.address()
    );
    for (config, logged_in) in [
        (config, "yes"),
        ("{}".to_owned(), "no"),
        ("garbage".to_owned(), "broken"),
        (store("knows"), "yes"),
        (store("knows-none"), "no"),
        (store("fails"), "broken"),
        (store("missing"), "broken"),
        (store("hangs"), "broken"),
    ] {
        std::fs::write(folder.path().join("config.json"), &config).unwrap();
        let variables = [("DOCKER_CONFIG", folder.path()), ("PATH", Path::new(&path))];
        pushes(registry.address(), logged_in, &variables);
    }
    let pid = std::fs::read_to_string(pid).unwrap();
    let status = Path::new("/proc").join(pid.trim()).join("status");
    // A killed process takes a moment to end, and may remain a zombie until its new parent has
    // reaped it.
    let lives = || {
        let status = std::fs::read_to_string(&status);
        status.is_ok_and(|status| !status.contains("State:\tZ"))
    };
    until("a helper that hangs is killed", || !lives()).await;
}

/// Podman, Buildah and Skopeo keep logins in `auth.json`, in one of several folders.
#[tokio::test]
async fn credentials_of_podman_are_used() {
    let registry = Registry::private().await;
    let address = registry.address();
    let folder = tempfile::tempdir().unwrap();
    // `captain:open sesame` in Base64. `podman login` may write the beginning of a repository.
    let login =
        |key: &str| format!(r#"{{"auths":{{"{key}":{{"auth":"Y2FwdGFpbjpvcGVuIHNlc2FtZQ=="}}}}}}"#);
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    let (of_host, of_repository) = (login(address), login(&format!("{address}/greeter")));
    let other = login(&format!("{address}/other"));
    let named = file("named.json", &of_repository);
    file("run/containers/auth.json", &of_host);
    file("home/.config/containers/auth.json", &of_repository);
    file("settings/containers/auth.json", &of_host);
    file("elsewhere/containers/auth.json", &other);
    // Docker has no login for this registry, and podman has one.
    file("home/.docker/config.json", "{}");
    file("docker/config.json", &of_host);
    let at = |name: &str| folder.path().join(name);
    let (run, home, settings) = (at("run"), at("home"), at("settings"));
    let (docker, elsewhere, missing) = (at("docker"), at("elsewhere"), at("missing"));
    let cases: [(&str, &[(&str, &Path)]); 8] = [
        ("yes", &[("REGISTRY_AUTH_FILE", &named)]),
        ("yes", &[("XDG_RUNTIME_DIR", &run)]),
        ("yes", &[("HOME", &home)]),
        ("yes", &[("XDG_CONFIG_HOME", &settings)]),
        ("yes", &[("XDG_RUNTIME_DIR", &elsewhere), ("HOME", &home)]),
        ("no", &[("XDG_RUNTIME_DIR", &elsewhere)]),
        // A variable that names a file names the only one.
        (
            "no",
            &[("REGISTRY_AUTH_FILE", &missing), ("DOCKER_CONFIG", &docker)],
        ),
        ("no", &[("XDG_CONFIG_HOME", &elsewhere), ("HOME", &home)]),
    ];
    for (logged_in, variables) in cases {
        pushes(address, logged_in, variables);
    }
}

/// Runs in a separate process that finds no certificates on this machine.
#[tokio::test]
async fn a_machine_without_certificates_can_use_plain_http() {
    let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (signed.cert.pem(), signed.signing_key.serialize_pem());
    let (plain, https) = (
        Registry::start().await,
        Registry::https(&certificate, &key).await,
    );
    let ran = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "artifact::private::without_certificates",
            "--ignored",
            "--nocapture",
        ])
        .env("SSL_CERT_FILE", "/nowhere/ca.pem")
        .env("SSL_CERT_DIR", "/nowhere")
        .env("TEST_PLAIN", plain.address())
        .env("TEST_HTTPS", https.address())
        .env("TEST_CERTIFICATE", certificate)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

#[tokio::test]
#[ignore = "run by `a_machine_without_certificates_can_use_plain_http`"]
async fn without_certificates() {
    let variable = |name| std::env::var(name).unwrap();
    let (http, https) = (variable("TEST_PLAIN"), variable("TEST_HTTPS"));
    let tag = |address: &str| image(&format!("oci:{address}/greeter:1"));
    let push = async |artifacts: Artifacts, address: &str| {
        artifacts.push(component("greeter"), &tag(address)).await
    };
    push(plain(&http).build(), &http).await.unwrap();
    let trusting = plain(&http).root_certificate(variable("TEST_CERTIFICATE"));
    push(trusting.clone().build(), &http).await.unwrap();
    push(trusting.build(), &https).await.unwrap();
    let error = push(plain(&http).build(), &https).await.unwrap_err();
    assert!(
        matches!(error, PushError::Registry(RegistryError::NoRoots)),
        "{error:?}"
    );
}

#[tokio::test]
#[ignore = "run by `credentials_of_docker_are_used` and `credentials_of_podman_are_used`"]
async fn with_the_credentials_of_docker() {
    let address = std::env::var("TEST_REGISTRY").unwrap();
    let artifacts = plain(&address).docker_config();
    let artifacts = artifacts
        .silent_for(std::time::Duration::from_secs(5))
        .build();
    let pushed = artifacts
        .push(
            component("greeter"),
            &image(&format!("oci:{address}/greeter:1")),
        )
        .await;
    match std::env::var("TEST_LOGGED_IN").unwrap().as_str() {
        "yes" => assert_eq!(
            pushed.unwrap().digest,
            ImageDigest::of(&component("greeter"))
        ),
        "no" => assert!(matches!(
            pushed,
            Err(PushError::Registry(RegistryError::CredentialsNeeded { .. }))
        )),
        _ => {
            let error = pushed.unwrap_err();
            assert!(
                matches!(
                    error,
                    PushError::Registry(RegistryError::DockerConfig { .. })
                ),
                "{error:?}"
            );
            // The output of a helper may contain the secret.
            assert!(!format!("{error:?}").contains(PASSWORD), "{error:?}");
        }
    }
}

#[tokio::test]
async fn https_works_with_a_private_certificate_authority() {
    let signed =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()])
            .unwrap();
    let (certificate, key) = (signed.cert.pem(), signed.signing_key.serialize_pem());
    let registry = Registry::https(&certificate, &key).await;
    let address = registry.address();
    let tag = image(&format!("oci:{address}/greeter:1"));
    let builder = || {
        Artifacts::builder()
            .within(PATIENCE)
            .attempts(NonZeroU32::MIN)
    };

    let trusting = builder().root_certificate(certificate).build();
    let pushed = trusting.push(component("greeter"), &tag).await.unwrap();
    assert_eq!(
        trusting.fetch(&tag, None).await.unwrap().digest,
        pushed.digest
    );

    let error = builder().build().fetch(&tag, None).await.unwrap_err();
    assert!(
        matches!(error, FetchError::Registry(RegistryError::Untrusted { .. })),
        "{error:?}"
    );
    assert!(
        error_chain(&error).contains("UnknownIssuer"),
        "{}",
        error_chain(&error)
    );

    let error = builder()
        .plain_http(address)
        .build()
        .fetch(&tag, None)
        .await
        .unwrap_err();
    assert!(
        matches!(error, FetchError::Registry(RegistryError::Refused { .. })),
        "{error:?}"
    );

    let error = builder()
        .root_certificate("garbage")
        .build()
        .fetch(&tag, None)
        .await
        .unwrap_err();
    assert!(
        matches!(error, FetchError::Registry(RegistryError::Client { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn plain_http_must_be_enabled() {
    let registry = Registry::start().await;
    let tag = image(&format!("oci:{}/greeter:1", registry.address()));
    for other in ["127.0.0.1", "localhost", "127.0.0.1:1"] {
        let artifacts = plain(other).attempts(NonZeroU32::MIN).build();
        let error = artifacts
            .push(component("greeter"), &tag)
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                PushError::Registry(RegistryError::Unreachable { .. })
            ),
            "{error:?}"
        );
        assert!(error.to_string().contains("`plain_http`"), "{error}");
    }
}
