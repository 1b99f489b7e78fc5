//! Loads apps from files, texts and Rust values.

use super::{
    AppManifest, LinkManifest,
    check::{self, Found},
    encoding,
    foreign::{self, Foreign},
    problem::{Position, Problem, Problems},
    shape::{self, Shaped},
    text,
    tree::{Node, Side, Value},
};
use crate::{
    desired::{Image, ImageDigest, OciReference, ProviderKind},
    name::ComponentId,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The largest manifest, in bytes. It has room for more than a thousand records.
pub const MAX_MANIFEST: usize = 4 * 1024 * 1024;

/// A manifest that is ready to be planned and applied, with the path that it was loaded from. Cheap
/// to clone.
///
/// ```
/// use lattice_core::app::App;
///
/// let manifest = r#"name = "shop"
/// [actors.greeter]
/// image = "ghcr.io/shop/greeter:1"
/// replica = 3
/// "#;
/// let error = App::from_toml("shop.toml", manifest).unwrap_err().to_string();
/// assert!(error.starts_with("shop.toml:4:1: actors.greeter.replica: unknown field"), "{error}");
/// assert!(error.ends_with("did you mean `replicas`?"), "{error}");
/// ```
#[derive(Debug, Clone)]
pub struct App {
    manifest: Arc<AppManifest>,
    base: PathBuf,
    source: Option<Arc<Source>>,
    pins: BTreeMap<OciReference, ImageDigest>,
    /// Where files are read from that the manifest names otherwise.
    moved: BTreeMap<PathBuf, PathBuf>,
}

/// The text that a manifest was read from.
#[derive(Debug)]
struct Source {
    file: PathBuf,
    text: String,
    tree: Node,
}

/// The format of a text.
#[derive(Debug, Clone, Copy)]
enum Format {
    Toml,
    Json,
}

/// Why an app could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file can't be read.
    #[error("the manifest `{}` can't be read", path.display())]
    Io {
        /// Its path.
        path: PathBuf,
        /// Why: an error of the operating system, or of the text's encoding.
        source: io::Error,
    },
    /// The ending of its name is not one of a known format.
    #[error("the manifest `{}` is neither `.toml` nor `.json`; give it one of these endings", path.display())]
    Format {
        /// Its path.
        path: PathBuf,
    },
    /// The file is for another tool.
    #[error("`{}` is {found}: {}", path.display(), found.advice())]
    Foreign {
        /// Its path.
        path: PathBuf,
        /// What it is.
        found: Foreign,
    },
    /// The file or text is too large.
    #[error("the manifest `{}` is over {MAX_MANIFEST} bytes; split the app", path.display())]
    TooLarge {
        /// Its path.
        path: PathBuf,
    },
    /// The text isn't a valid manifest.
    #[error(transparent)]
    Problems(#[from] Problems),
}

impl App {
    /// Loads the app in a `.toml` or `.json` file. Its `file:` images are relative to the file. The
    /// file is in UTF-8 or UTF-16, with or without a byte order mark.
    ///
    /// # Errors
    /// Fails with a [`LoadError`]. [`LoadError::Problems`] lists every problem that can be found
    /// without the lattice.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let ending = path.extension().and_then(|ending| ending.to_str());
        let format = match ending.map(str::to_ascii_lowercase).as_deref() {
            Some("toml") => Format::Toml,
            Some("json") => Format::Json,
            Some("yaml" | "yml") => return Err(foreign::yaml(path)),
            _ => return Err(LoadError::Format { path: path.into() }),
        };
        let text = read(path)?;
        Self::parse(path, &text, format)
    }

    /// Reads the app in a TOML text. `file` is named in problems, and the app's `file:` images are
    /// relative to it.
    ///
    /// # Errors
    /// Fails with [`LoadError::TooLarge`] or [`LoadError::Problems`].
    pub fn from_toml(file: impl AsRef<Path>, text: &str) -> Result<Self, LoadError> {
        Self::parse(file.as_ref(), text, Format::Toml)
    }

    /// Reads the app in a JSON text. `file` is named in problems, and the app's `file:` images are
    /// relative to it.
    ///
    /// # Errors
    /// Fails with [`LoadError::TooLarge`] or [`LoadError::Problems`].
    pub fn from_json(file: impl AsRef<Path>, text: &str) -> Result<Self, LoadError> {
        Self::parse(file.as_ref(), text, Format::Json)
    }

    /// Makes an app from a manifest that was made in Rust. Its `file:` images are relative to the
    /// working directory.
    pub fn new(manifest: AppManifest) -> Self {
        Self {
            manifest: Arc::new(manifest),
            base: PathBuf::new(),
            source: None,
            pins: BTreeMap::new(),
            moved: BTreeMap::new(),
        }
    }

    fn parse(file: &Path, text: &str, format: Format) -> Result<Self, LoadError> {
        if text.len() > MAX_MANIFEST {
            return Err(LoadError::TooLarge { path: file.into() });
        }
        let text = encoding::without_mark(text);
        let tree = match format {
            Format::Toml => text::toml(text),
            Format::Json => text::json(text),
        };
        let found = match &tree {
            Ok(tree) => foreign::of(tree),
            Err(_) => foreign::in_yaml(text).or_else(|| misnamed(text, format)),
        };
        if let Some(found) = found {
            let path = file.into();
            return Err(LoadError::Foreign { path, found });
        }
        let tree = tree.map_err(|problems| text_problems(file, text, problems))?;
        let source = Source {
            file: file.into(),
            text: text.to_owned(),
            tree,
        };
        let mut shaped = shape::read(source.tree.clone());
        let manifest = match shaped.manifest.take() {
            Some(manifest) if shaped.found.is_empty() => manifest,
            partly => return Err(source.problems(partly.as_ref(), shaped).into()),
        };
        let app = Self {
            manifest: Arc::new(manifest),
            base: file.parent().map_or_else(PathBuf::new, Path::to_path_buf),
            source: Some(Arc::new(source)),
            pins: BTreeMap::new(),
            moved: BTreeMap::new(),
        };
        match app.problems(check::check(&app.manifest, &BTreeSet::new())) {
            Some(problems) => Err(problems.into()),
            None => Ok(app),
        }
    }

    /// Returns the manifest.
    pub fn manifest(&self) -> &AppManifest {
        &self.manifest
    }

    /// Returns the app with another manifest, whose parts have the same places in the text.
    pub(super) fn with_manifest(self, manifest: AppManifest) -> Self {
        let manifest = Arc::new(manifest);
        Self { manifest, ..self }
    }

    /// Returns the artifacts that are named by a tag that may move, and that are not
    /// [pinned](Self::pin).
    pub fn unpinned(&self) -> BTreeSet<OciReference> {
        self.images()
            .filter_map(|image| match image {
                Image::Oci(reference) if reference.digest().is_none() => Some(reference.clone()),
                _ => None,
            })
            .filter(|reference| !self.pins.contains_key(reference))
            .collect()
    }

    /// Sets the artifact that a tag means now, as its registry returned it. An artifact that is not
    /// pinned stays at the digest that it had when the app was last applied.
    pub fn pin(mut self, reference: OciReference, digest: ImageDigest) -> Self {
        self.pins.insert(reference, digest);
        self
    }

    /// Reads a file from another path than the one that the manifest names, for tools that keep
    /// copies of what they build. `file` is as in the manifest, without `file:`, and `path` is
    /// absolute, or relative to the working directory. A file that the manifest doesn't name is
    /// ignored.
    ///
    /// ```
    /// use lattice_core::{app::App, desired::Image};
    ///
    /// let text = "name = \"shop\"\nactors.greeter.image = \"file:target/greeter.wasm\"\n";
    /// let app = App::from_toml("shop.toml", text)?;
    /// let app = app.file_at("target/greeter.wasm", "/built/1.wasm");
    /// let image = &app.manifest().actors.values().next().expect("an actor").image;
    /// assert_eq!(app.fetched(image), Image::File("/built/1.wasm".into()));
    /// # Ok::<_, lattice_core::app::LoadError>(())
    /// ```
    pub fn file_at(mut self, file: impl Into<PathBuf>, path: impl Into<PathBuf>) -> Self {
        self.moved.insert(file.into(), path.into());
        self
    }

    /// Replaces the links of the manifest. Problems that are found from then on have no positions
    /// in its text.
    pub fn with_links(mut self, links: Vec<LinkManifest>) -> Self {
        Arc::make_mut(&mut self.manifest).links = links;
        self.source = None;
        self
    }

    /// Returns an image of the manifest as a host fetches it: a tag with the digest to which it is
    /// [pinned](Self::pin), and a file with its path from the working directory.
    pub fn fetched(&self, image: &Image) -> Image {
        match image {
            Image::Oci(reference) => match self.pinned(reference) {
                Some(digest) => Image::Oci(reference.pinned(digest)),
                None => image.clone(),
            },
            Image::File(file) => Image::File(self.path_of(file)),
            other => other.clone(),
        }
    }

    pub(super) fn pinned(&self, reference: &OciReference) -> Option<ImageDigest> {
        reference
            .digest()
            .or_else(|| self.pins.get(reference).copied())
    }

    /// Returns the path of a file that the manifest names.
    pub(super) fn path_of(&self, file: &Path) -> PathBuf {
        match self.moved.get(file) {
            Some(path) => path.clone(),
            None => self.base.join(file),
        }
    }

    /// Returns the problems, with their positions in the text.
    pub(super) fn problems(&self, found: Vec<Found>) -> Option<Problems> {
        let located = found.into_iter().map(|(path, kind)| Problem {
            file: self.source.as_ref().map(|source| source.file.clone()),
            place: self
                .source
                .as_ref()
                .map(|source| source.place(&path, Side::Value)),
            path,
            kind,
        });
        Problems::new(located.collect())
    }

    /// Returns the problems, for an app without a manifest.
    pub(super) fn nameless(found: Vec<Found>) -> Option<Problems> {
        let problem = |(path, kind)| Problem {
            file: None,
            place: None,
            path,
            kind,
        };
        Problems::new(found.into_iter().map(problem).collect())
    }

    pub(super) fn images(&self) -> impl Iterator<Item = &Image> {
        let actors = self.manifest.actors.values().map(|actor| &actor.image);
        let providers = self.manifest.providers.values();
        actors.chain(providers.filter_map(|provider| provider.image.as_ref()))
    }
}

impl From<AppManifest> for App {
    fn from(manifest: AppManifest) -> Self {
        Self::new(manifest)
    }
}

impl Source {
    fn place(&self, path: &super::ManifestPath, side: Side) -> Position {
        Position::of(&self.text, self.tree.place(path, side))
    }

    /// Returns the parts that don't have the right shape, and the problems of the rest.
    fn problems(&self, partly: Option<&AppManifest>, shaped: Shaped) -> Problems {
        let names = ["actors", "providers"];
        let declared = names
            .iter()
            .flat_map(|field| self.tree.keys_of(field))
            .filter_map(|name| ComponentId::new(name).ok())
            .collect();
        let rest = partly.map_or_else(Vec::new, |manifest| check::check(manifest, &declared));
        let rest = rest
            .into_iter()
            .map(|(path, kind)| (shaped.in_text(&path), Side::Value, kind));
        let rest: Vec<_> = rest.collect();
        let all = shaped
            .found
            .into_iter()
            .map(|found| (found.path, found.side, found.kind))
            .chain(rest);
        let problem = |(path, side, kind)| Problem {
            file: Some(self.file.clone()),
            place: Some(self.place(&path, side)),
            path,
            kind,
        };
        Problems::at_least_one(all.map(problem).collect())
    }
}

/// Returns the text of a manifest. At most one byte more than the limit is read, which shows that
/// the file is over it.
pub(super) fn read(path: &Path) -> Result<String, LoadError> {
    let io = |source| LoadError::Io {
        path: path.into(),
        source,
    };
    let file = super::files::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(MAX_MANIFEST as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    if bytes.len() > MAX_MANIFEST {
        return Err(LoadError::TooLarge { path: path.into() });
    }
    encoding::decode(bytes).map_err(io)
}

/// Recognizes a text of one format that was given the ending of the other.
fn misnamed(text: &str, format: Format) -> Option<Foreign> {
    let (other, found) = match format {
        Format::Toml => (text::json(text), Foreign::Json),
        Format::Json => (text::toml(text), Foreign::Toml),
    };
    let has_fields = |tree: Node| matches!(tree.value, Value::Table(fields) if !fields.is_empty());
    other.is_ok_and(has_fields).then_some(found)
}

fn text_problems(file: &Path, text: &str, problems: Vec<text::TextProblem>) -> Problems {
    let problem = |(at, kind)| Problem {
        file: Some(file.into()),
        place: Some(Position::of(text, at)),
        path: super::ManifestPath::default(),
        kind,
    };
    Problems::at_least_one(problems.into_iter().map(problem).collect())
}

/// Returns the kind of a provider of the manifest, or `None` unless it has exactly one of `builtin`
/// and `image`, which `check` reports.
pub(super) fn kind_of(provider: &super::ProviderManifest) -> Option<ProviderKind> {
    match (&provider.builtin, &provider.image) {
        (Some(name), None) => Some(ProviderKind::Builtin(name.clone())),
        (None, Some(image)) => Some(ProviderKind::Image(image.clone())),
        _ => None,
    }
}
