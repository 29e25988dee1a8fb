//! Sound and pictures, as a member publishes and watches them. Media itself goes past the gateway; what is said here is
//! who sends what, who sees what, and the SDP of both. The rules are `rooms/src/publishing.rs`.

use std::num::NonZeroU8;
use std::sync::Arc;

use hall::{Command, Offer, Passing};
use media::{Published, PublishedLayer, SourceKey, StreamKind, Wanted, Watched};
use serde::Deserialize;
use serde_json::{Value, json};

use super::asked::Asked;
use crate::clock;
use crate::error::{ApiError, Code};
use crate::halls::OpenRoom;
use crate::live::unit::stream_type;
use crate::live::{self, unit};
use crate::session::Frame;
use crate::wire;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MediaRequest {
    room_id: Option<String>,
    sdp: Option<String>,
    #[serde(default)]
    streams: Vec<StreamRequest>,
    stream_type: Option<String>,
    muted: Option<bool>,
    #[serde(rename = "Member_Account")]
    member: Option<String>,
    /// Of all sounds at most so many are sent to it, the loudest.
    max_speakers: Option<u32>,
}

/// The most that `MaxSpeakers` can be: whoever wants to hear more is sent all.
const MOST_SPEAKERS: u8 = 50;

/// A stream of an offer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StreamRequest {
    mid: Option<String>,
    stream_type: Option<String>,
    /// Of the picture, in pixels: as it is sent, or as it is shown.
    #[serde(default)]
    height: Option<u32>,
    #[serde(default)]
    max_height: Option<u32>,
    #[serde(default)]
    paused: bool,
    /// Where not all that is watched fits, the higher goes first.
    #[serde(default)]
    priority: u8,
    #[serde(default)]
    muted: bool,
    /// From end to end: only members with the publisher's key can see or hear it.
    #[serde(default)]
    encrypted: bool,
    #[serde(rename = "Member_Account")]
    member: Option<String>,
    /// What is published follows what is watched: the event `layers_wanted` says.
    #[serde(default)]
    dynacast: bool,
    #[serde(default)]
    layers: Vec<LayerRequest>,
}

/// A simulcast layer of an offer.
#[derive(Deserialize)]
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

/// The most layers that are looked at of one stream.
const MAX_LAYERS: usize = 3;

fn read_kind(text: Option<&str>) -> Result<StreamKind, ApiError> {
    let text = text.ok_or_else(|| ApiError::invalid("StreamType", "is missing"))?;
    StreamKind::ALL.into_iter().find(|kind| stream_type(unit::device(*kind)) == text).ok_or_else(|| {
        ApiError::invalid("StreamType", format_args!("is {text:?}; it is one of audio, main and sub"))
    })
}

impl MediaRequest {
    fn offer(&mut self) -> Result<String, ApiError> {
        self.sdp
            .take()
            .ok_or_else(|| ApiError::invalid("Sdp", "is missing; it is the offer of an RTCPeerConnection"))
    }

    fn published(&self) -> Result<Vec<Published>, ApiError> {
        let read = |stream: &StreamRequest| {
            let mid = stream.mid.clone().ok_or_else(|| ApiError::invalid("Mid", "is missing"))?;
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
        let kinds = |is_meant: fn(&StreamRequest) -> bool| {
            let meant = self.streams.iter().filter(|stream| is_meant(stream));
            meant
                .map(|stream| read_kind(stream.stream_type.as_deref()).map(unit::device))
                .collect::<Result<Vec<_>, _>>()
        };
        let (muted, encrypted) = (kinds(|stream| stream.muted)?, kinds(|stream| stream.encrypted)?);
        Ok(Offer { streams: Vec::new(), muted, encrypted })
    }

    fn most_speakers(&self) -> Result<Option<NonZeroU8>, ApiError> {
        let Some(most) = self.max_speakers else { return Ok(None) };
        let read = u8::try_from(most).ok().filter(|most| *most <= MOST_SPEAKERS).and_then(NonZeroU8::new);
        let refused = || {
            ApiError::invalid(
                "MaxSpeakers",
                format_args!("is {most}; it is a number from 1 to {MOST_SPEAKERS}"),
            )
        };
        read.map(Some).ok_or_else(refused)
    }

    fn watched(&self, cell: &OpenRoom) -> Result<Vec<Watched>, ApiError> {
        let read = |stream: &StreamRequest| {
            let mid = stream.mid.clone().ok_or_else(|| ApiError::invalid("Mid", "is missing"))?;
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
        self.streams.iter().map(read).collect()
    }
}

/// What lives in memory alone, in the member's name.
async fn ask(asked: &Asked, cell: &Arc<OpenRoom>, what: Passing) -> Result<(), ApiError> {
    cell.ask(asked.session.as_member(), None, Command::Passing(what)).await.map(drop)
}

/// `{}` -> the servers that help a browser through its network.
pub(super) async fn get_media_config(asked: Asked) -> Result<String, ApiError> {
    let user = asked.session.user.as_str();
    let (config, session) = (&asked.server.config.media, format!("s{}", asked.session.id.0));
    let servers = live::ice_servers(config, &asked.server.live, user, &session, clock::now().unix_seconds());
    Ok(json!({"IceServers": servers}).to_string())
}

pub(super) async fn publish(asked: Asked) -> Result<String, ApiError> {
    let mut request: MediaRequest = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    let (offer, streams, offered) = (request.offer()?, request.published()?, request.offered()?);
    require_some_right(&cell, &asked, &streams)?;
    let (answer, rights) =
        asked.server.live.publish(&cell, &asked.session, offer, streams, offered, None).await?;
    let streams = answer.published.iter().map(|stream| {
        let is_allowed = rights.allow(stream.kind);
        json!({"Mid": stream.mid, "StreamType": stream_type(unit::device(stream.kind)), "Allowed": is_allowed})
    });
    let streams: Vec<Value> = streams.collect();
    Ok(json!({"Sdp": answer.sdp, "Streams": streams}).to_string())
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

pub(super) async fn unpublish(asked: Asked) -> Result<String, ApiError> {
    let request: MediaRequest = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    ask(&asked, &cell, Passing::Unpublish).await?;
    Ok("{}".into())
}

pub(super) async fn watch(asked: Asked) -> Result<String, ApiError> {
    let mut request: MediaRequest = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    let (offer, streams, most_speakers) =
        (request.offer()?, request.watched(&cell)?, request.most_speakers()?);
    let answer = asked.server.live.watch(&cell, &asked.session, offer, streams, most_speakers, None).await?;
    Ok(json!({"Sdp": answer.sdp}).to_string())
}

pub(super) async fn update_watch(asked: Asked) -> Result<String, ApiError> {
    let request: MediaRequest = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    let (streams, most_speakers) = (request.watched(&cell)?, request.most_speakers()?);
    let peer = cell.hall().streams().watcher(asked.session.id).ok_or(media::Error::Gone)?;
    asked.server.live.media().rewatch(unit::peer(peer), streams, most_speakers).await?;
    Ok("{}".into())
}

pub(super) async fn unwatch(asked: Asked) -> Result<String, ApiError> {
    let request: MediaRequest = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    ask(&asked, &cell, Passing::Unwatch).await?;
    Ok("{}".into())
}

/// A member switches its own stream off for a while, or on again.
pub(super) async fn mute_stream(asked: Asked) -> Result<String, ApiError> {
    let request: MediaRequest = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    let kind = read_kind(request.stream_type.as_deref())?;
    let is_muted = request.muted.unwrap_or(true);
    ask(&asked, &cell, Passing::MuteStream { device: unit::device(kind), is_muted }).await?;
    Ok("{}".into())
}

/// One in charge switches a member's stream off; the member may switch it on again.
pub(super) async fn close_device(asked: Asked) -> Result<String, ApiError> {
    let (request, cell, kind) = read_device(&asked)?;
    let user = asked.session.app.require_account_field("Member_Account", request.member.as_deref())?;
    ask(&asked, &cell, Passing::CloseStream { user: user.clone(), device: unit::device(kind) }).await?;
    tell_device(&asked, &cell, &user, kind, "device_closed");
    Ok("{}".into())
}

/// One in charge asks a member to switch a stream on.
pub(super) async fn open_device(asked: Asked) -> Result<String, ApiError> {
    let (request, cell, kind) = read_device(&asked)?;
    let user = asked.session.app.require_account_field("Member_Account", request.member.as_deref())?;
    cell.read()?.require_member(&user)?;
    tell_device(&asked, &cell, &user, kind, "device_requested");
    Ok("{}".into())
}

fn read_device(asked: &Asked) -> Result<(MediaRequest, Arc<OpenRoom>, StreamKind), ApiError> {
    let request: MediaRequest = asked.parse()?;
    let cell = asked.room(request.room_id.as_deref())?;
    cell.read()?.require_manager(&asked.session.user)?;
    let kind = read_kind(request.stream_type.as_deref())?;
    Ok((request, cell, kind))
}

fn tell_device(asked: &Asked, cell: &Arc<OpenRoom>, user: &rooms::UserId, kind: StreamKind, event: &str) {
    let operator = asked.session.user.as_str();
    let device = unit::device(kind);
    cell.tell_user(user, Frame::text(&wire::device_event(&cell.room_id, device, operator, event)));
}

/// Bytes for everyone in the room, at once and not kept: for what is worth nothing a moment later.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataRequest {
    room_id: Option<String>,
    cmd_id: Option<u8>,
    /// Base64.
    data: Option<String>,
}

/// The most that one `send_data` carries, in bytes of base64.
const MAX_DATA: usize = 16 * 1024;

pub(super) async fn send_data(asked: Asked) -> Result<String, ApiError> {
    let request: DataRequest = asked.parse()?;
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
    let frame = Frame::text(&wire::data_received(&cell.room_id, &asked.session.user, cmd_id, &data));
    let may_speak = |room: &rooms::Room| room.require_may_speak(&asked.session.user, clock::now());
    cell.tell_others(asked.session.id, frame, may_speak)?;
    Ok("{}".into())
}
