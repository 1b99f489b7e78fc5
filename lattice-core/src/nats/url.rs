//! Parses the URLs of servers, separates the login from them, and formats them without secrets.
//!
//! A password may contain an unescaped character that has a meaning in a URL (`,`, `/`, `?` or
//! `#`). The password then ends early, and the rest of it looks like a host, a port or a path. So
//! no message repeats a text that isn't a valid URL: any part of it may be a part of a secret.

use super::{ConnectError, NatsOptions, options::Login};
use async_nats::ServerAddr;
use std::io;

/// Schemes that messages may show.
const SCHEMES: [&str; 8] = ["nats", "tls", "ws", "wss", "http", "https", "amqp", "redis"];

/// A server's address without a login, and the login that its URL had.
struct Server {
    address: ServerAddr,
    login: Option<Login>,
}

/// Returns the servers' addresses without users, and the login: the one in the options, or else the
/// first one in a URL.
pub(super) fn servers_and_login(
    options: &NatsOptions,
) -> Result<(Vec<ServerAddr>, Login), ConnectError> {
    let mut login = options.login.clone();
    let mut addresses = Vec::with_capacity(options.servers.len());
    let bad = |at: usize, source| ConnectError::BadUrl {
        url: hidden(&options.servers[at], at, options.servers.len()),
        source,
    };
    if let Some(at) = split_login(options) {
        let why = "a comma separates servers, and this may be one in a password";
        return Err(bad(at, invalid(why)));
    }
    for (at, text) in options.servers.iter().enumerate() {
        let server = parse(text).map_err(|source| bad(at, source))?;
        if let (Login::None, Some(found)) = (&login, server.login) {
            login = found;
        }
        addresses.push(server.address);
    }
    Ok((addresses, login))
}

/// Returns the servers of `options` without secrets, for messages.
pub(super) fn shown(options: &NatsOptions) -> Vec<String> {
    let count = options.servers.len();
    let servers = options.servers.iter().enumerate();
    let is_split = split_login(options).is_some();
    let shown = servers.map(|(at, text)| match parse(text) {
        Ok(server) if !is_split => server.address.as_url_str().to_owned(),
        _ => hidden(text, at, count),
    });
    shown.collect()
}

/// Returns the index of a server in a list, if it may be the rest of a login that the list's commas
/// have split.
fn split_login(options: &NatsOptions) -> Option<usize> {
    let is_end = |text: &String| text.contains('@') && !text.contains("://");
    let mut later = options.servers.iter().skip(1);
    options
        .are_from_list
        .then(|| later.position(is_end))
        .flatten()
}

fn parse(text: &str) -> io::Result<Server> {
    let address: ServerAddr = text.parse()?;
    if address.is_websocket() {
        return Err(invalid("websocket servers are not supported"));
    }
    if address.host().is_empty() {
        return Err(invalid("the host is missing"));
    }
    let login = login_in(&address);
    let mut url = address.into_inner();
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("something follows the host and the port"));
    }
    // Removing the login only fails for a URL without a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_path("");
    let address = ServerAddr::from_url(url)?;
    Ok(Server { address, login })
}

/// Returns what a message may show of an invalid URL: its scheme, and its position in a list.
fn hidden(text: &str, at: usize, count: usize) -> String {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    let shown = match scheme {
        Some(scheme) if SCHEMES.contains(&scheme) => format!("{scheme}://…"),
        _ if text.is_empty() => String::new(),
        _ => "…".to_owned(),
    };
    match count {
        1 => shown,
        _ => format!("{shown} ({} of {count})", at + 1),
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// Reads the login in a URL, as NATS tools do: `user:password@`, or `token@`.
fn login_in(address: &ServerAddr) -> Option<Login> {
    let user = address.username().map(percent_decoded);
    match address.password() {
        Some(password) => Some(Login::Password {
            user: user.unwrap_or_default(),
            password: percent_decoded(password).into(),
        }),
        None => user.map(|token| Login::Token(token.into())),
    }
}

fn percent_decoded(text: &str) -> String {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| std::str::from_utf8(tail.get(..2)?).ok())
            .flatten()
            // The parser below would also take a sign.
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_proto::error::chain;

    #[test]
    fn the_login_of_a_url_is_removed_from_it_and_used() {
        let options = NatsOptions::new("nats://joe:p%40ss@h:1").server("nats://h2:2/");
        let (servers, login) = servers_and_login(&options).expect("valid");
        assert_eq!(servers[0].as_url_str(), "nats://h:1");
        assert_eq!(servers[1].as_url_str(), "nats://h2:2");
        assert!(
            matches!(login, Login::Password { ref user, ref password } if user == "joe" && **password == "p@ss")
        );
        let options = NatsOptions::new("nats://s3cret@h:1");
        let (servers, login) = servers_and_login(&options).expect("valid");
        assert_eq!(servers[0].as_url_str(), "nats://h:1");
        assert!(matches!(login, Login::Token(ref token) if **token == "s3cret"));
    }

    #[test]
    fn only_two_hexadecimal_digits_are_an_escape() {
        for (written, password) in [
            ("a%2Cb", "a,b"),
            ("a%2cb", "a,b"),
            ("a%+1b", "a%+1b"),
            ("a%-1b", "a%-1b"),
            ("a%2", "a%2"),
            ("a%", "a%"),
            ("%25%", "%%"),
        ] {
            let options = NatsOptions::new(format!("nats://joe:{written}@h:1"));
            let (_, login) = servers_and_login(&options).expect("valid");
            assert!(
                matches!(login, Login::Password { password: ref found, .. } if **found == password),
                "{written}"
            );
        }
        // A password without a user, as some services give it.
        let (_, login) = servers_and_login(&NatsOptions::new("nats://:p@h:1")).expect("valid");
        assert!(
            matches!(login, Login::Password { ref user, ref password } if user.is_empty() && **password == "p")
        );
    }

    /// Tests every character at every position of a password, unescaped. A valid URL is used with
    /// the whole password, and an invalid one is refused without showing a part of it.
    #[test]
    fn no_part_of_an_unescaped_password_is_shown() {
        let odd = (' '..='~').chain(['é', '\u{1b}', '\u{9b}']);
        let heads = ["SECR", "4", "12", ""];
        for (odd, head) in odd.flat_map(|odd| heads.map(|head| (odd, head))) {
            let password = format!("{head}{odd}TAIL");
            for url in [
                format!("nats://joe:{password}@127.0.0.1:4222"),
                format!("nats://{password}@127.0.0.1:4222"),
                format!("joe:{password}@127.0.0.1"),
                format!("nats://a:1,nats://joe:{password}@127.0.0.1:4222"),
                format!("nat://joe:{password}@127.0.0.1:4222"),
                // URLs without a host. The two texts that look like one or two hosts are left out.
                format!("nats://joe:{password}").replace([',', '@'], "/"),
            ] {
                let options = NatsOptions::from(url.as_str());
                let mut text = format!("{options:?}");
                match servers_and_login(&options) {
                    Err(error) => {
                        assert!(error.to_string().contains("%2C"), "{error}");
                        text = format!("{text}{} {error:?}", chain(&error));
                    }
                    Ok((servers, _)) => text = format!("{text}{servers:?}"),
                }
                for part in ["SECR", "TAIL", "12"] {
                    let text = text.replace("127.0.0.1", "");
                    assert!(!text.contains(part), "{url}: {text}");
                }
            }
        }
    }

    #[test]
    fn a_list_of_servers_is_split_at_its_commas() {
        let options = NatsOptions::from(" nats://a:1, b:2 ,tls://t@c:3,");
        let (servers, login) = servers_and_login(&options).expect("valid");
        let servers: Vec<_> = servers.iter().map(ServerAddr::as_url_str).collect();
        assert_eq!(servers, ["nats://a:1", "nats://b:2", "tls://c:3"]);
        assert!(matches!(login, Login::Token(ref token) if **token == "t"));
        // Servers that are given one by one are unambiguous.
        let options = NatsOptions::new("a:1").server("t@b:2");
        assert!(servers_and_login(&options).is_ok());
        let wrong = servers_and_login(&NatsOptions::from("nats://a:1,t@b:2"));
        let wrong = wrong.expect_err("may be one password").to_string();
        assert!(wrong.contains("… (1 of 2)"), "{wrong}");
        assert!(servers_and_login(&NatsOptions::from(",")).is_err());
    }
}
