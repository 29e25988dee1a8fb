//! The core alone: what a member costs in time and memory, and a page at either end of a very large room.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Context as _;
use rooms::{Fields, LeaveCause, Room, RoomId, RoomInfo, RoomType, SessionId, Time, UserId};

use crate::calls;
use crate::figure::{Figure, Pairs, Target, median};
use crate::process::{Process, resident_bytes, unsigned_list_request};

const MANY: usize = 1_000_000;
const ROOMFUL: usize = 100_000;
const PAIRS: usize = 400_000;
const ROUNDS: usize = 5;

/// A million pairs a second where the bare server gives 80,000 calls: on a slower machine both are fewer.
const PAIRS_A_CALL: f64 = 1e6 / 80_000.0;

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let now = Time::from_unix_seconds(1_700_000_000);
    let users: Vec<UserId> =
        (0..MANY).map(|number| UserId::parse(&format!("user-{number:07}"))).collect::<Result<_, _>>()?;

    let before = resident_bytes(None)?;
    let mut large = room(now)?;
    for (user, number) in users.iter().zip(0..) {
        large.enter(user, SessionId(number), now)?;
    }
    let bytes_each = (resident_bytes(None)? - before) / MANY as f64;

    let mut cursors = vec![String::new()];
    loop {
        let next = large.page(cursors.last().context("a cursor")?, 0)?.next;
        if next.is_empty() {
            break;
        }
        cursors.push(next);
    }
    let (first, last) = (String::new(), cursors.last().cloned().unwrap_or_default());
    let (mut at_first, mut at_last) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        at_first.push(pages_a_second(&large, &first)?);
        at_last.push(pages_a_second(&large, &last)?);
    }
    drop(large);

    Ok(vec![
        Figure::in_turn(
            "core: enter + leave, room of 100,000, beside calls of the bare server",
            "pairs/s",
            moves(&users, now).await?,
            Target::AtLeast(PAIRS_A_CALL),
        ),
        Figure::alone(
            "core: memory of a member, room of 1,000,000",
            "bytes",
            bytes_each,
            Target::AtMost(200.0),
        ),
        Figure::beside(
            "core: last page beside first, room of 1,000,000",
            "pages/s",
            median(at_last),
            median(at_first),
            Target::AtLeast(0.8),
        ),
    ])
}

/// Enters and leaves a second of the rules, beside calls a second of the bare server.
async fn moves(users: &[UserId], now: Time) -> anyhow::Result<Pairs> {
    let mut room = room(now)?;
    for (user, number) in users.iter().take(ROOMFUL).zip(0..) {
        room.enter(user, SessionId(number), now)?;
    }
    let bare = Process::bare(&["bare-http", "1000"])?;
    let mut pairs = Pairs::default();
    for _ in 0..ROUNDS {
        // The members come and go in no order.
        let order: Vec<usize> = (0..PAIRS).map(|_| rand::random_range(0..ROOMFUL)).collect();
        let started = Instant::now();
        for number in order {
            let Some(user) = users.get(number) else { continue };
            let session = SessionId(number as u64);
            black_box(room.leave(user, session, LeaveCause::Leave, now))?;
            black_box(room.enter(user, session, now))?;
        }
        let rate = PAIRS as f64 / started.elapsed().as_secs_f64();
        let calls = calls::load(&bare, &unsigned_list_request()).await?.rate();
        println!("core: {rate:.0} pairs a second; {calls:.0} calls of the bare server");
        pairs.push(rate, calls);
    }
    Ok(pairs)
}

fn room(now: Time) -> anyhow::Result<Room> {
    let info = RoomInfo::create(
        RoomId::parse("r")?,
        RoomType::Live,
        UserId::parse("o")?,
        &Fields::default(),
        now,
        1,
    )?;
    Ok(Room::new(info, now))
}

fn pages_a_second(room: &Room, next: &str) -> anyhow::Result<f64> {
    const PAGES: usize = 500;
    let started = Instant::now();
    for _ in 0..PAGES {
        let page = room.page(black_box(next), 0)?;
        black_box(page.members().map(|user| user.as_str().len()).sum::<usize>());
    }
    Ok(PAGES as f64 / started.elapsed().as_secs_f64())
}
