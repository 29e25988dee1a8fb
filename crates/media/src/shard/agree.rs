//! What is agreed on: offers and their answers, what publishers send, and what fills viewers' m-lines.

use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Instant;

use str0m::Rtc;
use str0m::change::SdpOffer;
use str0m::format::CodecConfig;
use str0m::media::Mid;
use str0m::rtp::Extension;

use super::{FeedsPast, Peer, Publishing, Role, Shard};
use crate::command::{Answer, Published, Watched};
use crate::dependency;
use crate::dynacast::Wants;
use crate::error::Error;
use crate::payload::CodecKey;
use crate::publisher::{Publisher, Rights, Track};
use crate::sdp::{self, Line, Way};
use crate::slot::{Extensions, Slot, Taken};
use crate::source::{PeerId, RoomKey, Source, SourceKey, StreamKind};
use crate::viewer::Viewer;

/// The most streams in one connection.
const MAX_STREAMS: usize = 128;

impl Shard {
    /// Lets the library answer an offer, in which sound that is missing may be asked for or not, and notes the name under which
    /// ICE will knock.
    fn answer(
        &mut self,
        at: usize,
        peer: &mut Peer,
        offer: &str,
        asks_for_sound: bool,
        now: Instant,
    ) -> Result<String, Error> {
        let offer =
            SdpOffer::from_sdp_string(offer).map_err(|error| Error::Offer(reason(&error.to_string())))?;
        let answer =
            peer.rtc.sdp_api().accept_offer(offer).map_err(|error| Error::Offer(error.to_string()))?;
        let name = peer.rtc.direct_api().local_ice_credentials().ufrag;
        if name != peer.ufrag {
            self.forget_ufrag(&peer.ufrag);
            self.by_ufrag.insert(name.clone(), at);
            self.shared.ufrags.write().insert(name.clone(), self.index);
            peer.ufrag = name;
        }
        self.drive(at, peer, None, now);
        let answer = answer.to_sdp_string();
        Ok(if asks_for_sound { answer } else { sdp::without_sound_asked_for(&answer) })
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn publish(
        &mut self,
        id: PeerId,
        room: RoomKey,
        user: &Arc<str>,
        offer: &str,
        streams: &[Published],
        rights: Rights,
        now: Instant,
    ) -> Result<Answer, Error> {
        sdp::require_reasonable(offer)?;
        let (lines, offer) = sdp::read_offer(offer, Way::Sends);
        let asks_for_sound = sdp::asks_for_sound(&offer);
        let streams = assign(&lines, streams)?;
        let is_new = !self.by_id.contains_key(&id);
        let at = self.open(id, || Role::Publisher(Box::default()), now);
        let Some(mut peer) = self.peers.get_mut(at).and_then(Option::take) else { return Err(Error::Gone) };
        let micros = self.shared.micros(now);
        let answer = match &peer.role {
            Role::Publisher(_) => self.answer(at, &mut peer, &offer, asks_for_sound, now),
            Role::Viewer(_) => Err(Error::Gone),
        };
        let result = answer.map(|sdp| {
            if let Role::Publisher(publisher) = &mut peer.role {
                publisher.rights = rights;
                publisher.renegotiated(&mut peer.rtc, asks_for_sound);
                self.retrack(at, publisher, room, user, &streams, &lines, micros);
            }
            Answer { sdp, published: streams, mids: Vec::new() }
        });
        self.put_back(at, peer);
        if result.is_err() && is_new {
            self.remove(at);
        }
        result
    }

    /// Begins the publications that are new in an offer, and ends those that are gone from it.
    #[allow(clippy::too_many_arguments)]
    fn retrack(
        &mut self,
        at: usize,
        publisher: &mut Publisher,
        room: RoomKey,
        user: &Arc<str>,
        streams: &[Published],
        lines: &[Line],
        micros: u64,
    ) {
        let is_kept = |track: &Track| {
            let mid = track.mid.to_string();
            streams.iter().any(|stream| stream.mid == mid.trim() && stream.kind == track.kind)
        };
        publisher.tracks.retain(|track| {
            let kept = is_kept(track);
            if !kept {
                track.source.unpublish(track.generation);
                self.publishing.remove(&track.source.id);
            }
            kept
        });
        for stream in streams {
            let mid = Mid::from(stream.mid.as_str());
            if let Some(known) = publisher.tracks.iter().find(|track| track.mid == mid) {
                // Another session of the member may publish it by now.
                if known.generation == known.source.generation() {
                    known.source.set_encrypted(stream.is_encrypted);
                }
                continue;
            }
            let rids: &[String] =
                lines.iter().find(|line| line.mid == stream.mid).map_or(&[], |line| line.rids.as_slice());
            let source = self.shared.sources.get(&SourceKey { room, user: user.clone(), kind: stream.kind });
            let generation = self.shared.sources.publish(&source, self.index, rids.len(), stream.height);
            source.set_encrypted(stream.is_encrypted);
            for (rid, layer) in rids.iter().zip(0..) {
                let said = stream.layers.iter().find(|said| said.rid == *rid);
                source.describe(
                    layer,
                    said.map_or(0, |said| said.height),
                    said.map_or(0, |said| said.most_bits),
                );
            }
            let wants = stream.is_dynamic.then(|| Wants::new(&source, micros));
            publisher.tracks.push(Track::new(mid, stream.kind, source, generation, rids, wants));
        }
        for (track, place) in publisher.tracks.iter().zip(0..) {
            let here = Publishing { source: track.source.clone(), peer: at, track: place };
            self.publishing.insert(track.source.id, here);
        }
    }

    pub(crate) fn watch(
        &mut self,
        id: PeerId,
        offer: &str,
        streams: &[Watched],
        most_speakers: Option<NonZeroU8>,
        now: Instant,
    ) -> Result<Answer, Error> {
        sdp::require_reasonable(offer)?;
        let (lines, offer) = sdp::read_offer(offer, Way::Receives);
        let asks_for_sound = sdp::asks_for_sound(&offer);
        if lines.len() > MAX_STREAMS {
            return Err(Error::TooManyStreams { given: lines.len(), most: MAX_STREAMS });
        }
        let is_new = !self.by_id.contains_key(&id);
        let (cname, micros) = (self.shared.cname(), self.shared.micros(now));
        let at = self.open(id, || Role::Viewer(Box::new(Viewer::new(micros, cname))), now);
        let Some(mut peer) = self.peers.get_mut(at).and_then(Option::take) else { return Err(Error::Gone) };
        let answer = match &peer.role {
            Role::Viewer(_) => self.answer(at, &mut peer, &offer, asks_for_sound, now),
            Role::Publisher(_) => Err(Error::Gone),
        };
        let result = answer.and_then(|sdp| {
            let Role::Viewer(viewer) = &mut peer.role else { return Err(Error::Gone) };
            for line in lines.iter().filter(|line| line.is_active) {
                open_slot(viewer, &mut peer.rtc, line, asks_for_sound);
            }
            self.fill(at, viewer, streams, most_speakers, now)?;
            let mids = lines.into_iter().filter(|line| line.is_active).map(|line| line.mid).collect();
            Ok(Answer { sdp, published: Vec::new(), mids })
        });
        // What can be sent from the first moment on is asked for now, not at the next tick.
        peer.tick_due = now;
        self.schedule(at, &peer);
        self.put_back(at, peer);
        if result.is_err() && is_new {
            self.remove(at);
        }
        result
    }

    pub(super) fn rewatch(
        &mut self,
        id: PeerId,
        streams: &[Watched],
        most_speakers: Option<NonZeroU8>,
        now: Instant,
    ) -> Result<(), Error> {
        let at = self.by_id.get(&id).copied().ok_or(Error::Gone)?;
        let mut peer = self.peers.get_mut(at).and_then(Option::take).ok_or(Error::Gone)?;
        let result = match &mut peer.role {
            Role::Viewer(viewer) => {
                let most_speakers = most_speakers.or(viewer.most_speakers);
                self.fill(at, viewer, streams, most_speakers, now)
            }
            Role::Publisher(_) => Err(Error::Gone),
        };
        peer.tick_due = now;
        self.schedule(at, &peer);
        self.put_back(at, peer);
        result
    }

    /// Fills slots as asked for; all or none.
    fn fill(
        &mut self,
        at: usize,
        viewer: &mut Viewer,
        streams: &[Watched],
        most_speakers: Option<NonZeroU8>,
        now: Instant,
    ) -> Result<(), Error> {
        let mut places = Vec::with_capacity(streams.len());
        for stream in streams {
            let is_it = |slot: &Slot| slot.mid.as_slice() == stream.mid.as_bytes();
            let place = viewer.slots.iter().position(is_it);
            let place = place.ok_or_else(|| Error::UnknownMid(stream.mid.clone()))?;
            let is_video = viewer.slots.get(place).is_some_and(|slot| slot.is_video);
            if stream.source.as_ref().is_some_and(|source| source.kind.is_video() != is_video) {
                return Err(Error::WrongKind(stream.mid.clone()));
            }
            places.push(place);
        }
        for (stream, place) in streams.iter().zip(places) {
            let Some(slot) = viewer.slots.get_mut(place) else { continue };
            slot.set_wanted(stream.wanted);
            if slot.source.as_ref().map(|source| &source.key) == stream.source.as_ref() {
                continue;
            }
            if let Some(former) = slot.source.take() {
                self.leave_feed(former.id, at, place);
            }
            let source = stream.source.as_ref().map(|key| self.shared.sources.get(key));
            if let Some(source) = &source {
                self.join_feed(source, at, place);
            }
            slot.set_source(source);
            slot.seek(self.shared.micros(now));
        }
        viewer.note_wanted(self.shared.micros(now));
        viewer.follow_speakers(most_speakers);
        let asked = &mut self.asked;
        let mut ask = |source: &Arc<Source>, layer| asked.push((source.clone(), layer));
        viewer.prepare(now, &FeedsPast(&self.feeds), &mut ask);
        Ok(())
    }
}

/// Sound can be sent again too, to whom asks for that (`sdp.rs`): on its own stream, as there is no other for it. Browsers ask
/// where it is agreed on for the codec, whether or not it comes within RED.
pub(super) fn let_sound_be_asked_for(codecs: &mut CodecConfig) {
    let mut params = codecs.params().to_vec();
    params
        .iter_mut()
        .filter(|params| !params.spec().codec.is_video())
        .for_each(|params| params.set_fb_nack(true));
    *codecs = CodecConfig::new_from_payload_params(params);
}

/// What is wrong with an offer, without where in the server's memory.
fn reason(error: &str) -> String {
    error.lines().filter(|line| !line.contains("PointerOffset")).collect::<Vec<_>>().join(", ")
}

/// What each stream of a publisher's offer carries: as it says, else the first video is the camera and the second the
/// screen.
fn assign(lines: &[Line], named: &[Published]) -> Result<Vec<Published>, Error> {
    if lines.len() > MAX_STREAMS {
        return Err(Error::TooManyStreams { given: lines.len(), most: MAX_STREAMS });
    }
    if let Some(stranger) = named.iter().find(|stream| lines.iter().all(|line| line.mid != stream.mid)) {
        return Err(Error::UnknownMid(stranger.mid.clone()));
    }
    let mut streams: Vec<Published> = Vec::new();
    for line in lines.iter().filter(|line| line.is_active) {
        let said = named.iter().find(|stream| stream.mid == line.mid).cloned();
        let is_free = |kind: StreamKind| {
            named.iter().all(|stream| stream.kind != kind) && streams.iter().all(|stream| stream.kind != kind)
        };
        let stream = match said {
            Some(stream) if stream.kind.is_video() != line.is_video => {
                return Err(Error::WrongKind(stream.mid));
            }
            Some(stream) => stream,
            None => {
                let mut kinds = StreamKind::ALL.into_iter().filter(|kind| kind.is_video() == line.is_video);
                let kind =
                    kinds.find(|kind| is_free(*kind)).ok_or_else(|| Error::OneTooMany(line.mid.clone()))?;
                Published { mid: line.mid.clone(), kind, ..Published::default() }
            }
        };
        if streams.iter().any(|other| other.kind == stream.kind) {
            return Err(Error::OneTooMany(stream.mid));
        }
        streams.push(stream);
    }
    Ok(streams)
}

/// Makes room for a stream that has been agreed on; nothing when there is room already.
fn open_slot(viewer: &mut Viewer, rtc: &mut Rtc, line: &Line, asks_for_sound: bool) {
    if viewer.slots.iter().any(|slot| slot.mid.as_slice() == line.mid.as_bytes()) {
        return;
    }
    let mid = Mid::from(line.mid.as_str());
    let Some((ssrc, rtx)) =
        rtc.direct_api().stream_tx_by_mid(mid, None).map(|stream| (*stream.ssrc(), stream.rtx()))
    else {
        return;
    };
    let mut slot = Slot::new(&line.mid, line.is_video, ssrc, rtx.map(|ssrc| *ssrc));
    let Some(media) = rtc.media(mid) else { return };
    let ids = media.remote_extmap();
    slot.extensions = Extensions {
        mid: ids.id_of(Extension::RtpMid),
        transport_cc: ids.id_of(Extension::TransportSequenceNumber),
        audio_level: ids.id_of(Extension::AudioLevel),
        orientation: ids.id_of(Extension::VideoOrientation),
        abs_send_time: ids.id_of(Extension::AbsoluteSendTime),
        // Long ones need the two-byte form (RFC 8285 4.3): without it a viewer would lack just those that the others refer to.
        dependency: ids.id_of(dependency::extension()).filter(|_| line.allows_mixed),
    };
    slot.kept = (asks_for_sound && !line.is_video).then(Box::default);
    let offered = media.remote_pts().to_vec();
    for params in rtc.codec_config().params() {
        if !offered.contains(&params.pt()) {
            continue;
        }
        let codec = CodecKey::new(&params.spec(), false);
        let rtx = params.resend().map(|pt| *pt);
        slot.takes.push(Taken { codec, payload_type: *params.pt(), rtx });
        if let Some(red) = params.red() {
            let codec = CodecKey::new(&params.spec(), true);
            slot.takes.push(Taken { codec, payload_type: *red, rtx: None });
        }
    }
    viewer.slots.push(slot);
}
