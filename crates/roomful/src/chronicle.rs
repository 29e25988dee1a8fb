//! What happens, on its way to history: nobody waits for it, and nothing is decided by it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hall::{Happening, Note};
use history::{Cause, Event, Forget, History, Numbers, Options, Place, Reader, Row, Served};
use media::Sample;
use parking_lot::Mutex;
use rooms::{Client, Device, LeaveCause, RoomInfo, SdkAppId, Time, UserId};
use store::RoomScope;
use tokio::sync::Notify;

use crate::clock;
use crate::config::{self, Addresses};
use crate::live::unit;
use crate::quality::{Report, Runs, Said, Stream};
use crate::service::Services;
use crate::usage::Meter;

/// Its folder, in the data folder, where the records are there too.
pub(crate) const FOLDER: &str = "history";

/// Events that clients tell are numbered from here on, beside the hall's of the same moment.
const FIRST_OF_CLIENTS: u32 = 1 << 16;

/// A round trip up to this is short.
const SHORT: Duration = Duration::from_millis(200);

/// How long the server waits for the last of it when it stops.
const LAST: Duration = Duration::from_secs(2);

/// History, or none where none is kept.
pub(crate) struct Chronicle {
    kept: Option<(History, Reader)>,
    addresses: Addresses,
    runs: Mutex<Runs>,
    meter: Meter,
    services: Mutex<Services>,
    /// What was written of today is gone.
    lost: Arc<Notify>,
}

/// The cloud's numbers for what happens to web users (DescribeUserEvent).
pub(crate) mod number {
    pub(crate) const VIDEO_ON: u16 = 32_768;
    pub(crate) const AUDIO_ON: u16 = 32_769;
    pub(crate) const VIDEO_OFF: u16 = 32_770;
    pub(crate) const AUDIO_OFF: u16 = 32_771;
    pub(crate) const AUDIO_MUTED: u16 = 32_772;
    pub(crate) const VIDEO_MUTED: u16 = 32_773;
    pub(crate) const AUDIO_UNMUTED: u16 = 32_774;
    pub(crate) const VIDEO_UNMUTED: u16 = 32_775;
    pub(crate) const CAMERA_SWITCHED: u16 = 32_780;
    pub(crate) const MICROPHONE_SWITCHED: u16 = 32_781;
    pub(crate) const REMOTE_VIDEO_OFF: u16 = 32_784;
    pub(crate) const REMOTE_AUDIO_OFF: u16 = 32_785;
    pub(crate) const REMOTE_VIDEO_ON: u16 = 32_786;
    pub(crate) const REMOTE_AUDIO_ON: u16 = 32_787;
    pub(crate) const ENTERED: u16 = 32_788;
    pub(crate) const LEFT: u16 = 32_789;
    pub(crate) const SIGNALLING_LOST: u16 = 32_790;
    pub(crate) const SIGNALLING_BACK: u16 = 32_791;
    pub(crate) const MEDIA_LOST: u16 = 32_792;
    pub(crate) const MEDIA_BACK: u16 = 32_793;
}

impl Chronicle {
    /// Begins to write: in the data folder, or where the records are.
    pub(crate) fn start(config: &config::History, place: Place) -> std::io::Result<Arc<Self>> {
        let lost = Arc::<Notify>::default();
        let told = lost.clone();
        let options = Options {
            place,
            days: config.days,
            most_bytes: config.max_bytes,
            clock: Arc::new(|| clock::now().unix_millis().cast_signed()),
            on_lost: Box::new(move || told.notify_one()),
        };
        let kept = match config.days {
            0 => None,
            _ => {
                let history = History::start(options)?;
                let reader = history.reader();
                Some((history, reader))
            }
        };
        let (addresses, meter) = (config.addresses, Meter::new(clock::now().unix_millis().cast_signed()));
        let (runs, services) = (Mutex::default(), Mutex::default());
        Ok(Arc::new(Self { kept, addresses, runs, meter, services, lost }))
    }

    /// Resolves when what goes on is to be told once more.
    pub(crate) async fn lost(&self) {
        self.lost.notified().await;
    }

    /// What is written; `None` where nothing is.
    pub(crate) fn reader(&self) -> Option<&Reader> {
        self.kept.as_ref().map(|(_, reader)| reader)
    }

    pub(crate) fn numbers(&self) -> Numbers {
        self.kept.as_ref().map(|(history, _)| history.numbers()).unwrap_or_default()
    }

    /// Writes what is left.
    pub(crate) fn finish(&self) {
        let rest = self.runs.lock().sweep(i64::MAX);
        rest.into_iter().for_each(|row| self.note(Row::Quality(row)));
        self.meter.rest(clock::now().unix_millis().cast_signed()).into_iter().for_each(|row| self.note(row));
        self.services.lock().due(i64::MAX).into_iter().for_each(|row| self.note(row));
        if let Some((history, _)) = &self.kept
            && !history.flush(LAST)
        {
            tracing::warn!("the end of history could not be written");
        }
    }

    /// An address, as far as it is kept.
    pub(crate) fn address(&self, address: IpAddr) -> String {
        match (self.addresses, address.to_canonical()) {
            (Addresses::None, _) => String::new(),
            (Addresses::Full, address) => address.to_string(),
            (Addresses::Prefix, IpAddr::V4(address)) => {
                let [first, second, third, _] = address.octets();
                IpAddr::from([first, second, third, 0]).to_string()
            }
            (Addresses::Prefix, IpAddr::V6(address)) => {
                let [first, second, third, ..] = address.segments();
                IpAddr::from([first, second, third, 0, 0, 0, 0, 0]).to_string()
            }
        }
    }

    // Telling

    fn note(&self, row: Row) {
        if let Some((history, _)) = &self.kept {
            history.note(row);
        }
    }

    /// A call begins, or goes on.
    pub(crate) fn begin(&self, call: &history::Call) {
        self.note(Row::Call(call.clone()));
    }

    /// Something happens in a call, now.
    pub(crate) fn tell(&self, call: &history::Call, note: Note, now: Time) {
        if self.kept.is_none() {
            return;
        }
        self.meter.note(call, &note, millis(now));
        self.note(match note {
            Note::Stays(stay) => Row::Stay(stay_of(call, stay, None)),
            Note::Left { stay, at, cause } => {
                Row::Stay(stay_of(call, stay, Some((millis(at), cause_of(cause)))))
            }
            Note::Event { stay, at, n, what } => {
                let (event, media) = event_of(what);
                let (call, stay, at) = (call.call, stay.cast_signed(), millis(at));
                Row::Event(Event { call, stay, at, n, event, media, peer: 0, p1: -1, p2: -1 })
            }
            Note::Over { at, cause } => {
                let ended = Some((at.unix_seconds().cast_signed(), cause_of(cause)));
                Row::Call(history::Call { ended, ..call.clone() })
            }
        });
    }

    /// What streams were like just now.
    pub(crate) fn sample(&self, samples: &[Sample], whose: impl Fn(&Sample) -> Option<Stream>) {
        if self.kept.is_none() {
            return;
        }
        let now = clock::now().unix_seconds().cast_signed();
        let known: Vec<(&Sample, Stream)> =
            samples.iter().filter_map(|sample| Some((sample, whose(sample)?))).collect();
        let delays = known.iter().filter_map(|(sample, stream)| Some((stream.app, sample.round_trip?)));
        {
            let mut services = self.services.lock();
            for (app, delay) in delays {
                let delays = [1, u64::from(delay <= SHORT)];
                services.add(app, Served { delays, ..Served::default() }, now);
            }
        }
        let rows: Vec<history::Quality> = {
            let mut runs = self.runs.lock();
            known.into_iter().filter_map(|(sample, stream)| runs.take(now, sample, stream)).collect()
        };
        rows.into_iter().for_each(|row| self.note(Row::Quality(row)));
    }

    /// What a client says of streams as they were at a time, in milliseconds. Returns how much of what it saw and heard stood still, as far as
    /// that is believed.
    pub(crate) fn report(&self, app: u32, reports: &[(Stream, Report)], at: i64) -> Served {
        let mut all = Served::default();
        if self.kept.is_none() {
            return all;
        }
        let said: Vec<Said> = {
            let mut runs = self.runs.lock();
            reports.iter().filter_map(|(stream, report)| runs.report(at / 1000, report, *stream)).collect()
        };
        for Said { full, played, unusual } in said {
            full.into_iter().for_each(|row| self.note(Row::Quality(row)));
            unusual.into_iter().for_each(|what| self.note(Row::Unusual(history::Unusual { at, ..what })));
            all.add(played);
        }
        self.serve(app, all);
        all
    }

    /// Nothing had come of a stream that flows at a time, in milliseconds, says a client.
    pub(crate) fn report_nothing(&self, stream: Stream, at: i64) {
        if self.kept.is_some() {
            let noticed = self.runs.lock().report_nothing(at / 1000, stream);
            noticed.into_iter().for_each(|what| self.note(Row::Unusual(history::Unusual { at, ..what })));
        }
    }

    /// A client says that its streams come from other devices: the cloud's numbers for that, and no others.
    pub(crate) fn switched(&self, stay: Stream, events: impl Iterator<Item = u16>) {
        let at = clock::now().unix_millis().cast_signed();
        for (event, n) in events.zip(FIRST_OF_CLIENTS..) {
            let device = match event {
                number::CAMERA_SWITCHED => Device::Camera,
                number::MICROPHONE_SWITCHED => Device::Microphone,
                _ => continue,
            };
            let media = unit::media_number(device);
            let Stream { call, stay, .. } = stay;
            self.note(Row::Event(Event { call, stay, at, n, event, media, peer: 0, p1: -1, p2: -1 }));
        }
    }

    /// A client says that it took so many milliseconds to come in.
    pub(crate) fn joined(&self, stay: Stream, millis: u32) {
        if self.kept.is_none() {
            return;
        }
        let now = clock::now().unix_millis().cast_signed();
        let Some(noticed) = self.runs.lock().joined(now / 1000, stay, millis) else { return };
        let joins = [0, 0, u64::from(noticed.is_some())];
        self.serve(stay.app, Served { joins, ..Served::default() });
        noticed.into_iter().for_each(|what| self.note(Row::Unusual(history::Unusual { at: now, ..what })));
    }

    /// More is known of how an app's users are served.
    pub(crate) fn serve(&self, app: u32, more: Served) {
        if self.kept.is_some() && more != Served::default() {
            self.services.lock().add(app, more, clock::now().unix_seconds().cast_signed());
        }
    }

    /// In the last second a stay, or a player that is only counted, was sent something in a call, and pictures of so many pixels.
    pub(crate) fn receive(&self, call: &history::Call, stay: Option<u64>, pictures: &[u32]) {
        if self.kept.is_some() {
            let now = clock::now().unix_millis().cast_signed();
            self.meter.receive(call, stay.map(u64::cast_signed), pictures, now);
        }
    }

    /// Writes what was measured of streams that have ended, and what was counted. To be called a few times a second.
    pub(crate) fn sweep(&self) {
        if self.kept.is_none() {
            return;
        }
        let now = clock::now().unix_millis().cast_signed();
        let rows = self.runs.lock().sweep(now / 1000);
        rows.into_iter().for_each(|row| self.note(Row::Quality(row)));
        self.meter.due(now).into_iter().for_each(|row| self.note(row));
        let services = self.services.lock().due(now / 1000);
        services.into_iter().for_each(|row| self.note(row));
    }

    /// An account was deleted: nothing personal is left of the user.
    pub(crate) fn forget(&self, app: SdkAppId, user: &UserId, before: Time) {
        self.note(Row::Forget(Forget { app: app.0, user: user.as_str().into(), before: millis(before) }));
    }

    /// All that goes on has been told.
    pub(crate) fn settle(&self) {
        self.note(Row::Settled);
    }
}

/// A room's life, while it lives.
pub(crate) fn call_of(scope: RoomScope, info: &RoomInfo) -> history::Call {
    history::Call {
        call: scope.number,
        app: scope.app.0,
        room: info.room_id.as_str().into(),
        made: info.created_at.unix_seconds().cast_signed(),
        ended: None,
        creator: info.made_by.as_ref().unwrap_or(&info.owner).as_str().into(),
    }
}

fn stay_of(call: &history::Call, stay: hall::Stay, left: Option<(i64, Cause)>) -> history::Stay {
    let hall::Stay { number, place, user, is_anchor, client } = stay;
    let Client { sdk, device, terminal, address } = &*client;
    history::Stay {
        call: call.call,
        stay: number.cast_signed(),
        who: place.cast_signed(),
        app: call.app,
        user: user.into(),
        left,
        is_anchor,
        client: history::Client {
            sdk: sdk.clone(),
            device: device.clone(),
            terminal: *terminal,
            address: address.clone(),
        },
    }
}

fn millis(at: Time) -> i64 {
    at.unix_millis().cast_signed()
}

fn cause_of(cause: LeaveCause) -> Cause {
    match cause {
        LeaveCause::Leave => Cause::Left,
        LeaveCause::Interrupted => Cause::Interrupted,
        LeaveCause::Kicked | LeaveCause::Deleted => Cause::Kicked,
        LeaveCause::Banned => Cause::Banned,
        LeaveCause::Destroyed => Cause::Destroyed,
        LeaveCause::Expired => Cause::Expired,
    }
}

/// The cloud's numbers for what happened, and for the kind of media.
fn event_of(what: Happening) -> (u16, u8) {
    let of = |device: Device, audio: u16, video: u16| {
        (if device == Device::Microphone { audio } else { video }, unit::media_number(device))
    };
    match what {
        Happening::Lost => (number::SIGNALLING_LOST, 0),
        Happening::Back => (number::SIGNALLING_BACK, 0),
        Happening::MediaLost => (number::MEDIA_LOST, 0),
        Happening::MediaBack => (number::MEDIA_BACK, 0),
        Happening::Begun(device) => of(device, number::AUDIO_ON, number::VIDEO_ON),
        Happening::Ended(device) => of(device, number::AUDIO_OFF, number::VIDEO_OFF),
        Happening::Muted(device) => of(device, number::AUDIO_MUTED, number::VIDEO_MUTED),
        Happening::Unmuted(device) => of(device, number::AUDIO_UNMUTED, number::VIDEO_UNMUTED),
    }
}
