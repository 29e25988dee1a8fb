//! What the relay takes from strangers and from members, for the fuzz target of that name.

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use super::credentials::{REALM, key};
use super::wire::{Class, Message, Method, Writer, kind};
use super::{Client, Entrance, Reaction, Turn};

const METHODS: [Method; 4] =
    [Method::Allocate, Method::Refresh, Method::CreatePermission, Method::ChannelBind];

/// Takes the bytes as they are, from one who has no allocation; then as requests of one who has a credential, after an
/// allocation: a byte for the method, one for the number of attributes, and each of them by the two bytes of its kind, one of
/// its length, and its value.
pub(crate) fn survive(bytes: &[u8]) {
    let now = Instant::now();
    let peers = vec![([192, 0, 2, 1], 8480).into(), (Ipv6Addr::LOCALHOST, 8480).into()];
    let turn = Turn::new(b"secret", peers, now, 0);
    let client =
        Client { remote: ([198, 51, 100, 7], 5000).into(), local: None, entrance: Entrance::Stream(1) };
    let mut answer = Vec::new();
    turn.handle(client, bytes, now, &mut answer);
    answer.clear();

    let mut request = Vec::new();
    Writer::new(&mut request, Class::Request, Method::Allocate, [7; 12]);
    turn.handle(client, &request, now, &mut answer);
    let Some(nonce) = Message::parse(&answer).and_then(|refusal| refusal.get(kind::NONCE)) else { return };
    let username = "1000000:s1";
    let key = key(username, REALM, &turn.password(username));
    let mut ask = |method, attributes: &[(u16, &[u8])], at| {
        request.clear();
        let mut writer = Writer::new(&mut request, Class::Request, method, [8; 12]);
        writer.attribute(kind::USERNAME, username.as_bytes());
        writer.attribute(kind::REALM, REALM.as_bytes()).attribute(kind::NONCE, nonce);
        attributes.iter().for_each(|(kind, value)| _ = writer.attribute(*kind, value));
        writer.sign(&key);
        let mut answer = Vec::new();
        if turn.handle(client, &request, at, &mut answer) == Reaction::Answer {
            debug_assert!(Message::parse(&answer).is_some(), "an answer is whole");
        }
    };
    ask(Method::Allocate, &[(kind::REQUESTED_TRANSPORT, &[17, 0, 0, 0])], now);
    let mut rest = bytes;
    let mut at = now;
    while let Some(([method, count], mut tail)) = rest.split_first_chunk::<2>() {
        let mut attributes = Vec::new();
        for _ in 0..count % 8 {
            let Some(([k0, k1, length], body)) = tail.split_first_chunk::<3>() else { break };
            let (value, left) = body.split_at(body.len().min(usize::from(*length)));
            attributes.push((u16::from_be_bytes([*k0, *k1]), value));
            tail = left;
        }
        rest = tail;
        at += Duration::from_secs(1);
        let method = METHODS.get(usize::from(*method) % METHODS.len()).copied();
        ask(method.unwrap_or(Method::Refresh), &attributes, at);
    }
    turn.sweep(at + Duration::from_secs(3600));
    debug_assert_eq!(turn.counters.allocations(), 0, "all ends");
}
