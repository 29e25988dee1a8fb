//! Everything but the member list, over long random histories: commands are planned, members come and go before the plan
//! is applied, and at every step the room keeps its promises. Two onlookers follow along and must never be led astray:
//! one that keeps what is handed to the store, and one that hears the events.
//!
//! A failing history is reproduced with `ROOMS_SEED=<the printed seed>`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rooms::{
    Block, Content, Delta, Error, Event, FIRST_MARK, Fields, Gift, IfTaken, Keep, LeaveCause, Outcome,
    Record, RecordKey, Room, RoomId, RoomInfo, RoomType, SeatLocks, SessionId, Time, UserId,
};

const STEPS: usize = 40_000;
const USERS: usize = 12;

fn user(number: usize) -> UserId {
    UserId::parse(&format!("user-{number}")).unwrap()
}

/// What the store and the webhooks make of it.
struct Onlookers {
    info: RoomInfo,
    records: HashMap<RecordKey, Record>,
    presence: HashMap<(UserId, SessionId), u64>,
    told: HashSet<UserId>,
}

impl Onlookers {
    fn keep(&mut self, changes: &[Delta]) {
        for change in changes {
            for keep in change.keeps() {
                match keep {
                    Keep::Info(info) => self.info = *info,
                    Keep::Put(record) => drop(self.records.insert(record.key(), record)),
                    Keep::Delete(key) => drop(self.records.remove(&key)),
                    Keep::DeleteMember(user) => self.presence.retain(|(member, _), _| *member != user),
                }
            }
        }
    }

    fn hear(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Entered { user } => drop(self.told.insert(user.clone())),
                Event::Left { user, .. } => drop(self.told.remove(user)),
                _ => {}
            }
        }
    }

    /// A server that starts from what was kept.
    fn restart(&self, now: Time) -> Room {
        let mut room = Room::new(self.info.clone(), now);
        self.records.values().for_each(|record| room.restore_record(record.clone()));
        for ((user, session), place) in &self.presence {
            room.restore_member(user, *session, *place, now);
        }
        assert_eq!(room.finish_restore(), [], "nothing was left to clear up");
        room
    }
}

/// Who is in, by place.
fn members(room: &Room) -> Vec<String> {
    room.members().after(0).map(|(_, user)| user.to_string()).collect()
}

/// What two rooms must have in common to be the same.
fn state(room: &Room, now: Time) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        (members(room), room.seats().to_vec(), room.info().clone()),
        room.bans(now).cloned().collect::<Vec<_>>(),
        room.mutes(now).map(|(user, until)| (user.clone(), until)).collect::<Vec<_>>(),
        room.admins().cloned().collect::<BTreeSet<_>>(),
        room.robots_after("").cloned().collect::<Vec<_>>(),
        room.metadata(&[]).map(|(key, value)| (key.to_string(), value.to_string())).collect::<Vec<_>>(),
        (0..USERS).map(|number| room.blocked(user(number).as_str())).collect::<Vec<_>>(),
        (0..USERS).map(|number| room.card(user(number).as_str()).cloned()).collect::<Vec<_>>(),
        (room.counters().gifts, room.counters().coins, room.counters().gift_events, room.sender_count()),
    )
}

fn promises(room: &Room, now: Time) {
    let mut seated = HashSet::new();
    for seat in room.seats() {
        let Some(occupant) = &seat.occupant else { continue };
        assert!(room.members().contains(occupant.as_str()), "{occupant} sits and is not in");
        assert!(seated.insert(occupant.clone()), "{occupant} sits twice");
        assert!(!seat.is_locked, "{occupant} sits on a locked seat");
    }
    for ban in room.bans(now) {
        assert!(!room.members().contains(ban.user.as_str()), "{} is banned and in", ban.user);
    }
    for robot in room.robots_after("") {
        assert!(room.members().sessions(robot.as_str()).contains(&SessionId::ROBOT), "{robot} is no member");
    }
    assert!(room.metadata(&[]).count() <= 10);
    let marks = (0..USERS).filter_map(|number| room.card(user(number).as_str())).flat_map(|card| &card.marks);
    assert!(marks.collect::<HashSet<_>>().len() <= 10, "more different marks than a room has");
    assert_eq!(room.seats().len(), room.info().max_seat_count as usize);
}

struct History {
    rng: rand_chacha::ChaCha8Rng,
    room: Room,
    onlookers: Onlookers,
    now: Time,
}

impl History {
    /// Somebody enters or leaves.
    fn come_or_go(&mut self) {
        let (who, session) = (user(self.rng.random_range(0..USERS)), SessionId(self.rng.random_range(1..3)));
        if self.rng.random_bool(0.6) {
            let result = self.room.enter(&who, session, self.now);
            let Ok(entered) = result else {
                assert!(self.room.is_banned(who.as_str(), self.now), "{result:?}");
                return;
            };
            self.onlookers.presence.insert((who, session), entered.place);
            self.onlookers.keep(&entered.seated.into_iter().map(Delta::Set).collect::<Vec<_>>());
            self.onlookers.hear(entered.event.as_slice());
        } else if let Ok(departure) = self.room.leave(&who, session, LeaveCause::Leave, self.now) {
            self.onlookers.presence.remove(&(who, session));
            self.onlookers.keep(&departure.freed.into_iter().map(Delta::Set).collect::<Vec<_>>());
            self.onlookers.hear(departure.event.as_slice());
        }
    }

    fn plan(&mut self) -> Result<Outcome, Error> {
        let (rng, room, now) = (&mut self.rng, &mut self.room, self.now);
        let who = user(rng.random_range(0..USERS));
        let others: Vec<UserId> =
            (0..rng.random_range(1..4)).map(|_| user(rng.random_range(0..USERS))).collect();
        let others: Vec<UserId> = others.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let seconds = Duration::from_secs(rng.random_range(1..20));
        let index = rng.random_range(0..5);
        match rng.random_range(0..19) {
            0 => Ok(room.ban(&others, "", seconds, now)),
            1 => Ok(room.unban(&others)),
            2 => Ok(room.mute(&others, seconds, now)),
            3 => Ok(room.mute(&others, Duration::ZERO, now)),
            4 => room.kick(&others),
            5 => room.set_admins(&others, rng.random_bool(0.5)),
            6 if others.iter().any(|user| room.is_banned(user.as_str(), now)) => Ok(Outcome::default()),
            6 => room.add_robots(&others),
            7 => Ok(room.delete_robots(&others)),
            8 => room.take_seat(&who, rng.random_bool(0.5).then_some(index)),
            9 => room.leave_seat(&who),
            10 => {
                let if_taken = [IfTaken::Refuse, IfTaken::Replace, IfTaken::Swap][rng.random_range(0..3)];
                room.move_to_seat(&who, index, if_taken)
            }
            11 => {
                room.lock_seat(index, SeatLocks { taken: Some(rng.random_bool(0.3)), ..SeatLocks::default() })
            }
            12 => room.set_metadata(vec![(format!("k{}", rng.random_range(0..12)), "v".into())]),
            14 => {
                let gift = Gift { coins: rng.random_range(0..100), ..Gift::default() };
                Ok(room.give(&gift, rng.random_range(1..10), &who, Vec::new(), now)?.1)
            }
            15 => {
                let marks =
                    (0..rng.random_range(1..4)).map(|_| FIRST_MARK + rng.random_range(0..14)).collect();
                room.mark(&[(who, marks)], rng.random_bool(0.7))
            }
            16 => Ok(room.remove_users(&others)),
            17 => room.block(&who, Block { audio: rng.random_bool(0.5), video: rng.random_bool(0.5) }),
            13 => room.delete_metadata(vec![format!("k{}", rng.random_range(0..12))]),
            _ => {
                let count = rng.random_range(1..=5);
                let keep = rng.random_bool(0.5);
                room.update(&Fields {
                    max_seat_count: Some(count),
                    keep_owner_on_seat: Some(keep),
                    is_message_disabled: Some(keep),
                    ..Fields::default()
                })
            }
        }
    }

    fn apply(&mut self, outcome: Outcome) {
        for change in outcome.changes {
            let effects = self.room.apply(change, self.now);
            self.onlookers.keep(&effects.late.changes);
            self.onlookers.hear(&effects.late.events);
            for (session, _) in effects.put_out {
                self.onlookers.presence.retain(|(member, other), _| {
                    *other != session || self.room.members().sessions(member.as_str()).contains(other)
                });
            }
        }
    }
}

fn run(seed: u64) {
    let now = Time::from_unix_seconds(1_700_000_000);
    let fields = Fields { is_seat_enabled: Some(true), max_seat_count: Some(4), ..Fields::default() };
    let info =
        RoomInfo::create(RoomId::parse("r").unwrap(), RoomType::Live, user(0), &fields, now, 9).unwrap();
    let room = Room::new(info.clone(), now);
    let onlookers =
        Onlookers { info, records: HashMap::new(), presence: HashMap::new(), told: HashSet::new() };
    let mut history = History { rng: rand_chacha::ChaCha8Rng::seed_from_u64(seed), room, onlookers, now };
    let (mut done, mut refused) = (0, 0);
    for step in 0..STEPS {
        history.now = history.now + Duration::from_millis(history.rng.random_range(0..400));
        match history.rng.random_range(0..10) {
            0..4 => history.come_or_go(),
            4 => {
                let who = user(history.rng.random_range(0..USERS));
                let is_muted = history.room.mutes(history.now).any(|(user, _)| *user == who);
                let text = Content::Text { text: "hi".into(), extension: String::new() };
                let sent = history.room.send(&who, text, history.now);
                if history.room.members().contains(who.as_str()) {
                    assert_eq!(matches!(sent, Err(Error::Muted(_))), is_muted, "seed {seed} step {step}");
                }
            }
            _ => match history.plan() {
                Err(_) => refused += 1,
                Ok(outcome) => {
                    done += 1;
                    history.onlookers.keep(&outcome.changes);
                    history.onlookers.hear(&outcome.events);
                    // While the plan is on its way to the disk, life goes on.
                    for _ in 0..history.rng.random_range(0..3) {
                        history.come_or_go();
                    }
                    history.apply(outcome);
                }
            },
        }
        promises(&history.room, history.now);
        let (room, now) = (&history.room, history.now);
        assert_eq!(state(&history.onlookers.restart(now), now), state(room, now), "seed {seed} step {step}");
        let listed: HashSet<String> = members(room).into_iter().collect();
        let told: HashSet<String> = history.onlookers.told.iter().map(UserId::to_string).collect();
        assert_eq!(told, listed, "seed {seed} step {step}: what was told");
    }
    assert!(done > STEPS / 10 && refused > STEPS / 100, "{done} done, {refused} refused");
}

#[test]
fn promises_hold_over_long_random_histories_and_onlookers_agree() {
    let seed = match std::env::var("ROOMS_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => rand::random(),
    };
    println!("ROOMS_SEED={seed}");
    run(seed);
    run(seed.wrapping_add(1));
}
