//! Who looks on: somebody hears what hosts report, and reads what components say.

use super::*;
use lattice_core::{
    constellation::{ComponentStatus, Constellation, Phase},
    logs::LogEvent,
    wire::{LogLevel, ReportWanted},
};
use std::sync::Mutex;
use tokio::time::{Instant, sleep};

/// Longer than the longest lease of a reader: nothing comes any more of what was asked before.
const CALM: Duration = Duration::from_mins(2);
/// Soon: reports come every five seconds by themselves.
const AT_ONCE: Duration = Duration::from_secs(1);

pub(crate) struct Onlooker {
    constellation: Constellation,
    /// Under which name it asks for what components say.
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

    /// What both hosts say and report from now on reaches it.
    pub(crate) async fn hears(&self, scene: &Scene, news: &str) {
        let hosts = [&scene.two.a, &scene.two.b];
        for host in hosts {
            let sink = host.log_sink();
            sink.say(&id("speaker"), LogLevel::Info, news);
            host.set_status(&id(news), ComponentStatus::new(Phase::Starting));
        }
        eventually("what is said is read", async || {
            let lines = self.lines.lock().expect("not poisoned");
            let said = |host: &str| lines.contains(&(host.to_owned(), news.to_owned()));
            said("a") && said("b")
        })
        .await;
        eventually("what is reported is seen", async || {
            let view = self.constellation.snapshot();
            view.replicas_of(&id(news)).count() == hosts.len()
        })
        .await;
    }
}

impl Scene {
    /// Both hosts report to whoever asks, tell a new reader what is said, and are heard by those who listened before.
    pub(crate) async fn onlookers_hear(&self, before: &Onlooker) {
        sleep(CALM).await;
        let mut reports = self.tap(self.subjects.report()).await;
        // The second time none is due.
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
        before.hears(self, "old-news").await;
        Onlooker::of(self).await.hears(self, "fresh-news").await;
    }
}
