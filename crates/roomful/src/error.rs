//! What went wrong, as the API says it: a code and a message. The one place where the errors of the other crates get their
//! codes.

use std::borrow::Cow;

use rooms::RoomType;

pub(crate) use crate::code::Code;

/// A refusal on its way to a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) code: Code,
    pub(crate) message: Cow<'static, str>,
    /// The command is for rooms of the other type, which has one of the same name perhaps.
    pub(crate) is_for_other_type: bool,
}

impl ApiError {
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), is_for_other_type: false }
    }

    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        Self::new(Code::Internal, error.to_string())
    }

    pub(crate) fn invalid(field: &str, trouble: impl std::fmt::Display) -> Self {
        rooms::Error::invalid(field, trouble).into()
    }
}

impl From<rooms::Error> for ApiError {
    fn from(error: rooms::Error) -> Self {
        use rooms::Error as E;
        let code = match &error {
            E::Invalid(_) => Code::Invalid,
            E::RoomExists(_) => Code::RoomExists,
            E::RoomIsThere { .. } => Code::RoomIsThere,
            E::RoomNotFound(_) => Code::RoomNotFound,
            E::NotAMember { .. } => Code::NotAMember,
            E::WrongRoomType { wanted: RoomType::Live, .. } => Code::NotAllowed,
            E::WrongRoomType { wanted: RoomType::Conference, .. } => Code::WrongRoomType,
            E::TooManyTags(_) | E::TooManyMarks(_) => Code::TooManyTags,
            E::RoomFull(_) => Code::RoomFull,
            E::Banned(_) => Code::Banned,
            E::PasswordWanted(_) => Code::PasswordWanted,
            E::WrongPassword(_) => Code::WrongPassword,
            E::MessagesDisabled => Code::MessagesDisabled,
            E::Muted(_) => Code::Muted,
            E::GiftsDisabled => Code::GiftsDisabled,
            E::LikesDisabled => Code::LikesDisabled,
            E::NotAllowed(_) => Code::NotAllowed,
            E::TooManyKeys(_) => Code::TooManyKeys,
            E::KeyTooLong(_) => Code::KeyTooLong,
            E::ValueTooLong(_) => Code::ValueTooLong,
            E::ValuesTooLong(_) => Code::ValuesTooLong,
            E::NoSuchKey => Code::NoSuchKey,
            E::SeatLocked(_) => Code::SeatLocked,
            E::AlreadyQueueing(_) => Code::WaitingAlready,
            E::AlreadyOnSeat { .. } => Code::OnSeatAlready,
            E::UserOnSeat { .. } => Code::SeatHasUser,
            E::NotOnSeat(_) => Code::NotOnSeat,
            E::NoSeatFree => Code::NoSeatFree,
            E::ApplyFirst => Code::ApplyFirst,
            E::RequestNotFound(_) => Code::NotWaiting,
            E::SeatTaken(_) => Code::SeatTaken,
            E::NoSeats => Code::NoSeats,
            E::BattleNotFound(_) => Code::BattleNotFound,
            E::BattleNotBegun(_) => Code::BattleNotBegun,
            E::BattleOver(_) => Code::BattleOver,
            E::NotInBattle { .. } => Code::NotInBattle,
            E::BattlePending(_) => Code::BattlePending,
            E::InBattle(_) => Code::InAnotherBattle,
            E::NoRoomForBattle => Code::NoRoomForBattle,
            E::NobodyToCoHost => Code::NobodyToCoHost,
            E::NoConnection(_) => Code::CoHostingNotFound,
            E::AlreadyConnected(_) => Code::CoHostingAlready,
            E::ConnectedElsewhere(_) => Code::CoHostingElsewhere,
            E::ConnectionPending(_) => Code::CoHostingPending,
            E::TooManyRooms { .. } => Code::TooManyRooms,
            E::GiftNotFound(_) => Code::GiftNotFound,
        };
        let is_for_other_type = matches!(error, E::WrongRoomType { .. });
        Self { is_for_other_type, ..Self::new(code, error.to_string()) }
    }
}

impl From<usersig::Error> for ApiError {
    fn from(error: usersig::Error) -> Self {
        use usersig::Error as E;
        let code = match &error {
            E::Expired { .. } => Code::SigExpired,
            E::Empty => Code::SigMissing,
            E::Malformed(_) | E::NotYetValid { .. } | E::Unsignable(_) => Code::SigInvalid,
            E::WrongKey => Code::SigOfOtherKey,
            E::WrongUser => Code::SigOfOtherUser,
            E::WrongApp { .. } => Code::SigOfOtherApp,
        };
        Self::new(code, error.to_string())
    }
}

impl From<store::Error> for ApiError {
    fn from(error: store::Error) -> Self {
        let code = match &error {
            store::Error::Behind => Code::TooOften,
            store::Error::Over => Code::RoomNotFound,
            _ => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}
