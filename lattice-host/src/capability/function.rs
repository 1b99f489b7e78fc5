//! Interfaces that the host serves itself, function by function, with the same encoding as any other call.

use crate::{
    actor::ActorError,
    guest::{Guest, cut},
    transcode::{FunctionPlan, ImportHandler, Reply},
};
use bytes::Bytes;
use lattice_core::{
    name::{InterfaceName, LinkName},
    value::{self, Decode, Encode},
};
use std::sync::Arc;
use tracing::Level;
use wasmtime::{Error, Result, StoreContextMut};

/// A function that the host serves.
struct Builtin {
    /// With its compatible version.
    interface: &'static str,
    function: &'static str,
    signature: &'static str,
    serve: fn(&mut Guest, &Bytes) -> Result<Bytes>,
}

const LOGGING: &str = "wasi:logging/logging@0.1.0-draft";
const CONFIG: &str = "wasi:config/store@0.2.0-rc.1";
const LINKS: &str = "lattice:rpc/links@0.1";

static BUILTINS: [Builtin; 4] = [
    Builtin {
        interface: LOGGING,
        function: "log",
        signature: "func(level: enum { trace, debug, info, warn, error, critical }, context: string, message: string)",
        serve: log,
    },
    Builtin {
        interface: CONFIG,
        function: "get",
        signature: "func(key: string) -> result<option<string>, variant { upstream(string), io(string) }>",
        serve: config_get,
    },
    Builtin {
        interface: CONFIG,
        function: "get-all",
        signature: "func() -> result<list<tuple<string, string>>, variant { upstream(string), io(string) }>",
        serve: config_get_all,
    },
    Builtin {
        interface: LINKS,
        function: "use",
        signature: "func(interface: string, name: string) -> result<_, string>",
        serve: use_link,
    },
];

/// Whether the host serves functions of `interface`.
pub(super) fn serves(interface: &InterfaceName) -> bool {
    let compat = interface.compat();
    BUILTINS.iter().any(|builtin| builtin.interface == compat)
}

/// What serves an imported function, when that is the host.
///
/// # Errors
/// When the component was built against another signature, or imports a function that there isn't.
pub(crate) fn function(
    interface: &InterfaceName,
    plan: &FunctionPlan,
) -> std::result::Result<Option<Arc<dyn ImportHandler<Guest>>>, ActorError> {
    if !serves(interface) {
        return Ok(None);
    }
    let compat = interface.compat();
    let builtin = BUILTINS
        .iter()
        .find(|builtin| builtin.interface == compat && builtin.function == plan.name());
    let found = builtin.map_or("no function", |builtin| builtin.signature);
    match builtin {
        Some(builtin) if builtin.signature == plan.signature() => {
            Ok(Some(Arc::new(Handler(builtin))))
        }
        _ => Err(ActorError::BuiltinMismatch {
            interface: interface.to_string(),
            function: plan.name().to_owned(),
            expected: plan.signature().to_owned(),
            found: found.to_owned(),
        }),
    }
}

struct Handler(&'static Builtin);

impl ImportHandler<Guest> for Handler {
    fn call(&self, mut store: StoreContextMut<'_, Guest>, arguments: Vec<u8>) -> Reply {
        Box::pin(std::future::ready((self.0.serve)(
            store.data_mut(),
            &arguments.into(),
        )))
    }
}

fn log(guest: &mut Guest, arguments: &Bytes) -> Result<Bytes> {
    let (level, context, message): (u32, String, String) = decode(arguments)?;
    let level = match level {
        0 => Level::TRACE,
        1 => Level::DEBUG,
        2 => Level::INFO,
        3 => Level::WARN,
        _ => Level::ERROR,
    };
    guest.actor.voice.log(level, cut(&context), cut(&message));
    Ok(Bytes::new())
}

fn config_get(guest: &mut Guest, arguments: &Bytes) -> Result<Bytes> {
    let (key,): (String,) = decode(arguments)?;
    // Settings are in memory: reading them never fails.
    encode(&Ok::<_, ()>(guest.actor.settings.config.get(&key)))
}

fn config_get_all(guest: &mut Guest, arguments: &Bytes) -> Result<Bytes> {
    let (): () = decode(arguments)?;
    let all: Vec<_> = guest.actor.settings.config.iter().collect();
    encode(&Ok::<_, ()>(all))
}

fn use_link(guest: &mut Guest, arguments: &Bytes) -> Result<Bytes> {
    let (interface, name): (String, String) = decode(arguments)?;
    encode(&choose_link(guest, &interface, &name))
}

fn choose_link(guest: &mut Guest, interface: &str, name: &str) -> std::result::Result<(), String> {
    let interface = InterfaceName::new(interface).map_err(|error| error.to_string())?;
    let name = LinkName::new(name).map_err(|error| error.to_string())?;
    guest.choose_link(&interface, name)
}

fn decode<T: Decode>(arguments: &Bytes) -> Result<T> {
    value::from_bytes(arguments).map_err(Error::new)
}

fn encode(result: &impl Encode) -> Result<Bytes> {
    value::to_bytes(result).map_err(Error::new)
}
