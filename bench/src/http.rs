//! get_member_list beside a bare axum server with a ready-made body and, where it is installed, nginx with the same body:
//! 64 keep-alive connections, load and servers on the same cores, every request authorised.
//!
//! What is compared is the server's computing time for a call. How many calls a second there are says more of what the load
//! leaves of the cores.

use serde_json::json;

use crate::calls::{ROUNDS, call, load};
use crate::figure::{Figure, Pairs, Target};
use load::Member;

use crate::member;
use crate::nginx::Nginx;
use crate::process::{Process, Roomful};
use crate::{bare, churn};

/// How many members there are, and the names of what is measured: beside the bare server, and beside nginx.
const SIZES: [(usize, &str, &str); 3] = [
    (1000, "get_member_list, 1,000 members", "get_member_list, 1,000 members, beside nginx"),
    (100, "get_member_list, 100 members", "get_member_list, 100 members, beside nginx"),
    (1, "get_member_list, 1 member", "get_member_list, 1 member, beside nginx"),
];

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (members, beside_bare, beside_nginx) in SIZES {
        let server = Roomful::start()?;
        let inside = fill(&server, members).await?;
        let (bare, nginx) = held_against(&server, members).await?;
        figures.push(Figure::in_turn(beside_bare, "us of CPU a call", bare, Target::AtMost(1.15)));
        figures.push(match nginx {
            Some(pairs) => Figure::in_turn(beside_nginx, "us of CPU a call", pairs, Target::AtMost(1.0)),
            None => Figure::Skipped { name: beside_nginx, why: "nginx is not installed" },
        });
        if members == 1000 {
            figures.push(churn::run(&server).await?);
        }
        drop(inside);
    }
    Ok(figures)
}

/// What a call costs us beside the bare server, and beside nginx if there is one.
async fn held_against(server: &Roomful, members: usize) -> anyhow::Result<(Pairs, Option<Pairs>)> {
    let bare = Process::bare(&["bare-http", &members.to_string()])?;
    let nginx = Nginx::start(&bare::list(members))?;
    let request = server.list_request("r")?;
    let (mut beside_bare, mut beside_nginx) = (Pairs::default(), Pairs::default());
    for round in 0..ROUNDS {
        // In turn, ours between the others: it is a neighbour of both, and each is first as often as the other.
        let mut sides = [Some(&bare), Some(&server.process), nginx.as_ref().map(Nginx::process)];
        if round % 2 == 1 {
            sides.reverse();
        }
        let mut costs = [None; 3];
        for (side, cost) in sides.iter().zip(&mut costs) {
            if let Some(side) = side {
                let load = load(side, &request).await?;
                println!("{members} members: {:.0} calls/s, {:.2} us each", load.rate(), load.us_each());
                *cost = Some(load.us_each());
            }
        }
        if round % 2 == 1 {
            costs.reverse();
        }
        let [Some(bare), Some(ours), nginx] = costs else { continue };
        beside_bare.push(ours, bare);
        if let Some(nginx) = nginx {
            beside_nginx.push(ours, nginx);
        }
    }
    Ok((beside_bare, nginx.is_some().then_some(beside_nginx)))
}

/// A room `r` with so many members over real WebSockets, who read what they are sent.
pub(crate) async fn fill(server: &Roomful, members: usize) -> anyhow::Result<Vec<Member>> {
    call(server, "create_room", &json!({"RoomInfo": {"RoomId": "r", "RoomType": "Live"}})).await?;
    let mut inside = Vec::with_capacity(members);
    for number in 0..members {
        inside.push(member::enter(server, &format!("user-{number:06}"), "r", &member::deaf()).await?);
    }
    Ok(inside)
}
