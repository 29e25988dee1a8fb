//! Messages to everyone in a room: one order a room, the last of them kept for those who come later.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{Error, Event, Room, Time, UserId};

/// How many of a room's messages are kept.
pub const RECENT_MESSAGES: usize = 50;

/// The most bytes (of UTF-8) a message's content may have.
pub const MAX_TEXT_BYTES: usize = 12 * 1024;

/// A message to everyone in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its number in the room's one order; grows by one.
    pub seq: u64,
    /// Unique in the app.
    pub id: String,
    /// Who sent it.
    pub from: UserId,
    /// What it says.
    pub content: Content,
    /// When the server took it.
    pub sent_at: Time,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Words.
    Text {
        /// The words.
        text: String,
        /// The app's own, beside them.
        extension: String,
    },
    /// Something only the app understands.
    Custom {
        /// Which part of the app it is for.
        business_id: String,
        /// What it says.
        data: String,
    },
    /// Elements as the group service has them: a JSON array.
    Elements {
        /// `MsgBody`.
        body: String,
        /// `CloudCustomData`.
        extension: String,
    },
}

impl Content {
    fn check(&self) -> Result<(), Error> {
        let (name, main, rest) = match self {
            Content::Text { text, extension } => ("Text", text, extension),
            Content::Custom { business_id, data } => ("Data", data, business_id),
            Content::Elements { body, extension } => ("MsgBody", body, extension),
        };
        if main.is_empty() {
            return Err(Error::invalid(name, "is empty"));
        }
        match main.len() + rest.len() {
            ..=MAX_TEXT_BYTES => Ok(()),
            bytes => Err(Error::too_long(name, bytes, MAX_TEXT_BYTES)),
        }
    }
}

/// A room's messages.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    recent: VecDeque<Message>,
}

impl Messages {
    pub(crate) fn push(&mut self, message: Message) {
        self.recent.push_back(message);
        if self.recent.len() > RECENT_MESSAGES {
            self.recent.pop_front();
        }
    }
}

impl Room {
    /// A member says something to everyone in the room, itself included.
    ///
    /// # Errors
    /// [`Error::NotAMember`], [`Error::Muted`], [`Error::MessagesDisabled`], or [`Error::Invalid`] for empty or too
    /// long content.
    pub fn send(&mut self, from: &UserId, content: Content, now: Time) -> Result<Event, Error> {
        self.check_send(from, &content, now)?;
        Ok(self.deliver(from, content, now))
    }

    /// The checks of [`Self::send`], for a caller that has something to ask before it sends.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn check_send(&self, from: &UserId, content: &Content, now: Time) -> Result<(), Error> {
        self.require_member(from)?;
        self.require_may_speak(from, now)?;
        content.check()
    }

    /// The app's backend says something in the name of `from`, who need not be in. A mute and a silenced room hold
    /// for it too, unless `from` is above them as an administrator of the app.
    ///
    /// # Errors
    /// [`Error::Muted`], [`Error::MessagesDisabled`], [`Error::Invalid`].
    pub fn send_for(
        &mut self,
        from: &UserId,
        is_app_admin: bool,
        content: Content,
        now: Time,
    ) -> Result<Event, Error> {
        self.check_send_for(from, is_app_admin, &content, now)?;
        Ok(self.deliver(from, content, now))
    }

    /// The checks of [`Self::send_for`].
    ///
    /// # Errors
    /// As [`Self::send_for`].
    pub fn check_send_for(
        &self,
        from: &UserId,
        is_app_admin: bool,
        content: &Content,
        now: Time,
    ) -> Result<(), Error> {
        if !is_app_admin {
            self.require_may_speak(from, now)?;
        }
        content.check()
    }

    fn deliver(&mut self, from: &UserId, content: Content, now: Time) -> Event {
        self.counters.last_seq += 1;
        self.counters.messages += 1;
        let seq = self.counters.last_seq;
        let id = format!("{}-{seq}", self.info().created_at.unix_millis());
        let message = Message { seq, id, from: from.clone(), content, sent_at: now };
        self.messages.push(message.clone());
        Event::Message(message)
    }

    /// The kept messages with a `Seq` above `seq`, oldest first.
    pub fn messages_after(&self, seq: u64) -> impl Iterator<Item = &Message> {
        self.messages.recent.iter().filter(move |message| message.seq > seq)
    }

    /// The `Seq` of the newest message; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.counters.last_seq
    }
}
