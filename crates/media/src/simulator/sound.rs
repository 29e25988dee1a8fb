//! Sound on links that lose packets: what is sent again, what is not, and what of it is heard.

use super::World;
use super::link::Link;
use super::wire::{SOUND, nack};

const LAYERS: &[u32] = &[134_000, 352_000, 1_204_000];

/// A minute on a link of 5 Mbit/s that loses a share, 25 ms away.
fn lossy(loss: f64, seed: u64) -> World {
    World::new(LAYERS, Link::new(5e6).delay(0.025).loss(loss), seed)
}

#[test]
fn plain_sound_that_is_lost_is_sent_again_and_heard() {
    for seed in 1..=4 {
        let mut without = lossy(0.05, seed).with_plain_sound();
        let mut with = lossy(0.05, seed).with_plain_sound().with_sound_again();

        without.run(60.0);
        with.run(60.0);

        let (before, after) = (without.player.ear.share_concealed(), with.player.ear.share_concealed());
        assert!(before > 0.03, "{before}");
        assert!(after < 0.2 * before, "{before} concealed, {after} with what is sent again");
        assert!(with.again > 100 && without.again == 0, "{}", with.again);
        assert_eq!(with.player.ear.twice, 0, "sent again without need");
    }
}

#[test]
fn what_goes_again_hides_no_loss() {
    // Sound alone, so that nothing else tells.
    let mut world = World::new(&[], Link::new(5e6).delay(0.025).loss(0.08), 1).with_plain_sound();
    world = world.with_sound_again();
    let mut losses = Vec::new();

    for _ in 0..60 {
        world.run(1.0);
        losses.push(world.viewer.estimator.loss());
    }

    let mean = losses[10..].iter().sum::<f64>() / 50.0;
    assert!(world.again > 200 && (0.05..0.11).contains(&mean), "{mean}, {} again", world.again);
}

#[test]
fn what_a_second_copy_brings_is_not_sent_again() {
    for seed in 1..=4 {
        let mut without = lossy(0.05, seed);
        let mut world = lossy(0.05, seed).with_sound_again();

        without.run(60.0);
        world.run(60.0);

        // 5 % of 3,000 are lost, 5 % of these beside another: those alone, and not all of them, go again.
        assert!(world.player.sound_lost() > 0.03, "{}", world.player.sound_lost());
        assert!((1..=30).contains(&world.again), "{}", world.again);
        let (before, after) = (without.player.ear.share_concealed(), world.player.ear.share_concealed());
        assert!(after < before, "{before}, {after}");
    }
}

#[test]
fn second_copies_are_left_out_where_nothing_is_lost_and_come_back_where_something_is() {
    for seed in 1..=4 {
        let mut world = World::new(LAYERS, Link::new(5e6).delay(0.025), seed).with_sound_again();
        world.run(20.0);
        assert!(!world.viewer.slots[0].is_plain, "they are there until it is known that nobody needs them");
        world.run(25.0);
        assert!(world.viewer.slots[0].is_plain, "seed {seed}");

        // What goes again hides no loss.
        world.link = world.link.clone().loss(0.05);
        let began = world.seconds();
        while world.viewer.slots[0].is_plain && world.seconds() < began + 10.0 {
            world.run(0.1);
        }

        assert!(world.seconds() - began <= 3.0, "seed {seed}: after {} s", world.seconds() - began);
        world.run(10.0);
        assert!(!world.viewer.slots[0].is_plain, "seed {seed}");
    }
}

#[test]
fn sound_goes_again_four_times_at_most_and_within_its_moment() {
    let mut world = World::new(LAYERS, Link::new(50e6), 1).with_plain_sound();
    world.viewer.slots[0].kept = Some(Box::default());
    world.run(3.0);
    let newest = world.viewer.slots[0].newest_number().unwrap();
    let pairs = [(newest >> 8) as u8, newest as u8, 0, 0];

    for _ in 0..100 {
        world.report(nack(SOUND, &pairs));
        world.run(0.005);
    }

    assert_eq!(world.again, 4);
}

#[test]
fn who_asks_for_all_sound_all_the_time_is_sent_no_more_than_a_third_again() {
    let mut world = World::new(&[], Link::new(50e6), 1).with_plain_sound();
    world.viewer.slots[0].kept = Some(Box::default());
    world.run(3.0);
    let (sent, streamed) = (world.sent, world.streamed);

    for _ in 0..3000 {
        let newest = world.viewer.slots[0].newest_number().unwrap() - 16;
        world.report(nack(SOUND, &[(newest >> 8) as u8, newest as u8, 0xff, 0xff]));
        world.run(0.01);
    }

    let (sent, streamed) = ((world.sent - sent) as f64, (world.streamed - streamed) as f64);
    assert!(world.again > 0 && sent <= 1.35 * streamed + 24_000.0, "{sent} bytes for {streamed}");
}
