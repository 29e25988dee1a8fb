//! What one user may do a second and have at once, whichever way it comes in: the gateway, WHIP and WHEP. An app's limits
//! for its own server are in `limit.rs`.
//!
//! Invariant: a user's budgets outlive its connections until they are full again, so that nobody gets new ones by
//! connecting anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::Mutex;
use rooms::{SessionId, UserId};

use crate::config::Limits;
use crate::error::{ApiError, Code};

/// For how long nobody is heard who has had its share: so a flood costs no more than what is allowed.
pub(crate) const REFUSED_PAUSE: Duration = Duration::from_millis(50);

/// For how many seconds' worth a user may save up.
const SAVED_SECONDS: f64 = 2.0;

/// The same for answers, since a large room's page is a second's worth by itself.
const SAVED_ANSWER_SECONDS: f64 = 4.0;

/// How many users are known before those with nothing to remember are looked for.
const SWEEP_FROM: usize = 1024;

/// A budget that fills up with time. What is larger than all of it puts it into debt.
#[derive(Debug, Clone, Copy)]
struct Budget {
    /// `None`: full.
    left: Option<(f64, Instant)>,
}

impl Budget {
    const FULL: Self = Self { left: None };

    fn level(&self, rate: f64, most: f64, now: Instant) -> f64 {
        let refilled = |(left, at): (f64, Instant)| {
            (left + now.saturating_duration_since(at).as_secs_f64() * rate).min(most)
        };
        self.left.map_or(most, refilled)
    }

    /// Whether there is anything left. A rate of 0 is no limit.
    fn is_open(&self, rate: u32, saved: f64, now: Instant) -> bool {
        let rate = f64::from(rate);
        rate == 0.0 || self.level(rate, rate * saved, now) > 0.0
    }

    fn spend(&mut self, amount: f64, rate: u32, saved: f64, now: Instant) {
        let rate = f64::from(rate);
        if rate > 0.0 {
            self.left = Some((self.level(rate, rate * saved, now) - amount, now));
        }
    }
}

#[derive(Debug)]
struct State {
    commands: Budget,
    changes: Budget,
    bytes: Budget,
    answers: Budget,
    /// By gateway, the oldest first.
    sessions: Vec<SessionId>,
    /// By WHIP and WHEP.
    media: u32,
    /// Rooms that it has made and that are there.
    rooms: u32,
}

/// What one user has used.
#[derive(Debug)]
pub(crate) struct Quota(Mutex<State>);

fn refuse(what: std::fmt::Arguments<'_>) -> ApiError {
    ApiError::new(Code::TooOften, format!("{what} are allowed to one user; slow down and retry"))
}

fn refuse_more(what: std::fmt::Arguments<'_>) -> ApiError {
    ApiError::new(Code::TooOften, format!("{what} are allowed to one user; end one first"))
}

impl Quota {
    fn new() -> Self {
        Self(Mutex::new(State {
            commands: Budget::FULL,
            changes: Budget::FULL,
            bytes: Budget::FULL,
            answers: Budget::FULL,
            sessions: Vec::new(),
            media: 0,
            rooms: 0,
        }))
    }

    /// A command of `bytes` came in.
    ///
    /// # Errors
    /// [`Code::TooOften`] when the user has had its share; nothing is spent then.
    pub(crate) fn spend_command(&self, limits: &Limits, bytes: usize, now: Instant) -> Result<(), ApiError> {
        let (commands, taken, given) =
            (limits.commands_per_second(), limits.bytes_per_second(), limits.answer_bytes_per_second());
        let mut state = self.0.lock();
        if !state.commands.is_open(commands, SAVED_SECONDS, now) {
            return Err(refuse(format_args!("{commands} commands a second")));
        }
        if !state.bytes.is_open(taken, SAVED_SECONDS, now) {
            return Err(refuse(format_args!("commands of {taken} bytes a second")));
        }
        if !state.answers.is_open(given, SAVED_ANSWER_SECONDS, now) {
            return Err(refuse(format_args!("answers of {given} bytes a second")));
        }
        state.commands.spend(1.0, commands, SAVED_SECONDS, now);
        state.bytes.spend(bytes as f64, taken, SAVED_SECONDS, now);
        Ok(())
    }

    /// A command that changes what is kept is about to be carried out.
    ///
    /// # Errors
    /// [`Code::TooOften`] when the user has had its share.
    pub(crate) fn spend_change(&self, limits: &Limits, now: Instant) -> Result<(), ApiError> {
        let changes = limits.changes_per_second();
        let mut state = self.0.lock();
        if !state.changes.is_open(changes, SAVED_SECONDS, now) {
            return Err(refuse(format_args!("{changes} changes of rooms a second")));
        }
        state.changes.spend(1.0, changes, SAVED_SECONDS, now);
        Ok(())
    }

    /// A password was wrong: that costs a second's worth of commands, so that nobody finds one by trying.
    pub(crate) fn spend_guess(&self, limits: &Limits, now: Instant) {
        let commands = limits.commands_per_second();
        self.0.lock().commands.spend(f64::from(commands), commands, SAVED_SECONDS, now);
    }

    /// An answer of `bytes` goes out.
    pub(crate) fn note_answer(&self, limits: &Limits, bytes: usize, now: Instant) {
        let rate = limits.answer_bytes_per_second();
        self.0.lock().answers.spend(bytes as f64, rate, SAVED_ANSWER_SECONDS, now);
    }

    /// A session begins.
    ///
    /// # Errors
    /// The sessions the user has, oldest first, when they are as many as are allowed.
    pub(crate) fn begin_session(&self, limits: &Limits, id: SessionId) -> Result<(), Vec<SessionId>> {
        let most = limits.sessions_per_user as usize;
        let mut state = self.0.lock();
        if most > 0 && state.sessions.len() >= most {
            return Err(state.sessions.clone());
        }
        state.sessions.push(id);
        Ok(())
    }

    /// One that was there before a restart.
    pub(crate) fn restore_session(&self, id: SessionId) {
        self.0.lock().sessions.push(id);
    }

    pub(crate) fn end_session(&self, id: SessionId) {
        self.0.lock().sessions.retain(|known| *known != id);
    }

    fn is_idle(&self, limits: &Limits, now: Instant) -> bool {
        let state = self.0.lock();
        let full = |budget: &Budget, rate: u32, saved: f64| {
            let most = f64::from(rate) * saved;
            rate == 0 || budget.level(f64::from(rate), most, now) >= most
        };
        state.sessions.is_empty()
            && (state.media, state.rooms) == (0, 0)
            && full(&state.commands, limits.commands_per_second(), SAVED_SECONDS)
            && full(&state.changes, limits.changes_per_second(), SAVED_SECONDS)
            && full(&state.bytes, limits.bytes_per_second(), SAVED_SECONDS)
            && full(&state.answers, limits.answer_bytes_per_second(), SAVED_ANSWER_SECONDS)
    }
}

/// What is refused when a user has as many sessions as are allowed, and all are connected.
pub(crate) fn too_many_sessions(limits: &Limits) -> ApiError {
    refuse_more(format_args!("{} sessions at once", limits.sessions_per_user))
}

/// The same in one room.
pub(crate) fn too_many_in_room(limits: &Limits) -> ApiError {
    refuse_more(format_args!("{} sessions in one room", limits.sessions_per_room))
}

/// A place that a user takes up for as long as this is held.
#[derive(Debug)]
pub(crate) struct Place {
    quota: Arc<Quota>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Media,
    Room,
}

impl Place {
    fn take(quota: Arc<Quota>, kind: Kind, most: u32, what: &str) -> Result<Self, ApiError> {
        {
            let mut state = quota.0.lock();
            let taken = kind.of(&mut state);
            if most > 0 && *taken >= most {
                return Err(refuse_more(format_args!("{most} {what}")));
            }
            *taken += 1;
        }
        Ok(Self { quota, kind })
    }

    /// For a session by WHIP or WHEP.
    ///
    /// # Errors
    /// [`Code::TooOften`] when the user has as many as are allowed.
    pub(crate) fn of_media(quota: Arc<Quota>, limits: &Limits) -> Result<Self, ApiError> {
        Self::take(quota, Kind::Media, limits.media_sessions_per_user, "sessions by WHIP and WHEP")
    }

    /// For a room that the user makes.
    ///
    /// # Errors
    /// [`Code::TooOften`] when the user has made as many as are allowed.
    pub(crate) fn of_room(quota: Arc<Quota>, limits: &Limits) -> Result<Self, ApiError> {
        Self::take(quota, Kind::Room, limits.rooms_per_user, "rooms made by itself")
    }

    /// For a room that was there before a restart.
    pub(crate) fn of_restored_room(quota: Arc<Quota>) -> Self {
        *Kind::Room.of(&mut quota.0.lock()) += 1;
        Self { quota, kind: Kind::Room }
    }
}

impl Kind {
    fn of(self, state: &mut State) -> &mut u32 {
        match self {
            Self::Media => &mut state.media,
            Self::Room => &mut state.rooms,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.quota.0.lock();
        let taken = self.kind.of(&mut state);
        *taken = taken.saturating_sub(1);
    }
}

/// The users of an app who have used anything.
#[derive(Default)]
pub(crate) struct Quotas(Mutex<Known>);

#[derive(Default)]
struct Known {
    by_user: HashMap<UserId, Arc<Quota>, foldhash::fast::RandomState>,
    /// When there are so many, those with nothing to remember are forgotten.
    sweep_at: usize,
}

impl Quotas {
    pub(crate) fn of(&self, user: &UserId, limits: &Limits) -> Arc<Quota> {
        let mut known = self.0.lock();
        if let Some(quota) = known.by_user.get(user) {
            return quota.clone();
        }
        if known.by_user.len() >= known.sweep_at.max(SWEEP_FROM) {
            let now = Instant::now();
            // Whoever holds one may be about to write into it.
            known.by_user.retain(|_, quota| Arc::strong_count(quota) > 1 || !quota.is_idle(limits, now));
            known.sweep_at = known.by_user.len() * 2;
        }
        let quota = Arc::new(Quota::new());
        known.by_user.insert(user.clone(), quota.clone());
        quota
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Said;

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    #[test]
    fn a_budget_is_saved_up_and_refilled() {
        let limits = Limits { commands_per_second: Said::by_operator(10), ..Limits::default() };
        let (quota, start) = (Quota::new(), Instant::now());
        let burst = |at: Duration| {
            (0..1000).take_while(|_| quota.spend_command(&limits, 1, start + at).is_ok()).count()
        };

        assert_eq!(burst(Duration::ZERO), 20, "two seconds' worth");
        assert_eq!(burst(Duration::from_millis(500)), 5);
        assert_eq!(burst(Duration::from_secs(60)), 20, "no more is saved up");
    }

    #[test]
    fn what_is_larger_than_the_budget_is_paid_back_first() {
        let limits = Limits {
            answer_bytes_per_second: Said::by_operator(1000),
            commands_per_second: Said::by_operator(0),
            ..Limits::default()
        };
        let (quota, start) = (Quota::new(), Instant::now());

        quota.spend_command(&limits, 1, start).unwrap();
        quota.note_answer(&limits, 6000, start);

        assert!(quota.spend_command(&limits, 1, start + Duration::from_millis(1900)).is_err());
        assert!(quota.spend_command(&limits, 1, start + Duration::from_millis(2100)).is_ok());
    }

    #[test]
    fn connecting_anew_gives_no_new_budget() {
        let limits = Limits { commands_per_second: Said::by_operator(1), ..Limits::default() };
        let quotas = Quotas::default();
        let now = Instant::now();
        while quotas.of(&user("eve"), &limits).spend_command(&limits, 1, now).is_ok() {}

        for number in 0..3 * SWEEP_FROM {
            quotas.of(&user(&format!("u{number}")), &limits);
        }

        assert!(quotas.of(&user("eve"), &limits).spend_command(&limits, 1, now).is_err());
        assert!(quotas.0.lock().by_user.len() < 2 * SWEEP_FROM + 2, "the idle ones are forgotten");
    }

    #[test]
    fn a_place_is_given_back() {
        let limits = Limits { rooms_per_user: 1, ..Limits::default() };
        let quota = Arc::new(Quota::new());

        let place = Place::of_room(quota.clone(), &limits).unwrap();
        assert_eq!(Place::of_room(quota.clone(), &limits).unwrap_err().code, Code::TooOften);
        drop(place);
        Place::of_room(quota, &limits).unwrap();
    }
}
