//! The clock that interrupts guests.
//!
//! It needs its own thread. A runtime whose threads are all busy in guests would not tick, and then
//! nothing would interrupt those guests.

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Mean time between two ticks, for which a guest may keep a thread to itself. It is short enough
/// not to affect its neighbours, and long enough for the cost of the interruption (about a
/// microsecond) not to matter.
pub(crate) const TICK: Duration = Duration::from_millis(5);

/// The times between ticks, from half to one and a half of [`TICK`], at random. A guest is charged
/// for the ticks at which it runs. One that knew when the next tick is due could wait at that
/// moment, and use all of the time in between for free.
#[derive(Debug, Default)]
pub(crate) struct Intervals {
    random: RandomState,
    number: u64,
}

impl Intervals {
    pub(crate) fn next(&mut self) -> Duration {
        self.number += 1;
        let part = self.random.hash_one(self.number) % TICK.as_nanos() as u64;
        TICK / 2 + Duration::from_nanos(part)
    }
}

/// The number of ticks so far. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ticks(Arc<AtomicU64>);

impl Ticks {
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn advance(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A clock that ticks until it is dropped.
#[derive(Debug)]
pub(super) struct Ticker {
    ticks: Ticks,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts the thread, which calls `on_tick` at each tick.
    pub(super) fn start(on_tick: impl Fn() + Send + 'static) -> io::Result<Self> {
        let ticks = Ticks::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (counter, stopped) = (ticks.clone(), stop.clone());
        let work = move || {
            let mut intervals = Intervals::default();
            let mut due = Instant::now() + intervals.next();
            while !stopped.load(Ordering::Acquire) {
                let now = Instant::now();
                if now < due {
                    thread::park_timeout(due - now);
                    continue;
                }
                counter.0.fetch_add(1, Ordering::Relaxed);
                on_tick();
                // After the machine slept, there is one tick and not a burst.
                due = (due + intervals.next()).max(now);
            }
        };
        let thread = thread::Builder::new()
            .name("lattice-ticker".to_owned())
            .spawn(work)?;
        Ok(Self {
            ticks,
            stop,
            thread: Some(thread),
        })
    }

    pub(super) fn ticks(&self) -> &Ticks {
        &self.ticks
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The thread is awake now, and ends.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn ticks_come_at_random_times_around_their_mean() {
        let mut intervals = Intervals::default();
        let all: Vec<Duration> = (0..2_000).map(|_| intervals.next()).collect();
        let range = TICK / 2..TICK * 3 / 2;
        assert!(all.iter().all(|interval| range.contains(interval)));
        let mean = all.iter().sum::<Duration>() / 2_000;
        assert!(mean.abs_diff(TICK) < TICK / 20, "{mean:?}");
        let early = all.iter().filter(|interval| **interval < TICK * 3 / 4);
        // A quarter of them.
        assert!((300..700).contains(&early.count()));
        let mut others = Intervals::default();
        assert_ne!(
            all[..4],
            [(); 4].map(|()| others.next()),
            "not the same again"
        );
    }

    #[test]
    fn a_ticker_ticks_until_it_is_dropped() {
        let (tick, ticked) = mpsc::channel();
        let ticker = Ticker::start(move || {
            tick.send(()).ok();
        })
        .expect("a thread");
        for _ in 0..3 {
            ticked
                .recv_timeout(Duration::from_secs(10))
                .expect("a tick");
        }
        assert!(ticker.ticks().now() >= 3);
        drop(ticker);
        // The thread has ended, and has dropped the other end of the channel.
        while ticked.try_recv().is_ok() {}
        assert_eq!(ticked.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    }
}
