//! Users with passwords.
//!
//! Passwords are hashed to be slow to guess, so they are checked away from the threads that serve
//! requests, few at a time, and a password that was right is remembered.

use super::{Stopped, cache::Verified};
use argon2::{
    Argon2, Params, PasswordHasher as _, PasswordVerifier as _,
    password_hash::{self, SaltString},
};
use data_encoding::{BASE64, BASE64_NOPAD};
use http::HeaderValue;
use lattice_core::{name::WormholeId, sync::Mutex, wormhole::PasswordHash};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    thread::available_parallelism,
    time::Duration,
};
use tokio::{sync::Semaphore, time::timeout};

/// How many requests may wait until their passwords are checked.
const MOST_WAITING: usize = 256;
/// How many of them may be for one wormhole, so that wrong passwords for one don't keep the users
/// of the others out.
const MOST_WAITING_OF_ONE: usize = MOST_WAITING / 4;
/// How long a request waits for that.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a hash may cost at most: 256 MiB, and 16 rounds and lanes. Others are not checked.
const MOST_KIB: u32 = 256 * 1024;
const MOST_ROUNDS: u32 = 16;

/// Hashes a password for the users of a wormhole, with a new salt.
///
/// ```
/// let hash = lattice_host::http::hash_password("correct horse");
/// assert!(hash.starts_with("$argon2id$"));
/// ```
///
/// This takes some 20 ms and 19 MiB, by design.
///
/// # Panics
/// Panics if the operating system has no random bytes.
pub fn hash_password(password: &str) -> String {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).expect("the operating system has random bytes");
    let hash = SaltString::encode_b64(&salt).and_then(|salt| {
        Ok(Argon2::default()
            .hash_password(password.as_bytes(), &salt)?
            .to_string())
    });
    hash.expect("the default parameters and 16 bytes of salt are valid")
}

/// Returns the value that asks for a user and a password.
pub(super) fn challenge() -> HeaderValue {
    HeaderValue::from_static(r#"Basic realm="restricted", charset="UTF-8""#)
}

/// Reads a user and a password.
pub(super) fn parse(credentials: &[u8]) -> Option<(String, String)> {
    let text = BASE64
        .decode(credentials)
        .or_else(|_| BASE64_NOPAD.decode(credentials))
        .ok()?;
    let text = String::from_utf8(text).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Checks passwords.
pub(super) struct Passwords {
    verified: Verified,
    /// As many as may be checked at once.
    turns: Arc<Semaphore>,
    queue: Mutex<Queue>,
}

impl Default for Passwords {
    fn default() -> Self {
        // The other half of the processors serves requests.
        let most = available_parallelism().map_or(1, |all| all.get().div_ceil(2));
        Self {
            verified: Verified::default(),
            turns: Arc::new(Semaphore::new(most)),
            queue: Mutex::default(),
        }
    }
}

impl Passwords {
    /// Returns whether `password` is that of the user `user`. That takes as long for users that
    /// don't exist: each has the hash of one of those who do, always the same one, so that the
    /// costs of hashes tell as little.
    pub(super) async fn verify(
        &self,
        wormhole: &WormholeId,
        users: &BTreeMap<String, PasswordHash>,
        user: &str,
        password: String,
    ) -> Result<bool, Stopped> {
        let own = users.get(user);
        let Some(hash) = own.or_else(|| self.stand_in(wormhole, users, user)) else {
            return Ok(false);
        };
        let key = self.verified.key(&[hash.as_str(), user, &password]);
        if own.is_some() && self.verified.contains(&key) {
            return Ok(true);
        }
        let is_right = self.check(wormhole, hash.as_str(), password).await?;
        let is_right = is_right && own.is_some();
        if is_right {
            self.verified.insert(key);
        }
        Ok(is_right)
    }

    /// Returns the hash that is checked for a user who doesn't exist.
    fn stand_in<'u>(
        &self,
        wormhole: &WormholeId,
        users: &'u BTreeMap<String, PasswordHash>,
        user: &str,
    ) -> Option<&'u PasswordHash> {
        let [a, b, c, d, ..] = self
            .verified
            .key(&["no such user", wormhole.as_str(), user]);
        let at = u32::from_le_bytes([a, b, c, d]) as usize;
        users.values().nth(at.checked_rem(users.len())?)
    }

    /// Checks a password when it is its turn.
    async fn check(
        &self,
        wormhole: &WormholeId,
        hash: &str,
        password: String,
    ) -> Result<bool, Stopped> {
        let waiting = Waiting::begin(&self.queue, wormhole)
            .ok_or_else(|| unchecked("too many requests wait for passwords to be checked"))?;
        let turn = timeout(PATIENCE, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(unchecked("the password was not checked in time"));
        };
        drop(waiting);
        let hash = hash.to_owned();
        let checked = tokio::task::spawn_blocking(move || {
            // Held here, because a check goes on when its request is gone.
            let _turn = turn;
            matches(&hash, &password)
        });
        match checked.await {
            Ok(checked) => checked.map_err(|error| Stopped::Unchecked(error.to_string())),
            Err(lost) => Err(Stopped::Unchecked(lost.to_string())),
        }
    }
}

/// Why a password can't be checked.
#[derive(Debug, thiserror::Error)]
enum HashUnusable {
    #[error("a user's hash isn't valid: {reason}; hash the password with `lattice wormhole hash`")]
    Invalid { reason: String },
    #[error(
        "a user's hash takes {kib} KiB and {rounds} rounds, and the limits are {MOST_KIB} KiB and {MOST_ROUNDS}; hash the password with `lattice wormhole hash`"
    )]
    Expensive { kib: u32, rounds: u32 },
}

fn matches(hash: &str, password: &str) -> Result<bool, HashUnusable> {
    let invalid = |error: password_hash::Error| HashUnusable::Invalid {
        reason: error.to_string(),
    };
    let hash = password_hash::PasswordHash::new(hash).map_err(invalid)?;
    // Both may be missing in a text of this form, and no password matches it then.
    if hash.salt.is_none() || hash.hash.is_none() {
        let reason = "it has no salt, or no hash".to_owned();
        return Err(HashUnusable::Invalid { reason });
    }
    let costs = Params::try_from(&hash).map_err(invalid)?;
    let (kib, rounds) = (costs.m_cost(), costs.t_cost().max(costs.p_cost()));
    if kib > MOST_KIB || rounds > MOST_ROUNDS {
        return Err(HashUnusable::Expensive { kib, rounds });
    }
    match Argon2::default().verify_password(password.as_bytes(), &hash) {
        Ok(()) => Ok(true),
        Err(password_hash::Error::Password) => Ok(false),
        Err(error) => Err(invalid(error)),
    }
}

fn unchecked(why: &str) -> Stopped {
    Stopped::Unchecked(why.to_owned())
}

/// How many requests wait.
#[derive(Default)]
struct Queue {
    all: usize,
    /// Only of wormholes for which a request waits.
    of_one: HashMap<WormholeId, usize>,
}

/// Counts a request that waits.
struct Waiting<'q> {
    queue: &'q Mutex<Queue>,
    wormhole: WormholeId,
}

impl<'q> Waiting<'q> {
    fn begin(queue: &'q Mutex<Queue>, wormhole: &WormholeId) -> Option<Self> {
        let mut counts = queue.lock();
        let of_one = counts.of_one.get(wormhole).copied().unwrap_or_default();
        if counts.all >= MOST_WAITING || of_one >= MOST_WAITING_OF_ONE {
            return None;
        }
        counts.all += 1;
        counts.of_one.insert(wormhole.clone(), of_one + 1);
        Some(Self {
            queue,
            wormhole: wormhole.clone(),
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut counts = self.queue.lock();
        counts.all -= 1;
        match counts.of_one.get_mut(&self.wormhole) {
            Some(of_one) if *of_one > 1 => *of_one -= 1,
            _ => {
                counts.of_one.remove(&self.wormhole);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: &str) -> WormholeId {
        WormholeId::new(id).expect("an id")
    }

    fn users(of: &[(&str, &str)]) -> BTreeMap<String, PasswordHash> {
        let user = |(name, password): &(&str, &str)| {
            let hash = hash_password(password).parse().expect("a hash");
            ((*name).to_owned(), hash)
        };
        of.iter().map(user).collect()
    }

    #[tokio::test]
    async fn only_the_right_password_of_the_right_user_passes() {
        let users = users(&[("ada", "secret"), ("bob", "other")]);
        let (passwords, wormhole) = (Passwords::default(), id("a"));
        for (user, password, passes) in [
            ("ada", "secret", true),
            ("ada", "secret", true),
            ("ada", "other", false),
            ("bob", "secret", false),
            ("bob", "other", true),
            ("eve", "secret", false),
            ("", "", false),
        ] {
            let checked = passwords.verify(&wormhole, &users, user, password.to_owned());
            let checked = checked.await;
            assert_eq!(checked.ok(), Some(passes), "{user}:{password}");
        }
    }

    #[tokio::test]
    async fn a_user_who_does_not_exist_has_nobodys_password() {
        // The only hash there is stands in for that of every other user.
        let users = users(&[("ada", "secret")]);
        let (passwords, wormhole) = (Passwords::default(), id("a"));
        for _ in 0..2 {
            let checked = passwords.verify(&wormhole, &users, "eve", "secret".to_owned());
            assert_eq!(checked.await.ok(), Some(false));
        }
    }

    #[test]
    fn users_who_do_not_exist_cost_what_those_who_do_cost() {
        let users = users(&[("ada", "a"), ("bob", "b"), ("eve", "c")]);
        let (passwords, wormhole) = (Passwords::default(), id("a"));
        let names: Vec<String> = (0..300).map(|number| format!("user-{number}")).collect();
        let of = |name: &str| passwords.stand_in(&wormhole, &users, name);
        for hash in users.values() {
            let count = names.iter().filter(|name| of(name) == Some(hash));
            assert!(count.count() > 30, "each stands in for its share");
        }
        let of_all = || names.iter().map(|name| of(name)).collect::<Vec<_>>();
        assert_eq!(of_all(), of_all(), "a name always has the same cost");
        assert_eq!(passwords.stand_in(&wormhole, &BTreeMap::new(), "x"), None);
    }

    #[tokio::test]
    async fn a_password_that_was_changed_is_forgotten() {
        let (passwords, wormhole) = (Passwords::default(), id("a"));
        let before = users(&[("ada", "secret")]);
        let checked = passwords.verify(&wormhole, &before, "ada", "secret".to_owned());
        assert_eq!(checked.await.ok(), Some(true));
        let after = users(&[("ada", "new")]);
        let checked = passwords.verify(&wormhole, &after, "ada", "secret".to_owned());
        assert_eq!(checked.await.ok(), Some(false));
    }

    #[test]
    fn two_hashes_of_one_password_differ() {
        assert_ne!(hash_password("a"), hash_password("a"));
    }

    #[tokio::test]
    async fn unchecked_requests_do_not_pass() {
        let (passwords, wormhole) = (Passwords::default(), id("a"));
        let huge = "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG";
        for hash in [huge, "$argon2id$v=19$not-a-hash"] {
            let checked = passwords.check(&wormhole, hash, String::new()).await;
            assert!(matches!(checked, Err(Stopped::Unchecked(_))), "{checked:?}");
        }
    }

    #[test]
    fn credentials_are_read() {
        let parsed = |text: &str| parse(BASE64.encode(text.as_bytes()).as_bytes());
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(parsed("ada:secret"), pair("ada", "secret"));
        assert_eq!(parsed("ada:a:b"), pair("ada", "a:b"));
        assert_eq!(parsed(":"), pair("", ""));
        assert_eq!(parsed("ada"), None);
        assert_eq!(parse(b"YWRhOnM"), pair("ada", "s"), "without padding");
        assert_eq!(parse(b"!!"), None);
        assert_eq!(parse(&BASE64.encode(b"ada:\xff").into_bytes()), None);
    }

    #[test]
    fn requests_that_wait_are_bounded() {
        let queue = Mutex::new(Queue::default());
        let wormholes = ["a", "b", "c", "d"].map(id);
        let mut waiting = Vec::new();
        for wormhole in &wormholes {
            for _ in 0..MOST_WAITING_OF_ONE {
                waiting.push(Waiting::begin(&queue, wormhole).expect("there is room"));
            }
            assert!(
                Waiting::begin(&queue, wormhole).is_none(),
                "{wormhole} has its part"
            );
        }
        let other = id("e");
        assert!(Waiting::begin(&queue, &other).is_none(), "it is full");
        waiting.pop();
        let last = Waiting::begin(&queue, &other);
        assert!(last.is_some());
        drop((waiting, last));
        let counts = queue.lock();
        assert!(counts.all == 0 && counts.of_one.is_empty());
    }
}
