//! Finds what an instance of a component starts with, without compiling the component.
//!
//! The component is translated as wasmtime does it before it compiles. That flattens everything
//! that the component is composed of into one list of core modules to instantiate.

use crate::{engine::Engine, guest::InstanceNeeds, limits::ByteSize};
use wasmparser::Validator;
use wasmtime_environ::{
    EntityRef as _, HostPtr, Module, ScopeVec, Tunables, VMOffsets,
    component::{
        ComponentTypesBuilder, GlobalInitializer, InstantiateModule, Translator, VMComponentOffsets,
    },
};

/// Returns what an instance of the component starts with. `None` when that can't be known: for
/// bytes that aren't a valid component, or one that imports core modules.
pub(super) fn of(component: &[u8]) -> Option<InstanceNeeds> {
    let tunables = Tunables::default_host();
    let mut validator = Validator::new_with_features(Engine::features());
    let mut types = ComponentTypesBuilder::new(&validator);
    let scope = ScopeVec::new();
    let translator = Translator::new(&tunables, &mut validator, &mut types, &scope);
    let (translation, modules) = translator.translate(component).ok()?;
    let component = &translation.component;
    let state = VMComponentOffsets::new(HostPtr, component).size_of_vmctx();
    let mut needs = InstanceNeeds::of_state(state.into());
    for initializer in &component.initializers {
        let GlobalInitializer::InstantiateModule(module, _) = initializer else {
            continue;
        };
        let InstantiateModule::Static(index, _) = module else {
            return None;
        };
        add(&mut needs, &modules[*index].module);
    }
    Some(needs)
}

fn add(needs: &mut InstanceNeeds, module: &Module) {
    needs.core_instances = needs.core_instances.saturating_add(1);
    needs.state += u64::from(VMOffsets::new(HostPtr, module).size_of_vmctx());
    for (index, memory) in &module.memories {
        if index.index() >= module.num_imported_memories {
            needs.memories = needs.memories.saturating_add(1);
            let bytes = memory.minimum_byte_size().unwrap_or(u64::MAX);
            let all = needs.memory.as_u64().saturating_add(bytes);
            needs.memory = ByteSize::bytes(all);
        }
    }
    for (index, table) in &module.tables {
        if index.index() >= module.num_imported_tables {
            needs.tables = needs.tables.saturating_add(1);
            needs.table_elements = needs.table_elements.saturating_add(table.limits.min);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(text: &str) -> InstanceNeeds {
        let bytes = wat::parse_str(text).expect("valid text");
        of(&bytes).expect("a component")
    }

    #[test]
    fn all_memories_and_tables_of_a_component_are_added_up() {
        let found = needs(
            "(component
                (core module $b (memory 448) (table 5 funcref))
                (core module $m (memory (export \"m\") 10) (table 1 2 funcref))
                (core module $u (import \"m\" \"m\" (memory 10)))
                (core instance (instantiate $b))
                (core instance (instantiate $b))
                (core instance $m (instantiate $m))
                (core instance (instantiate $u (with \"m\" (instance $m)))))",
        );
        assert_eq!(
            (found.core_instances, found.memories, found.tables),
            (4, 3, 3)
        );
        assert_eq!(found.memory, ByteSize::kib(64 * 906));
        assert_eq!(found.table_elements, 11);
        assert!(found.bytes() > found.memory.as_usize() + 11 * 8);
    }

    #[test]
    fn inner_components_count_as_often_as_they_are_instantiated() {
        let inner = "(component $c
            (core module $m (memory 3) (global i64 (i64.const 7)))
            (core instance (instantiate $m)))";
        let one = needs(&format!("(component {inner} (instance (instantiate $c)))"));
        let two = needs(&format!(
            "(component {inner} (instance (instantiate $c)) (instance (instantiate $c)))"
        ));
        assert_eq!(needs(&format!("(component {inner})")).core_instances, 0);
        assert_eq!((one.memories, two.memories), (1, 2));
        assert_eq!(two.memory, ByteSize::kib(64 * 6));
        assert!(two.state > one.state);
    }

    #[test]
    fn globals_count() {
        let globals = "(global i64 (i64.const 7)) ".repeat(1_000);
        let module = |globals: &str| {
            needs(&format!(
                "(component (core module $m {globals}) (core instance (instantiate $m)))"
            ))
        };
        let more = module(&globals).state - module("").state;
        assert!(more >= 16_000, "{more}");
    }

    #[test]
    fn the_needs_of_bytes_that_are_not_a_component_are_unknown() {
        assert_eq!(of(b"\0asm"), None);
        assert_eq!(of(&wat::parse_str("(module)").expect("valid text")), None);
    }
}
