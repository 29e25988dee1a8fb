//! What a hall does of what it asks, and of itself, case by case. What chance makes of it is in `world.rs`.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use hall::{
    Answer, Bounds, By, Command, Durably, Effect, Hall, Input, Objection, PlanId, Planned, Question, Refusal,
    Refused, Reply, Reviewed, Said, Speech, Told, Verdict,
};
use rooms::{Content, Event, Fields, Role, Room, RoomId, RoomInfo, RoomType, SessionId, Time, UserId};

const PATIENCE: Duration = Duration::from_secs(2);
const START: Time = Time::from_unix_seconds(1_000);

/// A hall with ann and ben in it, and what has come of it.
struct Scene {
    hall: Hall<&'static str>,
    now: Time,
    asked: Vec<PlanId>,
    commits: Vec<PlanId>,
    answers: Vec<(&'static str, Result<Answer, Refusal>)>,
    told: Vec<String>,
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn text(words: &str) -> Content {
    Content::Text { text: words.into(), extension: String::new() }
}

fn by(name: &str) -> By {
    let session = SessionId(u64::from(name == "ben") + 1);
    By::Member { user: user(name), session, role: Role::Member }
}

fn say(words: &str) -> Command {
    Command::Reviewed(Reviewed::Message(Speech::Own(text(words))))
}

impl Scene {
    fn new() -> Self {
        let room = RoomId::parse("r").unwrap();
        let info = RoomInfo::create(room, RoomType::Live, user("ann"), &Fields::default(), START, 1).unwrap();
        let hall = Hall::new(Room::new(info, START), Bounds { most_sessions: 0, review: PATIENCE });
        let (asked, commits, answers, told) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut scene = Self { hall, now: START, asked, commits, answers, told };
        for (name, session) in [("ann", 1), ("ben", 2)] {
            let (session, ticket, client) = (SessionId(session), "enter", Arc::default());
            scene.drive(Input::Enter { user: user(name), session, turn: 1, password: None, client, ticket });
        }
        scene
    }

    fn drive(&mut self, input: Input<&'static str>) {
        self.hall.handle(input, self.now);
        while let Some(effect) = self.hall.poll() {
            match effect {
                Effect::Ask { id, question: Question::Message { .. } | Question::Gift(_), .. } => {
                    self.asked.push(id)
                }
                Effect::Answer { ticket, result } => self.answers.push((ticket, result)),
                Effect::Store { how: Durably::Commit(id), .. } => self.commits.push(id),
                Effect::Store { how: Durably::Kept(id), .. } => {
                    self.hall.handle(Input::Stored { id, result: Ok(()) }, self.now)
                }
                Effect::Tell { what: Told::Event(Event::Message(message)), .. } => {
                    let Content::Text { text, .. } = message.content else { panic!("another kind") };
                    self.told.push(text);
                }
                _ => {}
            }
        }
    }

    fn ask(&mut self, by: By, command: Command, ticket: &'static str) {
        self.drive(Input::Do { by, room_type: None, command, ticket });
    }

    /// The server answers the question that was asked as the `nth`.
    fn judge(&mut self, nth: usize, verdict: Verdict) {
        let id = *self.asked.get(nth).unwrap();
        self.drive(Input::Asked { id, reply: Reply::Verdict(verdict) });
    }

    fn store(&mut self, result: Result<(), Refused>) {
        let id = self.commits.remove(0);
        self.drive(Input::Stored { id, result });
    }

    fn answer_of(&self, ticket: &str) -> Option<&Result<Answer, Refusal>> {
        self.answers.iter().find(|(known, _)| *known == ticket).map(|(_, result)| result)
    }

    fn planned(&mut self, command: Planned) {
        self.ask(By::App("app".into()), Command::Planned(command), "plan");
    }
}

fn full() -> Result<(), Refused> {
    Err(Refused { is_behind: false, text: "full".into() })
}

#[test]
fn a_message_is_told_when_nobody_objects_and_in_the_words_that_are_wanted() {
    let mut scene = Scene::new();
    scene.ask(by("ann"), say("one"), "one");
    scene.ask(by("ben"), say("two"), "two");
    assert_eq!((scene.asked.len(), scene.told.len()), (2, 0));

    scene.judge(1, Verdict::Changed(text("deux")));
    scene.judge(0, Verdict::Agreed);

    assert_eq!(scene.told, ["deux", "one"]);
    assert!(matches!(scene.answer_of("two"), Some(Ok(Answer::Message { seq: 1, .. }))));
}

#[test]
fn what_is_refused_or_dropped_is_told_to_nobody() {
    let mut scene = Scene::new();
    scene.ask(by("ann"), say("rude"), "rude");
    scene.ask(by("ben"), say("spam"), "spam");
    let objection = Objection { number: 1, text: "rude".into() };

    scene.judge(0, Verdict::Refused(objection.clone()));
    scene.judge(1, Verdict::Dropped);
    // Once more, when nobody asks any longer.
    scene.judge(0, Verdict::Agreed);

    assert!(scene.told.is_empty());
    assert_eq!(scene.answer_of("rude"), Some(&Err(Refusal::MessageRefused(objection))));
    assert_eq!(scene.answer_of("spam"), Some(&Ok(Answer::Dropped)));
}

#[test]
fn whoever_does_not_answer_in_time_has_no_objection() {
    let mut scene = Scene::new();
    scene.ask(by("ann"), say("hello"), "hello");
    scene.now = START + PATIENCE;
    assert!(scene.hall.deadline().is_some_and(|at| at <= scene.now));

    scene.drive(Input::Time);
    scene.judge(0, Verdict::Refused(Objection { number: 1, text: String::new() }));

    assert_eq!(scene.told, ["hello"]);
}

#[test]
fn what_holds_by_then_counts_and_not_what_held_when_it_was_asked() {
    let mut scene = Scene::new();
    scene.ask(by("ben"), say("late"), "late");
    scene.planned(Planned::Mute { users: vec![user("ben")], duration: Duration::from_secs(60) });
    scene.store(Ok(()));

    scene.judge(0, Verdict::Agreed);

    assert!(scene.told.is_empty());
    assert!(matches!(scene.answer_of("late"), Some(Err(Refusal::Rule(rooms::Error::Muted(_))))));
}

#[test]
fn a_session_asks_one_thing_at_a_time_and_its_messages_keep_their_order() {
    let mut scene = Scene::new();
    scene.ask(by("ann"), say("first"), "first");
    scene.ask(by("ann"), Command::Said(Said::Message(Speech::Own(text("second")))), "second");
    scene.ask(by("ann"), say("third"), "third");
    scene.ask(by("ann"), say("fourth"), "fourth");
    assert_eq!((scene.asked.len(), scene.told.len()), (1, 0));

    scene.judge(0, Verdict::Agreed);
    assert_eq!((scene.told.join(" "), scene.asked.len()), ("first second".into(), 2));
    scene.judge(1, Verdict::Agreed);
    assert_eq!(scene.asked.len(), 3);
    scene.judge(2, Verdict::Agreed);

    assert_eq!(scene.told, ["first", "second", "third", "fourth"]);
}

#[test]
fn so_much_is_asked_of_a_room_and_not_more() {
    let mut scene = Scene::new();
    let app = || By::App("app".into());
    let speech =
        || Speech::For { from: user("ann"), is_app_admin: false, content: text("hi"), is_untold: false };
    let message = || Command::Reviewed(Reviewed::Message(speech()));
    (0..256).for_each(|_| scene.ask(app(), message(), "one"));
    assert_eq!((scene.asked.len(), scene.answers.len()), (256, 0));

    scene.ask(app(), message(), "one more");
    assert_eq!(scene.answer_of("one more"), Some(&Err(Refusal::Busy)));

    scene.judge(0, Verdict::Agreed);
    scene.ask(app(), message(), "next");
    assert_eq!((scene.asked.len(), scene.answer_of("next")), (257, None));
}

#[test]
fn a_room_that_ends_answers_what_it_asks() {
    let mut scene = Scene::new();
    scene.ask(by("ann"), say("asked"), "asked");
    scene.ask(by("ann"), say("in line"), "in line");
    scene.planned(Planned::Destroy);
    scene.judge(0, Verdict::Agreed);
    assert!(scene.told.is_empty(), "nothing is said behind the end");

    scene.store(Ok(()));

    let gone = Some(&Err(Refusal::Gone));
    assert_eq!((scene.answer_of("asked"), scene.answer_of("in line")), (gone, gone));
}

#[test]
fn a_room_whose_end_is_refused_goes_on_where_it_stood() {
    let mut scene = Scene::new();
    scene.ask(by("ann"), say("one"), "one");
    scene.planned(Planned::Destroy);
    scene.judge(0, Verdict::Agreed);
    scene.ask(by("ann"), Command::Said(Said::Message(Speech::Own(text("two")))), "two");

    scene.store(full());

    assert_eq!(scene.told, ["one", "two"]);
}

#[test]
fn a_room_ends_by_itself_however_often_the_disk_refuses() {
    let mut scene = Scene::new();
    let fields = Box::new(Fields { lifetime_after_no_users: Some(10), ..Fields::default() });
    scene.planned(Planned::Update { fields, owner: None });
    scene.store(Ok(()));
    for (name, session) in [("ann", 1), ("ben", 2)] {
        let cause = rooms::LeaveCause::Leave;
        scene.drive(Input::Leave {
            user: user(name),
            session: SessionId(session),
            turn: 2,
            cause,
            ticket: None,
        });
    }
    for second in [8, 9] {
        scene.now = START + Duration::from_secs(second);
        scene.drive(Input::Time);
    }
    assert!(scene.commits.is_empty(), "not yet");
    assert_eq!(scene.hall.deadline(), Some(START + Duration::from_secs(10)));

    scene.now = START + Duration::from_secs(10);
    scene.drive(Input::Time);
    scene.store(full());
    scene.drive(Input::Time);
    assert!(scene.commits.is_empty() && scene.hall.room().is_some(), "it is tried again a little later");
    assert_eq!(scene.hall.deadline(), Some(START + Duration::from_secs(11)));
    scene.now = START + Duration::from_secs(11);
    scene.drive(Input::Time);
    scene.store(Ok(()));

    assert!(scene.hall.room().is_none());
}

#[test]
fn a_robot_whose_account_is_gone_is_put_out_however_often_the_disk_refuses() {
    let mut scene = Scene::new();
    scene.planned(Planned::AddRobots(vec![user("r1")]));
    scene.store(Ok(()));
    scene.drive(Input::Gone(vec![user("r1")]));
    scene.store(full());
    assert!(scene.commits.is_empty());

    scene.now = START + Duration::from_secs(1);
    scene.drive(Input::Time);
    scene.store(Ok(()));

    assert_eq!(scene.hall.room().unwrap().robots_after("").count(), 0);
    scene.drive(Input::Time);
    assert!(scene.commits.is_empty(), "once is enough");
}

#[test]
fn whoever_waits_behind_a_disk_that_says_nothing_is_answered() {
    let mut scene = Scene::new();
    let mute = |duration| Planned::Mute { users: vec![user("ben")], duration: Duration::from_secs(duration) };
    scene.ask(By::App("app".into()), Command::Planned(mute(1)), "on its way");
    scene.now = START + Duration::from_secs(1);
    scene.ask(By::App("app".into()), Command::Planned(mute(2)), "waits");

    scene.now = START + Duration::from_secs(10);
    scene.drive(Input::Time);
    assert_eq!(
        (scene.answer_of("on its way"), scene.answer_of("waits")),
        (Some(&Err(Refusal::Unknown)), None)
    );
    scene.now = START + Duration::from_secs(11);
    scene.drive(Input::Time);
    assert_eq!(scene.answer_of("waits"), Some(&Err(Refusal::Busy)));
    scene.store(Ok(()));

    assert!(scene.commits.is_empty(), "what was refused is not done later");
}
