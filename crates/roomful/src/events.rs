//! What members are told: every event there is, each with its body. A variant is an event; its name on
//! the wire is the variant's. The frames, the browser client's types and the check of `docs/protocol.md` come of these types
//! (`gateway/protocol.rs`), so nothing else has to be told of one.

use std::sync::Arc;

use hall::{MemberStreams, Rights, WantedLayers};
use media::{Link, Pause, Showing, SourceKey};
use rooms::{
    Battle, BattleStep, ConnectionStep, Content, Device, Event, LeaveCause, MembersChanged, Message,
    RequestKind, Room, RoomId, SeatRequest, Time, UserId,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::live::unit;
use crate::tenant::Tenant;
use crate::wire::{self, BattleView, RoomInfoView, SeatView};

/// An event as it stands in a frame: `{"event": "text_msg", "body": {..}}`. Each says to whom it is told.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "event", content = "body", rename_all = "snake_case")]
pub(crate) enum MemberEvent<'a> {
    /// To everyone in the room: who came and went since the last one.
    MembersChanged(MembersChangedBody<'a>),
    /// To everyone in the room, the sender included: a text.
    TextMsg(TextMsg<'a>),
    /// To everyone in the room, the sender included: data of the app's own.
    CustomMsg(CustomMsg<'a>),
    /// To everyone in the room, the sender included: a message of elements; one that is a single text is a text_msg.
    GroupMsg(GroupMsg<'a>),
    /// To everyone in the room, gathered: who liked it.
    LikesChanged(LikesChanged<'a>),
    /// To everyone in the room: a gift was given.
    GiftReceived(GiftReceived<'a>),
    /// To everyone in the room: its record was changed.
    RoomInfoChanged(RoomInfoChanged<'a>),
    /// To everyone in the room: entries of its metadata were set or deleted.
    MetadataChanged(MetadataChanged<'a>),
    /// To everyone in the room: members were silenced, or may speak again.
    MembersMuted(MembersMuted<'a>),
    /// To everyone in the room: it has other administrators.
    AdminsChanged(AdminsChanged<'a>),
    /// To everyone in the room: it has another owner.
    OwnerChanged(OwnerChanged<'a>),
    /// To everyone in the room, which is booked: who is invited to it, and who not any more.
    InviteesChanged(InviteesChanged<'a>),
    /// To everyone in the room: a member's card was changed.
    MemberInfoChanged(MemberInfoChanged<'a>),
    /// To everyone in the room: all its seats, when one has changed.
    SeatsChanged(SeatsChanged<'a>),
    /// To those who may answer: a request for a seat.
    SeatRequestReceived(SeatRequestBody<'a>),
    /// To both sides: what became of a request for a seat.
    SeatRequestEnded(SeatRequestEnded<'a>),
    /// To those in charge of the room that is asked: another wants to co-host.
    ConnectionRequested(ConnectionBody<'a>),
    /// To those in charge of the room that asked: the other co-hosts.
    ConnectionAccepted(ConnectionBody<'a>),
    /// To those in charge of the room that asked: the other does not want to.
    ConnectionRejected(ConnectionBody<'a>),
    /// To those in charge of the room that was asked: the request was taken back.
    ConnectionCancelled(ConnectionBody<'a>),
    /// To those in charge of both rooms: nobody has answered in time.
    ConnectionExpired(ConnectionBody<'a>),
    /// To everyone in the connected rooms: which these are.
    ConnectionChanged(ConnectionChanged<'a>),
    /// To everyone in a battle's rooms: it was created.
    BattleRequested(BattleBody<'a>),
    /// To everyone in a battle's rooms: one of them takes part.
    BattleAccepted(BattleBody<'a>),
    /// To everyone in a battle's rooms: one of them does not take part.
    BattleRejected(BattleBody<'a>),
    /// To everyone in a battle's rooms: it has started.
    BattleStarted(BattleBody<'a>),
    /// To everyone in a battle's rooms: it has other scores.
    BattleScoreChanged(BattleBody<'a>),
    /// To everyone in a battle's rooms: one of them has left it.
    BattleExited(BattleBody<'a>),
    /// To everyone in a battle's rooms: it is over.
    BattleEnded(BattleBody<'a>),
    /// To everyone in the room: all that a member publishes now.
    StreamsChanged(StreamsChanged<'a>),
    /// To the member concerned: what it may publish now.
    PublishingChanged(PublishingChanged<'a>),
    /// To a viewer: a picture that it watches stops, goes on or has another height.
    WatchChanged(WatchChanged<'a>),
    /// To a viewer: what its link carries.
    LinkChanged(LinkChanged<'a>),
    /// To a publisher with Dynacast: which layers of a stream anybody watches.
    LayersWanted(LayersWanted<'a>),
    /// To everyone in the room: who speaks, the loudest first.
    SpeakersChanged(SpeakersChanged<'a>),
    /// To the member concerned: its stream was switched off by one in charge.
    DeviceClosed(DeviceBody<'a>),
    /// To the member concerned: one in charge asks it to switch a stream on.
    DeviceRequested(DeviceBody<'a>),
    /// To the others in the room: bytes of a member.
    DataReceived(DataReceived<'a>),
    /// To the member concerned: its connection for media is gone; make it anew.
    MediaLost(MediaLost<'a>),
    /// To the member concerned: it is out of the room; the connection stays.
    RoomClosed(RoomClosed<'a>),
    /// To everyone: the server drains and will close; connect again after so many milliseconds, and resume.
    Reconnect(Reconnect),
}

impl MemberEvent<'_> {
    /// The text of its frame.
    pub(crate) fn text(&self) -> String {
        to_json(self)
    }
}

/// What cannot fail: texts, numbers and lists of them.
pub(crate) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| {
        debug_assert!(false, "{error}");
        tracing::error!(%error, "what is told cannot be written");
        "{}".into()
    })
}

/// A user, by its name.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Named<'a> {
    #[serde(rename = "Member_Account")]
    member_account: &'a str,
}

impl<'a> Named<'a> {
    pub(crate) fn of(user: &'a UserId) -> Self {
        Self { member_account: user.as_str() }
    }
}

/// Why somebody is out of a room.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Cause {
    Leave,
    Interrupted,
    Kicked,
    Banned,
    Destroyed,
    Expired,
}

impl From<LeaveCause> for Cause {
    fn from(cause: LeaveCause) -> Self {
        match cause {
            LeaveCause::Leave => Self::Leave,
            LeaveCause::Interrupted => Self::Interrupted,
            LeaveCause::Kicked | LeaveCause::Deleted => Self::Kicked,
            LeaveCause::Banned => Self::Banned,
            LeaveCause::Destroyed => Self::Destroyed,
            LeaveCause::Expired => Self::Expired,
        }
    }
}

/// The microphone, the camera, or the screen.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StreamType {
    Audio,
    Main,
    Sub,
}

impl From<Device> for StreamType {
    fn from(device: Device) -> Self {
        match device {
            Device::Microphone => Self::Audio,
            Device::Camera => Self::Main,
            Device::Screen => Self::Sub,
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Left<'a> {
    #[serde(rename = "Member_Account")]
    member_account: &'a str,
    cause: Cause,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MembersChangedBody<'a> {
    room_id: &'a str,
    /// How many there are once this is applied.
    member_count: usize,
    entered: Vec<Named<'a>>,
    left: Vec<Left<'a>>,
    /// Names are missing from the lists.
    partial: bool,
}

pub(crate) fn members_changed(room_id: &RoomId, changed: &MembersChanged) -> String {
    let left = changed.left.iter();
    let left = left.map(|(user, cause)| Left { member_account: user.as_str(), cause: (*cause).into() });
    let body = MembersChangedBody {
        room_id: room_id.as_str(),
        member_count: changed.member_count,
        entered: changed.entered.iter().map(Named::of).collect(),
        left: left.collect(),
        partial: changed.partial,
    };
    MemberEvent::MembersChanged(body).text()
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TextMsg<'a> {
    room_id: &'a str,
    /// The event's name.
    r#type: &'static str,
    #[serde(rename = "From_Account")]
    from_account: &'a str,
    text: &'a str,
    /// The app's own, beside the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    extension_info: Option<&'a str>,
    msg_id: &'a str,
    /// Its place in the room's one order.
    seq: u64,
    time: u64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CustomMsg<'a> {
    room_id: &'a str,
    /// The event's name.
    r#type: &'static str,
    #[serde(rename = "From_Account")]
    from_account: &'a str,
    #[serde(rename = "Sender_Account")]
    sender_account: &'a str,
    business_id: &'a str,
    data: &'a str,
    msg_id: &'a str,
    /// Its place in the room's one order.
    seq: u64,
    time: u64,
}

/// An element of a message.
#[derive(JsonSchema)]
#[schemars(rename_all = "PascalCase")]
#[allow(dead_code, reason = "the shape of what is kept as it came")]
pub(crate) struct Element {
    msg_type: String,
    msg_content: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GroupMsg<'a> {
    room_id: &'a str,
    /// The event's name.
    r#type: &'static str,
    #[serde(rename = "From_Account")]
    from_account: &'a str,
    #[schemars(with = "Vec<Element>")]
    msg_body: Option<&'a RawValue>,
    cloud_custom_data: &'a str,
    msg_id: &'a str,
    /// Its place in the room's one order.
    seq: u64,
    time: u64,
}

/// A message as it is told, and as who enters finds it.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Told<'a> {
    Text(TextMsg<'a>),
    Custom(CustomMsg<'a>),
    Group(GroupMsg<'a>),
}

impl<'a> Told<'a> {
    pub(crate) fn new(room_id: &'a RoomId, message: &'a Message) -> Self {
        let (room_id, from_account) = (room_id.as_str(), message.from.as_str());
        let (msg_id, seq, time) = (message.id.as_str(), message.seq, message.sent_at.unix_millis());
        match &message.content {
            Content::Text { text, extension } => {
                let extension_info = Some(extension.as_str()).filter(|extension| !extension.is_empty());
                let r#type = "text_msg";
                Self::Text(TextMsg { room_id, r#type, from_account, text, extension_info, msg_id, seq, time })
            }
            Content::Custom { business_id, data } => {
                let (r#type, sender_account) = ("custom_msg", from_account);
                Self::Custom(CustomMsg {
                    room_id,
                    r#type,
                    from_account,
                    sender_account,
                    business_id,
                    data,
                    msg_id,
                    seq,
                    time,
                })
            }
            Content::Elements { body, extension } => {
                // It was JSON when it came in.
                let (r#type, msg_body) = ("group_msg", serde_json::from_str(body).ok());
                let cloud_custom_data = extension;
                Self::Group(GroupMsg {
                    room_id,
                    r#type,
                    from_account,
                    msg_body,
                    cloud_custom_data,
                    msg_id,
                    seq,
                    time,
                })
            }
        }
    }
}

/// A message's event.
pub(crate) fn message(room_id: &RoomId, message: &Message) -> String {
    match Told::new(room_id, message) {
        Told::Text(body) => MemberEvent::TextMsg(body),
        Told::Custom(body) => MemberEvent::CustomMsg(body),
        Told::Group(body) => MemberEvent::GroupMsg(body),
    }
    .text()
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Like<'a> {
    #[serde(rename = "From_Account")]
    from_account: &'a str,
    count: u64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LikesChanged<'a> {
    room_id: &'a str,
    total_likes_received: u64,
    /// At most 20 of them.
    likes: Vec<Like<'a>>,
}

pub(crate) fn likes_changed(room_id: &RoomId, total: u64, by: &[(UserId, u64)]) -> String {
    let likes = by.iter().map(|(user, count)| Like { from_account: user.as_str(), count: *count }).collect();
    let body = LikesChanged { room_id: room_id.as_str(), total_likes_received: total, likes };
    MemberEvent::LikesChanged(body).text()
}

/// A gift as it was when it was given.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct GivenGift<'a> {
    gift_id: &'a str,
    icon_url: &'a str,
    resource_url: &'a str,
    coins: u64,
    level: u64,
    extension_info: &'a str,
    default_name: &'a str,
    default_desc: &'a str,
    /// When it was added to the catalogue.
    created_at: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GiftReceived<'a> {
    room_id: &'a str,
    #[serde(rename = "From_Account")]
    from_account: &'a str,
    #[serde(rename = "ReceiverList_Account")]
    receivers: Vec<&'a str>,
    gift_info: GivenGift<'a>,
    count: u64,
    sequence: u64,
    time: u64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RoomInfoChanged<'a> {
    room_id: &'a str,
    room_info: Box<RoomInfoView<'a>>,
}

/// An entry of a room's metadata.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Entry<'a> {
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MetadataChanged<'a> {
    room_id: &'a str,
    /// What was set.
    metadata: Vec<Entry<'a>>,
    deleted_keys: &'a [String],
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MembersMuted<'a> {
    room_id: &'a str,
    member_list: Vec<Named<'a>>,
    /// Unix seconds; 0: they may speak again.
    muted_until: u64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum OpType {
    Add,
    Delete,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AdminsChanged<'a> {
    room_id: &'a str,
    #[serde(rename = "Admin_Account")]
    admins: Vec<&'a str>,
    op_type: OpType,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OwnerChanged<'a> {
    room_id: &'a str,
    #[serde(rename = "CurrentOwner_Account")]
    current_owner: &'a str,
    #[serde(rename = "OriginalOwner_Account")]
    original_owner: &'a str,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MemberInfoChanged<'a> {
    room_id: &'a str,
    #[serde(rename = "Member_Account")]
    member_account: &'a str,
    name_card: &'a str,
    custom_info: &'a str,
    /// The app's own numbers for it.
    marks: &'a [u32],
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InviteesChanged<'a> {
    room_id: &'a str,
    #[serde(rename = "ScheduleInviteeList_Account")]
    invitees: Vec<&'a str>,
    op_type: OpType,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SeatsChanged<'a> {
    room_id: &'a str,
    seat_list: Vec<SeatView>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Application,
    Invitation,
}

/// A request for a seat.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SeatRequestView<'a> {
    request_id: String,
    kind: Kind,
    /// Who asks.
    #[serde(rename = "From_Account")]
    from_account: &'a str,
    /// Who is to sit.
    #[serde(rename = "Member_Account")]
    member_account: &'a str,
    /// -1 is any seat.
    index: i64,
    expires_at: u64,
}

pub(crate) fn seat_request(request: &SeatRequest) -> SeatRequestView<'_> {
    SeatRequestView {
        request_id: request.id.to_string(),
        kind: match request.kind {
            RequestKind::Application => Kind::Application,
            RequestKind::Invitation => Kind::Invitation,
        },
        from_account: request.from.as_str(),
        member_account: request.guest.as_str(),
        index: request.index.map_or(-1, i64::from),
        expires_at: request.expires_at.unix_millis(),
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SeatRequestBody<'a> {
    room_id: &'a str,
    #[serde(flatten)]
    request: SeatRequestView<'a>,
}

/// What became of a request.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum RequestEnd {
    Accepted,
    Rejected,
    Cancelled,
    Expired,
}

impl From<rooms::RequestEnd> for RequestEnd {
    fn from(end: rooms::RequestEnd) -> Self {
        match end {
            rooms::RequestEnd::Accepted => Self::Accepted,
            rooms::RequestEnd::Rejected => Self::Rejected,
            rooms::RequestEnd::Cancelled => Self::Cancelled,
            rooms::RequestEnd::Expired => Self::Expired,
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SeatRequestEnded<'a> {
    room_id: &'a str,
    #[serde(flatten)]
    request: SeatRequestView<'a>,
    result: RequestEnd,
    #[serde(rename = "Operator_Account")]
    operator: &'a str,
}

/// An event of the room for a member; `None` for what is told in batches, or not at all.
pub(crate) fn event(room: &Room, app: &Tenant, event: &Event) -> Option<String> {
    let room_id = room.info().room_id.as_str();
    let event = match event {
        Event::InfoChanged => {
            let room_info = Box::new(RoomInfoView::new(room, app));
            MemberEvent::RoomInfoChanged(RoomInfoChanged { room_id, room_info })
        }
        Event::OwnerChanged { from, to } => MemberEvent::OwnerChanged(OwnerChanged {
            room_id,
            current_owner: to.as_str(),
            original_owner: from.as_str(),
        }),
        Event::AdminsChanged { users, added } => MemberEvent::AdminsChanged(AdminsChanged {
            room_id,
            admins: users.iter().map(UserId::as_str).collect(),
            op_type: if *added { OpType::Add } else { OpType::Delete },
        }),
        Event::CardChanged { user, card } => MemberEvent::MemberInfoChanged(MemberInfoChanged {
            room_id,
            member_account: user.as_str(),
            name_card: &card.name_card,
            custom_info: &card.custom_info,
            marks: &card.marks,
        }),
        Event::InviteesChanged { users, added } => MemberEvent::InviteesChanged(InviteesChanged {
            room_id,
            invitees: users.iter().map(UserId::as_str).collect(),
            op_type: if *added { OpType::Add } else { OpType::Delete },
        }),
        Event::Muted { users, until } => MemberEvent::MembersMuted(MembersMuted {
            room_id,
            member_list: users.iter().map(Named::of).collect(),
            muted_until: until.map_or(0, Time::unix_seconds),
        }),
        Event::MetadataSet { entries } => MemberEvent::MetadataChanged(MetadataChanged {
            room_id,
            metadata: entries.iter().map(|(key, value)| Entry { key, value }).collect(),
            deleted_keys: &[],
        }),
        Event::MetadataDeleted { keys } => MemberEvent::MetadataChanged(MetadataChanged {
            room_id,
            metadata: Vec::new(),
            deleted_keys: keys,
        }),
        Event::SeatsChanged { seats } => {
            MemberEvent::SeatsChanged(SeatsChanged { room_id, seat_list: wire::seats(seats) })
        }
        Event::SeatRequested(request) => {
            MemberEvent::SeatRequestReceived(SeatRequestBody { room_id, request: seat_request(request) })
        }
        Event::SeatRequestEnded { request, end, by } => MemberEvent::SeatRequestEnded(SeatRequestEnded {
            room_id,
            request: seat_request(request),
            result: (*end).into(),
            operator: by.as_str(),
        }),
        Event::Given(given) => {
            let gift = &given.gift;
            MemberEvent::GiftReceived(GiftReceived {
                room_id,
                from_account: given.from.as_str(),
                receivers: given.to.iter().map(UserId::as_str).collect(),
                gift_info: GivenGift {
                    gift_id: &gift.gift_id,
                    icon_url: &gift.icon_url,
                    resource_url: &gift.resource_url,
                    coins: gift.coins,
                    level: gift.level,
                    extension_info: &gift.extension_info,
                    default_name: &gift.default_name,
                    default_desc: &gift.default_desc,
                    created_at: gift.created_at.map(Time::unix_millis),
                },
                count: given.count,
                sequence: given.sequence,
                time: given.at.unix_millis(),
            })
        }
        Event::Entered { .. }
        | Event::Left { .. }
        | Event::Recovered { .. }
        | Event::Message(_)
        | Event::Rtc(_)
        | Event::Liked { .. } => return None,
    };
    Some(event.text())
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ConnectionBody<'a> {
    from_room_id: &'a str,
    to_room_id: &'a str,
    extension_info: &'a str,
}

/// A request to connect, or what became of it.
pub(crate) fn connection_event(step: ConnectionStep, from: &RoomId, to: &RoomId, extension: &str) -> String {
    let body =
        ConnectionBody { from_room_id: from.as_str(), to_room_id: to.as_str(), extension_info: extension };
    match step {
        ConnectionStep::Requested => MemberEvent::ConnectionRequested(body),
        ConnectionStep::Accepted => MemberEvent::ConnectionAccepted(body),
        ConnectionStep::Rejected => MemberEvent::ConnectionRejected(body),
        ConnectionStep::Cancelled => MemberEvent::ConnectionCancelled(body),
        ConnectionStep::Expired => MemberEvent::ConnectionExpired(body),
        ConnectionStep::Changed => return connection_changed(to, &[]),
    }
    .text()
}

/// A room of a connection.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ConnectedRoom {
    room_id: String,
    #[serde(rename = "Owner_Account")]
    owner_account: String,
}

/// Rooms that are connected, each with its owner.
pub(crate) fn connected(rooms: &[(RoomId, Option<UserId>)]) -> Vec<ConnectedRoom> {
    let entry = |(room, owner): &(RoomId, Option<UserId>)| ConnectedRoom {
        room_id: room.to_string(),
        owner_account: owner.as_ref().map(UserId::to_string).unwrap_or_default(),
    };
    rooms.iter().map(entry).collect()
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ConnectionChanged<'a> {
    room_id: &'a str,
    room_list: Vec<ConnectedRoom>,
}

pub(crate) fn connection_changed(room: &RoomId, rooms: &[(RoomId, Option<UserId>)]) -> String {
    let body = ConnectionChanged { room_id: room.as_str(), room_list: connected(rooms) };
    MemberEvent::ConnectionChanged(body).text()
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BattleBody<'a> {
    /// The room that has answered, or left.
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<&'a str>,
    #[serde(flatten)]
    battle: BattleView<'a>,
}

/// A step of a battle, for the members of its rooms.
pub(crate) fn battle_event(of: &Battle, step: &BattleStep) -> String {
    let room_id = match step {
        BattleStep::Answered { room, .. } | BattleStep::Left { room } => Some(room.as_str()),
        BattleStep::Created | BattleStep::Started | BattleStep::Scored | BattleStep::Ended => None,
    };
    let body = BattleBody { room_id, battle: BattleView::new(of) };
    match step {
        BattleStep::Created => MemberEvent::BattleRequested(body),
        BattleStep::Answered { accepted: true, .. } => MemberEvent::BattleAccepted(body),
        BattleStep::Answered { accepted: false, .. } => MemberEvent::BattleRejected(body),
        BattleStep::Started => MemberEvent::BattleStarted(body),
        BattleStep::Scored => MemberEvent::BattleScoreChanged(body),
        BattleStep::Left { .. } => MemberEvent::BattleExited(body),
        BattleStep::Ended => MemberEvent::BattleEnded(body),
    }
    .text()
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct StreamView {
    stream_type: StreamType,
    muted: bool,
    /// From end to end: members need its key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    encrypted: bool,
}

/// All that a member publishes.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MemberStreamsView<'a> {
    #[serde(rename = "Member_Account")]
    member_account: &'a str,
    streams: Vec<StreamView>,
}

impl<'a> MemberStreamsView<'a> {
    pub(crate) fn new(of: &'a MemberStreams) -> Self {
        let streams = of.streams.iter().map(|one| StreamView {
            stream_type: one.device.into(),
            muted: one.is_muted,
            encrypted: one.is_encrypted,
        });
        Self { member_account: of.member.as_str(), streams: streams.collect() }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StreamsChanged<'a> {
    room_id: &'a str,
    #[serde(flatten)]
    member: MemberStreamsView<'a>,
}

/// What a member publishes now: all of it.
pub(crate) fn streams_changed(room_id: &RoomId, streams: &MemberStreams) -> String {
    let body = StreamsChanged { room_id: room_id.as_str(), member: MemberStreamsView::new(streams) };
    MemberEvent::StreamsChanged(body).text()
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct WantedLayer<'a> {
    rid: &'a str,
    wanted: bool,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LayersWanted<'a> {
    room_id: &'a str,
    stream_type: StreamType,
    /// Of two the one with the higher number holds.
    seq: u64,
    layers: Vec<WantedLayer<'a>>,
}

/// To a publisher: which layers of a stream anybody wants.
pub(crate) fn layers_wanted(room_id: &RoomId, wanted: &WantedLayers) -> String {
    let layers = wanted.layers.iter().map(|(rid, is_wanted)| WantedLayer { rid, wanted: *is_wanted });
    MemberEvent::LayersWanted(LayersWanted {
        room_id: room_id.as_str(),
        stream_type: wanted.device.into(),
        seq: wanted.seq,
        layers: layers.collect(),
    })
    .text()
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PublishingChanged<'a> {
    room_id: &'a str,
    allowed: Vec<StreamType>,
}

/// What the member it is told to may publish now.
pub(crate) fn publishing_changed(room_id: &RoomId, rights: Rights) -> String {
    let allowed = Device::ALL.into_iter().filter(|device| rights.allow(*device)).map(StreamType::from);
    let body = PublishingChanged { room_id: room_id.as_str(), allowed: allowed.collect() };
    MemberEvent::PublishingChanged(body).text()
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Publish,
    Watch,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MediaLost<'a> {
    room_id: &'a str,
    direction: Direction,
}

/// The member it is told to has lost a media connection.
pub(crate) fn media_lost(room_id: &RoomId, was_publisher: bool) -> String {
    let direction = if was_publisher { Direction::Publish } else { Direction::Watch };
    MemberEvent::MediaLost(MediaLost { room_id: room_id.as_str(), direction }).text()
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeviceBody<'a> {
    room_id: &'a str,
    stream_type: StreamType,
    #[serde(rename = "Operator_Account")]
    operator: &'a str,
}

impl<'a> DeviceBody<'a> {
    pub(crate) fn new(room_id: &'a RoomId, device: Device, operator: &'a UserId) -> Self {
        Self { room_id: room_id.as_str(), stream_type: device.into(), operator: operator.as_str() }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DataReceived<'a> {
    room_id: &'a str,
    #[serde(rename = "From_Account")]
    from_account: &'a str,
    cmd_id: u8,
    /// Base64.
    data: &'a str,
}

/// Bytes of a member, as base64.
pub(crate) fn data_received(room_id: &RoomId, from: &UserId, cmd_id: u8, data: &str) -> String {
    let body = DataReceived { room_id: room_id.as_str(), from_account: from.as_str(), cmd_id, data };
    MemberEvent::DataReceived(body).text()
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ShownState {
    Playing,
    Paused,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum PauseReason {
    Network,
    Publisher,
    Codec,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct ShownStream<'a> {
    #[serde(rename = "Member_Account")]
    member_account: &'a str,
    stream_type: StreamType,
    state: ShownState,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<PauseReason>,
    /// In pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct WatchChanged<'a> {
    room_id: &'a str,
    streams: Vec<ShownStream<'a>>,
}

/// What a viewer's link does to the pictures that it watches.
pub(crate) fn watch_changed(room_id: &RoomId, pictures: &[(SourceKey, Showing)]) -> String {
    let mut streams = Vec::with_capacity(pictures.len());
    for (source, showing) in pictures {
        let (state, reason, height) = match showing {
            Showing::Playing(height) => (ShownState::Playing, None, Some(*height)),
            Showing::Paused(Pause::Network) => (ShownState::Paused, Some(PauseReason::Network), None),
            Showing::Paused(Pause::Publisher) => (ShownState::Paused, Some(PauseReason::Publisher), None),
            Showing::Paused(Pause::Codec) => (ShownState::Paused, Some(PauseReason::Codec), None),
        };
        let stream_type = unit::device(source.kind).into();
        streams.push(ShownStream { member_account: &source.user, stream_type, state, reason, height });
    }
    MemberEvent::WatchChanged(WatchChanged { room_id: room_id.as_str(), streams }).text()
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LinkChanged<'a> {
    room_id: &'a str,
    /// Bits a second.
    bitrate: u32,
    /// Milliseconds.
    rtt: u64,
    /// The share of packets that are lost.
    loss: f64,
}

/// What a viewer's link is like.
pub(crate) fn link_changed(room_id: &RoomId, link: &Link) -> String {
    MemberEvent::LinkChanged(LinkChanged {
        room_id: room_id.as_str(),
        bitrate: link.bits,
        rtt: u64::try_from(link.round_trip.as_millis()).unwrap_or(u64::MAX),
        loss: f64::from(link.lost) / 1000.0,
    })
    .text()
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Speaker<'a> {
    #[serde(rename = "Member_Account")]
    member_account: &'a str,
    /// 0 to 100.
    level: u8,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SpeakersChanged<'a> {
    room_id: &'a str,
    speakers: Vec<Speaker<'a>>,
}

/// Who speaks, the loudest first.
pub(crate) fn speakers_changed(room_id: &RoomId, speakers: &[(Arc<str>, u8)]) -> String {
    /// Nobody can tell more voices apart.
    const NAMED: usize = 20;
    let mut speakers: Vec<_> =
        speakers.iter().map(|(user, level)| Speaker { member_account: user, level: *level }).collect();
    speakers.sort_by_key(|speaker| std::cmp::Reverse(speaker.level));
    speakers.truncate(NAMED);
    MemberEvent::SpeakersChanged(SpeakersChanged { room_id: room_id.as_str(), speakers }).text()
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RoomClosed<'a> {
    room_id: &'a str,
    cause: Cause,
}

pub(crate) fn room_closed(room_id: &RoomId, cause: LeaveCause) -> String {
    MemberEvent::RoomClosed(RoomClosed { room_id: room_id.as_str(), cause: cause.into() }).text()
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Reconnect {
    /// Milliseconds.
    after: u32,
}

pub(crate) fn reconnect(after_ms: u32) -> String {
    MemberEvent::Reconnect(Reconnect { after: after_ms }).text()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use media::RoomKey;
    use serde_json::{Value, json};

    use super::*;

    fn told(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_viewer_hears_of_its_pictures_and_its_link_in_the_words_of_the_protocol() {
        let room = RoomId::parse("r").unwrap();
        let source = |kind| SourceKey { room: RoomKey(1), user: "ann".into(), kind };
        let pictures = [
            (source(media::StreamKind::Main), Showing::Paused(Pause::Network)),
            (source(media::StreamKind::Sub), Showing::Playing(720)),
        ];
        let link = Link { bits: 640_000, round_trip: Duration::from_millis(82), lost: 15 };

        let pictures = told(&watch_changed(&room, &pictures));
        let link = told(&link_changed(&room, &link));

        let streams = json!([
            {"Member_Account": "ann", "StreamType": "main", "State": "paused", "Reason": "network"},
            {"Member_Account": "ann", "StreamType": "sub", "State": "playing", "Height": 720},
        ]);
        assert_eq!(pictures, json!({"event": "watch_changed", "body": {"RoomId": "r", "Streams": streams}}));
        let body = json!({"RoomId": "r", "Bitrate": 640_000, "Rtt": 82, "Loss": 0.015});
        assert_eq!(link, json!({"event": "link_changed", "body": body}));
    }

    #[test]
    fn a_message_is_told_as_what_it_is() {
        let room = RoomId::parse("r").unwrap();
        let of = |content: Content| Message {
            seq: 7,
            id: "m".into(),
            from: UserId::parse("ann").unwrap(),
            content,
            sent_at: Time::from_unix_millis(5),
        };
        let body = |name: &str, own: Value| {
            let mut body = json!({"RoomId": "r", "Type": name, "From_Account": "ann", "MsgId": "m", "Seq": 7, "Time": 5});
            body.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
            json!({"event": name, "body": body})
        };
        let elements = json!([{"MsgType": "TIMFaceElem", "MsgContent": {"Index": 1}}]);
        let text = |extension: &str| Content::Text { text: "hi \"you\"".into(), extension: extension.into() };

        for (content, name, own) in [
            (text(""), "text_msg", json!({"Text": "hi \"you\""})),
            (text("x"), "text_msg", json!({"Text": "hi \"you\"", "ExtensionInfo": "x"})),
            (
                Content::Custom { business_id: "b".into(), data: "d".into() },
                "custom_msg",
                json!({"Sender_Account": "ann", "BusinessId": "b", "Data": "d"}),
            ),
            (
                Content::Elements { body: elements.to_string(), extension: "c".into() },
                "group_msg",
                json!({"MsgBody": elements, "CloudCustomData": "c"}),
            ),
        ] {
            assert_eq!(told(&message(&room, &of(content))), body(name, own));
        }
    }
}
