//! What of an app's waiting events is in memory, and what is on the disk alone.
//!
//! All are on the disk. As many as `most_bytes` allow are in memory too, in the order of their turns, one queue a
//! subject; the others are read when there is room again. A subject whose events are refused holds no more than its
//! share of that room, so that the app's others go on: what it has beyond that is *skipped*, and read for it alone once
//! its queue is empty. No I/O: what is to be read comes out, and pages come in.
//!
//! Of every event exactly one is true: it is in a queue, it has been taken out of one, its turn is after `scanned`, or
//! its subject is behind and its turn is after that subject's `loaded`.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use store::{EventPage, OutboxEvent, WaitingEvent};

/// What an event takes in memory beside its texts.
const EVENT_BYTES: usize = 256;

/// What a subject takes: its queue, and the task that sends (some 1,200 bytes).
const SUBJECT_BYTES: usize = 2048;

/// How many subjects may hold their whole share at once.
const SHARES: usize = 64;

/// How much is read at once, so that other apps' reading comes in between.
const PAGE_BYTES: usize = 1 << 20;

/// A subject's queue.
#[derive(Default)]
struct Subject {
    queue: VecDeque<WaitingEvent>,
    bytes: usize,
    /// The turn of the newest that was in the queue.
    loaded: u64,
    /// The turn of the newest that was skipped.
    skipped: u64,
}

impl Subject {
    fn is_behind(&self) -> bool {
        self.skipped > self.loaded
    }

    /// How much room it takes. One that is behind keeps its share free for what it will read.
    fn charge(&self, share: usize) -> usize {
        SUBJECT_BYTES + if self.is_behind() { self.bytes.max(share) } else { self.bytes }
    }

    fn push(&mut self, event: WaitingEvent) {
        self.bytes += size(&event);
        self.loaded = event.turn;
        self.queue.push_back(event);
    }
}

fn size(event: &WaitingEvent) -> usize {
    EVENT_BYTES + event.event.bytes()
}

/// What is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) after: u64,
    pub(super) most_bytes: usize,
    /// Everything up to this turn will be there when it is read.
    until: u64,
}

/// What a subject does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    Send(Arc<OutboxEvent>),
    /// Its own events.
    Read(Read),
    /// Nothing: it is forgotten.
    Rest,
}

pub(super) struct Backlog {
    most_bytes: usize,
    /// What a subject may hold.
    share: usize,
    bytes: usize,
    subjects: HashMap<Arc<str>, Subject, foldhash::fast::RandomState>,
    /// Events up to this turn were looked at.
    scanned: u64,
    /// The newest turn there is.
    newest: u64,
    is_scanning: bool,
}

enum Taken {
    /// In a queue that somebody serves, or skipped.
    Joined,
    /// In the queue of a subject that nobody serves yet.
    First(Arc<str>),
    /// There is no room.
    Full,
}

impl Backlog {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self {
            most_bytes,
            share: most_bytes / SHARES,
            bytes: 0,
            subjects: HashMap::default(),
            scanned: 0,
            newest: 0,
            is_scanning: false,
        }
    }

    /// There are events on the disk, up to this turn.
    pub(super) fn note_on_disk(&mut self, turn: u64) {
        self.newest = self.newest.max(turn);
    }

    /// An event was committed. Returns its subject when nobody serves it yet.
    pub(super) fn accept(&mut self, event: WaitingEvent) -> Option<Arc<str>> {
        let turn = event.turn;
        if turn <= self.newest {
            // It was told of before.
            return None;
        }
        let is_behind = self.scanned < self.newest;
        self.newest = turn;
        if is_behind {
            return None;
        }
        let taken = self.take(event);
        if !matches!(taken, Taken::Full) {
            self.scanned = turn;
        }
        match taken {
            Taken::First(subject) => Some(subject),
            Taken::Joined | Taken::Full => None,
        }
    }

    /// What is to be read for all subjects, when there is room and something to read.
    pub(super) fn scan(&mut self) -> Option<Read> {
        if self.is_scanning || self.scanned >= self.newest || self.bytes > self.most_bytes / 2 {
            return None;
        }
        self.is_scanning = true;
        let most_bytes = (self.most_bytes - self.bytes).min(PAGE_BYTES);
        Some(Read { after: self.scanned, most_bytes, until: self.newest })
    }

    /// It was read, or could not be. Returns the subjects that nobody serves yet, and what is to be read next.
    pub(super) fn scanned(&mut self, read: &Read, page: EventPage) -> (Vec<Arc<str>>, Option<Read>) {
        self.is_scanning = false;
        let mut first = Vec::new();
        let is_last = page.is_last;
        for event in page.events {
            let turn = event.turn;
            match self.take(event) {
                // Room comes with the next event that is sent.
                Taken::Full => return (first, None),
                Taken::First(subject) => first.push(subject),
                Taken::Joined => {}
            }
            self.scanned = turn;
        }
        if is_last {
            self.scanned = self.scanned.max(read.until);
        }
        let next = if self.scanned > read.after { self.scan() } else { None };
        (first, next)
    }

    fn take(&mut self, event: WaitingEvent) -> Taken {
        let more = size(&event);
        let is_full = |more: usize| self.bytes + more > self.most_bytes;
        let Some(subject) = self.subjects.get_mut(event.event.subject.as_str()) else {
            // One event fits, however long it is.
            if is_full(more + SUBJECT_BYTES) && !self.subjects.is_empty() {
                return Taken::Full;
            }
            let name: Arc<str> = event.event.subject.as_str().into();
            let mut subject = Subject::default();
            subject.push(event);
            self.bytes += subject.charge(self.share);
            self.subjects.insert(name.clone(), subject);
            return Taken::First(name);
        };
        let before = subject.charge(self.share);
        if subject.is_behind() || subject.bytes + more > self.share {
            subject.skipped = event.turn;
        } else if is_full(more) {
            return Taken::Full;
        } else {
            subject.push(event);
        }
        self.bytes = self.bytes - before + subject.charge(self.share);
        Taken::Joined
    }

    /// What a subject does next.
    pub(super) fn next(&mut self, name: &str) -> Next {
        let Some(subject) = self.subjects.get(name) else { return Next::Rest };
        if let Some(first) = subject.queue.front() {
            return Next::Send(first.event.clone());
        }
        if subject.is_behind() {
            let (after, until) = (subject.loaded, subject.skipped);
            return Next::Read(Read { after, most_bytes: self.share, until });
        }
        self.bytes -= subject.charge(self.share);
        self.subjects.remove(name);
        Next::Rest
    }

    /// A subject's events were read.
    pub(super) fn read(&mut self, name: &str, read: &Read, page: EventPage) {
        let Some(subject) = self.subjects.get_mut(name) else { return };
        let before = subject.charge(self.share);
        let is_last = page.is_last || page.events.last().is_some_and(|event| event.turn >= read.until);
        // What comes after that was not skipped: the scan will find it.
        for event in page.events.into_iter().filter(|event| event.turn <= read.until) {
            subject.push(event);
        }
        if is_last {
            subject.loaded = subject.loaded.max(read.until);
        }
        self.bytes = self.bytes - before + subject.charge(self.share);
    }

    /// The first event of a subject is done with.
    pub(super) fn done(&mut self, name: &str) {
        let Some(subject) = self.subjects.get_mut(name) else { return };
        let before = subject.charge(self.share);
        if let Some(event) = subject.queue.pop_front() {
            subject.bytes -= size(&event);
        }
        self.bytes = self.bytes - before + subject.charge(self.share);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;
    use rooms::{SdkAppId, Time};
    use store::Lane;

    use super::*;

    fn event(turn: u64, subject: &str, bytes: usize) -> WaitingEvent {
        let event = OutboxEvent {
            // Ids are not in the order of turns.
            id: turn ^ 1,
            sdkappid: SdkAppId(1),
            lane: Lane::WEBHOOKS,
            subject: subject.into(),
            command: String::new(),
            body: "x".repeat(bytes),
            at: Time::from_unix_seconds(1),
        };
        WaitingEvent { turn, event: Arc::new(event) }
    }

    /// The disk: what was committed and not deleted.
    #[derive(Default)]
    struct Disk(BTreeMap<u64, WaitingEvent>);

    impl Disk {
        fn page(&self, subject: Option<&str>, read: &Read) -> EventPage {
            let after = self.0.range(read.after + 1..).map(|(_, event)| event);
            let mut wanted =
                after.filter(|event| subject.is_none_or(|name| event.event.subject == name)).peekable();
            let (mut events, mut bytes) = (Vec::new(), 0);
            while bytes <= read.most_bytes
                && let Some(event) = wanted.next()
            {
                bytes += event.event.bytes();
                events.push(event.clone());
            }
            EventPage { events, is_last: wanted.peek().is_none() }
        }
    }

    #[test]
    fn each_event_is_sent_once_in_its_subjects_order_and_memory_is_bounded() {
        for seed in 0..100 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let (mut backlog, mut disk) = (Backlog::new(64 * 1024), Disk::default());
            let mut turn = 0;
            // Of before a restart.
            for _ in 0..random.random_range(0..200) {
                turn += 1;
                disk.0.insert(turn, event(turn, &format!("s{}", random.random_range(0..9)), 300));
            }
            backlog.note_on_disk(turn);
            let (mut serving, mut scan): (Vec<Arc<str>>, _) = (Vec::new(), backlog.scan());
            let mut pages: HashMap<Arc<str>, (Read, EventPage)> = HashMap::new();
            // What is read is what was there when the reading began.
            let mut scan_page = scan.as_ref().map(|read| disk.page(None, read));
            let mut sent: HashMap<String, Vec<u64>> = HashMap::new();
            // Rows go a while after their events.
            let mut to_delete = Vec::new();
            let mut steps = 0;
            while turn < 1500 || !disk.0.is_empty() {
                steps += 1;
                assert!(steps < 200_000, "seed {seed} goes on for ever: {} events are left", disk.0.len());
                match random.random_range(0..8) {
                    0..=2 if turn < 1500 => {
                        turn += 1;
                        // One subject has most of the events, and the longest.
                        let subject = random.random_range(0_u32..40).saturating_sub(20);
                        let bytes = random.random_range(0..if subject == 0 { 3000 } else { 500 });
                        let event = event(turn, &format!("s{subject}"), bytes);
                        disk.0.insert(turn, event.clone());
                        serving.extend(backlog.accept(event.clone()));
                        assert!(backlog.accept(event).is_none(), "told of twice");
                        if scan.is_none() {
                            scan = backlog.scan();
                            scan_page = scan.as_ref().map(|read| disk.page(None, read));
                        }
                    }
                    3 => {
                        if let (Some(read), Some(page)) = (scan.take(), scan_page.take()) {
                            let (first, next) = backlog.scanned(&read, page);
                            serving.extend(first);
                            scan_page = next.as_ref().map(|read| disk.page(None, read));
                            scan = next;
                        }
                    }
                    4 => to_delete.drain(..).for_each(|turn| drop(disk.0.remove(&turn))),
                    _ if serving.is_empty() => {}
                    _ => {
                        let at = random.random_range(0..serving.len());
                        let subject = serving[at].clone();
                        if let Some((read, page)) = pages.remove(&subject) {
                            backlog.read(&subject, &read, page);
                            continue;
                        }
                        match backlog.next(&subject) {
                            Next::Send(event) => {
                                let turn = event.id ^ 1;
                                sent.entry(subject.to_string()).or_default().push(turn);
                                to_delete.push(turn);
                                backlog.done(&subject);
                                if scan.is_none() {
                                    scan = backlog.scan();
                                    scan_page = scan.as_ref().map(|read| disk.page(None, read));
                                }
                            }
                            Next::Read(read) => {
                                let page = disk.page(Some(&subject), &read);
                                pages.insert(subject, (read, page));
                            }
                            Next::Rest => drop(serving.swap_remove(at)),
                        }
                    }
                }
                let held: usize = backlog.subjects.values().map(|subject| subject.bytes).sum();
                assert!(held < (64 + 8) * 1024, "seed {seed}: {held} bytes are in memory");
                let charged: usize = backlog.subjects.values().map(|each| each.charge(backlog.share)).sum();
                assert_eq!(charged, backlog.bytes, "seed {seed}");
            }
            assert_eq!(sent.values().map(Vec::len).sum::<usize>() as u64, turn, "seed {seed}");
            for (subject, turns) in sent {
                assert!(turns.is_sorted_by(|one, next| one < next), "seed {seed}, {subject}: {turns:?}");
            }
        }
    }

    #[test]
    fn a_subject_that_is_stuck_leaves_room_for_the_others() {
        let mut backlog = Backlog::new(64 * 1024);
        for turn in 1..1000 {
            backlog.accept(event(turn, "stuck", 500));
        }

        assert_eq!(backlog.accept(event(1000, "other", 500)).as_deref(), Some("other"));
        assert!(backlog.bytes < 8 * 1024, "{}", backlog.bytes);
    }
}
