//! What is below the queue: something that keeps jobs.

use std::ops::Range;
use std::time::Duration;

use crate::{Error, EventPage, EventsWanted, Job, Lane, Snapshot, WaitingEvent};

/// A database. It belongs to the writer's thread, and its calls block that.
pub trait Engine: Send {
    /// Makes each of the jobs durable, or refuses it: a result for each, in their order. A job is kept whole or not at all,
    /// and none is kept before one that it follows.
    ///
    /// What comes after one that is refused [`Refused::Now`] is refused with it, and what comes after one that is
    /// [`Refused::Unknown`] is unknown with it. Those that are unknown come again, the same and in the same order, before
    /// anything else does.
    fn write(&mut self, jobs: &[Job]) -> Vec<Result<Kept, Refused>>;

    /// Whether a job would be kept now, found out by writing something that changes nothing.
    ///
    /// # Errors
    /// Why not.
    fn probe(&mut self) -> Result<(), Refused>;

    /// All that is kept.
    ///
    /// # Errors
    /// What cannot be read.
    fn load(&mut self) -> Result<Snapshot, Error>;

    /// Numbers for rooms to come: none of them is, or ever was, of a room that was kept, or will be given by another call.
    ///
    /// # Errors
    /// When none can be had.
    fn scopes(&mut self) -> Result<Range<i64>, Error>;

    /// How long nothing may be written before it is to be probed, where nobody would notice otherwise that it is gone.
    fn idle(&self) -> Option<Duration> {
        None
    }

    /// The number of this run of a server, where others may take the records over.
    fn generation(&self) -> Option<i64> {
        None
    }

    /// How many events wait to be sent, of all apps.
    fn waiting(&self) -> u64;

    /// Something that reads beside the writer, from a thread of its own.
    fn reader(&self) -> Box<dyn Read>;
}

/// Reads what waits on the disk, while others write.
pub trait Read: Send {
    /// Events that wait to be sent.
    ///
    /// # Errors
    /// What cannot be read.
    fn waiting_events(&mut self, wanted: &EventsWanted) -> Result<EventPage, Error>;

    /// The ids of events that were given up, oldest first.
    ///
    /// # Errors
    /// What cannot be read.
    fn dead_letters(&mut self) -> Result<Vec<u64>, Error>;
}

/// What has become of a job that is on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The events in it that wait to be sent, in order.
    pub events: Vec<WaitingEvent>,
    /// How many of its events are not sent, since too many of their app wait.
    pub given_up: GivenUp,
}

/// How many events were given up before they were sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// Of webhooks.
    pub webhooks: u64,
    /// Of event callbacks, of which nothing is left.
    pub callbacks: u64,
}

impl GivenUp {
    /// One more, of that lane.
    pub(crate) fn note(&mut self, lane: Lane) {
        match lane.keeps_dead_letters() {
            true => self.webhooks += 1,
            false => self.callbacks += 1,
        }
    }

    /// All of another's too.
    pub(crate) fn add(&mut self, other: Self) {
        self.webhooks += other.webhooks;
        self.callbacks += other.callbacks;
    }
}

/// Why a job is not on disk, or may not be.
#[derive(Debug, Clone)]
pub enum Refused {
    /// Nothing can be written at present. Nothing of the job is on disk; it may be tried again.
    Now(Error),
    /// It can never be kept, whatever the disk does. Nothing of it is on disk.
    Ever(Error),
    /// It may be on disk or not. Nobody is told anything before it has been written again.
    Unknown(Error),
}

impl Refused {
    /// What went wrong.
    pub fn error(&self) -> &Error {
        match self {
            Self::Now(error) | Self::Ever(error) | Self::Unknown(error) => error,
        }
    }

    /// Whether the disk is to blame, and not the job.
    pub fn is_trouble(&self) -> bool {
        !matches!(self, Self::Ever(_))
    }
}
