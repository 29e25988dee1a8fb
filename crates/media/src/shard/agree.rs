//! What is agreed on: offers and their answers, what publishers send, and what fills viewers' m-lines.

use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Instant;

use str0m::Rtc;
use str0m::change::SdpOffer;

use super::{FeedsPast, Peer, Publishing, Role, Shard};
use crate::command::{Answer, Published, Watched};
use crate::dynacast::Wants;
use crate::error::Error;
use crate::keys::Client;
use crate::publisher::{Publisher, Rights, Track};
use crate::sdp::{Extension, Library, Line, Media, Offer, Part, Sending};
use crate::slot::{Extensions, Slot, Taken};
use crate::source::{PeerId, RoomKey, Source, SourceKey, StreamKind};
use crate::taking;
use crate::viewer::Viewer;

/// The most streams in one connection.
const MAX_STREAMS: usize = 128;

impl Shard {
    /// Connects with whoever offers, and notes the name under which ICE will knock.
    fn connect(
        &mut self,
        at: usize,
        peer: &mut Peer,
        offer: &Offer,
        (library, text): (Library, &str),
        now: Instant,
    ) -> Result<(), Error> {
        let text = SdpOffer::from_sdp_string(text).map_err(|error| Error::Offer(error.to_string()))?;
        let answer =
            peer.rtc.sdp_api().accept_offer(text).map_err(|error| Error::Offer(error.to_string()))?;
        peer.library = library;
        peer.fingerprints.clone_from(&offer.transport.fingerprints);
        peer.ours.note(&answer.to_sdp_string());
        let name = peer.rtc.direct_api().local_ice_credentials().ufrag;
        if name != peer.ufrag {
            self.forget_ufrag(&peer.ufrag);
            self.by_ufrag.insert(name.clone(), at);
            self.shared.ufrags.write().insert(name.clone(), self.index);
            peer.ufrag = name;
        }
        self.drive(at, peer, None, now);
        Ok(())
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
        let mut offer = Offer::read(offer)?;
        let is_new = !self.by_id.contains_key(&id);
        let at = self.open(id, || Role::Publisher(Box::default()), now);
        let Some(mut peer) = self.peers.get_mut(at).and_then(Option::take) else { return Err(Error::Gone) };
        let micros = self.shared.micros(now);
        let result = self.publish_on(at, &mut peer, &mut offer, streams, now);
        let result = result.map(|streams| {
            let Peer { role, rtc, ours, .. } = &mut *peer;
            if let Role::Publisher(publisher) = role {
                publisher.rights = rights;
                self.retrack(at, publisher, rtc, (room, user), &streams, &offer, micros);
            }
            let is_active = |line: &Line| streams.iter().any(|stream| stream.mid == line.name);
            let parts = parts(&offer, |line| if is_active(line) { Part::Takes } else { Part::Idle });
            Answer { sdp: offer.answer(ours, &parts), published: streams, mids: Vec::new() }
        });
        self.put_back(at, peer);
        if result.is_err() && is_new {
            self.remove(at);
        }
        result
    }

    /// Sees what a publisher's offer has, and connects with it.
    fn publish_on(
        &mut self,
        at: usize,
        peer: &mut Peer,
        offer: &mut Offer,
        streams: &[Published],
        now: Instant,
    ) -> Result<Vec<Published>, Error> {
        if matches!(peer.role, Role::Viewer(_)) {
            return Err(Error::Gone);
        }
        for line in &mut offer.lines {
            // Browsers send it with any codec where it is agreed on; only AV1's payloads do not say as much.
            let is_needed = line.formats.first().is_some_and(|format| format.codec.needs_dependency());
            line.extensions.retain(|agreed| is_needed || agreed.extension != Extension::Dependency);
            // A browser that hears of its sound alone, while nobody watches its pictures, takes the rate of that for what
            // its link carries, and needs a second and more to send the largest picture again.
            if line.media == Media::Audio {
                line.extensions.retain(|agreed| agreed.extension != Extension::TransportCc);
                line.formats.iter_mut().for_each(|format| format.ask_no("transport-cc"));
            }
        }
        let mut library = peer.library.clone();
        let offered: Vec<bool> = offer.lines.iter().map(|line| !line.formats.is_empty()).collect();
        let text = library.offer(offer);
        let streams = assign(offer, streams)?;
        for ((line, place), had_formats) in offer.lines.iter().zip(0..).zip(offered) {
            let is_meant = streams.iter().any(|stream| stream.mid == line.name);
            if is_meant && had_formats && line.formats.is_empty() {
                let name = &line.name;
                let trouble = "in another m-line of the transport, or had one in an earlier offer (RFC 9143 9.1, RFC 3264 8.3.2)";
                return Err(Error::Offer(format!(
                    "the payload types of the m-line with mid {name:?} have another meaning {trouble}"
                )));
            }
            if let Some(trouble) = offer.trouble(place).filter(|_| is_meant) {
                return Err(Error::Offer(trouble));
            }
        }
        require_connectable(offer)?;
        self.connect(at, peer, offer, (library, &text), now)?;
        Ok(streams)
    }

    /// Begins the publications that are new in an offer, and ends those that are gone from it.
    #[allow(clippy::too_many_arguments)]
    fn retrack(
        &mut self,
        at: usize,
        publisher: &mut Publisher,
        rtc: &mut Rtc,
        (room, user): (RoomKey, &Arc<str>),
        streams: &[Published],
        offer: &Offer,
        micros: u64,
    ) {
        let line = |name: &str| offer.lines.iter().find(|line| line.name == name);
        let is_kept = |track: &Track| {
            let is_it = |stream: &Published| stream.mid == *track.name && stream.kind == track.kind;
            streams.iter().any(is_it) && line(&track.name).is_some_and(|line| track.is_of(&line.layers))
        };
        publisher.tracks.retain(|track| {
            let kept = is_kept(track);
            if !kept {
                track.source.unpublish(track.generation);
                self.shared.note_changed(&track.source);
                self.publishing.remove(&track.source.id);
                track.forget_streams(rtc);
            }
            kept
        });
        for stream in streams {
            if let Some(known) = publisher.tracks.iter().find(|track| *track.name == *stream.mid) {
                // Another session of the member may publish it by now.
                if known.generation == known.source.generation() {
                    known.source.set_encrypted(stream.is_encrypted);
                }
                continue;
            }
            let layers = line(&stream.mid).map_or(&[][..], |line| line.layers.as_slice());
            let source = self.shared.sources.get(&SourceKey { room, user: user.clone(), kind: stream.kind });
            let generation = self.shared.sources.publish(&source, self.index, layers.len(), stream.height);
            source.set_encrypted(stream.is_encrypted);
            for (layer, place) in layers.iter().zip(0..) {
                let said = stream.layers.iter().find(|said| said.rid == layer.rid);
                let or = |said: Option<u32>, offered: u32| said.filter(|said| *said > 0).unwrap_or(offered);
                let height = or(said.map(|said| said.height), layer.height);
                source.describe(place, height, or(said.map(|said| said.most_bits), layer.most_bits));
            }
            let wants = stream.is_dynamic.then(|| Wants::new(&source, micros));
            publisher.tracks.push(Track::new(&stream.mid, stream.kind, source, generation, layers, wants));
        }
        for (track, place) in publisher.tracks.iter().zip(0..) {
            let here = Publishing { source: track.source.clone(), peer: at, track: place };
            self.publishing.insert(track.source.id, here);
        }
        publisher.withhold(&self.shared.sources);
        publisher.agreed(&offer.lines);
    }

    pub(crate) fn watch(
        &mut self,
        id: PeerId,
        offer: &str,
        streams: &[Watched],
        most_speakers: Option<NonZeroU8>,
        now: Instant,
    ) -> Result<Answer, Error> {
        let mut offer = Offer::read(offer)?;
        let live = offer.lines.iter().filter(|line| is_media(line) && !line.is_refused).count();
        if live > MAX_STREAMS {
            return Err(Error::TooManyStreams { given: live, most: MAX_STREAMS });
        }
        let is_new = !self.by_id.contains_key(&id);
        let (cname, micros) = (self.shared.cname(), self.shared.micros(now));
        let at = self.open(id, || Role::Viewer(Box::new(Viewer::new(micros, cname))), now);
        let Some(mut peer) = self.peers.get_mut(at).and_then(Option::take) else { return Err(Error::Gone) };
        let result = self.watch_on(at, &mut peer, &mut offer, streams, most_speakers, now);
        // What can be sent from the first moment on is asked for now, not at the next tick.
        peer.tick_due = now;
        self.schedule(at, &peer);
        self.put_back(at, peer);
        if result.is_err() && is_new {
            self.remove(at);
        }
        result
    }

    fn watch_on(
        &mut self,
        at: usize,
        peer: &mut Peer,
        offer: &mut Offer,
        streams: &[Watched],
        most_speakers: Option<NonZeroU8>,
        now: Instant,
    ) -> Result<Answer, Error> {
        if matches!(peer.role, Role::Publisher(_)) {
            return Err(Error::Gone);
        }
        require_connectable(offer)?;
        // The library sends nothing of a viewer's: it need not know how.
        let mut library = peer.library.clone();
        let text = library.offer(&mut offer.without_media());
        self.connect(at, peer, offer, (library, &text), now)?;
        // A browser's page says what belongs together; of a player's streams all do.
        let is_one = self.shared.client_of(peer.id) == Client::Other;
        let Peer { role: Role::Viewer(viewer), rtc, ours, .. } = peer else { return Err(Error::Gone) };
        let is_first = viewer.slots.is_empty();
        let is_open = |offer: &Offer, (line, place): (&Line, usize)| {
            line.receives && is_media(line) && !line.is_refused && offer.trouble(place).is_none()
        };
        for (line, place) in offer.lines.iter().zip(0..) {
            if is_open(offer, (line, place)) {
                open_slot(viewer, rtc, line);
            }
        }
        self.fill(at, viewer, streams, most_speakers, now)?;
        if is_one && is_first {
            viewer.refuse_lacking();
            for place in 0..viewer.slots.len() {
                self.empty_refused(at, viewer, place);
            }
        }
        let parts = parts(offer, |line| {
            if !line.receives {
                return Part::Idle;
            }
            let place = viewer.slots.iter().position(|slot| slot.mid.as_slice() == line.name.as_bytes());
            let Some((place, slot)) = place.and_then(|place| Some((place, viewer.slots.get(place)?))) else {
                return Part::Idle;
            };
            // By starting ICE over a player is answered nothing else.
            if slot.is_refused {
                return Part::Refused;
            }
            let cname = viewer.cname();
            Part::Sends(Sending {
                stream: if is_one { cname.clone() } else { format!("{cname}{place}") },
                track: format!("{cname}-{place}"),
                cname,
                ssrc: slot.ssrc,
                rtx_ssrc: slot.rtx_ssrc,
            })
        });
        let open = offer.lines.iter().zip(0..).filter(|line| is_open(offer, *line));
        let mids = open.map(|(line, _)| line.name.clone()).collect();
        Ok(Answer { sdp: offer.answer(ours, &parts), published: Vec::new(), mids })
    }

    /// A slot whose m-line is refused is filled with nothing.
    fn empty_refused(&mut self, at: usize, viewer: &mut Viewer, place: usize) {
        let Some(slot) = viewer.slots.get_mut(place).filter(|slot| slot.is_refused) else { return };
        if let Some(former) = slot.source.take() {
            self.leave_feed(former.id, at, place);
            slot.set_source(None);
        }
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
        let mut fresh = Vec::new();
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
            fresh.push(place);
        }
        viewer.look_at_codecs(now);
        for slot in fresh.into_iter().filter_map(|place| viewer.slots.get(place)) {
            slot.seek(self.shared.micros(now));
        }
        viewer.note_wanted(self.shared.micros(now));
        viewer.follow_speakers(most_speakers);
        let asked = &mut self.asked;
        let mut ask = |source: &Arc<Source>, layer| asked.push((source.clone(), layer));
        viewer.prepare(now, self.shared.micros(now), &FeedsPast(&self.feeds), &mut ask);
        Ok(())
    }
}

/// Whether an m-line is for sound or pictures.
fn is_media(line: &Line) -> bool {
    matches!(line.media, Media::Audio | Media::Video)
}

/// What becomes of each m-line, where `of` says what becomes of those that can be taken.
fn parts(offer: &Offer, of: impl Fn(&Line) -> Part) -> Vec<Part> {
    let part = |(line, place): (&Line, usize)| match line.media {
        _ if line.is_refused || offer.trouble(place).is_some() => Part::Refused,
        Media::Data => Part::Data,
        _ => of(line),
    };
    offer.lines.iter().zip(0..).map(part).collect()
}

/// Refuses an offer of which no m-line would be taken: there would be nothing to be connected by.
fn require_connectable(offer: &Offer) -> Result<(), Error> {
    if offer.bundle.iter().any(|place| offer.trouble(*place).is_none()) {
        return Ok(());
    }
    let trouble = (0..offer.lines.len()).find_map(|place| offer.trouble(place));
    Err(Error::Offer(trouble.unwrap_or_else(|| "none of its m-lines can be taken".into())))
}

/// What each stream of a publisher's offer carries: as it says, else the first video is the camera and the second the
/// screen.
fn assign(offer: &Offer, named: &[Published]) -> Result<Vec<Published>, Error> {
    let lines = || offer.lines.iter().filter(|line| is_media(line) && !line.is_refused);
    if lines().count() > MAX_STREAMS {
        return Err(Error::TooManyStreams { given: lines().count(), most: MAX_STREAMS });
    }
    if let Some(stranger) = named.iter().find(|stream| offer.lines.iter().all(|line| line.name != stream.mid))
    {
        return Err(Error::UnknownMid(stranger.mid.clone()));
    }
    let mut streams: Vec<Published> = Vec::new();
    for line in lines().filter(|line| line.sends) {
        let is_video = line.media == Media::Video;
        let said = named.iter().find(|stream| stream.mid == line.name).cloned();
        let is_free = |kind: StreamKind| {
            named.iter().all(|stream| stream.kind != kind) && streams.iter().all(|stream| stream.kind != kind)
        };
        let stream = match said {
            Some(stream) if stream.kind.is_video() != is_video => {
                return Err(Error::WrongKind(stream.mid));
            }
            Some(stream) => stream,
            None => {
                let mut kinds = StreamKind::ALL.into_iter().filter(|kind| kind.is_video() == is_video);
                let kind =
                    kinds.find(|kind| is_free(*kind)).ok_or_else(|| Error::OneTooMany(line.name.clone()))?;
                Published { mid: line.name.clone(), kind, ..Published::default() }
            }
        };
        if streams.iter().any(|other| other.kind == stream.kind) {
            return Err(Error::OneTooMany(stream.mid));
        }
        streams.push(stream);
    }
    Ok(streams)
}

/// Makes room for a stream that has been agreed on, or notes what a later offer takes on it.
fn open_slot(viewer: &mut Viewer, rtc: &mut Rtc, line: &Line) {
    let is_video = line.media == Media::Video;
    let is_it = |slot: &Slot| slot.mid.as_slice() == line.name.as_bytes();
    let place = match viewer.slots.iter().position(is_it) {
        Some(place) => place,
        None => {
            let direct = rtc.direct_api();
            let is_free =
                |ssrc: u32| viewer.slots.iter().all(|slot| slot.ssrc != ssrc && slot.rtx_ssrc != Some(ssrc));
            let fresh = || std::iter::repeat_with(|| *direct.new_ssrc()).find(|ssrc| is_free(*ssrc));
            let (Some(ssrc), rtx) = (fresh(), fresh()) else { return };
            let rtx =
                rtx.filter(|rtx| *rtx != ssrc && line.formats.iter().any(|format| format.rtx.is_some()));
            viewer.slots.push(Slot::new(&line.name, is_video, ssrc, rtx));
            viewer.slots.len() - 1
        }
    };
    let Some(slot) = viewer.slots.get_mut(place) else { return };
    let id = |wanted: Extension| {
        line.extensions.iter().find(|agreed| agreed.extension == wanted).map(|agreed| agreed.id)
    };
    slot.extensions = Extensions {
        // Without a name of its own there is nothing to say.
        mid: id(Extension::Mid).filter(|_| line.mid.is_some()),
        transport_cc: id(Extension::TransportCc),
        audio_level: id(Extension::Level),
        orientation: id(Extension::Orientation),
        abs_send_time: id(Extension::SendTime),
        // Long ones need the two-byte form (RFC 8285 4.3): without it a viewer would lack just those that the others refer to.
        dependency: id(Extension::Dependency).filter(|_| line.allows_mixed),
    };
    let asks = line.formats.iter().any(|format| format.asks("nack"));
    if line.tells_by_stream {
        slot.carried.get_or_insert_default();
    } else {
        slot.carried = None;
    }
    if asks && !is_video {
        slot.kept.get_or_insert_default();
    } else {
        slot.kept = None;
    }
    slot.redundancy = line.redundancy;
    let rtx_ssrc = slot.rtx_ssrc;
    slot.set_takes(
        taking::of(line).map(|taken| Taken { rtx: taken.rtx.filter(|_| rtx_ssrc.is_some()), ..taken }),
    );
}
