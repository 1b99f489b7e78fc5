//! What a host would do with a component, found without running it.

use super::{ActorError, error::not_a_component, link::link, skeleton};
#[cfg(feature = "http")]
use crate::http::exchange::SERVED_AS;
use crate::{
    capability::Capabilities,
    engine::{CallMode, CodeClass, Engine, SlotClass},
    guest::{Code, InstanceNeeds, MAX_PARTS, Unserved},
    limits::{ByteSize, Limits},
};
use wasmparser::Validator;
use wasmtime::component::Component;

/// What a host would do with a component, found by the code that starts it.
///
/// ```
/// use lattice_host::ComponentCheck;
///
/// let component = wat::parse_str(r#"(component
///     (import "acme:shop/stock@1.0.0" (instance (export "count" (func (result u32)))))
///     (import "wasi:logging/logging" (instance)))"#)?;
/// let check = ComponentCheck::of(&component)?;
/// assert_eq!(check.by_link, ["acme:shop/stock@1.0.0"]);
/// assert_eq!(check.by_host, ["wasi:logging/logging"]);
/// assert!(check.unserved.is_empty());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ComponentCheck {
    /// Imported interfaces that the host serves, without a link.
    pub by_host: Vec<String>,
    /// Imported interfaces that links serve.
    pub by_link: Vec<String>,
    /// Exported interfaces that can be called.
    pub callable: Vec<String>,
    /// What can't be served although the rest of the component is.
    pub unserved: Vec<Unserved>,
    /// The memory with which each instance starts, in all memories together.
    pub initial_memory: ByteSize,
    /// The table elements with which each instance starts, in all tables together.
    pub initial_table_elements: u64,
    needs: InstanceNeeds,
}

impl ComponentCheck {
    /// Checks a component as a host does that starts it. Its code is validated and not compiled, so
    /// this takes a fraction of the time.
    ///
    /// # Errors
    /// Fails with the [`ActorError`] with which a host would refuse to start the component.
    pub fn of(component: &[u8]) -> Result<Self, ActorError> {
        if let Some(found) = not_a_component(component) {
            return Err(ActorError::NotAComponent { found });
        }
        let invalid = |reason: String| ActorError::Invalid { reason };
        Validator::new_with_features(Engine::features())
            .validate_all(component)
            .map_err(|error| invalid(error.to_string()))?;
        let skeleton = skeleton::of(component).ok_or_else(|| {
            invalid("its sections can't be read, or it is nested too deeply".to_owned())
        })?;
        let refused = |error: wasmtime::Error| ActorError::invalid(&error);
        let engine = Engine::to_check().map_err(refused)?;
        let compiled = Component::from_binary(&engine, &skeleton).map_err(refused)?;
        let capabilities = Capabilities::standard();
        let class = CodeClass::new(SlotClass::OnDemand, CallMode::Concurrent);
        let linker = capabilities.linker(&engine, class.mode).map_err(refused)?;
        let code = link(&compiled, component, (linker, class), &capabilities)?;
        let types = &code.types;
        Ok(Self {
            by_link: types.imports.keys().map(ToString::to_string).collect(),
            callable: callable(&code),
            by_host: code.by_host,
            unserved: code.unserved,
            initial_memory: code.needs.memory,
            initial_table_elements: code.needs.table_elements,
            needs: code.needs,
        })
    }

    /// Checks that an instance may start with these limits.
    ///
    /// # Errors
    /// Fails with [`ActorError::TooMuchMemory`], [`ActorError::TooManyTableElements`] or
    /// [`ActorError::TooManyParts`].
    pub fn fits(&self, limits: &Limits) -> Result<(), ActorError> {
        fits(&self.needs, limits)
    }
}

/// Returns the exported interfaces that can be called. Those by which it serves HTTP are under
/// their own names, and not under those that they have for others.
fn callable(code: &Code) -> Vec<String> {
    let exports = code.types.exports.keys();
    #[cfg(feature = "http")]
    if let Some(http) = &code.http {
        let others = exports.filter(|name| !SERVED_AS.contains(&name.as_str()));
        let all = others.chain(&http.interfaces);
        return all.map(ToString::to_string).collect();
    }
    exports.map(ToString::to_string).collect()
}

/// Checks that an instance that starts with this may do so.
pub(super) fn fits(needs: &InstanceNeeds, limits: &Limits) -> Result<(), ActorError> {
    let parts = [
        ("core instances", needs.core_instances),
        ("memories", needs.memories),
        ("tables", needs.tables),
    ];
    if let Some((what, needs)) = parts.into_iter().find(|(_, count)| *count > MAX_PARTS) {
        let limit = MAX_PARTS;
        return Err(ActorError::TooManyParts { what, needs, limit });
    }
    if needs.memory > limits.memory {
        return Err(ActorError::TooMuchMemory {
            needs: needs.memory,
            limit: limits.memory,
        });
    }
    let elements = limits.table_elements as u64;
    if needs.table_elements > elements {
        return Err(ActorError::TooManyTableElements {
            needs: needs.table_elements,
            limit: elements,
        });
    }
    Ok(())
}

impl Code {
    /// Checks that an instance may start where one actor has so much memory.
    ///
    /// # Errors
    /// Fails with [`ActorError::OverGuestMemory`].
    pub(crate) fn fits_into(&self, most: usize) -> Result<(), ActorError> {
        let needs = self.needs.bytes();
        if needs > most {
            return Err(ActorError::OverGuestMemory {
                needs: ByteSize::bytes(needs as u64),
                limit: ByteSize::bytes(most as u64),
            });
        }
        Ok(())
    }
}
