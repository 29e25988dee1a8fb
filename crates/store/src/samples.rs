//! What tests write.

#![allow(clippy::unwrap_used)]

use rooms::{
    Client, Content, Fields, Message, RoomId, RoomInfo, RoomType, SdkAppId, SessionId, Time, UserId,
};

use crate::{ApiKey, Lane, OutboxEvent, Presence, RoomScope, StoredSession};

pub(crate) const APP: SdkAppId = SdkAppId(1_400_000_001);

pub(crate) fn ann() -> UserId {
    UserId::parse("ann").unwrap()
}

pub(crate) fn ben() -> UserId {
    UserId::parse("ben").unwrap()
}

pub(crate) fn api_key(id: u64, apps: u64) -> ApiKey {
    ApiKey {
        secret_id: format!("AKID{id}"),
        secret_key: "k".into(),
        apps: (0..apps).map(|_| APP).collect(),
        actions: Vec::new(),
        is_disabled: apps == 0,
        created_at: Time::from_unix_seconds(6),
    }
}

pub(crate) fn scope(number: i64) -> RoomScope {
    RoomScope { app: APP, number }
}

pub(crate) fn session(id: u64) -> StoredSession {
    StoredSession {
        id: SessionId(id),
        sdkappid: APP,
        user: ann(),
        token_hash: [0; 32],
        valid_until: Time::from_unix_seconds(9),
        client: Client::default(),
    }
}

pub(crate) fn presence(session: u64, scope: RoomScope) -> Presence {
    Presence { session: SessionId(session), scope, user: ann(), place: 1, seen: 1, stay: 5 }
}

pub(crate) fn room(id: &str, incarnation: u64) -> RoomInfo {
    let id = RoomId::parse(id).unwrap();
    let now = Time::from_unix_seconds(7);
    RoomInfo::create(id, RoomType::Live, ann(), &Fields::default(), now, incarnation).unwrap()
}

pub(crate) fn text(seq: u64) -> Message {
    let content = Content::Text { text: "hi".into(), extension: String::new() };
    Message { seq, id: format!("m{seq}"), from: ann(), content, sent_at: Time::from_unix_seconds(8) }
}

pub(crate) fn event(app: SdkAppId, id: u64, body: &str) -> OutboxEvent {
    OutboxEvent {
        id,
        sdkappid: app,
        lane: Lane::WEBHOOKS,
        subject: "r".into(),
        command: "c".into(),
        body: body.into(),
        at: Time::from_unix_seconds(8),
    }
}
