//! Viewers that ask for, and report, what is not so: they are sent no more for it, and nobody else less.

use super::link::Link;
use super::player::nack;
use super::{VIDEO, World};

/// What a shared screen, or an encoder by WHIP, sends.
const ONE_LAYER: &[u32] = &[1_200_000];

/// The generic NACK for the last `count` packets of the video.
fn for_the_last(world: &World, count: u64) -> Vec<u8> {
    let newest = world.player.highest().unwrap();
    let numbers = newest.saturating_sub(count)..=newest;
    let pairs: Vec<u8> =
        numbers.step_by(17).flat_map(|seq| [(seq >> 8) as u8, seq as u8, 0xff, 0xff]).collect();
    nack(VIDEO, &pairs)
}

#[test]
fn who_asks_for_everything_is_sent_no_more_than_a_third_again() {
    let mut world = World::new(ONE_LAYER, Link::new(50e6), 1);
    world.run(3.0);
    let (sent, streamed) = (world.sent, world.streamed);

    for _ in 0..300 {
        let report = for_the_last(&world, 900);
        world.report(report);
        world.run(0.03);
    }

    let (sent, streamed) = (world.sent - sent, world.streamed - streamed);
    assert!(streamed > 1_000_000, "{streamed}");
    assert!(sent as f64 <= 1.3 * streamed as f64, "{sent} bytes for {streamed}\n{}", world.story());
}

#[test]
fn a_link_that_is_too_narrow_is_sent_no_more_than_the_stream_and_a_third() {
    for bits in [1e6, 400e3, 150e3] {
        let mut world = World::new(ONE_LAYER, Link::new(bits), 1);

        world.run(20.0);

        let (sent, streamed) = (world.sent as f64, world.streamed as f64);
        assert!(sent <= 1.3 * streamed, "{bits}: {sent} bytes for {streamed}\n{}", world.story());
    }
}

#[test]
fn a_packet_goes_again_four_times_at_most_and_not_when_it_is_old() {
    let mut world = World::new(ONE_LAYER, Link::new(50e6), 1);
    world.run(3.0);
    let number = world.player.highest().unwrap();
    let report = |world: &mut World| world.report(nack(VIDEO, &[(number >> 8) as u8, number as u8, 0, 0]));

    for _ in 0..100 {
        report(&mut world);
        world.run(0.005);
    }
    let again = world.player.again(number);
    let mut other = World::new(ONE_LAYER, Link::new(50e6), 1);
    other.run(3.0);
    let old = other.player.highest().unwrap();
    other.run(1.2);
    other.report(nack(VIDEO, &[(old >> 8) as u8, old as u8, 0, 0]));
    other.run(0.2);

    assert_eq!(again.len(), 4);
    assert!(again.windows(2).all(|pair| pair[1] - pair[0] > 0.019), "{again:?}");
    assert!(other.player.again(old).is_empty());
}

#[test]
fn who_asks_for_numbers_by_chance_waits_for_a_second() {
    use rand::{RngExt as _, SeedableRng as _};
    let mut world = World::new(ONE_LAYER, Link::new(50e6), 1);
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
    world.run(3.0);
    let (sent, streamed) = (world.sent, world.streamed);

    for _ in 0..50 {
        let pairs: Vec<u8> = (0..1200).map(|_| random.random()).collect();
        world.report(nack(VIDEO, &pairs));
        world.run(0.01);
    }

    let (sent, streamed) = (world.sent - sent, world.streamed - streamed);
    assert!(sent as f64 <= 1.1 * streamed as f64, "{sent} bytes for {streamed}");
    for (pause, times) in [(0.1, 0), (1.0, 1)] {
        world.run(pause);
        let number = world.player.highest().unwrap();
        world.report(nack(VIDEO, &[(number >> 8) as u8, number as u8, 0, 0]));
        world.run(0.1);
        assert_eq!(world.player.again(number).len(), times, "after {pause} s");
    }
}
