//! From options to a resolved world: finds, reads and resolves the WIT texts.

use crate::options::Options;
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use wit_parser::{Resolve, SourceMap, UnresolvedPackageGroup, WorldId};

/// Where WIT packages lie when nobody says.
const DEFAULT_PATH: &str = "wit";

/// A resolved world, and the files that it came from.
pub(crate) struct Source {
    pub(crate) resolve: Resolve,
    pub(crate) world: WorldId,
    pub(crate) files: Vec<PathBuf>,
}

impl Source {
    /// Reads what `options` name; a relative path starts at `root`.
    pub(crate) fn load(options: &Options, root: &Path) -> syn::Result<Self> {
        let text_fault = |message: String| syn::Error::new(options.text_span(), message);
        let mut reader = Reader::default();
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

fn path(options: &Options, root: &Path) -> PathBuf {
    let given = options.path.as_ref().map(syn::LitStr::value);
    root.join(given.as_deref().unwrap_or(DEFAULT_PATH))
}

/// Reads packages, remembering each file.
#[derive(Default)]
struct Reader {
    files: Vec<PathBuf>,
}

impl Reader {
    /// One package: a file, or all `.wit` files of a folder.
    fn package(&mut self, path: &Path) -> Result<UnresolvedPackageGroup, String> {
        let mut sources = SourceMap::new();
        let files = if path.is_dir() {
            let files = wit_files(path)?;
            if files.is_empty() {
                return Err(format!("no `.wit` file lies in `{}`", path.display()));
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

    /// The packages in the `deps` folder; for an inline text, also those at `path`, if one is given.
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

/// The packages that the project ships, but for those that are there already.
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

/// What lies in a folder, in the order of names: the code must not depend on the file system's order.
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
