//! Turns [`NatsOptions`] into the client's options.

use super::{
    ConnectError, NatsOptions, options::Login, signals::Signals, tls, url::servers_and_login,
};
use async_nats::{ConnectOptions, ServerAddr};
use std::{io, path::Path, sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// A silent server is given up after two unanswered pings, so within three of these intervals.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(2);

/// Returns the options of the client of a lattice.
pub(super) async fn client_options(
    options: &NatsOptions,
    servers: usize,
    login: &Login,
    signals: &Arc<Signals>,
) -> Result<ConnectOptions, ConnectError> {
    let for_events = signals.clone();
    let for_delay = signals.clone();
    Ok(common_options(options, servers, login)
        .await?
        .ping_interval(PING_INTERVAL)
        .reconnect_delay_callback(move |attempt| for_delay.reconnect_delay(attempt, servers))
        .event_callback(move |event| {
            for_events.event(event);
            std::future::ready(())
        }))
}

/// Returns the addresses and the options for a client that connects in the same way and isn't a
/// lattice's. What it does after a loss is up to its owner.
pub async fn client_of_its_own(
    options: &NatsOptions,
) -> Result<(Vec<ServerAddr>, ConnectOptions), ConnectError> {
    let (servers, login) = servers_and_login(options)?;
    let client = common_options(options, servers.len(), &login).await?;
    Ok((servers, client))
}

/// Returns what the options say: names, timeout, TLS and login.
async fn common_options(
    options: &NatsOptions,
    servers: usize,
    login: &Login,
) -> Result<ConnectOptions, ConnectError> {
    let tls_options = options.tls.clone();
    let tls_config = tokio::task::spawn_blocking(move || tls::client_config(&tls_options))
        .await
        .map_err(|source| ConnectError::Tls {
            servers: "any server".to_owned(),
            source: Box::new(source),
        })??;
    let mut client = ConnectOptions::new()
        .name(&options.name)
        .custom_inbox_prefix(&options.inbox_prefix)
        .connection_timeout(options.connect_timeout / servers as u32)
        .require_tls(options.tls.required)
        .tls_client_config(tls_config);
    if options.tls.first {
        client = client.tls_first();
    }
    match login {
        Login::None => Ok(client),
        Login::Token(token) => Ok(client.token(token.to_string())),
        Login::Password { user, password } => {
            Ok(client.user_and_password(user.clone(), password.to_string()))
        }
        Login::NkeySeed(seed) => Ok(client.nkey(seed.to_string())),
        Login::Credentials(content) => credentials(client, content.clone())
            .map_err(|source| ConnectError::BadCredentials { source }),
        Login::CredentialsFile(path) => credentials_file(client, path).await,
    }
}

fn credentials(
    client: ConnectOptions,
    mut content: Zeroizing<String>,
) -> io::Result<ConnectOptions> {
    // The client only finds lines that end, and the last line end is often lost on the way.
    content.push('\n');
    client.credentials(&content)
}

async fn credentials_file(
    client: ConnectOptions,
    path: &Path,
) -> Result<ConnectOptions, ConnectError> {
    let file = path.to_owned();
    let bad = |source: io::Error| ConnectError::BadFile {
        path: path.to_owned(),
        expected: "credentials",
        hint: "it must hold a user JWT and its nkey seed in UTF-8, as `nsc generate creds` writes them",
        source: Some(Box::new(source)),
    };
    let content = tokio::task::spawn_blocking(move || std::fs::read_to_string(file))
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map(Zeroizing::new)
        .map_err(|source| match source.kind() {
            // Text in UTF-16, or another binary file, is the wrong file and not an unreadable one.
            io::ErrorKind::InvalidData => bad(source),
            _ => ConnectError::UnreadableFile {
                path: path.to_owned(),
                source,
            },
        })?;
    credentials(client, content).map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn credentials_of_every_editor_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("user.creds");
        let seed = nkeys::KeyPair::new_user().seed().expect("a seed");
        let text = format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.e30.c2ln\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------"
        );
        for written in [
            format!("{text}\n\n*****\n"),
            text.clone(),
            text.replace('\n', "\r\n"),
            format!("\u{feff}{text}\r\n"),
        ] {
            std::fs::write(&path, &written).expect("written");
            let read = credentials_file(ConnectOptions::new(), &path).await.err();
            assert!(read.is_none(), "{written:?}: {read:?}");
            let given = credentials(ConnectOptions::new(), written.clone().into()).err();
            assert!(given.is_none(), "{written:?}: {given:?}");
        }
        let utf_16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mark = vec![0xff_u8, 0xfe];
        for wrong in [[mark.clone(), utf_16].concat(), mark] {
            std::fs::write(&path, wrong).expect("written");
            let error = credentials_file(ConnectOptions::new(), &path).await.err();
            assert!(
                matches!(error, Some(ConnectError::BadFile { .. })),
                "{error:?}"
            );
        }
    }
}
