//! `lattice dev` serves its page, and what others reach only through it: an app without wormholes,
//! whose interface, components and links change at once.

use super::{BUILD, Dev, PYPROJECT, new, project, with};
use crate::cli::{
    bare,
    page::{get, post},
};
use std::fs;

/// What the guests of the examples are built with.
const GREETER: &str = "example:hello/greeter@0.1.0";

impl Dev {
    /// Waits until the address of its page is printed, and returns it.
    fn page(&mut self) -> String {
        let mut page = None;
        self.until("the page is served", |dev| {
            let out = dev.out();
            let (_, rest) = out.split_once("page  ")?;
            let (address, _) = rest.split_once('\n')?;
            page = Some(address.to_owned());
            Some(())
        });
        page.expect("an address")
    }
}

#[test]
fn the_page_is_served_at_the_address_that_is_printed() {
    let mut dev = Dev::start(project());
    let url = dev.page();
    // As a browser enters, and what it loads then.
    let (_, query) = url.split_once("/?").expect("a token");
    let entered = get(&url, &format!("/?{query}"));
    assert!(entered.contains("lattice-ui-"), "a cookie: {entered}");
    let page = get(&url, "/");
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(page.contains("<title>Lattice</title>"), "{page}");
    let config = get(&url, "/api/config");
    assert!(config.contains("\"read_only\":false"), "{config}");
    dev.until("the page shows the actor", |_| {
        get(&url, "/api/view").contains("\"front\"").then_some(())
    });
    dev.interrupt();
    dev.ends_well();
}

/// The files of an app with its interface in a version: a greeter, and a desk that calls it.
fn files(version: &str) -> [(&'static str, Vec<u8>); 4] {
    let interface = GREETER.replace("0.1.0", version);
    let manifest = format!(
        "name = \"hello\"\n\
         actors.desk.image = \"file:desk/desk.wasm\"\n\
         actors.greeter.image = \"file:greeter/greeter.wasm\"\n\
         providers.store.builtin = \"keyvalue-memory\"\n\
         [[links]]\nfrom = \"greeter\"\nto = \"store\"\ninterface = \"lattice:keyvalue/store@0.1.0\"\n\
         [[links]]\nfrom = \"desk\"\nto = \"greeter\"\ninterface = \"{interface}\"\n"
    );
    let wit = format!("package example:hello@{version};\n");
    [
        ("app.toml", manifest.into_bytes()),
        (
            "desk/component.bin",
            with("front_desk", GREETER, &interface),
        ),
        (
            "greeter/component.bin",
            with("greeter", GREETER, &interface),
        ),
        ("wit/world.wit", wit.into_bytes()),
    ]
}

/// The types that a link is checked against are those of the components that serve, which neither
/// have nor want the new version of the interface.
#[test]
fn an_interface_is_swapped_in_with_its_components_and_links() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join("project").join(name);
    for name in ["project", "tmp", "project/wit"] {
        fs::create_dir(folder.path().join(name)).expect("a folder");
    }
    for part in ["desk", "greeter"] {
        fs::create_dir(at(part)).expect("a folder");
        for (file, text) in [("pyproject.toml", PYPROJECT), ("build.sh", BUILD)] {
            fs::write(at(part).join(file), text.replace("front", part)).expect("written");
        }
    }
    for (file, bytes) in files("0.1.0") {
        fs::write(at(file), bytes).expect("written");
    }
    let mut command = bare();
    new::cleaned(&mut command);
    let mut dev = Dev::begin(folder, command);
    let url = dev.page();
    let welcome = r#"{"component":"desk","interface":"example:hello/desk@0.1.0","function":"welcome","arguments":["Ada"]}"#;
    let is_welcome = || post(&url, "/api/call", welcome).contains("Hello, Ada!");
    dev.until("it is called", |_| is_welcome().then_some(()));

    // All of it is one change: a build waits until it is there.
    let build = "cp component.bin greeter.new\ntouch begun.tmp\nwhile [ ! -e go.tmp ]; do sleep 0.01; done\nmv greeter.new greeter.wasm\n";
    dev.save("greeter/build.sh", build.as_bytes());
    dev.until("the build has begun", |dev| {
        dev.path("greeter/begun.tmp").exists().then_some(())
    });
    for (file, bytes) in files("0.2.0") {
        dev.save(file, &bytes);
    }
    fs::write(dev.path("greeter/go.tmp"), "").expect("written");
    dev.until_said("  swap ", 3);
    let log = dev.log();
    for said in [
        "changed: app.toml, desk/component.bin, greeter/component.bin, wit/world.wit\n",
        "~ actor `desk`\n",
        "~ actor `greeter`\n",
    ] {
        assert!(log.contains(said), "{said}: {log}");
    }
    dev.until("it is called over the new link", |_| {
        is_welcome().then_some(())
    });
    let shown = get(&url, "/api/export?app=hello");
    assert!(shown.contains("example:hello/greeter@0.2.0"), "{shown}");
    assert!(!shown.contains(GREETER), "{shown}");
}
