//! Uses everything that the store has: see `bucket.wit`.

wit_bindgen::generate!({ path: "../bucket", world: "bucket-user" });

use exports::lattice_test::bucket::checks::Guest;
use lattice_test::bucket::store::{Bucket, Error, open};

struct User;
export!(User);

impl Guest for User {
    fn check() -> Result<(), String> {
        errors().and_then(|()| entries()).and_then(|()| pages())
    }
}

fn errors() -> Result<(), String> {
    let error = |name| open(name).err();
    same(&matches!(error("missing"), Some(Error::NoSuchStore)), &true)?;
    same(&matches!(error("secret"), Some(Error::AccessDenied)), &true)?;
    let other = error("").map(|error| match error {
        Error::Other(text) => text,
        other => format!("{other:?}"),
    });
    same(&other.as_deref(), &Some("a bucket has a name"))
}

fn entries() -> Result<(), String> {
    let bucket = open("entries").map_err(failed)?;
    let large = vec![7; 100_000];
    same(&bucket.get("a").map_err(failed)?, &None)?;
    bucket.set("a", b"1").map_err(failed)?;
    bucket.set("a", b"2").map_err(failed)?;
    bucket.set("large", &large).map_err(failed)?;
    bucket.set("empty", b"").map_err(failed)?;
    same(&bucket.get("a").map_err(failed)?, &Some(b"2".to_vec()))?;
    same(&bucket.get("large").map_err(failed)?, &Some(large))?;
    same(&bucket.get("empty").map_err(failed)?, &Some(Vec::new()))?;
    // A second handle of the same bucket, which outlives the first one.
    let again = open("entries").map_err(failed)?;
    drop(bucket);
    same(&again.exists("a").map_err(failed)?, &true)?;
    again.delete("a").map_err(failed)?;
    again.delete("a").map_err(failed)?;
    same(&again.exists("a").map_err(failed)?, &false)?;
    same(&again.get("a").map_err(failed)?, &None)
}

fn pages() -> Result<(), String> {
    let (bucket, other) = (
        open("pages").map_err(failed)?,
        open("other").map_err(failed)?,
    );
    let keys = ["a", "b", "c", "d", "e"];
    for key in keys {
        bucket.set(key, key.as_bytes()).map_err(failed)?;
    }
    same(&listed(&bucket)?, &keys.map(str::to_owned).to_vec())?;
    same(&listed(&other)?, &Vec::new())
}

fn listed(bucket: &Bucket) -> Result<Vec<String>, String> {
    let (mut all, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let page = bucket.list_keys(cursor.as_deref()).map_err(failed)?;
        all.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(all);
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{found:?} instead of {expected:?}"))
    }
}

fn failed(error: Error) -> String {
    format!("{error:?}")
}
