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
    let text = tokio::task::spawn_blocking(move || std::fs::read_to_string(file))
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map(Zeroizing::new)
        .map_err(|source| ConnectError::UnreadableFile {
            path: path.to_owned(),
            source,
        })?;
    client
        .credentials(&text)
        .map_err(|source| ConnectError::BadFile {
            path: path.to_owned(),
            expected: "credentials",
            hint: "it must hold a user JWT and its nkey seed, as `nsc generate creds` writes them",
            source: Some(Box::new(source)),
        })
}
