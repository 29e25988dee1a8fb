//! What one gets on entering: the first page of who is in, and what there is to know of the room.
//!
//! Most of it is the same from one to the next, and in a room that people come to and go from it would be most of what entering
//! costs. So it is kept as JSON, for as long as what it was made of is what there is.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use hall::MemberStreams;
use rooms::{Account, Room, RoomInfo, RoomStatus, Seat, Time, UserId};
use schemars::JsonSchema;
use serde::Serialize;

use crate::events::{Entry, MemberStreamsView, Named, Told, to_json};
use crate::tenant::Tenant;
use crate::wire::{self, RoomInfoView, SeatView, Statistic};

/// What a member gets on entering: the first page of who is in, oneself included, and what there is to know of the room.
#[derive(Serialize, JsonSchema)]
#[allow(dead_code, reason = "the shape of what is rendered in pieces")]
pub(crate) struct Entered {
    #[serde(flatten)]
    page: MemberPage,
    #[serde(flatten)]
    lasting: Lasting<'static>,
    #[serde(flatten)]
    passing: Passing<'static>,
}

/// A page of the member list.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[allow(dead_code, reason = "the shape of what is rendered elsewhere")]
pub(crate) struct MemberPage {
    /// Where the next page begins; empty on the last.
    next: String,
    member_count: usize,
    member_list: Vec<Named<'static>>,
}

/// What seldom changes, but for the numbers at the end of the room's record.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Lasting<'a> {
    seat_list: Vec<SeatView>,
    room_info: RoomInfoView<'a>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Passing<'a> {
    /// The last of them, the oldest first.
    messages: Vec<Told<'a>>,
    metadata: Vec<Entry<'a>>,
    #[serde(rename = "Admin_Account")]
    admins: Vec<&'a str>,
    muted_account_list: Vec<MutedMember<'a>>,
    statistic: Statistic,
    /// What members publish.
    stream_list: Vec<MemberStreamsView<'a>>,
}

/// Who is silenced, until when.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct MutedMember<'a> {
    #[serde(rename = "Member_Account")]
    member_account: &'a str,
    /// Unix seconds.
    muted_until: u64,
}

/// What lasts of a room, rendered, and what it was made of.
struct Kept {
    info: Arc<RoomInfo>,
    owner: Option<Arc<Account>>,
    status: RoomStatus,
    seats: Vec<Seat>,
    /// As far as the room's numbers, and with nothing around it: `"SeatList":[..],"RoomInfo":{..,`
    json: String,
}

impl Kept {
    fn of(room: &Room, app: &Tenant, owner: Option<Arc<Account>>, status: RoomStatus) -> Self {
        let seats = wire::seats(room.seats());
        let json = to_json(&Lasting { seat_list: seats, room_info: RoomInfoView::new(room, app) });
        let json = wire::before_numbers(&json).strip_prefix('{').unwrap_or_default().to_owned();
        Self { info: room.shared_info().clone(), owner, status, seats: room.seats().to_vec(), json }
    }

    fn is_of(&self, room: &Room, owner: Option<&Arc<Account>>, status: RoomStatus) -> bool {
        Arc::ptr_eq(&self.info, room.shared_info())
            && self.owner.as_ref().map(Arc::as_ptr) == owner.map(Arc::as_ptr)
            && self.status == status
            && self.seats == room.seats()
    }
}

/// Renders what those get who enter one room.
#[derive(Default)]
pub(crate) struct Greeter(Option<Box<Kept>>);

impl Greeter {
    /// The text of an [`Entered`]; `page` is the first one, rendered already.
    pub(crate) fn welcome(
        &mut self,
        room: &Room,
        app: &Tenant,
        page: &Bytes,
        streams: &[MemberStreams],
        now: Time,
    ) -> String {
        let room_id = &room.info().room_id;
        let mut muted = Vec::new();
        for (user, until) in room.mutes(now) {
            muted.push(MutedMember { member_account: user.as_str(), muted_until: until.unix_seconds() });
        }
        let passing = to_json(&Passing {
            messages: room.messages_after(0).map(|message| Told::new(room_id, message)).collect(),
            metadata: room.metadata(&[]).map(|(key, value)| Entry { key, value }).collect(),
            admins: room.admins().map(UserId::as_str).collect(),
            muted_account_list: muted,
            statistic: Statistic::new(room.counters(), room.sender_count()),
            stream_list: streams.iter().map(MemberStreamsView::new).collect(),
        });
        let lasting = self.lasting(room, app, now);
        // All are objects, and become one.
        let page = std::str::from_utf8(page).unwrap_or("{}");
        let page = page.strip_suffix('}').unwrap_or("{");
        let passing = passing.strip_prefix('{').unwrap_or_default();
        let mut json = String::with_capacity(page.len() + lasting.len() + passing.len() + 160);
        json.extend([page, ",", lasting]);
        let _ = write!(json, "{},{passing}", wire::Numbers::of(room));
        json
    }

    fn lasting(&mut self, room: &Room, app: &Tenant, now: Time) -> &str {
        let owner = app.account(room.info().owner.as_str());
        let status = room.status(now);
        let kept = self.0.take().filter(|kept| kept.is_of(room, owner.as_ref(), status));
        let kept = kept.unwrap_or_else(|| Box::new(Kept::of(room, app, owner, status)));
        &self.0.insert(kept).json
    }
}
