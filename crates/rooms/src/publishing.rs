//! Who may send sound and pictures. The rules, from the room down to the one member:
//!
//! 1. What the room has switched off for everyone is off.
//! 2. What the app's own server has blocked of a user is off, wherever it sits and whoever it is.
//! 3. In a room with seats, whoever publishes sits; a seat's locks hold for whoever sits there.
//! 4. In a Live room without seats only the owner publishes; in a Conference room without seats, every member.
//! 5. A muted member has no microphone until the mute ends.

use serde::{Deserialize, Serialize};

use crate::{Error, Room, RoomType, Time, UserId};

/// What a member publishes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Device {
    /// Sound.
    Microphone,
    /// The main picture.
    Camera,
    /// The second picture.
    Screen,
}

/// Who has a place to publish from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anchors<'a> {
    /// Every member.
    Everyone,
    /// These, as far as they are in.
    These(Vec<&'a UserId>),
}

impl Anchors<'_> {
    /// Whether `user` is one, if it is in.
    pub fn has(&self, user: &UserId) -> bool {
        match self {
            Anchors::Everyone => true,
            Anchors::These(users) => users.contains(&user),
        }
    }
}

impl Device {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Microphone, Self::Camera, Self::Screen];

    /// The word for it on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Device::Microphone => "microphone",
            Device::Camera => "camera",
            Device::Screen => "screen",
        }
    }
}

impl Room {
    /// Checks that `user` may publish with `device` at `now`.
    ///
    /// # Errors
    /// [`Error::NotAMember`], [`Error::NotOnSeat`], [`Error::Muted`], and [`Error::NotAllowed`] for what is locked or
    /// switched off.
    pub fn require_may_publish(&self, user: &UserId, device: Device, now: Time) -> Result<(), Error> {
        self.require_member(user)?;
        let info = self.info();
        let (is_off, trouble) = match device {
            Device::Microphone => (info.is_audio_disabled, "audio is off in this room (IsAudioDisabled)"),
            Device::Camera => (info.is_video_disabled, "video is off in this room (IsVideoDisabled)"),
            Device::Screen => {
                let trouble = "screen sharing is off in this room (IsScreenSharingDisabled)";
                (info.is_screen_sharing_disabled, trouble)
            }
        };
        if is_off {
            return Err(Error::NotAllowed(trouble));
        }
        if self.blocked(user.as_str()).stops(device) {
            return Err(Error::NotAllowed("the app's server has blocked this of you in the room"));
        }
        let occupied = |user: &UserId| self.seats().iter().find(|seat| seat.occupant.as_ref() == Some(user));
        match occupied(user) {
            Some(seat) if device == Device::Microphone && seat.is_audio_locked => {
                return Err(Error::NotAllowed("the seat's audio is locked"));
            }
            Some(seat) if device != Device::Microphone && seat.is_video_locked => {
                return Err(Error::NotAllowed("the seat's video is locked"));
            }
            Some(_) => {}
            None if !self.seats().is_empty() => return Err(Error::NotOnSeat(user.to_string())),
            None if info.room_type == RoomType::Live && info.owner != *user => {
                return Err(Error::NotAllowed(
                    "a Live room without seats is its owner's alone to publish in",
                ));
            }
            None => {}
        }
        match self.mutes.get(user.as_str()) {
            Some(until) if device == Device::Microphone && now < *until => Err(Error::Muted(*until)),
            _ => Ok(()),
        }
    }

    /// Who has a place to publish from, by rules 3 and 4 alone.
    pub fn anchors(&self) -> Anchors<'_> {
        match self.info() {
            _ if !self.seats().is_empty() => {
                Anchors::These(self.seats().iter().filter_map(|seat| seat.occupant.as_ref()).collect())
            }
            info if info.room_type == RoomType::Live => Anchors::These(vec![&info.owner]),
            _ => Anchors::Everyone,
        }
    }

    /// When the mute of `user` ends, if one holds at `now`.
    pub fn muted_until(&self, user: &str, now: Time) -> Option<Time> {
        self.mutes.get(user).copied().filter(|until| now < *until)
    }
}
