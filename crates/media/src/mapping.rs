//! Whose a publisher's packet is: the m-line and the layer that a stream (SSRC) belongs to, by the order of RFC 9143 9.2: by the MID in
//! its header, by what the offer says of its SSRC, by its payload type where only one m-line has that. Layers are told by RID (RFC 8852).

use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use str0m::Rtc;
use str0m::media::Rid;
use str0m::rtp::Ssrc;

use crate::payload::CodecKey;
use crate::sdp::{Extension, Line};
use crate::source::{MAX_LAYERS, StreamKind};

/// A stream that has been silent so long makes room for another of the same m-line and layer: whoever begins anew, with another SSRC,
/// has stopped the former; whoever sends two at a time is heard on one.
const SILENCE: Duration = Duration::from_millis(250);

/// How many streams of a connection are remembered by what they have called themselves.
const MOST_REMEMBERED: usize = 64;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Under which numbers an offer's header extensions name streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Ids {
    mid: Option<u8>,
    rid: Option<u8>,
    repaired: Option<u8>,
}

/// What a packet's header, which is in clear, says of its stream.
#[derive(Debug, PartialEq, Eq)]
struct Header<'a> {
    ssrc: u32,
    number: u8,
    mid: Option<&'a [u8]>,
    rid: Option<&'a [u8]>,
    repaired: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// Reads a header (RFC 3550 5.1) with its extensions of either form (RFC 8285 4.2, 4.3).
    fn read(packet: &'a [u8], ids: Ids) -> Option<Self> {
        let (fixed, rest) = packet.split_first_chunk::<12>()?;
        let [first, second, _, _, _, _, _, _, ssrc @ ..] = *fixed;
        let ssrc = u32::from_be_bytes(ssrc);
        let mut header = Self { ssrc, number: second & 0x7f, mid: None, rid: None, repaired: None };
        if first & 0x10 == 0 {
            return Some(header);
        }
        let rest = rest.get(4 * usize::from(first & 0x0f)..)?;
        let (head, rest) = rest.split_first_chunk::<4>()?;
        let [high, low, words @ ..] = *head;
        let mut rest = rest.get(..4 * usize::from(u16::from_be_bytes(words)))?;
        let is_short = (high, low) == (0xbe, 0xde);
        if !is_short && (high, low & 0xf0) != (0x10, 0x00) {
            return Some(header);
        }
        while let Some((head, tail)) = rest.split_first() {
            let (id, length, tail) = match (head, is_short) {
                (0, _) => {
                    rest = tail;
                    continue;
                }
                (head, true) if head >> 4 == 15 => break,
                (head, true) => (head >> 4, usize::from(head & 0x0f) + 1, tail),
                (id, false) => {
                    let (length, tail) = tail.split_first()?;
                    (*id, usize::from(*length), tail)
                }
            };
            let (value, tail) = tail.split_at_checked(length)?;
            rest = tail;
            for (wanted, place) in
                [(ids.mid, &mut header.mid), (ids.rid, &mut header.rid), (ids.repaired, &mut header.repaired)]
            {
                if wanted == Some(id) {
                    *place = Some(value);
                }
            }
        }
        Some(header)
    }
}

/// The stream of one layer.
#[derive(Debug, Default)]
pub(crate) struct Main {
    pub(crate) ssrc: Option<u32>,
    rtx: Option<u32>,
    /// Nothing of the stream itself has come yet, only retransmissions that have no bytes in them.
    stands_in: bool,
    /// When the library last found a packet of it in order.
    heard_at: Option<Instant>,
    /// Another was heard before it.
    pub(crate) is_another: bool,
    was_heard: bool,
}

impl Main {
    /// A packet of it was in order.
    pub(crate) fn hear(&mut self, now: Instant) {
        self.heard_at = Some(now);
        self.was_heard = true;
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.stands_in || self.heard_at.is_none_or(|at| now.saturating_duration_since(at) >= SILENCE)
    }
}

/// Streams of a publication.
pub(crate) struct Mains {
    pub(crate) name: Arc<str>,
    pub(crate) kind: StreamKind,
    /// Lowest quality first; one without a name where there is no simulcast.
    pub(crate) rids: Vec<Option<String>>,
    pub(crate) mains: [Main; MAX_LAYERS],
    /// Missing packets may be asked for.
    pub(crate) asks_again: bool,
}

impl Mains {
    fn layer(&self, rid: Option<&[u8]>) -> Option<usize> {
        let is_it = |known: &Option<String>| known.as_deref().map(str::as_bytes) == rid;
        match self.rids.as_slice() {
            // One stream is the only layer, whatever it is called.
            [_] => Some(0),
            rids => rids.iter().position(is_it).filter(|_| rid.is_some()),
        }
    }

    fn is_silent_all(&self) -> bool {
        self.mains.iter().all(|main| main.ssrc.is_none())
    }

    /// It turns out to be one stream without layers.
    fn collapse(&mut self) {
        self.rids = vec![None];
    }
}

/// Where a stream belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    track: usize,
    layer: usize,
    is_repair: bool,
}

/// What is behind a payload type.
#[derive(Debug, Clone, Copy)]
struct Number {
    codec: CodecKey,
    is_repair: bool,
    /// The one publication that has it; `None` for several.
    only: Option<usize>,
}

/// What a stream has called itself.
#[derive(Debug, Clone)]
struct Names {
    mid: Arc<str>,
    rid: Option<String>,
    is_repair: bool,
}

/// What became of a packet before it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placing {
    /// The library knows what it is.
    Known,
    /// It belongs to nothing, or to what another stream is heard on.
    Unknown,
    /// As [`Self::Known`], and the publication of that place has no layers after all.
    Collapsed(usize),
}

/// The streams of a publisher.
#[derive(Default)]
pub(crate) struct Mapping {
    ids: Ids,
    numbers: Map<u8, Number>,
    places: Map<u32, Place>,
    /// What the offer says of SSRCs.
    announced: Map<u32, (usize, bool)>,
    /// Publishers name a stream until it is reported to them, and no more when it pauses and goes on, which may be after the m-line
    /// was agreed on anew.
    remembered: Map<u32, Names>,
}

impl Mapping {
    /// Something else was agreed on. `tracks` are what is published, each of one of `lines`.
    pub(crate) fn agreed<'a>(&mut self, lines: &[Line], tracks: impl Iterator<Item = &'a Mains>) {
        *self = Self { remembered: std::mem::take(&mut self.remembered), ..Self::default() };
        for (track, place) in tracks.zip(0..) {
            let Some(line) = lines.iter().find(|line| *line.name == *track.name) else { continue };
            for format in &line.formats {
                for (number, is_repair) in [(Some(format.number), false), (format.rtx, true)] {
                    let Some(number) = number else { continue };
                    let only = Some(place);
                    let of = Number { codec: format.codec, is_repair, only };
                    let known = self.numbers.entry(number).or_insert(of);
                    if known.only != only {
                        known.only = None;
                    }
                }
            }
            for agreed in &line.extensions {
                match agreed.extension {
                    Extension::Mid => self.ids.mid = Some(agreed.id),
                    Extension::Rid => self.ids.rid = Some(agreed.id),
                    Extension::RepairedRid => self.ids.repaired = Some(agreed.id),
                    _ => {}
                }
            }
            for (main, rtx) in &line.ssrcs {
                self.announced.insert(*main, (place, false));
                self.announced.extend(rtx.map(|rtx| (rtx, (place, true))));
            }
            self.note(track, place);
        }
    }

    /// Layers have changed their places.
    pub(crate) fn place_again<'a>(&mut self, tracks: impl Iterator<Item = &'a Mains>) {
        self.places.clear();
        for (track, place) in tracks.zip(0..) {
            self.note(track, place);
        }
    }

    fn note(&mut self, track: &Mains, place: usize) {
        for (main, layer) in track.mains.iter().zip(0..) {
            let at = |is_repair| Place { track: place, layer, is_repair };
            self.places.extend(main.ssrc.map(|ssrc| (ssrc, at(false))));
            self.places.extend(main.rtx.map(|ssrc| (ssrc, at(true))));
        }
    }

    /// The codec of a payload type.
    pub(crate) fn codec(&self, number: u8) -> Option<CodecKey> {
        self.numbers.get(&number).filter(|number| !number.is_repair).map(|number| number.codec)
    }

    /// The publication and the layer of a stream.
    pub(crate) fn place(&self, ssrc: u32) -> Option<(usize, u8)> {
        let place = self.places.get(&ssrc).filter(|place| !place.is_repair)?;
        Some((place.track, u8::try_from(place.layer).ok()?))
    }

    /// Tells the library whose a packet is, when it does not know: before it opens it.
    pub(crate) fn admit(
        &mut self,
        rtc: &mut Rtc,
        packet: &[u8],
        tracks: &mut [impl AsMut<Mains> + AsRef<Mains>],
        now: Instant,
    ) -> Placing {
        let Some(header) = Header::read(packet, self.ids) else { return Placing::Unknown };
        // What only tries out how much a link carries belongs to no m-line.
        if header.ssrc == 0 {
            return Placing::Known;
        }
        if let Some(known) = self.places.get(&header.ssrc) {
            let is_moved = |mid: &[u8]| {
                tracks.get(known.track).is_none_or(|track| track.as_ref().name.as_bytes() != mid)
            };
            if !header.mid.is_some_and(is_moved) {
                return Placing::Known;
            }
        }
        let names = self.remembered.get(&header.ssrc).filter(|_| header.mid.is_none()).cloned();
        let Some((track, is_repair)) = self.track(&header, names.as_ref(), tracks) else {
            return Placing::Unknown;
        };
        let Some(mains) = tracks.get_mut(track).map(AsMut::as_mut) else { return Placing::Unknown };
        let mut placing = Placing::Known;
        let remembered = names.as_ref().filter(|names| mains.rids.contains(&names.rid));
        let remembered = remembered.and_then(|names| names.rid.as_deref()).map(str::as_bytes);
        let rid = header.rid.or(header.repaired).or(remembered);
        let layer = match mains.layer(rid) {
            Some(layer) => layer,
            None if rid.is_none() && !is_repair && mains.is_silent_all() => {
                mains.collapse();
                placing = Placing::Collapsed(track);
                0
            }
            None => return Placing::Unknown,
        };
        let Some(main) = mains.mains.get_mut(layer) else { return Placing::Unknown };
        let is_taken = match is_repair {
            true => self.take_repair(rtc, header.ssrc, main, (track, layer), mains.kind),
            false => self.take_main(rtc, header.ssrc, main, (track, layer), mains.kind, now),
        };
        if !is_taken {
            return Placing::Unknown;
        }
        if self.remembered.len() >= MOST_REMEMBERED {
            self.remembered.clear();
        }
        let names =
            Names { mid: mains.name.clone(), rid: mains.rids.get(layer).cloned().flatten(), is_repair };
        self.remembered.insert(header.ssrc, names);
        let (ssrc, asks_again) = (main.ssrc.unwrap_or_default(), mains.asks_again);
        if let Some(stream) = rtc.direct_api().stream_rx(&ssrc.into()) {
            stream.suppress_nack(!asks_again);
        }
        placing
    }

    /// The publication a packet is of, and whether it repeats another.
    fn track(
        &self,
        header: &Header<'_>,
        names: Option<&Names>,
        tracks: &[impl AsRef<Mains>],
    ) -> Option<(usize, bool)> {
        let number = self.numbers.get(&header.number)?;
        let is_repair = header.repaired.is_some() || number.is_repair;
        let announced = self.announced.get(&header.ssrc);
        let of = |mid: &[u8]| tracks.iter().position(|track| track.as_ref().name.as_bytes() == mid);
        let track = match (header.mid, announced) {
            (Some(mid), _) => of(mid)?,
            (None, Some((track, _))) => *track,
            (None, None) => names.and_then(|names| of(names.mid.as_bytes())).or(number.only)?,
        };
        let is_known_repair = announced.is_some_and(|(_, is_repair)| *is_repair);
        Some((track, is_repair || is_known_repair || names.is_some_and(|names| names.is_repair)))
    }

    fn take_main(
        &mut self,
        rtc: &mut Rtc,
        ssrc: u32,
        main: &mut Main,
        (track, layer): (usize, usize),
        kind: StreamKind,
        now: Instant,
    ) -> bool {
        if main.ssrc.is_some() && !main.is_silent(now) {
            return false;
        }
        let mut direct = rtc.direct_api();
        if let Some(former) = main.ssrc {
            direct.remove_stream_rx(former.into());
            self.places.remove(&former);
        }
        if let Some(elsewhere) = self.places.remove(&ssrc).filter(|place| !place.is_repair) {
            tracing::debug!(ssrc, ?elsewhere, "a stream belongs to another m-line from now on");
            direct.remove_stream_rx(ssrc.into());
        }
        let is_another = main.was_heard;
        *main = Main {
            ssrc: Some(ssrc),
            rtx: main.rtx,
            is_another,
            was_heard: main.was_heard,
            ..Main::default()
        };
        self.expect(rtc, main, (track, layer), kind);
        true
    }

    fn take_repair(
        &mut self,
        rtc: &mut Rtc,
        ssrc: u32,
        main: &mut Main,
        (track, layer): (usize, usize),
        kind: StreamKind,
    ) -> bool {
        if let Some(former) = main.rtx.replace(ssrc) {
            self.places.remove(&former);
        }
        if main.ssrc.is_none() || main.stands_in {
            // Encoders fill a link with retransmissions of nothing before their first picture: they are to be reported. What stands
            // in is a stream of the publisher's own: the library's reports may name it, and browsers pass over those that name none
            // of theirs.
            if let Some(former) = main.ssrc.replace(ssrc) {
                rtc.direct_api().remove_stream_rx(former.into());
            }
            main.stands_in = true;
        }
        self.expect(rtc, main, (track, layer), kind);
        true
    }

    fn expect(&mut self, rtc: &mut Rtc, main: &Main, (track, layer): (usize, usize), kind: StreamKind) {
        let Some(ssrc) = main.ssrc else { return };
        let medium = if kind.is_video() { crate::sdp::PICTURE } else { crate::sdp::SOUND };
        let rid = Rid::from(format!("{track}x{layer}").as_str());
        rtc.direct_api().expect_stream_rx(
            Ssrc::from(ssrc),
            main.rtx.filter(|_| !main.stands_in).map(Ssrc::from),
            medium.into(),
            Some(rid),
        );
        let at = |is_repair| Place { track, layer, is_repair };
        self.places.insert(ssrc, at(false));
        self.places.extend(main.rtx.map(|rtx| (rtx, at(true))));
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    const IDS: Ids = Ids { mid: Some(4), rid: Some(10), repaired: Some(11) };

    #[test]
    fn names_of_streams_are_read_in_either_form() {
        let head = [0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7];
        let short = [&head[..], &[0xbe, 0xde, 0, 3, 0x42, b'v', b'-', b'1', 0, 0xa0, b'h', 0x12, 1, 2, 3, 0]]
            .concat();
        let long = [&head[..], &[0x10, 0, 0, 2, 4, 2, b'a', b'b', 11, 1, b'f', 0]].concat();
        let plain = [0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7];

        let read = |packet: &[u8]| {
            let header = Header::read(packet, IDS).unwrap();
            let text = |value: Option<&[u8]>| value.map(|value| String::from_utf8(value.to_vec()).unwrap());
            (header.ssrc, text(header.mid), text(header.rid), text(header.repaired))
        };
        assert_eq!(read(&short), (7, Some("v-1".into()), Some("h".into()), None));
        assert_eq!(read(&long), (7, Some("ab".into()), None, Some("f".into())));
        assert_eq!(read(&plain), (7, None, None, None));
    }

    struct Track(Mains);

    impl AsRef<Mains> for Track {
        fn as_ref(&self) -> &Mains {
            &self.0
        }
    }

    impl AsMut<Mains> for Track {
        fn as_mut(&mut self) -> &mut Mains {
            &mut self.0
        }
    }

    #[test]
    fn what_stands_in_for_a_layer_that_has_not_come_is_a_stream_of_the_publisher() {
        let codec = CodecKey::plain_vp8();
        let number = |is_repair| Number { codec, is_repair, only: Some(0) };
        let mut mapping = Mapping { ids: IDS, ..Mapping::default() };
        mapping.numbers.extend([(96, number(false)), (97, number(true))]);
        let rids = vec![Some("h".to_owned()), Some("f".to_owned())];
        let (name, kind) = ("v".into(), StreamKind::Main);
        let mut tracks = [Track(Mains { name, kind, rids, mains: Default::default(), asks_again: true })];
        let now = Instant::now();
        let mut rtc = str0m::RtcConfig::new().set_rtp_mode(true).build(now);
        rtc.direct_api().declare_media(crate::sdp::PICTURE.into(), str0m::media::MediaKind::Video);
        let packet = |number: u8, ssrc: u8, id: u8| {
            let head = [0x90, number, 0, 1, 0, 0, 0, 0, 0, 0, 0, ssrc, 0xbe, 0xde, 0, 1];
            [&head[..], &[0x40, b'v', id << 4, b'f']].concat()
        };
        let streams =
            |tracks: &[Track]| tracks.iter().map(|one| (one.0.mains[1].ssrc, one.0.mains[1].rtx)).next();

        assert_eq!(mapping.admit(&mut rtc, &packet(97, 9, 11), &mut tracks, now), Placing::Known);
        assert_eq!(streams(&tracks), Some((Some(9), Some(9))));
        assert_eq!(mapping.place(9), None, "nothing of it is taken for a picture");

        assert_eq!(mapping.admit(&mut rtc, &packet(96, 7, 10), &mut tracks, now), Placing::Known);
        assert_eq!(streams(&tracks), Some((Some(7), Some(9))));
        assert_eq!((mapping.place(7), mapping.place(9)), (Some((0, 1)), None));
        assert!(rtc.direct_api().stream_rx(&9.into()).is_none(), "it is the other's retransmissions now");
    }

    #[test]
    fn a_stream_that_goes_on_is_known_without_its_name() {
        let codec = CodecKey::plain_vp8();
        let number = Number { codec, is_repair: false, only: None };
        let mut mapping = Mapping { ids: IDS, ..Mapping::default() };
        mapping.numbers.insert(96, number);
        let rids = vec![Some("h".to_owned()), Some("f".to_owned())];
        let mains = || {
            let (name, kind, rids) = ("v".into(), StreamKind::Main, rids.clone());
            [Track(Mains { name, kind, rids, mains: Default::default(), asks_again: true })]
        };
        let now = Instant::now();
        let mut rtc = str0m::RtcConfig::new().set_rtp_mode(true).build(now);
        rtc.direct_api().declare_media(crate::sdp::PICTURE.into(), str0m::media::MediaKind::Video);
        let named = [0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0xbe, 0xde, 0, 1, 0x40, b'v', 0xa0, b'f'];
        let plain = [0x80, 96, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7];
        let other = [0x80, 96, 0, 2, 0, 0, 0, 0, 0, 0, 0, 8];

        assert_eq!(mapping.admit(&mut rtc, &named, &mut mains(), now), Placing::Known);
        mapping.agreed(&[], std::iter::empty());
        mapping.numbers.insert(96, number);
        let mut tracks = mains();

        assert_eq!(mapping.admit(&mut rtc, &plain, &mut tracks, now), Placing::Known);
        assert_eq!((mapping.place(7), tracks[0].0.rids.len()), (Some((0, 1)), 2));
        assert_eq!(mapping.admit(&mut rtc, &other, &mut tracks, now), Placing::Unknown);
    }

    #[test]
    fn any_bytes_can_be_read() {
        use rand::RngExt as _;
        let mut random = rand::rng();
        for _ in 0..100_000 {
            let length = random.random_range(0..60);
            let mut bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
            if let (Some(place), true) = (bytes.get_mut(12..14), random.random_bool(0.5)) {
                place.copy_from_slice(&[0xbe, 0xde]);
            }
            let _ = Header::read(&bytes, IDS);
        }
    }
}
