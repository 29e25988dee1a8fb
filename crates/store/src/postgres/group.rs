//! A group of jobs on its way: one transaction, which has the claim, and leaves the group's number with its changes.

use std::collections::{HashMap, HashSet};

use tokio_postgres::Row;

use super::link::{Call, Link, Trouble};
use super::rows::{line, unsigned};
use super::{outbox, tables};
use crate::engine::Kept;
use crate::ledger::{Count, Ledger, Line, Room};
use crate::parts::{Changed, Living, Part, Rooms};
use crate::superseded::superseded;
use crate::{Change, Error, Job, WaitingEvent};

/// How many numbers of groups are kept behind the last.
const KEPT_NUMBERS: i64 = 1000;

/// After how many groups those behind are forgotten.
const FORGOTTEN_AT_ONCE: i64 = 256;

/// How many statements are sent together where it depends on the answers what comes next.
const SENT_AT_ONCE: usize = 1000;

/// What is written has rows of its own, few beside what there is, whatever the statistics say by now: they are looked up one by one.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off";

/// Locks the claim, if it is still ours.
const LOCK: &str = "SELECT epoch FROM @.claims WHERE scope = 0 AND owner = $1 FOR UPDATE";

/// The highest number of our groups.
const LAST_NUMBER: &str = "SELECT coalesce(max(number), 0) FROM @.groups WHERE generation = $1";

/// What is said of a group once it is known to be kept.
pub(super) struct Former {
    pub(super) number: i64,
    /// `None` when nobody waits to hear it.
    pub(super) results: Option<Vec<Result<Kept, Error>>>,
    pub(super) changed: Changed,
}

/// What was written.
pub(super) struct Written {
    pub(super) results: Vec<Result<Kept, Error>>,
    pub(super) changed: Changed,
}

/// A group on its way.
pub(super) struct Transaction<'a> {
    pub(super) link: &'a mut Link,
    pub(super) generation: i64,
    pub(super) kept: i64,
    pub(super) ledger: &'a mut Ledger,
    pub(super) is_stale: &'a mut bool,
    pub(super) turn: &'a mut u64,
    pub(super) living: &'a Living,
    pub(super) former: &'a mut Option<Former>,
}

/// What is to be sent together.
#[derive(Default)]
struct Unsent {
    calls: Vec<Call>,
    thens: Vec<Then>,
    /// The lines that have more dead letters with it.
    dead_of: Vec<Line>,
    /// Whether there may be fewer that wait after it.
    makes_room: bool,
}

impl Unsent {
    fn add(&mut self, call: Call, then: Then) {
        self.makes_room |= !matches!(then, Then::Nothing);
        self.calls.push(call);
        self.thens.push(then);
    }
}

/// The statements of a group: each row is touched once by what is not [superseded], so those that are the same are sent as one.
#[derive(Default)]
struct Gathered {
    calls: Vec<(Call, Then)>,
    places: HashMap<&'static str, usize>,
}

impl Gathered {
    fn add(&mut self, call: Call, then: Then) {
        let place = self.places.get(call.sql).copied();
        match place.and_then(|place| self.calls.get_mut(place)) {
            Some((of_others, _)) if of_others.takes(&call) => of_others.add(call),
            _ => {
                self.places.insert(call.sql, self.calls.len());
                self.calls.push((call, then));
            }
        }
    }

    fn in_order(mut self) -> (Vec<Call>, Vec<Then>) {
        self.calls.sort_by_key(|(call, _)| call.step);
        self.calls.into_iter().unzip()
    }
}

/// The room that a change ends.
fn ended(change: &Change) -> Option<i64> {
    match change {
        Change::DeleteRoom(scope) => Some(scope.number),
        _ => None,
    }
}

/// What an answer says of the outbox.
enum Then {
    Nothing,
    Deleted,
    Failed,
}

impl Transaction<'_> {
    /// Writes all of them, of which some may be refused.
    pub(super) async fn write(mut self, jobs: &[Job], is_careful: bool) -> Result<Written, Trouble> {
        if *self.is_stale {
            *self.ledger = outbox::ledger(self.link).await?;
            *self.is_stale = false;
        }
        *self.turn = (*self.turn).max(self.ledger.next_turn());
        self.ledger.set_next_turn(*self.turn);
        let written = match is_careful || self.needs_care(jobs) {
            false => self.write_at_once(jobs).await,
            true => self.write_carefully(jobs).await,
        };
        // Turns are not given twice, whatever became of those who got them.
        *self.turn = self.ledger.next_turn();
        written
    }

    /// Whether it depends on the answers what is to be sent.
    fn needs_care(&self, jobs: &[Job]) -> bool {
        let mut come: HashMap<Line, Count> = HashMap::new();
        let mut given_up = 0;
        for change in jobs.iter().flat_map(Job::changes) {
            match change {
                Change::ReviveEvent(..) => return true,
                Change::PutEvent(event) => come.entry(event.line()).or_default().add(event.bytes() as u64),
                Change::FailEvent(_) => given_up += 1,
                _ => {}
            }
        }
        (given_up > 0 || !come.is_empty()) && self.ledger.may_be_full(&come, given_up)
    }

    async fn write_at_once(&mut self, jobs: &[Job]) -> Result<Written, Trouble> {
        let parts: Vec<Part<'_>> = jobs.iter().map(Part::of).collect();
        let mut rooms = Rooms::of(self.living);
        let (mut results, changes) = rooms.sort_out(&parts);
        let pointless = superseded(changes.iter().map(|(_, change)| *change));
        let ended: HashSet<i64> = changes.iter().filter_map(|(_, change)| ended(change)).collect();
        let mut gathered = Gathered::default();
        for ((part, change), _) in changes.iter().zip(pointless).filter(|(_, is_pointless)| !is_pointless) {
            match change {
                Change::PutEvent(event) => {
                    let room = self.ledger.put(event.line(), event.bytes() as u64);
                    let turn = self.ledger.take_turn();
                    if room != Room::Nowhere {
                        gathered.add(tables::put_event(event, turn, room == Room::Dead), Then::Nothing);
                    }
                    if let Some(Ok(kept)) = results.get_mut(*part) {
                        match room {
                            Room::Waits => kept.events.push(WaitingEvent { turn, event: event.clone() }),
                            Room::Dead | Room::Nowhere => kept.given_up.note(event.lane),
                        }
                    }
                }
                Change::DeleteEvent(id) => gathered.add(tables::delete_event(*id), Then::Deleted),
                Change::FailEvent(id) => gathered.add(tables::fail_event(*id), Then::Failed),
                change => {
                    let is_over = change.room().is_some_and(|scope| ended.contains(&scope.number));
                    for call in tables::calls(change)? {
                        // It would be put where it was struck out.
                        if !(is_over && call.sql == tables::MAKE_ROOM) {
                            gathered.add(call, Then::Nothing);
                        }
                    }
                }
            }
        }
        let (mut calls, thens) = gathered.in_order();
        begin(self.link, self.generation, self.kept).await?;
        calls.extend(self.end());
        self.link.prepare(&calls).await?;
        let changed = rooms.changed();
        self.note_sent(&results, &changed);
        let answers = self.link.call_all(&calls).await?;
        let mut answered = Vec::with_capacity(answers.len());
        for answer in answers {
            // The first that fails says why: what comes after it was not done, whatever it was answered.
            answered.push(answer.map_err(Trouble::from).inspect_err(|trouble| self.note_failed(trouble))?);
        }
        if self.link.has_warned() {
            return Err(Trouble::Lost(unsure()));
        }
        for (rows, then) in answered.iter().zip(thens) {
            rows.iter().try_for_each(|row| self.note_event(&then, Some(row)))?;
        }
        Ok(Written { results, changed })
    }

    /// Writes one after the other: what can never be kept is left out.
    async fn write_carefully(&mut self, jobs: &[Job]) -> Result<Written, Trouble> {
        begin(self.link, self.generation, self.kept).await?;
        let mut rooms = Rooms::of(self.living);
        let mut results = Vec::with_capacity(jobs.len());
        for job in jobs {
            if job.is_awaited() {
                results.push(self.write_part(&Part::of(job), &mut rooms).await?);
                continue;
            }
            let mut all = Kept::default();
            for unit in job.units() {
                let part = Part { units: std::slice::from_ref(unit), is_awaited: false };
                match self.write_part(&part, &mut rooms).await? {
                    Ok(kept) => {
                        all.events.extend(kept.events);
                        all.given_up.add(kept.given_up);
                    }
                    Err(error) => tracing::error!(%error, "a change was given up"),
                }
            }
            results.push(Ok(all));
        }
        let changed = rooms.changed();
        let end = self.end();
        self.link.prepare(&end).await?;
        self.note_sent(&results, &changed);
        for answer in self.link.call_all(&end).await? {
            answer.map_err(Trouble::from).inspect_err(|trouble| self.note_failed(trouble))?;
        }
        match self.link.has_warned() {
            true => Err(Trouble::Lost(unsure())),
            false => Ok(Written { results, changed }),
        }
    }

    async fn write_part(
        &mut self,
        part: &Part<'_>,
        rooms: &mut Rooms<'_>,
    ) -> Result<Result<Kept, Error>, Trouble> {
        let (rooms_before, ledger_before) = (rooms.clone(), self.ledger.clone());
        let (mut results, changes) = rooms.sort_out(std::slice::from_ref(part));
        let mut kept = match results.pop() {
            Some(Ok(kept)) => kept,
            Some(Err(error)) => return Ok(Err(error)),
            None => Kept::default(),
        };
        self.link.call(&Call::new("SAVEPOINT part", [])).await?;
        let pointless = superseded(changes.iter().map(|(_, change)| *change));
        let of_use = changes.iter().zip(pointless).filter(|(_, is_pointless)| !is_pointless);
        match self.write_changes(of_use.map(|((_, change), _)| *change), &mut kept).await {
            Ok(()) => {}
            Err(Trouble::Ever(error)) => {
                self.link.call(&Call::new("ROLLBACK TO SAVEPOINT part", [])).await?;
                let turn = self.ledger.next_turn();
                (*rooms, *self.ledger) = (rooms_before, ledger_before);
                self.ledger.set_next_turn(turn);
                return Ok(Err(error));
            }
            Err(trouble) => return Err(trouble),
        }
        self.link.call(&Call::new("RELEASE SAVEPOINT part", [])).await?;
        Ok(Ok(kept))
    }

    async fn write_changes<'c>(
        &mut self,
        changes: impl Iterator<Item = &'c Change>,
        kept: &mut Kept,
    ) -> Result<(), Trouble> {
        let mut unsent = Unsent::default();
        for change in changes {
            match change {
                Change::PutEvent(event) => {
                    let (line, bytes) = (event.line(), event.bytes() as u64);
                    // What goes before it may make room.
                    if unsent.makes_room && self.ledger.is_full(line, bytes) {
                        self.send(&mut unsent).await?;
                    }
                    let room = self.ledger.put(line, bytes);
                    if room == Room::Nowhere {
                        kept.given_up.note(event.lane);
                        continue;
                    }
                    let (turn, is_dead) = (self.ledger.take_turn(), room == Room::Dead);
                    unsent.add(tables::put_event(event, turn, is_dead), Then::Nothing);
                    match is_dead {
                        true => {
                            kept.given_up.note(event.lane);
                            unsent.dead_of.push(line);
                        }
                        false => kept.events.push(WaitingEvent { turn, event: event.clone() }),
                    }
                }
                Change::DeleteEvent(id) => unsent.add(tables::delete_event(*id), Then::Deleted),
                Change::FailEvent(id) => unsent.add(tables::fail_event(*id), Then::Failed),
                Change::ReviveEvent(id, at) => {
                    self.send(&mut unsent).await?;
                    let turn = self.ledger.take_turn();
                    let rows = self.link.call(&tables::revive_event(*id, turn, at.unix_millis())).await?;
                    if let Some(row) = rows.first() {
                        let waiting = outbox::waiting(row)?;
                        self.ledger.revive(waiting.event.line(), waiting.event.bytes() as u64)?;
                        kept.events.push(waiting);
                    }
                }
                change => tables::calls(change)?.into_iter().for_each(|call| unsent.add(call, Then::Nothing)),
            }
            if unsent.calls.len() >= SENT_AT_ONCE {
                self.send(&mut unsent).await?;
            }
        }
        self.send(&mut unsent).await
    }

    /// Sends what has gathered, and takes note of the answers.
    async fn send(&mut self, unsent: &mut Unsent) -> Result<(), Trouble> {
        let Unsent { calls, thens, mut dead_of, .. } = std::mem::take(unsent);
        for (answer, then) in self.link.call_all(&calls).await?.into_iter().zip(thens) {
            let rows = answer?;
            if let (Then::Failed, Some(row)) = (&then, rows.first()) {
                dead_of.push(line(row, 0)?);
            }
            self.note_event(&then, rows.first())?;
        }
        dead_of.sort_unstable();
        dead_of.dedup();
        for line in dead_of {
            self.bury(line).await?;
        }
        Ok(())
    }

    fn note_event(&mut self, then: &Then, row: Option<&Row>) -> Result<(), Trouble> {
        let Some(row) = row else { return Ok(()) };
        match then {
            Then::Nothing => {}
            Then::Deleted => self.ledger.delete(line(row, 0)?, row.try_get(2)?, unsigned(row, 3)?),
            Then::Failed => self.ledger.fail(line(row, 0)?, unsigned(row, 2)?),
        }
        Ok(())
    }

    /// Forgets the oldest dead letters of a line that has too many.
    async fn bury(&mut self, line: Line) -> Result<(), Trouble> {
        while self.ledger.has_too_many_dead(line) {
            let rows = self.link.call(&tables::bury(line)).await?;
            let Some(oldest) = rows.first() else { return Ok(()) };
            self.ledger.delete(line, true, unsigned(oldest, 0)?);
        }
        Ok(())
    }

    /// What every group ends with: its number, and COMMIT.
    fn end(&self) -> Vec<Call> {
        let (generation, number) = (self.generation, self.kept + 1);
        let mut end =
            vec![Call::new("INSERT INTO @.groups VALUES ($1, $2)", [generation.into(), number.into()])];
        if number % FORGOTTEN_AT_ONCE == 0 {
            end.push(Call::new(
                "DELETE FROM @.groups WHERE generation = $1 AND number < $2",
                [generation.into(), (number - KEPT_NUMBERS).into()],
            ));
        }
        end.push(Call::new("COMMIT", []));
        end
    }

    /// From now on it may be kept.
    fn note_sent(&mut self, results: &[Result<Kept, Error>], changed: &Changed) {
        self.link.has_warned();
        *self.former =
            Some(Former { number: self.kept + 1, results: Some(results.to_vec()), changed: changed.clone() });
    }

    /// Where the database itself has said that it failed, it is not.
    fn note_failed(&mut self, trouble: &Trouble) {
        if !matches!(trouble, Trouble::Lost(_)) {
            *self.former = None;
        }
    }
}

/// Begins a transaction that has the claim; returns the number of our last group.
pub(super) async fn begin(link: &mut Link, generation: i64, kept: i64) -> Result<i64, Trouble> {
    let calls = [
        Call::new(BEGIN, []),
        Call::new(LOCK, [generation.into()]),
        Call::new(LAST_NUMBER, [generation.into()]),
    ];
    let mut answers = Vec::new();
    for answer in link.call_all(&calls).await? {
        answers.push(answer?);
    }
    let is_ours = answers.get(1).is_some_and(|rows| !rows.is_empty());
    if !is_ours {
        // What has lost commits may have lost the claim too.
        let is_known = Call::new("SELECT 1 FROM @.nodes WHERE generation = $1", [generation.into()]);
        return Err(match link.call(&is_known).await?.is_empty() {
            true => Error::Rewound("it does not know this server any more".into()),
            false => Error::Superseded,
        }
        .into());
    }
    let last: i64 = match answers.get(2).and_then(|rows| rows.first()) {
        Some(row) => row.try_get(0)?,
        None => 0,
    };
    if last < kept {
        return Err(Error::Rewound(format!("its last group is {last}, and was {kept}")).into());
    }
    Ok(last)
}

/// It is committed on one machine, and nobody knows whether on another.
pub(super) fn unsure() -> Error {
    Error::Away("it warned that a commit may not have reached the standby".into())
}
