//! What all runs yielded, as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::judge::{Figure, dropped, figures, rounded, sent_of_capacity};
use crate::link::SLOT;
use crate::run::Run;
use crate::scenarios::{Cast, Layer, Scenario};
use crate::seen::{Viewer, quantile};

#[derive(Serialize)]
pub(crate) struct Report {
    /// What was measured, as it calls itself.
    pub(crate) server: String,
    pub(crate) seconds: f64,
    pub(crate) scenarios: Vec<Row>,
}

#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) row: String,
    pub(crate) name: String,
    /// How the download beside finds its rate, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tcp: Option<&'static str>,
    pub(crate) runs: Vec<Measured>,
    /// Where the other server was better, each in a sentence.
    pub(crate) behind: Vec<String>,
}

/// One run.
#[derive(Serialize)]
pub(crate) struct Measured {
    pub(crate) server: &'static str,
    pub(crate) figures: Vec<Figure>,
    /// Of each viewer, by name.
    pub(crate) viewers: Vec<BTreeMap<&'static str, f64>>,
    /// What the publisher sent.
    pub(crate) sizes: Vec<Size>,
    pub(crate) link: BTreeMap<&'static str, f64>,
    pub(crate) series: Series,
    pub(crate) troubles: Vec<String>,
}

#[derive(Serialize)]
pub(crate) struct Size {
    rid: String,
    pub(crate) frames_a_second: f64,
    keyframes: f64,
    pub(crate) kbits: f64,
    limited_by: String,
}

/// The first viewer's run in steps, for the charts.
#[derive(Default, Serialize)]
pub(crate) struct Series {
    pub(crate) step: f64,
    pub(crate) offered_kbits: Vec<f64>,
    pub(crate) through_kbits: Vec<f64>,
    pub(crate) capacity_kbits: Vec<f64>,
    /// What else was on the way: signalling, and a download where there is one.
    pub(crate) tcp_kbits: Vec<f64>,
    pub(crate) dropped_packets: Vec<f64>,
    pub(crate) queue_ms: Vec<f64>,
    pub(crate) frames: Vec<f64>,
    pub(crate) height: Vec<f64>,
    /// Milliseconds from painted to decoded, the most of each step; 0 without a picture.
    pub(crate) delay: Vec<f64>,
    /// Per cent of the sound.
    pub(crate) concealed: Vec<f64>,
}

const STEP: f64 = 0.5;

pub(crate) fn measured(scenario: &Scenario, run: &Run) -> Measured {
    let viewers = run.seen.viewers();
    let size = |sent: crate::seen::Sent| Size {
        rid: sent.rid,
        frames_a_second: rounded(sent.frames),
        keyframes: sent.keyframes,
        kbits: (sent.bits / 1000.0).round(),
        limited_by: sent.limited_by,
    };
    let mut troubles: Vec<_> = viewers.iter().flat_map(|viewer| viewer.troubles.clone()).collect();
    troubles.extend(run.seen.publisher_troubles().iter().cloned());
    troubles.extend(doubts(scenario, run));
    Measured {
        server: run.kind.name(),
        figures: figures(scenario, run),
        viewers: viewers.iter().map(|viewer| summary(viewer, run)).collect(),
        sizes: run.seen.sent().into_iter().map(size).collect(),
        link: link(scenario, run),
        series: series(scenario, run, viewers.first()),
        troubles,
    }
}

/// Why a run is not to be believed: what was short of processor time was not the network.
fn doubts(scenario: &Scenario, run: &Run) -> Vec<String> {
    let mut all = Vec::new();
    let sent = run.seen.frames_sent();
    // Behind a narrow uplink there are fewer, and while nobody watches none.
    let is_all_sent = !matches!(scenario.cast, Cast::Uplink | Cast::Late);
    if is_all_sent && sent < 14.0 {
        all.push(format!("this machine is too busy: {} of 15 frames a second were sent", rounded(sent)));
    }
    let ways = run.seen.viewers().first().map(|viewer| viewer.ways.clone()).unwrap_or_default();
    if scenario.link.down.has_udp && ways.last().is_some_and(|way| way != "udp") {
        all.push(format!("the link is not what was measured: the media came by {}", ways.join(", then ")));
    }
    let late = f64::from(run.late.late) / f64::from(run.late.packets.max(1));
    if late > 0.01 {
        let percent = rounded(100.0 * late);
        all.push(format!(
            "this machine is too busy: {percent} % of packets were more than 5 ms late on the link"
        ));
    }
    all
}

fn summary(viewer: &Viewer, run: &Run) -> BTreeMap<&'static str, f64> {
    let (video, audio) = viewer.last();
    let length = run.seen.length();
    let mut all = BTreeMap::from([
        ("frames_decoded", video.frames_decoded),
        ("frames_a_second", viewer.rate(1.0)),
        ("seconds_full", viewer.shown(Layer::Full.height(), 0.0)),
        ("seconds_half_or_full", viewer.shown(Layer::Half.height(), 0.0)),
        ("seconds_any", viewer.shown(0.0, 0.0)),
        ("frozen_seconds", viewer.freezes()),
        ("freezes", video.freeze_count),
        ("longest_gap_seconds", viewer.gap()),
        ("concealed_percent", 100.0 * viewer.concealed(0.0, length)),
        ("keyframes", video.key_frames_decoded),
        ("switches", viewer.switches() as f64),
        ("buffered_ms", viewer.buffered()),
        (
            "sound_buffered_ms",
            1000.0 * audio.jitter_buffer_delay / audio.jitter_buffer_emitted_count.max(1.0),
        ),
        ("packets_received", video.packets_received + audio.packets_received),
        ("packets_lost", video.packets_lost + audio.packets_lost),
        ("bytes_received", video.bytes_received + audio.bytes_received),
        ("nacks", video.nack_count),
        ("keyframe_requests", video.pli_count),
        ("unread_frames", f64::from(viewer.unread)),
    ]);
    for (name, share) in [("delay_median_ms", 0.5), ("delay_p95_ms", 0.95)] {
        if let Some(delay) = viewer.delay(share) {
            all.insert(name, delay);
        }
    }
    for (name, mark) in [
        ("entered_s", "entered"),
        ("asked_s", "watching"),
        ("connected_s", "connected"),
        ("first_frame_s", "first_frame"),
        ("full_size_s", "full_height"),
    ] {
        if let Some(at) = viewer.marks.get(mark) {
            all.insert(name, *at);
        }
    }
    let joins = run.seen.joins();
    if !joins.is_empty() {
        let of = |pick: fn(&(f64, f64)) -> f64, share| quantile(joins.iter().map(pick).collect(), share);
        for (name, value) in [
            ("joins", Some(joins.len() as f64)),
            ("join_median_ms", of(|join| join.1, 0.5)),
            ("join_p95_ms", of(|join| join.1, 0.95)),
            ("asked_to_frame_median_ms", of(|join| join.0, 0.5)),
        ] {
            if let Some(value) = value.filter(|value| value.is_finite()) {
                all.insert(name, value);
            }
        }
    }
    all.into_iter().map(|(name, value)| (name, rounded(value))).collect()
}

fn link(scenario: &Scenario, run: &Run) -> BTreeMap<&'static str, f64> {
    let sum = |of: fn(&crate::link::Slot) -> usize| run.offered.iter().map(of).sum::<usize>() as f64;
    let longest = run.offered.iter().map(|slot| slot.queue_ms).fold(0.0, f64::max);
    let all = [
        ("offered_bytes", sum(|slot| slot.udp_bytes)),
        ("offered_packets", sum(|slot| slot.udp_packets)),
        ("through_bytes", sum(|slot| slot.udp_through_bytes)),
        ("dropped_packets", sum(|slot| slot.udp_dropped)),
        ("lost_packets", sum(|slot| slot.udp_lost)),
        ("tcp_bytes", sum(|slot| slot.tcp_bytes)),
        ("dropped_percent", 100.0 * dropped(&run.offered)),
        ("sent_beside_capacity", sent_of_capacity(scenario, run)),
        ("longest_queue_ms", longest),
        // How much the emulator itself is to be believed.
        ("late_percent", 100.0 * f64::from(run.late.late) / f64::from(run.late.packets.max(1))),
        ("latest_ms", run.late.most.as_secs_f64() * 1000.0),
    ];
    all.into_iter().map(|(name, value)| (name, rounded(value))).collect()
}

fn series(scenario: &Scenario, run: &Run, viewer: Option<&Viewer>) -> Series {
    let length = run.seen.length();
    let steps = (length / STEP).floor() as usize;
    let starts: Vec<f64> = (0..steps).map(|step| step as f64 * STEP).collect();
    let slots = (STEP / SLOT.as_secs_f64()).round() as usize;
    let chunks = || run.offered.chunks(slots.max(1)).take(steps);
    let kbits = |bytes: usize| (bytes as f64 * 8.0 / STEP / 1000.0).round();
    let frames_in = |start: f64| {
        let all = viewer.map(|viewer| viewer.frames.as_slice()).unwrap_or_default();
        all.iter().filter(move |frame| frame.at >= start && frame.at < start + STEP)
    };
    let capacity = |start: f64| {
        let (from, to) =
            (std::time::Duration::from_secs_f64(start), std::time::Duration::from_secs_f64(start + STEP));
        (scenario.shape().capacity(from, to) / STEP / 1000.0).round()
    };
    Series {
        step: STEP,
        offered_kbits: chunks().map(|slots| kbits(slots.iter().map(|slot| slot.udp_bytes).sum())).collect(),
        through_kbits: chunks()
            .map(|slots| kbits(slots.iter().map(|slot| slot.udp_through_bytes).sum()))
            .collect(),
        capacity_kbits: starts.iter().map(|start| capacity(*start)).collect(),
        tcp_kbits: chunks().map(|slots| kbits(slots.iter().map(|slot| slot.tcp_bytes).sum())).collect(),
        dropped_packets: chunks()
            .map(|slots| slots.iter().map(|slot| slot.udp_dropped).sum::<usize>() as f64)
            .collect(),
        queue_ms: chunks()
            .map(|slots| slots.iter().map(|slot| slot.queue_ms).fold(0.0, f64::max).round())
            .collect(),
        frames: starts.iter().map(|start| frames_in(*start).count() as f64 / STEP).collect(),
        height: starts
            .iter()
            .map(|start| frames_in(*start).map(|frame| frame.height).fold(0.0, f64::max))
            .collect(),
        delay: starts
            .iter()
            .map(|start| {
                (1000.0 * frames_in(*start).filter_map(|frame| frame.delay).fold(0.0, f64::max)).round()
            })
            .collect(),
        concealed: starts
            .iter()
            .map(|start| {
                viewer.map_or(0.0, |viewer| rounded(100.0 * viewer.concealed(*start, start + STEP).min(1.0)))
            })
            .collect(),
    }
}

/// What share of our pictures another shows, for its delay to be held against ours.
const COMPARABLE: f64 = 0.5;

/// Where the first of two runs is worse than the second, by more than two runs of one server differ.
pub(crate) fn behind(ours: &Measured, theirs: &Measured) -> Vec<String> {
    let (Some(us), Some(them)) = (ours.viewers.first(), theirs.viewers.first()) else { return Vec::new() };
    let of =
        |figures: &BTreeMap<&'static str, f64>, name: &str| figures.get(name).copied().unwrap_or_default();
    let mut all = Vec::new();
    let mut hold = |what: &str, name: &str, is_behind: fn(f64, f64) -> bool| {
        let (our, their) = (of(us, name), of(them, name));
        if is_behind(our, their) {
            all.push(format!("{what}: {our}, {} {their}", theirs.server));
        }
    };
    hold("frames decoded", "frames_decoded", |our, their| our < 0.97 * their - 5.0);
    hold("seconds frozen", "frozen_seconds", |our, their| our > their + 0.5);
    hold("per cent of the sound concealed", "concealed_percent", |our, their| our > their + 0.3);
    // How old the few pictures were that came through before it froze says nothing.
    if of(them, "frames_decoded") >= COMPARABLE * of(us, "frames_decoded") {
        hold("median delay in ms", "delay_median_ms", |our, their| their > 0.0 && our > their + 40.0);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(server: &'static str, frames: f64, delay: f64) -> Measured {
        let viewer = BTreeMap::from([("frames_decoded", frames), ("delay_median_ms", delay)]);
        Measured {
            server,
            figures: Vec::new(),
            viewers: vec![viewer],
            sizes: Vec::new(),
            link: BTreeMap::new(),
            series: Series::default(),
            troubles: Vec::new(),
        }
    }

    #[test]
    fn a_delay_is_worse_than_that_of_one_who_shows_as_much() {
        let ours = measured("roomful", 861.0, 190.0);

        assert_eq!(behind(&ours, &measured("janus", 2.0, 59.0)), Vec::<String>::new());
        assert_eq!(behind(&ours, &measured("janus", 850.0, 59.0)), ["median delay in ms: 190, janus 59"]);
        assert_eq!(behind(&ours, &measured("janus", 900.0, 180.0)), ["frames decoded: 861, janus 900"]);
    }
}
