//! The scripts that run in Redis. Each runs as a whole, between other commands.

use redis::Script;

/// `KEYS`: the hash of values, the set of keys. `ARGV`: the key, the addition, the lowest sum.
///
/// The sum is returned as text, because a number of Lua has no more than 53 bits. The comparison
/// with the lowest sum needs only its sign: it is 0, or the lowest number of all. A sum below 0 of
/// an addition to nothing can't be: what is added then isn't below 0.
const ADD: &str = r"
local before = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2])
local sum = redis.call('HGET', KEYS[1], ARGV[1])
if ARGV[3] == '0' and string.sub(sum, 1, 1) == '-' then
  redis.call('HSET', KEYS[1], ARGV[1], before)
  return redis.error_reply('ERR increment would overflow')
end
redis.call('ZADD', KEYS[2], 0, ARGV[1])
return sum
";

/// `KEYS`: the hash of values, the set of keys. `ARGV`: the key, the new value, and the value that
/// it has to have; without one it mustn't exist.
const SWAP: &str = r"
local value = redis.call('HGET', KEYS[1], ARGV[1])
if ARGV[3] then
  if value ~= ARGV[3] then return 0 end
elseif value then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
return 1
";

/// `KEYS`: the hash of values, the set of keys. `ARGV`: each key with its value.
const PUT: &str = r"
for at = 1, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
  redis.call('ZADD', KEYS[2], 0, ARGV[at])
end
";

/// `KEYS`: the hash of values, the set of keys. `ARGV`: the keys.
const DELETE: &str = r"
for at = 1, #ARGV do
  redis.call('HDEL', KEYS[1], ARGV[at])
  redis.call('ZREM', KEYS[2], ARGV[at])
end
";

/// The scripts, with their digests.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) put: Script,
    pub(super) delete: Script,
    pub(super) add: Script,
    pub(super) swap: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            put: Script::new(PUT),
            delete: Script::new(DELETE),
            add: Script::new(ADD),
            swap: Script::new(SWAP),
        }
    }
}
