//! Key-value: one suite that every backend passes, and what only some of them have.
#![cfg(feature = "all")]

mod faults;
mod file;
mod pages;
mod stage;
mod suite;
mod watching;

use stage::{Kind, Stage};

/// `wasi:keyvalue@0.2.0-draft`.
mod draft {
    lattice_provider_sdk::client!({ inline: "
        package test:draft;
        world calling {
            import wasi:keyvalue/store@0.2.0-draft;
            import wasi:keyvalue/atomics@0.2.0-draft;
            import wasi:keyvalue/batch@0.2.0-draft;
        }
    " });
}

/// `wasi:keyvalue@0.2.0-draft2` as WASI has published it.
mod draft2 {
    lattice_provider_sdk::client!({ inline: "
        package test:draft2;
        world calling {
            import wasi:keyvalue/store@0.2.0-draft2;
            import wasi:keyvalue/atomics@0.2.0-draft2;
            import wasi:keyvalue/batch@0.2.0-draft2;
        }
    " });
}

/// `wasi:keyvalue@0.2.0-draft2` as Spin has published it.
mod spin {
    lattice_provider_sdk::client!({ inline: "
        package test:spin;
        world calling {
            import wasi:keyvalue/store@0.2.0-draft2;
            import wasi:keyvalue/batch@0.2.0-draft2;
        }
        package wasi:keyvalue@0.2.0-draft2 {
            interface store {
                variant error { no-such-store, access-denied, other(string) }
                record key-response { keys: list<string>, cursor: option<string> }
                open: func(identifier: string) -> result<bucket, error>;
                resource bucket {
                    get: func(key: string) -> result<option<list<u8>>, error>;
                    set: func(key: string, value: list<u8>) -> result<_, error>;
                    delete: func(key: string) -> result<_, error>;
                    exists: func(key: string) -> result<bool, error>;
                    list-keys: func(cursor: option<string>) -> result<key-response, error>;
                }
            }
            interface batch {
                use store.{bucket, error};
                get-many: func(bucket: borrow<bucket>, keys: list<string>) -> result<list<tuple<string, option<list<u8>>>>, error>;
                set-many: func(bucket: borrow<bucket>, key-values: list<tuple<string, list<u8>>>) -> result<_, error>;
                delete-many: func(bucket: borrow<bucket>, keys: list<string>) -> result<_, error>;
            }
        }
    " });
}

/// `lattice:keyvalue@0.1.0`.
mod flat {
    lattice_provider_sdk::client!({ inline: "
        package test:flat;
        world calling { import lattice:keyvalue/store@0.1.0; }
    " });
}

/// Runs the suite with one backend.
macro_rules! backend {
    ($module:ident, $kind:ident) => {
        mod $module {
            use super::{Kind, Stage, pages, suite, watching};

            backend!(@ $kind; suite:
                values, limits, counters, counters_under_contention, swaps,
                swaps_under_contention, batches, links
            );
            backend!(@ $kind; pages: all_keys_are_listed_once, keys_may_change_meanwhile);
            backend!(@ $kind; watching: changes_are_told_in_order);
        }
    };
    (@ $kind:ident; $tests:ident: $($test:ident),*) => {
        $(
            #[tokio::test]
            async fn $test() {
                if let Some(stage) = Stage::start(Kind::$kind).await {
                    $tests::$test(stage).await;
                }
            }
        )*
    };
}

backend!(memory, Memory);
backend!(in_a_file, File);
backend!(on_redis, Redis);
backend!(on_nats, Nats);
