//! What must be seen held against what was.

use serde::Serialize;

use crate::link::{SLOT, Slot};
use crate::run::Run;
use crate::scenarios::{Cast, Must, Scenario};
use crate::seen::{Viewer, quantile};

/// One thing that must be seen.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) wanted: String,
    pub(crate) got: String,
    pub(crate) is_met: bool,
}

fn at_most(what: impl Into<String>, got: f64, most: f64, unit: &str) -> Figure {
    let (what, wanted, got_text) = (what.into(), format!("≤ {most}{unit}"), text(got, unit));
    Figure { what, wanted, got: got_text, is_met: got <= most }
}

fn at_least(what: impl Into<String>, got: f64, least: f64, unit: &str) -> Figure {
    let (what, wanted, got_text) = (what.into(), format!("≥ {least}{unit}"), text(got, unit));
    Figure { what, wanted, got: got_text, is_met: got >= least }
}

fn text(value: f64, unit: &str) -> String {
    if value.is_infinite() { "never".to_owned() } else { format!("{}{unit}", rounded(value)) }
}

/// To what a reader can tell apart.
pub(crate) fn rounded(value: f64) -> f64 {
    if value.abs() < 10.0 { (value * 100.0).round() / 100.0 } else { (value * 10.0).round() / 10.0 }
}

fn percent(share: f64) -> f64 {
    rounded(share * 100.0)
}

/// Counted from a moment on.
pub(crate) fn since(slots: &[Slot], seconds: f64) -> &[Slot] {
    let first = (seconds / SLOT.as_secs_f64()) as usize;
    slots.get(first..).unwrap_or_default()
}

/// Bits sent after the first second, beside what the link could carry.
pub(crate) fn sent_of_capacity(scenario: &Scenario, run: &Run) -> f64 {
    let length = run.seen.length();
    let bytes: usize = since(&run.offered, 1.0).iter().map(|slot| slot.udp_bytes).sum();
    let capacity = scenario
        .shape()
        .capacity(std::time::Duration::from_secs(1), std::time::Duration::from_secs_f64(length.max(1.1)));
    bytes as f64 * 8.0 / capacity.max(1.0)
}

pub(crate) fn dropped(slots: &[Slot]) -> f64 {
    let packets: usize = slots.iter().map(|slot| slot.udp_packets).sum();
    let dropped: usize = slots.iter().map(|slot| slot.udp_dropped).sum();
    dropped as f64 / packets.max(1) as f64
}

/// All that a scenario says must be.
pub(crate) fn figures(scenario: &Scenario, run: &Run) -> Vec<Figure> {
    let viewers = run.seen.viewers();
    let Some((first, others)) = viewers.split_first() else { return Vec::new() };
    let others = if scenario.cast == Cast::Flooded { viewers.as_slice() } else { others };
    scenario.must.iter().flat_map(|must| figure(scenario, run, *must, first, others)).collect()
}

fn figure(scenario: &Scenario, run: &Run, must: Must, viewer: &Viewer, others: &[Viewer]) -> Vec<Figure> {
    let first_frame = viewer.marks.get("first_frame").copied().unwrap_or(f64::INFINITY);
    let figure = match must {
        Must::Shows(layer, share) => at_least(
            format!("{layer:?} size shown").to_lowercase(),
            percent(viewer.share(layer)),
            percent(share),
            " %",
        ),
        Must::NeverBelow(layer) => {
            let low =
                viewer.frames.iter().filter(|frame| frame.at > 5.0 && frame.height < layer.height()).count();
            at_most(format!("frames below {layer:?} size").to_lowercase(), low as f64, 0.0, "")
        }
        Must::FullAfterFirst(seconds) => {
            let full = viewer.marks.get("full_height").copied().unwrap_or(f64::INFINITY);
            at_most(
                "full size after the first frame",
                if full.is_finite() { full - first_frame } else { full },
                seconds,
                " s",
            )
        }
        Must::ShowsBy(layer, moment, seconds) => {
            let moment = moment.as_secs_f64();
            let shown = viewer.first(layer.height(), moment).unwrap_or(f64::INFINITY);
            at_most(
                format!("{layer:?} size after {moment:.0} s").to_lowercase(),
                shown - moment,
                seconds,
                " s",
            )
        }
        Must::PictureBy(moment, seconds) => {
            let moment = moment.as_secs_f64();
            let shown = viewer.first(0.0, moment).unwrap_or(f64::INFINITY);
            at_most(format!("a picture after {moment:.0} s"), shown - moment, seconds, " s")
        }
        Must::Frames(least) => at_least("frames a second", viewer.rate(1.0), least, ""),
        Must::Freezes(most) => at_most("frozen", viewer.freezes(), most, " s"),
        Must::Gap(most) => at_most("longest without a picture", viewer.gap(), most, " s"),
        Must::Concealed(most, from) => {
            let concealed = viewer.concealed(from.as_secs_f64(), run.seen.length());
            at_most("sound concealed", percent(concealed), percent(most), " %")
        }
        Must::Sent(most) => at_most("sent beside what fits", sent_of_capacity(scenario, run), most, ""),
        Must::Keyframes(most) => {
            let made = run.seen.sent().iter().map(|sent| sent.keyframes).fold(0.0, f64::max);
            at_most("keyframes asked of the publisher", made, most, "")
        }
        Must::Dropped(most, from) => {
            let dropped = dropped(since(&run.offered, from.as_secs_f64()));
            at_most("dropped by the link", percent(dropped), percent(most), " %")
        }
        Must::Joins(median, most) => {
            let joins = run.seen.joins();
            let of = |pick: fn(&(f64, f64)) -> f64, share| {
                quantile(joins.iter().map(pick).collect(), share).unwrap_or(f64::INFINITY)
            };
            return vec![
                at_most("first frame after asking, median", of(|join| join.0, 0.5), median, " ms"),
                at_most("first frame after asking, 95 %", of(|join| join.0, 0.95), most, " ms"),
            ];
        }
        Must::Connected(most) => {
            let connected = viewer.marks.get("connected").copied().unwrap_or(f64::INFINITY);
            at_most("connected after", connected, most, " s")
        }
        Must::Unwatched(off, on) => {
            let came = viewer.marks.get("began").copied().unwrap_or_default();
            let sent = run.seen.largest_sent();
            // Still on its way when the viewer came: never off.
            let last = sent.iter().copied().filter(|at| *at < came).fold(0.0, f64::max);
            let last = if last > came - 1.0 { f64::INFINITY } else { last };
            let first = sent.iter().copied().find(|at| *at >= came).unwrap_or(f64::INFINITY);
            return vec![
                at_most("largest size off when unwatched, after", last, off, " s"),
                at_most("largest size on for a viewer, after", first - came, on, " s"),
            ];
        }
        Must::Others(frames, frozen) => {
            let of = |(number, other): (usize, &Viewer)| {
                [
                    at_least(format!("viewer {}: frames a second", number + 2), other.rate(1.0), frames, ""),
                    at_most(format!("viewer {}: frozen", number + 2), other.freezes(), frozen, " s"),
                ]
            };
            return others.iter().enumerate().flat_map(of).collect();
        }
    };
    vec![figure]
}
