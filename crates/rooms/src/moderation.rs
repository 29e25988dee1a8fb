//! Bans: who may not enter, until when. A ban is durable; its end needs no sweep, since every question about it
//! brings the time along.

use serde::{Deserialize, Serialize};

use crate::{Error, Room, SessionId, Time, UserId};

/// One user's ban from one room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Who.
    pub user: UserId,
    /// The first moment at which the user may enter again.
    pub until: Time,
    /// Why, in the administrator's words; at most 200 bytes.
    pub reason: String,
}

impl Room {
    /// Applies a ban that is durable by now: the user is out and stays out.
    ///
    /// Returns the sessions through which it was in.
    pub fn ban(&mut self, ban: Ban, now: Time) -> Vec<SessionId> {
        let sessions = self.remove(&ban.user, now);
        self.bans.insert(ban.user.clone(), ban);
        sessions
    }

    /// Lifts a ban.
    pub fn unban(&mut self, user: &str) {
        self.bans.remove(user);
    }

    /// Whether `user` may not enter at `now`.
    pub fn is_banned(&self, user: &str, now: Time) -> bool {
        self.require_not_banned(user, now).is_err()
    }

    pub(crate) fn require_not_banned(&self, user: &str, now: Time) -> Result<(), Error> {
        match self.bans.get(user) {
            Some(ban) if now < ban.until => Err(Error::Banned(ban.until)),
            _ => Ok(()),
        }
    }
}
