//! Viewers who are about to come.

use super::*;
use crate::command::Command;

/// The source of the only publisher.
fn source(world: &World) -> Arc<Source> {
    let mut here = world.shard.publishing.values();
    here.next().map(|publishing| publishing.source.clone()).unwrap()
}

/// Somebody is about to come, and the newest keyframe is three pictures old.
fn expecting(world: &mut World, ann: usize) {
    world.run(Duration::from_secs(1), &[(ann, &[])]);
    let command = Command::Expect { source: source(world).id };
    world.shard.handle_command(command, world.now);
    world.run(Duration::from_millis(30), &[(ann, &[])]);
    while world.clients[ann].written[0] / 3 % 20 != 3 {
        world.run(Duration::from_millis(30), &[(ann, &[])]);
    }
}

/// A viewer begins to watch, and is connected while nothing is published. Returns the numbers of what it gets.
fn watched(world: &mut World) -> Vec<u64> {
    let ben = world.viewer(2, u32::MAX);
    world.one_stream(ben).iter().map(|packet| packet.number.into()).collect()
}

#[test]
fn a_keyframe_is_asked_for_before_anybody_watches_and_is_there_when_one_does() {
    let mut world = World::new();
    let ann = world.publisher(1, &[]);
    let before = world.clients[ann].keyframes_asked;
    expecting(&mut world, ann);
    let command = Command::Expect { source: source(&world).id };
    world.shard.handle_command(command, world.now);
    assert_eq!(world.clients[ann].keyframes_asked, before + 1, "the second who comes shares it");

    let sent = world.clients[ann].written[0];
    assert_eq!(watched(&mut world), (sent - 8..=sent).collect::<Vec<_>>());
    assert_eq!(world.clients[ann].keyframes_asked, before + 1);
}

#[test]
fn what_was_kept_is_handed_to_the_worker_that_the_viewer_comes_to() {
    let (shared, mut inlets) = Shared::new(2, vec![SERVER.into()], Vec::new()).unwrap();
    let shared = Arc::new(shared);
    let mut here = World::at(0, shared.clone(), Instant::now());
    let ann = here.publisher(1, &[]);
    expecting(&mut here, ann);
    let sent = here.clients[ann].written[0];

    let mut there = World::at(1, shared, here.now);
    let ben = there.client();
    let (offer, pending) = there.offer(ben, Direction::RecvOnly, &[]);
    let wanted = there.watched(ben, u32::MAX);
    let answer = there.shard.watch(PeerId(2), &offer, &wanted, None, there.now).unwrap();
    let mut asked = 0;
    while let Ok(command) = inlets[0].commands.try_recv() {
        assert!(matches!(command, Command::AskKept { worker: 1, .. }), "nothing else is asked for");
        asked += 1;
        here.shard.handle_command(command, here.now);
    }
    assert_eq!(asked, 1);
    // Of the picture that follows that worker hears before.
    here.run(Duration::from_millis(30), &[(ann, &[])]);
    while let Ok(packet) = inlets[1].packets.try_recv() {
        there.shard.handle_packet(packet);
    }
    there.run(Duration::from_millis(5), &[]);
    while let Ok(command) = inlets[1].commands.try_recv() {
        there.shard.handle_command(command, there.now);
    }
    there.accept(ben, pending, &answer);

    let numbers: Vec<u64> = there.one_stream(ben).iter().map(|packet| packet.number.into()).collect();
    assert_eq!(numbers, (sent - 8..=sent + 3).collect::<Vec<_>>());
}

#[test]
fn who_does_not_come_is_not_waited_for() {
    let mut world = World::new();
    let ann = world.publisher(1, &[]);
    expecting(&mut world, ann);
    let source = source(&world);
    assert_eq!((source.watchers(), world.shard.feeds.len()), (1, 1));

    world.run(Duration::from_secs(4), &[(ann, &[])]);
    assert_eq!((source.watchers(), world.shard.feeds.len()), (0, 0));
}

#[test]
fn who_comes_all_the_time_takes_little_from_others() {
    let mut world = World::new();
    let ann = world.publisher(1, &[]);
    expecting(&mut world, ann);
    let before = world.clients[ann].keyframes_asked;

    for _ in 0..100 {
        let command = Command::Expect { source: source(&world).id };
        world.shard.handle_command(command, world.now);
        // None of them is a keyframe, as of a publisher that does not do what it is asked.
        world.clients[ann].written = [3, 0];
        world.run(Duration::from_millis(90), &[(ann, &[])]);
    }

    let asked = world.clients[ann].keyframes_asked - before;
    assert!((1..=5).contains(&asked), "{asked} in nine seconds");
}

#[test]
fn what_may_not_be_sent_is_not_asked_for() {
    let mut world = World::new();
    let ann = world.publisher(1, &[]);
    world.run(Duration::from_secs(1), &[(ann, &[])]);
    let before = world.clients[ann].keyframes_asked;
    world.shard.set_rights(PeerId(1), Rights::default(), world.now);

    let command = Command::Expect { source: source(&world).id };
    world.shard.handle_command(command, world.now);
    world.run(Duration::from_millis(30), &[(ann, &[])]);

    assert_eq!((world.clients[ann].keyframes_asked, world.shard.feeds.len()), (before, 0));
}
