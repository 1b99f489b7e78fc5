//! What a host knows about images: how a tag is resolved, and whether a component starts.

use futures_util::future::BoxFuture;
use lattice_core::app::App;

/// Resolves the images of manifests that are planned and applied on the page.
///
/// Without it, a tag means what it meant when it was last applied, and components aren't checked
/// before hosts start them.
pub trait Images: Send + Sync + 'static {
    /// Returns the app with its tags [pinned](App::pin) to what they mean now. The page waits up to
    /// 30 s.
    ///
    /// # Errors
    /// Fails with a text that says which image can't be used, and why.
    fn pin(&self, app: App) -> BoxFuture<'_, Result<Pinned, String>>;
}

/// An app whose images were resolved.
#[derive(Debug, Clone)]
pub struct Pinned {
    /// The app.
    pub app: App,
    /// What a person should know about its images, one sentence each.
    pub notes: Vec<String>,
}
