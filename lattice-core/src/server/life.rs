//! The life of a service on a node: its start, its health, and its stop.
//!
//! States: *new* → *started* (its stop is due) → *stopped*. A service that fails to start, or whose
//! start is given up, stays new. A node that vanishes as in a power failure stops nothing.

use super::{Server, component::RunningComponent};
use crate::{
    panic::panic_text,
    serve::{Service, Site},
    sync::Mutex,
};
use futures_util::FutureExt as _;
use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, time::timeout};

/// How long a start may take: long enough to open files and read credentials. Connections to
/// servers should be made later, because they may be away.
const START: Duration = Duration::from_secs(10);
/// How long a stop may take: long enough to flush what is buffered.
const STOP: Duration = Duration::from_secs(5);
/// How long calls that were cut off may take to end before the service stops. They end as soon as
/// they are polled, unless they block their thread.
const LAST_CALLS: Duration = Duration::from_secs(1);
/// How long the end of a life may take in all.
#[cfg(feature = "apps")]
pub(crate) const ENDING: Duration = LAST_CALLS.saturating_add(STOP);
/// The time between two checks of a service that is well.
const CHECK: Duration = Duration::from_secs(10);
/// The time between two checks of one that isn't. It is shorter, so that the condition goes soon
/// after what caused it.
const CHECK_AGAIN: Duration = Duration::from_secs(2);
/// How long a check may take.
const CHECK_WITHIN: Duration = Duration::from_secs(5);

/// A service, and how far its life has come.
pub(crate) struct Life {
    service: Arc<dyn Service>,
    /// Another process serves the component.
    is_elsewhere: bool,
    site: OnceLock<Site>,
    /// It was started, and not stopped yet.
    is_due: AtomicBool,
    /// What its last check has found, if it isn't well.
    condition: Mutex<Option<String>>,
}

impl Life {
    pub(super) fn new(service: Arc<dyn Service>) -> Self {
        Self {
            is_elsewhere: service.is_elsewhere(),
            service,
            site: OnceLock::new(),
            is_due: AtomicBool::new(false),
            condition: Mutex::default(),
        }
    }

    pub(super) fn service(&self) -> &dyn Service {
        &*self.service
    }

    /// Whether another process serves the component.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.is_elsewhere
    }

    /// Starts the service. Returns the reason if that fails.
    pub(super) async fn start(&self, site: Site) -> Result<(), String> {
        // The site keeps the lattice, also for a moment after its last handle is dropped.
        if !self.service.has_life() {
            return Ok(());
        }
        let site = self.site.get_or_init(|| site);
        let starting = async { timeout(START, self.service.started(site)).await };
        let started = match AssertUnwindSafe(starting).catch_unwind().await {
            Ok(Ok(started)) => started,
            Ok(Err(_)) => Err(format!("it did not start within {START:?}")),
            Err(panic) => Err(format!(
                "the provider panicked while it started: {}",
                panic_text(&*panic)
            )),
        };
        self.is_due.store(started.is_ok(), Ordering::Release);
        started
    }

    /// Returns whether the service has to be stopped.
    fn is_due(&self) -> bool {
        self.is_due.load(Ordering::Acquire)
    }

    /// Returns the stop of the service, which waits for at most 5 s. It is empty if none is due.
    fn stop(&self) -> impl Future<Output = ()> + Send + use<> {
        let is_due = self.is_due.swap(false, Ordering::AcqRel);
        let site = self.site.get().filter(|_| is_due).cloned();
        let service = self.service.clone();
        async move {
            if let Some(site) = site {
                stop(&*service, &site).await;
            }
        }
    }

    /// The node has vanished: the service isn't stopped.
    pub(super) fn abandon(&self) {
        self.is_due.store(false, Ordering::Release);
    }

    /// What the last check has found, if the service isn't well.
    pub(crate) fn condition(&self) -> Option<String> {
        self.condition.lock().clone()
    }

    async fn check(&self) -> Result<(), String> {
        let checking = async { timeout(CHECK_WITHIN, self.service.health()).await };
        match AssertUnwindSafe(checking).catch_unwind().await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err(format!(
                "its check of its health took longer than {CHECK_WITHIN:?}"
            )),
            Err(panic) => Err(format!(
                "its check of its health panicked: {}",
                panic_text(&*panic)
            )),
        }
    }

    /// Keeps what a check has found, and returns whether that is new.
    fn found(&self, condition: Option<String>) -> bool {
        let mut known = self.condition.lock();
        let is_new = *known != condition;
        *known = condition;
        is_new
    }
}

impl Drop for Life {
    /// A component that never came into service, although its service had started.
    fn drop(&mut self) {
        if self.is_due() {
            in_background(self.stop());
        }
    }
}

impl RunningComponent {
    /// Cuts off what still runs, and stops the service, unless that was done.
    pub(super) async fn end_life(&self) {
        if !self.life.is_due() {
            return;
        }
        self.cut_off();
        if timeout(LAST_CALLS, self.idle()).await.is_err() {
            tracing::warn!(component = %self.id, "a call blocks its thread; the provider stops nevertheless");
        }
        self.life.stop().await;
    }

    /// Like [`end_life`](Self::end_life), in a task of its own if it takes time. For destructors.
    pub(super) fn end_life_in_background(self: &Arc<Self>) {
        if self.life.is_due() {
            let component = self.clone();
            in_background(async move { component.end_life().await });
        }
    }
}

async fn stop(service: &dyn Service, site: &Site) {
    let stopping = async { timeout(STOP, service.stopped(site)).await };
    match AssertUnwindSafe(stopping).catch_unwind().await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => {
            tracing::warn!(component = %site.component(), "the provider did not stop within {STOP:?}");
        }
        Err(panic) => {
            tracing::error!(component = %site.component(), panic = panic_text(&*panic), "the provider panicked while it stopped");
        }
    }
}

/// Drives a future as far as it goes without waiting, and spawns the rest. Without a runtime,
/// nothing happens.
fn in_background(work: impl Future<Output = ()> + Send + 'static) {
    let Ok(runtime) = Handle::try_current() else {
        return;
    };
    // A runtime that shuts down has no timers left, and panics.
    let mut work = Box::pin(AssertUnwindSafe(work).catch_unwind());
    if work.as_mut().now_or_never().is_none() {
        runtime.spawn(work);
    }
}

/// Checks a component in service from time to time, and keeps what it finds as its condition.
pub(super) async fn watch_health(server: Arc<Server>, component: Arc<RunningComponent>) {
    let checks = async {
        loop {
            let found = component.life.check().await.err();
            let pause = if found.is_some() { CHECK_AGAIN } else { CHECK };
            match &found {
                Some(reason) if component.life.found(found.clone()) => {
                    tracing::warn!(component = %component.id, reason, "a component isn't well");
                    server.conditions.notify_one();
                }
                None if component.life.found(None) => {
                    tracing::info!(component = %component.id, "a component is well again");
                    server.conditions.notify_one();
                }
                _ => {}
            }
            let changed = component.service().health_changed();
            // That it was not in time is the usual case.
            let _ = timeout(pause, changed).await;
        }
    };
    let _: Option<()> = component.end.run_until_cancelled(checks).await;
}
