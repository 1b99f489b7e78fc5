use super::*;
use crate::{Secret, link_config, settings};
use lattice_core::link::Link;
use std::{collections::BTreeMap, env, fs, process};

/// A folder that is removed when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("lattice-access-{name}-{}", process::id());
        let path = env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("created");
        Self(path.canonicalize().expect("a path"))
    }

    fn make(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).expect("created");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it is in a folder for what is temporary.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Settings {
    path: Option<HostPath>,
    prefix: Option<EnvPrefix>,
    password: Option<Secret>,
}

fn parse(access: &Access, key: &str, value: &str) -> Result<Settings, String> {
    let entries = BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let parsed = access.scope(|| settings::<Settings>(&entries));
    parsed.map_err(|refusal| refusal.reason().to_owned())
}

fn path(access: &Access, path: &Path) -> Result<PathBuf, String> {
    let parsed = parse(access, "path", path.to_str().expect("a text"))?;
    Ok(parsed.path.expect("it is set").into_path_buf())
}

fn secret(access: &Access, place: &str, name: &str) -> Result<Secret, String> {
    let place = serde_json::json!({ place: name }).to_string();
    Ok(parse(access, "password", &place)?
        .password
        .expect("it is set"))
}

#[test]
fn no_file_and_no_variable_may_be_named_by_default() {
    let none = Access::default();
    for error in [
        path(&none, Path::new("/var/lib/none")).expect_err("a path"),
        secret(&none, "file", "/etc/hostname").expect_err("a file"),
    ] {
        assert!(error.contains("use no files; start it with"), "{error}");
    }
    for error in [
        parse(&none, "prefix", "CARGO_").expect_err("a prefix"),
        secret(&none, "env", "PATH").expect_err("a variable"),
    ] {
        assert!(
            error.contains("doesn't let providers use variables"),
            "{error}"
        );
    }
    let plain = parse(&none, "password", "enigma").expect("it names nothing");
    assert_eq!(plain.password.expect("it is set").expose(), "enigma");
}

#[test]
fn a_path_is_in_a_folder_that_is_allowed() {
    let root = Folder::new("inside");
    let (one, two) = (root.make("one"), root.make("two"));
    let twin = root.make("one-more");
    let access = Access::none().folder(&one).folder(&two);
    for inside in [one.join("kv.redb"), two.join("a/b/c"), one.clone()] {
        assert_eq!(path(&access, &inside), Ok(inside));
    }
    assert_eq!(path(&access, Path::new("kv.redb")), Ok(one.join("kv.redb")));
    let there_and_back = two.join("../one/kv.redb");
    assert_eq!(path(&access, &there_and_back), Ok(one.join("kv.redb")));
    for outside in [
        twin.join("kv.redb"),
        one.join("../kv.redb"),
        one.join("missing/../../kv.redb"),
        "../one-more/kv.redb".into(),
        root.0.clone(),
        "/etc/passwd".into(),
    ] {
        let error = path(&access, &outside).expect_err("it is outside");
        assert!(
            error.contains("`path`") && error.contains("isn't in a folder"),
            "{error}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_does_not_lead_out() {
    use std::os::unix::fs::symlink;

    let root = Folder::new("links");
    let (inside, outside) = (root.make("inside"), root.make("outside"));
    fs::write(outside.join("secret"), "enigma").expect("written");
    symlink(&outside, inside.join("folder")).expect("linked");
    symlink(outside.join("secret"), inside.join("file")).expect("linked");
    symlink(outside.join("new"), inside.join("nothing")).expect("linked");
    fs::write(inside.join("own"), "mine").expect("written");
    symlink(inside.join("own"), inside.join("same")).expect("linked");
    let access = Access::none().folder(&inside);
    for name in ["folder", "folder/secret", "folder/new", "file", "nothing"] {
        let error = path(&access, &inside.join(name)).expect_err(name);
        assert!(error.contains("isn't in a folder"), "{error}");
        let error = secret(&access, "file", name).expect_err(name);
        assert!(error.contains("isn't in a folder"), "{error}");
    }
    let own = secret(&access, "file", "same").expect("it is inside");
    assert_eq!(own.expose(), "mine");
    // The folder itself may be reached through one.
    symlink(&inside, root.0.join("way")).expect("linked");
    let access = Access::none().folder(root.0.join("way"));
    assert_eq!(path(&access, Path::new("kv")), Ok(inside.join("kv")));
}

#[test]
fn a_file_is_read_up_to_a_limit_if_it_is_a_regular_one() {
    let root = Folder::new("reading");
    let file = HostPath::from(root.0.join("file"));
    let missing = file.read(ByteSize::kib(1)).expect_err("there is none");
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    fs::write(&file, [7; 1_024]).expect("written");
    assert_eq!(file.read(ByteSize::kib(1)).expect("it fits"), [7; 1_024]);
    let large = file
        .read(ByteSize::bytes(1_023))
        .expect_err("one byte more");
    assert_eq!(large.to_string(), "it has more than 1023 bytes");
    let folder = HostPath::from(&*root.0).read(ByteSize::kib(1));
    let folder = folder.expect_err("no file");
    assert_eq!(folder.to_string(), "it isn't a regular file");
    let large = vec![b'7'; 64 * 1_024 + 1];
    fs::write(&file, &large).expect("written");
    let access = Access::none().folder(&root.0);
    let refused = secret(&access, "file", "file").expect_err("too large");
    assert!(refused.contains("it has more than 64 KiB"), "{refused}");
    fs::write(&file, [0xff]).expect("written");
    let refused = secret(&access, "file", "file").expect_err("no text");
    assert!(refused.contains("it isn't valid UTF-8"), "{refused}");
}

#[test]
fn a_variable_has_a_prefix_that_is_allowed() {
    let access = Access::none().env("CARGO_PKG_").env("SHOP_");
    assert!(secret(&access, "env", "CARGO_PKG_NAME").is_ok());
    for prefix in ["CARGO_PKG_", "CARGO_PKG_VERSION_", "SHOP_"] {
        let parsed = parse(&access, "prefix", prefix).expect("it is allowed");
        assert_eq!(&*parsed.prefix.expect("it is set"), prefix);
    }
    for prefix in ["CARGO_", "SHOP", "", "shop_"] {
        assert!(parse(&access, "prefix", prefix).is_err(), "{prefix}");
    }
    assert!(secret(&access, "env", "CARGO_MANIFEST_DIR").is_err());
    let all = Access::none().env("");
    assert!(secret(&all, "env", "CARGO_MANIFEST_DIR").is_ok());
    let own = secret(&all, "env", "LATTICE_KEY").expect_err("the host's");
    assert!(own.contains("the host's own"), "{own}");
}

#[cfg(target_os = "linux")]
#[test]
fn files_of_the_system_stay_refused() {
    for access in [Access::none().folder("/"), Access::all()] {
        for name in [
            "/proc/self/environ",
            "/sys",
            "/dev/null",
            "/dev/../proc/self/mem",
        ] {
            let error = path(&access, Path::new(name)).expect_err(name);
            assert!(
                error.contains("the system's") || error.contains("isn't valid"),
                "{error}"
            );
        }
    }
}

#[test]
fn a_scope_ends_and_an_outer_one_is_restored() {
    let none = Access::none();
    none.scope(|| {
        assert!(path(&Access::all(), Path::new("/var/lib/any")).is_ok());
        assert!(allowed_path(Path::new("/var/lib/any")).is_err());
    });
    let failed = std::panic::catch_unwind(|| none.scope(|| assert_eq!(none, Access::all())));
    assert!(failed.is_err());
    // A program's own operator may name everything.
    assert!(allowed_path(Path::new("/var/lib/any")).is_ok());
}

#[test]
fn the_config_of_a_link_names_no_file_and_no_variable() {
    for place in [r#"{ "file": "/etc/hostname" }"#, r#"{ "env": "PATH" }"#] {
        let config: serde_json::Value = serde_json::from_str(place).expect("JSON");
        let link = Link::new("app", "a:b/c@1.0.0", "store").expect("a link");
        let link = link.config(&config).expect("a config");
        let refusal = Access::all().scope(|| link_config::<Secret>(&link));
        let refusal = refusal.expect_err("refused");
        assert!(
            refusal.reason().contains("in the provider's settings"),
            "{refusal}"
        );
    }
}

#[test]
fn a_process_is_told_its_access() {
    for access in [
        Access::none().folder("/var/lib").env("SHOP_"),
        Access::all(),
    ] {
        let text = serde_json::to_string(&access).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Access>(&text).expect("the same"),
            access
        );
    }
}
