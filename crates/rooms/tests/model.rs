//! The core against a naive model (a plain ordered list), over long random histories: who is in, in which order, how
//! many, what a scan page by page sees while others come and go, bans and capacity.
//!
//! A failing history is reproduced with `ROOMS_SEED=<the printed seed>`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use rand::SeedableRng as _;
use rooms::{
    Content, Departure, Error, Event, Fields, LeaveCause, Outcome, PAGE_SIZE, Room, RoomId, RoomInfo,
    RoomType, SessionId, Time, UserId,
};

const STEPS: usize = 120_000;
const USERS: usize = 4000;

/// What must be true, written down the plainest way.
#[derive(Default)]
struct Model {
    /// Members in join order, each with its sessions.
    members: Vec<(UserId, Vec<SessionId>)>,
    banned_until: HashMap<UserId, Time>,
    capacity: usize,
}

impl Model {
    fn place_of(&self, user: &UserId) -> Option<usize> {
        self.members.iter().position(|(member, _)| member == user)
    }

    fn enter(&mut self, user: &UserId, session: SessionId, now: Time) -> Result<bool, &'static str> {
        if self.banned_until.get(user).is_some_and(|until| now < *until) {
            return Err("banned");
        }
        match self.place_of(user) {
            Some(at) => {
                if !self.members[at].1.contains(&session) {
                    self.members[at].1.push(session);
                }
                Ok(false)
            }
            None if self.capacity > 0 && self.members.len() >= self.capacity => Err("full"),
            None => {
                self.members.push((user.clone(), vec![session]));
                Ok(true)
            }
        }
    }

    fn leave(&mut self, user: &UserId, session: SessionId) -> Option<bool> {
        let at = self.place_of(user)?;
        let sessions = &mut self.members[at].1;
        let which = sessions.iter().position(|other| *other == session)?;
        sessions.remove(which);
        let gone = sessions.is_empty();
        if gone {
            self.members.remove(at);
        }
        Some(gone)
    }
}

/// A scan that goes on, page by page, while members come and go.
#[derive(Default)]
struct Scan {
    next: String,
    seen: Vec<UserId>,
    /// Who was in at its beginning and has not left since.
    stayed: HashSet<UserId>,
}

fn user(number: usize) -> UserId {
    UserId::parse(&format!("user-{number}")).unwrap()
}

fn room(now: Time) -> Room {
    let owner = UserId::parse("owner").unwrap();
    let id = RoomId::parse("r").unwrap();
    Room::new(RoomInfo::create(id, RoomType::Live, owner, &Fields::default(), now, 99).unwrap(), now)
}

/// Plans and applies a change; returns the sessions that were put out.
fn apply(
    room: &mut Room,
    plan: impl FnOnce(&mut Room) -> Result<Outcome, Error>,
    now: Time,
) -> Vec<SessionId> {
    let outcome = plan(room).unwrap();
    let effects = outcome.changes.into_iter().map(|change| room.apply(change, now));
    effects.flat_map(|effects| effects.put_out).map(|(session, _)| session).collect()
}

fn run(seed: u64) {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut now = Time::from_unix_seconds(1_700_000_000);
    let (mut room, mut model) = (room(now), Model::default());
    let mut scan: Option<Scan> = None;
    let mut scans_finished = 0;
    // Phases of growth and of shrinking, so that both many pages and an empty room are met.
    let mut growing = true;

    for step in 0..STEPS {
        let who = user(rng.random_range(0..USERS));
        let session = SessionId(rng.random_range(1..4));
        now = now + std::time::Duration::from_millis(rng.random_range(0..50));
        if model.members.len() > 2500 {
            growing = false;
        } else if model.members.is_empty() {
            growing = true;
        }
        match rng.random_range(0..100) {
            0..60 if growing => {
                let result = room.enter(&who, session, now);
                match model.enter(&who, session, now) {
                    Ok(is_new) => assert_eq!(result.unwrap().event.is_some(), is_new),
                    Err("banned") => assert!(matches!(result, Err(Error::Banned(_)))),
                    Err(_) => assert!(matches!(result, Err(Error::RoomFull(_)))),
                }
            }
            0..90 => {
                let (who, session) = match model.members.len() {
                    0 => (who, session),
                    _ if rng.random_bool(0.3) => (who, session),
                    length => {
                        let (member, sessions) = &model.members[rng.random_range(0..length)];
                        (member.clone(), sessions[0])
                    }
                };
                let result = room.leave(&who, session, LeaveCause::Leave, now);
                match model.leave(&who, session) {
                    None => assert!(matches!(result, Err(Error::NotAMember { .. }))),
                    Some(false) => assert_eq!(result, Ok(Departure::default())),
                    Some(true) => {
                        let event = Event::Left { user: who.clone(), cause: LeaveCause::Leave };
                        assert_eq!(result, Ok(Departure { event: Some(event), ..Departure::default() }));
                        if let Some(scan) = &mut scan {
                            scan.stayed.remove(&who);
                        }
                    }
                }
            }
            90..92 => {
                let duration = std::time::Duration::from_secs(rng.random_range(0..60));
                let put_out =
                    apply(&mut room, |room| Ok(room.ban(std::slice::from_ref(&who), "", duration, now)), now);
                let expected = model.place_of(&who).map(|at| model.members.remove(at).1).unwrap_or_default();
                assert_eq!(put_out, expected);
                model.banned_until.insert(who.clone(), now + duration);
                if let Some(scan) = &mut scan {
                    scan.stayed.remove(&who);
                }
                assert!(!room.members().contains(who.as_str()));
            }
            92..94 => {
                apply(&mut room, |room| Ok(room.unban(std::slice::from_ref(&who))), now);
                model.banned_until.remove(&who);
            }
            94 => {
                let capacity: u32 = if rng.random_bool(0.5) { 0 } else { rng.random_range(1..2000) };
                let fields = Fields { max_member_count: Some(capacity), ..Fields::default() };
                apply(&mut room, |room| room.update(&fields), now);
                model.capacity = capacity as usize;
            }
            _ => match &mut scan {
                None => {
                    let stayed = model.members.iter().map(|(member, _)| member.clone()).collect();
                    scan = Some(Scan { stayed, ..Scan::default() });
                }
                Some(going) => {
                    let page = room.page(&going.next, 0).unwrap();
                    let members: Vec<_> = page.members().cloned().collect();
                    assert!(members.len() <= PAGE_SIZE);
                    assert_eq!(page.member_count, model.members.len());
                    going.seen.extend(members);
                    going.next = page.next;
                    if going.next.is_empty() {
                        let mut counts: HashMap<&UserId, usize> = HashMap::new();
                        going.seen.iter().for_each(|seen| *counts.entry(seen).or_default() += 1);
                        for stayer in &going.stayed {
                            let count = counts.get(stayer).copied().unwrap_or(0);
                            assert_eq!(count, 1, "seed {seed} step {step}: how often the scan has {stayer}");
                        }
                        scan = None;
                        scans_finished += 1;
                    }
                }
            },
        }
        if step % 997 == 0 {
            let (mut listed, mut next) = (Vec::new(), String::new());
            loop {
                let page = room.page(&next, 0).unwrap();
                listed.extend(page.members().cloned());
                next = page.next;
                if next.is_empty() {
                    break;
                }
            }
            let truth: Vec<_> = model.members.iter().map(|(member, _)| member.clone()).collect();
            assert_eq!(listed, truth, "seed {seed} step {step}");
            let capped = room.page("", 1000).unwrap();
            assert_eq!(capped.members().cloned().collect::<Vec<_>>(), truth[..truth.len().min(1000)]);
            assert_eq!(capped.next, "");
        }
    }
    assert!(scans_finished > 10, "the history must finish scans to prove anything about them");
}

#[test]
fn long_random_histories_agree_with_a_plain_list() {
    let seed = match std::env::var("ROOMS_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => rand::random(),
    };
    println!("ROOMS_SEED={seed}");
    std::thread::scope(|scope| {
        scope.spawn(|| run(seed));
        scope.spawn(|| run(seed.wrapping_add(1)));
    });
}

#[test]
fn a_cap_ends_the_list_where_it_says() {
    let now = Time::from_unix_seconds(1);
    for (cap, members, pages) in [
        (1000, 2500, vec![1000]),
        (1000, 1000, vec![1000]),
        (0, 2500, vec![1000, 1000, 500]),
        (0, 2000, vec![1000, 1000]),
        (1500, 2500, vec![1000, 500]),
        (10, 2500, vec![10]),
        (0, 0, vec![0]),
    ] {
        let mut room = room(now);
        for number in 0..members {
            room.enter(&user(number), SessionId(1), now).unwrap();
        }
        let (mut seen, mut next) = (Vec::new(), String::new());
        loop {
            let page = room.page(&next, cap).unwrap();
            assert_eq!(page.member_count, members);
            seen.push(page.members().count());
            next = page.next;
            if next.is_empty() {
                break;
            }
        }
        assert_eq!(seen, pages, "cap {cap}, {members} members");
    }
}

#[test]
fn a_room_given_a_lifetime_ends_by_it() {
    let at = Time::from_unix_seconds;
    let fields = Fields {
        lifetime_after_no_users: Some(10),
        lifetime_after_owner_leave: Some(20),
        lifetime_after_owner_offline: Some(30),
        ..Fields::default()
    };
    let mut room = room(at(100));
    apply(&mut room, |room| room.update(&fields), at(100));
    let (owner, guest) = (UserId::parse("owner").unwrap(), user(1));
    assert_eq!(room.deadline(), Some(at(110)), "nobody has come yet");

    room.enter(&guest, SessionId(1), at(105)).unwrap();
    assert_eq!(room.deadline(), None, "an owner who was never there has not left");

    room.enter(&owner, SessionId(2), at(106)).unwrap();
    room.leave(&owner, SessionId(2), LeaveCause::Leave, at(107)).unwrap();
    assert_eq!(room.deadline(), Some(at(127)));

    room.enter(&owner, SessionId(2), at(108)).unwrap();
    room.leave(&owner, SessionId(2), LeaveCause::Interrupted, at(109)).unwrap();
    assert_eq!(room.deadline(), Some(at(139)));

    room.leave(&guest, SessionId(1), LeaveCause::Leave, at(110)).unwrap();
    assert_eq!(room.deadline(), Some(at(120)), "the earliest reason counts");
}

proptest! {
    #[test]
    fn no_cursor_panics(next in ".{0,60}") {
        let now = Time::from_unix_seconds(1);
        prop_assert!(next.is_empty() || room(now).page(&next, 0).is_err());
    }
}

#[test]
fn messages_have_one_order_and_the_last_fifty_are_kept() {
    let now = Time::from_unix_seconds(1);
    let mut room = room(now);
    let text = |text: &str| Content::Text { text: text.into(), extension: String::new() };
    assert!(matches!(room.send(&user(1), text("hi"), now), Err(Error::NotAMember { .. })));
    room.enter(&user(1), SessionId(1), now).unwrap();
    for number in 1..=60u64 {
        let Ok(Event::Message(message)) = room.send(&user(1), text("hi"), now) else { panic!("not sent") };
        assert_eq!(message.seq, number);
    }

    let kept: Vec<u64> = room.messages_after(0).map(|message| message.seq).collect();

    assert_eq!(kept, (11..=60).collect::<Vec<_>>());
    assert_eq!(room.messages_after(58).count(), 2);
    assert!(matches!(room.send(&user(1), text(""), now), Err(Error::Invalid(_))));
}
