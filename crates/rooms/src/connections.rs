//! Co-hosting: rooms connect, so that their anchors can be seen in each. A connection is a group of rooms; a request to
//! join one waits in memory until it is answered, taken back, or its time is over.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, RoomId, Time};

/// The most rooms in one connection.
pub const MAX_CONNECTED: usize = 9;

/// Rooms that are connected with each other; never fewer than two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Unique in the app.
    pub id: u64,
    /// In the order in which they came.
    pub rooms: Vec<RoomId>,
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

/// An app's connections, and the requests that wait.
#[derive(Debug, Default)]
pub struct Connections {
    by_id: BTreeMap<u64, Connection>,
    /// From whom to whom, until when.
    asked: Vec<(RoomId, RoomId, Time)>,
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

    /// The connection a room is in.
    pub fn of(&self, room: &RoomId) -> Option<&Connection> {
        self.by_id.values().find(|connection| connection.rooms.contains(room))
    }

    /// `from` asks `to`.
    ///
    /// # Errors
    /// [`Error::AlreadyConnected`], [`Error::ConnectedElsewhere`] and [`Error::ConnectionPending`] when `to` is connected or
    /// asked; [`Error::TooManyRooms`] for a full connection; [`Error::Invalid`] for oneself.
    pub fn ask(&mut self, from: &RoomId, to: &RoomId, timeout: Duration, now: Time) -> Result<(), Error> {
        if from == to {
            return Err(Error::invalid("ToRoomId", "is the room itself"));
        }
        self.require_free(to, from)?;
        if self.asked.iter().any(|(_, asked, until)| asked == to && now < *until) {
            return Err(Error::ConnectionPending(to.to_string()));
        }
        if self.of(from).is_some_and(|connection| connection.rooms.len() >= MAX_CONNECTED) {
            return Err(too_many());
        }
        self.asked.push((from.clone(), to.clone(), now + timeout));
        Ok(())
    }

    /// Closes the request of `from` to `to`.
    ///
    /// # Errors
    /// [`Error::NoConnection`] when there is none, or its time is over.
    pub fn close(&mut self, from: &RoomId, to: &RoomId, now: Time) -> Result<(), Error> {
        let at = self.asked.iter().position(|(one, other, until)| one == from && other == to && now < *until);
        let at = at.ok_or_else(|| Error::NoConnection(to.to_string()))?;
        self.asked.swap_remove(at);
        Ok(())
    }

    /// Closes a request whose time is over, if there is one: from whom, to whom.
    pub fn expire(&mut self, now: Time) -> Option<(RoomId, RoomId)> {
        let at = self.asked.iter().position(|(.., until)| *until <= now)?;
        let (from, to, _) = self.asked.swap_remove(at);
        Some((from, to))
    }

    /// A room is over, and with it the requests by it and to it, which are returned: from whom, to whom.
    pub fn forget(&mut self, room: &RoomId) -> Vec<(RoomId, RoomId)> {
        let (gone, kept) = std::mem::take(&mut self.asked)
            .into_iter()
            .partition::<Vec<_>, _>(|(from, to, _)| from == room || to == room);
        self.asked = kept;
        gone.into_iter().map(|(from, to, _)| (from, to)).collect()
    }

    /// When the next request runs out.
    pub fn next_deadline(&self) -> Option<Time> {
        self.asked.iter().map(|(.., until)| *until).min()
    }

    /// Plans that `room` joins the connection of `host`, or the two begin one; `new_id` names it then.
    ///
    /// # Errors
    /// [`Error::AlreadyConnected`] and [`Error::ConnectedElsewhere`] when `room` is in one; [`Error::TooManyRooms`].
    pub fn join(&self, host: &RoomId, room: &RoomId, new_id: u64) -> Result<Connection, Error> {
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
    pub fn leave(&self, room: &RoomId) -> Result<Connection, Error> {
        let mut connection = self.of(room).cloned().ok_or_else(|| Error::NoConnection(room.to_string()))?;
        connection.rooms.retain(|other| other != room);
        Ok(connection)
    }

    /// Checks that `room` is in no connection: neither in that of `host` nor in another.
    fn require_free(&self, room: &RoomId, host: &RoomId) -> Result<(), Error> {
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
