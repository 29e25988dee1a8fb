//! Viewers that ask for, and report, what is not so: they are sent no more for it, and nobody else less.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::World;
use super::camera::Shape;
use super::link::Link;
use super::player::feedback;
use super::wire::{VIDEO, nack};

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
fn a_link_that_is_too_narrow_is_sent_no_more_than_a_third_above_what_it_carries() {
    for bits in [1e6, 400e3, 150e3] {
        let mut world = World::new(ONE_LAYER, Link::new(bits), 1);

        world.run(20.0);

        let rate = world.rate(1, 20);
        assert!(rate <= 1.3 * bits, "{bits}: {rate} bits a second\n{}", world.story());
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
    let mut world = World::new(ONE_LAYER, Link::new(50e6), 1);
    let mut random = ChaCha8Rng::seed_from_u64(5);
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

const LAYERS: &[u32] = &[134_000, 352_000, 1_204_000];

/// Runs an attack for half a minute, a report every so often. Returns what was sent, and of it for the first time.
fn attack(world: &mut World, every: f64, mut report: impl FnMut(&mut World) -> Vec<u8>) -> (f64, f64) {
    world.run(3.0);
    let (sent, streamed) = (world.sent, world.streamed);
    for _ in 0..(30.0 / every) as usize {
        let report = report(world);
        world.report(report);
        world.run(every);
    }
    ((world.sent - sent) as f64, (world.streamed - streamed) as f64)
}

#[test]
fn feedback_that_cannot_be_gains_nothing() {
    let newest = |world: &World| world.player.newest();
    type Told = fn(u64, u64) -> Option<f64>;
    let lies: [(&str, Told); 5] = [
        ("all came at once", |_, _| Some(7.0)),
        ("nothing ever came", |_, _| None),
        ("time runs back", |number, newest| Some(5.0 + (newest - number) as f64 * 0.001)),
        ("time jumps", |number, _| Some((number % 7) as f64 * 8.0)),
        ("every other is missing", |number, _| (number % 2 == 0).then_some(9.0 + number as f64 * 0.0005)),
    ];
    for (name, came) in lies {
        for layers in [ONE_LAYER, LAYERS] {
            let mut world = World::new(layers, Link::new(50e6), 1);
            world.player.is_mute = true;

            let (sent, streamed) = attack(&mut world, 0.05, |world| {
                // And everything is asked for again.
                let report = for_the_last(world, 900);
                world.report(report);
                let last = newest(world).max(30);
                feedback(last - 30, last, 1, |number| came(number, last))
            });

            // Where there is no room for a picture, looking for some takes a little once, whatever else is sent.
            let most = 1.3 * streamed + 24_000.0;
            assert!(sent <= most, "{name}: {sent} bytes for {streamed}\n{}", world.story());
        }
    }
}

#[test]
fn who_says_that_it_loses_on_a_long_path_is_sent_a_bounded_part_more() {
    for every in [50, 20, 10, 5, 3] {
        let mut redundant = 0;
        for asks_twice in [false, true] {
            let far = || World::new(LAYERS, Link::new(50e6).delay(0.05), 1);
            let (mut world, mut bare) = (far(), far().without_redundancy());
            for world in [&mut world, &mut bare] {
                world.player.denies = Some(every);
                match asks_twice {
                    true => _ = attack(world, 0.03, |world| for_the_last(world, 900)),
                    false => world.run(33.0),
                }
                redundant = redundant.max(world.player.redundant);
            }

            let name = format!("1 in {every}, asking twice: {asks_twice}");
            let most = 1.3 * bare.streamed as f64 + 24_000.0;
            assert!(world.sent as f64 <= most, "{name}: {} for {}", world.sent, bare.streamed);
        }
        // Where much is lost nothing is left for it.
        assert_eq!(redundant > 500, every >= 10, "1 in {every}: {redundant} packets");
    }
}

/// Feedback on packets of a stream (RFC 8888 3.1), made at a moment in 1/65,536 s.
fn by_stream(ssrc: u32, first: u16, told: &[u16], at: u32) -> Vec<u8> {
    let mut packet = vec![0x8b, 205, 0, 0, 0, 0, 0, 1];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([first.to_be_bytes(), (told.len() as u16).to_be_bytes()].concat());
    told.iter().for_each(|told| packet.extend(told.to_be_bytes()));
    packet.resize(packet.len().next_multiple_of(4), 0);
    packet.extend(at.to_be_bytes());
    let words = (packet.len() / 4 - 1) as u16;
    packet[2..4].copy_from_slice(&words.to_be_bytes());
    packet
}

#[test]
fn feedback_by_stream_that_cannot_be_gains_nothing() {
    type Told = fn(u16) -> (u16, u32);
    let lies: [(&str, Told); 5] = [
        ("all came at once", |_| (0x8000, 7 << 16)),
        ("nothing ever came", |_| (0, 7 << 16)),
        ("nobody knows when", |_| (0x9fff, 7 << 16)),
        ("long ago", |_| (0x9ffd, 0)),
        ("time jumps", |number| (0x8000 | number.wrapping_mul(7919) & 0x1fff, u32::from(number) << 18)),
    ];
    for (name, told) in lies {
        for layers in [ONE_LAYER, LAYERS] {
            let mut world = World::new(layers, Link::new(50e6), 1).with_stream_feedback();
            world.player.is_mute = true;

            let (sent, streamed) = attack(&mut world, 0.05, |world| {
                let report = for_the_last(world, 900);
                world.report(report);
                let last = world.viewer.slots[1].newest_number().unwrap_or(30) as u16;
                let (packet, at) = told(last);
                by_stream(VIDEO, last.wrapping_sub(30), &[packet; 31], at)
            });

            let most = 1.3 * streamed + 24_000.0;
            assert!(sent <= most, "{name}: {sent} bytes for {streamed}\n{}", world.story());
        }
    }
}

#[test]
fn feedback_on_packets_of_strangers_changes_nothing() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut world = World::new(LAYERS, Link::new(5e6), 1).with_stream_feedback();

    let (sent, streamed) = attack(&mut world, 0.01, |_| {
        let (ssrc, first) = (random.random_range(1000..u32::MAX), random.random_range(0..u16::MAX));
        by_stream(ssrc, first, &[0; 51], random.random())
    });

    assert!(sent <= 1.1 * streamed, "{sent} bytes for {streamed}");
    assert!(world.at_least(2) > 12.0, "{}", world.story());
    assert_eq!(world.viewer.take_counts().absurd, 51 * 3000, "and is counted");
}

#[test]
fn feedback_on_numbers_by_chance_changes_nothing() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut world = World::new(LAYERS, Link::new(5e6), 1);

    let (sent, streamed) = attack(&mut world, 0.01, |_| {
        let first = random.random_range(20_000..60_000);
        feedback(first, first + 50, 1, |number| Some(number as f64 * 0.001))
    });

    assert!(sent <= 1.1 * streamed, "{sent} bytes for {streamed}");
    assert!(world.at_least(2) > 12.0, "{}", world.story());
    assert_eq!(world.viewer.take_counts().absurd, 51 * 3000, "and is counted");
}

/// A receiver report of the video: all lost, or none, with a held time that cannot be.
fn reception(lost: u8, missing: u32, highest: u32) -> Vec<u8> {
    let mut packet = vec![0x81, 201, 0, 7, 0, 0, 0, 1];
    packet.extend(VIDEO.to_be_bytes());
    packet.extend([lost]);
    packet.extend(&missing.to_be_bytes()[1..]);
    packet.extend(highest.to_be_bytes());
    packet.extend([0xff; 12]);
    packet
}

#[test]
fn reports_of_total_loss_leave_sound_and_raise_nothing() {
    let mut world = World::new(LAYERS, Link::new(5e6), 1).without_transport_cc();
    world.player.is_mute = true;
    let mut highest = 0;

    let (sent, streamed) = attack(&mut world, 0.1, |_| {
        highest += 1000;
        reception(255, highest, highest)
    });

    assert!(sent <= 1.1 * streamed, "{sent} bytes for {streamed}");
    assert!(world.player.sound_lost() < 0.01);
    assert_eq!(
        world.tenths[120].layer,
        None,
        "who says that nothing comes gets sound only\n{}",
        world.story()
    );
}

/// REMB (draft-alvestrand-rmcat-remb-03 2.2) of `mantissa << exponent` bits a second.
fn remb(mantissa: u32, exponent: u8) -> Vec<u8> {
    let mut packet = vec![0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0];
    packet.extend(b"REMB");
    packet.extend([1, exponent << 2 | (mantissa >> 16) as u8 & 3, (mantissa >> 8) as u8, mantissa as u8]);
    packet.extend(VIDEO.to_be_bytes());
    packet
}

#[test]
fn a_receiver_cannot_ask_for_more_than_there_is_nor_for_less_than_sound() {
    for (mantissa, exponent) in [(0, 0), (0x3_ffff, 15), (0x3_ffff, 63)] {
        for is_counted in [false, true] {
            let mut world = World::new(LAYERS, Link::new(5e6), 1);
            if !is_counted {
                world = world.without_transport_cc();
            }

            let (sent, streamed) = attack(&mut world, 0.05, |_| remb(mantissa, exponent));

            assert!(sent <= 1.1 * streamed, "{sent} bytes for {streamed}");
            assert!(world.player.sound_lost() < 0.01);
            let layer = world.tenths[120].layer;
            match is_counted {
                true => assert_eq!(layer, Some(2), "who is known better is not believed"),
                false if mantissa == 0 => assert_eq!(layer, None, "{}", world.story()),
                false => {}
            }
        }
    }
}

#[test]
fn who_asks_for_keyframes_all_the_time_gets_few() {
    let mut world = World::new(LAYERS, Link::new(5e6), 1);
    let asked = |world: &World| world.camera.asks;
    world.run(3.0);
    let before = asked(&world);

    for _ in 0..2000 {
        let report = [&[0x81, 206, 0, 2, 0, 0, 0, 1][..], &VIDEO.to_be_bytes()].concat();
        world.report(report);
        world.run(0.005);
    }

    let asks = asked(&world) - before;
    assert!(asks <= 11, "{asks} times in ten seconds");
}

#[test]
fn a_publisher_whose_layers_are_by_chance_does_no_harm() {
    for shape in [Shape::Scalable, Shape::Shares] {
        for bits in [5e6, 1e6, 150e3] {
            let mut world = World::of(shape, LAYERS, Link::new(bits), 1);
            world.camera.is_mad = true;
            world.run(5.0);
            let before = world.camera.asks;

            world.run(25.0);

            let rate = world.rate(5, 30);
            assert!(rate <= 1.4 * bits, "{shape:?}: {rate} on {bits}\n{}", world.story());
            let asks = world.camera.asks - before;
            assert!(asks <= 4 * 25, "{shape:?}: {asks} keyframes asked for in 25 s");
            let lost = world.player.sound_lost();
            assert!(lost < 0.05 || bits < 1e6, "{shape:?}: {lost} of the sound lost on {bits}");
        }
    }
}
