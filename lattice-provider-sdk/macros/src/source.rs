//! Finds, reads and resolves the WIT texts that the options name.

use crate::options::{Macro, Options};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use wit_parser::{PackageId, Resolve, SourceMap, UnresolvedPackageGroup, WorldId};

/// The path of the WIT package when no option gives one.
const DEFAULT_PATH: &str = "wit";

/// A resolved world, and the files that it was read from.
pub(crate) struct ResolvedWit {
    pub(crate) resolve: Resolve,
    pub(crate) world: WorldId,
    pub(crate) files: Vec<PathBuf>,
}

impl ResolvedWit {
    /// Reads the WIT that `options` name. Relative paths start at `root`.
    pub(crate) fn load(kind: Macro, options: &Options, root: &Path) -> syn::Result<Self> {
        let text_fault = |message: String| syn::Error::new(options.text_span(), message);
        let mut reader = PackageReader::default();
        let main = match &options.inline {
            Some(text) => inline(&text.value()),
            None => reader.package(&path(options, root)),
        }
        .map_err(text_fault)?;
        let mut dependencies = reader.dependencies(options, root).map_err(text_fault)?;
        dependencies.extend(shipped(&main, &dependencies).map_err(text_fault)?);

        let mut resolve = Resolve::new();
        resolve
            .features
            .extend(options.features.iter().map(syn::LitStr::value));
        let package = resolve
            .push_groups(main, dependencies)
            .map_err(|error| text_fault(error.render(&resolve.source_map)))?;
        let name = options.world.as_ref().map(syn::LitStr::value);
        let has_world = name.is_some() || !resolve.packages[package].worlds.is_empty();
        let package = if kind == Macro::Client && !has_world {
            importing_all(&mut resolve, package).map_err(text_fault)?
        } else {
            package
        };
        let world = resolve
            .select_world(&[package], name.as_deref())
            .map_err(|error| syn::Error::new(options.world_span(), format!("{error:#}")))?;
        Ok(Self {
            resolve,
            world,
            files: reader.files,
        })
    }
}

/// Adds a package with one world, which imports every interface of `package`.
fn importing_all(resolve: &mut Resolve, package: PackageId) -> Result<PackageId, String> {
    let package = &resolve.packages[package];
    if package.interfaces.is_empty() {
        return Err(format!(
            "package `{}` has no interface; a client needs one to call",
            package.name
        ));
    }
    let (namespace, name) = (&package.name.namespace, &package.name.name);
    let version = package.name.version.as_ref();
    let version = version.map_or_else(String::new, |version| format!("@{version}"));
    // A `%` lets a keyword be a name, and changes nothing for others.
    let imports = package
        .interfaces
        .keys()
        .map(|interface| format!("import %{namespace}:%{name}/%{interface}{version};"));
    let imports: String = imports.collect();
    let text = format!("package lattice:client-macro; world all {{ {imports} }}");
    resolve
        .push_str("client.wit", &text)
        .map_err(|error| format!("{error:#}"))
}

fn path(options: &Options, root: &Path) -> PathBuf {
    let given = options.path.as_ref().map(syn::LitStr::value);
    root.join(given.as_deref().unwrap_or(DEFAULT_PATH))
}

/// Reads packages, and records the files that it read.
#[derive(Default)]
struct PackageReader {
    files: Vec<PathBuf>,
}

impl PackageReader {
    /// Reads one package: a file, or all `.wit` files of a folder.
    fn package(&mut self, path: &Path) -> Result<UnresolvedPackageGroup, String> {
        let mut sources = SourceMap::new();
        let files = if path.is_dir() {
            let files = wit_files(path)?;
            if files.is_empty() {
                return Err(format!("there is no `.wit` file in `{}`", path.display()));
            }
            files
        } else {
            vec![path.to_owned()]
        };
        for file in files {
            let text = fs::read_to_string(&file).map_err(|error| unreadable(&file, &error))?;
            sources.push(&file, text);
            self.files.push(file);
        }
        parse(sources)
    }

    /// Reads the packages in the `deps` folder. For an inline text, also reads the package at
    /// `path`, if that is given.
    fn dependencies(
        &mut self,
        options: &Options,
        root: &Path,
    ) -> Result<Vec<UnresolvedPackageGroup>, String> {
        let path = path(options, root);
        let mut groups = Vec::new();
        if options.inline.is_some() {
            if options.path.is_none() {
                return Ok(groups);
            }
            if !path.is_dir() || !wit_files(&path)?.is_empty() {
                groups.push(self.package(&path)?);
            }
        }
        let deps = path.join("deps");
        if deps.is_dir() {
            for entry in entries(&deps)? {
                if entry.is_dir() || is_wit(&entry) {
                    groups.push(self.package(&entry)?);
                }
            }
        }
        Ok(groups)
    }
}

fn inline(text: &str) -> Result<UnresolvedPackageGroup, String> {
    let mut sources = SourceMap::new();
    sources.push_str("inline", text);
    parse(sources)
}

/// Returns the packages of `lattice-wit`, without those that were read already.
fn shipped(
    main: &UnresolvedPackageGroup,
    others: &[UnresolvedPackageGroup],
) -> Result<Vec<UnresolvedPackageGroup>, String> {
    let known: Vec<String> = std::iter::once(main)
        .chain(others)
        .flat_map(|group| std::iter::once(&group.main).chain(&group.nested))
        .map(|package| package.name.to_string())
        .collect();
    lattice_wit::PACKAGES
        .iter()
        .filter(|package| !known.contains(&format!("{}@{}", package.name, package.version)))
        .map(|package| {
            let mut sources = SourceMap::new();
            for file in package.files {
                sources.push_str(file.path, file.text);
            }
            parse(sources)
        })
        .collect()
}

fn parse(sources: SourceMap) -> Result<UnresolvedPackageGroup, String> {
    sources
        .parse()
        .map_err(|(sources, error)| error.render(&sources))
}

fn wit_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = entries(folder)?;
    files.retain(|path| is_wit(path) && path.is_file());
    Ok(files)
}

fn is_wit(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wit")
}

/// Returns the entries of a folder sorted by name: generated code must not depend on the order of
/// the file system.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut paths = fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|e| e.path()))
                .collect::<io::Result<Vec<_>>>()
        })
        .map_err(|error| unreadable(folder, &error))?;
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!(
        "`{}` can't be read: {error}; paths start at the crate's root",
        path.display()
    )
}
