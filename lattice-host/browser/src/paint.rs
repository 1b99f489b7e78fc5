//! How long changes take until they are painted.
//!
//! A change carries a mark, such as `mark-17` in the name of a link. The page is watched from
//! within: which event of its stream has the mark first, and when the page has painted that event,
//! by the clock of this machine.

use crate::browser::Browser;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Runs before the page's own scripts. `latticeMarks` has the time of each mark, in milliseconds.
const WATCH: &str = r"
(() => {
  const marks = {};
  const seen = new Set();
  const waiting = [];
  const number = (id) => Number(String(id).split('.').pop());
  window.latticeMarks = marks;
  window.EventSource = class extends window.EventSource {
    constructor(...all) {
      super(...all);
      this.addEventListener('changes', (event) => {
        for (const mark of event.data.match(/mark-\d+/g) ?? []) {
          if (!seen.has(mark)) {
            seen.add(mark);
            waiting.push([number(event.lastEventId), mark]);
          }
        }
      });
    }
  };
  document.addEventListener('lattice:painted', ({ detail }) => {
    const [now, painted] = [performance.timeOrigin + performance.now(), number(detail.id)];
    while (waiting.length > 0 && waiting[0][0] <= painted) {
      marks[waiting.shift()[1]] = now;
    }
  });
})();
";

/// Changes, and when they were made.
#[derive(Debug, Default)]
pub struct Marks {
    made: BTreeMap<String, SystemTime>,
}

impl Marks {
    /// Returns the next mark, which is on a change that is made now.
    pub fn mark(&mut self) -> String {
        let mark = format!("mark-{}", self.made.len());
        self.made.insert(mark.clone(), SystemTime::now());
        mark
    }

    /// Returns how long each change took until it was painted, shortest first. Waits for the last
    /// ones.
    ///
    /// # Panics
    /// If one of them isn't painted in time.
    pub async fn painted(&self, browser: &Browser) -> Vec<Duration> {
        let all = format!(
            "Object.keys(window.latticeMarks).length >= {}",
            self.made.len()
        );
        browser.until("all changes are painted", &all).await;
        let painted = browser.value("window.latticeMarks").await;
        let took = |(mark, made): (&String, &SystemTime)| {
            let made = made.duration_since(UNIX_EPOCH).unwrap_or_default();
            let painted = painted[mark].as_f64().unwrap_or(f64::INFINITY);
            let took = painted - made.as_secs_f64() * 1e3;
            // The clock of the page has a resolution of 0.1 ms.
            Duration::try_from_secs_f64(took.max(0.0) / 1e3).unwrap_or(Duration::MAX)
        };
        let mut all: Vec<Duration> = self.made.iter().map(took).collect();
        all.sort_unstable();
        all
    }
}

impl Browser {
    /// Watches pages for [`Marks`] that are opened from now on.
    ///
    /// # Panics
    /// If the browser refuses.
    pub async fn watch_marks(&self) {
        let script: Value = json!({ "source": WATCH });
        self.devtools("Page.addScriptToEvaluateOnNewDocument", script)
            .await;
    }
}

/// Returns the time that this share of the changes did not exceed.
pub fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * share).ceil() as usize;
    sorted.get(at).copied().unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::browser;

    /// A stream of two events, painted at once by the second.
    const PAGE: &str = "data:text/html,<script>\
        const source = new EventSource('http://127.0.0.1:1/');\
        const tell = (id, data) => source.dispatchEvent(\
            new MessageEvent('changes', { data, lastEventId: id }));\
        tell('feed.7', 'a mark-0');\
        tell('feed.8', 'mark-1 and mark-0');\
        tell('feed.9', 'mark-2');\
        const detail = { id: 'feed.8' };\
        document.dispatchEvent(new CustomEvent('lattice:painted', { detail }));\
        </script>";

    #[tokio::test]
    async fn a_mark_is_painted_with_the_first_event_that_has_it() {
        let Some(browser) = browser().await else {
            return;
        };
        browser.watch_marks().await;
        let mut marks = Marks::default();
        assert_eq!((&*marks.mark(), &*marks.mark()), ("mark-0", "mark-1"));
        browser.open(PAGE).await;
        let took = marks.painted(&browser).await;
        assert_eq!(took.len(), 2);
        assert!(
            took[0] > Duration::ZERO && took[1] < Duration::from_secs(60),
            "{took:?}"
        );
        let third = browser.value("window.latticeMarks['mark-2']").await;
        assert!(third.is_null(), "{third}");
    }

    #[test]
    fn a_quantile_is_one_of_the_times() {
        let times: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(quantile(&times, 0.95), Duration::from_millis(96));
        assert_eq!(quantile(&times[..1], 0.95), Duration::from_millis(1));
        assert_eq!(quantile(&[], 0.95), Duration::MAX);
    }
}
