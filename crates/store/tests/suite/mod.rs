//! What any engine keeps to: what is acknowledged is read back, what cannot be kept is refused. The binary that has this
//! says which engine it is: its `At` is a place for records.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_executor::block_on;
use rooms::{
    Account, Client, Content, Counters, Fields, Incarnation, Message, Profile, Record, RoomId, RoomInfo,
    RoomType, SdkAppId, SessionId, Time, UserId,
};
use store::{
    ApiKey, App, Change, Error, EventPage, EventsWanted, Intent, Lane, OutboxEvent, Presence, Queued,
    RoomScope, Snapshot, Store as _, StoredSession,
};

use crate::At;

pub(crate) const APP: SdkAppId = SdkAppId(1_400_000_001);

pub(crate) fn event(app: SdkAppId, subject: &str, id: u64) -> OutboxEvent {
    OutboxEvent {
        id,
        sdkappid: app,
        lane: Lane::WEBHOOKS,
        subject: subject.into(),
        command: "Live.CallbackAfterCreateRoom".into(),
        body: "{}".into(),
        at: Time::from_unix_seconds(8),
    }
}

/// What waits of an app after that turn, of one subject or of all.
pub(crate) fn waiting(
    store: &Queued,
    app: SdkAppId,
    subject: Option<&str>,
    after: u64,
    most_bytes: usize,
) -> EventPage {
    let subject = subject.map(String::from);
    let lane = Lane::WEBHOOKS;
    block_on(store.waiting_events(EventsWanted { sdkappid: app, lane, subject, after, most_bytes })).unwrap()
}

pub(crate) fn ids(page: &EventPage) -> Vec<u64> {
    page.events.iter().map(|waiting| waiting.event.id).collect()
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn api_key(secret_id: &str, is_disabled: bool) -> ApiKey {
    ApiKey {
        secret_id: secret_id.into(),
        secret_key: "k".into(),
        apps: vec![APP],
        actions: Vec::new(),
        is_disabled,
        created_at: Time::from_unix_seconds(6),
    }
}

pub(crate) fn account(name: &str) -> Account {
    Account { user: user(name), profile: Profile::default(), created_at: Time::from_unix_seconds(5) }
}

/// A scope by its number.
pub(crate) const fn scope(number: i64) -> RoomScope {
    RoomScope { app: APP, number }
}

fn over(room: &str, scope: RoomScope) -> Intent {
    Intent::RoomOver(Incarnation { room: RoomId::parse(room).unwrap(), number: scope.number })
}

pub(crate) fn room(id: &str) -> RoomInfo {
    let id = RoomId::parse(id).unwrap();
    let now = Time::from_unix_seconds(7);
    RoomInfo::create(id, RoomType::Live, user("ann"), &Fields::default(), now, u64::MAX).unwrap()
}

#[test]
fn what_was_acknowledged_is_read_back() {
    let at = At::new();
    let app = App {
        sdkappid: APP,
        secret_key: "k".into(),
        name: "demo".into(),
        admins: vec![user("administrator")],
        webhook: None,
        callbacks: Vec::new(),
    };
    let session = StoredSession {
        id: SessionId(u64::MAX - 1),
        sdkappid: APP,
        user: user("ann"),
        token_hash: [7; 32],
        valid_until: Time::from_unix_seconds(9),
        client: Client { sdk: "s".into(), device: "d".into(), terminal: 4, address: "192.0.2.7".into() },
    };
    let (r1, r2) = (scope(1), scope(2));
    let presence = |session, scope| Presence {
        session: SessionId(session),
        scope,
        user: user("ann"),
        place: 3,
        seen: 4,
        stay: 5,
    };
    let renamed = RoomInfo { room_name: "another".into(), ..room("r1") };
    let counters = Counters { views: 9, last_seq: 8, ..Counters::default() };
    let mute = Record::Mute { user: user("ben"), until: Time::from_unix_seconds(9) };
    let message = |seq| Message {
        seq,
        id: format!("m{seq}"),
        from: user("ann"),
        content: Content::Text { text: "hi".into(), extension: String::new() },
        sent_at: Time::from_unix_seconds(8),
    };
    let event = |id| event(APP, "r1", id);
    {
        let (store, before) = at.open(Box::new(|_| {})).unwrap();
        assert_eq!(before, Snapshot::default());
        let changes = vec![
            Change::PutApp(app.clone()),
            Change::PutApiKey(api_key("AKID1", false)),
            Change::PutApiKey(api_key("AKID2", false)),
            Change::PutApiKey(api_key("AKID1", true)),
            Change::DeleteApiKey("AKID2".into()),
            Change::PutAccount(APP, account("ann")),
            Change::PutAccount(APP, account("ben")),
            Change::DeleteAccount(APP, user("ben")),
            Change::CreateRoom(r1, room("r1")),
            Change::CreateRoom(r2, room("r2")),
            Change::PutCounters(r1, Counters::default()),
            Change::PutCounters(r1, counters),
            // An update of the record leaves the counters alone.
            Change::PutRoom(r1, renamed.clone()),
            Change::PutRecord(r1, mute.clone()),
            Change::PutRecord(r1, Record::Admin(user("ben"))),
            Change::DeleteRecord(r1, Record::Admin(user("ben")).key()),
            Change::PutSession(session.clone()),
            Change::PutSession(StoredSession { id: SessionId(2), ..session.clone() }),
            Change::AddPresence(presence(u64::MAX - 1, r1)),
            Change::PutPresence(presence(u64::MAX - 1, r2)),
            Change::PutPresence(presence(2, r1)),
            Change::DeletePresence(r1, user("ann"), SessionId(2)),
            Change::DeleteSession(SessionId(2)),
            Change::PutRecord(r2, mute.clone()),
            Change::PutMessage(r2, message(1)),
            Change::DeleteRoom(r2),
            // What it leaves to be said outlives it; what was said is gone.
            Change::PutIntent(APP, over("r1", r1)),
            Change::PutIntent(APP, over("r2", r2)),
            Change::DeleteIntent(APP, over("r1", r1)),
            Change::PutEvent(event(5).into()),
            Change::PutEvent(event(6).into()),
            Change::PutEvent(event(7).into()),
            Change::DeleteEvent(5),
            Change::FailEvent(6),
        ];
        block_on(store.commit(changes)).unwrap();
        store.journal((1..=60).map(|seq| Change::PutMessage(r1, message(seq))).collect());
        block_on(store.commit(Vec::new())).unwrap();
    }

    let (store, after) = at.open(Box::new(|_| {})).unwrap();

    let expected = Snapshot {
        apps: vec![app],
        api_keys: vec![api_key("AKID1", true)],
        accounts: vec![(APP, account("ann"))],
        rooms: vec![(r1, renamed, counters)],
        records: vec![(r1, mute)],
        messages: (11..=60).map(|seq| (r1, message(seq))).collect(),
        sessions: vec![session],
        presence: vec![presence(u64::MAX - 1, r1)],
        intents: vec![(APP, over("r2", r2))],
        // What was told and forgotten at once took no turn.
        waiting: vec![(APP, Lane::WEBHOOKS, 2)],
        last_event: 7,
        ..Snapshot::default()
    };
    assert_eq!(after, expected);
    assert_eq!(at.api_keys(), [api_key("AKID1", true)]);
    let page = waiting(&store, APP, None, 0, usize::MAX);
    assert_eq!((ids(&page), page.is_last), (vec![7], true));
    assert_eq!(*page.events[0].event, event(7));
    assert_eq!(at.failed_events(), [event(6)]);
    assert_eq!(block_on(store.dead_letters()).unwrap(), [6]);
}

#[test]
fn a_room_s_number_is_never_another_s() {
    let at = At::new();
    let commit = |store: &Queued, changes| block_on(store.commit(changes)).unwrap();
    let former = {
        let (store, _) = at.open(Box::new(|_| {})).unwrap();
        let scopes = [(); 3].map(|()| store.room_scope(APP).unwrap());
        assert_eq!(scopes.map(|scope| scope.number), [1, 2, 3]);
        // One is never made, and the last is over.
        commit(
            &store,
            vec![Change::CreateRoom(scopes[0], room("a")), Change::CreateRoom(scopes[2], room("b"))],
        );
        commit(&store, vec![Change::DeleteRoom(scopes[2])]);
        scopes[2]
    };
    let (store, snapshot) = at.open(Box::new(|_| {})).unwrap();
    assert_eq!(snapshot.rooms.len(), 1);

    let next = store.room_scope(APP).unwrap();
    assert_eq!(next.number, 4);
    commit(&store, vec![Change::CreateRoom(next, room("b"))]);
    // The former's, written late.
    let message = Record::Mute { user: user("ann"), until: Time::from_unix_seconds(9) };
    store.journal(vec![Change::PutRecord(former, message), Change::PutRoom(former, room("b"))]);
    let late = Change::PutPresence(Presence {
        session: SessionId(1),
        scope: former,
        user: user("ann"),
        place: 1,
        seen: 0,
        stay: 0,
    });
    store.journal(vec![late, Change::PutCounters(former, Counters { views: 9, ..Counters::default() })]);
    assert!(matches!(block_on(store.commit(vec![Change::PutRoom(former, room("b"))])), Err(Error::Over)));
    let twice = store.room_scope(APP).unwrap();
    let taken = block_on(store.commit(vec![Change::CreateRoom(twice, room("b"))]));
    assert!(matches!(taken, Err(Error::Unfit(_))), "{taken:?}");
    commit(&store, Vec::new());
    drop(store);

    let (_store, snapshot) = at.open(Box::new(|_| {})).unwrap();
    let rooms: Vec<_> =
        snapshot.rooms.iter().map(|(scope, _, counters)| (scope.number, counters.views)).collect();
    assert_eq!(rooms, [(1, 0), (4, 0)]);
    assert!(snapshot.records.is_empty() && snapshot.presence.is_empty());
}

#[test]
fn waiting_events_are_read_page_by_page_in_the_order_of_their_commits() {
    let at = At::new();
    let (store, _) = at.open(Box::new(|_| {})).unwrap();
    let other = SdkAppId(7);
    // Ids are given before the commits, and commits may overtake each other.
    for (app, subject, id) in
        [(APP, "a", 12), (APP, "b", 11), (other, "a", 10), (APP, "a", 14), (APP, "a", 13)]
    {
        block_on(store.commit(vec![Change::PutEvent(event(app, subject, id).into())])).unwrap();
    }
    let size = event(APP, "a", 1).bytes();

    let first = waiting(&store, APP, None, 0, size);
    assert_eq!((ids(&first), first.is_last), (vec![12, 11], false));
    let rest = waiting(&store, APP, None, first.events[1].turn, usize::MAX);
    assert_eq!((ids(&rest), rest.is_last), (vec![14, 13], true));
    let of_subject = waiting(&store, APP, Some("a"), first.events[0].turn, usize::MAX);
    assert_eq!(ids(&of_subject), [14, 13]);
    block_on(store.commit(vec![Change::DeleteEvent(14), Change::FailEvent(13)])).unwrap();
    assert_eq!(ids(&waiting(&store, APP, None, 0, usize::MAX)), [12, 11]);
    let again = Change::ReviveEvent(13, Time::from_unix_seconds(99));
    block_on(store.commit(vec![Change::PutEvent(event(APP, "a", 15).into()), again])).unwrap();
    let all = waiting(&store, APP, None, 0, usize::MAX);
    assert_eq!(ids(&all), [12, 11, 15, 13], "one that is revived has its turn at the end");
    assert_eq!(all.events[3].event.at, Time::from_unix_seconds(99));
}

#[test]
fn turns_go_on_after_a_restart() {
    let at = At::new();
    {
        let (store, _) = at.open(Box::new(|_| {})).unwrap();
        let put = |id| Change::PutEvent(event(APP, "a", id).into());
        block_on(store.commit(vec![put(1), put(2)])).unwrap();
    }

    let (store, snapshot) = at.open(Box::new(|_| {})).unwrap();
    block_on(store.commit(vec![Change::PutEvent(event(APP, "a", 3).into())])).unwrap();

    let newest = snapshot.waiting[0].2;
    assert_eq!(ids(&waiting(&store, APP, None, newest, usize::MAX)), [3]);
}

#[test]
fn one_app_s_waiting_events_and_dead_letters_take_no_room_from_another_s() {
    const MOST: u64 = 100_000;
    let at = At::new();
    let heard = Arc::new(Mutex::new((0, 0)));
    let hears = heard.clone();
    let on_commit = move |group: store::Committed| {
        let mut heard = hears.lock().unwrap();
        heard.0 += group.events.len();
        heard.1 += group.given_up.webhooks;
    };
    let (store, _) = at.open(Box::new(on_commit)).unwrap();
    let other = SdkAppId(7);
    let modest =
        vec![Change::PutEvent(event(other, "a", 1).into()), Change::PutEvent(event(other, "a", 2).into())];
    block_on(store.commit(modest)).unwrap();
    block_on(store.commit(vec![Change::FailEvent(1)])).unwrap();

    let greedy = (0..MOST + 5).map(|number| Change::PutEvent(event(APP, "a", 10 + number).into()));
    block_on(store.commit(greedy.collect())).unwrap();
    assert_eq!(*heard.lock().unwrap(), (2 + 100_000, 5));
    block_on(store.commit((0..MOST).map(|number| Change::FailEvent(10 + number)).collect())).unwrap();
    block_on(store.commit(vec![
        Change::PutEvent(event(APP, "a", 5).into()),
        Change::PutEvent(event(other, "a", 3).into()),
    ]))
    .unwrap();

    let failed = at.failed_events();
    let of = |app| failed.iter().filter(|event| event.sdkappid == app).count() as u64;
    assert_eq!((of(other), of(APP)), (1, MOST));
    assert_eq!(ids(&waiting(&store, APP, None, 0, usize::MAX)), [5], "there is room again");
    assert_eq!(ids(&waiting(&store, other, None, 0, usize::MAX)), [2, 3]);
}

#[test]
fn event_callbacks_take_no_room_from_webhooks_and_what_finds_none_is_gone() {
    const MOST: u64 = 20_000;
    let at = At::new();
    let (room, media) = (Lane(1), Lane(2));
    let put = |lane, id: u64| {
        let (lane, subject) = (lane, if lane == Lane::WEBHOOKS { "r".into() } else { id.to_string() });
        Change::PutEvent(OutboxEvent { lane, subject, ..event(APP, "r", id) }.into())
    };
    let of = |store: &Queued, lane| {
        let wanted = EventsWanted { sdkappid: APP, lane, subject: None, after: 0, most_bytes: usize::MAX };
        ids(&block_on(store.waiting_events(wanted)).unwrap())
    };
    let given_up = Arc::new(Mutex::new(0));
    let hears = given_up.clone();
    {
        let (store, _) = at
            .open(Box::new(move |group: store::Committed| *hears.lock().unwrap() += group.given_up.callbacks))
            .unwrap();
        block_on(store.commit((0..MOST + 5).map(|number| put(room, 100 + number)).collect())).unwrap();
        block_on(store.commit(vec![put(Lane::WEBHOOKS, 1), put(media, 2), put(room, 3)])).unwrap();
        assert_eq!(*given_up.lock().unwrap(), 6);
        // Long ones find none either.
        block_on(store.commit(vec![Change::DeleteEvent(100), Change::DeleteEvent(101)])).unwrap();
        let body = "x".repeat(8 << 20);
        let long = OutboxEvent { lane: room, body, ..event(APP, "long", 4) };
        block_on(store.commit(vec![Change::PutEvent(long.into()), put(room, 5)])).unwrap();
        assert_eq!(*given_up.lock().unwrap(), 7);
    }

    let (store, snapshot) = at.open(Box::new(|_| {})).unwrap();
    let lanes: Vec<_> = snapshot.waiting.iter().map(|(app, lane, _)| (*app, *lane)).collect();
    assert_eq!(lanes, [(APP, Lane::WEBHOOKS), (APP, room), (APP, media)]);
    assert_eq!((of(&store, Lane::WEBHOOKS), of(&store, media)), (vec![1], vec![2]));
    assert_eq!(of(&store, room).first(), Some(&102));
    assert_eq!(at.failed_events(), [], "none of them is a dead letter");
}

#[test]
fn one_app_s_long_events_do_not_fill_the_disk() {
    let at = At::new();
    let put = |id| Change::PutEvent(event(APP, "a", id).into());
    {
        let (store, _) = at.open(Box::new(|_| {})).unwrap();
        block_on(store.commit(vec![put(1), put(2), put(3), Change::FailEvent(1), Change::FailEvent(2)]))
            .unwrap();
    }
    // As if they were that long.
    at.execute("UPDATE outbox SET bytes = 1 << 29");
    let (store, _) = at.open(Box::new(|_| {})).unwrap();

    block_on(store.commit(vec![put(4)])).unwrap();
    assert_eq!(ids(&waiting(&store, APP, None, 0, usize::MAX)), [3, 4]);
    block_on(store.commit(vec![Change::FailEvent(3)])).unwrap();
    let failed: Vec<u64> = at.failed_events().iter().map(|event| event.id).collect();
    assert_eq!(failed, [2, 3], "the oldest made room");
    drop(store);
    at.execute("UPDATE outbox SET bytes = 1 << 30 WHERE NOT failed");
    let (store, _) = at.open(Box::new(|_| {})).unwrap();
    block_on(store.commit(vec![put(5)])).unwrap();
    assert_eq!(ids(&waiting(&store, APP, None, 0, usize::MAX)), [4], "what came is a dead letter");
    let full = block_on(store.commit(vec![Change::ReviveEvent(5, Time::from_unix_seconds(9))])).unwrap_err();
    assert!(full.to_string().contains("wait to be sent already"), "{full}");
}

#[test]
fn a_panic_of_who_listens_ends_nothing_and_loses_no_event() {
    let at = At::new();
    let (heard, calls) = (Arc::new(Mutex::new(Vec::new())), AtomicUsize::new(0));
    let hears = heard.clone();
    let on_commit = move |group: store::Committed| {
        if calls.fetch_add(1, Ordering::Relaxed) < 2 {
            panic!("on purpose");
        }
        hears.lock().unwrap().extend(group.events.iter().map(|waiting| waiting.event.id));
    };
    let (store, _) = at.open(Box::new(on_commit)).unwrap();

    let put = |id| vec![Change::PutEvent(event(APP, "a", id).into())];
    assert!(block_on(store.commit(put(1))).is_ok(), "it is on disk");
    assert!(block_on(store.commit(put(2))).is_ok());

    assert!(store.health().is_ok());
    // By and by, though nobody commits any more.
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while heard.lock().unwrap().len() < 2 {
        assert!(std::time::Instant::now() < deadline, "{:?}", heard.lock().unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(*heard.lock().unwrap(), [1, 2]);
    assert_eq!(ids(&waiting(&store, APP, None, 0, usize::MAX)), [1, 2]);
}

#[test]
fn what_can_never_be_kept_is_refused_alone() {
    let at = At::new();
    let (store, _) = at.open(Box::new(|_| {})).unwrap();
    drop(store);
    at.refuse_account("evil");
    let (store, _) = at.open(Box::new(|_| {})).unwrap();

    // In one group: the writer is kept from taking them one by one.
    let held = at.hold();
    let first = store.commit(vec![Change::PutAccount(APP, account("first"))]);
    store.journal(vec![Change::PutAccount(APP, account("evil"))]);
    let evil = store.commit(vec![Change::PutAccount(APP, account("evil"))]);
    store.journal(vec![Change::PutAccount(APP, account("noted"))]);
    let last = store.commit(vec![Change::PutAccount(APP, account("last"))]);
    drop(held);

    assert!(block_on(first).is_ok());
    assert!(matches!(block_on(evil), Err(Error::Unfit(_))));
    assert!(block_on(last).is_ok());
    assert!(store.health().is_ok());
    drop(store);
    let (_store, snapshot) = at.open(Box::new(|_| {})).unwrap();
    let users: Vec<_> = snapshot.accounts.iter().map(|(_, account)| account.user.as_str()).collect();
    assert_eq!(users, ["first", "last", "noted"]);
}
