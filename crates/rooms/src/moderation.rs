//! Who may not enter, who may not speak, who is put out, and who may order it.
//!
//! Mutes and bans are durable; their end needs no sweep, since every question about one brings the time along.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::outcome::RecordKey;
use crate::{Delta, Device, Error, Event, LeaveCause, Outcome, Record, Room, RoomInfo, Time, UserId};

/// How many ended mutes or bans a new one clears away.
const CLEARED_AT_ONCE: usize = 20;

/// One user's ban from one room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Who.
    pub user: UserId,
    /// The first moment at which the user may enter again.
    pub until: Time,
    /// Why, in the administrator's words.
    pub reason: String,
}

/// What a member is called in one room.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Card {
    /// At most 32 bytes.
    pub name_card: String,
    /// The app's own, at most 60 bytes.
    pub custom_info: String,
    /// The app's own numbers for it, in order, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<u32>,
}

/// What of a user's sound and pictures may not flow in one room, as long as that room is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Block {
    /// Its sound.
    pub audio: bool,
    /// Its pictures, camera and screen.
    pub video: bool,
}

impl Block {
    /// Whether it stops what this device sends.
    pub(crate) fn stops(self, device: Device) -> bool {
        match device {
            Device::Microphone => self.audio,
            Device::Camera | Device::Screen => self.video,
        }
    }
}

/// What somebody may do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Take part.
    Member,
    /// Moderate members.
    Admin,
    /// Everything.
    Owner,
}

impl Role {
    /// The word for it on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Member => "Member",
            Role::Admin => "Admin",
            Role::Owner => "Owner",
        }
    }
}

impl Room {
    /// What `user` may do here.
    pub fn role(&self, user: &str) -> Role {
        if self.info().owner.as_str() == user {
            Role::Owner
        } else if self.admins.contains(user) {
            Role::Admin
        } else {
            Role::Member
        }
    }

    /// Checks that `operator` is the owner or an administrator.
    ///
    /// # Errors
    /// [`Error::NotAllowed`].
    pub fn require_manager(&self, operator: &UserId) -> Result<(), Error> {
        if self.role(operator.as_str()) > Role::Member {
            return Ok(());
        }
        Err(Error::NotAllowed("only the owner and administrators of the room may do this"))
    }

    /// Checks that `operator` may moderate each of `users`: it must stand above them.
    ///
    /// # Errors
    /// [`Error::NotAllowed`].
    pub fn require_above(&self, operator: &UserId, users: &[UserId]) -> Result<(), Error> {
        self.require_manager(operator)?;
        let own = self.role(operator.as_str());
        if users.iter().any(|user| user != operator && self.role(user.as_str()) >= own) {
            return Err(Error::NotAllowed(
                "the owner and administrators of the room cannot be moderated by equals",
            ));
        }
        Ok(())
    }

    /// Puts users out; they may enter again.
    ///
    /// # Errors
    /// [`Error::NotAMember`] when one is not in; then nobody is put out.
    pub fn kick(&self, users: &[UserId]) -> Result<Outcome, Error> {
        let mut members = users.iter().filter(|user| !self.is_player(user.as_str()));
        members.try_for_each(|user| self.require_member(user))?;
        Ok(self.put_out(users, LeaveCause::Kicked))
    }

    /// Puts those of the users out who are in, as the app's own server orders it; they may enter again. To themselves it is a
    /// ban, as in the cloud.
    pub fn remove_users(&self, users: &[UserId]) -> Outcome {
        let is_in = |user: &&UserId| self.require_member(user).is_ok() || self.is_player(user.as_str());
        let users: Vec<UserId> = users.iter().filter(is_in).cloned().collect();
        self.put_out(&users, LeaveCause::Banned)
    }

    /// Stops a member's sound or pictures, or lets them flow again. It holds as long as the room is, also when the user goes and
    /// comes back.
    ///
    /// # Errors
    /// [`Error::NotAMember`].
    pub fn block(&self, user: &UserId, block: Block) -> Result<Outcome, Error> {
        self.require_member(user)?;
        let changes = match block {
            _ if block == self.blocked(user.as_str()) => Vec::new(),
            Block { audio: false, video: false } => vec![Delta::Unset(RecordKey::new(Record::BLOCK, user))],
            _ => vec![Delta::Set(Record::Block { user: user.clone(), block })],
        };
        Ok(Outcome { changes, events: Vec::new() })
    }

    /// What of a user's may not flow.
    pub fn blocked(&self, user: &str) -> Block {
        self.blocks.get(user).copied().unwrap_or_default()
    }

    /// Puts users out and keeps them out for `duration`.
    pub fn ban(&self, users: &[UserId], reason: &str, duration: Duration, now: Time) -> Outcome {
        let mut outcome = Outcome::default();
        let ended = self.ended_bans(now);
        outcome.changes.extend(ended.map(|user| Delta::Unset(RecordKey::new(Record::BAN, user))));
        let ban = |user: &UserId| Ban { user: user.clone(), until: now + duration, reason: reason.into() };
        outcome.changes.extend(users.iter().map(|user| Delta::Set(Record::Ban(ban(user)))));
        outcome.join(self.put_out(users, LeaveCause::Banned));
        outcome
    }

    /// Lifts bans; a user who is not banned is passed over.
    pub fn unban(&self, users: &[UserId]) -> Outcome {
        let banned = users.iter().filter(|user| self.bans.contains_key(user.as_str()));
        let changes = banned.map(|user| Delta::Unset(RecordKey::new(Record::BAN, user))).collect();
        Outcome { changes, events: Vec::new() }
    }

    /// Silences users for `duration`; zero lets them speak again.
    pub fn mute(&self, users: &[UserId], duration: Duration, now: Time) -> Outcome {
        let mut outcome = Outcome::default();
        let ended = self.ended_mutes(now);
        outcome.changes.extend(ended.map(|user| Delta::Unset(RecordKey::new(Record::MUTE, user))));
        let until = (!duration.is_zero()).then(|| now + duration);
        outcome.changes.extend(users.iter().map(|user| match until {
            Some(until) => Delta::Set(Record::Mute { user: user.clone(), until }),
            None => Delta::Unset(RecordKey::new(Record::MUTE, user)),
        }));
        outcome.events.push(Event::Muted { users: users.to_vec(), until });
        outcome
    }

    /// Makes users administrators, or takes that from them. The owner is above it.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the owner is among them.
    pub fn set_admins(&self, users: &[UserId], on: bool) -> Result<Outcome, Error> {
        if users.contains(&self.info().owner) {
            return Err(Error::invalid(
                "Admin_Account",
                "has the owner, who is no administrator but above them",
            ));
        }
        let changes = users.iter().filter(|user| self.admins.contains(user.as_str()) != on);
        let change = |user: &UserId| match on {
            true => Delta::Set(Record::Admin(user.clone())),
            false => Delta::Unset(RecordKey::new(Record::ADMIN, user)),
        };
        let changes: Vec<Delta> = changes.map(change).collect();
        if changes.is_empty() {
            return Ok(Outcome::default());
        }
        Ok(Outcome { changes, events: vec![Event::AdminsChanged { users: users.to_vec(), added: on }] })
    }

    /// The room gets another owner, who is no administrator from then on.
    pub fn change_owner(&self, to: &UserId) -> Outcome {
        let from = self.info().owner.clone();
        if from == *to {
            return Outcome::default();
        }
        let info = RoomInfo { owner: to.clone(), ..self.info().clone() };
        let mut outcome =
            Outcome::of(Delta::Info(Box::new(info)), Event::OwnerChanged { from, to: to.clone() });
        if self.admins.contains(to) {
            outcome.changes.push(Delta::Unset(RecordKey::new(Record::ADMIN, to)));
        }
        outcome
    }

    /// What a member is called from now on.
    ///
    /// # Errors
    /// [`Error::NotAMember`], [`Error::Invalid`] beyond a limit.
    pub fn set_card(
        &self,
        user: &UserId,
        name_card: Option<String>,
        custom_info: Option<String>,
    ) -> Result<Outcome, Error> {
        self.require_member(user)?;
        let mut card = self.card(user.as_str()).cloned().unwrap_or_default();
        for (field, to, from, max) in [
            ("NameCard", &mut card.name_card, name_card, 32),
            ("CustomInfo", &mut card.custom_info, custom_info, 60),
        ] {
            let Some(text) = from else { continue };
            if text.len() > max {
                return Err(Error::too_long(field, text.len(), max));
            }
            *to = text;
        }
        let event = Event::CardChanged { user: user.clone(), card: card.clone() };
        Ok(Outcome::of(Delta::Set(Record::Card { user: user.clone(), card }), event))
    }

    /// What a member is called here, if anything was set.
    pub fn card(&self, user: &str) -> Option<&Card> {
        self.cards.get(user)
    }

    /// The administrators, by name.
    pub fn admins(&self) -> impl Iterator<Item = &UserId> {
        self.admins.iter()
    }

    /// The owner and the administrators.
    pub fn managers(&self) -> impl Iterator<Item = &UserId> {
        std::iter::once(&self.info().owner).chain(self.admins())
    }

    /// Bans that hold at `now`, by name.
    pub fn bans(&self, now: Time) -> impl Iterator<Item = &Ban> {
        self.bans.values().filter(move |ban| now < ban.until)
    }

    /// Mutes that hold at `now`, by name, with their ends.
    pub fn mutes(&self, now: Time) -> impl Iterator<Item = (&UserId, Time)> {
        self.mutes.iter().filter(move |(_, until)| now < **until).map(|(user, until)| (user, *until))
    }

    /// Whose bans are over, as many as a new one clears away.
    pub fn ended_bans(&self, now: Time) -> impl Iterator<Item = &UserId> {
        let ended = self.bans.iter().filter(move |(_, ban)| ban.until <= now);
        ended.map(|(user, _)| user).take(CLEARED_AT_ONCE)
    }

    /// Whose mutes are over, as many as a new one clears away.
    pub fn ended_mutes(&self, now: Time) -> impl Iterator<Item = &UserId> {
        let ended = self.mutes.iter().filter(move |(_, until)| **until <= now);
        ended.map(|(user, _)| user).take(CLEARED_AT_ONCE)
    }

    /// Whether `user` may not enter at `now`.
    pub fn is_banned(&self, user: &str, now: Time) -> bool {
        self.require_not_banned(user, now).is_err()
    }

    /// Checks that `user` may enter at `now`.
    ///
    /// # Errors
    /// [`Error::Banned`].
    pub fn require_not_banned(&self, user: &str, now: Time) -> Result<(), Error> {
        match self.bans.get(user) {
            Some(ban) if now < ban.until => Err(Error::Banned(ban.until)),
            _ => Ok(()),
        }
    }

    /// Checks that `user` may come in by what it gives as the password. Who is in already needs none, nor do those in charge.
    ///
    /// # Errors
    /// [`Error::PasswordWanted`], [`Error::WrongPassword`].
    pub fn require_password(&self, user: &UserId, given: Option<&str>) -> Result<(), Error> {
        let info = self.info();
        if !info.is_password_enabled
            || self.require_member(user).is_ok()
            || self.role(user.as_str()) > Role::Member
        {
            return Ok(());
        }
        match given {
            None | Some("") => Err(Error::PasswordWanted(info.room_id.to_string())),
            Some(given) if given == info.password => Ok(()),
            Some(_) => Err(Error::WrongPassword(info.room_id.to_string())),
        }
    }

    /// Checks that `user` may send messages at `now`: not muted, and not in a silenced room unless it manages it.
    ///
    /// # Errors
    /// [`Error::Muted`], [`Error::MessagesDisabled`].
    pub fn require_may_speak(&self, user: &UserId, now: Time) -> Result<(), Error> {
        match self.mutes.get(user.as_str()) {
            Some(until) if now < *until => return Err(Error::Muted(*until)),
            _ => {}
        }
        if self.info().is_message_disabled && self.role(user.as_str()) == Role::Member {
            return Err(Error::MessagesDisabled);
        }
        Ok(())
    }

    fn put_out(&self, users: &[UserId], cause: LeaveCause) -> Outcome {
        let mut outcome = Outcome::default();
        let mut seats = self.seats.clone();
        for user in users {
            let told = self.members().place(user.as_str());
            outcome.changes.push(Delta::PutOut { user: user.clone(), cause, told });
            if told.is_some() {
                outcome.events.push(Event::Left { user: user.clone(), cause });
            }
            if let Some(index) = seats.vacate(user) {
                outcome.changes.extend(seats.record(index).map(Delta::Set));
            }
        }
        if seats != self.seats {
            outcome.events.push(Event::SeatsChanged { seats: seats.list().to_vec() });
        }
        outcome
    }
}
