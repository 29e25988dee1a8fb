//! Two owners at one moment, while the disk has answered neither: cases that chance seldom makes. The rest is in `between.rs`.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use hall::between::{Answer, Asks, Between, Command, Effect, Host, Input, NewBattle, Wish};
use hall::{Durably, PlanId, Refusal};
use rooms::{Error, Incarnation, RoomId, Time, UserId};

const NOW: Time = Time::from_unix_seconds(1_000);
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Scene {
    between: Between<&'static str>,
    on_their_way: Vec<PlanId>,
    answers: Vec<(&'static str, Result<Answer, Refusal>)>,
}

fn host(name: &str) -> Host {
    let number = i64::from(name.as_bytes().first().copied().unwrap_or_default());
    Host {
        room: Incarnation { room: RoomId::parse(name).unwrap(), number },
        owner: UserId::parse("own").unwrap(),
    }
}

impl Scene {
    fn drive(&mut self, input: Input<&'static str>) {
        self.between.handle(input, NOW);
        while let Some(effect) = self.between.poll() {
            match effect {
                Effect::Store { how: Durably::Commit(id), .. } => self.on_their_way.push(id),
                Effect::Answer { ticket, result } => self.answers.push((ticket, result)),
                _ => {}
            }
        }
    }

    fn ask(&mut self, who: &str, wish: Wish<Host>, ticket: &'static str) {
        let command = Command::Of(host(who), wish);
        self.drive(Input::Do { operator: "own".into(), command, ticket });
    }

    /// The disk takes all that is on its way, and what follows.
    fn store(&mut self) {
        while !self.on_their_way.is_empty() {
            let id = self.on_their_way.remove(0);
            self.drive(Input::Stored { id, result: Ok(()) });
        }
    }

    fn request(&mut self, from: &str, to: &str) {
        self.ask(from, Wish::Request { to: host(to), timeout: MINUTE, extension: String::new() }, "request");
    }

    fn accept(&mut self, who: &str, from: &str, new_id: u64) {
        self.ask(who, Wish::Accept { from: host(from), new_id }, "accept");
    }

    fn challenge(&mut self, id: &str, from: &str, called: &str) {
        let (called, asks) = (vec![host(called)], Asks::Always);
        let (duration, timeout, extension) = (MINUTE, MINUTE, String::new());
        let new = NewBattle { id: id.into(), called, duration, asks, timeout, extension };
        self.ask(from, Wish::Battle(new), "battle");
        self.store();
    }
}

#[test]
fn two_members_of_a_group_let_others_in_at_one_moment_and_all_are_connected() {
    let mut scene = Scene::default();
    scene.request("b", "a");
    scene.accept("a", "b", 1);
    scene.store();
    scene.request("a", "c");
    scene.request("b", "d");

    scene.accept("c", "a", 2);
    scene.accept("d", "b", 3);
    scene.store();

    let mut names: Vec<String> = scene
        .between
        .standing()
        .connected(&host("a").room)
        .iter()
        .map(|room| room.room.to_string())
        .collect();
    names.sort();
    assert_eq!(names, ["a", "b", "c", "d"], "{:?}", scene.answers);
}

#[test]
fn a_room_that_accepts_two_battles_at_one_moment_is_in_the_first() {
    let mut scene = Scene::default();
    scene.challenge("one", "b", "a");
    scene.challenge("two", "c", "a");

    for battle in ["one", "two"] {
        scene.ask("a", Wish::AnswerBattle { battle: battle.into(), accepted: true }, battle);
    }
    scene.store();

    let answer = |ticket| scene.answers.iter().find(|(known, _)| *known == ticket).map(|(_, result)| result);
    assert_eq!(answer("one"), Some(&Ok(Answer::Done)));
    assert_eq!(answer("two"), Some(&Err(Refusal::Rule(Error::InBattle("a".into())))));
}
