//! Many connections that change one room at once, each another user of it, beside as many that each have a room of their own:
//! what a crowded room loses by its changes being carried out one after the other.

use serde_json::{Value, json};

use crate::figure::{Figure, Pairs, Target};
use crate::mixed::{CONNECTIONS, ROUNDS, acknowledged_a_second};
use crate::process::Roomful;

pub(crate) async fn run(server: &Roomful) -> anyhow::Result<Figure> {
    let mut pairs = Pairs::default();
    for round in 0..ROUNDS {
        // In turn, and each first as often as the other.
        let (one, many) = if round % 2 == 0 {
            let one = acknowledged_a_second(server, muting(1)).await?;
            (one, acknowledged_a_second(server, muting(CONNECTIONS)).await?)
        } else {
            let many = acknowledged_a_second(server, muting(CONNECTIONS)).await?;
            (acknowledged_a_second(server, muting(1)).await?, many)
        };
        println!("mute_member: {one:.0} a second in one room, {many:.0} in {CONNECTIONS}");
        pairs.push(one, many);
    }
    Ok(Figure::in_turn(
        "64 connections change one room, a user each, beside 64 rooms",
        "acknowledged/s",
        pairs,
        Target::AtLeast(0.5),
    ))
}

/// Each connection silences a user of its own, for another time whenever it does, in one of so many of the prepared rooms.
pub(crate) fn muting(rooms: usize) -> impl Fn(usize, usize) -> (&'static str, Value) {
    move |connection, step| {
        let (room, user) = (format!("room-{:04}", connection % rooms), format!("user-{connection:03}"));
        let body = json!({"RoomId": room, "MemberList_Account": [user], "MuteTime": 60 + step});
        ("live_engine_http_srv/mute_member", body)
    }
}
