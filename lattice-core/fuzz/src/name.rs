//! Names, interfaces, functions, and keys of the store.

use crate::allocation::bounded;
use lattice_core::{
    auth::LatticeKey,
    name::{
        ComponentId, FunctionName, HostId, InterfaceName, LatticeName, LinkName, NameError,
        WormholeId,
    },
    store::{KeyKind, StoreKey},
    subject::Subjects,
};

/// Parses any text as a name, and as a key in the store.
pub fn name(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    label(text, LatticeName::new, LatticeName::as_str);
    label(text, HostId::new, HostId::as_str);
    label(text, ComponentId::new, ComponentId::as_str);
    label(text, LinkName::new, LinkName::as_str);
    label(text, WormholeId::new, WormholeId::as_str);
    if let Some(function) = parsed(text, FunctionName::new) {
        assert_eq!(function.as_str(), text);
    }
    interface(text);
    store_key(text);
    // Lattice keys are read from files and the environment.
    if let Ok(key) = bounded(text.len(), || LatticeKey::from_hex(text)) {
        assert!(key.expose_hex().eq_ignore_ascii_case(text.trim()));
    }
}

fn parsed<T>(text: &str, parse: fn(&str) -> Result<T, NameError>) -> Option<T> {
    match bounded(text.len(), || parse(text)) {
        Ok(name) => Some(name),
        Err(error) => {
            assert!(error.given.chars().count() <= 80 && !error.rule.is_empty());
            None
        }
    }
}

fn label<T>(text: &str, parse: fn(&str) -> Result<T, NameError>, as_str: fn(&T) -> &str) {
    let rule = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let follows =
        (1..=63).contains(&text.len()) && text.bytes().all(rule) && !text.starts_with('-');
    let name = parsed(text, parse);
    assert_eq!(name.is_some(), follows);
    if let Some(name) = name {
        assert_eq!(as_str(&name), text);
    }
}

fn interface(text: &str) {
    let Some(name) = parsed(text, InterfaceName::new) else {
        return;
    };
    assert_eq!(name.as_str(), text);
    assert!(name.is_compatible(&name));
    assert!(name.compat().starts_with(name.path()));
    let (source, link) = (source(), LinkName::default());
    let key = StoreKey::link(&source, &name, &link);
    let kind = StoreKey::parse(key.as_str()).and_then(|key| key.kind());
    let expected = KeyKind::Link {
        source,
        interface: name.compat(),
        name: link,
    };
    assert_eq!(kind, Some(expected));
}

fn source() -> ComponentId {
    ComponentId::new("front").expect("a name")
}

fn store_key(text: &str) {
    let Some(key) = bounded(text.len(), || StoreKey::parse(text)) else {
        return;
    };
    assert_eq!(key.as_str(), text);
    match key.kind() {
        Some(KeyKind::Component(id)) => {
            assert_eq!(StoreKey::component(&id), key);
            let lattice = LatticeName::new("prod").expect("a name");
            let subject = Subjects::new(&lattice).serves(&id);
            assert!(subject.as_str().ends_with(id.as_str()) && subject.matches(&subject));
        }
        Some(KeyKind::Types(digest)) => assert_eq!(StoreKey::types(&digest), key),
        Some(KeyKind::Link { interface, .. } | KeyKind::LinkStatus { interface, .. }) => {
            assert!(interface.len() <= text.len());
        }
        Some(KeyKind::Actor(id)) => assert_eq!(StoreKey::actor(&id), key),
        Some(KeyKind::Provider(id)) => assert_eq!(StoreKey::provider(&id), key),
        Some(KeyKind::Wormhole(id)) => assert_eq!(StoreKey::wormhole(&id), key),
        Some(KeyKind::WormholeHost(host)) => assert_eq!(StoreKey::wormhole_host(&host), key),
        Some(KeyKind::Config(name)) => assert_eq!(StoreKey::config(&name), key),
        Some(KeyKind::Lease(id)) => assert_eq!(StoreKey::lease(&id), key),
        Some(KeyKind::App(name)) => assert_eq!(StoreKey::app(&name), key),
        Some(KeyKind::Host(id)) => assert_eq!(StoreKey::host(&id), key),
        Some(KeyKind::Series { component, name }) => {
            assert_eq!(StoreKey::series(&component, &name), key);
        }
        Some(KeyKind::Served(id)) => assert_eq!(StoreKey::served(&id), key),
        Some(KeyKind::Secret(name)) => assert_eq!(StoreKey::secret(&name), key),
        None => panic!("a key without a kind was parsed: {text:?}"),
    }
}
