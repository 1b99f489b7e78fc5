//! What isn't source: what tools build and install, and the temporary files of editors.

use std::path::Path;

/// The folder that cargo fills.
const TARGET: &str = "target";

/// Folders that tools fill.
const FOLDERS: [&str; 4] = [TARGET, "node_modules", "__pycache__", "venv"];

/// Endings of files that tools build, or that editors write beside the one that is edited.
const ENDINGS: [&str; 9] = [
    "wasm", "pyc", "swp", "swo", "swx", "tmp", "bak", "orig", "rej",
];

/// The file by which tools mark folders that they can fill again.
const CACHE: &str = "CACHEDIR.TAG";

/// Returns whether the files in a folder aren't source, by its name or by what it is marked as.
pub(super) fn folder(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return true;
    };
    let is_of_tools = FOLDERS.contains(&name) && !(name == TARGET && is_module(path));
    name.starts_with('.') || is_of_tools || path.join(CACHE).exists()
}

/// Whether a folder is in the `src` of a package, as that of a module in Rust. The folder of a
/// project may be called `src`, too.
fn is_module(path: &Path) -> bool {
    path.parent()
        .is_some_and(|above| above.ends_with("src") && !above.join("Cargo.toml").exists())
}

/// Returns whether a file isn't source, by its name.
pub(super) fn file(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return true;
    };
    let ending = path.extension().and_then(|ending| ending.to_str());
    name.starts_with('.')
        || name.ends_with('~')
        || name.starts_with('#')
        // With this, Vim finds out whether it can write to a folder.
        || name == "4913"
        || name.contains("___jb_")
        || ending.is_some_and(|ending| ENDINGS.contains(&ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_from_what_tools_write() {
        for name in [
            "src/lib.rs",
            "app.toml",
            "wit/world.wit",
            "index.js",
            "Makefile",
        ] {
            assert!(!file(Path::new(name)), "{name}");
        }
        for name in [
            "a.wasm",
            ".lib.rs.swp",
            "lib.rs~",
            "#lib.rs#",
            ".#lib.rs",
            "4913",
            "lib.rs___jb_tmp___",
            "lib.tmp",
        ] {
            assert!(file(Path::new(name)), "{name}");
        }
        for name in [
            ".git",
            "a/target",
            "node_modules",
            ".lattice",
            ".venv",
            "src/__pycache__",
        ] {
            assert!(folder(Path::new(name)), "{name}");
        }
        assert!(!folder(Path::new("src")) && !folder(Path::new("a/src/target")));
        let built = tempfile::tempdir().expect("a folder");
        let built = built.path().join("built");
        std::fs::create_dir(&built).expect("a folder");
        assert!(!folder(&built));
        std::fs::write(built.join(CACHE), "").expect("written");
        assert!(folder(&built));
    }
}
