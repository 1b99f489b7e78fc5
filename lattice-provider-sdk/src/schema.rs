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
const FUNCTION: &str = "link-config";
const SIGNATURE: &str = "func(interface: string) -> option<string>";

/// What a provider says of the configs of its links.
pub(crate) struct ConfigSchema {
    function: FunctionKey,
    interfaces: Vec<InterfaceName>,
    text: String,
}

impl ConfigSchema {
    /// Returns what the provider says, and adds the interface to its exports. `None` if it says
    /// nothing, or exports the interface by itself.
    pub(crate) fn of<P: Provider>(types: &mut ComponentTypes) -> Option<Self> {
        let text = P::config_schema()?;
        let function = function().expect("the names are valid");
        let interfaces: Vec<InterfaceName> = types.exports.keys().cloned().collect();
        if interfaces.contains(function.interface()) {
            return None;
        }
        let mut functions = InterfaceTypes::default();
        let signature = function.signature().to_owned();
        functions
            .functions
            .insert(function.function().clone(), signature);
        types
            .exports
            .insert(function.interface().clone(), functions);
        Some(Self {
            function: function.key(),
            interfaces,
            text,
        })
    }

    pub(crate) fn serves(&self, function: FunctionKey) -> bool {
        self.function == function
    }

    /// Answers a call: the schema for each interface to which links can lead.
    pub(crate) fn answer(&self, args: &Bytes) -> Result<Bytes, CallError> {
        let bad = |reason: String| CallError::BadArguments { reason };
        let (interface,): (String,) = from_bytes(args).map_err(|error| bad(error.to_string()))?;
        let asked = InterfaceName::new(&interface).map_err(|error| bad(error.to_string()))?;
        let mut interfaces = self.interfaces.iter();
        let is_served = interfaces.any(|served| served.compat() == asked.compat());
        to_bytes(&is_served.then_some(&self.text)).map_err(|error| CallError::BadResult {
            reason: error.to_string(),
        })
    }
}

fn function() -> Result<FunctionRef, NameError> {
    let interface = InterfaceName::new(INTERFACE)?;
    let name = FunctionName::new(FUNCTION)?;
    Ok(FunctionRef::new(interface, name, SIGNATURE))
}
