//! An operator, an account and a user, with the tokens that a nats-server in operator mode needs.

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// Lines for the server's configuration, and a credentials file for it.
pub(crate) struct Operator {
    pub(crate) config: String,
    pub(crate) credentials: String,
}

impl Operator {
    /// Creates new keys for all three, so that no other credentials are valid.
    pub(crate) fn new() -> Self {
        let (operator, account, user) = (
            KeyPair::new_operator(),
            KeyPair::new_account(),
            KeyPair::new_user(),
        );
        let operator_token = token(
            &operator,
            &operator,
            "operator",
            json!({"type": "operator", "version": 2}),
        );
        let everything = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1
        });
        let account_token = token(
            &operator,
            &account,
            "account",
            json!({"type": "account", "version": 2, "limits": everything}),
        );
        let user_token = token(
            &account,
            &user,
            "user",
            json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}}),
        );
        let id = account.public_key();
        Self {
            config: format!(
                "operator: {operator_token}\nresolver: MEMORY\nresolver_preload: {{ {id}: {account_token} }}\n"
            ),
            credentials: format!(
                "-----BEGIN NATS USER JWT-----\n{user_token}\n------END NATS USER JWT------\n\n\
                 -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
                user.seed().expect("a seed")
            ),
        }
    }
}

fn token(issuer: &KeyPair, subject: &KeyPair, name: &str, nats: Value) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let claims = json!({
        "jti": subject.public_key(),
        "iat": now.as_secs(),
        "iss": issuer.public_key(),
        "sub": subject.public_key(),
        "name": name,
        "nats": nats,
    });
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let text = format!("{}.{}", part(&header), part(&claims));
    let signature = issuer.sign(text.as_bytes()).expect("signs");
    format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
}
