//! Serves `lattice:config/schema` in the name of a provider that describes the configs of its
//! links. What it returns is the same for everyone, so whoever can call the provider may ask.

use crate::provider::Provider;
use bytes::Bytes;
use lattice_core::{
    call::{CallError, FunctionRef},
    id::FunctionKey,
    name::{FunctionName, InterfaceName, NameError},
    types::{ComponentTypes, InterfaceTypes},
    value::{from_bytes, to_bytes},
};

const INTERFACE: &str = "lattice:config/schema@0.1.0";
/// Tells the schema of a link that leads to the provider.
const LINK: &str = "link-config";
/// Tells the schema of a link that leads from the provider to another component.
const OUTGOING: &str = "outgoing-config";
const SIGNATURE: &str = "func(interface: string) -> option<string>";

/// What a provider says of the configs of its links.
pub(crate) struct ConfigSchema {
    link: Described,
    outgoing: Described,
}

/// The links of one direction.
struct Described {
    function: FunctionKey,
    /// The interfaces through which they lead, with the schemas of their configs.
    schemas: Vec<(InterfaceName, String)>,
}

impl ConfigSchema {
    /// Returns what the provider says, and adds the interface to its exports. `None` if it says
    /// nothing, or exports the interface by itself.
    pub(crate) fn of<P: Provider>(types: &mut ComponentTypes) -> Option<Self> {
        let [link, outgoing] = [LINK, OUTGOING].map(|name| function(name).expect("valid names"));
        let name = link.interface().clone();
        if types.exports.contains_key(&name) {
            return None;
        }
        let imported = types.imports.keys();
        let leaving = imported
            .filter_map(|interface| Some((interface.clone(), P::outgoing_schema(interface)?)));
        let leaving: Vec<_> = leaving.collect();
        let text = P::config_schema();
        if text.is_none() && leaving.is_empty() {
            return None;
        }
        let served = types.exports.keys().cloned().chain(P::also_served_as());
        let arriving = served.filter_map(|interface| Some((interface, text.clone()?)));
        let arriving = arriving.collect();
        let mut functions = InterfaceTypes::default();
        for function in [&link, &outgoing] {
            let signature = function.signature().to_owned();
            functions
                .functions
                .insert(function.function().clone(), signature);
        }
        types.exports.insert(name, functions);
        Some(Self {
            link: Described {
                function: link.key(),
                schemas: arriving,
            },
            outgoing: Described {
                function: outgoing.key(),
                schemas: leaving,
            },
        })
    }

    /// Returns the answer to a call: the schema for each interface through which links can lead.
    /// `None` for calls of other functions.
    pub(crate) fn answer(
        &self,
        function: FunctionKey,
        args: &Bytes,
    ) -> Option<Result<Bytes, CallError>> {
        let mut directions = [&self.link, &self.outgoing].into_iter();
        let described = directions.find(|described| described.function == function)?;
        Some(described.answer(args))
    }
}

impl Described {
    fn answer(&self, args: &Bytes) -> Result<Bytes, CallError> {
        let bad = |reason: String| CallError::BadArguments { reason };
        let (interface,): (String,) = from_bytes(args).map_err(|error| bad(error.to_string()))?;
        let asked = InterfaceName::new(&interface).map_err(|error| bad(error.to_string()))?;
        let mut schemas = self.schemas.iter();
        let schema = schemas.find(|(interface, _)| interface.compat() == asked.compat());
        let schema = schema.map(|(_, schema)| schema);
        to_bytes(&schema).map_err(|error| CallError::BadResult {
            reason: error.to_string(),
        })
    }
}

fn function(name: &str) -> Result<FunctionRef, NameError> {
    let interface = InterfaceName::new(INTERFACE)?;
    let name = FunctionName::new(name)?;
    Ok(FunctionRef::new(interface, name, SIGNATURE))
}
