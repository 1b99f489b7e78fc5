//! Buckets in Redis.
//!
//! ```text
//! <prefix>{kv:<bucket>}:values    hash: key ──► value
//! <prefix>{kv:<bucket>}:keys      sorted set of the keys, all with score 0: by their bytes
//! ```
//! Both are written together, by a script. The braces keep them on one node of a cluster. `SCAN`
//! would give keys in no order, so that pages of a changing bucket couldn't be told apart without
//! reading all of it each time.

mod config;
mod scripts;

pub use config::RedisConfig;

use super::{
    backend::{Addition, Backend, Failure, KeyRange, Place, Seen},
    provider::KeyValue,
};
use bytes::Bytes;
use lattice_core::sync::Mutex;
use lattice_provider_sdk::{Access, BackendServer};
use redis::{
    Cmd, ErrorKind, FromRedisValue, RedisError, Script, ServerErrorKind, aio::ConnectionManager,
};
use scripts::Scripts;
use std::fmt;

/// Buckets in Redis, or in a server that speaks its protocol.
pub struct Redis {
    config: RedisConfig,
    /// What the config may name.
    access: Access,
    connection: Mutex<Connection>,
    scripts: Scripts,
}

/// What connects with the first operation, and again when the connection is lost.
#[derive(Default)]
struct Connection {
    manager: Option<ConnectionManager>,
    /// How many there were before.
    number: u64,
}

/// A key-value provider with its buckets in Redis.
pub type RedisKeyValue = KeyValue<Redis>;

impl KeyValue<Redis> {
    /// Creates a provider with its buckets in Redis. It connects when it starts.
    pub fn new(config: RedisConfig) -> Self {
        let limits = config.limits();
        let redis = Redis {
            config,
            access: Access::current(),
            connection: Mutex::new(Connection::default()),
            scripts: Scripts::new(),
        };
        Self::with_backend(redis, limits)
    }
}

/// The names of a bucket's keys in Redis.
struct Names {
    values: String,
    keys: String,
}

impl Redis {
    /// Returns the connection with its number.
    fn connection(&self) -> Result<(ConnectionManager, u64), Failure> {
        let mut connection = self.connection.lock();
        if let Some(manager) = &connection.manager {
            return Ok((manager.clone(), connection.number));
        }
        let manager = self.config.connect(&self.access)?;
        connection.manager = Some(manager.clone());
        Ok((manager, connection.number))
    }

    /// Returns the failure of an operation. The manager connects again by itself when a connection
    /// is lost, and not when it was refused or is silent.
    fn failed(&self, number: u64, error: &RedisError) -> Failure {
        let is_final = error.is_timeout()
            || matches!(
                error.kind(),
                ErrorKind::AuthenticationFailed
                    | ErrorKind::Parse
                    | ErrorKind::Server(
                        ServerErrorKind::BusyLoading
                            | ServerErrorKind::MasterDown
                            | ServerErrorKind::ReadOnly
                    )
            );
        let failure = failure(error);
        if is_final || matches!(failure, Failure::Refused { .. }) {
            let mut connection = self.connection.lock();
            if connection.number == number {
                connection.manager = None;
                connection.number += 1;
            }
        }
        failure
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let (mut connection, number) = self.connection()?;
        let reply = command.query_async(&mut connection).await;
        reply.map_err(|error| self.failed(number, &error))
    }

    /// Runs a script with the keys of a bucket.
    async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        bucket: &str,
        arguments: &[&[u8]],
    ) -> Result<T, Failure> {
        let (mut connection, number) = self.connection()?;
        let names = self.names(bucket);
        let mut call = script.key(&names.values);
        call.key(&names.keys);
        for argument in arguments {
            call.arg(*argument);
        }
        let reply = call.invoke_async(&mut connection).await;
        reply.map_err(|error| self.failed(number, &error))
    }

    fn names(&self, bucket: &str) -> Names {
        let prefix = &self.config.prefix;
        // A brace in the name ends the part that says the node, which is never empty.
        Names {
            values: format!("{prefix}{{kv:{bucket}}}:values"),
            keys: format!("{prefix}{{kv:{bucket}}}:keys"),
        }
    }
}

impl Backend for Redis {
    const NAME: &'static str = "keyvalue-redis";
    const IS_LASTING: bool = true;

    fn namespace(&self) -> String {
        self.config.place().0
    }

    fn server(&self) -> Option<BackendServer> {
        self.config.place().1
    }

    async fn start(&self) -> Result<(), Failure> {
        self.connection().map(drop)
    }

    async fn check(&self) -> Result<(), Failure> {
        let pong: String = self.ask(&redis::cmd("PING")).await?;
        if pong == "PONG" {
            return Ok(());
        }
        Err(Failure::Damaged {
            backend: Self::NAME,
            reason: "it doesn't answer as Redis does".to_owned(),
        })
    }

    async fn get(&self, at: Place<'_>) -> Result<Option<Bytes>, Failure> {
        let names = self.names(at.bucket);
        self.ask(redis::cmd("HGET").arg(&names.values).arg(at.key))
            .await
    }

    async fn read(&self, at: Place<'_>) -> Result<Seen, Failure> {
        let value = self.get(at).await?;
        Ok(Seen { value, revision: 0 })
    }

    async fn exists(&self, at: Place<'_>) -> Result<bool, Failure> {
        let names = self.names(at.bucket);
        self.ask(redis::cmd("HEXISTS").arg(&names.values).arg(at.key))
            .await
    }

    async fn set(&self, at: Place<'_>, value: Bytes) -> Result<(), Failure> {
        let arguments = [at.key.as_bytes(), &*value];
        self.run(&self.scripts.put, at.bucket, &arguments).await
    }

    async fn delete(&self, at: Place<'_>) -> Result<(), Failure> {
        let arguments = [at.key.as_bytes()];
        self.run(&self.scripts.delete, at.bucket, &arguments).await
    }

    async fn add(&self, at: Place<'_>, addition: Addition) -> Result<i64, Failure> {
        let (delta, least) = (addition.delta.to_string(), addition.least.to_string());
        let arguments = [at.key, &*delta, &*least].map(str::as_bytes);
        let sum: String = self.run(&self.scripts.add, at.bucket, &arguments).await?;
        sum.parse().map_err(|_| Failure::NotACounter)
    }

    async fn swap(&self, at: Place<'_>, seen: &Seen, value: Bytes) -> Result<bool, Failure> {
        let mut arguments = vec![at.key.as_bytes(), &*value];
        arguments.extend(seen.value.as_deref());
        self.run(&self.scripts.swap, at.bucket, &arguments).await
    }

    async fn keys(&self, bucket: &str, range: KeyRange<'_>) -> Result<Vec<String>, Failure> {
        let names = self.names(bucket);
        let first = match range.after {
            Some(after) if after >= range.prefix => format!("({after}"),
            _ => format!("[{}", range.prefix),
        };
        let mut command = redis::cmd("ZRANGEBYLEX");
        command.arg(&names.keys).arg(first).arg("+");
        command.arg("LIMIT").arg(0).arg(range.most);
        let mut keys: Vec<String> = self.ask(&command).await?;
        let end = keys.iter().position(|key| !key.starts_with(range.prefix));
        keys.truncate(end.unwrap_or(keys.len()));
        Ok(keys)
    }

    async fn get_many(&self, bucket: &str, keys: &[String]) -> Result<Vec<Option<Bytes>>, Failure> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let names = self.names(bucket);
        self.ask(redis::cmd("HMGET").arg(&names.values).arg(keys))
            .await
    }

    async fn set_many(&self, bucket: &str, entries: Vec<(String, Bytes)>) -> Result<(), Failure> {
        let mut arguments: Vec<&[u8]> = Vec::with_capacity(2 * entries.len());
        for (key, value) in &entries {
            arguments.extend([key.as_bytes(), &**value]);
        }
        self.run(&self.scripts.put, bucket, &arguments).await
    }

    async fn delete_many(&self, bucket: &str, keys: &[String]) -> Result<(), Failure> {
        let arguments: Vec<_> = keys.iter().map(String::as_bytes).collect();
        self.run(&self.scripts.delete, bucket, &arguments).await
    }
}

/// Returns what an error of the client is. Its texts have addresses in them, and no passwords. That
/// of a script has what the command in it said.
fn failure(error: &RedisError) -> Failure {
    let (backend, reason) = (Redis::NAME, error.to_string());
    let says = |codes: &[&str]| codes.iter().any(|code| reason.contains(code));
    let kind = error.kind();
    let is_refused = matches!(
        kind,
        ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm)
    );
    if says(&["hash value is not an integer"]) {
        Failure::NotACounter
    } else if says(&["increment would overflow", "decrement would overflow"]) {
        Failure::CounterOverflow
    } else if is_refused || says(&["NOAUTH", "WRONGPASS"]) {
        Failure::Refused { backend, reason }
    } else if says(&["OOM"]) {
        Failure::Full { backend, reason }
    } else if says(&["WRONGTYPE"])
        || matches!(kind, ErrorKind::Parse | ErrorKind::UnexpectedReturnType)
    {
        Failure::Damaged { backend, reason }
    } else if kind == ErrorKind::InvalidClientConfig {
        Failure::Config(reason)
    } else {
        Failure::Unavailable { backend, reason }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
