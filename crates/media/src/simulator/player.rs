//! A browser that watches: it opens what comes, asks for what is missing as libwebrtc's NACK module does, and reports
//! when each packet came.

use std::collections::BTreeMap;

use super::ear::Ear;
use super::wire::{FEC, RED, RTX, SEND_TIME, SOUND, TRANSPORT_CC, VIDEO, VIDEO_AGAIN, VIDEO_RED, nack};
use crate::repairing::Repairing;
use crate::rtcp::u32_at;
use crate::srtp::{Open, Protect};

/// As libwebrtc's NACK module: how often it asks, how often for the same packet, and for how many at most.
const ASK_INTERVAL: f64 = 0.02;
const MAX_ASKED: u32 = 10;
const MAX_MISSING: usize = 1000;

/// It asks again after a round trip, which a browser that sends nothing does not know.
const ROUND_TRIP: f64 = 0.1;

/// When no picture has come for so long, a keyframe is asked for.
const PATIENCE: f64 = 0.2;

const FEEDBACK_INTERVAL: f64 = 0.05;

/// A picture that is whole so soon after its first packet has waited for nothing that was sent again.
const PROMPT: f64 = 0.06;

/// A packet of the video.
#[derive(Clone, Copy)]
struct Part {
    is_key: bool,
    is_first: bool,
    is_last: bool,
    /// Which picture it is of, and when it came.
    frame: u16,
    at: f64,
}

/// Packets of a stream that are to be told of.
#[derive(Default)]
pub(super) struct Stream {
    came: Vec<(u16, f64)>,
    next: Option<u16>,
}

pub(super) struct Player {
    /// Opens control packets, and payloads.
    open: Open,
    protect: Protect,
    /// When packets came, by their transport-wide number, since the last feedback.
    came: BTreeMap<u64, f64>,
    newest: u64,
    /// Instead, stream by stream, where it tells so: when packets came, and which number it tells of next.
    pub(super) streams: Option<BTreeMap<u32, Stream>>,
    told: u64,
    feedback_at: f64,
    /// Feedback packets so far.
    feedbacks: u8,
    reported_at: f64,
    /// The newest sender report of the video, and when it came.
    sender_report: Option<(u32, f64)>,
    /// Video, by its number: what is not yet part of a picture shown.
    parts: BTreeMap<u64, Part>,
    highest: Option<u64>,
    rtx_highest: u64,
    /// All before it has been shown, or given up.
    next: u64,
    missing: BTreeMap<u64, (f64, u32)>,
    asked_at: f64,
    moved_at: f64,
    keyframe_asked_at: f64,
    waits_for_key: bool,
    /// It says nothing, so that others can in its place.
    pub(super) is_mute: bool,
    /// It has agreed on transport-wide feedback, but gives none.
    pub(super) forgets_feedback: bool,
    /// Says of every so many packets that one never came.
    pub(super) denies: Option<u64>,
    /// Pictures shown since they were last taken.
    pub(super) frames: usize,
    /// Pictures shown in all, and those that were whole at once; packets of redundancy, and packets made up from them.
    pub(super) shown: usize,
    pub(super) prompt: usize,
    pub(super) redundant: usize,
    pub(super) made_up: usize,
    repairing: Repairing,
    shown_frame: u16,
    /// Sound: numbers that came, and the least and each delay are judged by `sounds_late`.
    pub(super) sounds: u64,
    pub(super) ear: Ear,
    pub(super) asks_for_sound: bool,
    pub(super) sound_first: Option<u64>,
    sound_last: u64,
    reception: (u64, u64),
    lost: u32,
    /// What came again: its number, and when.
    again: Vec<(u64, f64)>,
}

impl Player {
    pub(super) fn new(open: Open, protect: Protect) -> Self {
        Self {
            open,
            protect,
            came: BTreeMap::new(),
            newest: 0,
            streams: None,
            told: 0,
            feedback_at: 0.0,
            feedbacks: 0,
            reported_at: 0.0,
            sender_report: None,
            parts: BTreeMap::new(),
            highest: None,
            rtx_highest: 0,
            next: 0,
            missing: BTreeMap::new(),
            asked_at: 0.0,
            moved_at: f64::NEG_INFINITY,
            keyframe_asked_at: 0.0,
            waits_for_key: true,
            is_mute: false,
            forgets_feedback: false,
            denies: None,
            frames: 0,
            shown: 0,
            prompt: 0,
            redundant: 0,
            made_up: 0,
            repairing: Repairing::new(VIDEO),
            shown_frame: 0,
            sounds: 0,
            ear: Ear::default(),
            asks_for_sound: false,
            sound_first: None,
            sound_last: 0,
            reception: (0, 0),
            lost: 0,
            again: Vec::new(),
        }
    }

    /// Whether a picture was shown in the last half second.
    pub(super) fn has_moved(&self, now: f64) -> bool {
        now - self.moved_at < 0.5
    }

    /// The highest number of the video that came.
    pub(super) fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// The transport-wide number of the newest packet that came.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// When a packet came again.
    pub(super) fn again(&self, number: u64) -> Vec<f64> {
        self.again.iter().filter(|(again, _)| *again == number).map(|(_, at)| *at).collect()
    }

    /// The share of the sound that never came.
    pub(super) fn sound_lost(&self) -> f64 {
        let first = self.sound_first.unwrap_or(0);
        let sent = (self.sound_last + 1).saturating_sub(first).max(1);
        1.0 - self.sounds as f64 / sent as f64
    }

    /// A datagram is there.
    pub(super) fn take(&mut self, at: f64, mut datagram: Vec<u8>) {
        if (192..224).contains(&datagram[1]) {
            if let Some(plain) = self.open.rtcp(&datagram)
                && plain[1] == 200
                && u32_at(plain, 4) == Some(VIDEO)
            {
                let name = u32_at(plain, 8).unwrap() << 16 | u32_at(plain, 12).unwrap() >> 16;
                self.sender_report = Some((name, at));
            }
            return;
        }
        let payload_type = datagram[1] & 0x7f;
        let is_last = datagram[1] & 0x80 != 0;
        let seq = u16::from_be_bytes([datagram[2], datagram[3]]);
        let ssrc = u32_at(&datagram, 8).unwrap();
        if let Some(streams) = &mut self.streams {
            streams.entry(ssrc).or_default().came.push((seq, at));
        }
        let words = usize::from(u16::from_be_bytes([datagram[14], datagram[15]]));
        let header = 16 + 4 * words;
        let mut extensions = &datagram[16..header];
        while let [head, rest @ ..] = extensions {
            let length = usize::from(head & 0x0f) + 1;
            if *head == 0 {
                break;
            }
            if head >> 4 == TRANSPORT_CC {
                let number = near(self.newest, u16::from_be_bytes([rest[0], rest[1]]));
                self.newest = self.newest.max(number);
                if self.denies.is_none_or(|every| !number.is_multiple_of(every)) {
                    self.came.insert(number, at);
                }
            }
            extensions = &rest[length..];
        }
        if payload_type == RED || ssrc == SOUND {
            let number = near(self.sound_last, seq);
            self.sound_first.get_or_insert(number);
            self.sound_last = self.sound_last.max(number);
            self.sounds += u64::from(self.ear.take(number, payload_type == RED, at));
            return;
        }
        // Counter mode is its own inverse; the tag at the end is of no interest here.
        let index = match ssrc {
            VIDEO_AGAIN => near(self.rtx_highest, seq),
            _ => near(self.highest.unwrap_or(u64::from(seq)), seq),
        };
        datagram.truncate(datagram.len() - 16);
        self.protect.rtp(&mut datagram, 0, header, ssrc, index).unwrap();
        datagram.truncate(datagram.len() - 16);
        if datagram[0] & 0x20 != 0 {
            let padding = usize::from(datagram[datagram.len() - 1]);
            datagram.truncate(datagram.len() - padding);
        }
        let mut payload = &datagram[header..];
        let mut number = index;
        if payload_type == RTX {
            self.rtx_highest = self.rtx_highest.max(index);
            let Some((original, rest)) = payload.split_first_chunk::<2>() else { return };
            number = near(self.highest.unwrap_or(0), u16::from_be_bytes(*original));
            payload = rest;
            self.again.push((number, at));
        }
        if payload_type == VIDEO_RED {
            let (inside, _) = self.repairing.take(&datagram, FEC, &[TRANSPORT_CC, SEND_TIME]);
            if inside == FEC {
                self.redundant += 1;
                self.note_number(number, false);
            } else {
                self.take_part(number, part(&payload[1..], is_last, at), at, false);
            }
            for (number, packet) in self.repairing.repair() {
                self.made_up += 1;
                let header = 16 + 4 * usize::from(u16::from_be_bytes([packet[14], packet[15]]));
                let number = near(self.highest.unwrap_or(0), number);
                self.take_part(number, part(&packet[header..], packet[1] & 0x80 != 0, at), at, true);
            }
            return;
        }
        if payload.is_empty() {
            return self.note_number(number, payload_type == RTX);
        }
        self.take_part(number, part(payload, is_last, at), at, payload_type == RTX);
    }

    /// A number is there, whatever came under it.
    fn note_number(&mut self, number: u64, is_again: bool) {
        self.missing.remove(&number);
        if number < self.next {
            return;
        }
        let highest = *self.highest.get_or_insert(number.saturating_sub(1));
        for lost in highest + 1..number {
            self.missing.insert(lost, (0.0, 0));
        }
        self.highest = Some(highest.max(number));
        if !is_again {
            self.reception.0 += 1;
        }
    }

    fn take_part(&mut self, number: u64, part: Part, at: f64, is_again: bool) {
        self.note_number(number, is_again);
        if number < self.next {
            return;
        }
        self.parts.insert(number, part);
        self.show(at);
    }

    /// Shows what is whole.
    fn show(&mut self, at: f64) {
        loop {
            // A keyframe that is whole, wherever it is, or the next picture.
            let keys: Vec<u64> = self
                .parts
                .iter()
                .filter(|(_, part)| part.is_key && part.is_first)
                .map(|(number, _)| *number)
                .collect();
            let key = keys.into_iter().find(|number| self.end_of(*number).is_some());
            let whole = match self.waits_for_key {
                true => key,
                false => Some(self.next)
                    .filter(|next| self.end_of(*next).is_some())
                    .or_else(|| self.following())
                    .or(key),
            };
            let Some(first) = whole else { return };
            let Some(last) = self.end_of(first) else { return };
            let came = self.parts.range(first..=last).map(|(_, part)| part.at);
            let spread = at - came.fold(at, f64::min);
            self.shown += 1;
            self.prompt += usize::from(spread < PROMPT);
            self.shown_frame = self.parts.get(&first).map_or(0, |part| part.frame);
            self.next = last + 1;
            self.parts = self.parts.split_off(&self.next);
            self.missing = self.missing.split_off(&self.next);
            self.waits_for_key = false;
            self.moved_at = at;
            self.frames += 1;
        }
    }

    /// The next picture by its own number, behind redundancy that came or did not.
    fn following(&self) -> Option<u64> {
        let is_it = |part: &Part| part.is_first && part.frame == self.shown_frame.wrapping_add(1);
        let (number, _) = self.parts.iter().find(|(_, part)| is_it(part))?;
        self.end_of(*number).map(|_| *number)
    }

    fn end_of(&self, first: u64) -> Option<u64> {
        self.parts.get(&first).filter(|part| part.is_first)?;
        let mut number = first;
        while !self.parts.get(&number)?.is_last {
            number += 1;
        }
        Some(number)
    }

    /// What it has to say by now.
    pub(super) fn step(&mut self, now: f64) -> Vec<Vec<u8>> {
        let mut reports = Vec::new();
        self.ear.step(now);
        if self.is_mute {
            return reports;
        }
        if now - self.asked_at >= ASK_INTERVAL {
            self.asked_at = now;
            reports.extend(self.ask(now));
            if self.asks_for_sound {
                reports.extend(self.ear.ask(now));
            }
        }
        if now - self.feedback_at >= FEEDBACK_INTERVAL && !self.forgets_feedback {
            self.feedback_at = now;
            reports.extend(match &mut self.streams {
                Some(streams) => stream_feedback(streams, now),
                None => self.feedback(),
            });
        }
        if now - self.reported_at >= 1.0 {
            self.reported_at = now;
            reports.extend(self.reception(now));
        }
        reports
    }

    fn ask(&mut self, now: f64) -> Option<Vec<u8>> {
        self.missing.retain(|_, (_, times)| *times < MAX_ASKED);
        if self.missing.len() > MAX_MISSING {
            self.missing.clear();
            self.waits_for_key = true;
        }
        let is_stuck = self.highest.is_some()
            && now - self.moved_at > PATIENCE.max(if self.waits_for_key { 0.0 } else { 3.0 });
        if is_stuck && now - self.keyframe_asked_at > PATIENCE {
            self.keyframe_asked_at = now;
            self.waits_for_key = true;
            return Some([&[0x81, 206, 0, 2, 0, 0, 0, 1][..], &VIDEO.to_be_bytes()].concat());
        }
        let mut pairs = Vec::new();
        for (number, (asked, times)) in &mut self.missing {
            if *times == 0 || now - *asked >= ROUND_TRIP {
                (*asked, *times) = (now, *times + 1);
                pairs.extend((*number as u16).to_be_bytes());
                pairs.extend([0, 0]);
            }
        }
        pairs.truncate(4 * 300);
        (!pairs.is_empty()).then(|| nack(VIDEO, &pairs))
    }

    fn reception(&mut self, now: f64) -> Option<Vec<u8>> {
        let highest = self.highest?;
        let (came, before) = self.reception;
        let expected = highest.saturating_sub(before).max(1);
        self.lost += expected.saturating_sub(came) as u32;
        self.reception = (0, highest);
        let mut packet = vec![0x81, 201, 0, 7, 0, 0, 0, 1];
        packet.extend(VIDEO.to_be_bytes());
        packet.extend(self.lost.to_be_bytes());
        packet.extend((highest as u32).to_be_bytes());
        packet.extend([0; 4]);
        let (name, delay) =
            self.sender_report.map_or((0, 0), |(name, at)| (name, ((now - at) * 65_536.0) as u32));
        packet.extend(name.to_be_bytes());
        packet.extend(delay.to_be_bytes());
        Some(packet)
    }

    fn feedback(&mut self) -> Option<Vec<u8>> {
        let came = std::mem::take(&mut self.came);
        let base = (self.told + 1).min(*came.keys().next()?);
        self.told = self.newest;
        self.feedbacks = self.feedbacks.wrapping_add(1);
        Some(feedback(base, self.newest, self.feedbacks, |number| came.get(&number).copied()))
    }
}

fn part(payload: &[u8], is_last: bool, at: f64) -> Part {
    let frame = u16::from_be_bytes([payload[3], payload[4]]);
    Part { is_key: payload[1] == 1, is_first: payload[2] == 1, is_last, frame, at }
}

/// Feedback on what has come of each stream since the last (RFC 8888 3.1).
fn stream_feedback(streams: &mut BTreeMap<u32, Stream>, now: f64) -> Option<Vec<u8>> {
    let mut packet = vec![0x8b, 205, 0, 0, 0, 0, 0, 1];
    for (ssrc, Stream { came, next }) in streams.iter_mut().filter(|(_, stream)| !stream.came.is_empty()) {
        let (first, last) = (next.unwrap_or(came[0].0), came[came.len() - 1].0);
        let count = last.wrapping_sub(first).wrapping_add(1);
        packet.extend(ssrc.to_be_bytes());
        packet.extend(first.to_be_bytes());
        packet.extend(count.to_be_bytes());
        for place in 0..count {
            let seq = first.wrapping_add(place);
            let told = came
                .iter()
                .find(|(known, _)| *known == seq)
                .map_or(0, |(_, at)| 0x8000 | (((now - at) * 1024.0).round() as u16).min(0x1ffd));
            packet.extend(told.to_be_bytes());
        }
        packet.resize(packet.len().next_multiple_of(4), 0);
        came.clear();
        *next = Some(last.wrapping_add(1));
    }
    packet.extend(((now * 65_536.0) as u32).to_be_bytes());
    let words = (packet.len() / 4 - 1) as u16;
    packet[2..4].copy_from_slice(&words.to_be_bytes());
    (packet.len() > 12).then_some(packet)
}

/// The number nearest to one that is known which has these 16 bits.
fn near(known: u64, short: u16) -> u64 {
    let step = short.wrapping_sub(known as u16) as i16;
    known.saturating_add_signed(step.into())
}

/// Transport-wide feedback on the packets from one number to another.
pub(super) fn feedback(first: u64, last: u64, number: u8, came: impl Fn(u64) -> Option<f64>) -> Vec<u8> {
    let start = (first..=last).find_map(&came).unwrap_or(0.0);
    let reference = (start / 0.064) as u32;
    let mut packet = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
    packet.extend((first as u16).to_be_bytes());
    packet.extend(((last - first + 1) as u16).to_be_bytes());
    packet.extend(&reference.to_be_bytes()[1..]);
    packet.push(number);
    let mut deltas = Vec::new();
    let mut at = f64::from(reference) * 0.064;
    for number in first..=last {
        match came(number) {
            None => packet.extend(0x0001_u16.to_be_bytes()),
            Some(arrival) => {
                packet.extend(0x4001_u16.to_be_bytes());
                let step = ((arrival - at) / 0.000_25).round() as i16;
                at += f64::from(step) * 0.000_25;
                deltas.extend(step.to_be_bytes());
            }
        }
    }
    packet.extend(deltas);
    packet.resize(packet.len().next_multiple_of(4), 0);
    let words = (packet.len() / 4 - 1) as u16;
    packet[2..4].copy_from_slice(&words.to_be_bytes());
    packet
}
