//! An observer that receives the reports of hosts and the log lines of components.

use super::*;
use lattice_core::{
    constellation::{ComponentStatus, Constellation, Phase},
    logs::LogEvent,
    wire::{LogLevel, ReportWanted},
};
use std::sync::Mutex;
use tokio::time::{Instant, sleep};

/// Longer than the longest lease of a reader: earlier requests have no effect any more.
const CALM: Duration = Duration::from_mins(2);
/// A short time, since hosts send reports every five seconds without a request.
const AT_ONCE: Duration = Duration::from_secs(1);

pub(crate) struct Onlooker {
    constellation: Constellation,
    /// The identity with which it requests log lines.
    pub(crate) reader: Origin,
    lines: Arc<Mutex<Vec<(String, String)>>>,
}

impl Onlooker {
    pub(crate) async fn of(scene: &Scene) -> Self {
        let lattice = &scene.two.lattice;
        let mut requests = scene.tap(scene.subjects.logs_wanted()).await;
        let logs = lattice.logs(None, 0).await.expect("subscribed");
        let lines = Arc::<Mutex<Vec<_>>>::default();
        let read = lines.clone();
        tokio::spawn(logs.for_each(move |event| {
            if let LogEvent::Line { host, line } = event {
                let mut read = read.lock().expect("not poisoned");
                read.push((host.to_string(), line.text));
            }
            std::future::ready(())
        }));
        let (_, request) = next(&mut requests).await;
        let request = Frame::open(&scene.auth, request).expect("a frame");
        Self {
            constellation: lattice.constellation(),
            reader: request.sender().clone(),
            lines,
        }
    }

    /// Checks that the observer receives the lines and reports of both hosts from now on.
    pub(crate) async fn receives(&self, scene: &Scene, news: &str) {
        let hosts = [&scene.two.a, &scene.two.b];
        for host in hosts {
            let sink = host.log_sink();
            sink.say(&id("speaker"), LogLevel::Info, news);
            host.set_status(&id(news), ComponentStatus::new(Phase::Starting));
        }
        eventually("the lines are received", async || {
            let lines = self.lines.lock().expect("not poisoned");
            let said = |host: &str| lines.contains(&(host.to_owned(), news.to_owned()));
            said("a") && said("b")
        })
        .await;
        eventually("the reports are received", async || {
            let view = self.constellation.snapshot();
            view.replicas_of(&id(news)).count() == hosts.len()
        })
        .await;
    }
}

impl Scene {
    /// Checks that both hosts send reports on request and lines to a new reader, and that earlier
    /// readers still receive them.
    pub(crate) async fn onlookers_hear(&self, before: &Onlooker) {
        sleep(CALM).await;
        let mut reports = self.tap(self.subjects.report()).await;
        // At the second request no report is due.
        for number in 1..=2 {
            let asker = Origin::new(host_id("asker-for-reports"), 1);
            let wanted = FrameWriter::message(&self.auth, asker, None, number, &ReportWanted {});
            let asked = Instant::now();
            let to = self.subjects.report_wanted();
            self.send(to, wanted.expect("encodes")).await;
            let mut silent = vec![self.two.a.origin(), self.two.b.origin()];
            while !silent.is_empty() {
                let (_, report) = next(&mut reports).await;
                let report = Frame::open(&self.auth, report).expect("a frame");
                silent.retain(|host| *host != report.sender());
            }
            assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
        }
        before.receives(self, "old-news").await;
        Onlooker::of(self).await.receives(self, "fresh-news").await;
    }
}
