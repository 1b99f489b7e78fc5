//! The WIT packages of WASI, for toolchains that need them as files.

use std::path::PathBuf;

/// The folder of a project for the packages on which its own depends.
pub(super) const DEPS: &str = "wit/deps";
/// The version of the texts.
const NEWEST: &str = "0.2.12";

/// The packages, by the names of their files.
const PACKAGES: [(&str, &str); 7] = [
    (
        "cli.wit",
        include_str!("../../../../templates/wasi/cli.wit"),
    ),
    (
        "clocks.wit",
        include_str!("../../../../templates/wasi/clocks.wit"),
    ),
    (
        "filesystem.wit",
        include_str!("../../../../templates/wasi/filesystem.wit"),
    ),
    (
        "http.wit",
        include_str!("../../../../templates/wasi/http.wit"),
    ),
    ("io.wit", include_str!("../../../../templates/wasi/io.wit")),
    (
        "random.wit",
        include_str!("../../../../templates/wasi/random.wit"),
    ),
    (
        "sockets.wit",
        include_str!("../../../../templates/wasi/sockets.wit"),
    ),
];

/// Returns the packages under a version, by their paths in a project. Under an older version than
/// that of the texts, worlds are left out, since they name interfaces that it doesn't have.
pub(super) fn packages(version: &str) -> impl Iterator<Item = (PathBuf, String)> {
    PACKAGES.into_iter().map(move |(file, text)| {
        let text = if version == NEWEST {
            text.to_owned()
        } else {
            under_version(text, version)
        };
        (PathBuf::from(DEPS).join(file), text)
    })
}

fn under_version(text: &str, version: &str) -> String {
    let mut older = String::new();
    // A gate, such as `@since(version = 0.2.0)`, is kept back until it is known that no world
    // follows.
    let mut gate = None;
    let mut is_in_world = false;
    for line in text.lines() {
        is_in_world |= line.starts_with("world ");
        if is_in_world {
            gate = None;
            is_in_world = !line.starts_with('}');
            continue;
        }
        for kept in gate.take().into_iter().chain([line]) {
            if kept == line && line.starts_with('@') {
                gate = Some(line);
            } else {
                older.push_str(&kept.replace(NEWEST, version));
                older.push('\n');
            }
        }
    }
    older
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses the packages and a world that uses them.
    fn parses(version: &str, world: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in packages(version) {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let wit = folder.path().join("wit");
        let text = format!("package a:b;\nworld w {{ {world} }}\n");
        std::fs::write(wit.join("world.wit"), text).expect("written");
        let mut resolve = wit_parser::Resolve::new();
        resolve
            .push_dir(&wit)
            .unwrap_or_else(|error| panic!("{version}: {error:?}"));
    }

    #[test]
    fn the_packages_are_valid_under_both_versions() {
        parses("0.2.12", "include wasi:http/proxy@0.2.12;");
        parses(
            "0.2.3",
            "import wasi:cli/environment@0.2.3; export wasi:http/incoming-handler@0.2.3;",
        );
    }

    #[test]
    fn worlds_and_their_gates_are_left_out() {
        let text = "@since(version = 0.2.0)\ninterface a {\n  @since(version = 0.2.12)\n  f: func();\n}\n@since(version = 0.2.0)\nworld b {\n  import a;\n}\n";
        assert_eq!(
            under_version(text, "0.2.3"),
            "@since(version = 0.2.0)\ninterface a {\n  @since(version = 0.2.3)\n  f: func();\n}\n"
        );
    }
}
