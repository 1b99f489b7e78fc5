//! Reads a value of a key-value store, in a bucket that stays open.

wit_bindgen::generate!({
    inline: "
        package lattice-bench:kv;
        world kv {
            import wasi:keyvalue/store@0.2.0-draft;
            export lattice-bench:lookup/lookup@0.1.0;
        }
    ",
    path: ["../../../wit/wasi-keyvalue", "../lookup"],
    generate_all,
});

use exports::lattice_bench::lookup::lookup::Guest;
use std::cell::RefCell;
use wasi::keyvalue::store::{Bucket, Error, open};

/// The bucket and the key. The bench has them too.
const BUCKET: &str = "bench";
const KEY: &str = "key";

thread_local! {
    static OPEN: RefCell<Option<Bucket>> = const { RefCell::new(None) };
}

struct Reader;
export!(Reader);

impl Guest for Reader {
    fn run(count: u32) -> Result<u64, String> {
        with_bucket(|bucket| {
            (0..count)
                .map(|_| read(bucket).map(|value| value.len() as u64))
                .sum()
        })
    }

    fn once() -> Result<Vec<u8>, String> {
        with_bucket(read)
    }
}

fn with_bucket<R>(use_it: impl FnOnce(&Bucket) -> Result<R, String>) -> Result<R, String> {
    OPEN.with_borrow_mut(|opened| match opened {
        Some(bucket) => use_it(bucket),
        None => use_it(opened.insert(open(BUCKET).map_err(failed)?)),
    })
}

fn read(bucket: &Bucket) -> Result<Vec<u8>, String> {
    let value = bucket.get(KEY).map_err(failed)?;
    value.ok_or_else(|| format!("there is no value under `{KEY}`"))
}

fn failed(error: Error) -> String {
    format!("{error:?}")
}
