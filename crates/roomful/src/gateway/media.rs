//! Sound and pictures, as a member publishes and watches them. Media itself goes past the gateway; what is said here is
//! who sends what, who sees what, and the SDP of both. The rules are `rooms/src/publishing.rs`.

use std::num::NonZeroU8;
use std::sync::Arc;

use hall::{Command, Offer, Passing};
use media::{Published, PublishedLayer, Rewatch, SourceKey, StreamKind, Wanted, Watched};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asked::{Asked, Done, InRoom, Nothing};
use crate::clock;
use crate::error::{ApiError, Code};
use crate::events::{self, DeviceBody, MemberEvent, StreamType};
use crate::halls::OpenRoom;
use crate::link::Frame;
use crate::live::unit::stream_type;
use crate::live::{self, IceServer, unit};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PublishRequest {
    #[schemars(required)]
    room_id: Option<String>,
    /// The offer of an RTCPeerConnection.
    #[schemars(required)]
    sdp: Option<String>,
    #[serde(default)]
    streams: Vec<PublishedStream>,
}

/// A stream of an offer to publish.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct PublishedStream {
    #[schemars(required)]
    mid: Option<String>,
    #[schemars(required, with = "StreamType")]
    stream_type: Option<String>,
    /// Of the full picture, in pixels.
    #[serde(default)]
    height: Option<u32>,
    #[serde(default)]
    muted: bool,
    /// From end to end: only members with the publisher's key can see or hear it.
    #[serde(default)]
    encrypted: bool,
    /// What is published follows what is watched: the event `layers_wanted` says.
    #[serde(default)]
    dynacast: bool,
    #[serde(default)]
    layers: Vec<LayerRequest>,
}

/// A simulcast layer of an offer.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct LayerRequest {
    rid: String,
    /// Of its picture, in pixels.
    #[serde(default)]
    height: u32,
    /// Bits a second.
    #[serde(default)]
    max_bitrate: u32,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WatchRequest {
    #[schemars(required)]
    room_id: Option<String>,
    /// The offer of an RTCPeerConnection.
    #[schemars(required)]
    sdp: Option<String>,
    #[serde(default)]
    streams: Vec<WatchedStream>,
    /// Of all sounds at most so many are sent to it, the loudest.
    max_speakers: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateRequest {
    #[schemars(required)]
    room_id: Option<String>,
    #[serde(default)]
    streams: Vec<WatchedStream>,
    /// Of all sounds at most so many are sent to it, the loudest.
    max_speakers: Option<u32>,
}

/// A stream that is watched.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct WatchedStream {
    #[schemars(required)]
    mid: Option<String>,
    /// None is nobody's: the m-line is empty.
    #[serde(rename = "Member_Account")]
    member: Option<String>,
    #[schemars(with = "Option<StreamType>")]
    stream_type: Option<String>,
    /// At which the picture is shown, in pixels.
    #[serde(default)]
    max_height: Option<u32>,
    #[serde(default)]
    paused: bool,
    /// Where not all that is watched fits, the higher goes first.
    #[serde(default)]
    priority: u8,
}

/// The most that `MaxSpeakers` can be: whoever wants to hear more is sent all.
const MOST_SPEAKERS: u8 = 50;

/// The most layers that are looked at of one stream.
const MAX_LAYERS: usize = 3;

fn read_kind(text: Option<&str>) -> Result<StreamKind, ApiError> {
    let text = text.ok_or_else(|| ApiError::invalid("StreamType", "is missing"))?;
    StreamKind::ALL.into_iter().find(|kind| stream_type(unit::device(*kind)) == text).ok_or_else(|| {
        ApiError::invalid("StreamType", format_args!("is {text:?}; it is one of audio, main and sub"))
    })
}

fn read_offer(sdp: Option<String>) -> Result<String, ApiError> {
    sdp.ok_or_else(|| ApiError::invalid("Sdp", "is missing; it is the offer of an RTCPeerConnection"))
}

fn read_mid(mid: Option<&String>) -> Result<String, ApiError> {
    mid.cloned().ok_or_else(|| ApiError::invalid("Mid", "is missing"))
}

impl PublishRequest {
    fn published(&self) -> Result<Vec<Published>, ApiError> {
        let read = |stream: &PublishedStream| {
            let mid = read_mid(stream.mid.as_ref())?;
            let kind = read_kind(stream.stream_type.as_deref())?;
            let layers = stream.layers.iter().take(MAX_LAYERS);
            let read = |layer: &LayerRequest| PublishedLayer {
                rid: layer.rid.clone(),
                height: layer.height,
                most_bits: layer.max_bitrate,
            };
            let layers = layers.map(read).collect();
            let height = stream.height.unwrap_or(0);
            let (is_dynamic, is_encrypted) = (stream.dynacast, stream.encrypted);
            Ok(Published { mid, kind, height, layers, is_dynamic, is_encrypted })
        };
        self.streams.iter().map(read).collect()
    }

    /// What else is said of the streams.
    fn offered(&self) -> Result<Offer, ApiError> {
        let kinds = |is_meant: fn(&PublishedStream) -> bool| {
            let meant = self.streams.iter().filter(|stream| is_meant(stream));
            meant
                .map(|stream| read_kind(stream.stream_type.as_deref()).map(unit::device))
                .collect::<Result<Vec<_>, _>>()
        };
        let (muted, encrypted) = (kinds(|stream| stream.muted)?, kinds(|stream| stream.encrypted)?);
        Ok(Offer { streams: Vec::new(), muted, encrypted })
    }
}

fn read_most_speakers(most: Option<u32>) -> Result<Option<NonZeroU8>, ApiError> {
    let Some(most) = most else { return Ok(None) };
    let read = u8::try_from(most).ok().filter(|most| *most <= MOST_SPEAKERS).and_then(NonZeroU8::new);
    let refused = || {
        ApiError::invalid("MaxSpeakers", format_args!("is {most}; it is a number from 1 to {MOST_SPEAKERS}"))
    };
    read.map(Some).ok_or_else(refused)
}

fn read_watched(streams: &[WatchedStream], cell: &OpenRoom) -> Result<Vec<Watched>, ApiError> {
    let read = |stream: &WatchedStream| {
        let mid = read_mid(stream.mid.as_ref())?;
        let source = match stream.member.as_deref() {
            None | Some("") => None,
            Some(member) => {
                let user = rooms::UserId::parse_field("Member_Account", member)?;
                let kind = read_kind(stream.stream_type.as_deref())?;
                Some(SourceKey { room: cell.media_key, user: user.as_str().into(), kind })
            }
        };
        let wanted = Wanted {
            max_height: stream.max_height.unwrap_or(u32::MAX),
            is_paused: stream.paused,
            priority: stream.priority,
        };
        Ok(Watched { mid, source, wanted })
    };
    streams.iter().map(read).collect()
}

/// What lives in memory alone, in the member's name.
async fn ask(asked: &Asked, cell: &Arc<OpenRoom>, what: Passing) -> Result<(), ApiError> {
    cell.ask(asked.session.as_member(), None, Command::Passing(what)).await.map(drop)
}

/// The servers that help a browser through its network.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MediaConfig {
    ice_servers: Vec<IceServer>,
}

pub(super) async fn get_media_config(asked: Asked, _: Nothing) -> Result<MediaConfig, ApiError> {
    let user = asked.session.user.as_str();
    let (config, session) = (&asked.server.config.media, format!("s{}", asked.session.id.0));
    let now = clock::now().unix_seconds();
    let node = asked.session.node();
    let ice_servers = live::ice_servers(config, &asked.server.live, (user, &session), node, now).await;
    Ok(MediaConfig { ice_servers })
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Publishing {
    /// The answer to the offer.
    sdp: String,
    streams: Vec<PublishingStream>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct PublishingStream {
    mid: String,
    stream_type: StreamType,
    /// Whether it may flow now.
    allowed: bool,
}

pub(super) async fn publish(asked: Asked, request: PublishRequest) -> Result<Publishing, ApiError> {
    let cell = asked.room(request.room_id.as_deref())?;
    let (streams, offered) = (request.published(), request.offered());
    let (offer, streams, offered) = (read_offer(request.sdp)?, streams?, offered?);
    require_some_right(&cell, &asked, &streams)?;
    let (answer, rights) =
        asked.server.live.publish(&cell, &asked.session, offer, streams, offered, None).await?;
    let streams = answer.published.into_iter().map(|stream| PublishingStream {
        allowed: rights.allow(stream.kind),
        stream_type: unit::device(stream.kind).into(),
        mid: stream.mid,
    });
    Ok(Publishing { streams: streams.collect(), sdp: answer.sdp })
}

/// Refuses an offer of which nothing would flow, with the reason.
fn require_some_right(cell: &OpenRoom, asked: &Asked, streams: &[Published]) -> Result<(), ApiError> {
    let room = cell.read()?;
    let kinds = if streams.is_empty() {
        StreamKind::ALL.to_vec()
    } else {
        streams.iter().map(|one| one.kind).collect()
    };
    let mut refusal = None;
    for kind in kinds {
        match room.require_may_publish(&asked.session.user, unit::device(kind), clock::now()) {
            Ok(()) => return Ok(()),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    refusal.map_or(Ok(()), |error| Err(error.into()))
}

pub(super) async fn unpublish(asked: Asked, request: InRoom) -> Result<Done, ApiError> {
    let cell = asked.room(request.room_id.as_deref())?;
    ask(&asked, &cell, Passing::Unpublish).await?;
    Ok(Done {})
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Watching {
    /// The answer to the offer.
    sdp: String,
}

pub(super) async fn watch(asked: Asked, request: WatchRequest) -> Result<Watching, ApiError> {
    let cell = asked.room(request.room_id.as_deref())?;
    let offer = read_offer(request.sdp)?;
    let (streams, most_speakers) =
        (read_watched(&request.streams, &cell)?, read_most_speakers(request.max_speakers)?);
    let answer = asked.server.live.watch(&cell, &asked.session, offer, streams, most_speakers, None).await?;
    Ok(Watching { sdp: answer.sdp })
}

pub(super) async fn update_watch(asked: Asked, request: UpdateRequest) -> Result<Done, ApiError> {
    let cell = asked.room(request.room_id.as_deref())?;
    let (streams, most_speakers) =
        (read_watched(&request.streams, &cell)?, read_most_speakers(request.max_speakers)?);
    let peer = cell.hall().streams().watcher(asked.session.id).ok_or(media::Error::Gone)?;
    let rewatch = Rewatch { streams, most_speakers };
    asked.server.live.units().rewatch(unit::peer(peer), rewatch).await?;
    Ok(Done {})
}

pub(super) async fn unwatch(asked: Asked, request: InRoom) -> Result<Done, ApiError> {
    let cell = asked.room(request.room_id.as_deref())?;
    ask(&asked, &cell, Passing::Unwatch).await?;
    Ok(Done {})
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MuteRequest {
    #[schemars(required)]
    room_id: Option<String>,
    #[schemars(required, with = "StreamType")]
    stream_type: Option<String>,
    /// On again when it is false.
    muted: Option<bool>,
}

/// A member switches its own stream off for a while, or on again.
pub(super) async fn mute_stream(asked: Asked, request: MuteRequest) -> Result<Done, ApiError> {
    let cell = asked.room(request.room_id.as_deref())?;
    let kind = read_kind(request.stream_type.as_deref())?;
    let is_muted = request.muted.unwrap_or(true);
    ask(&asked, &cell, Passing::MuteStream { device: unit::device(kind), is_muted }).await?;
    Ok(Done {})
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeviceRequest {
    #[schemars(required)]
    room_id: Option<String>,
    #[serde(rename = "Member_Account")]
    #[schemars(required)]
    member: Option<String>,
    #[schemars(required, with = "StreamType")]
    stream_type: Option<String>,
}

/// One in charge switches a member's stream off; the member may switch it on again.
pub(super) async fn close_device(asked: Asked, request: DeviceRequest) -> Result<Done, ApiError> {
    let (cell, kind) = request.read(&asked)?;
    let user = asked.session.app.require_account_field("Member_Account", request.member.as_deref())?;
    ask(&asked, &cell, Passing::CloseStream { user: user.clone(), device: unit::device(kind) }).await?;
    let told = MemberEvent::DeviceClosed(device_body(&asked, &cell, kind));
    cell.tell_user(&user, Frame::text(&told.text()));
    Ok(Done {})
}

/// One in charge asks a member to switch a stream on.
pub(super) async fn open_device(asked: Asked, request: DeviceRequest) -> Result<Done, ApiError> {
    let (cell, kind) = request.read(&asked)?;
    let user = asked.session.app.require_account_field("Member_Account", request.member.as_deref())?;
    cell.read()?.require_member(&user)?;
    let told = MemberEvent::DeviceRequested(device_body(&asked, &cell, kind));
    cell.tell_user(&user, Frame::text(&told.text()));
    Ok(Done {})
}

impl DeviceRequest {
    fn read(&self, asked: &Asked) -> Result<(Arc<OpenRoom>, StreamKind), ApiError> {
        let cell = asked.room(self.room_id.as_deref())?;
        cell.read()?.require_manager(&asked.session.user)?;
        let kind = read_kind(self.stream_type.as_deref())?;
        Ok((cell, kind))
    }
}

fn device_body<'a>(asked: &'a Asked, cell: &'a OpenRoom, kind: StreamKind) -> DeviceBody<'a> {
    DeviceBody::new(&cell.room_id, unit::device(kind), &asked.session.user)
}

/// Bytes for everyone in the room, at once and not kept: for what is worth nothing a moment later.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DataRequest {
    #[schemars(required)]
    room_id: Option<String>,
    /// 0 to 10.
    #[schemars(required)]
    cmd_id: Option<u8>,
    /// Base64.
    #[schemars(required)]
    data: Option<String>,
}

/// The most that one `send_data` carries, in bytes of base64.
const MAX_DATA: usize = 16 * 1024;

pub(super) async fn send_data(asked: Asked, request: DataRequest) -> Result<Done, ApiError> {
    let cell = asked.room(request.room_id.as_deref())?;
    let cmd_id = request.cmd_id.filter(|id| *id <= 10);
    let cmd_id = cmd_id.ok_or_else(|| ApiError::invalid("CmdId", "must be a number from 0 to 10"))?;
    let data = request.data.ok_or_else(|| ApiError::invalid("Data", "is missing"))?;
    if data.len() > MAX_DATA {
        return Err(rooms::Error::too_long("Data", data.len(), MAX_DATA).into());
    }
    cell.read()?.require_may_speak(&asked.session.user, clock::now())?;
    if !asked.session.may_send_data() {
        return Err(ApiError::new(
            Code::TooOften,
            "send_data: at most 30 a second are allowed; send less often",
        ));
    }
    let frame = Frame::text(&events::data_received(&cell.room_id, &asked.session.user, cmd_id, &data));
    let may_speak = |room: &rooms::Room| room.require_may_speak(&asked.session.user, clock::now());
    cell.tell_others(asked.session.id, frame, may_speak)?;
    Ok(Done {})
}
