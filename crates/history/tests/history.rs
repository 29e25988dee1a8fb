//! What was noted is found again, in files and in a database: over days, restarts, and a folder or table that somebody deletes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../../tests/harness/postgres.rs"]
mod database;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use history::{
    Call, CallId, Cause, Client, Event, Forget, History, Options, Page, Place, Quality, Row, SLOT, Served,
    Service, Spent, Stay, Unusual, Usage, Window, number_of,
};

use database::{Cut, Database, Wire};
use store::Target;

const APP: u32 = 1_400_000_001;

/// 2026-11-26, noon.
const NOON: i64 = 20_783 * 86_400 + 43_200;

const MIDNIGHT: i64 = NOON + 43_200;

const ALL: Page = Page { number: 0, size: 100 };

/// Where history is.
enum At {
    Folder(tempfile::TempDir),
    Database { url: String, schema: String },
}

struct World {
    at: At,
    /// How many runs of a server there were.
    runs: AtomicI64,
    now: Arc<AtomicI64>,
    lost: Arc<AtomicUsize>,
    most_bytes: AtomicU64,
}

impl World {
    fn at(at: At) -> Self {
        let now = Arc::new(AtomicI64::new(NOON * 1000));
        let most_bytes = AtomicU64::new(20 << 30);
        Self { at, runs: AtomicI64::new(0), now, lost: Arc::default(), most_bytes }
    }

    fn in_folder() -> Self {
        Self::at(At::Folder(tempfile::tempdir().unwrap()))
    }

    fn in_database() -> Self {
        let (url, schema) = Database::shared().own_url();
        Database::shared().sql(&format!("CREATE SCHEMA {schema}"));
        Self::at(At::Database { url, schema })
    }

    fn each() -> [Self; 2] {
        [Self::in_folder(), Self::in_database()]
    }

    fn set(&self, seconds: i64) {
        self.now.store(seconds * 1000, Ordering::SeqCst);
    }

    /// The folder; of a database none.
    fn files(&self) -> Option<std::path::PathBuf> {
        match &self.at {
            At::Folder(folder) => Some(folder.path().join("history")),
            At::Database { .. } => None,
        }
    }

    fn folder(&self) -> std::path::PathBuf {
        self.files().unwrap()
    }

    /// Runs SQL in the database.
    fn sql(&self, sql: &str) -> String {
        let At::Database { schema, .. } = &self.at else { panic!("there is no database") };
        Database::shared().sql(&format!("SET search_path = {schema}; {sql}"))
    }

    /// Another run of a server.
    fn start(&self) -> History {
        let generation = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        self.run(match &self.at {
            At::Folder(_) => Place::Folder(self.folder()),
            At::Database { url, .. } => {
                Place::Database { target: Box::new(Target::parse(url, None).unwrap()), generation }
            }
        })
    }

    fn run(&self, place: Place) -> History {
        let (now, lost) = (self.now.clone(), self.lost.clone());
        let options = Options {
            place,
            days: 14,
            most_bytes: self.most_bytes.load(Ordering::SeqCst),
            clock: Arc::new(move || now.load(Ordering::SeqCst)),
            on_lost: Box::new(move || _ = lost.fetch_add(1, Ordering::SeqCst)),
        };
        History::start(options).unwrap()
    }
}

fn written(history: &History) {
    assert!(history.flush(Duration::from_secs(20)), "{:?}", history.numbers());
}

fn call(call: i64, room: &str, made: i64) -> Call {
    Call { call, app: APP, room: room.into(), made, ended: None, creator: "ann".into() }
}

fn stay(call: i64, user: &str, who: i64, entered: i64) -> Stay {
    let client =
        Client { sdk: "5.20.0".into(), device: "chrome".into(), terminal: 100, address: "192.0.2.7".into() };
    let stay = entered * 1000;
    Stay { call, stay, who, app: APP, user: user.into(), left: None, is_anchor: false, client }
}

fn ended(call: Call, at: i64) -> Row {
    Row::Call(Call { ended: Some((at, Cause::Destroyed)), ..call })
}

fn left(stay: Stay, at: i64) -> Row {
    Row::Stay(Stay { left: Some((at * 1000, Cause::Left)), ..stay })
}

fn window(from: i64, to: i64) -> Window {
    Window { from, to }
}

fn rooms(history: &History, from: i64, to: i64) -> (usize, Vec<String>) {
    let (total, calls) = history.reader().calls(APP, window(from, to), &[], ALL).unwrap();
    (total, calls.iter().map(|call| call.room.to_string()).collect())
}

#[test]
fn calls_of_a_window_come_newest_first_and_page_by_page() {
    for world in World::each() {
        calls_of_a_window_come_newest_first_and_page_by_page_in(&world);
    }
}

fn calls_of_a_window_come_newest_first_and_page_by_page_in(world: &World) {
    let history = world.start();
    for number in 0..10 {
        let made = NOON - 1000 + number * 10;
        history.note(ended(call(number + 1, &format!("room-{number}"), made), made + 100));
    }
    history.note(Row::Call(Call { app: APP + 1, ..call(99, "another's", NOON - 950) }));
    written(&history);
    let reader = history.reader();

    let (total, page) =
        reader.calls(APP, window(NOON - 895, NOON - 885), &[], Page { number: 1, size: 2 }).unwrap();

    // All but the first, which ended before.
    assert_eq!(total, 9);
    let names: Vec<&str> = page.iter().map(|call| &*call.room).collect();
    assert_eq!(names, ["room-7", "room-6"]);
    let (total, page) = reader.calls(APP, window(NOON - 2000, NOON), &["room-3".into()], ALL).unwrap();
    assert_eq!((total, page[0].call), (1, 4));
    assert_eq!(page[0].ended, Some((NOON - 870, Cause::Destroyed)));
    assert_eq!(reader.calls(APP, window(NOON, NOON + 9), &[], ALL).unwrap().0, 0);
}

#[test]
fn two_calls_of_a_room_in_one_second_are_told_apart() {
    for world in World::each() {
        two_calls_of_a_room_in_one_second_are_told_apart_in(&world);
    }
}

fn two_calls_of_a_room_in_one_second_are_told_apart_in(world: &World) {
    let history = world.start();
    let (first, second) = (call(1, "r", NOON), call(2, "r", NOON));
    history.note(ended(first.clone(), NOON));
    history.note(Row::Call(second.clone()));
    written(&history);
    // Once more, as after a restart.
    history.note(Row::Call(second));
    written(&history);

    let find = |made| {
        let id = CallId { app: APP, number: number_of("r"), made };
        history.reader().call(id, window(NOON - 10, NOON + 10)).unwrap().map(|call| call.call)
    };
    assert_eq!([find(NOON), find(NOON - 1), find(NOON + 1)], [Some(1), Some(2), None]);
}

#[test]
fn a_room_that_is_made_anew_again_and_again_is_found_in_the_time_that_is_over() {
    for world in World::each() {
        a_room_that_is_made_anew_again_and_again_is_found_in_the_time_that_is_over_in(&world);
    }
}

fn a_room_that_is_made_anew_again_and_again_is_found_in_the_time_that_is_over_in(world: &World) {
    const TIMES: i64 = 500;
    let history = world.start();
    for number in 1..=TIMES {
        let at = NOON + number / 100;
        history.note(ended(call(number, "r", at), at));
        if number % 90 == 0 {
            // Part of them by a server that knows nothing of the others.
            written(&history);
        }
    }
    written(&history);
    drop(history);
    let history = world.start();
    history.note(ended(call(TIMES + 1, "r", NOON + 5), NOON + 5));
    written(&history);

    let of_day = Page { number: 0, size: 1000 };
    let (total, calls) = history.reader().calls(APP, window(NOON, NOON + 5), &[], of_day).unwrap();
    assert_eq!((total, calls.len()), (501, 501));
    let names: std::collections::BTreeSet<i64> = calls.iter().map(|call| call.made).collect();
    assert_eq!((names.len(), names.last()), (501, Some(&(NOON + 5))), "each has a name of its own");
}

/// The seconds that are taken are looked for however many there are: one that is given twice holds up all that is written that day.
#[test]
fn many_calls_of_a_room_in_one_second_hold_nothing_up() {
    for world in World::each() {
        let history = world.start();
        (1..=70).for_each(|number| history.note(ended(call(number, "r", NOON), NOON)));
        written(&history);

        history.note(Row::Call(call(71, "r", NOON)));
        written(&history);

        let id = CallId { app: APP, number: number_of("r"), made: NOON - 70 };
        let found = history.reader().call(id, window(NOON - 10, NOON + 100)).unwrap();
        assert_eq!(found.map(|call| call.call), Some(71));
    }
}

#[test]
fn who_was_in_a_call_is_listed_by_stay_with_what_it_came() {
    for world in World::each() {
        who_was_in_a_call_is_listed_by_stay_with_what_it_came_in(&world);
    }
}

fn who_was_in_a_call_is_listed_by_stay_with_what_it_came_in(world: &World) {
    let history = world.start();
    let room = call(7, "123", NOON - 100);
    history.note(Row::Call(room.clone()));
    history.note(left(stay(7, "ann", 1, NOON - 90), NOON - 80));
    history.note(Row::Stay(stay(7, "ben", 2, NOON - 70)));
    history.note(Row::Stay(Stay { stay: (NOON - 60) * 1000, ..stay(7, "ann", 3, NOON - 60) }));
    written(&history);
    let reader = history.reader();
    let list = |from, to, users: &[&str], page| {
        let users: Vec<String> = users.iter().map(ToString::to_string).collect();
        let (total, stays) = reader.stays(&room, window(from, to), &users, page).unwrap();
        (total, stays.iter().map(|stay| (stay.user.to_string(), stay.who)).collect::<Vec<_>>())
    };
    let one = |user: &str, who| (user.to_owned(), who);

    let all = vec![one("ann", 1), one("ben", 2), one("ann", 3)];
    assert_eq!(list(NOON - 100, NOON, &[], ALL), (3, all));
    assert_eq!(list(NOON - 100, NOON, &[], Page { number: 1, size: 2 }), (3, vec![one("ann", 3)]));
    assert_eq!(list(NOON - 75, NOON - 65, &[], ALL), (1, vec![one("ben", 2)]));
    assert_eq!(list(NOON - 100, NOON, &["ann", "eve"], ALL), (2, vec![one("ann", 1), one("ann", 3)]));
    let (_, stays) = reader.stays(&room, window(NOON - 100, NOON), &[], ALL).unwrap();
    assert_eq!(stays[0].left, Some(((NOON - 80) * 1000, Cause::Left)));
    assert_eq!(stays[1], stay(7, "ben", 2, NOON - 70));
}

#[test]
fn a_crowd_that_comes_and_goes_at_once_is_listed_whole() {
    for world in World::each() {
        a_crowd_that_comes_and_goes_at_once_is_listed_whole_in(&world);
    }
}

fn a_crowd_that_comes_and_goes_at_once_is_listed_whole_in(world: &World) {
    let history = world.start();
    let room = call(7, "123", NOON - 1000);
    let come = |number: i64| Stay {
        is_anchor: number % 7 == 0,
        ..stay(7, &format!("user-{number}"), number, NOON - number)
    };
    let gone = |number: i64| (number % 3 == 0).then_some(((NOON - number / 2) * 1000, Cause::Left));
    // More than go in by one statement, in no order, some in one batch with their end, some before it.
    for numbers in [0..70, 70..200] {
        numbers.clone().for_each(|number| history.note(Row::Stay(come(number * 37 % 200))));
        history.note(Row::Call(room.clone()));
        if numbers.start == 0 {
            written(&history);
        }
    }
    (0..200).filter(|number| gone(*number).is_some()).for_each(|number| {
        history.note(Row::Stay(Stay { left: gone(number), ..come(number) }));
    });
    written(&history);

    let page = Page { number: 0, size: 1000 };
    let (total, stays) = history.reader().stays(&room, window(NOON - 1000, NOON), &[], page).unwrap();

    let expected: Vec<Stay> =
        (0..200).rev().map(|number| Stay { left: gone(number), ..come(number) }).collect();
    assert_eq!((total, stays), (200, expected));
}

#[test]
fn what_lasts_over_midnight_is_in_both_days_and_its_end_is_seen_from_both() {
    for world in World::each() {
        what_lasts_over_midnight_is_in_both_days_and_its_end_is_seen_from_both_in(&world);
    }
}

fn what_lasts_over_midnight_is_in_both_days_and_its_end_is_seen_from_both_in(world: &World) {
    let history = world.start();
    let lasting = call(1, "lasting", NOON);
    history.note(Row::Call(lasting.clone()));
    history.note(ended(call(2, "over", NOON), NOON + 5));
    let staying = stay(1, "ann", 1, NOON + 1);
    history.note(Row::Stay(staying.clone()));
    for number in 0..2500 {
        history.note(Row::Stay(Stay { stay: (NOON - 5) * 1000 + number, ..stay(1, "u", 10 + number, NOON) }));
    }
    history.note(Row::Settled);
    written(&history);

    let later = MIDNIGHT + 600;
    world.set(later);
    // While only a part is carried over, the day before has the rest.
    history.note(Row::Call(call(3, "new", later - 1)));
    written(&history);
    assert_eq!(rooms(&history, later - 9, later), (2, vec!["new".into(), "lasting".into()]));
    let all = || history.reader().stays(&lasting, window(later - 9, later), &[], ALL).unwrap().0;
    assert_eq!(all(), 2501);
    for _ in 0..4 {
        history.note(Row::Stay(staying.clone()));
        written(&history);
    }
    if let Some(folder) = world.files() {
        let (there, away) = (folder.join("2026-11-26.calls"), folder.join("away"));
        std::fs::rename(&there, &away).unwrap();
        assert_eq!(all(), 2501, "all of it is carried over");
        std::fs::rename(&away, &there).unwrap();
    } else {
        let carried = world.sql(
            "SELECT count(*) FROM history_stays_2026_11_27 JOIN history_people_2026_11_27 USING (call, who)",
        );
        assert_eq!(carried, "2501", "all of it is carried over");
        assert_eq!(all(), 2501);
    }

    history.note(left(staying, later + 8));
    history.note(ended(lasting.clone(), later + 9));
    written(&history);

    assert_eq!(rooms(&history, NOON, NOON + 10), (2, vec!["over".into(), "lasting".into()]));
    let (_, calls) = history.reader().calls(APP, window(NOON, NOON + 1), &["lasting".into()], ALL).unwrap();
    assert_eq!(calls[0].ended, Some((later + 9, Cause::Destroyed)));
    let (_, stays) = history.reader().stays(&lasting, window(NOON, NOON + 9), &["ann".into()], ALL).unwrap();
    assert_eq!(stays[0].left, Some(((later + 8) * 1000, Cause::Left)));
    let scale = history.reader().scale(APP, window(NOON, later)).unwrap();
    assert_eq!(scale.len(), 1, "never today");
    assert_eq!((scale[0].day, scale[0].calls, scale[0].entries, scale[0].users), (NOON - 43_200, 2, 2501, 2));
}

#[test]
fn what_nobody_claims_after_a_restart_ended_when_the_server_was_last_heard_of() {
    for world in World::each() {
        what_nobody_claims_after_a_restart_ended_when_the_server_was_last_heard_of_in(&world);
    }
}

fn what_nobody_claims_after_a_restart_ended_when_the_server_was_last_heard_of_in(world: &World) {
    let (here, gone) = (call(1, "here", NOON - 50), call(2, "gone", NOON - 50));
    let (staying, lost) = (stay(1, "ann", 1, NOON - 40), stay(1, "ben", 2, NOON - 30));
    {
        let history = world.start();
        history.note(Row::Call(here.clone()));
        history.note(Row::Call(gone));
        history.note(Row::Stay(staying.clone()));
        history.note(Row::Stay(lost));
        history.note(Row::Stay(stay(1, "eve", 3, NOON + 20)));
        written(&history);
    }
    for later in [NOON + 600, MIDNIGHT + 600] {
        world.set(later);
        let history = world.start();
        history.note(Row::Call(here.clone()));
        history.note(Row::Stay(staying.clone()));
        history.note(Row::Settled);
        written(&history);
        let reader = history.reader();
        let (_, calls) = reader.calls(APP, window(NOON - 100, NOON + 100), &[], ALL).unwrap();
        let ends: Vec<_> = calls.iter().map(|call| (&*call.room, call.ended)).collect();
        assert_eq!(ends, [("gone", Some((NOON, Cause::TimedOut))), ("here", None)]);
        let (_, stays) = reader.stays(&here, window(NOON - 100, NOON + 100), &[], ALL).unwrap();
        let ends: Vec<_> =
            stays.iter().map(|stay| (&*stay.user, stay.left.map(|(at, _)| at / 1000))).collect();
        assert_eq!(ends, [("ann", None), ("ben", Some(NOON)), ("eve", Some(NOON + 20))]);
        // It is there still, and not the others.
        assert_eq!(rooms(&history, later, later + 10), (1, vec!["here".into()]));
    }
}

#[test]
fn a_folder_that_is_deleted_is_made_again_and_what_goes_on_is_asked_for() {
    let world = World::in_folder();
    let history = world.start();
    history.note(Row::Call(call(1, "r", NOON)));
    written(&history);
    assert_eq!(world.lost.load(Ordering::SeqCst), 0);

    std::fs::remove_dir_all(world.folder()).unwrap();
    history.note(Row::Call(call(2, "s", NOON)));
    written(&history);

    assert_eq!(rooms(&history, NOON, NOON + 1), (1, vec!["s".into()]));
    let told = std::time::Instant::now();
    while world.lost.load(Ordering::SeqCst) == 0 {
        assert!(told.elapsed() < Duration::from_secs(10));
        std::thread::yield_now();
    }
    // Nor does a file that is none keep anybody from being noted.
    drop(history);
    for name in files(&world.folder()) {
        std::fs::remove_file(world.folder().join(name)).unwrap();
    }
    std::fs::write(world.folder().join("2026-11-26.calls"), "this is no database, but a text").unwrap();
    let history = world.start();
    history.note(Row::Call(call(3, "t", NOON)));
    written(&history);
    assert_eq!(rooms(&history, NOON, NOON + 1), (1, vec!["t".into()]));
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn nobody_else_on_the_machine_may_read_who_was_where() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::in_folder();
    let history = world.start();
    history.note(Row::Call(call(1, "r", NOON)));
    history.note(Row::Stay(stay(1, "ann", 1, NOON)));
    history.note(Row::Quality(Quality { call: 1, stay: 1, from: 1, peer: 0, media: 2, packed: vec![0] }));
    written(&history);

    let all = files(&world.folder()).into_iter().map(|file| world.folder().join(file));
    for path in all.chain([world.folder()]) {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
}

#[test]
fn a_disk_that_refuses_holds_nobody_up_and_gets_it_later() {
    let world = World::in_folder();
    // Where the folder is to be there is a file.
    std::fs::write(world.folder(), "").unwrap();
    let history = world.start();
    history.note(Row::Call(call(1, "r", NOON)));
    assert!(!history.flush(Duration::from_secs(3)));
    assert!(history.numbers().failures > 0 && history.numbers().waiting_bytes > 0);

    std::fs::remove_file(world.folder()).unwrap();

    written(&history);
    assert_eq!(rooms(&history, NOON, NOON + 1), (1, vec!["r".into()]));
    assert_eq!(history.numbers().waiting_bytes, 0);
}

#[test]
fn of_whom_is_forgotten_nothing_personal_is_left_on_any_day() {
    for world in World::each() {
        of_whom_is_forgotten_nothing_personal_is_left_on_any_day_in(&world);
    }
}

fn of_whom_is_forgotten_nothing_personal_is_left_on_any_day_in(world: &World) {
    let history = world.start();
    let (room, name) = (call(1, "r", NOON), "ann-with-a-name-that-is-found");
    history.note(Row::Call(Call { creator: name.into(), ..room.clone() }));
    history.note(Row::Stay(stay(1, name, 1, NOON + 1)));
    history.note(Row::Stay(stay(1, "ben", 2, NOON + 2)));
    history.note(Row::Settled);
    written(&history);
    world.set(MIDNIGHT + 5);
    history.note(left(stay(1, name, 1, NOON + 1), MIDNIGHT + 4));
    written(&history);

    history.note(Row::Forget(Forget { app: APP, user: name.into(), before: (MIDNIGHT + 5) * 1000 }));
    history.note(Row::Stay(stay(1, name, 3, MIDNIGHT + 6)));
    written(&history);

    let reader = history.reader();
    let (total, stays) = reader.stays(&room, window(NOON, NOON + 9), &[], ALL).unwrap();
    let seen: Vec<_> = stays.iter().map(|stay| (&*stay.user, &*stay.client.address)).collect();
    assert_eq!((total, seen), (2, vec![("", ""), ("ben", "192.0.2.7")]));
    let again = reader.stays(&room, window(MIDNIGHT, MIDNIGHT + 9), &[name.into()], ALL).unwrap();
    assert_eq!(again.0, 1, "who came under that name later is another");
    let Some(folder) = world.files() else { return };
    let yesterday = std::fs::read(folder.join("2026-11-26.calls")).unwrap();
    assert!(!yesterday.windows(name.len()).any(|bytes| bytes == name.as_bytes()), "nor between the rows");
}

#[test]
fn who_is_forgotten_still_counts() {
    for world in World::each() {
        who_is_forgotten_still_counts_in(&world);
    }
}

/// Those who are forgotten have one name, which is none: they were taken for one user.
fn who_is_forgotten_still_counts_in(world: &World) {
    let history = world.start();
    let room = call(1, "r", NOON);
    history.note(Row::Call(room.clone()));
    for (number, name) in (1..).zip(["ann", "ben", "cat"]) {
        history.note(Row::Stay(stay(1, name, number, NOON + number)));
    }
    history.note(Row::Settled);
    for name in ["ann", "ben"] {
        history.note(Row::Forget(Forget { app: APP, user: name.into(), before: (NOON + 5) * 1000 }));
    }
    written(&history);
    world.set(MIDNIGHT + 900);

    let reader = history.reader();
    let scale = reader.scale(APP, window(NOON, NOON + 9)).unwrap();
    assert_eq!((scale[0].users, scale[0].entries), (3, 3));
    let crowds = reader.crowds(APP, window(NOON, NOON + 9), false).unwrap();
    assert_eq!((crowds[0].users, crowds[0].most_users), (3, 3));
    assert_eq!(reader.stays(&room, window(NOON, NOON + 9), &[String::new()], ALL).unwrap(), (0, vec![]));
}

#[test]
fn events_are_found_by_stay_and_those_of_others_by_call() {
    for world in World::each() {
        events_are_found_by_stay_and_those_of_others_by_call_in(&world);
    }
}

fn events_are_found_by_stay_and_those_of_others_by_call_in(world: &World) {
    let history = world.start();
    let room = call(1, "r", NOON);
    let (ann, ben) = (stay(1, "ann", 1, NOON + 1), stay(1, "ben", 2, NOON + 2));
    history.note(Row::Call(room));
    history.note(Row::Stay(ann.clone()));
    history.note(Row::Stay(ben.clone()));
    let event = |stay: &Stay, at: i64, n, event| {
        let (call, stay) = (1, stay.stay);
        Event { call, stay, at: at * 1000, n, event, media: 2, peer: 0, p1: -1, p2: -1 }
    };
    let events =
        [event(&ann, NOON + 3, 1, 32768), event(&ann, NOON + 3, 0, 32769), event(&ben, NOON + 4, 0, 32768)];
    events.iter().chain(&events).for_each(|event| history.note(Row::Event(event.clone())));
    written(&history);
    let reader = history.reader();

    let own = reader.events(std::slice::from_ref(&ann), window(NOON, NOON + 3)).unwrap();
    assert_eq!(own.iter().map(|event| (event.n, event.event)).collect::<Vec<_>>(), [(0, 32769), (1, 32768)]);
    let others = reader.events_of_others(&ann, window(NOON, NOON + 9), &[32768, 32770]).unwrap();
    let seen: Vec<_> = others.iter().map(|(who, event)| (&*who.user, event.at / 1000, event.event)).collect();
    assert_eq!(seen, [("ben", NOON + 4, 32768)]);
}

fn spent(audio: u64, hd: u64) -> Spent {
    Spent { audio, each: [0, hd, 0, 0, 0], together: [0, 0, hd, 0, 0] }
}

fn usage(call: i64, room: &str, slot: i64, spent: Spent) -> Row {
    Row::Usage(Usage { app: APP, slot, call, room: room.into(), spent })
}

#[test]
fn usage_grows_within_a_run_is_added_up_over_runs_and_is_of_its_own_day() {
    for world in World::each() {
        usage_grows_within_a_run_is_added_up_over_runs_and_is_of_its_own_day_in(&world);
    }
}

fn usage_grows_within_a_run_is_added_up_over_runs_and_is_of_its_own_day_in(world: &World) {
    let history = world.start();
    let late = MIDNIGHT - SLOT;
    // The same is told again and again, and behind the day's end.
    world.set(MIDNIGHT + 20);
    for grown in 1..=3 {
        history.note(usage(1, "room", late, spent(1000 * grown, grown)));
        written(&history);
    }
    history.note(usage(1, "room", MIDNIGHT, spent(500, 0)));
    history.note(usage(2, "room", MIDNIGHT, spent(700, 0)));
    history.note(usage(3, "*7", late, spent(10, 1)));
    history.note(Row::Usage(Usage {
        app: APP + 1,
        slot: late,
        call: 9,
        room: "x".into(),
        spent: spent(1, 1),
    }));
    written(&history);
    drop(history);

    // After a crash another run counts anew.
    world.set(MIDNIGHT + 60);
    let history = world.start();
    history.note(usage(1, "room", MIDNIGHT, spent(40, 2)));
    written(&history);

    let reader = history.reader();
    let found = reader.used(APP, NOON, MIDNIGHT + 3600).unwrap();
    assert_eq!(found, [(late, spent(3010, 4)), (MIDNIGHT, spent(1240, 2))]);
    assert_eq!(reader.used(APP, MIDNIGHT, MIDNIGHT + SLOT).unwrap().len(), 1);
    assert_eq!(reader.used_on(APP, MIDNIGHT - 86_400).unwrap(), spent(3010, 4));
    assert_eq!(reader.used_on(APP, MIDNIGHT).unwrap(), spent(1240, 2));
    assert_eq!(reader.used_on(APP, MIDNIGHT + 86_400).unwrap(), Spent::default());
    let by_rooms = reader.used_by_rooms(APP, NOON, MIDNIGHT + SLOT).unwrap();
    assert_eq!(by_rooms, [("*7".to_owned(), spent(10, 1)), ("room".to_owned(), spent(4240, 5))]);

    // A day that is over long ago is remembered, and seen again when its file is another.
    world.set(MIDNIGHT + 86_400 + 3600);
    assert_eq!(reader.used_on(APP, MIDNIGHT).unwrap(), spent(1240, 2));
    assert_eq!(reader.used_on(APP, MIDNIGHT).unwrap(), spent(1240, 2));
    match world.files() {
        Some(folder) => std::fs::remove_file(folder.join("2026-11-27.usage")).unwrap(),
        None => {
            world.sql("DROP TABLE history_usage_2026_11_27");
            // For a second it is not asked which days there are.
            std::thread::sleep(Duration::from_millis(1100));
        }
    }
    assert_eq!(reader.used_on(APP, MIDNIGHT).unwrap(), Spent::default());
}

#[test]
fn how_users_were_served_is_added_up_over_runs() {
    for world in World::each() {
        how_users_were_served_is_added_up_over_runs_in(&world);
    }
}

fn how_users_were_served_is_added_up_over_runs_in(world: &World) {
    let served = |stalled| Served { video: [2000, stalled], joins: [1, 1, 0], ..Served::default() };
    for stalled in [300, 400] {
        let history = world.start();
        for part in [stalled / 2, stalled] {
            history.note(Row::Service(Service { app: APP, slot: NOON, served: served(part) }));
            written(&history);
        }
        drop(history);
        world.set(NOON + 100);
    }

    let found = world.start().reader().served(APP, NOON - 3600, NOON + 3600).unwrap();

    let expected = Served { video: [4000, 700], joins: [2, 2, 0], ..Served::default() };
    assert_eq!(found, [(NOON, expected)]);
}

#[test]
fn what_was_noticed_is_found_with_who_and_where_the_newest_first() {
    for world in World::each() {
        what_was_noticed_is_found_with_who_and_where_the_newest_first_in(&world);
    }
}

fn what_was_noticed_is_found_with_who_and_where_the_newest_first_in(world: &World) {
    let history = world.start();
    for number in 1..=2 {
        history.note(Row::Call(call(number, &format!("room-{number}"), NOON - 100)));
        history.note(Row::Stay(stay(number, "ann", 1, NOON - 90)));
    }
    let noticed = |call: i64, at: i64| Unusual {
        app: APP,
        call,
        stay: (NOON - 90) * 1000,
        at: at * 1000,
        experience: 4,
        causes: vec![(2017, 2), (2001, 0)],
    };
    for at in 0..5 {
        history.note(Row::Unusual(noticed(1 + at % 2, NOON - 50 + at)));
    }
    written(&history);
    let reader = history.reader();
    let find = |rooms: &[String], most| reader.unusual(APP, window(NOON - 49, NOON), rooms, most).unwrap();

    let all = find(&[], 20);
    assert_eq!(all.iter().map(|one| one.what.at / 1000 - NOON).collect::<Vec<_>>(), [-46, -47, -48, -49]);
    assert_eq!((&*all[0].room, &*all[0].user), ("room-1", "ann"));
    assert_eq!(all[0].what, noticed(1, NOON - 46));
    assert_eq!(find(&[], 3).len(), 3);
    let of_room = find(&["room-2".into(), "*room-2".into()], 20);
    assert_eq!(of_room.iter().map(|one| one.what.call).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(reader.unusual(APP + 1, window(NOON - 49, NOON), &[], 20).unwrap(), []);
}

fn one(history: &History, at: i64) -> Vec<String> {
    rooms(history, at, at + 1).1
}

#[test]
fn a_day_that_takes_more_than_all_may_begins_anew() {
    for world in World::each() {
        a_day_that_takes_more_than_all_may_begins_anew_in(&world);
    }
}

fn a_day_that_takes_more_than_all_may_begins_anew_in(world: &World) {
    let history = world.start();
    for number in 1..=10_000 {
        history.note(Row::Call(call(number, &format!("a-room-with-a-long-name-{number}"), NOON)));
    }
    history.note(usage(1, "r", NOON, spent(1000, 1)));
    written(&history);
    drop(history);

    // It is looked after when it is written first.
    world.most_bytes.store(1_000_000, Ordering::SeqCst);
    let history = world.start();
    history.note(Row::Call(call(20_000, "new", NOON)));
    written(&history);

    assert_eq!(rooms(&history, NOON, NOON + 9), (1, vec!["new".into()]));
    assert_eq!(history.reader().used(APP, NOON, NOON + SLOT).unwrap().len(), 1, "usage stays");
    drop(history);
    let history = world.start();
    history.note(Row::Call(call(20_001, "newer", NOON + 1)));
    written(&history);
    assert_eq!(rooms(&history, NOON, NOON + 9).0, 2, "what fits stays");
}

#[test]
fn a_run_that_was_followed_by_another_writes_nothing_any_more() {
    let world = World::in_database();
    let former = world.start();
    former.note(Row::Call(call(1, "r", NOON)));
    former.note(usage(1, "r", NOON, spent(1000, 1)));
    written(&former);
    let later = world.start();
    later.note(ended(call(1, "r", NOON), NOON + 5));
    written(&later);

    // As one does that was stopped, and goes on.
    former.note(Row::Call(call(1, "r", NOON)));
    former.note(usage(1, "r", NOON, spent(9000, 9)));
    assert!(!former.flush(Duration::from_millis(1500)) || former.numbers().refused == 0);
    former.note(Row::Call(call(2, "s", NOON)));
    drop(former);

    let reader = later.reader();
    let (_, calls) = reader.calls(APP, window(NOON, NOON + 9), &[], ALL).unwrap();
    assert_eq!(calls.iter().map(|call| (call.call, call.ended.is_some())).collect::<Vec<_>>(), [(1, true)]);
    assert_eq!(reader.used(APP, NOON, NOON + SLOT).unwrap(), [(NOON, spent(1000, 1))]);
}

#[test]
fn a_commit_of_which_nobody_knows_is_made_once_more_and_counts_once() {
    let world = World::in_database();
    let At::Database { schema, .. } = &world.at else { panic!("there is no database") };
    let wire = Wire::to(Database::shared().port);
    let target = Box::new(Target::parse(&wire.url(schema), None).unwrap());
    let history = world.run(Place::Database { target, generation: 1 });
    history.note(Row::Call(call(1, "r", NOON)));
    written(&history);
    for cut in [Cut::BeforeCommit, Cut::AfterCommit] {
        let before = history.numbers().failures;
        wire.set(cut);
        history.note(Row::Call(call(2, "r", NOON)));
        history.note(Row::Stay(stay(2, "ann", 1, NOON + 1)));
        history.note(usage(2, "r", NOON, spent(1000, 1)));
        while history.numbers().failures == before {
            history.flush(Duration::from_millis(100));
        }
        wire.set(Cut::Nothing);
        written(&history);
    }

    assert_eq!(one(&history, NOON), ["r", "r"]);
    assert_eq!(history.reader().used(APP, NOON, NOON + SLOT).unwrap(), [(NOON, spent(1000, 1))]);
    assert_eq!(world.lost.load(Ordering::SeqCst), 0, "nothing has to be told again");
}

#[test]
fn tables_that_are_dropped_are_made_again_and_what_goes_on_is_asked_for() {
    let world = World::in_database();
    let history = world.start();
    history.note(Row::Call(call(1, "r", NOON)));
    written(&history);

    world.sql("DROP TABLE history_calls CASCADE");
    history.note(Row::Call(call(2, "s", NOON)));
    written(&history);

    assert_eq!(one(&history, NOON), ["s"]);
    assert_eq!(world.lost.load(Ordering::SeqCst), 1);
}

#[test]
fn days_that_are_over_are_dropped_and_those_to_come_are_made() {
    let world = World::in_database();
    let history = world.start();
    history.note(Row::Call(call(1, "r", NOON)));
    history.note(usage(1, "r", NOON, spent(1000, 1)));
    written(&history);
    let parts = || {
        world.sql("SELECT string_agg(right(relname, 5), ' ' ORDER BY relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace AND relname LIKE 'history\\_calls\\_2%'")
    };
    assert_eq!(parts(), "11_26 11_27 11_28");
    drop(history);

    world.set(NOON + 15 * 86_400);
    let history = world.start();
    history.note(Row::Call(call(2, "s", NOON + 15 * 86_400)));
    written(&history);

    // Fourteen days before today are kept.
    assert_eq!(parts(), "11_27 11_28 12_11 12_12 12_13");
    assert_eq!(history.reader().used(APP, NOON, NOON + SLOT).unwrap().len(), 1, "usage is kept for longer");
}
