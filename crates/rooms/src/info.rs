//! What a room is: its durable record, the fields a caller may set, their defaults and limits
//! (`spec/live-rest-api.md`, RoomInfo).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, RoomId, Schedule, SeatTemplate, TakeSeatMode, Time, UserId};

/// The most tags (`Category`) of a room.
pub(crate) const MAX_TAGS: usize = 3;

/// The most bytes of the app's own text about a room, by its type.
const MAX_CUSTOM_INFO: usize = 2048;
const MAX_CONFERENCE_CUSTOM_INFO: usize = 500;

/// The most bytes of a room's password.
const MAX_PASSWORD_BYTES: usize = 32;

/// The two families of rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoomType {
    /// A live stream or voice room.
    Live,
    /// A meeting.
    Conference,
}

impl fmt::Display for RoomType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RoomType::Live => "Live",
            RoomType::Conference => "Conference",
        })
    }
}

/// A room's durable record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomInfo {
    /// Unique in its app.
    pub room_id: RoomId,
    /// Live or Conference.
    pub room_type: RoomType,
    /// At most 100 bytes; the room id by default.
    pub room_name: String,
    /// An imported account.
    pub owner: UserId,
    /// The member that made it; `None` when the app's server did. Never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<UserId>,
    /// When it was created.
    pub created_at: Time,
    /// Random, different each time a room of this id is created: binds cursors to this one. Never shown.
    pub incarnation: u64,
    /// The seat layout, if it has one.
    pub seat_template: Option<SeatTemplate>,
    /// An older layout id that names no template we know: echoed.
    pub seat_layout_template_id: Option<u32>,
    /// Whether there are seats.
    pub is_seat_enabled: bool,
    /// How seats are taken.
    pub take_seat_mode: TakeSeatMode,
    /// How many seats; 0 without seats.
    pub max_seat_count: u32,
    /// The owner keeps a seat.
    pub keep_owner_on_seat: bool,
    /// How many members at most; 0 is no limit.
    pub max_member_count: u32,
    /// Echoed.
    pub is_unlimited_room_enabled: bool,
    /// At most 200 bytes.
    pub cover_url: String,
    /// At most 200 bytes.
    pub background_url: String,
    /// At most 100 bytes.
    pub notice: String,
    /// At most 3.
    pub category: Vec<i64>,
    /// The app's own tag.
    pub activity_status: i64,
    /// Shown in the room list.
    pub is_public_visible: bool,
    /// Nobody may send messages.
    pub is_message_disabled: bool,
    /// Gifts may be sent.
    pub is_gift_enabled: bool,
    /// Likes may be sent.
    pub is_like_enabled: bool,
    /// No audio for everyone.
    pub is_audio_disabled: bool,
    /// No camera for everyone.
    pub is_video_disabled: bool,
    /// No screen sharing for everyone.
    pub is_screen_sharing_disabled: bool,
    /// Nobody is to record what goes on in it.
    #[serde(default)]
    pub is_cloud_recording_disabled: bool,
    /// What it is booked for, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Box<Schedule>>,
    /// Players (WHEP) are members, and listed; else they are only counted.
    #[serde(default = "yes")]
    pub is_player_listed: bool,
    /// The room ends when it had no members for so long; `None` is never.
    pub lifetime_after_no_users: Option<Duration>,
    /// The room ends when its owner left so long ago.
    pub lifetime_after_owner_leave: Option<Duration>,
    /// The room ends when its owner's connection was lost so long ago.
    pub lifetime_after_owner_offline: Option<Duration>,
    /// The app's own, at most 2 KiB; of a Conference room, 500 bytes.
    pub custom_info: String,
    /// Who enters has to give `password`.
    #[serde(default)]
    pub is_password_enabled: bool,
    /// At most 32 bytes. Shown to the app's server and to those in charge of the room, nobody else.
    #[serde(default)]
    pub password: String,
}

fn yes() -> bool {
    true
}

/// The fields a caller sets on creating or updating a room; what is absent keeps its value (or default).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
#[allow(missing_docs, reason = "each is the field of RoomInfo of the same name, as it stands on the wire")]
pub struct Fields {
    pub room_name: Option<String>,
    pub seat_template: Option<String>,
    pub seat_layout_template_id: Option<u32>,
    pub is_seat_enabled: Option<bool>,
    pub take_seat_mode: Option<WireTakeSeatMode>,
    pub max_seat_count: Option<u32>,
    pub keep_owner_on_seat: Option<bool>,
    pub max_member_count: Option<u32>,
    pub is_unlimited_room_enabled: Option<bool>,
    #[serde(rename = "CoverURL")]
    pub cover_url: Option<String>,
    #[serde(rename = "BackgroundURL")]
    pub background_url: Option<String>,
    pub notice: Option<String>,
    pub category: Option<Vec<i64>>,
    pub activity_status: Option<i64>,
    pub is_public_visible: Option<bool>,
    pub is_message_disabled: Option<bool>,
    pub is_gift_enabled: Option<bool>,
    pub is_like_enabled: Option<bool>,
    pub is_audio_disabled: Option<bool>,
    pub is_video_disabled: Option<bool>,
    pub is_screen_sharing_disabled: Option<bool>,
    pub is_cloud_recording_disabled: Option<bool>,
    /// Unix seconds; 0 is none.
    pub schedule_start_time: Option<u32>,
    pub schedule_end_time: Option<u32>,
    /// Of a new room alone.
    #[serde(skip)]
    pub invitees: Option<Vec<UserId>>,
    pub is_player_listed: Option<bool>,
    pub lifetime_after_no_users: Option<u32>,
    pub lifetime_after_owner_leave: Option<u32>,
    pub lifetime_after_owner_offline: Option<u32>,
    pub custom_info: Option<String>,
    pub is_password_enabled: Option<bool>,
    pub password: Option<String>,
}

/// `TakeSeatMode` by name, or by the number older callers send.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the two forms on the wire")]
pub enum WireTakeSeatMode {
    Name(String),
    Number(u32),
}

impl WireTakeSeatMode {
    /// Whether it says that there are no seats to take, as callers do of Conference rooms.
    fn is_none(&self) -> bool {
        matches!(self, Self::Name(name) if name == "None")
    }

    fn parse(&self) -> Result<TakeSeatMode, Error> {
        match self {
            Self::Name(name) if name == "FreeToTake" => Ok(TakeSeatMode::FreeToTake),
            Self::Name(name) if name == "ApplyToTake" => Ok(TakeSeatMode::ApplyToTake),
            Self::Number(1) => Ok(TakeSeatMode::FreeToTake),
            Self::Number(2) => Ok(TakeSeatMode::ApplyToTake),
            _ => Err(Error::invalid("TakeSeatMode", "is neither FreeToTake nor ApplyToTake")),
        }
    }
}

impl RoomInfo {
    /// The record of a new room: the defaults, with `fields` over them.
    ///
    /// # Errors
    /// [`Error::TooManyTags`]; [`Error::Invalid`] for another field out of its limits.
    pub fn create(
        room_id: RoomId,
        room_type: RoomType,
        owner: UserId,
        fields: &Fields,
        now: Time,
        incarnation: u64,
    ) -> Result<Self, Error> {
        let schedule = Schedule::create(room_type, fields, now)?;
        let defaults = Self {
            room_name: room_id.to_string(),
            room_id,
            room_type,
            owner,
            made_by: None,
            created_at: now,
            incarnation,
            seat_template: None,
            seat_layout_template_id: None,
            is_seat_enabled: false,
            take_seat_mode: TakeSeatMode::FreeToTake,
            max_seat_count: 0,
            keep_owner_on_seat: false,
            max_member_count: 0,
            is_unlimited_room_enabled: false,
            cover_url: String::new(),
            background_url: String::new(),
            notice: String::new(),
            category: Vec::new(),
            activity_status: 0,
            is_public_visible: true,
            is_message_disabled: false,
            is_gift_enabled: true,
            is_like_enabled: true,
            is_audio_disabled: false,
            is_video_disabled: false,
            is_screen_sharing_disabled: false,
            is_cloud_recording_disabled: false,
            schedule,
            is_player_listed: true,
            lifetime_after_no_users: None,
            lifetime_after_owner_leave: None,
            lifetime_after_owner_offline: None,
            custom_info: String::new(),
            // Who names a password for a new room wants it closed.
            is_password_enabled: fields.password.as_ref().is_some_and(|password| !password.is_empty()),
            password: String::new(),
        };
        defaults.updated(fields)
    }

    /// The record with `fields` changed.
    ///
    /// # Errors
    /// [`Error::TooManyTags`]; [`Error::Invalid`] for another field out of its limits.
    pub fn updated(&self, fields: &Fields) -> Result<Self, Error> {
        let mut info = self.clone();
        let Fields {
            room_name,
            seat_template,
            seat_layout_template_id,
            is_seat_enabled,
            take_seat_mode,
            max_seat_count,
            keep_owner_on_seat,
            max_member_count,
            is_unlimited_room_enabled,
            cover_url,
            background_url,
            notice,
            category,
            activity_status,
            is_public_visible,
            is_message_disabled,
            is_gift_enabled,
            is_like_enabled,
            is_audio_disabled,
            is_video_disabled,
            is_screen_sharing_disabled,
            is_cloud_recording_disabled,
            schedule_start_time: _,
            schedule_end_time: _,
            invitees: _,
            is_player_listed,
            lifetime_after_no_users,
            lifetime_after_owner_leave,
            lifetime_after_owner_offline,
            custom_info,
            is_password_enabled,
            password,
        } = fields;

        set_text("RoomName", &mut info.room_name, room_name, 100)?;
        if info.room_name.is_empty() {
            info.room_name = info.room_id.to_string();
        }
        set_text("CoverURL", &mut info.cover_url, cover_url, 200)?;
        set_text("BackgroundURL", &mut info.background_url, background_url, 200)?;
        set_text("Notice", &mut info.notice, notice, 100)?;
        let most = match info.room_type {
            RoomType::Live => MAX_CUSTOM_INFO,
            RoomType::Conference => MAX_CONFERENCE_CUSTOM_INFO,
        };
        set_text("CustomInfo", &mut info.custom_info, custom_info, most)?;
        set_text("Password", &mut info.password, password, MAX_PASSWORD_BYTES)?;
        set(&mut info.is_password_enabled, *is_password_enabled);
        if info.is_password_enabled && info.password.is_empty() {
            return Err(Error::invalid("Password", "is missing; IsPasswordEnabled needs one"));
        }
        if let Some(category) = category {
            if category.len() > MAX_TAGS {
                return Err(Error::TooManyTags(category.len()));
            }
            info.category.clone_from(category);
        }
        set(&mut info.activity_status, *activity_status);
        set(&mut info.max_member_count, *max_member_count);
        set(&mut info.keep_owner_on_seat, *keep_owner_on_seat);
        set(&mut info.is_unlimited_room_enabled, *is_unlimited_room_enabled);
        set(&mut info.is_public_visible, *is_public_visible);
        set(&mut info.is_message_disabled, *is_message_disabled);
        set(&mut info.is_gift_enabled, *is_gift_enabled);
        set(&mut info.is_like_enabled, *is_like_enabled);
        set(&mut info.is_audio_disabled, *is_audio_disabled);
        set(&mut info.is_video_disabled, *is_video_disabled);
        set(&mut info.is_screen_sharing_disabled, *is_screen_sharing_disabled);
        set(&mut info.is_cloud_recording_disabled, *is_cloud_recording_disabled);
        set(&mut info.is_player_listed, *is_player_listed);
        set_lifetime(&mut info.lifetime_after_no_users, *lifetime_after_no_users);
        set_lifetime(&mut info.lifetime_after_owner_leave, *lifetime_after_owner_leave);
        set_lifetime(&mut info.lifetime_after_owner_offline, *lifetime_after_owner_offline);
        info.set_schedule(fields)?;
        let is_without = info.room_type == RoomType::Conference
            && take_seat_mode.as_ref().is_some_and(WireTakeSeatMode::is_none);
        if let Some(mode) = take_seat_mode.as_ref().filter(|_| !is_without) {
            info.take_seat_mode = mode.parse()?;
        }
        info.set_seats(
            seat_template.as_deref(),
            *seat_layout_template_id,
            *is_seat_enabled,
            *max_seat_count,
        )?;
        if is_without && info.is_seat_enabled {
            return Err(Error::invalid(
                "TakeSeatMode",
                "is None, which is of rooms without seats (IsSeatEnabled false)",
            ));
        }
        Ok(info)
    }

    /// Newer callers name a template, older ones switch seats on and may give a layout id; neither means no seats.
    fn set_seats(
        &mut self,
        template: Option<&str>,
        layout_id: Option<u32>,
        enabled: Option<bool>,
        count: Option<u32>,
    ) -> Result<(), Error> {
        let before = (self.seat_template, self.is_seat_enabled);
        if let Some(id) = layout_id {
            self.seat_template = SeatTemplate::by_layout_id(id);
            self.seat_layout_template_id = self.seat_template.is_none().then_some(id);
            self.is_seat_enabled = true;
        }
        match template {
            None => {}
            Some("") => (self.seat_template, self.is_seat_enabled) = (None, false),
            Some(name) => {
                self.seat_template = Some(SeatTemplate::by_name(name).ok_or_else(|| {
                    let trouble = format_args!("{name:?} is unknown; there are {}", SeatTemplate::names());
                    Error::invalid("SeatTemplate", trouble)
                })?);
                self.seat_layout_template_id = None;
                self.is_seat_enabled = true;
            }
        }
        set(&mut self.is_seat_enabled, enabled);

        let (default, most) = SeatTemplate::seats(self.seat_template);
        if !self.is_seat_enabled {
            self.max_seat_count = 0;
            return Ok(());
        }
        match count {
            Some(count) if count > most => {
                let trouble = format_args!("is {count}; this seat template has at most {most}");
                return Err(Error::invalid("MaxSeatCount", trouble));
            }
            // 0 is what callers send who leave the choice to the template.
            Some(0) => self.max_seat_count = default,
            Some(count) => self.max_seat_count = count,
            None if before != (self.seat_template, true) => self.max_seat_count = default,
            None => {}
        }
        Ok(())
    }
}

fn set<T>(to: &mut T, from: Option<T>) {
    if let Some(value) = from {
        *to = value;
    }
}

fn set_text(field: &str, to: &mut String, from: &Option<String>, max_bytes: usize) -> Result<(), Error> {
    let Some(text) = from else { return Ok(()) };
    if text.len() > max_bytes {
        let trouble = format_args!("is {} bytes; at most {max_bytes} are allowed", text.len());
        return Err(Error::invalid(field, trouble));
    }
    to.clone_from(text);
    Ok(())
}

/// Seconds on the wire; 0 takes a lifetime off again.
fn set_lifetime(to: &mut Option<Duration>, seconds: Option<u32>) {
    if let Some(seconds) = seconds {
        *to = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(json: &str) -> Result<RoomInfo, String> {
        let fields: Fields = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let now = Time::from_unix_seconds(1_700_000_000);
        RoomInfo::create(
            RoomId::parse("r1").unwrap(),
            RoomType::Live,
            UserId::parse("ann").unwrap(),
            &fields,
            now,
            1,
        )
        .map_err(|error| error.to_string())
    }

    #[test]
    fn a_room_has_the_documented_defaults() {
        let info = create("{}").unwrap();

        assert_eq!(info.room_name, "r1");
        assert_eq!((info.is_seat_enabled, info.max_seat_count), (false, 0));
        assert!(info.is_gift_enabled && info.is_like_enabled && !info.is_message_disabled);
        assert_eq!(info.lifetime_after_no_users, None);
    }

    #[test]
    fn seats_come_from_either_form() {
        for (json, template, count) in [
            (r#"{"SeatTemplate":"VideoDynamicGrid9Seats"}"#, "VideoDynamicGrid9Seats", 9),
            (r#"{"SeatTemplate":"VideoFixedFloat7Seat"}"#, "VideoFixedFloat7Seats", 7),
            (r#"{"SeatTemplate":"AudioSalon","MaxSeatCount":12}"#, "AudioSalon", 12),
            (r#"{"SeatLayoutTemplateId":600,"IsSeatEnabled":true}"#, "VideoDynamicGrid9Seats", 9),
            (r#"{"IsSeatEnabled":true,"MaxSeatCount":8}"#, "", 8),
            (r#"{"IsSeatEnabled":true,"MaxSeatCount":0}"#, "", 9),
            (r#"{"SeatTemplate":"Karaoke","IsSeatEnabled":false}"#, "Karaoke", 0),
        ] {
            let info = create(json).unwrap();
            assert_eq!(info.seat_template.map_or("", SeatTemplate::name), template, "{json}");
            assert_eq!(info.max_seat_count, count, "{json}");
        }
    }

    #[test]
    fn a_value_out_of_its_limits_is_named() {
        let long = "x".repeat(201);
        for (json, trouble) in [
            (format!(r#"{{"RoomName":"{long}"}}"#), "RoomName is 201 bytes; at most 100 are allowed"),
            (format!(r#"{{"CoverURL":"{long}"}}"#), "CoverURL is 201 bytes; at most 200 are allowed"),
            (r#"{"Category":[1,2,3,4]}"#.into(), "Category has 4 entries; at most 3 are allowed"),
            (
                r#"{"SeatTemplate":"VideoLandscape4Seats","MaxSeatCount":5}"#.into(),
                "MaxSeatCount is 5; this seat template has at most 4",
            ),
            (r#"{"TakeSeatMode":"Grab"}"#.into(), "TakeSeatMode is neither FreeToTake nor ApplyToTake"),
            (format!(r#"{{"Password":"{long}"}}"#), "Password is 201 bytes; at most 32 are allowed"),
            (r#"{"IsPasswordEnabled":true}"#.into(), "Password is missing; IsPasswordEnabled needs one"),
            (
                r#"{"IsPasswordEnabled":true,"Password":""}"#.into(),
                "Password is missing; IsPasswordEnabled needs one",
            ),
        ] {
            assert_eq!(create(&json).unwrap_err(), trouble);
        }
    }

    #[test]
    fn a_new_room_with_a_password_wants_it_unless_it_says_otherwise() {
        for (json, wanted) in [
            (r#"{"Password":"x"}"#, true),
            (r#"{"Password":"x","IsPasswordEnabled":true}"#, true),
            (r#"{"Password":"x","IsPasswordEnabled":false}"#, false),
            (r#"{"Password":""}"#, false),
            ("{}", false),
        ] {
            assert_eq!(create(json).unwrap().is_password_enabled, wanted, "{json}");
        }
    }

    #[test]
    fn an_update_leaves_the_password_as_it_was_where_it_says_nothing_of_it() {
        let open = create(r#"{"Password":"x","IsPasswordEnabled":false}"#).unwrap();
        let update = |json: &str| open.updated(&serde_json::from_str(json).unwrap());

        let other = update(r#"{"Password":"y"}"#).unwrap();
        assert_eq!((other.is_password_enabled, other.password.as_str()), (false, "y"));
        let closed = update(r#"{"IsPasswordEnabled":true}"#).unwrap();
        assert_eq!((closed.is_password_enabled, closed.password.as_str()), (true, "x"));
        assert!(update(r#"{"IsPasswordEnabled":true,"Password":""}"#).is_err());
    }

    #[test]
    fn an_update_changes_what_it_names() {
        let info =
            create(r#"{"SeatTemplate":"AudioSalon","MaxSeatCount":12,"LifetimeAfterNoUsers":60}"#).unwrap();

        let fields: Fields = serde_json::from_str(r#"{"Notice":"hi","LifetimeAfterNoUsers":0}"#).unwrap();
        let updated = info.updated(&fields).unwrap();

        let expected = RoomInfo { notice: "hi".into(), lifetime_after_no_users: None, ..info };
        assert_eq!(updated, expected);
    }
}
