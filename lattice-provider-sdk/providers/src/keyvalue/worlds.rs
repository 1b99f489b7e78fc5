//! The WIT worlds of a key-value provider.

// The interfaces that it serves.
lattice_provider_sdk::provider!({ inline: "
    package lattice:keyvalue-provider@0.1.0;

    /// A key-value provider.
    world key-value {
        export lattice:keyvalue/store@0.1.0;
        export wasi:keyvalue/store@0.2.0-draft;
        export wasi:keyvalue/atomics@0.2.0-draft;
        export wasi:keyvalue/batch@0.2.0-draft;
        export wasi:keyvalue/store@0.2.0-draft2;
        export wasi:keyvalue/atomics@0.2.0-draft2;
        export wasi:keyvalue/batch@0.2.0-draft2;
    }
" });

/// `get-many` as Spin has published it, under the name and version of the other draft. A WIT text
/// can have a package only once, so it is in a world of its own, with what its types need.
pub mod spin {
    lattice_provider_sdk::provider!({ inline: "
        package lattice:keyvalue-provider@0.1.0;

        /// What Spin has published with another type.
        world spin {
            export wasi:keyvalue/store@0.2.0-draft2;
            export wasi:keyvalue/batch@0.2.0-draft2;
        }

        package wasi:keyvalue@0.2.0-draft2 {
            /// The types of buckets.
            interface store {
                /// Why an operation failed.
                variant error {
                    /// There is no bucket with this name.
                    no-such-store,
                    /// The caller may not do this.
                    access-denied,
                    /// Any other failure.
                    other(string),
                }
                /// A collection of keys and their values.
                resource bucket;
            }
            /// Operations on many keys.
            interface batch {
                use store.{bucket, error};
                /// Returns each key with its value; none for a key that doesn't exist.
                get-many: func(bucket: borrow<bucket>, keys: list<string>) -> result<list<tuple<string, option<list<u8>>>>, error>;
            }
        }
    " });
}

/// What a provider calls: those who watch its buckets.
pub mod watched {
    lattice_provider_sdk::provider!({ inline: "
        package lattice:keyvalue-provider@0.1.0;

        /// What a key-value provider calls.
        world watched {
            import wasi:keyvalue/watcher@0.2.0-draft;
            import wasi:keyvalue/watcher@0.2.0-draft2;
        }

        package wasi:keyvalue@0.2.0-draft {
            /// The type of buckets.
            interface store {
                /// A collection of keys and their values.
                resource bucket;
            }
            /// Is told of changes in a bucket.
            interface watcher {
                use store.{bucket};
                /// The value of `key` was set to `value`.
                on-set: func(bucket: bucket, key: string, value: list<u8>);
                /// `key` was deleted.
                on-delete: func(bucket: bucket, key: string);
            }
        }

        package wasi:keyvalue@0.2.0-draft2 {
            /// The type of buckets.
            interface store {
                /// A collection of keys and their values.
                resource bucket;
            }
            /// Is told of changes in a bucket.
            interface watcher {
                use store.{bucket};
                /// The value of `key` was set to `value`.
                on-set: func(bucket: bucket, key: string, value: list<u8>);
                /// `key` was deleted.
                on-delete: func(bucket: bucket, key: string);
            }
        }
    " });
}
