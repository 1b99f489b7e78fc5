//! Turns [`NatsOptions`] into the client's options.

use super::{ConnectError, NatsOptions, options::Login, signals::Signals, tls};
use async_nats::ConnectOptions;
use std::{path::Path, sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// A silent server is given up after two unanswered pings, so within three of these intervals.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(2);

pub(super) async fn client_options(
    options: &NatsOptions,
    servers: usize,
    login: &Login,
    signals: &Arc<Signals>,
) -> Result<ConnectOptions, ConnectError> {
    let tls_options = options.tls.clone();
    let tls_config = tokio::task::spawn_blocking(move || tls::client_config(&tls_options))
        .await
        .map_err(|source| ConnectError::Tls {
            servers: "any server".to_owned(),
            source: Box::new(source),
        })??;
    let for_events = signals.clone();
    let for_delay = signals.clone();
    let mut client = ConnectOptions::new()
        .name(&options.name)
        .custom_inbox_prefix(&options.inbox_prefix)
        .ping_interval(PING_INTERVAL)
        .connection_timeout(options.connect_timeout / servers as u32)
        .require_tls(options.tls.required)
        .tls_client_config(tls_config)
        .reconnect_delay_callback(move |attempt| for_delay.reconnect_delay(attempt, servers))
        .event_callback(move |event| {
            for_events.event(event);
            std::future::ready(())
        });
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
        Login::CredentialsFile(path) => credentials(client, path).await,
    }
}

async fn credentials(client: ConnectOptions, path: &Path) -> Result<ConnectOptions, ConnectError> {
    let file = path.to_owned();
    let bad = |source: std::io::Error| ConnectError::BadFile {
        path: path.to_owned(),
        expected: "credentials",
        hint: "it must hold a user JWT and its nkey seed in UTF-8, as `nsc generate creds` writes them",
        source: Some(Box::new(source)),
    };
    let mut text = tokio::task::spawn_blocking(move || std::fs::read_to_string(file))
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map(Zeroizing::new)
        .map_err(|source| match source.kind() {
            // Text in UTF-16, or another binary file, is the wrong file and not an unreadable one.
            std::io::ErrorKind::InvalidData => bad(source),
            _ => ConnectError::UnreadableFile {
                path: path.to_owned(),
                source,
            },
        })?;
    // The client only finds lines that end, and the last line end is often lost on the way.
    text.push('\n');
    client.credentials(&text).map_err(bad)
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
            let read = credentials(ConnectOptions::new(), &path).await.err();
            assert!(read.is_none(), "{written:?}: {read:?}");
        }
        let utf_16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mark = vec![0xff_u8, 0xfe];
        for wrong in [[mark.clone(), utf_16].concat(), mark] {
            std::fs::write(&path, wrong).expect("written");
            let error = credentials(ConnectOptions::new(), &path).await.err();
            assert!(
                matches!(error, Some(ConnectError::BadFile { .. })),
                "{error:?}"
            );
        }
    }
}
