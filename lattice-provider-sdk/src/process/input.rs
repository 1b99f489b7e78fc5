//! The standard input of a process: its order, what follows, and its end.

use super::order::{Notice, Until};
use lattice_core::{id::Fence, serve::LeaseDeadline};
use std::{
    io::{self, BufRead, Read as _},
    thread,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// The longest first line, in bytes. Settings are a few kilobytes.
const MAX_LINE: u64 = 1 << 20;
/// The longest of the other lines, in bytes. They have a few numbers.
const MAX_NOTICE: u64 = 4_096;
/// How long a process may take to stop before it ends itself. Its host, if it is still there, has
/// killed it before.
const STOP: Duration = Duration::from_secs(5);

/// How often a process looks whether its lease is over. Shorter than the second after which another
/// process may hold it.
const LOOK: Duration = Duration::from_millis(200);

/// What a process reads.
pub(super) struct Input {
    /// The first line.
    pub(super) first: oneshot::Receiver<String>,
    /// Ends, without a message, when the process should stop.
    pub(super) end: mpsc::Receiver<()>,
    /// Follows the renewals of the lease, if there is one.
    pub(super) lease: LeaseDeadline,
}

impl Input {
    /// Reads the standard input on a thread of its own, because a runtime can't end a read.
    pub(super) fn follow() -> Self {
        let (sender, first) = oneshot::channel();
        let (ended, end) = mpsc::channel::<()>(1);
        let lease = LeaseDeadline::expired();
        let renewed = lease.clone();
        thread::spawn(move || {
            let mut input = io::stdin().lock();
            let line = read_line(&mut input, MAX_LINE);
            if let Some(line) = line {
                // The receiver is gone if the line came too late.
                let _ = sender.send(line);
                read_notices(&mut input, &renewed);
            }
            drop((ended, input));
            // The lease is renewed while the process stops.
            thread::spawn(move || read_notices(&mut io::stdin().lock(), &renewed));
            // A runtime whose threads are all blocked doesn't end the process.
            thread::sleep(STOP);
            end_at_once();
        });
        Self { first, end, lease }
    }

    /// Returns the lease of the order. When it ends, so does the process, whatever it does then:
    /// another one may hold the lease a second later.
    pub(super) fn hold(&self, (fence, until): (Fence, Until)) -> (Fence, LeaseDeadline) {
        let lease = self.lease.clone();
        // A renewal may have been read already, which is later than the order.
        if !lease.holds() {
            lease.hold_for(until.left());
        }
        let watched = lease.clone();
        thread::spawn(move || {
            wait_until_over(&watched);
            end_at_once();
        });
        (fence, lease)
    }
}

/// Waits until a lease is over, also by the clock that keeps running while the machine sleeps, and
/// also if it ends before its time.
fn wait_until_over(lease: &LeaseDeadline) {
    loop {
        let left = lease.left().asleep_too;
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(LOOK));
    }
}

/// Reads until the process is asked to stop. Lines of a later version are left out.
fn read_notices(input: &mut impl BufRead, lease: &LeaseDeadline) {
    while let Some(line) = read_line(input, MAX_NOTICE) {
        match Notice::read(&line) {
            Some(Notice::Lease(until)) => lease.hold_for(until.left()),
            Some(Notice::Stop) => return,
            None => {}
        }
    }
}

/// Reads a line of at most this many bytes. Returns `None` at the end, and an error is the end too.
fn read_line(input: &mut impl BufRead, most: u64) -> Option<String> {
    let mut line = String::new();
    let count = input.by_ref().take(most).read_line(&mut line).ok()?;
    (count > 0).then_some(line)
}

/// Ends this process and those that it has started, without a chance to do anything more.
fn end_at_once() -> ! {
    #[cfg(unix)]
    super::signal_group(rustix::process::Signal::KILL);
    std::process::exit(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use lattice_core::serve::LeaseLeft;
    use std::sync::mpsc;

    #[test]
    fn the_end_of_a_lease_before_its_time_is_noticed() {
        let lease = LeaseDeadline::expired();
        wait_until_over(&lease);
        let hold = |time| {
            lease.hold_for(LeaseLeft {
                asleep_too: time,
                wall: time,
            });
        };
        hold(Duration::from_secs(60));
        let (watched, (sender, over)) = (lease.clone(), mpsc::channel());
        let waits = thread::spawn(move || {
            wait_until_over(&watched);
            let _ = sender.send(());
        });
        assert!(over.try_recv().is_err(), "it is held");
        hold(Duration::ZERO);
        let noticed = over.recv_timeout(Duration::from_secs(30));
        noticed.expect("it is noticed long before its time");
        waits.join().expect("no panic");
    }

    #[test]
    fn a_lease_follows_its_notices_until_the_request_to_stop() {
        let (here, there) = (LeaseDeadline::expired(), LeaseDeadline::expired());
        let minute = Duration::from_secs(60);
        here.hold_for(LeaseLeft {
            asleep_too: minute,
            wall: minute,
        });
        let renewal = Notice::lease(&here).line();
        let text = format!(
            "\"of a later version\"\n{renewal}{}rest",
            Notice::Stop.line()
        );
        let mut input = text.as_bytes();
        read_notices(&mut input, &there);
        assert!(there.holds());
        assert_eq!(input, b"rest", "it stops reading there");
        let over = Notice::lease(&LeaseDeadline::expired()).line();
        read_notices(&mut over.as_bytes(), &there);
        assert!(!there.holds());
    }
}
