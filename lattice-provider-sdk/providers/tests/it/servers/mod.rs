//! Real servers, each in a folder of its own. One that isn't installed skips its tests.

#[cfg(feature = "sql-postgres")]
pub(crate) mod postgres;
#[cfg(feature = "keyvalue-redis")]
pub(crate) mod redis;
