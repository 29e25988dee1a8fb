//! `roomful load-test`: members, publishers and viewers on a server, for a while, and a report of what they saw. All of them are
//! real: WebSockets that log in, and WebRTC connections by WHIP and WHEP.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use futures_util::StreamExt as _;
use futures_util::stream;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use indicatif::{ProgressBar, ProgressStyle};
use load::{
    Address, Delays, FRAMES_A_SECOND, Hear, Member, Offered, PAYLOAD, Peer, Sampled, Sending, Stats, now_us,
};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::show::{BAD, BOLD, Format, say, say_json};
use super::target::{Api, CONFERENCE, Refused, Target};

#[derive(Args)]
pub(super) struct LoadTest {
    /// The room; where it is not there it is made, and ended afterwards
    #[arg(long, value_name = "ROOM", default_value = "load-test")]
    room: String,
    /// How many members come in, each with a connection of its own
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    members: usize,
    /// How many of those who publish a picture come besides
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    publishers: usize,
    /// How many of those who watch one of them
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    viewers: usize,
    /// For how long, once all are there
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, default_value = "60s")]
    lasts: Duration,
    /// How many messages the members send a second, in turn
    #[arg(long, value_name = "RATE", default_value_t = 1.0)]
    messages: f64,
    /// How much each publisher sends, in kbit/s
    #[arg(long, value_name = "KBITS", default_value_t = 1000)]
    bitrate: usize,
    /// How many come in at once
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    at_once: usize,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    target: Target,
}

/// How long media may take to be connected.
const CONNECTING: Duration = Duration::from_secs(20);

/// How long after the last message it may still come.
const SETTLING: Duration = Duration::from_secs(1);

/// How many packets leave at once: like a browser's pacer.
const BURST: usize = 3;

/// Messages a second that one sender, who waits for each answer, can be asked for.
const MAX_RATE: f64 = 1000.0;

/// Percentiles, in milliseconds.
#[derive(Serialize)]
struct Percentiles {
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

impl Percentiles {
    /// `None` where nothing was measured: that is not the same as no delay.
    fn of(delays: &Delays) -> Option<Self> {
        let ms = |share| delays.percentile_us(share) as f64 / 1000.0;
        let max = delays.longest_us() as f64 / 1000.0;
        (delays.count() > 0).then(|| Self { p50: ms(0.5), p95: ms(0.95), p99: ms(0.99), max })
    }
}

#[derive(Serialize)]
struct Report {
    room: String,
    seconds: f64,
    members: Joins,
    messages: Messages,
    publishers: Connected,
    viewers: Connected,
    packets: Packets,
    /// Why what was wanted could not be had, and how often.
    errors: BTreeMap<String, usize>,
}

#[derive(Serialize)]
struct Joins {
    wanted: usize,
    joined: usize,
    joins_per_second: f64,
    /// From the first byte of the connection until the room has answered.
    join_ms: Option<Percentiles>,
    connected_at_the_end: usize,
}

#[derive(Serialize)]
struct Messages {
    sent: u64,
    /// By all who were in.
    heard: u64,
    missing: u64,
    /// Until the answer, which comes when it is on disk.
    answer_ms: Option<Percentiles>,
    /// From sending until somebody hears it.
    latency_ms: Option<Percentiles>,
}

#[derive(Serialize)]
struct Connected {
    wanted: usize,
    connected: usize,
}

#[derive(Serialize)]
struct Packets {
    sent: u64,
    /// All viewers together.
    received: u64,
    received_megabits_per_second: f64,
    /// What never came of what the server sent them.
    lost: u64,
    /// Their share; `None` where none was sent.
    loss: Option<f64>,
    /// From before a publisher sends until it is at a viewer's socket.
    delay_ms: Option<Percentiles>,
}

/// What the members hear.
struct Heard {
    /// With which a message of this test begins.
    mark: String,
    count: AtomicU64,
    delays: Mutex<Delays>,
}

impl Hear for Heard {
    fn message(&self, frame: &[u8]) {
        let Ok(frame) = std::str::from_utf8(frame) else { return };
        let Some((_, rest)) = frame.split_once(&self.mark) else { return };
        let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default();
        let Ok(sent_us) = digits.parse::<u64>() else { return };
        self.count.fetch_add(1, Ordering::Relaxed);
        self.delays.lock().record(now_us().saturating_sub(sent_us));
    }
}

/// One who joins: what it cost, or why it did not.
type Joined = Result<(Member, u64), anyhow::Error>;

/// What goes wrong many times is told once.
#[derive(Default)]
struct Errors(BTreeMap<String, usize>);

impl Errors {
    fn add(&mut self, what: &str, error: &anyhow::Error) {
        *self.0.entry(format!("{what}: {error:#}")).or_default() += 1;
    }
}

impl LoadTest {
    pub(super) async fn run(self, folder: &Path) -> anyhow::Result<()> {
        if self.viewers > 0 && self.publishers == 0 {
            bail!("--viewers have nobody to watch; add --publishers");
        }
        if !(0.0..=MAX_RATE).contains(&self.messages) {
            bail!("--messages is {}; 0 to {MAX_RATE} a second are possible", self.messages);
        }
        if self.bitrate == 0 || self.lasts.is_zero() {
            bail!("--bitrate and --for must not be 0");
        }
        // Each of them is a socket.
        let _ = rlimit::increase_nofile_limit(u64::MAX);
        let api = self.target.api(folder)?;
        let address = api.address().await?;
        let is_made = self.require_room(&api).await?;
        let crowd = Crowd { api: &api, address: &address, room: &self.room, prefix: prefix()? };
        let is_talking = AtomicBool::new(false);
        let report = tokio::select! {
            report = self.measure(&crowd, &is_talking) => report,
            () = interrupted_before(&is_talking) => {
                Err(anyhow::anyhow!("interrupted before there was anything to report"))
            }
        };
        crowd.leave_nothing(&self, is_made).await;
        let report = report?;
        match self.format.json {
            true => say_json(&report)?,
            false => report.show()?,
        }
        match report.errors.values().sum::<usize>() {
            0 => Ok(()),
            count => bail!("{count} of what was wanted could not be had"),
        }
    }

    /// Makes the room where it is not there; whether it was made.
    async fn require_room(&self, api: &Api) -> anyhow::Result<bool> {
        let found = api.call_either("get_room_info", "get_room_info", &json!({"RoomId": self.room})).await;
        match found {
            Ok(_) => Ok(false),
            Err(error) if error.downcast_ref::<Refused>().is_some_and(Refused::is_no_such_room) => {
                // In one of this type without seats everybody may publish.
                let info = json!({"RoomInfo": {"RoomId": self.room, "RoomType": "Conference"}});
                api.call(&format!("{CONFERENCE}/create_room"), &info).await?;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    async fn measure(&self, crowd: &Crowd<'_>, is_talking: &AtomicBool) -> anyhow::Result<Report> {
        let mut errors = Errors::default();
        let heard = Arc::new(Heard {
            mark: format!("{}:", crowd.prefix),
            count: AtomicU64::new(0),
            delays: Mutex::default(),
        });
        let bar = bar(self.members as u64, "joining {pos} of {len} members")?;
        let started = Instant::now();
        let mut joining = stream::iter(0..self.members)
            .map(|number| crowd.join(number, &heard))
            .buffer_unordered(self.at_once.max(1));
        let (mut members, mut joins) = (Vec::new(), Delays::default());
        while let Some(joined) = joining.next().await {
            bar.inc(1);
            match joined {
                Ok((member, us)) => {
                    joins.record(us);
                    members.push(member);
                }
                Err(error) => errors.add("a member", &error),
            }
        }
        let joins_per_second = joins.count() as f64 / started.elapsed().as_secs_f64().max(1e-6);
        bar.finish_and_clear();

        let mut tasks = JoinSet::new();
        let channels = self.connect(crowd, &mut tasks, &mut errors).await?;
        channels.iter().for_each(|channel| channel.stats.start_sampling());
        let before: Vec<(u64, u64)> = channels.iter().map(Channel::packets).collect();
        let began = Instant::now();
        is_talking.store(true, Ordering::Relaxed);
        let (sent, expected, answers) =
            self.talk(crowd, &mut members, &heard, &channels, &mut errors).await?;
        let lasted = began.elapsed().as_secs_f64();
        let after: Vec<(u64, u64)> = channels.iter().map(Channel::packets).collect();
        tokio::time::sleep(SETTLING).await;

        let mut seen = Sampled::default();
        for channel in &channels {
            let Sampled { delays, missing } = channel.stats.sampled();
            seen.delays.add(&delays);
            seen.missing += missing;
        }
        let grown = |pick: fn(&(u64, u64)) -> u64| {
            after.iter().map(pick).sum::<u64>().saturating_sub(before.iter().map(pick).sum())
        };
        let (packets_sent, received) = (grown(|pair| pair.0), grown(|pair| pair.1));
        let expected_packets = seen.delays.count() + seen.missing;
        let heard_count = heard.count.load(Ordering::Relaxed);
        let connected = |pick: fn(&Channel) -> usize| channels.iter().map(pick).sum::<usize>();
        tasks.abort_all();
        Ok(Report {
            room: self.room.clone(),
            seconds: lasted,
            members: Joins {
                wanted: self.members,
                joined: members.len(),
                joins_per_second,
                join_ms: Percentiles::of(&joins),
                connected_at_the_end: members.iter().filter(|member| member.is_connected()).count(),
            },
            messages: Messages {
                sent,
                heard: heard_count,
                missing: expected.saturating_sub(heard_count),
                answer_ms: Percentiles::of(&answers),
                latency_ms: Percentiles::of(&heard.delays.lock()),
            },
            publishers: Connected {
                wanted: self.publishers,
                connected: connected(|channel| channel.is_on.into()),
            },
            viewers: Connected { wanted: self.viewers, connected: connected(|channel| channel.viewers) },
            packets: Packets {
                sent: packets_sent,
                received,
                received_megabits_per_second: (received * PAYLOAD as u64 * 8) as f64 / lasted.max(1e-6) / 1e6,
                lost: seen.missing,
                loss: (expected_packets > 0).then(|| seen.missing as f64 / expected_packets as f64),
                delay_ms: Percentiles::of(&seen.delays),
            },
            errors: errors.0,
        })
    }

    /// Publishers, then those who watch them in turn, until media flows.
    async fn connect(
        &self,
        crowd: &Crowd<'_>,
        tasks: &mut JoinSet<()>,
        errors: &mut Errors,
    ) -> anyhow::Result<Vec<Channel>> {
        let bits_a_frame_packet = PAYLOAD * 8 * FRAMES_A_SECOND;
        let packets_a_frame = (self.bitrate * 1000).div_ceil(bits_a_frame_packet);
        let bar =
            bar((self.publishers + self.viewers) as u64, "connecting {pos} of {len} publishers and viewers")?;
        let mut channels = Vec::new();
        for number in 0..self.publishers {
            let stats = Arc::new(Stats::new(Sending {
                frames_a_second: FRAMES_A_SECOND,
                packets_a_frame,
                burst: BURST,
            }));
            match crowd.publish(number, &stats).await {
                Ok(peer) => drop(tasks.spawn(peer.run())),
                Err(error) => errors.add("a publisher", &error),
            }
            channels.push(Channel { stats, is_on: false, viewers: 0 });
            bar.inc(1);
        }
        // Viewers of one who is not there yet would get nothing, and be told so late.
        for channel in &mut channels {
            let connected = tokio::time::timeout(CONNECTING, channel.stats.wait_connected(1)).await;
            channel.is_on = connected.is_ok();
            if !channel.is_on {
                errors.add("a publisher", &anyhow::anyhow!("media was not connected within {CONNECTING:?}"));
            }
        }
        let mut wanted = vec![0; channels.len()];
        for number in 0..self.viewers {
            let of = number % channels.len().max(1);
            let (Some(channel), Some(wanted)) = (channels.get(of), wanted.get_mut(of)) else { continue };
            match crowd.watch(number, of, &channel.stats).await {
                Ok(peer) => {
                    *wanted += 1;
                    tasks.spawn(peer.run());
                }
                Err(error) => errors.add("a viewer", &error),
            }
            bar.inc(1);
        }
        let deadline = tokio::time::Instant::now() + CONNECTING;
        for (channel, wanted) in channels.iter_mut().zip(wanted) {
            let all = wanted + usize::from(channel.is_on);
            let _ = tokio::time::timeout_at(deadline, channel.stats.wait_connected(all)).await;
            channel.viewers = channel.stats.connected().saturating_sub(channel.is_on.into());
            for _ in channel.viewers..wanted {
                errors.add("a viewer", &anyhow::anyhow!("media was not connected within {CONNECTING:?}"));
            }
        }
        bar.finish_and_clear();
        Ok(channels)
    }

    /// Lets it go on, with messages; how many were sent, how many are to be heard, and how long answers took.
    async fn talk(
        &self,
        crowd: &Crowd<'_>,
        members: &mut [Member],
        heard: &Heard,
        channels: &[Channel],
        errors: &mut Errors,
    ) -> anyhow::Result<(u64, u64, Delays)> {
        let bar = bar(u64::try_from(self.lasts.as_millis())?, "{bar:30} {msg}")?;
        let started = Instant::now();
        let (mut sent, mut expected, mut answers) = (0, 0, Delays::default());
        let pace = if self.messages > 0.0 { 1.0 / self.messages } else { f64::from(u32::MAX) };
        let mut due = tokio::time::interval(Duration::from_secs_f64(pace));
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut look = tokio::time::interval(Duration::from_millis(250));
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        let over = tokio::time::Instant::now() + self.lasts;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(over) => break,
                // What there is until then is worth a report.
                _ = &mut interrupted => break,
                _ = look.tick() => {
                    let packets: u64 = channels.iter().map(|channel| channel.packets().1).sum();
                    let heard = heard.count.load(Ordering::Relaxed);
                    bar.set_position(u64::try_from(started.elapsed().as_millis())?);
                    bar.set_message(format!(
                        "{:.0} s of {:.0}, {sent} messages sent, heard {heard} times, {packets} packets received",
                        started.elapsed().as_secs_f64(), self.lasts.as_secs_f64()
                    ));
                }
                _ = due.tick(), if self.messages > 0.0 && !members.is_empty() => {
                    let listening = members.iter().filter(|member| member.is_connected()).count() as u64;
                    let at = sent as usize % members.len();
                    let Some(member) = members.get_mut(at) else { continue };
                    let before = now_us();
                    let body = json!({"RoomId": crowd.room, "Text": format!("{}:{before}", crowd.prefix)});
                    sent += 1;
                    match member.call("send_text_msg", &body.to_string()).await {
                        Ok(()) => {
                            answers.record(now_us().saturating_sub(before));
                            expected += listening;
                        }
                        Err(error) => errors.add("a message", &error),
                    }
                }
            }
        }
        bar.finish_and_clear();
        Ok((sent, expected, answers))
    }
}

/// A publisher and those who watch it.
struct Channel {
    stats: Arc<Stats>,
    is_on: bool,
    viewers: usize,
}

impl Channel {
    /// Sent and received so far.
    fn packets(&self) -> (u64, u64) {
        (self.stats.sent.load(Ordering::Relaxed), self.stats.received.load(Ordering::Relaxed))
    }
}

/// Those who come, by names that nobody else has.
struct Crowd<'a> {
    api: &'a Api,
    address: &'a Address,
    room: &'a str,
    prefix: String,
}

fn prefix() -> anyhow::Result<String> {
    Ok(format!("load-{:06x}", getrandom::u32()? & 0xff_ffff))
}

impl Crowd<'_> {
    async fn join(&self, number: usize, heard: &Arc<Heard>) -> Joined {
        let user = format!("{}-m{number}", self.prefix);
        let login = json!({"SdkAppId": self.api.app, "UserId": user, "UserSig": self.api.sig(&user)?});
        let before = now_us();
        let mut member = Member::connect(self.address, &login.to_string(), heard).await?;
        member.call("enter_room", &json!({"RoomId": self.room}).to_string()).await?;
        Ok((member, now_us().saturating_sub(before)))
    }

    async fn publish(&self, number: usize, stats: &Arc<Stats>) -> anyhow::Result<Peer> {
        let (offer, peer) = Offered::publisher(self.address.local_ip().await?, stats).await?;
        let user = format!("{}-p{number}", self.prefix);
        peer.accept(&self.agree(&format!("/whip/{}", self.path()), &user, offer).await?)
    }

    async fn watch(&self, number: usize, of: usize, stats: &Arc<Stats>) -> anyhow::Result<Peer> {
        let (offer, peer) = Offered::viewer(self.address.local_ip().await?, true, stats).await?;
        let user = format!("{}-v{number}", self.prefix);
        let path = format!("/whep/{}?user={}-p{of}", self.path(), self.prefix);
        peer.accept(&self.agree(&path, &user, offer).await?)
    }

    /// The room in a path.
    fn path(&self) -> impl std::fmt::Display {
        percent_encoding::utf8_percent_encode(self.room, percent_encoding::NON_ALPHANUMERIC)
    }

    /// Posts an offer; the answer to it.
    async fn agree(&self, path: &str, user: &str, offer: String) -> anyhow::Result<String> {
        let request = Request::post(path)
            .header("host", self.address.authority())
            .header("content-type", "application/sdp")
            .header("authorization", format!("Bearer {}", self.api.sig(user)?))
            .body(Full::new(Bytes::from(offer)))?;
        let (status, answer) = load::exchange(self.address.connect().await?, request).await?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if status != StatusCode::CREATED {
            bail!("{status}: {answer}");
        }
        Ok(answer)
    }

    /// Ends what is left: accounts, with all that they have, and the room if it was made for this.
    async fn leave_nothing(&self, test: &LoadTest, is_made: bool) {
        let kinds = [('m', test.members), ('p', test.publishers), ('v', test.viewers)];
        let users = kinds.iter().flat_map(|(kind, count)| (0..*count).map(move |number| (kind, number)));
        let users: Vec<_> = users
            .map(|(kind, number)| json!({"UserID": format!("{}-{kind}{number}", self.prefix)}))
            .collect();
        for some in users.chunks(100) {
            // Whoever has not come is no account: that is answered one by one, and no failure.
            let _ = self.api.call("im_open_login_svc/account_delete", &json!({"DeleteItem": some})).await;
        }
        if is_made {
            let _ = self.api.call(&format!("{CONFERENCE}/destroy_room"), &json!({"RoomId": self.room})).await;
        }
    }
}

/// Who is interrupted while it goes on reports what there was until then, which is none of this one's business.
async fn interrupted_before(is_talking: &AtomicBool) {
    let _ = tokio::signal::ctrl_c().await;
    if is_talking.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// On a terminal alone.
fn bar(length: u64, template: &str) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template(template).context("a progress bar")?;
    Ok(ProgressBar::new(length).with_style(style))
}

impl Report {
    fn show(&self) -> anyhow::Result<()> {
        let line = |name: &str, text: String| say(format_args!("{BOLD}{name:<18}{BOLD:#} {text}"));
        let ms = |of: &Option<Percentiles>| match of {
            Some(of) => {
                format!("p50 {:.1}, p95 {:.1}, p99 {:.1}, at most {:.1} ms", of.p50, of.p95, of.p99, of.max)
            }
            None => "-".into(),
        };
        let Self { members, messages, publishers, viewers, packets, .. } = self;
        line("room", format!("{}, {:.0} s", self.room, self.seconds))?;
        line(
            "members",
            format!(
                "{} of {} joined, {:.0} a second; {} still there at the end",
                members.joined, members.wanted, members.joins_per_second, members.connected_at_the_end
            ),
        )?;
        line("  a join", ms(&members.join_ms))?;
        if messages.sent > 0 {
            line(
                "messages",
                format!(
                    "{} sent, heard {} times, {} missing",
                    messages.sent, messages.heard, messages.missing
                ),
            )?;
            line("  answered after", ms(&messages.answer_ms))?;
            line("  heard after", ms(&messages.latency_ms))?;
        }
        if publishers.wanted > 0 {
            line("publishers", format!("{} of {} connected", publishers.connected, publishers.wanted))?;
            line("viewers", format!("{} of {} connected", viewers.connected, viewers.wanted))?;
            line(
                "packets",
                format!(
                    "{} sent, {} received ({:.1} Mbit/s), {} lost ({})",
                    packets.sent,
                    packets.received,
                    packets.received_megabits_per_second,
                    packets.lost,
                    packets.loss.map_or_else(|| "-".into(), |loss| format!("{:.3} %", loss * 100.0))
                ),
            )?;
            line("  delay", ms(&packets.delay_ms))?;
        }
        for (error, count) in &self.errors {
            say(format_args!("{BAD}{count} x{BAD:#} {error}"))?;
        }
        Ok(())
    }
}
