//! The exports of a component.

#[cfg(feature = "http")]
use super::http;
use super::{functions_of_world, interface_name, plan};
use crate::{
    actor::ActorError,
    guest::{ByFunction, ExportedFunction, Side, Unserved},
    transcode::{ExportFunction, Resources},
};
use lattice_core::{name::InterfaceName, types::InterfaceTypes, wire::FunctionKey};
use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};
use wasmtime::component::{Component, ComponentExportIndex, types::ComponentItem};

/// The items of an interface, or of a world.
type Items = Vec<(String, ComponentItem)>;

/// The exports of a component.
#[derive(Default)]
pub(super) struct Exports {
    pub(super) functions: ByFunction<Arc<ExportedFunction>>,
    /// The types of the interfaces that can be called.
    pub(super) types: BTreeMap<InterfaceName, InterfaceTypes>,
    /// The interfaces by which it serves HTTP.
    #[cfg(feature = "http")]
    pub(super) http: Vec<InterfaceName>,
    pub(super) unserved: Vec<Unserved>,
    /// Older versions of interfaces, each with the newer one that serves some of their functions,
    /// and these.
    replaced: BTreeMap<InterfaceName, (InterfaceName, Vec<String>)>,
}

impl Exports {
    /// Lists the exports of `component`.
    pub(super) fn of(
        component: &Component,
        resources: &Arc<Resources>,
    ) -> Result<Self, ActorError> {
        let mut exports = Self::default();
        let (mut functions, engine) = (Items::new(), component.engine());
        for (name, item) in component.component_type().exports(engine) {
            match &item.ty {
                ComponentItem::ComponentInstance(instance) => match interface_name(name) {
                    #[cfg(feature = "http")]
                    Ok(interface) if http::is_served(&interface) => exports.http.push(interface),
                    Ok(interface) => {
                        let items = instance.exports(engine);
                        let items = items.map(|(name, item)| (name.to_owned(), item.ty));
                        let at = component.get_export_index(None, name);
                        let exported = (interface, at, items.collect());
                        exports.interface(component, exported, resources)?;
                    }
                    Err(error) => exports.unserved(name, error.to_string()),
                },
                ComponentItem::Type(_) | ComponentItem::Resource(_) => {}
                ComponentItem::ComponentFunc(_) => functions.push((name.to_owned(), item.ty)),
                _ => {
                    let reason = "it is neither a function nor an interface; export functions, or a WIT interface";
                    exports.unserved(name, reason.to_owned());
                }
            }
        }
        if !functions.is_empty() {
            let exported = (functions_of_world()?, None, functions);
            exports.interface(component, exported, resources)?;
        }
        exports.replace_older();
        Ok(exports)
    }

    /// Lists the functions of an interface, which is the export with this index. Without an index,
    /// they are exports themselves.
    fn interface(
        &mut self,
        component: &Component,
        (interface, at, items): (InterfaceName, Option<ComponentExportIndex>, Items),
        resources: &Arc<Resources>,
    ) -> Result<(), ActorError> {
        let mut types = InterfaceTypes::default();
        let (mut unserved, mut reason) = (Vec::new(), String::new());
        for (name, item) in items {
            let (function, plan) = match plan(&interface, &name, &item, resources) {
                Ok(Some(planned)) => planned,
                Ok(None) => continue,
                Err(error) => {
                    reason = error.to_string();
                    unserved.push(name);
                    continue;
                }
            };
            let Some(index) = component.get_export_index(at.as_ref(), &name) else {
                continue;
            };
            let signature = plan.signature().to_owned();
            let key = FunctionKey::new(&interface, &function, &signature);
            let exported = ExportedFunction {
                index,
                function: ExportFunction::new(plan),
            };
            if let Some(other) = self.functions.insert(key, Arc::new(exported))
                && self.is_replaced(&name, &interface, other.function.plan().interface())?
            {
                self.functions.insert(key, other);
            }
            types.functions.insert(function, signature);
        }
        if !unserved.is_empty() {
            self.unserved.push(Unserved {
                side: Side::Export,
                name: interface.to_string(),
                functions: unserved,
                reason,
            });
        }
        self.types.insert(interface, types);
        Ok(())
    }

    /// Records that two versions of an interface have the same function for callers, which the
    /// newer one serves. Returns whether that is the other one.
    ///
    /// # Errors
    /// Fails when neither is newer.
    fn is_replaced(
        &mut self,
        function: &str,
        one: &InterfaceName,
        other: &str,
    ) -> Result<bool, ActorError> {
        let mut known = self.types.keys();
        let other = known.find(|name| name.as_str() == other).unwrap_or(one);
        let (older, newer) = match one.version().cmp(&other.version()) {
            Ordering::Less => (one, other),
            Ordering::Greater => (other, one),
            Ordering::Equal => {
                return Err(ActorError::SameFunction {
                    function: function.to_owned(),
                    one: other.to_string(),
                    other: one.to_string(),
                });
            }
        };
        let is_other_newer = older == one;
        let replaced = self.replaced.entry(older.clone());
        let (by, functions) = replaced.or_insert_with(|| (newer.clone(), Vec::new()));
        if by.version() < newer.version() {
            *by = newer.clone();
        }
        functions.push(function.to_owned());
        Ok(is_other_newer)
    }

    /// Has newer versions of interfaces stand for the older ones that they replace, so that a link
    /// for one of these finds the functions of both.
    fn replace_older(&mut self) {
        let all = std::mem::take(&mut self.replaced);
        for (older, (by, functions)) in &all {
            let mut newest = by;
            while let Some((newer, _)) = all.get(newest) {
                newest = newer;
            }
            let types = self.types.remove(older).unwrap_or_default();
            let stands_for = self.types.entry(newest.clone()).or_default();
            for (function, signature) in types.functions {
                stands_for.add(function, &signature);
            }
            self.unserved.push(Unserved {
                side: Side::Export,
                name: older.to_string(),
                functions: functions.clone(),
                reason: format!(
                    "callers can't tell it from `{by}`, which can replace it and serves its calls; export only one of them"
                ),
            });
        }
    }

    /// Returns whether any of them can be called.
    pub(super) fn can_be_called(&self) -> bool {
        #[cfg(feature = "http")]
        if !self.http.is_empty() {
            return true;
        }
        !self.functions.is_empty()
    }

    /// Returns whether functions take or return streams or handles.
    pub(super) fn passes_handles(&self) -> bool {
        let mut functions = self.functions.values();
        functions.any(|exported| exported.function.plan().passes_handles())
    }

    fn unserved(&mut self, name: &str, reason: String) {
        self.unserved.push(Unserved {
            side: Side::Export,
            name: name.to_owned(),
            functions: Vec::new(),
            reason,
        });
    }
}
