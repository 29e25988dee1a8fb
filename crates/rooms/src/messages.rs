//! Text messages: one order a room, the last of them kept for those who were away for a moment.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{Error, Event, Room, Time, UserId};

/// How many of a room's messages are kept.
pub const RECENT_MESSAGES: usize = 50;

/// The most bytes (of UTF-8) a text may have.
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
    pub text: String,
    /// When the server took it.
    pub sent_at: Time,
}

/// A room's messages.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    last_seq: u64,
    recent: VecDeque<Message>,
}

impl Messages {
    pub(crate) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    pub(crate) fn skip_to(&mut self, seq: u64) {
        self.last_seq = self.last_seq.max(seq);
    }
}

impl Room {
    /// A member says something to everyone in the room, itself included.
    ///
    /// # Errors
    /// [`Error::NotAMember`], [`Error::MessagesDisabled`], or [`Error::Invalid`] for an empty or too long text.
    pub fn send_text(&mut self, from: &UserId, text: &str, now: Time) -> Result<Event, Error> {
        self.require_member(from)?;
        if self.info().is_message_disabled {
            return Err(Error::MessagesDisabled);
        }
        if text.is_empty() {
            return Err(Error::invalid("Text", "is empty"));
        }
        if text.len() > MAX_TEXT_BYTES {
            let trouble = format_args!("is {} bytes; at most {MAX_TEXT_BYTES} are allowed", text.len());
            return Err(Error::invalid("Text", trouble));
        }
        let seq = self.messages.last_seq + 1;
        let message = Message {
            seq,
            id: format!("{}-{seq}", self.info().created_at.unix_millis()),
            from: from.clone(),
            text: text.into(),
            sent_at: now,
        };
        self.messages.last_seq = seq;
        self.messages.recent.push_back(message.clone());
        if self.messages.recent.len() > RECENT_MESSAGES {
            self.messages.recent.pop_front();
        }
        Ok(Event::Text(message))
    }

    /// The kept messages with a `Seq` above `seq`, oldest first.
    pub fn messages_after(&self, seq: u64) -> impl Iterator<Item = &Message> {
        self.messages.recent.iter().filter(move |message| message.seq > seq)
    }

    /// The `Seq` of the newest message; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.messages.last_seq()
    }
}
