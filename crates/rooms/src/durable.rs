//! What changes of a room are to the disk. The store writes it, and the property tests restart rooms from it: there is no
//! other translation.

use crate::{Delta, Record, RecordKey, RoomInfo, UserId};

/// Something of a room to write down, or to strike out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// Its own record.
    Info(Box<RoomInfo>),
    /// A fact, in place of the one with its key.
    Put(Record),
    /// No fact with that key any more.
    Delete(RecordKey),
    /// A user is in with no session any more.
    DeleteMember(UserId),
}

impl Delta {
    /// What of it lasts; nothing for what only lives in memory.
    pub fn keeps(&self) -> Vec<Keep> {
        match self {
            Delta::Info(info) => vec![Keep::Info(info.clone())],
            Delta::Set(record) => vec![Keep::Put(record.clone())],
            Delta::Unset(key) => vec![Keep::Delete(key.clone())],
            Delta::PutOut { user, .. } => {
                vec![Keep::DeleteMember(user.clone()), Keep::Delete(Record::robot_key(user))]
            }
            Delta::Seat { index, seat, .. } => {
                vec![Keep::Put(Record::Seat { index: *index, seat: seat.clone() })]
            }
            Delta::AddRobot { user, place, .. } => {
                vec![Keep::Put(Record::Robot { user: user.clone(), place: *place })]
            }
            Delta::DropRobot { user, .. } => vec![Keep::Delete(Record::robot_key(user))],
            Delta::Gift { given, tally } => {
                vec![Keep::Put(Record::Sender { user: given.from.clone(), tally: *tally })]
            }
            Delta::EndRequest { .. } => Vec::new(),
        }
    }
}
