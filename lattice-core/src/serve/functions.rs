//! A component made of Rust functions.

use super::{Answer, Request, Service};
use crate::{
    call::{CallError, FunctionRef},
    id::FunctionKey,
    name::{FunctionName, InterfaceName, IntoName, NameError},
    types::ComponentTypes,
    value::{self, Decode, Encode},
};
use bytes::Bytes;
use foldhash::fast::RandomState;
use futures_util::future::BoxFuture;
use std::{collections::HashMap, fmt, sync::Arc};

type Handler = Box<dyn Fn(Bytes) -> Answer + Send + Sync>;

/// A component made of Rust functions, one for each function of an interface that it exports.
///
/// For small components and tests. `lattice-provider-sdk` derives the types and signatures from
/// WIT, and gives each link its configuration.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use lattice_core::serve::Functions;
///
/// let greeter = Functions::new().export(
///     "example:hello/greeter@0.1.0",
///     "greet",
///     "func(name: string) -> string",
///     async |(name,): (String,)| format!("Hello, {name}!"),
/// )?;
/// # let _ = greeter;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Functions {
    types: ComponentTypes,
    handlers: HashMap<FunctionKey, Handler, RandomState>,
}

impl Functions {
    /// Creates a component that exports nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Exports `function` of `interface`. `signature` is the canonical text of its type, for
    /// example `func(name: string) -> string`.
    ///
    /// `handler` takes the tuple of the arguments and returns the result, which is `()` for a
    /// function without one and a Rust `Result` for a WIT `result`. Its types must be those of the
    /// signature: values are checked as they are decoded.
    ///
    /// # Errors
    /// [`NameError`] when a name breaks its rule.
    pub fn export<A, R, F>(
        mut self,
        interface: impl IntoName<InterfaceName>,
        function: impl IntoName<FunctionName>,
        signature: &str,
        handler: impl Fn(A) -> F + Send + Sync + 'static,
    ) -> Result<Self, NameError>
    where
        A: Decode,
        R: Encode,
        F: Future<Output = R> + Send + 'static,
    {
        let (interface, function) = (interface.into_name()?, function.into_name()?);
        let functions = self.types.exports.entry(interface.clone()).or_default();
        functions
            .functions
            .insert(function.clone(), signature.to_owned());
        let key = FunctionRef::new(interface, function, signature).key();
        let handler = move |args: Bytes| match value::from_bytes::<A>(&args) {
            Ok(args) => Answer::Later(answer(handler(args))),
            Err(error) => Answer::Ready(Err(CallError::BadArguments {
                reason: error.to_string(),
            })),
        };
        self.handlers.insert(key, Box::new(handler));
        Ok(self)
    }
}

fn answer<R: Encode>(
    work: impl Future<Output = R> + Send + 'static,
) -> BoxFuture<'static, Result<Bytes, CallError>> {
    Box::pin(async move {
        value::to_bytes(&work.await).map_err(|error| CallError::CalleeFailed {
            reason: error.to_string(),
        })
    })
}

impl Service for Functions {
    fn types(&self) -> Arc<ComponentTypes> {
        Arc::new(self.types.clone())
    }

    /// Handlers return values, not errors of calls. Such errors come only from the arguments,
    /// before the handler runs.
    fn errors_are_its_own(&self) -> bool {
        true
    }

    fn call(&self, request: Request) -> Answer {
        match self.handlers.get(&request.function) {
            Some(handler) => handler(request.args),
            // A node hands over exported functions only.
            None => Answer::Ready(Err(CallError::NotExported {
                component: request.component,
                interface: String::new(),
                function: String::new(),
            })),
        }
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Functions")
            .field("types", &self.types)
            .finish_non_exhaustive()
    }
}
