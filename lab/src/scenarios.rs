//! The networks that people have, one row each, and what must be seen on them. A row's moments are those of a run of 60 s and
//! move with its length; what must be seen is said as shares, so that shorter runs can be judged too.

use std::time::Duration;

use crate::link::Shape;
use crate::wire::Link;

/// How high the sizes are that the publisher sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    Half,
    Full,
}

impl Layer {
    pub(crate) fn height(self) -> f64 {
        match self {
            Self::Half => 270.0,
            Self::Full => 540.0,
        }
    }
}

/// Who is where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cast {
    /// One viewer beyond the link.
    Viewer,
    /// One viewer beyond the link after the other.
    Joins,
    /// One viewer beyond the link, two beside the server.
    Crowd,
    /// One viewer beyond the link, who comes when half of the time is over.
    Late,
    /// The publisher is beyond the link, a viewer beside the server.
    Uplink,
    /// One who floods the server beyond the link, two viewers beside the server.
    Flooded,
}

impl Cast {
    /// As the browsers' script calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Joins => "joins",
            Self::Crowd => "crowd",
            Self::Late => "late",
            Self::Uplink => "uplink",
            Self::Flooded => "flooded",
        }
    }
}

/// What must be seen at the first viewer, the one the link is about. Times are from the beginning of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Must {
    /// A picture of at least this size, this share of the time.
    Shows(Layer, f64),
    /// Once the first 5 s are over, no picture below this size.
    NeverBelow(Layer),
    /// The full picture within so many seconds of the first frame.
    FullAfterFirst(f64),
    /// This size within so many seconds of a moment.
    ShowsBy(Layer, Duration, f64),
    /// Any picture within so many seconds of a moment.
    PictureBy(Duration, f64),
    /// Frames a second from the first second on.
    Frames(f64),
    /// The browser's own seconds of freezes at most.
    Freezes(f64),
    /// No longer without a picture than this, once there was one.
    Gap(f64),
    /// The share of sound that the browser made up, from a moment on.
    Concealed(f64, Duration),
    /// Bytes sent towards the viewer after the first second, beside what the link carries.
    Sent(f64),
    /// Keyframes that the publisher had to make of any of its sizes: what a viewer is given from a cache costs others nothing.
    Keyframes(f64),
    /// The share of packets that the link dropped, from a moment on.
    Dropped(f64, Duration),
    /// From asking for the picture to its first frame: the median of all joins in ms, and what 95 % do not exceed.
    Joins(f64, f64),
    /// Media connected within so many seconds.
    Connected(f64),
    /// Without a viewer the largest size is sent no more after so many seconds, and with one again within so many.
    Unwatched(f64, f64),
    /// Of each of the other viewers, who are all where somebody floods: frames a second, and seconds of freezes.
    Others(f64, f64),
}

/// A row of the table.
pub(crate) struct Scenario {
    pub(crate) row: &'static str,
    pub(crate) name: &'static str,
    pub(crate) link: Link,
    pub(crate) cast: Cast,
    /// Three sizes at once; else the largest only, by WHIP.
    pub(crate) has_layers: bool,
    /// A TCP download shares the way to the viewer.
    pub(crate) beside_tcp: bool,
    /// The viewer's browser sends receiver reports only.
    pub(crate) reports_only: bool,
    pub(crate) must: Vec<Must>,
}

impl Scenario {
    fn new(row: &'static str, name: &'static str, down: Shape, must: &[Must]) -> Self {
        let up = Shape::new(20e6).delay_like(&down);
        let mut must = must.to_vec();
        must.push(Must::Sent(1.3));
        Self {
            row,
            name,
            link: Link { down, up },
            cast: Cast::Viewer,
            has_layers: true,
            beside_tcp: false,
            reports_only: false,
            must,
        }
    }

    fn one_layer(self) -> Self {
        Self { has_layers: false, ..self }
    }

    fn cast(self, cast: Cast) -> Self {
        Self { cast, ..self }
    }

    fn beside_tcp(self) -> Self {
        Self { beside_tcp: true, ..self }
    }

    fn reports_only(self) -> Self {
        Self { reports_only: true, ..self }
    }

    fn without_udp(mut self) -> Self {
        self.link.down = self.link.down.without_udp();
        self.link.up = self.link.up.without_udp();
        self
    }

    /// The link is about what is published.
    fn uplink(mut self) -> Self {
        std::mem::swap(&mut self.link.down, &mut self.link.up);
        self.cast(Cast::Uplink)
    }

    /// The way that the scenario is about.
    pub(crate) fn shape(&self) -> &Shape {
        if self.cast == Cast::Uplink { &self.link.up } else { &self.link.down }
    }
}

/// All of them, for runs of so long.
pub(crate) fn all(length: Duration) -> Vec<Scenario> {
    use Layer::{Full, Half};
    use Must::{
        Concealed, Connected, Dropped, Frames, Freezes, FullAfterFirst, Gap, Joins, Keyframes, NeverBelow,
        Others, PictureBy, Shows, ShowsBy, Unwatched,
    };
    let at = |second: f64| length.mul_f64(second / 60.0);
    let start = Duration::ZERO;
    let link = Shape::new;
    let far = |bits, loss| link(bits).loss_percent(loss).delay_ms(50);
    let row = Scenario::new;
    let (narrow, wide) = (at(20.0), at(35.0));
    let soon = |moment: Duration, seconds: f64| moment + Duration::from_secs_f64(seconds);
    vec![
        row("1", "5M", link(5e6), &[FullAfterFirst(0.5)]),
        row("2", "joins", link(5e6), &[Joins(250.0, 400.0)]).cast(Cast::Joins),
        row("3", "2M", link(2e6), &[Shows(Full, 0.98), Keyframes(2.0)]),
        row("4", "1.5M", link(1.5e6), &[Shows(Full, 0.98), Keyframes(2.0)]),
        row("5", "1M", link(1e6), &[Frames(14.8), Shows(Half, 0.96)]),
        row("6", "600k", link(600e3), &[Freezes(0.0), Shows(Half, 0.96)]),
        row("7", "400k", link(400e3), &[Concealed(0.01, start), Frames(14.0)]),
        row("8", "250k", link(250e3), &[Freezes(0.0), Frames(14.0)]),
        row("9", "200k", link(200e3), &[Concealed(0.01, start), Frames(14.0)]),
        row("10", "150k", link(150e3), &[Concealed(0.01, start)]),
        row("11", "60k", link(60e3), &[Concealed(0.02, start)]),
        row("12a", "one-layer-1M", link(1e6), &[Concealed(0.01, start)]).one_layer(),
        row("12b", "one-layer-400k", link(400e3), &[Concealed(0.01, start)]).one_layer(),
        row("12c", "one-layer-150k", link(150e3), &[Concealed(0.01, start)]).one_layer(),
        row("13", "jitter-30", link(5e6).jitter_ms(30), &[Shows(Full, 53.0 / 60.0)]),
        row("14", "jitter-60", link(5e6).jitter_ms(60), &[NeverBelow(Half)]),
        row("15", "stalls-80", link(5e6).stall_ms(80), &[Shows(Full, 53.0 / 60.0)]),
        row("16", "stalls-200", link(5e6).stall_ms(200), &[Shows(Half, 0.95)]),
        row("17", "loss-5-far", far(5e6, 5.0), &[Frames(13.0), Concealed(0.006, start)]),
        row("18", "loss-8", link(5e6).loss_percent(8.0), &[Shows(Full, 0.95)]),
        row("19", "loss-10-far", far(5e6, 10.0), &[Frames(12.0), Concealed(0.011, start)]),
        row("20", "loss-20", link(5e6).loss_percent(20.0), &[Gap(3.0)]),
        row(
            "21",
            "5M-200k-5M",
            link(5e6).then(narrow, 200e3).then(wide, 5e6),
            &[Concealed(0.01, soon(narrow, 1.0)), ShowsBy(Full, wide, 5.0), Gap(2.0)],
        ),
        row(
            "22",
            "5M-1M-5M",
            link(5e6).then(narrow, 1e6).then(wide, 5e6),
            &[Freezes(0.5), ShowsBy(Full, wide, 5.0)],
        ),
        row(
            "23",
            "nothing",
            link(5e6).then(narrow, 0.0).then(soon(narrow, 3.0), 5e6),
            &[PictureBy(soon(narrow, 3.0), 1.5), ShowsBy(Full, soon(narrow, 3.0), 5.0)],
        ),
        row(
            "24",
            "policer-600k",
            link(600e3).policer_bytes(15e3),
            &[ShowsBy(Half, start, 2.5), Dropped(0.02, Duration::from_secs(3))],
        ),
        row("25a", "shallow-1.5M", link(1.5e6).queue_ms(30), &[Dropped(0.02, Duration::from_secs(3))]),
        row("25b", "shallow-600k", link(600e3).queue_ms(30), &[Dropped(0.02, Duration::from_secs(3))]),
        row("25c", "shallow-400k", link(400e3).queue_ms(30), &[Dropped(0.02, Duration::from_secs(3))]),
        row("26", "tcp-5M", link(5e6), &[Concealed(0.01, start), Shows(Half, 0.95), Shows(Full, 0.5)])
            .beside_tcp(),
        row("27", "tcp-1M", link(1e6), &[Concealed(0.02, start), Shows(Half, 0.5), Gap(3.0)]).beside_tcp(),
        row(
            "28",
            "one-of-three",
            link(300e3).loss_percent(10.0),
            &[Concealed(0.03, start), Others(14.5, 0.0)],
        )
        .cast(Cast::Crowd),
        row("29a", "uplink-loss-5", link(5e6).loss_percent(5.0), &[Frames(14.0)]).uplink(),
        row("29b", "uplink-500k", link(500e3), &[Frames(14.6)]).uplink(),
        row("30", "unwatched", link(5e6), &[Unwatched(5.0, 0.4)]).cast(Cast::Late),
        row("31", "tcp-only", link(5e6), &[Connected(1.5), Shows(Full, 0.9)]).without_udp(),
        row("32", "reports-only-600k", link(600e3), &[Concealed(0.02, start), Gap(3.0)]).reports_only(),
        row("33", "floods", link(600e3), &[Others(14.5, 0.0), Keyframes(60.0)]).cast(Cast::Flooded),
    ]
}
