//! What the browsers saw, as their script tells it, and the figures that are read from it. Times are in seconds from the
//! beginning of the run.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::scenarios::Layer;

/// What is between two frames counts as a picture up to here: longer, it stands still.
const STILL: f64 = 0.5;

/// The whole run.
#[derive(Deserialize)]
pub(crate) struct Seen {
    began: f64,
    ended: f64,
    publisher: Page,
    viewers: Vec<Page>,
    joins: Vec<BTreeMap<String, f64>>,
}

/// One page. `began` and all times are in ms since 1970, as both browsers' clocks are this machine's.
#[derive(Deserialize)]
struct Page {
    began: f64,
    marks: BTreeMap<String, f64>,
    troubles: Vec<String>,
    /// When it came out of the decoder, which one it is, how old it was in ms, its height; -1 where it could not be read.
    frames: Vec<(f64, f64, f64, f64)>,
    unread: u32,
    samples: Vec<Sample>,
}

#[derive(Clone, Deserialize)]
struct Sample {
    at: f64,
    #[serde(default)]
    out: Vec<Outbound>,
    #[serde(default)]
    video: Inbound,
    #[serde(default)]
    audio: Inbound,
    /// The way the media takes, as the page calls it.
    over: Option<String>,
}

/// Of getStats, `inbound-rtp`.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Inbound {
    pub(crate) frames_decoded: f64,
    pub(crate) key_frames_decoded: f64,
    pub(crate) freeze_count: f64,
    pub(crate) total_freezes_duration: f64,
    pub(crate) jitter_buffer_delay: f64,
    pub(crate) jitter_buffer_emitted_count: f64,
    pub(crate) packets_received: f64,
    pub(crate) packets_lost: f64,
    pub(crate) bytes_received: f64,
    pub(crate) nack_count: f64,
    pub(crate) pli_count: f64,
    concealed_samples: f64,
    total_samples_received: f64,
}

/// Of getStats, `outbound-rtp`.
#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Outbound {
    rid: String,
    frames_encoded: f64,
    key_frames_encoded: f64,
    bytes_sent: f64,
    header_bytes_sent: f64,
    packets_sent: f64,
    quality_limitation_reason: String,
}

/// A frame at a viewer.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) at: f64,
    /// How long it took from being painted to here, in seconds.
    pub(crate) delay: Option<f64>,
    pub(crate) height: f64,
}

/// What one viewer saw.
pub(crate) struct Viewer {
    pub(crate) marks: BTreeMap<String, f64>,
    pub(crate) troubles: Vec<String>,
    pub(crate) frames: Vec<Frame>,
    pub(crate) unread: u32,
    /// The ways its media took, one after the other.
    pub(crate) ways: Vec<String>,
    samples: Vec<(f64, Inbound, Inbound)>,
    end: f64,
}

/// A size that the publisher sent.
pub(crate) struct Sent {
    pub(crate) rid: String,
    pub(crate) frames: f64,
    pub(crate) keyframes: f64,
    /// On the wire: with IP, UDP, RTP, its extensions and the tag.
    pub(crate) bits: f64,
    /// Why it is not more, in the browser's word.
    pub(crate) limited_by: String,
}

impl Seen {
    pub(crate) fn length(&self) -> f64 {
        (self.ended - self.began) / 1000.0
    }

    pub(crate) fn viewers(&self) -> Vec<Viewer> {
        self.viewers.iter().map(|page| self.viewer(page)).collect()
    }

    fn viewer(&self, page: &Page) -> Viewer {
        let second = |at: f64| (at - self.began) / 1000.0;
        let frames = page.frames.iter().map(|(at, _, delay, height)| Frame {
            at: second(*at),
            delay: (*delay >= 0.0).then_some(delay / 1000.0),
            height: *height,
        });
        let samples = page.samples.iter().map(|sample| (second(sample.at), sample.video, sample.audio));
        let mut marks: BTreeMap<_, _> =
            page.marks.iter().map(|(name, at)| (name.clone(), second(*at))).collect();
        marks.insert("began".into(), second(page.began));
        let mut ways: Vec<_> = page.samples.iter().filter_map(|sample| sample.over.clone()).collect();
        ways.dedup();
        Viewer {
            marks,
            troubles: page.troubles.clone(),
            frames: frames.collect(),
            unread: page.unread,
            ways,
            samples: samples.collect(),
            end: self.length(),
        }
    }

    /// What went out of the publisher a second, by size, over the run.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        let samples = &self.publisher.samples;
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Vec::new() };
        let seconds = ((last.at - first.at) / 1000.0).max(0.1);
        let of = |entry: &Outbound| {
            let before = first.out.iter().find(|other| other.rid == entry.rid).cloned().unwrap_or_default();
            let packets = entry.packets_sent - before.packets_sent;
            let bytes =
                entry.bytes_sent + entry.header_bytes_sent - before.bytes_sent - before.header_bytes_sent;
            Sent {
                rid: entry.rid.clone(),
                frames: (entry.frames_encoded - before.frames_encoded) / seconds,
                keyframes: entry.key_frames_encoded - before.key_frames_encoded,
                // IPv4 and UDP are 28 bytes, an AES-GCM tag 16.
                bits: 8.0 * (bytes + 44.0 * packets) / seconds,
                limited_by: entry.quality_limitation_reason.clone(),
            }
        };
        last.out.iter().map(of).collect()
    }

    pub(crate) fn publisher_troubles(&self) -> &[String] {
        &self.publisher.troubles
    }

    /// Frames a second of the largest size that was sent.
    pub(crate) fn frames_sent(&self) -> f64 {
        self.sent().iter().map(|sent| sent.frames).fold(0.0, f64::max)
    }

    /// When another frame of the largest size had been sent, to a fifth of a second.
    pub(crate) fn largest_sent(&self) -> Vec<f64> {
        let largest = |sample: &Sample| {
            let is_largest = |out: &&Outbound| out.rid == "f" || sample.out.len() == 1;
            sample.out.iter().find(is_largest).map_or(0.0, |out| out.frames_encoded)
        };
        let samples = &self.publisher.samples;
        let next = samples.iter().skip(1);
        let sent = samples.iter().zip(next).filter(|(one, other)| largest(other) > largest(one));
        sent.map(|(_, other)| (other.at - self.began) / 1000.0).collect()
    }

    /// Of each join, from asking for the picture and from entering to the first frame, in ms.
    pub(crate) fn joins(&self) -> Vec<(f64, f64)> {
        let of = |marks: &BTreeMap<String, f64>| {
            let first = marks.get("first_frame").copied().unwrap_or(f64::INFINITY);
            let since = |name: &str| first - marks.get(name).copied().unwrap_or(0.0);
            (since("watching"), since("began"))
        };
        self.joins.iter().map(of).collect()
    }
}

impl Viewer {
    /// From a moment on, how long a picture of at least this height was shown.
    pub(crate) fn shown(&self, height: f64, from: f64) -> f64 {
        let next = self.frames.iter().skip(1).map(|frame| frame.at).chain([self.end]);
        let spans = self.frames.iter().zip(next);
        spans
            .filter(|(frame, _)| frame.at >= from && frame.height >= height)
            .map(|(frame, next)| (next.min(self.end) - frame.at).clamp(0.0, STILL))
            .fold(0.0, |sum, span| sum + span)
    }

    /// The share of the time from the first frame on in which at least this size was shown.
    pub(crate) fn share(&self, layer: Layer) -> f64 {
        let Some(first) = self.frames.first() else { return 0.0 };
        self.shown(layer.height(), 0.0) / (self.end - first.at).max(0.1)
    }

    /// Frames a second from a moment on.
    pub(crate) fn rate(&self, from: f64) -> f64 {
        self.frames.iter().filter(|frame| frame.at >= from).count() as f64 / (self.end - from).max(0.1)
    }

    /// The longest time without a new picture, once there was one. Without any, all of it.
    pub(crate) fn gap(&self) -> f64 {
        let Some(first) = self.frames.first() else { return self.end };
        let mut before = first.at;
        let mut longest: f64 = 0.0;
        for at in self.frames.iter().map(|frame| frame.at).chain([self.end]) {
            longest = longest.max(at - before);
            before = at;
        }
        longest
    }

    /// How long the picture stood still: the browser's own word, or what it does not count, gaps of more than a second.
    pub(crate) fn freezes(&self) -> f64 {
        let next = self.frames.iter().skip(1).map(|frame| frame.at).chain([self.end]);
        let gaps = self.frames.iter().zip(next).map(|(frame, next)| next - frame.at);
        let long: f64 = gaps.filter(|gap| *gap > 1.0).sum();
        let without = if self.frames.is_empty() { self.end } else { 0.0 };
        self.last().0.total_freezes_duration.max(long).max(without)
    }

    /// Video and audio as last counted.
    pub(crate) fn last(&self) -> (Inbound, Inbound) {
        self.samples.last().map(|(_, video, audio)| (*video, *audio)).unwrap_or_default()
    }

    fn audio_at(&self, moment: f64) -> Inbound {
        let before = self.samples.iter().rev().find(|(at, ..)| *at <= moment);
        before.map(|(_, _, audio)| *audio).unwrap_or_default()
    }

    /// The share of the sound between two moments that the browser made up. Without any sound, all of it.
    pub(crate) fn concealed(&self, from: f64, to: f64) -> f64 {
        let (before, after) = (self.audio_at(from), self.audio_at(to));
        let all = after.total_samples_received - before.total_samples_received;
        if all <= 0.0 { 1.0 } else { (after.concealed_samples - before.concealed_samples) / all }
    }

    /// A quantile of the time from painted to decoded, in ms.
    pub(crate) fn delay(&self, quantile: f64) -> Option<f64> {
        let delays = self.frames.iter().filter_map(|frame| frame.delay).map(|delay| delay * 1000.0);
        self::quantile(delays.collect(), quantile)
    }

    /// How long frames waited in the jitter buffer, on average, in ms.
    pub(crate) fn buffered(&self) -> f64 {
        let (video, _) = self.last();
        1000.0 * video.jitter_buffer_delay / video.jitter_buffer_emitted_count.max(1.0)
    }

    /// How often the size changed.
    pub(crate) fn switches(&self) -> usize {
        let next = self.frames.iter().skip(1);
        self.frames.iter().zip(next).filter(|(one, other)| one.height != other.height).count()
    }

    /// When a picture of at least this height was shown first after a moment.
    pub(crate) fn first(&self, height: f64, after: f64) -> Option<f64> {
        self.frames.iter().find(|frame| frame.at >= after && frame.height >= height).map(|frame| frame.at)
    }
}

/// The value that a share of all does not exceed.
pub(crate) fn quantile(mut all: Vec<f64>, quantile: f64) -> Option<f64> {
    all.sort_by(f64::total_cmp);
    let last = all.len().checked_sub(1)?;
    all.get((last as f64 * quantile).round() as usize).copied()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A viewer of a run of 10 s that got frames of these heights at these seconds, and whose sound was made up by halves
    /// from the fifth second on.
    fn viewer(frames: &[(f64, f64)]) -> Viewer {
        let frames: Vec<_> = frames.iter().map(|(at, height)| (at * 1000.0, 1, 80, height)).collect();
        let samples: Vec<_> = (0..=10)
            .map(|second| {
                let made_up = f64::from(second - 5).max(0.0) * 24_000.0;
                let audio = json!({"concealedSamples": made_up, "totalSamplesReceived": second * 48_000});
                json!({"at": second * 1000, "audio": audio, "video": {"totalFreezesDuration": 0.4}})
            })
            .collect();
        let page = json!({
            "began": 0, "marks": {"first_frame": 500}, "troubles": [], "unread": 0, "frames": frames, "samples": samples,
        });
        let seen = json!({"began": 0, "ended": 10_000, "publisher": page, "viewers": [page], "joins": []});
        let seen: Seen = serde_json::from_value(seen).unwrap();
        seen.viewers().pop().unwrap()
    }

    fn steady(from: f64, to: f64, height: f64) -> Vec<(f64, f64)> {
        let count = ((to - from) * 10.0).round() as usize;
        (0..count).map(|frame| (from + frame as f64 / 10.0, height)).collect()
    }

    #[test]
    fn a_size_counts_while_its_frames_keep_coming() {
        let frames = [steady(0.0, 4.0, 540.0), steady(4.0, 6.0, 270.0), steady(8.0, 10.0, 540.0)].concat();

        let viewer = viewer(&frames);

        assert!((viewer.share(Layer::Full) - 0.6).abs() < 0.01, "{}", viewer.share(Layer::Full));
        // The last small frame stands for half a second of the two until the next.
        assert!((viewer.shown(270.0, 0.0) - 8.4).abs() < 0.01, "{}", viewer.shown(270.0, 0.0));
        assert_eq!(viewer.switches(), 2);
        assert_eq!(viewer.first(540.0, 5.0), Some(8.0));
    }

    #[test]
    fn what_stands_still_counts_also_where_the_browser_does_not_count_it() {
        let viewer = viewer(&[steady(0.0, 4.0, 270.0), steady(7.0, 10.0, 270.0)].concat());

        assert!((viewer.gap() - 3.1).abs() < 0.01, "{}", viewer.gap());
        assert!((viewer.freezes() - 3.1).abs() < 0.01, "{}", viewer.freezes());
    }

    #[test]
    fn a_viewer_without_a_picture_is_frozen_all_the_time() {
        let viewer = viewer(&[]);

        assert_eq!((viewer.freezes(), viewer.gap(), viewer.share(Layer::Half)), (10.0, 10.0, 0.0));
    }

    #[test]
    fn short_stops_are_as_the_browser_says() {
        assert_eq!(viewer(&steady(0.0, 10.0, 270.0)).freezes(), 0.4);
    }

    #[test]
    fn sound_is_judged_from_a_moment_on() {
        let viewer = viewer(&[]);

        assert_eq!(viewer.concealed(0.0, 10.0), 0.25);
        assert_eq!(viewer.concealed(5.0, 10.0), 0.5);
        assert_eq!(viewer.concealed(0.0, 5.0), 0.0);
    }

    #[test]
    fn quantiles_are_of_what_is_there() {
        assert_eq!(quantile(vec![3.0, 1.0, 2.0], 0.5), Some(2.0));
        assert_eq!(quantile(vec![3.0, 1.0, 2.0], 0.95), Some(3.0));
        assert_eq!(quantile(Vec::new(), 0.5), None);
    }
}
