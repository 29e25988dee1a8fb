//! An account: a user known to an app, and what its profile says.

use serde::{Deserialize, Serialize};

use crate::{Error, Time, UserId};

/// A user known to an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Unique in its app.
    pub user: UserId,
    /// What others see of it.
    pub profile: Profile,
    /// When it was first imported.
    pub created_at: Time,
}

/// What others see of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// `Tag_Profile_IM_Nick`.
    pub nick: String,
    /// `Tag_Profile_IM_Image`, a URL.
    pub face_url: String,
    /// Every other profile field by its tag; the value is the JSON text of what was set.
    pub other: std::collections::BTreeMap<String, String>,
}

/// New values of a profile; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// Another nickname.
    pub nick: Option<String>,
    /// Another picture.
    pub face_url: Option<String>,
    /// Other fields, by their tags.
    pub other: Vec<(String, String)>,
}

impl ProfileChange {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Changes a profile.
    pub fn make(self, profile: &mut Profile) {
        if let Some(nick) = self.nick {
            profile.nick = nick;
        }
        if let Some(face_url) = self.face_url {
            profile.face_url = face_url;
        }
        profile.other.extend(self.other);
    }
}

impl Profile {
    /// The most bytes a profile value may have.
    pub const MAX_VALUE_BYTES: usize = 500;
    /// The most other fields a profile may have.
    pub const MAX_OTHER: usize = 40;

    /// Checks the limits.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a value that is too long or a field too many.
    pub fn check(&self) -> Result<(), Error> {
        let named = [("Nick", &self.nick), ("FaceUrl", &self.face_url)];
        let other = self.other.iter().flat_map(|(tag, value)| [("Tag", tag), (tag.as_str(), value)]);
        for (field, value) in named.into_iter().chain(other) {
            if value.len() > Self::MAX_VALUE_BYTES {
                let trouble =
                    format_args!("is {} bytes; at most {} are allowed", value.len(), Self::MAX_VALUE_BYTES);
                return Err(Error::invalid(field, trouble));
            }
        }
        if self.other.len() > Self::MAX_OTHER {
            return Err(Error::invalid("ProfileItem", "would leave more than 40 fields in the profile"));
        }
        Ok(())
    }
}
