//! One node: it says that it lives, watches whether the others do, and takes the records when whoever had them is gone.
//!
//! Each run of a node is a *generation*. It raises its beat in the database as long as it lives; raising it and ending the
//! generation lock the same row, so one of the two fails, and what is over stays over. The records belong to the generation that
//! the claim names, and are claimed only from one that is over.
//!
//! Who has the records answers from memory, and so must know that nobody else has them by now. It counts its *lease* from before
//! it sent the last renewal that succeeded; another ends it only after it has itself seen the beat stand still for longer. Both
//! count by their own clocks: no two clocks are compared, only how fast they run. Beyond its lease it goes on by the promises of the
//! others (`promises.rs`).
//!
//! All times are of the node's own clock, from any beginning; it must go on while the machine sleeps.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::generation::{Generation, stands_still};
use crate::promises::{AHEAD, Answer, Got, LONGEST, Made, OFTEN, UNREACHED, at_most};

/// For how long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// How often a node says that it lives.
    pub beat: Duration,
    /// For how long a node may answer after a renewal.
    pub lease: Duration,
    /// How often the database is looked at while somebody seems to be gone.
    pub look: Duration,
    /// Looks further apart than this say nothing of what was between them.
    pub gap: Duration,
    /// How long a node keeps what it has after its lease has run out.
    pub keep: Duration,
}

impl Times {
    /// Those of a node with that lease.
    pub fn of(lease: Duration) -> Self {
        Self {
            beat: Duration::from_secs(2),
            lease,
            look: Duration::from_millis(500),
            gap: Duration::from_secs(3),
            keep: Duration::from_secs(4),
        }
    }
}

/// A generation that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which.
    pub generation: Generation,
    /// Its beat.
    pub beat: i64,
    /// For how long it answers after a renewal by itself.
    pub lease: Duration,
    /// For how long it does at most, by the promises of those whom it names.
    pub at_most: Duration,
    /// Who these are; nothing where it is of a release that makes none.
    pub names: Option<Vec<Generation>>,
}

impl Seen {
    /// For how long its beat has to stand still before that one may end it: those whom it names know what they have promised.
    fn stands_still(&self, before: Generation) -> Duration {
        let is_named = self.names.as_ref().is_some_and(|named| named.contains(&before));
        stands_still(if is_named { self.lease } else { self.at_most })
    }
}

/// What the database said in one answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Those that are not over.
    pub living: Vec<Seen>,
    /// Whom the claim names.
    pub owner: Generation,
    /// How often it was claimed.
    pub epoch: i64,
}

impl View {
    /// Whether that one may take over as soon as who has the records has stood still for its lease: it is named there, or nobody is.
    pub fn names(&self, one: Generation) -> bool {
        let owner = self.living.iter().find(|seen| seen.generation == self.owner);
        let names = owner.and_then(|owner| owner.names.as_ref()).filter(|names| !names.is_empty());
        names.is_none_or(|names| names.contains(&one) || self.owner == one)
    }

    fn owner_lives(&self) -> bool {
        self.living.iter().any(|seen| seen.generation == self.owner)
    }
}

/// What a node is told.
#[derive(Debug, Clone)]
pub enum Input {
    /// Time has passed.
    Time,
    /// It was renewed: its beat, and what the database said right after.
    Renewed {
        /// Its beat from now on.
        beat: i64,
        /// What there is.
        view: View,
    },
    /// What the database said.
    Looked(View),
    /// The generation is over.
    Over,
    /// Another generation was ended, or was not since it lives or was over.
    Ended,
    /// The claim is this node's, or was not to be had.
    Claimed(Option<i64>),
    /// The last question has no answer; what it asked for may have been done, or be done yet.
    Silent,
    /// The records are open: it can answer.
    Opened,
    /// They could not be opened now.
    NotOpened,
    /// Who has the records seems to be gone.
    Suspect,
    /// Another node has come, which is to be named.
    Met,
    /// Another has promised, asked then.
    Promised {
        /// Which.
        by: Generation,
        /// As [`Effect::AskFor`] said it.
        asked: Duration,
    },
    /// It is to have nothing any more.
    Drain,
}

/// A question for the database. There is one on its way at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Raise the beat, and say whom this node names; that only where no later one has been done.
    Renew {
        /// Which renewal of this node's.
        number: i64,
        /// Whom.
        names: Vec<Generation>,
        /// For how long it answers after it, at most.
        at_most: Duration,
    },
    /// What is there?
    Look,
    /// End that generation, if its beat is still this.
    End {
        /// Which.
        generation: Generation,
        /// As it was seen.
        beat: i64,
    },
    /// Claim the records, if their owner is over.
    Claim,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask the database.
    Ask(Ask),
    /// Ask another node for its promise.
    AskFor {
        /// Which.
        of: Generation,
        /// Since when what it promises counts.
        asked: Duration,
    },
    /// Read the records, and begin to serve.
    Open {
        /// How often they were claimed.
        epoch: i64,
    },
    /// Let go of the records in order, then end.
    HandOver,
    /// Forget everything, and begin as another generation.
    BeginAnew(Why),
}

/// Why a node begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Others found it gone.
    Over,
    /// The records are another's.
    Deposed,
    /// The database was away for too long.
    Parted,
    /// The database has lost what it had acknowledged.
    Rewound,
}

/// What is known of another's beat.
#[derive(Debug, Clone, Copy)]
struct Watched {
    beat: i64,
    /// When it was first seen to be that.
    since: Duration,
    /// When it was last seen.
    last: Duration,
}

/// What this node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing.
    Edge,
    /// The claim; the records are being read.
    Opening,
    /// The records.
    Owner,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    me: Generation,
    times: Times,
    stage: Stage,
    beat: i64,
    /// When the last renewal that succeeded was asked for.
    renewed: Duration,
    /// When the last question was asked that the database has answered; nothing before the first.
    reached: Option<Duration>,
    /// What was asked, and when.
    asked: Option<(Ask, Duration)>,
    /// How many renewals were asked for.
    renewals: i64,
    /// Whom its row names, as far as it knows.
    names: Vec<Generation>,
    got: Got,
    made: Made,
    /// When promises are asked for next, where they are needed.
    ask_for_at: Duration,
    renew_at: Duration,
    /// `None` while nobody seems to be gone.
    look_at: Option<Duration>,
    open_at: Option<Duration>,
    watched: HashMap<Generation, Watched>,
    view: View,
    /// Whether it is known to be otherwise by now.
    is_stale: bool,
    is_draining: bool,
    is_done: bool,
    effects: VecDeque<Effect>,
}

impl Node {
    /// A generation that has just begun, with a row that nobody has seen.
    pub fn new(me: Generation, times: Times, is_draining: bool, now: Duration) -> Self {
        Self {
            me,
            times,
            stage: Stage::Edge,
            beat: 0,
            renewed: now,
            reached: None,
            asked: None,
            renewals: 0,
            names: Vec::new(),
            got: Got::default(),
            made: Made::default(),
            ask_for_at: now,
            renew_at: now,
            look_at: None,
            open_at: None,
            watched: HashMap::new(),
            view: View::default(),
            is_stale: false,
            is_draining,
            is_done: false,
            effects: VecDeque::new(),
        }
    }

    /// Until when it may answer from what it has, if it has anything: nobody else does until then.
    pub fn speaks_until(&self) -> Option<Duration> {
        (self.stage == Stage::Owner && !self.is_done).then(|| self.is_sure_until())
    }

    /// Until when nobody ends it.
    fn is_sure_until(&self) -> Duration {
        let by_itself = self.renewed + self.times.lease;
        let promised = self.got.until().map(|until| until.min(self.renewed + LONGEST));
        promised.map_or(by_itself, |until| until.max(by_itself))
    }

    /// Whether it answers beyond its lease, by the promises of others.
    pub fn goes_by_promises(&self, now: Duration) -> bool {
        now >= self.renewed + self.times.lease && self.speaks_until().is_some_and(|until| now < until)
    }

    /// Whether it has promised that one something that holds yet, and has not reached the database since.
    pub fn has_promised(&self, one: Generation, now: Duration) -> bool {
        self.made.holds(one, now).is_some_and(|at| self.reached.is_none_or(|reached| reached < at))
    }

    /// Another asks for a promise.
    pub fn promise(&mut self, to: Generation, now: Duration) -> Answer {
        let is_reached = self.reached.is_some_and(|at| now < at + UNREACHED);
        let lives = self.view.living.iter().any(|seen| seen.generation == to);
        if self.is_done || !lives || self.made.may_end(to) {
            return Answer::Refused;
        }
        if is_reached {
            return Answer::HasDatabase;
        }
        self.made.promise(to, now);
        Answer::Promised
    }

    /// When the question was asked that has no answer yet.
    pub fn asked_at(&self) -> Option<Duration> {
        self.asked.as_ref().map(|(_, at)| *at)
    }

    /// Whether it is to have nothing any more.
    pub fn is_draining(&self) -> bool {
        self.is_draining
    }

    fn is_named(&self) -> bool {
        self.stage != Stage::Edge || self.view.names(self.me)
    }

    /// Takes what has happened.
    pub fn handle(&mut self, input: Input, now: Duration) {
        if self.is_done {
            return;
        }
        match input {
            Input::Time => {}
            Input::Renewed { beat, view } => {
                let asked = self.answered();
                if beat <= self.beat {
                    return self.begin_anew(Why::Rewound);
                }
                self.beat = beat;
                if let Some((Ask::Renew { names, .. }, at)) = asked {
                    self.renewed = at;
                    self.renew_at = at + self.times.beat;
                    self.got.is_named(&names);
                    self.names = names;
                }
                self.see(view, now);
                // It may need their promises at any time.
                if self.to_name() != self.names {
                    self.renew_at = now;
                }
            }
            Input::Looked(view) => {
                self.answered();
                self.see(view, now);
            }
            Input::Over => return self.begin_anew(Why::Over),
            Input::Ended => {
                self.answered();
                self.look_at = Some(now);
            }
            Input::Claimed(epoch) => {
                self.answered();
                match epoch {
                    Some(epoch) => {
                        self.begin_to_open(epoch);
                        self.renew_at = now;
                    }
                    None => {
                        self.is_stale = true;
                        self.look_at = Some(now);
                    }
                }
            }
            Input::Silent => {
                self.asked = None;
                self.renew_at = self.renew_at.max(now + self.times.look);
                self.look_at = self.look_at.map(|at| at.max(now + self.times.look));
            }
            Input::Opened => {
                if self.stage == Stage::Opening {
                    self.stage = Stage::Owner;
                }
            }
            Input::NotOpened => {
                if self.stage == Stage::Opening {
                    self.open_at = Some(now + self.times.look);
                }
            }
            Input::Suspect => {
                if self.stage == Stage::Edge {
                    let at = self.look_at.unwrap_or(now);
                    self.look_at = Some(at.min(now));
                }
            }
            Input::Met => {
                if self.stage != Stage::Edge {
                    // Many that come at once are seen together.
                    self.renew_at = self.renew_at.min(now.max(self.renewed + self.times.look));
                }
            }
            Input::Promised { by, asked } => self.got.put(by, asked),
            Input::Drain => {
                if self.stage != Stage::Edge && !self.is_draining {
                    self.effects.push_back(Effect::HandOver);
                }
                self.is_draining = true;
            }
        }
        self.go_on(now);
    }

    /// The next of what is to be done.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When it is to be told that time has passed.
    pub fn deadline(&self) -> Option<Duration> {
        if self.is_done {
            return None;
        }
        let has_something = self.stage != Stage::Edge;
        let ends = has_something.then(|| self.is_sure_until() + self.times.keep);
        let asks =
            self.asked.is_none().then(|| self.look_at.map_or(self.renew_at, |at| at.min(self.renew_at)));
        [ends, asks, self.open_at, self.asks_for()].into_iter().flatten().min()
    }

    /// When others are to be asked for their promises.
    fn asks_for(&self) -> Option<Duration> {
        let begins = (self.renewed + self.times.lease).saturating_sub(AHEAD);
        let at = self.ask_for_at.max(begins);
        let is_needed = self.stage == Stage::Owner && self.got.needed().next().is_some();
        (is_needed && at < self.renewed + LONGEST).then_some(at)
    }

    /// The question that was answered.
    fn answered(&mut self) -> Option<(Ask, Duration)> {
        let asked = self.asked.take();
        self.reached = asked.as_ref().map(|(_, at)| *at).or(self.reached);
        asked
    }

    /// Whom it is to name: nobody while it has nothing to answer from, or there is one that makes no promises.
    fn to_name(&self) -> Vec<Generation> {
        let others = || self.view.living.iter().filter(|seen| seen.generation != self.me);
        let is_of_use = self.stage != Stage::Edge && others().all(|seen| seen.names.is_some());
        if is_of_use { others().map(|seen| seen.generation).collect() } else { Vec::new() }
    }

    fn begin_anew(&mut self, why: Why) {
        self.is_done = true;
        self.stage = Stage::Edge;
        self.effects.clear();
        self.effects.push_back(Effect::BeginAnew(why));
    }

    fn begin_to_open(&mut self, epoch: i64) {
        if self.stage == Stage::Edge {
            self.stage = Stage::Opening;
            self.look_at = None;
            self.effects.push_back(Effect::Open { epoch });
        }
        self.view.owner = self.me;
        self.view.epoch = epoch;
    }

    fn see(&mut self, view: View, now: Duration) {
        let others = view.living.iter().filter(|seen| seen.generation != self.me);
        let gap = self.times.gap;
        let watched = others.map(|seen| {
            let before = self.watched.get(&seen.generation).filter(|before| before.beat == seen.beat);
            let fresh = Watched { beat: seen.beat, since: now, last: now };
            let watched = match before {
                // Time in which the database did not answer does not count.
                Some(before) if now.saturating_sub(before.last) <= gap => Watched { last: now, ..*before },
                _ => fresh,
            };
            (seen.generation, watched)
        });
        self.watched = watched.collect();
        self.made.see(&view.living.iter().map(|seen| (seen.generation, seen.beat)).collect());
        let is_mine = view.owner == self.me;
        let epoch = view.epoch;
        self.view = view;
        self.is_stale = false;
        match (self.stage, is_mine) {
            // The answer to the claim was lost.
            (Stage::Edge, true) if !self.is_draining => self.begin_to_open(epoch),
            (Stage::Edge, true) => {
                self.stage = Stage::Opening;
                self.effects.push_back(Effect::HandOver);
            }
            (Stage::Opening | Stage::Owner, false) => self.begin_anew(Why::Deposed),
            _ => {}
        }
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = None;
        }
    }

    /// Who has stood still for so long that it may be ended.
    fn gone(&self, now: Duration) -> Option<Ask> {
        self.view.living.iter().find_map(|seen| {
            let watched = self.watched.get(&seen.generation)?;
            let still = watched.last.saturating_sub(watched.since);
            let is_gone = still >= seen.stands_still(self.me) && self.made.lets(seen.generation, now);
            is_gone.then_some(Ask::End { generation: seen.generation, beat: watched.beat })
        })
    }

    /// Whether somebody's beat has stood still for longer than it does by itself, or there is nobody who has the records.
    fn looks_closely(&self) -> bool {
        let usual = self.times.beat + self.times.beat / 2;
        let is_still = |watched: &Watched| watched.last.saturating_sub(watched.since) >= usual;
        // Where it is not named yet, it could not take over for long.
        let is_unnamed = !self.is_named();
        self.stage == Stage::Edge && (is_unnamed || !self.view.owner_lives())
            || self.watched.values().any(is_still)
    }

    /// Does what is due.
    fn go_on(&mut self, now: Duration) {
        if self.is_done {
            return;
        }
        let has_something = self.stage != Stage::Edge;
        if has_something && now >= self.is_sure_until() + self.times.keep {
            return self.begin_anew(Why::Parted);
        }
        if self.open_at.is_some_and(|at| at <= now) {
            self.open_at = None;
            self.effects.push_back(Effect::Open { epoch: self.view.epoch });
        }
        if self.asks_for().is_some_and(|at| at <= now) {
            self.ask_for_at = now + OFTEN;
            self.effects.extend(self.got.needed().map(|of| Effect::AskFor { of, asked: now }));
        }
        if self.look_at.is_none() && self.looks_closely() {
            self.look_at = Some(now + self.times.look);
        }
        if self.asked.is_some() {
            return;
        }
        let is_fresh = now < self.renewed + self.times.lease;
        // What was seen a while ago may be otherwise by now, and its own row over.
        let may_claim = self.stage == Stage::Edge
            && !self.is_draining
            && is_fresh
            && self.beat > 0
            && !self.is_stale
            && !self.view.owner_lives();
        let is_due = |at: Duration| at <= now;
        let ask = if is_due(self.renew_at) {
            let names = self.to_name();
            self.got.name(&names);
            self.renewals += 1;
            Ask::Renew { number: self.renewals, at_most: at_most(self.times.lease, &names), names }
        } else if let Some(end) = self.gone(now) {
            // Once; if it is still there it is looked at anew.
            if let Ask::End { generation, beat } = end {
                self.watched.remove(&generation);
                self.made.end(generation, beat);
            }
            end
        } else if may_claim && self.look_at.is_none_or(is_due) {
            Ask::Claim
        } else if self.look_at.is_some_and(is_due) {
            Ask::Look
        } else {
            return;
        };
        self.asked = Some((ask.clone(), now));
        self.effects.push_back(Effect::Ask(ask));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(6);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn is_renewal(effect: Option<Effect>) -> bool {
        matches!(effect, Some(Effect::Ask(Ask::Renew { .. })))
    }

    fn view(owner: Generation, beats: &[(Generation, i64)]) -> View {
        let seen = |&(generation, beat): &(Generation, i64)| Seen {
            generation,
            beat,
            lease: LEASE,
            at_most: LEASE,
            names: Some(Vec::new()),
        };
        View { living: beats.iter().map(seen).collect(), owner, epoch: 1 }
    }

    /// One that was renewed at 0 and is told so then.
    fn renewed(view: View) -> Node {
        let mut node = Node::new(1, Times::of(LEASE), false, at(0));
        node.handle(Input::Time, at(0));
        assert!(is_renewal(node.poll()));
        node.handle(Input::Renewed { beat: 1, view }, at(0));
        node
    }

    #[test]
    fn what_nobody_has_is_claimed_opened_and_spoken_for_until_the_lease_is_over() {
        let mut node = renewed(view(0, &[(1, 1)]));
        node.handle(Input::Time, at(1));
        assert_eq!(node.poll(), Some(Effect::Ask(Ask::Claim)));

        node.handle(Input::Claimed(Some(2)), at(1));

        assert_eq!(node.poll(), Some(Effect::Open { epoch: 2 }));
        assert_eq!(node.speaks_until(), None, "not before they are read");
        node.handle(Input::Opened, at(2));
        assert_eq!(node.speaks_until(), Some(LEASE), "from before the renewal was asked for");
    }

    #[test]
    fn who_has_the_records_and_no_database_lets_go_of_them() {
        let mut node = renewed(view(0, &[(1, 1)]));
        node.handle(Input::Time, at(1));
        node.handle(Input::Claimed(Some(2)), at(1));
        node.handle(Input::Opened, at(1));
        while node.poll().is_some() {}

        node.handle(Input::Time, at(16));

        assert_eq!(node.poll(), Some(Effect::BeginAnew(Why::Parted)));
        assert_eq!((node.deadline(), node.speaks_until()), (None, None));
    }

    #[test]
    fn a_node_is_ended_by_who_saw_it_stand_still_the_whole_time() {
        let mut node = renewed(view(2, &[(1, 1), (2, 7)]));
        let mut beat = 1;
        for second in 1..=6 {
            node.handle(Input::Time, at(second));
            match node.poll() {
                Some(Effect::Ask(Ask::Renew { .. })) => {
                    beat += 1;
                    node.handle(Input::Renewed { beat, view: view(2, &[(1, beat), (2, 7)]) }, at(second));
                }
                Some(Effect::Ask(Ask::Look)) => {
                    node.handle(Input::Looked(view(2, &[(1, beat), (2, 7)])), at(second));
                }
                None => {}
                other => panic!("{other:?} after {second} s"),
            }
        }
        node.handle(Input::Time, at(8));
        assert!(is_renewal(node.poll()));
        node.handle(Input::Renewed { beat: 9, view: view(2, &[(1, 9), (2, 7)]) }, at(8));
        assert_eq!(node.poll(), Some(Effect::Ask(Ask::End { generation: 2, beat: 7 })));
    }

    #[test]
    fn a_time_without_answers_is_none_in_which_another_stood_still() {
        let mut node = renewed(view(2, &[(1, 1), (2, 7)]));
        node.handle(Input::Time, at(20));
        node.handle(Input::Renewed { beat: 2, view: view(2, &[(1, 2), (2, 7)]) }, at(20));

        node.handle(Input::Time, at(21));

        while let Some(effect) = node.poll() {
            assert!(!matches!(effect, Effect::Ask(Ask::End { .. })), "{effect:?}");
        }
    }

    /// One that has the records at 0, and whose row names 2.
    fn owner() -> Node {
        let all = [(1, 1), (2, 7)];
        let mut node = renewed(view(0, &all));
        node.handle(Input::Claimed(Some(2)), at(0));
        node.handle(Input::Opened, at(0));
        for beat in 2..4 {
            node.handle(Input::Renewed { beat, view: view(1, &all) }, at(0));
        }
        while node.poll().is_some() {}
        node
    }

    #[test]
    fn beyond_its_lease_it_answers_for_as_long_as_all_whom_it_named_have_promised() {
        let mut node = owner();
        node.handle(Input::Time, at(3));
        let asks: Vec<_> = std::iter::from_fn(|| node.poll()).collect();
        assert!(asks.contains(&Effect::AskFor { of: 2, asked: at(3) }), "{asks:?}");

        node.handle(Input::Promised { by: 2, asked: at(3) }, at(5));

        assert_eq!(node.speaks_until(), Some(at(9)), "from before it was asked for");
        assert!(!node.goes_by_promises(at(5)) && node.goes_by_promises(at(8)));
        node.handle(Input::Promised { by: 3, asked: at(8) }, at(8));
        assert_eq!(node.speaks_until(), Some(at(9)), "one that was not named");
        node.handle(Input::Promised { by: 2, asked: at(109) }, at(109));
        assert_eq!(node.speaks_until(), Some(LONGEST));
    }

    #[test]
    fn a_promise_is_made_by_who_has_no_database_and_nothing_on_its_way() {
        let mut node = renewed(view(2, &[(1, 1), (2, 7)]));

        assert_eq!(node.promise(2, at(2)), Answer::HasDatabase);
        assert_eq!(node.promise(2, at(3)), Answer::Promised);
        assert_eq!(node.promise(4, at(3)), Answer::Refused, "it may be over");
        assert!(node.has_promised(2, at(8)) && !node.has_promised(2, at(9)));
        node.made.end(2, 7);
        assert_eq!(node.promise(2, at(4)), Answer::Refused, "it may be ended yet");
    }

    #[test]
    fn one_that_answers_by_promises_is_ended_by_who_made_them_and_by_others_much_later() {
        let still = |named: Vec<Generation>| {
            let seen = Seen { generation: 2, beat: 7, lease: LEASE, at_most: LONGEST, names: Some(named) };
            seen.stands_still(1)
        };

        assert_eq!(still(vec![1, 3]), at(7));
        assert!(still(vec![3]) >= LONGEST + LONGEST / 8);
        let mut made = Made::default();
        made.promise(2, at(10));
        assert!(!made.lets(2, at(22)) && made.lets(2, at(23)), "some time after the last was over");
    }

    #[test]
    fn one_that_drains_claims_nothing_and_lets_go_of_what_it_has() {
        let mut edge = renewed(view(2, &[(1, 1), (2, 1)]));
        edge.handle(Input::Drain, at(0));
        edge.handle(Input::Looked(view(2, &[(1, 1)])), at(1));
        edge.handle(Input::Time, at(1));
        while let Some(effect) = edge.poll() {
            assert_ne!(effect, Effect::Ask(Ask::Claim));
        }

        let mut owner = renewed(view(0, &[(1, 1)]));
        owner.handle(Input::Claimed(Some(2)), at(0));
        while owner.poll().is_some() {}
        owner.handle(Input::Drain, at(0));

        assert_eq!(owner.poll(), Some(Effect::HandOver));
        assert!(owner.deadline().is_some(), "it goes on saying that it lives meanwhile");
    }
}
