//! CSS selectors for the elements of the page. Interfaces are named without their version.

/// A component.
pub fn component(id: &str) -> String {
    format!("[data-component='{id}']")
}

/// The button that selects a component.
pub fn title(id: &str) -> String {
    format!("{} .node-title", component(id))
}

/// An outlet: an interface that a component calls.
pub fn outlet(of: &str, interface: &str) -> String {
    format!("[data-outlet^='{interface}@'][data-of='{of}']")
}

/// An inlet: an interface that a component serves.
pub fn inlet(of: &str, interface: &str) -> String {
    format!("[data-inlet^='{interface}@'][data-of='{of}']")
}

/// The link with the default name from a component through an interface.
pub fn link(source: &str, interface: &str) -> String {
    format!("[data-link^='{source} {interface}@'][data-link$=' default']")
}

/// A wormhole.
pub fn wormhole(id: &str) -> String {
    format!("[data-wormhole='{id}']")
}

/// A host.
pub fn host(id: &str) -> String {
    format!("[data-host='{id}']")
}

/// A component on a host.
pub fn replica(component: &str, host: &str) -> String {
    format!("[data-replica='{component}'][data-on='{host}']")
}
