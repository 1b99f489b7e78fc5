//! A key-value store in memory: see `bucket.wit`. Buckets of one name have the same content.

wit_bindgen::generate!({ path: "../bucket", world: "bucket-store" });

use exports::lattice_test::bucket::store::{Bucket, Error, Guest, GuestBucket, KeyResponse};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// Keys of one page.
const PAGE: usize = 2;

type Entries = Rc<RefCell<BTreeMap<String, Vec<u8>>>>;

thread_local! {
    static BUCKETS: RefCell<BTreeMap<String, Entries>> = const { RefCell::new(BTreeMap::new()) };
}

struct Store;
export!(Store);

struct Opened(Entries);

impl Guest for Store {
    type Bucket = Opened;

    fn open(identifier: String) -> Result<Bucket, Error> {
        match &*identifier {
            "missing" => Err(Error::NoSuchStore),
            "secret" => Err(Error::AccessDenied),
            "" => Err(Error::Other("a bucket has a name".to_owned())),
            _ => {
                let entries =
                    BUCKETS.with_borrow_mut(|all| all.entry(identifier).or_default().clone());
                Ok(Bucket::new(Opened(entries)))
            }
        }
    }
}

impl GuestBucket for Opened {
    fn get(&self, key: String) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.borrow().get(&key).cloned())
    }

    fn set(&self, key: String, value: Vec<u8>) -> Result<(), Error> {
        self.0.borrow_mut().insert(key, value);
        Ok(())
    }

    fn delete(&self, key: String) -> Result<(), Error> {
        self.0.borrow_mut().remove(&key);
        Ok(())
    }

    fn exists(&self, key: String) -> Result<bool, Error> {
        Ok(self.0.borrow().contains_key(&key))
    }

    fn list_keys(&self, cursor: Option<String>) -> Result<KeyResponse, Error> {
        let entries = self.0.borrow();
        let mut keys = entries
            .keys()
            .filter(|key| Some(*key) >= cursor.as_ref())
            .cloned();
        Ok(KeyResponse {
            keys: keys.by_ref().take(PAGE).collect(),
            cursor: keys.next(),
        })
    }
}
