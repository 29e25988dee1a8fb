//! The connections of the forwarding unit, and whose each of them is: carries out what rooms decide (`streams.rs`), and
//! brings back what the unit reports.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::num::NonZeroU8;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use hall::{By, Command, Offer, Passing, SYSTEM, WantedLayers};
use hashbrown::HashMap;
use media::{
    Answer, Client, Event, Media, PeerId, Publish, Published, Rights, RoomKey, SourceKey, Watch, Watched,
};
use parking_lot::Mutex;
use rooms::{LeaveCause, SessionId, UserId};
use tokio::sync::{Notify, mpsc};

use super::unit;
use super::units::Units;
use crate::clock;
use crate::error::{ApiError, Code};
use crate::events;
use crate::halls::{OpenRoom, unexpected};
use crate::link::Frame;
use crate::quota::{self, Place};
use crate::server::Server;
use crate::session::Session;
use crate::tenant::Credentials;
use crate::told::Node;
use crate::wire;

/// Events of the forwarding unit that may wait for us.
const EVENTS: usize = 4096;

/// How often a room's members are told who speaks.
const SPEAKERS_INTERVAL: Duration = Duration::from_millis(400);

/// The bits that number the rooms of one run.
const ROOMS_OF_A_RUN: u32 = 32;

/// Of more pictures nobody knows which somebody who comes will watch.
const MOST_EXPECTED: usize = 9;

/// Whose a connection is.
struct Connection {
    cell: Weak<OpenRoom>,
    /// `None` for a viewer that is only counted.
    session: Option<SessionId>,
    is_publisher: bool,
    /// Of the client's certificate: an offer with another is that of a new connection.
    fingerprint: String,
    /// It came by WHIP or WHEP: there is no other connection that would keep its session.
    resource: Option<Resource>,
}

/// What came by WHIP or WHEP, as its URL stands for it.
#[derive(Clone)]
pub(crate) struct Resource {
    /// The last part of the URL, which nobody guesses.
    pub(crate) name: String,
    /// Whose it is.
    pub(crate) user: UserId,
    /// With what it came.
    pub(crate) client: Arc<rooms::Client>,
    /// The latest one.
    pub(crate) offer: String,
    /// Names the ICE session (RFC 9725 4.3.1).
    pub(crate) entity_tag: String,
    /// It came by WHIP.
    pub(crate) is_published: bool,
    /// By which node it came, where that was another.
    pub(crate) node: Option<Node>,
    /// What its user's UserSig was verified by.
    pub(crate) credentials: Arc<Credentials>,
    /// What it takes up of its user's.
    pub(crate) _place: Arc<Place>,
}

/// The forwarding unit, as the rooms use it.
pub(crate) struct Live {
    units: Units,
    /// Where clients find the relay; none before it is known, and where there is none.
    relay_urls: OnceLock<Vec<String>>,
    /// Tells this run of the server from others: clients whose media was elsewhere connect it anew.
    server_id: String,
    connections: Mutex<HashMap<PeerId, Connection, foldhash::fast::RandomState>>,
    rooms: Mutex<HashMap<RoomKey, Weak<OpenRoom>, foldhash::fast::RandomState>>,
    last_room: AtomicU64,
    last_seq: AtomicU64,
    /// Sessions that were nothing but a connection which is closed.
    ended: Mutex<Vec<SessionId>>,
    /// Why what came by WHIP or WHEP was ended, where there is more to say than that it was; the newest last.
    reasons: Mutex<VecDeque<(String, Cow<'static, str>)>>,
    wake: Notify,
}

/// What happens in the forwarding unit, to be read by [`Live::run`].
pub(crate) type Happenings = mpsc::Receiver<Event>;

impl Live {
    /// Starts the unit of this node; of a server with several it is told which that is.
    pub(crate) fn start(config: &media::Config, node: Node) -> std::io::Result<(Arc<Self>, Happenings)> {
        let (events, happenings) = mpsc::channel(EVENTS);
        let mut id = [0; 8];
        getrandom::fill(&mut id).map_err(std::io::Error::other)?;
        let live = Self {
            units: Units::new(Media::start(config, events.clone())?, node, events),
            relay_urls: OnceLock::new(),
            server_id: wire::hex(&id),
            connections: Mutex::default(),
            rooms: Mutex::default(),
            // No room of another run has the same name: units of other nodes may have heard of that.
            last_room: AtomicU64::new(node.unsigned_abs() << ROOMS_OF_A_RUN),
            last_seq: AtomicU64::new(clock::now().unix_millis().saturating_mul(1000)),
            ended: Mutex::default(),
            reasons: Mutex::default(),
            wake: Notify::new(),
        };
        Ok((Arc::new(live), happenings))
    }

    /// Tells where the media of a session is that comes by that node: another when that node's unit has begun anew.
    pub(crate) fn id_at(&self, node: Option<Node>) -> String {
        match self.units.place(node) {
            0 => self.server_id.clone(),
            place => format!("{}-{place}", self.server_id),
        }
    }

    /// The unit of this node.
    pub(crate) fn media(&self) -> &Arc<Media> {
        self.units.own()
    }

    /// Those of all nodes.
    pub(crate) fn units(&self) -> &Units {
        &self.units
    }

    /// A number for what is told of a stream, higher than all before, also those of a former run.
    pub(crate) fn next_seq(&self) -> u64 {
        self.last_seq.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Clients find the relay at `urls`, from now on.
    pub(crate) fn set_relay_urls(&self, urls: Vec<String>) {
        let _ = self.relay_urls.set(urls);
    }

    pub(crate) fn relay_urls(&self) -> &[String] {
        self.relay_urls.get().map_or(&[], Vec::as_slice)
    }

    /// A name for a room that is made now.
    pub(crate) fn new_room(&self) -> RoomKey {
        RoomKey(self.last_room.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Ends connections.
    pub(crate) fn close(&self, peers: impl IntoIterator<Item = PeerId>) {
        for peer in peers {
            let connection = self.connections.lock().remove(&peer);
            self.units.close(peer);
            let whole = connection.filter(|connection| connection.resource.is_some());
            if let Some(session) = whole.and_then(|connection| connection.session) {
                // Rooms close connections while they are locked, so their sessions end a moment later.
                self.ended.lock().push(session);
                self.wake.notify_one();
            }
        }
    }

    pub(crate) fn set_rights(&self, peer: PeerId, rights: Rights) {
        self.units.set_rights(peer, rights);
    }

    /// `session` publishes in `cell` what its offer says. Returns the answer, and which of its streams flow.
    pub(crate) async fn publish(
        &self,
        cell: &Arc<OpenRoom>,
        session: &Arc<Session>,
        offer: String,
        streams: Vec<Published>,
        offered: Offer,
        resource: Option<Resource>,
    ) -> Result<(Answer, Rights), ApiError> {
        let known = cell.hall().streams().publisher(session.id).map(unit::peer);
        let known = known.filter(|peer| self.is_of(*peer, &offer));
        let peer = known.unwrap_or_else(|| self.adopt(cell, Some(session), true, &offer, resource));
        let user: Arc<str> = session.user.as_str().into();
        let key = cell.media_key;
        // Nothing more flows than before, until the room has had its say below.
        let rights = cell.hall().streams().rights_on(hall::PeerId(peer.0)).unwrap_or_default();
        let rights = unit::rights(rights);
        let publish = Publish { room: key, user, offer, streams, rights };
        let answer = self.units.publish(peer, publish).await;
        let answer = answer.inspect_err(|_| {
            if known.is_none() {
                self.close([peer]);
            }
        })?;
        let streams =
            answer.published.iter().map(|stream| (unit::device(stream.kind), stream.mid.clone())).collect();
        let publish = Passing::Publish { peer: hall::PeerId(peer.0), offer: Offer { streams, ..offered } };
        match cell.ask(session.as_member(), None, Command::Passing(publish)).await {
            Ok(hall::Answer::Rights(rights)) => Ok((answer, unit::rights(rights))),
            other => {
                self.close([peer]);
                Err(other.map_or_else(|error| error, |other| unexpected(&other)))
            }
        }
    }

    /// `session` is about to watch in `cell`: pictures that it may begin with are asked for.
    pub(crate) fn expect(&self, cell: &OpenRoom, session: &Session) {
        let hall = cell.hall();
        let told = hall.streams().told().iter().filter(|member| member.member != session.user);
        let shown = told.flat_map(|member| {
            let pictures = member.streams.iter().filter(|stream| !stream.is_muted);
            pictures.map(|stream| (&member.member, unit::kind(stream.device)))
        });
        let pictures = shown.filter(|(_, kind)| kind.is_video()).take(MOST_EXPECTED + 1);
        let pictures: Vec<_> = pictures
            .map(|(user, kind)| SourceKey { room: cell.media_key, user: user.as_str().into(), kind })
            .collect();
        drop(hall);
        if (1..=MOST_EXPECTED).contains(&pictures.len()) {
            self.units.expect(session.node(), pictures);
        }
    }

    /// `session` watches in `cell` what its offer has room for.
    pub(crate) async fn watch(
        &self,
        cell: &Arc<OpenRoom>,
        session: &Arc<Session>,
        offer: String,
        streams: Vec<Watched>,
        most_speakers: Option<NonZeroU8>,
        resource: Option<Resource>,
    ) -> Result<Answer, ApiError> {
        let known = cell.hall().streams().watcher(session.id).map(unit::peer);
        let known = known.filter(|peer| self.is_of(*peer, &offer));
        let peer = known.unwrap_or_else(|| self.adopt(cell, Some(session), false, &offer, resource));
        let watch = Watch { offer, streams, most_speakers };
        let answer = self.units.watch(peer, watch).await.inspect_err(|_| {
            if known.is_none() {
                self.close([peer]);
            }
        })?;
        let watch = Passing::Watch { peer: hall::PeerId(peer.0) };
        match cell.ask(session.as_member(), None, Command::Passing(watch)).await {
            Ok(_) => Ok(answer),
            Err(error) => {
                self.close([peer]);
                Err(error)
            }
        }
    }

    /// Whether an offer is one more of a connection, and not the first of another.
    fn is_of(&self, peer: PeerId, offer: &str) -> bool {
        self.connections.lock().get(&peer).is_some_and(|one| one.fingerprint == fingerprint(offer))
    }

    /// Begins a connection.
    fn adopt(
        &self,
        cell: &Arc<OpenRoom>,
        session: Option<&Session>,
        is_publisher: bool,
        offer: &str,
        resource: Option<Resource>,
    ) -> PeerId {
        // By the gateway come browsers; by WHIP and WHEP comes anything.
        let client = if resource.is_some() { Client::Other } else { Client::Browser };
        let node =
            resource.as_ref().map_or_else(|| session.and_then(Session::node), |resource| resource.node);
        let peer = self.units.new_peer(client, node);
        let session = session.map(|session| session.id);
        self.rooms.lock().insert(cell.media_key, Arc::downgrade(cell));
        let fingerprint = fingerprint(offer).to_owned();
        let connection =
            Connection { cell: Arc::downgrade(cell), session, is_publisher, fingerprint, resource };
        self.connections.lock().insert(peer, connection);
        peer
    }

    /// A player that is only counted watches in `cell`.
    pub(crate) async fn play(
        &self,
        server: &Server,
        cell: &Arc<OpenRoom>,
        user: &UserId,
        offer: String,
        streams: Vec<Watched>,
        resource: Resource,
    ) -> Result<Answer, ApiError> {
        let credentials = resource.credentials.clone();
        let most = server.config.limits.sessions_per_room as usize;
        let peer = self.adopt(cell, None, false, &offer, Some(resource));
        let watch = Watch { offer, streams, most_speakers: None };
        let answer = match self.units.watch(peer, watch).await {
            Ok(answer) => answer,
            Err(error) => {
                self.close([peer]);
                return Err(error.into());
            }
        };
        let play = Passing::Play { user: user.clone(), peer: hall::PeerId(peer.0), most };
        let played = cell.try_ask(By::App(SYSTEM.into()), None, Command::Passing(play)).await;
        if let Err(refusal) = played {
            self.close([peer]);
            return Err(match refusal {
                hall::Refusal::PlaysEnough => quota::too_many_in_room(&server.config.limits),
                refusal => cell.error(refusal),
            });
        }
        // Whoever deletes the account or changes the key looks for players after that: they are found there, or this here.
        if cell.app.account(user.as_str()).is_none() || !credentials.has_same_key(&cell.app.credentials()) {
            cell.order(Command::Passing(Passing::EndPlayers(vec![user.clone()])));
            let trouble = "the account was deleted, or the app has another SecretKey";
            return Err(rooms::Error::NotAllowed(trouble).into());
        }
        Ok(answer)
    }

    /// What came by WHIP or WHEP under a name, and where it is.
    pub(crate) fn resource(&self, name: &str) -> Option<(Arc<OpenRoom>, Resource)> {
        let peer = self.peer_of(name)?;
        let connections = self.connections.lock();
        let connection = connections.get(&peer)?;
        Some((connection.cell.upgrade()?, connection.resource.clone()?))
    }

    fn peer_of(&self, resource: &str) -> Option<PeerId> {
        let is_it =
            |connection: &Connection| connection.resource.as_ref().is_some_and(|it| it.name == resource);
        self.connections.lock().iter().find(|(_, one)| is_it(one)).map(|(peer, _)| *peer)
    }

    /// Starts ICE over on what came by WHIP or WHEP, with an offer that differs in nothing else.
    pub(crate) async fn restart_ice(&self, server: &Server, resource: Resource) -> Result<Answer, ApiError> {
        let peer = self.peer_of(&resource.name).ok_or(media::Error::Gone)?;
        let publisher = {
            let connections = self.connections.lock();
            let connection = connections.get(&peer).filter(|connection| connection.is_publisher);
            connection.and_then(|one| Some((one.cell.upgrade()?, server.sessions.by_id(one.session?)?)))
        };
        let offer = resource.offer.clone();
        let answer = match publisher {
            Some((cell, session)) => {
                self.publish(&cell, &session, offer, Vec::new(), Offer::default(), None).await?.0
            }
            None => {
                let watch = Watch { offer, streams: Vec::new(), most_speakers: None };
                self.units.watch(peer, watch).await?
            }
        };
        if let Some(connection) = self.connections.lock().get_mut(&peer) {
            connection.resource = Some(resource);
        }
        Ok(answer)
    }

    /// Ends what came by WHIP or WHEP under a name, as if its client had gone. `false` when there is no such thing.
    pub(crate) fn end_resource(&self, server: &Arc<Server>, resource: &str, cause: LeaveCause) -> bool {
        let Some(peer) = self.peer_of(resource) else { return false };
        self.units.close(peer);
        self.end(server, peer, cause);
        true
    }

    /// A room is over.
    pub(crate) fn forget_room(&self, key: RoomKey) {
        self.rooms.lock().remove(&key);
    }

    /// Brings what happens in the unit to the rooms, until it ends.
    pub(crate) async fn run(self: Arc<Self>, server: Arc<Server>, mut happenings: Happenings) {
        let mut speakers: HashMap<RoomKey, Vec<(Arc<str>, u8)>> = HashMap::new();
        let mut tick = tokio::time::interval(SPEAKERS_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = happenings.recv() => match event {
                    None => return,
                    Some(Event::Connected(_)) => {}
                    Some(Event::Lost(peer, reason)) => {
                        self.note_reason(peer, reason);
                        self.end(&server, peer, LeaveCause::Interrupted);
                    }
                    Some(Event::Wanted(peer, kind, layers)) => {
                        let whose = self.connections.lock().get(&peer).map(|one| (one.cell.upgrade(), one.session));
                        if let Some((Some(cell), Some(session))) = whose {
                            let (device, seq) = (unit::device(kind), self.next_seq());
                            let wanted = WantedLayers { device, seq, layers };
                            let want = Passing::Want { peer: hall::PeerId(peer.0), session, wanted };
                            cell.order(Command::Passing(want));
                        }
                    }
                    Some(Event::Watching(peer, pictures)) => {
                        self.tell(&server, peer, |cell| events::watch_changed(&cell.room_id, &pictures));
                    }
                    Some(Event::Link(peer, link)) => {
                        self.tell(&server, peer, |cell| events::link_changed(&cell.room_id, &link));
                    }
                    Some(Event::Samples(samples)) => server.chronicle.sample(&samples, |sample| {
                        let whose = self.connections.lock().get(&sample.peer).map(|one| (one.cell.upgrade(), one.session));
                        let (Some(cell), Some(session)) = whose? else { return None };
                        cell.stream(session, sample.from.as_deref(), sample.kind)
                    }),
                    Some(Event::Received(received)) => {
                        for (peer, pictures) in received {
                            let whose = self.connections.lock().get(&peer).map(|one| (one.cell.upgrade(), one.session));
                            if let Some((Some(cell), session)) = whose {
                                cell.note_received(session, &pictures);
                            }
                        }
                    }
                    Some(Event::Levels(levels)) => {
                        for (room, user, level) in levels {
                            speakers.entry(room).or_default().push((user, level));
                        }
                    }
                },
                () = self.wake.notified() => {
                    let ended = std::mem::take(&mut *self.ended.lock());
                    for session in ended.into_iter().filter_map(|id| server.sessions.by_id(id)) {
                        server.end_session(&session, LeaveCause::Kicked);
                    }
                }
                _ = tick.tick() => {
                    server.chronicle.sweep();
                    for (room, speakers) in speakers.drain() {
                        let cell = self.rooms.lock().get(&room).and_then(Weak::upgrade);
                        if let Some(cell) = cell {
                            let frame = Frame::text(&events::speakers_changed(&cell.room_id, &speakers));
                            cell.tell_all(frame);
                        }
                    }
                }
            }
        }
    }

    /// Tells whoever has a connection something of it.
    fn tell(&self, server: &Server, peer: PeerId, what: impl FnOnce(&OpenRoom) -> String) {
        let whose = self.connections.lock().get(&peer).map(|one| (one.cell.clone(), one.session));
        let Some((cell, Some(session))) = whose else { return };
        if let (Some(cell), Some(session)) = (cell.upgrade(), server.sessions.by_id(session)) {
            session.push(Frame::text(&what(&cell)));
        }
    }

    /// A connection was ended by the unit itself.
    fn note_reason(&self, peer: PeerId, reason: Option<Cow<'static, str>>) {
        /// More than are asked for: a client asks soon.
        const MOST: usize = 1000;
        let Some(reason) = reason else { return };
        tracing::info!(peer = peer.0, %reason, "a connection of media was ended");
        let name =
            self.connections.lock().get(&peer).and_then(|one| Some(one.resource.as_ref()?.name.clone()));
        let Some(name) = name else { return };
        let mut reasons = self.reasons.lock();
        if reasons.len() >= MOST {
            reasons.pop_front();
        }
        reasons.push_back((name, reason));
    }

    /// Why what came by WHIP or WHEP under a name was ended.
    pub(crate) fn reason(&self, resource: &str) -> Option<Cow<'static, str>> {
        self.reasons.lock().iter().find(|(name, _)| name == resource).map(|(_, reason)| reason.clone())
    }

    /// A connection is gone, and with it a session that was nothing else.
    fn end(&self, server: &Arc<Server>, peer: PeerId, cause: LeaveCause) {
        let Some(connection) = self.connections.lock().remove(&peer) else { return };
        let Some(cell) = connection.cell.upgrade() else { return };
        let (peer, was_publisher) = (hall::PeerId(peer.0), connection.is_publisher);
        let lose = Passing::LosePeer { peer, session: connection.session, was_publisher };
        cell.order(Command::Passing(lose));
        if connection.resource.is_some()
            && let Some(session) = connection.session.and_then(|id| server.sessions.by_id(id))
        {
            server.end_session(&session, cause);
        }
    }
}

/// The fingerprint of the certificate in an offer (RFC 8122 5); every connection of a browser has a certificate of its own.
fn fingerprint(offer: &str) -> &str {
    offer.lines().find_map(|line| line.strip_prefix("a=fingerprint:")).unwrap_or_default().trim()
}

impl From<media::Error> for ApiError {
    fn from(error: media::Error) -> Self {
        use media::Error as E;
        let code = match &error {
            E::Offer(_)
            | E::UnknownMid(_)
            | E::WrongKind(_)
            | E::OneTooMany(_)
            | E::TooManyStreams { .. } => Code::Invalid,
            E::Gone => Code::NoPeer,
            E::Busy => Code::TooOften,
        };
        Self::new(code, error.to_string())
    }
}
