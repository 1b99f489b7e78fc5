//! Providers that manifests and commands can name.

use lattice_core::serve::Service;
use lattice_provider_sdk::{IntoService, Refusal, settings};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, fmt, sync::Arc};

/// Creates a provider from its settings.
pub type Make =
    Arc<dyn Fn(&BTreeMap<String, String>) -> Result<Arc<dyn Service>, Refusal> + Send + Sync>;

/// A provider that a manifest can name, as `builtin = "keyvalue-memory"`, and that the command
/// `lattice-provider keyvalue-memory` serves. Cheap to clone.
#[derive(Clone)]
pub struct Builtin {
    /// Its name.
    pub name: &'static str,
    /// Creates it from its settings. Fails when they don't fit. A host calls it in the
    /// [`scope`](lattice_provider_sdk::Access::scope) of what it lets settings name.
    pub make: Make,
}

impl Builtin {
    /// Makes a provider known by a name. `make` creates it from its
    /// [settings](lattice_provider_sdk::settings), which are parsed as the type `C`.
    ///
    /// ```
    /// use lattice_provider_sdk::{Call, Stateless};
    /// use lattice_providers::Builtin;
    /// use std::collections::BTreeMap;
    ///
    /// lattice_provider_sdk::provider!({ inline: "
    ///     package example:hello@0.1.0;
    ///     interface greeter { greet: func(name: string) -> string; }
    ///     world hello { export greeter; }
    /// " });
    ///
    /// #[derive(serde::Deserialize)]
    /// #[serde(deny_unknown_fields)]
    /// struct Settings { greeting: String }
    ///
    /// struct Hello(Settings);
    /// impl Stateless for Hello { type World = World; }
    /// impl example::hello::greeter::Greeter for Hello {
    ///     async fn greet(&self, _: &Call<Self>, name: String) -> String {
    ///         format!("{}, {name}!", self.0.greeting)
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let hello = Builtin::new("hello", Hello);
    /// let settings = [("greeting".to_owned(), "Welcome".to_owned())];
    /// assert!((hello.make)(&BTreeMap::from(settings)).is_ok());
    ///
    /// let settings = [("greting".to_owned(), "Welcome".to_owned())];
    /// let refusal = (hello.make)(&BTreeMap::from(settings)).err().ok_or("it is misspelled")?;
    /// assert_eq!(refusal.reason(), "there is no setting `greting`; did you mean `greeting`?");
    /// # Ok(())
    /// # }
    /// ```
    pub fn new<C: DeserializeOwned, P: IntoService>(
        name: &'static str,
        make: impl Fn(C) -> P + Send + Sync + 'static,
    ) -> Self {
        let make = move |all: &BTreeMap<String, String>| -> Result<Arc<dyn Service>, Refusal> {
            let settings = settings::<C>(all)?;
            Ok(make(settings).into_service())
        };
        Self {
            name,
            make: Arc::new(make),
        }
    }
}

impl fmt::Debug for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Builtin").field(&self.name).finish()
    }
}
