//! Co-hosting: rooms connect, so that their anchors can be seen in each. A connection is a group of rooms; a request to
//! join one waits in memory until it is answered, taken back, or its time is over.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Incarnation, Time};

/// What a request has left at least when its answer could not be kept.
const LEFT_AT_LEAST: Duration = Duration::from_secs(5);

/// The most rooms in one connection.
pub const MAX_CONNECTED: usize = 9;

/// Rooms that are connected with each other; never fewer than two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Unique in the app.
    pub id: u64,
    /// In the order in which they came.
    pub rooms: Vec<Incarnation>,
}

/// What happened to a connection or a request for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionStep {
    /// A room asks another.
    Requested,
    /// The other said yes.
    Accepted,
    /// The other said no.
    Rejected,
    /// The first took it back.
    Cancelled,
    /// Nobody answered in time.
    Expired,
    /// Who is connected has changed.
    Changed,
}

impl ConnectionStep {
    /// The event's name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            ConnectionStep::Requested => "connection_requested",
            ConnectionStep::Accepted => "connection_accepted",
            ConnectionStep::Rejected => "connection_rejected",
            ConnectionStep::Cancelled => "connection_cancelled",
            ConnectionStep::Expired => "connection_expired",
            ConnectionStep::Changed => "connection_changed",
        }
    }
}

/// A request of a room to be connected with another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Request {
    from: Incarnation,
    to: Incarnation,
    until: Time,
    /// Somebody has said yes, and that is on its way to the disk: until then it neither runs out nor is taken back.
    is_answering: bool,
}

impl Request {
    fn is_of(&self, from: &Incarnation, to: &Incarnation) -> bool {
        self.from == *from && self.to == *to
    }
}

/// An app's connections, and the requests that wait.
#[derive(Debug, Default)]
pub struct Connections {
    by_id: BTreeMap<u64, Connection>,
    asked: Vec<Request>,
}

impl Connections {
    /// Takes over a connection that is durable by now; one with fewer than two rooms is none.
    pub fn put(&mut self, connection: Connection) {
        if connection.rooms.len() < 2 {
            self.by_id.remove(&connection.id);
        } else {
            self.by_id.insert(connection.id, connection);
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Connection> {
        self.by_id.values()
    }

    /// One of them, by its id.
    pub fn get(&self, id: u64) -> Option<&Connection> {
        self.by_id.get(&id)
    }

    /// The connection a room is in.
    pub fn of(&self, room: &Incarnation) -> Option<&Connection> {
        self.by_id.values().find(|connection| connection.rooms.contains(room))
    }

    /// `from` asks `to`.
    ///
    /// # Errors
    /// [`Error::AlreadyConnected`], [`Error::ConnectedElsewhere`] and [`Error::ConnectionPending`] when `to` is connected or
    /// asked; [`Error::TooManyRooms`] for a full connection; [`Error::Invalid`] for oneself.
    pub fn ask(
        &mut self,
        from: &Incarnation,
        to: &Incarnation,
        timeout: Duration,
        now: Time,
    ) -> Result<(), Error> {
        if from == to {
            return Err(Error::invalid("ToRoomId", "is the room itself"));
        }
        self.require_free(to, from)?;
        if self.asked.iter().any(|request| request.to == *to && now < request.until) {
            return Err(Error::ConnectionPending(to.to_string()));
        }
        if self.of(from).is_some_and(|connection| connection.rooms.len() >= MAX_CONNECTED) {
            return Err(too_many());
        }
        let (from, to, until) = (from.clone(), to.clone(), now + timeout);
        self.asked.push(Request { from, to, until, is_answering: false });
        Ok(())
    }

    /// Closes the request of `from` to `to`.
    ///
    /// # Errors
    /// [`Error::NoConnection`] when there is none, or its time is over.
    pub fn close(&mut self, from: &Incarnation, to: &Incarnation, now: Time) -> Result<(), Error> {
        let at = self.asked.iter().position(|request| request.is_of(from, to) && now < request.until);
        let at = at.ok_or_else(|| Error::NoConnection(to.to_string()))?;
        self.asked.swap_remove(at);
        Ok(())
    }

    /// Plans that the request of `from` to `to` is answered with yes: who is connected then. `new_id` names a connection that
    /// begins by it. Until [`Self::answered`] the request waits.
    ///
    /// # Errors
    /// Those of [`Self::ask`] for who is connected, and of [`Self::close`].
    pub fn accept(
        &mut self,
        from: &Incarnation,
        to: &Incarnation,
        new_id: u64,
        now: Time,
    ) -> Result<Connection, Error> {
        let connection = self.join(from, to, new_id)?;
        let request = self.asked.iter_mut().find(|request| request.is_of(from, to) && now < request.until);
        request.ok_or_else(|| Error::NoConnection(to.to_string()))?.is_answering = true;
        Ok(connection)
    }

    /// The answer to a request is on disk; or it was refused, and the request is open again.
    pub fn answered(&mut self, from: &Incarnation, to: &Incarnation, is_kept: bool, now: Time) {
        let is_it = |request: &Request| request.is_answering && request.is_of(from, to);
        if is_kept {
            self.asked.retain(|request| !is_it(request));
        } else if let Some(request) = self.asked.iter_mut().find(|request| is_it(request)) {
            request.is_answering = false;
            request.until = request.until.max(now + LEFT_AT_LEAST);
        }
    }

    /// Closes a request whose time is over, if there is one: from whom, to whom.
    pub fn expire(&mut self, now: Time) -> Option<(Incarnation, Incarnation)> {
        let at = self.asked.iter().position(|request| !request.is_answering && request.until <= now)?;
        let Request { from, to, .. } = self.asked.swap_remove(at);
        Some((from, to))
    }

    /// A room is over, and with it the requests by it and to it, which are returned: from whom, to whom.
    pub fn forget(&mut self, room: &Incarnation) -> Vec<(Incarnation, Incarnation)> {
        let (gone, kept) = std::mem::take(&mut self.asked)
            .into_iter()
            .partition::<Vec<_>, _>(|request| request.from == *room || request.to == *room);
        self.asked = kept;
        gone.into_iter().map(|request| (request.from, request.to)).collect()
    }

    /// The requests that wait: from whom, to whom.
    pub fn requests(&self) -> impl Iterator<Item = (&Incarnation, &Incarnation)> {
        self.asked.iter().map(|request| (&request.from, &request.to))
    }

    /// When the next request runs out.
    pub fn next_deadline(&self) -> Option<Time> {
        self.asked.iter().filter(|request| !request.is_answering).map(|request| request.until).min()
    }

    /// `room` joins the connection of `host`, or the two begin one.
    fn join(&self, host: &Incarnation, room: &Incarnation, new_id: u64) -> Result<Connection, Error> {
        self.require_free(room, host)?;
        let fresh = || Connection { id: new_id, rooms: vec![host.clone()] };
        let mut connection = self.of(host).cloned().unwrap_or_else(fresh);
        if connection.rooms.len() >= MAX_CONNECTED {
            return Err(too_many());
        }
        connection.rooms.push(room.clone());
        Ok(connection)
    }

    /// Plans that `room` leaves its connection.
    ///
    /// # Errors
    /// [`Error::NoConnection`].
    pub fn leave(&self, room: &Incarnation) -> Result<Connection, Error> {
        let mut connection = self.of(room).cloned().ok_or_else(|| Error::NoConnection(room.to_string()))?;
        connection.rooms.retain(|other| other != room);
        Ok(connection)
    }

    /// Checks that `room` is in no connection: neither in that of `host` nor in another.
    fn require_free(&self, room: &Incarnation, host: &Incarnation) -> Result<(), Error> {
        match self.of(room) {
            None => Ok(()),
            Some(own) if own.rooms.contains(host) => Err(Error::AlreadyConnected(room.to_string())),
            Some(_) => Err(Error::ConnectedElsewhere(room.to_string())),
        }
    }
}

fn too_many() -> Error {
    Error::TooManyRooms { field: "ToRoomId", most: MAX_CONNECTED, together: "connected" }
}
