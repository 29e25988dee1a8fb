//! What history takes: bytes a value of quality, a stay with its events, and how long a page takes of a day with a million stays. To be
//! run by hand: `cargo test --release -p roomful-history --test measure -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use history::{
    Call, Cause, Client, Event, History, MOST_SAMPLES, Options, Page, Place, Quality, Row, Samples, Stay,
    Window,
};

const NOON: i64 = 20_783 * 86_400 + 43_200;

/// Numbers by chance that are the same in each run (Marsaglia, xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 % u64::from(most)).unwrap()
    }
}

fn start(folder: &Path) -> History {
    let clock = Arc::new(|| NOON * 1000);
    let on_lost = Box::new(|| ());
    let (place, days, most_bytes) = (Place::Folder(folder.join("history")), 14, u64::MAX);
    History::start(Options { place, days, most_bytes, clock, on_lost }).unwrap()
}

fn bytes(folder: &Path, extension: &str) -> u64 {
    let files = std::fs::read_dir(folder.join("history")).unwrap().map(|entry| entry.unwrap());
    let files = files.filter(|file| file.file_name().to_str().unwrap().contains(extension));
    files.map(|file| file.metadata().unwrap().len()).sum()
}

/// What a camera, or what is watched of one, is like in a minute: bits, pictures, height, loss, round trip.
fn minute(chance: &mut Chance, is_bad: bool) -> Samples {
    let mut columns: Vec<(u8, Vec<Option<u32>>)> = (0..5).map(|number| (number, Vec::new())).collect();
    let (mut bits, mut round_trip) = (8_000 + chance.below(8_000), 20 + chance.below(80));
    let mut height = 720;
    for _ in 0..MOST_SAMPLES {
        let (mut lost, mut frames) = (0, 30 - u32::from(chance.below(8) == 0));
        bits = bits * (95 + chance.below(11)) / 100;
        let mut delay = round_trip + chance.below(4);
        if is_bad {
            lost = if chance.below(3) == 0 { chance.below(150) } else { chance.below(10) };
            frames = frames.saturating_sub(chance.below(15));
            bits = (bits * (70 + chance.below(61)) / 100).clamp(500, 20_000);
            round_trip = (round_trip + chance.below(40)).saturating_sub(chance.below(40)).max(5);
            delay = round_trip + chance.below(100);
            height = if chance.below(10) == 0 { 360 } else { height };
        }
        for ((_, values), value) in columns.iter_mut().zip([bits, frames, height, lost, delay]) {
            values.push(Some(value));
        }
    }
    Samples { count: MOST_SAMPLES, columns }
}

#[test]
#[ignore = "by hand: it prints figures"]
fn bytes_a_value() {
    const ROWS: i64 = 50_000;
    for (name, bad_of_ten) in [("10 % bad links", 1), ("all bad", 10)] {
        let folder = tempfile::tempdir().unwrap();
        let history = start(folder.path());
        let mut chance = Chance(7);
        let (mut values, mut packed, mut took) = (0, 0, Duration::ZERO);
        for number in 0..ROWS {
            let is_bad = chance.below(10) < bad_of_ten;
            let samples = minute(&mut chance, is_bad);
            let began = Instant::now();
            let row = history::pack(&samples);
            took += began.elapsed();
            assert_eq!(history::unpack(&row).as_ref(), Some(&samples));
            values += samples.values();
            packed += row.len();
            // Rooms of four: each sends one and receives three.
            let (call, stay, peer) = (number / 64, NOON * 1000 + number / 4, number % 4);
            let from = NOON + number % 16 * 56;
            history.note(Row::Quality(Quality { call, stay, from, peer, media: 2, packed: row }));
            if number % 1000 == 0 {
                assert!(history.flush(Duration::from_secs(60)));
            }
        }
        assert!(history.flush(Duration::from_secs(60)));
        drop(history);
        let file = bytes(folder.path(), ".quality");
        let of = |bytes: f64| bytes / values as f64;
        println!(
            "{name}: {:.2} bytes a value packed, {:.2} in the file; {} bytes a row; {:.0} ns a value to pack",
            of(packed as f64),
            of(file as f64),
            file / ROWS.unsigned_abs(),
            took.as_nanos() as f64 / values as f64
        );
    }
}

#[test]
#[ignore = "by hand: it prints figures"]
fn a_million_stays() {
    const CALLS: i64 = 100_000;
    const STAYS: i64 = 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let history = start(folder.path());
    let client = Client {
        sdk: "roomful-js/5.20.0".into(),
        device: "Chrome 142, Windows".into(),
        terminal: 1,
        address: "203.0.113.77".into(),
    };
    let call = |number: i64| {
        let made = NOON - 40_000 + number * 40_000 / CALLS;
        let (room, ended) = (format!("room-{number}").into(), Some((made + 600, Cause::Left)));
        Call { call: number + 1, app: 1, room, made, ended, creator: "host".into() }
    };
    let began = Instant::now();
    for number in 0..STAYS {
        let call = call(number * CALLS / STAYS);
        if number % (STAYS / CALLS) == 0 {
            history.note(Row::Call(Call { ended: None, ..call.clone() }));
            history.note(Row::Call(call.clone()));
        }
        let stay = call.made * 1000 + number % 10;
        let (user, client) = (format!("user-{}", number % 50_000).into(), client.clone());
        let open = Stay {
            call: call.call,
            stay,
            who: number % 10 + 1,
            app: 1,
            user,
            left: None,
            is_anchor: false,
            client,
        };
        history.note(Row::Stay(open.clone()));
        history.note(Row::Stay(Stay { left: Some((stay + 60_000, Cause::Left)), ..open }));
        if number % 10_000 == 0 {
            assert!(history.flush(Duration::from_secs(60)));
        }
    }
    assert!(history.flush(Duration::from_secs(60)));
    let took = began.elapsed();
    println!("{:.0} stays a second are written", STAYS as f64 / took.as_secs_f64());

    let reader = history.reader();
    let window = Window { from: NOON - 43_000, to: NOON };
    for page in [0, 500] {
        let page = Page { number: page, size: 100 };
        reader.calls(1, window, &[], page).unwrap();
        let began = Instant::now();
        let (total, found) = reader.calls(1, window, &[], page).unwrap();
        println!("page {} of {total} calls: {} in {:?}", page.number, found.len(), began.elapsed());
    }
    let first = call(CALLS / 2);
    let began = Instant::now();
    let (total, _) = reader.stays(&first, window, &[], Page { number: 0, size: 6 }).unwrap();
    println!("a page of {total} stays: {:?}", began.elapsed());
    let began = Instant::now();
    let events = Event { call: 1, stay: 1, at: 1, n: 0, event: 32_768, media: 2, peer: 0, p1: -1, p2: -1 };
    (0..1000).for_each(|n| history.note(Row::Event(Event { n, ..events.clone() })));
    println!("noting one takes {:?}", began.elapsed() / 1000);
    drop(history);
    println!("{} bytes a stay, with its call", bytes(folder.path(), ".calls") / STAYS.unsigned_abs());
}
