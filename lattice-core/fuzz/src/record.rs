//! Records of the store.

use crate::allocation::{bounded_as, entry};
use bytes::Bytes;
use lattice_core::{
    auth::{Auth, TAG_LEN},
    link::{Link, LinkReports},
    name::{ComponentId, FunctionName},
    store::{
        Entry, Incarnation, MemoryStore, Revision, StoreKey,
        record::{Records, SCHEMA},
    },
    types::{ComponentTypes, Digest},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{any::TypeId, fmt::Debug, sync::Arc, sync::LazyLock};

const LIFE: Incarnation = Incarnation(7);

/// Records without a key, so that inputs get past the check of the tag.
static RECORDS: LazyLock<Records> =
    LazyLock::new(|| Records::new(Arc::new(MemoryStore::new()), Auth::trusting()));

static KEY: LazyLock<StoreKey> =
    LazyLock::new(|| StoreKey::component(&ComponentId::new("kv").expect("a name")));

/// The memory that a byte of published types may become. A function has at least three bytes, and
/// becomes an entry of a map with a name that is allocated separately.
const FUNCTION: usize = (entry::<FunctionName, String>() + 24).div_ceil(3);

/// A sealed secret: its version, its nonce, and what is encrypted.
type Sealed = (u8, [u8; 12], Bytes);

/// Decodes any bytes as a value in the store. The first byte selects the type of record.
pub fn record(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    match first % 5 {
        0 => decoded::<Link>(1, rest),
        1 => decoded::<LinkReports>(1, rest),
        2 => decoded::<ComponentTypes>(FUNCTION, rest),
        3 => decoded::<Sealed>(1, rest),
        _ => decoded::<Digest>(1, rest),
    }
}

fn decoded<T: Serialize + DeserializeOwned + PartialEq + Debug + 'static>(
    size: usize,
    value: &[u8],
) {
    let entry = |value: Bytes| Entry {
        key: KEY.clone(),
        value,
        revision: Revision(1),
    };
    // Without a tag, unless the input happens to end in one.
    let untagged = entry(Bytes::copy_from_slice(value));
    let _ = RECORDS.decode::<T>(LIFE, &untagged);
    let tagged = entry([value, &[0; TAG_LEN]].concat().into());
    let record = bounded_as(size, value.len(), || RECORDS.decode::<T>(LIFE, &tagged));
    let Ok(record) = record else { return };
    let again = RECORDS
        .encode(LIFE, &KEY, record.generation, &record.body)
        .expect("what was read can be written");
    // Maps and sets are read in any order, and sets with duplicates, but are written in one form.
    let ordered = [TypeId::of::<LinkReports>(), TypeId::of::<Digest>()];
    if record.schema == SCHEMA && ordered.contains(&TypeId::of::<T>()) {
        assert_eq!(again, tagged.value);
    }
    assert!(again.len() <= tagged.value.len());
    let again = RECORDS
        .decode::<T>(LIFE, &entry(again))
        .expect("just written");
    assert_eq!(
        (again.generation, again.body),
        (record.generation, record.body)
    );
}
