//! Turns [`NatsOptions`] into the client's options.

use super::{
    ConnectError, NatsOptions,
    options::{Login, redacted},
    signals::Signals,
    tls,
};
use async_nats::{ConnectOptions, ServerAddr};
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

/// Returns the servers' addresses without users, and the login: the one in the options, or else the
/// first user that a URL names.
pub(super) fn servers_and_login(
    options: &NatsOptions,
) -> Result<(Vec<ServerAddr>, Login), ConnectError> {
    let mut login = options.login.clone();
    let mut servers = Vec::with_capacity(options.servers.len());
    for text in &options.servers {
        let bad = |source| ConnectError::BadUrl {
            url: redacted(text),
            source,
        };
        let invalid = |why| bad(std::io::Error::new(std::io::ErrorKind::InvalidInput, why));
        let address: ServerAddr = text.parse().map_err(bad)?;
        if address.is_websocket() {
            return Err(invalid("websocket servers are not supported"));
        }
        if address.host().is_empty() {
            return Err(invalid("the host is missing"));
        }
        if let (Login::None, Some(found)) = (&login, login_in(&address)) {
            login = found;
        }
        let mut url = address.into_inner();
        // Removing the user only fails for a URL without a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        servers.push(ServerAddr::from_url(url).map_err(bad)?);
    }
    Ok((servers, login))
}

/// Reads the login in a URL, as NATS tools do: `user:password@`, or `token@`.
fn login_in(address: &ServerAddr) -> Option<Login> {
    let user = percent_decoded(address.username()?);
    Some(match address.password() {
        Some(password) => Login::Password {
            user,
            password: percent_decoded(password).into(),
        },
        None => Login::Token(user.into()),
    })
}

fn percent_decoded(text: &str) -> String {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| std::str::from_utf8(tail.get(..2)?).ok())
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_removed_from_a_url() {
        let options = NatsOptions::new("nats://joe:p%40ss@h:1").server("nats://h2:2");
        let (servers, login) = servers_and_login(&options).expect("valid");
        assert_eq!(servers[0].as_url_str(), "nats://h:1");
        assert!(
            matches!(login, Login::Password { ref user, ref password } if user == "joe" && **password == "p@ss")
        );
        let options = NatsOptions::new("nats://s3cret@h:1");
        let (servers, login) = servers_and_login(&options).expect("valid");
        assert_eq!(servers[0].as_url_str(), "nats://h:1");
        assert!(matches!(login, Login::Token(ref token) if **token == "s3cret"));
    }
}
