//! Links that people have, and what is to be seen on them.

use super::World;
use super::link::Link;

/// What Chrome sends of a camera: 180, 360 and 720 lines.
const LAYERS: &[u32] = &[134_000, 352_000, 1_204_000];

/// What a shared screen, or an encoder by WHIP, sends.
const ONE_LAYER: &[u32] = &[1_200_000];

const SECONDS: f64 = 60.0;

/// The links by their names.
fn links() -> Vec<(&'static str, &'static [u32], Link)> {
    let link = Link::new;
    let far = |bits, loss| link(bits).loss(loss).delay(0.05);
    vec![
        ("5M", LAYERS, link(5e6)),
        ("2M", LAYERS, link(2e6)),
        ("1.5M", LAYERS, link(1.5e6)),
        ("1M", LAYERS, link(1e6)),
        ("600k", LAYERS, link(600e3)),
        ("400k", LAYERS, link(400e3)),
        ("250k", LAYERS, link(250e3)),
        ("200k", LAYERS, link(200e3)),
        ("150k", LAYERS, link(150e3)),
        ("60k", LAYERS, link(60e3)),
        ("one layer into 1M", ONE_LAYER, link(1e6)),
        ("one layer into 400k", ONE_LAYER, link(400e3)),
        ("one layer into 150k", ONE_LAYER, link(150e3)),
        ("jitter of 30 ms", LAYERS, link(5e6).jitter(0.03)),
        ("jitter of 60 ms", LAYERS, link(5e6).jitter(0.06)),
        ("stalls of 80 ms", LAYERS, link(5e6).stall(0.08)),
        ("stalls of 200 ms", LAYERS, link(5e6).stall(0.2)),
        ("loss of 5 %", LAYERS, far(5e6, 0.05)),
        ("loss of 8 %", LAYERS, link(5e6).loss(0.08)),
        ("loss of 10 %", LAYERS, far(5e6, 0.1)),
        ("loss of 20 %", LAYERS, link(5e6).loss(0.2)),
        ("5M, 200k, 5M", LAYERS, link(5e6).then(20.0, 200e3).then(35.0, 5e6)),
        ("5M, 1M, 5M", LAYERS, link(5e6).then(20.0, 1e6).then(35.0, 5e6)),
        ("nothing for 3 s", LAYERS, link(5e6).then(20.0, 0.0).then(23.0, 5e6)),
        ("600k by a policer", LAYERS, link(600e3).policer(15e3)),
        ("queue of 30 ms, 1.5M", LAYERS, link(1.5e6).queue(0.03)),
        ("queue of 30 ms, 600k", LAYERS, link(600e3).queue(0.03)),
        ("queue of 30 ms, 400k", LAYERS, link(400e3).queue(0.03)),
        ("TCP beside, 5M", LAYERS, link(5e6).beside_tcp()),
        ("TCP beside, 1M", LAYERS, link(1e6).beside_tcp()),
    ]
}

#[test]
fn a_wide_link_shows_the_highest_layer() {
    let mut world = World::new(LAYERS, Link::new(5e6), 1);

    world.run(20.0);

    assert!(world.at_least(2) > 13.0, "{}", world.story());
}

#[test]
fn reports_alone_keep_to_a_narrow_link() {
    let mut world = World::new(LAYERS, Link::new(600e3), 1).without_transport_cc();

    world.run(SECONDS);

    let sent = world.rate(1, 60);
    assert!(sent <= 1.3 * 600e3, "{sent}\n{}", world.story());
}

/// How long the picture was of a layer on links that are wide enough, but not steady, over four seeds.
#[test]
fn unsteady_links_keep_the_highest_layer() {
    for (name, link, seconds) in [
        ("jitter of 30 ms", Link::new(5e6).jitter(0.03), 45.0),
        ("jitter of 60 ms", Link::new(5e6).jitter(0.06), 35.0),
        ("stalls of 80 ms", Link::new(5e6).stall(0.08), 45.0),
        ("loss of 5 %", Link::new(5e6).loss(0.05).delay(0.05), 45.0),
        ("loss of 8 %", Link::new(5e6).loss(0.08), 45.0),
    ] {
        for seed in 1..=4 {
            let mut world = World::new(LAYERS, link.clone(), seed);

            world.run(SECONDS);

            assert!(world.at_least(2) >= seconds, "{name}, seed {seed}:\n{}", world.story());
        }
    }
}

/// All links, for a look at them; `LINK` names one, whose story is told. Nothing is asserted.
#[test]
#[ignore = "prints a table"]
fn table() {
    let wanted = std::env::var("LINK").ok();
    let seeds: u64 = if wanted.is_some() { 1 } else { 4 };
    println!("{:20} {:23} {:23} {:23} switches  sent     sound lost  keyframes", "link", "f", "h", "q");
    for (name, layers, link) in links() {
        if wanted.as_ref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let mut rows = Vec::new();
        for seed in 1..=seeds {
            let mut world = World::new(layers, link.clone(), seed);
            world.run(SECONDS);
            if wanted.is_some() {
                println!("{}", world.story());
            }
            rows.push(world);
        }
        let each = |of: &dyn Fn(&World) -> String| rows.iter().map(of).collect::<Vec<_>>().join(" ");
        let at = |layer| each(&|world: &World| format!("{:5.1}", world.at_least(layer)));
        println!(
            "{name:20} {} {} {} {} | {} | {} | {}",
            at(2),
            at(1),
            at(0),
            each(&|world| format!("{:2}", world.switches())),
            each(&|world| format!("{:4.0}k", world.rate(1, 60) / 1000.0)),
            each(&|world| format!("{:4.1}", 100.0 * world.player.sound_lost())),
            each(&|world| world.camera.asked.to_string()),
        );
    }
}
