//! The core alone: what a member costs in time and memory, and a page at either end of a very large room.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Context as _;
use rooms::{Fields, LeaveCause, Room, RoomId, RoomInfo, RoomType, SessionId, Time, UserId};

use crate::process::resident_bytes;
use crate::{Figure, Target, median};

const MANY: usize = 1_000_000;
const ROOMFUL: usize = 100_000;
const PAIRS: usize = 2_000_000;

pub(crate) fn run() -> anyhow::Result<Vec<Figure>> {
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

    let mut half = room(now)?;
    for (user, number) in users.iter().take(ROOMFUL).zip(0..) {
        half.enter(user, SessionId(number), now)?;
    }
    // The members come and go in no order.
    let order: Vec<usize> = (0..PAIRS).map(|_| rand::random_range(0..ROOMFUL)).collect();
    let started = Instant::now();
    for number in order {
        let Some(user) = users.get(number) else { continue };
        let session = SessionId(number as u64);
        black_box(half.leave(user, session, LeaveCause::Leave, now))?;
        black_box(half.enter(user, session, now))?;
    }
    let pairs = PAIRS as f64 / started.elapsed().as_secs_f64();

    Ok(vec![
        Figure {
            name: "core: enter + leave, room of 100,000",
            unit: "pairs/s",
            ours: pairs,
            bare: None,
            target: Target::AtLeast(1e6),
        },
        Figure {
            name: "core: memory of a member, room of 1,000,000",
            unit: "bytes",
            ours: bytes_each,
            bare: None,
            target: Target::AtMost(200.0),
        },
        Figure {
            name: "core: last page beside first, room of 1,000,000",
            unit: "pages/s",
            ours: median(at_last),
            bare: Some(median(at_first)),
            target: Target::AtLeast(0.8),
        },
    ])
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
