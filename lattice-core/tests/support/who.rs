//! A runtime whose components return their host and their image.

use futures_util::future::BoxFuture;
use lattice_core::{
    agent::{Prepared, Runtime, RuntimeError, Work, WorkItem},
    name::{FunctionName, HostId, InterfaceName},
    serve::{Answer, Request, Service},
    server::ServeLimits,
    types::{ComponentTypes, InterfaceTypes},
    value::to_bytes,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::sleep;

pub const WHO: &str = "test:who/who@0.1.0";

/// A record of what the hosts of a test have run, and of images that can't be started now.
#[derive(Debug, Default, Clone)]
pub struct Record(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    starts: Vec<String>,
    troubles: BTreeMap<String, Trouble>,
}

/// The reason that an image can't be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It can't be fetched.
    Away,
    /// It is available but fails to start.
    Broken,
}

impl Record {
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note(&self, text: String) {
        self.lock().starts.push(text);
    }

    pub fn all(&self) -> Vec<String> {
        self.lock().starts.clone()
    }

    /// Makes images with this text in their names fail to start from now on.
    pub fn trouble(&self, image: &str, trouble: Trouble) {
        self.lock().troubles.insert(image.to_owned(), trouble);
    }

    /// Makes all images available and valid again.
    pub fn heal(&self) {
        self.lock().troubles.clear();
    }

    fn trouble_of(&self, image: &str) -> Option<Trouble> {
        let notes = self.lock();
        let mut troubles = notes.troubles.iter();
        let found = troubles.find(|(name, _)| image.contains(name.as_str()));
        found.map(|(_, trouble)| *trouble)
    }
}

/// Runs every component, unless its image has `broken` in its name. One with `slow` takes half a
/// minute to start, and one with `wider` exports one more function.
pub struct Fake {
    pub host: HostId,
    pub record: Record,
    pub live: Arc<AtomicUsize>,
}

impl Runtime for Fake {
    fn prepare(&self, job: Arc<WorkItem>) -> BoxFuture<'_, Result<Prepared, RuntimeError>> {
        Box::pin(async move {
            let image = match &job.work {
                Work::Actor { image, .. } => image.to_string(),
                other => format!("{other:?}"),
            };
            self.record.note(format!("{} starts {image}", self.host));
            // The time to compile a small component, or to fetch a large one.
            let takes = match &image {
                slow if slow.contains("slow") => 30_000,
                large if large.contains("large") => 240_000,
                endless if endless.contains("endless") => u64::MAX / 2,
                _ => 50,
            };
            sleep(Duration::from_millis(takes)).await;
            match self.record.trouble_of(&image) {
                Some(Trouble::Away) => {
                    let reason = "its image is unavailable; bring it back";
                    return Err(RuntimeError::new(reason).image_away());
                }
                Some(Trouble::Broken) => return Err(RuntimeError::new("it is broken; fix it")),
                None if image.contains("broken") => {
                    return Err(RuntimeError::new("it is broken; fix it"));
                }
                None => {}
            }
            self.live.fetch_add(1, Ordering::SeqCst);
            Ok(Prepared {
                service: Arc::new(Who {
                    types: if image.contains("wider") {
                        wider()
                    } else {
                        types()
                    },
                    answer: format!("{} {image}", self.host),
                    live: self.live.clone(),
                }),
                limits: ServeLimits::default(),
            })
        })
    }
}

/// Returns types with one function, `who`.
pub fn types() -> Arc<ComponentTypes> {
    exporting(&["who"])
}

/// Returns types with one more function, `what`.
fn wider() -> Arc<ComponentTypes> {
    exporting(&["who", "what"])
}

fn exporting(names: &[&str]) -> Arc<ComponentTypes> {
    let mut functions = InterfaceTypes::default();
    for name in names {
        let name = FunctionName::new(name).expect("valid");
        functions
            .functions
            .insert(name, "func() -> string".to_owned());
    }
    let mut types = ComponentTypes::default();
    types
        .exports
        .insert(InterfaceName::new(WHO).expect("valid"), functions);
    Arc::new(types)
}

struct Who {
    types: Arc<ComponentTypes>,
    answer: String,
    live: Arc<AtomicUsize>,
}

impl Drop for Who {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Service for Who {
    fn types(&self) -> Arc<ComponentTypes> {
        self.types.clone()
    }

    fn call(&self, _: Request) -> Answer {
        Answer::Ready(Ok(to_bytes(&self.answer).expect("it encodes")))
    }
}
