use super::*;

/// The view of one host, with its own clock and with beats in milliseconds.
struct View {
    members: Members,
    begun: Instant,
    at: u64,
}

impl View {
    /// Creates a settled view of host `me`. [`View::second`] feeds it its own beat every second.
    fn settled() -> Self {
        let mut view = Self::new(1_000);
        for _ in 0..3 {
            view.second(&[]);
        }
        assert!(view.members.is_settled());
        view
    }

    fn new(at_least: u64) -> Self {
        let begun = Instant::now();
        Self {
            members: Members::new(origin("me", 1), Duration::from_millis(at_least), begun),
            begun,
            at: 0,
        }
    }

    fn handle(&mut self, event: Event) -> Vec<String> {
        let changes = self
            .members
            .handle(event, self.begun + Duration::from_millis(self.at));
        changes.iter().map(text).collect()
    }

    fn beat(&mut self, who: &str, epoch: u64) -> Vec<String> {
        self.handle(Event::Beat {
            from: origin(who, epoch),
            interval: Duration::from_secs(1),
            labels: Labels::new(),
        })
    }

    /// Passes a second in which the own beat comes back and these hosts beat.
    fn second(&mut self, beating: &[(&str, u64)]) -> Vec<String> {
        self.at += 1_000;
        let mut changes = self.beat("me", 1);
        for (who, epoch) in beating {
            changes.extend(self.beat(who, *epoch));
        }
        changes
    }

    fn live(&self) -> Vec<String> {
        let mut live: Vec<_> = self
            .members
            .live()
            .map(|(origin, _)| origin.host.to_string())
            .collect();
        live.sort();
        live
    }

    /// Returns after how many seconds `who` counts, with one beat in each.
    fn beats_to_join(&mut self, who: &str, epoch: u64) -> usize {
        let joined = format!("{who} joined");
        let beats = (1..200).find(|_| self.second(&[(who, epoch)]).contains(&joined));
        beats.expect("it joins eventually")
    }

    fn dies(&mut self, who: &str) {
        let died = format!("{who} left: Silence");
        assert!((0..5).any(|_| self.second(&[]).contains(&died)));
    }
}

fn id(host: &str) -> HostId {
    HostId::new(host).expect("valid")
}

fn origin(host: &str, epoch: u64) -> Origin {
    Origin::new(id(host), epoch)
}

fn text(change: &MembershipChange) -> String {
    match change {
        MembershipChange::Joined(who) => format!("{} joined", who.host),
        MembershipChange::Relabelled(who) => format!("{} relabelled", who.host),
        MembershipChange::Left(who, why) => format!("{} left: {why:?}", who.host),
        MembershipChange::Doubled { counts, other } => {
            format!("{} doubled: {} and {other}", counts.host, counts.epoch)
        }
        MembershipChange::Settled => "settled".to_owned(),
    }
}

#[test]
fn a_host_joins_after_two_beats_and_a_burst_counts_as_one() {
    let mut view = View::settled();
    assert_eq!(view.beat("a", 1), [""; 0]);
    view.at += 50;
    assert_eq!(
        view.beat("a", 1),
        [""; 0],
        "a beat with changes doesn't count as another one"
    );
    view.at += 950;
    assert_eq!(view.beat("a", 1), ["a joined"]);
    assert_eq!(view.live(), ["a", "me"]);
}

#[test]
fn a_host_that_is_silent_for_three_intervals_is_dead_and_the_timer_wakes_in_time() {
    let mut view = View::settled();
    view.beats_to_join("a", 1);
    view.second(&[]);
    view.second(&[]);
    view.at += 1_000;
    assert_eq!(view.beat("me", 1), [""; 0], "three intervals are not over");
    let wake = view.members.wake().expect("a host may die");
    assert!(wake <= view.begun + Duration::from_millis(view.at + 1));
    view.at += 1;
    assert_eq!(view.handle(Event::Woken), ["a left: Silence"]);
}

#[test]
fn each_death_doubles_the_required_beats_for_ten_minutes() {
    let mut view = View::settled();
    for beats in [2, 4, 8, 16, 32, 64, 64] {
        assert_eq!(view.beats_to_join("a", 1), beats);
        view.dies("a");
    }
    for _ in 0..600 {
        view.second(&[]);
    }
    assert_eq!(view.beats_to_join("a", 1), 2);
}

#[test]
fn an_immediate_restart_counts_as_a_death_and_a_goodbye_does_not() {
    let mut view = View::settled();
    view.beats_to_join("a", 1);
    view.at += 500;
    assert_eq!(view.beat("a", 2), ["a left: Restart"]);
    assert_eq!(view.beats_to_join("a", 2), 3, "four with the first");
    assert_eq!(
        view.handle(Event::Goodbye(origin("a", 2))),
        ["a left: Goodbye"]
    );
    assert_eq!(view.second(&[("a", 2)]), [""; 0]);
    assert_eq!(view.second(&[("a", 2)]), [""; 0], "that boot never returns");
    view.at += 600_000;
    assert_eq!(view.beats_to_join("a", 3), 2);
}

#[test]
fn no_host_is_declared_dead_while_the_bus_is_disconnected_or_silent() {
    let mut view = View::settled();
    view.beats_to_join("a", 1);
    view.handle(Event::Bus(BusState::Disconnected));
    view.at += 60_000;
    assert_eq!(view.handle(Event::Woken), [""; 0]);
    assert_eq!(view.members.wake(), None);
    assert_eq!(view.handle(Event::Bus(BusState::Connected)), [""; 0]);
    assert_eq!(view.second(&[]), [""; 0]);
    assert_eq!(view.second(&[("a", 1)]), [""; 0]);
    assert_eq!(view.live(), ["a", "me"]);

    // The bus is connected, but nothing is received, not even the host's own beats.
    view.at += 60_000;
    assert_eq!(view.handle(Event::Woken), [""; 0]);
    assert_eq!(
        view.second(&[]),
        [""; 0],
        "the first beat doesn't prove that other hosts are silent"
    );
    view.dies("a");
    assert_eq!(view.live(), ["me"]);
}

#[test]
fn two_hosts_with_one_id_are_reported_and_do_not_flap() {
    let mut view = View::settled();
    view.beats_to_join("a", 5);
    let mut changes = Vec::new();
    for _ in 0..30 {
        changes.extend(view.second(&[("a", 5), ("a", 9)]));
    }
    assert_eq!(
        changes,
        ["a left: Restart", "a doubled: 9 and 5", "a joined"]
    );
    assert_eq!(
        view.members.doubled().collect::<Vec<_>>(),
        [(&origin("a", 9), 5)]
    );
    for _ in 0..5 {
        assert_eq!(view.second(&[("a", 9)]), [""; 0]);
    }
    assert_eq!(view.members.doubled().count(), 0, "one of the two has left");

    let mut older = View::settled();
    assert!(older.members.counts_me());
    older.beats_to_join("me", 2);
    assert!(!older.members.counts_me(), "a newer boot has the same id");
}

#[test]
fn a_restart_with_an_earlier_clock_is_a_death_and_a_return() {
    let mut view = View::settled();
    view.beats_to_join("a", 9);
    let mut changes = Vec::new();
    for _ in 0..12 {
        changes.extend(view.second(&[("a", 5)]));
    }
    assert_eq!(changes, ["a left: Silence", "a joined"]);
}

#[test]
fn a_new_process_accepts_first_beats_and_listens_before_it_decides() {
    let mut view = View::new(1_000);
    assert_eq!(view.beat("a", 1), ["a joined"]);
    assert_eq!(view.beat("me", 1), ["me joined"]);
    assert_eq!(
        view.members.wake(),
        Some(view.begun + Duration::from_secs(2))
    );
    view.at = 1_000;
    assert_eq!(view.beat("b", 1), ["b joined"]);
    view.at = 1_999;
    assert_eq!(view.beat("me", 1), [""; 0]);
    view.at = 2_000;
    assert_eq!(view.handle(Event::Woken), ["settled"]);
    assert_eq!(view.beat("c", 1), [""; 0]);

    let mut alone = View::new(0);
    assert_eq!(
        alone.handle(Event::Woken),
        [""; 0],
        "no beat has been received yet"
    );
    assert_eq!(alone.beat("me", 1), ["me joined", "settled"]);
}

#[test]
fn changed_labels_are_reported() {
    let mut view = View::settled();
    view.beats_to_join("a", 1);
    let labels: Labels = [("zone".to_owned(), "x".to_owned())].into();
    let event = Event::Beat {
        from: origin("a", 1),
        interval: Duration::from_secs(1),
        labels: labels.clone(),
    };
    assert_eq!(view.handle(event.clone()), ["a relabelled"]);
    assert_eq!(view.handle(event), [""; 0]);
    assert!(view.members.live().any(|(_, live)| **live == labels));
}

#[test]
fn the_history_is_bounded() {
    let mut view = View::settled();
    for n in 0..5_000 {
        view.handle(Event::Goodbye(origin(&format!("h{n}"), 1)));
    }
    assert_eq!(view.members.history.len(), 4_096);
}

/// Creates a view that starts while the bus is unavailable, and that recalls these hosts.
fn recalling(hosts: &[&str]) -> View {
    let mut view = View::new(1_000);
    let hosts = hosts.iter().map(|host| (id(host), Labels::new()));
    view.members.recall(hosts.collect());
    assert_eq!(view.handle(Event::Bus(BusState::Disconnected)), [""; 0]);
    view
}

#[test]
fn a_process_without_a_bus_starts_with_the_hosts_it_knew() {
    let mut view = recalling(&["a", "me"]);
    assert_eq!(
        view.members.wake(),
        Some(view.begun + Duration::from_secs(2))
    );
    view.at = 1_999;
    assert_eq!(view.handle(Event::Woken), [""; 0]);
    assert!(!view.members.is_settled());
    view.at = 2_000;
    assert_eq!(view.handle(Event::Woken), ["settled"]);
    assert_eq!(view.live(), ["a", "me"]);
    assert!(view.members.counts_me());
    view.at = 600_000;
    assert_eq!(view.handle(Event::Woken), [""; 0]);
    assert_eq!(
        view.live(),
        ["a", "me"],
        "no host dies while nothing is received"
    );
}

#[test]
fn known_hosts_that_send_beats_remain_members_when_the_bus_connects() {
    let mut view = recalling(&["a", "b", "me"]);
    view.at = 2_000;
    assert_eq!(view.handle(Event::Woken), ["settled"]);
    assert_eq!(view.handle(Event::Bus(BusState::Connected)), [""; 0]);
    assert_eq!(view.second(&[("a", 7)]), ["a joined"]);
    assert_eq!(view.live(), ["a", "b", "me"]);
    for _ in 0..2 {
        assert_eq!(view.second(&[("a", 7)]), [""; 0]);
    }
    assert_eq!(view.second(&[("a", 7), ("c", 1)]), [""; 0]);
    let changes = view.second(&[("a", 7), ("c", 1)]);
    assert_eq!(changes, ["b left: Silence", "c joined"]);
    assert_eq!(view.beats_to_join("b", 1), 2, "it did not count as a death");
    assert!(view.members.counts_me());
}

#[test]
fn known_hosts_without_beats_are_forgotten_when_other_hosts_send_beats() {
    let mut view = recalling(&["a", "me"]);
    view.at = 1_000;
    view.handle(Event::Bus(BusState::Connected));
    assert_eq!(view.second(&[]), ["me joined"]);
    assert_eq!(view.second(&[]), [""; 0]);
    assert_eq!(view.second(&[]), ["settled"]);
    view.handle(Event::Bus(BusState::Disconnected));
    view.at += 60_000;
    assert_eq!(view.handle(Event::Woken), [""; 0]);
    assert_eq!(view.live(), ["me"]);
}

#[test]
fn a_host_that_was_not_a_known_member_decides_nothing() {
    let mut view = recalling(&["a", "b"]);
    assert_eq!(view.members.wake(), None);
    view.at = 60_000;
    assert_eq!(view.handle(Event::Woken), [""; 0]);
    assert!(!view.members.is_settled());
}

#[test]
fn any_time_to_listen_fits_the_clock() {
    let mut view = View {
        members: Members::new(origin("me", 1), Duration::MAX, Instant::now()),
        begun: Instant::now(),
        at: 0,
    };
    for _ in 0..3 {
        view.second(&[]);
    }
    assert!(!view.members.is_settled());
}
