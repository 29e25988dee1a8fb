//! The codes of answers: each with its number, its name and its meaning, said once, in the table below. What the cloud has a
//! number for has that number (`spec/error-codes.md`); what is ours alone is at 104001 to 104099. The API document, the
//! protocol's document and the browser client are held to this table by the tests at the end.
//!
//! Invariant: no number stands for two codes. They are discriminants, so the compiler says so.

use std::fmt;
use std::ops::RangeInclusive;

/// A macro, since an enum, its numbers, its names and a list of them all cannot come of one table otherwise.
macro_rules! codes {
    ($($number:literal $name:ident $meaning:literal)*) => {
        /// What an answer says that is no success.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        pub(crate) enum Code {
            $(#[doc = $meaning] $name = $number,)*
            /// What the app's own server has refused, by a number of its own.
            Own(OwnCode),
        }

        impl Code {
            /// All of the table.
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            /// What is answered.
            pub(crate) const fn number(self) -> u32 {
                match self {
                    $(Self::$name => $number,)*
                    Self::Own(OwnCode(number)) => number,
                }
            }

            /// What programs may call it.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                    Self::Own(_) => "Own",
                }
            }

            /// What it means, in a line.
            pub(crate) const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                    Self::Own(_) => "the app's server refused it, by this number of its own",
                }
            }
        }
    };
}

codes! {
    10016 MessageRefused "the app's server refused the message"
    10017 GroupMuted "send_group_msg over REST: the sender is muted"
    60002 UrlMalformed "the URL cannot be read, or asks for another form than JSON"
    60003 JsonMalformed "the JSON cannot be read"
    60004 NoAccount "no valid account is named; over the gateway also: log in first"
    60006 AppIdMalformed "the SDKAppID is no number"
    60007 TooOften "more than is allowed at once or a second; retry in a moment"
    60008 RequestMalformed "the method is not POST, or the body is too long, too slow or cut off"
    60009 NoSuchCommand "there is no such command"
    60010 NotAnAdmin "an administrator of the app is needed, or meant"
    60012 AppIdMissing "the SDKAppID is missing"
    60015 AccountNotString "an account is no string"
    70001 SigExpired "the UserSig has expired"
    70002 SigMissing "the UserSig is missing"
    70003 SigInvalid "the UserSig cannot be decoded or is dated ahead; the session that a ResumeToken names is over"
    70009 SigOfOtherKey "the UserSig was not signed with the app's SecretKey"
    70013 SigOfOtherUser "the UserSig is another user's"
    70014 SigOfOtherApp "the UserSig is another app's"
    70020 AppNotFound "the app does not exist"
    70107 AccountNotFound "in results of several accounts: this one does not exist"
    100001 Internal "it cannot be done now, as when the disk is full; retry"
    100002 Invalid "a parameter is missing or invalid"
    100003 RoomExists "the room id is in use, by another owner or a room of another type"
    100004 RoomNotFound "there is no such room, or it is over"
    100005 NotAMember "not a member of the room"
    100006 NotAllowed "no permission; of commands for Live rooms also: it is none"
    100008 RoomFull "the room is full"
    100009 TooManyTags "a room has at most 3 tags (Category), and its members 10 different marks"
    100010 RoomIsThere "the room exists and its owner is the one named: use it as it is"
    100012 CalledTooOften "commands of the gift catalogue, and create_room of one id over REST: more than one a second"
    100015 WrongRoomType "the room is, or was to be, of another type than the command is for"
    100016 Banned "banned from the room"
    100017 Muted "muted in the room"
    100018 PasswordWanted "the room wants a password (IsPasswordEnabled), and none was given"
    100019 WrongPassword "the password is not the room's"
    100200 SeatLocked "the seat is locked"
    100201 SeatTaken "the seat is taken, or kept for the owner"
    100202 WaitingAlready "a request for a seat is open already"
    100203 OnSeatAlready "on a seat already"
    100204 NotWaiting "the request for a seat is over: answered, taken back or expired"
    100205 NoSeatFree "no seat is free"
    100206 NotOnSeat "not on a seat"
    100210 SeatHasUser "whom a member was to give a seat is on one already; room_engine_http_mic: somebody is on the seat, or it is kept for the owner"
    100211 NoSeats "the room has no seats"
    100251 NobodyToCoHost "no room was named to co-host with"
    100400 CoHostingNotFound "there is no such co-hosting or request for it, or it is over"
    100401 CoHostingAlready "the rooms co-host with each other already"
    100402 CoHostingPending "the room has a request to co-host to answer"
    100403 CoHostingElsewhere "the room co-hosts with others"
    100404 TooManyRooms "more rooms than a co-hosting or a battle may have"
    100411 BattleNotFound "there is no such battle, or it is over"
    100412 NoRoomForBattle "none of the rooms that were called can take part in the battle"
    100414 NotInBattle "the room has no part in the battle, or has answered already"
    100415 InAnotherBattle "the room is in a battle already"
    100416 BattlePending "the room has called others to a battle, who have not all answered"
    100420 BattleNotBegun "the battle has not begun"
    100421 BattleOver "the battle is over"
    100500 TooManyKeys "metadata: more than 10 keys"
    100501 ValueTooLong "metadata: a value of more than 2 KiB"
    100502 ValuesTooLong "metadata: more than 16 KiB in all"
    100503 NoSuchKey "metadata: none of the keys to delete exists"
    100504 KeyTooLong "metadata: a key of more than 50 bytes"
    102001 GiftNotFound "there is no such gift"
    102100 GiftRefused "the app's server refused the gift"
    104001 MessagesDisabled "messages are off in the room (IsMessageDisabled)"
    104002 GiftsDisabled "gifts are off in the room (IsGiftEnabled)"
    104003 LikesDisabled "likes are off in the room (IsLikeEnabled)"
    104004 ApplyFirst "seats of the room are given on application (TakeSeatMode ApplyToTake)"
    104005 NoPeer "there is no such WebRTC connection; make it anew"
}

/// A number that the app's server has chosen, of those that are left to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnCode(u32);

/// What an app's server may answer of a message that it refuses, and of a gift.
const OF_MESSAGES: RangeInclusive<u32> = 120_001..=130_000;
const OF_GIFTS: RangeInclusive<u32> = 102_101..=102_200;

impl Code {
    /// What an app's server may choose, with what it is for.
    pub(crate) const OWN: [(RangeInclusive<u32>, &str); 2] = [
        (OF_GIFTS, "the app's server refused the gift, by a number of its own"),
        (OF_MESSAGES, "the app's server refused the message, by a number of its own"),
    ];

    /// The app's server has refused a message with `number`, which goes on to the sender if it may.
    pub(crate) fn of_refused_message(number: u32) -> Self {
        if OF_MESSAGES.contains(&number) { Self::Own(OwnCode(number)) } else { Self::MessageRefused }
    }

    /// The same of a gift.
    pub(crate) fn of_refused_gift(number: u32) -> Self {
        if OF_GIFTS.contains(&number) { Self::Own(OwnCode(number)) } else { Self::GiftRefused }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOCOL: &str = include_str!("../../../docs/protocol.md");
    const WEBHOOKS: &str = include_str!("../../../docs/webhooks.md");
    const CLIENT: &str = include_str!("../../../sdk/js/src/codes.ts");

    fn find(number: u32) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.number() == number)
    }

    /// The table of codes in the protocol's document, as it must be.
    fn table() -> String {
        let rows: Vec<String> = Code::ALL
            .iter()
            .map(|code| format!("| {code} | `{}` | {} |\n", code.name(), code.meaning()))
            .collect();
        format!("| code | name | meaning |\n|---|---|---|\n{}", rows.concat())
    }

    /// Whether numbers of that size are codes: nothing else in the documents is.
    fn is_code(number: u32) -> bool {
        matches!(number, 10_016..=10_017 | 60_001..=60_999 | 70_001..=70_999 | 100_001..=104_099 | 120_001..=130_000)
    }

    /// Every number in the text that is a code, with what stands before and behind it.
    fn codes_in(text: &str) -> impl Iterator<Item = (u32, &str, &str)> {
        let is_part_of_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '.';
        let words = text.split(move |letter: char| !is_part_of_word(letter)).filter_map(move |word| {
            let word = word.trim_end_matches('.');
            let at = word.as_ptr() as usize - text.as_ptr() as usize;
            Some((word.parse().ok()?, &text[..at], &text[at + word.len()..]))
        });
        words.filter(|(number, ..)| is_code(*number))
    }

    #[test]
    fn the_protocol_document_has_the_table_that_is_true() {
        let table = table();

        assert!(PROTOCOL.contains(&table), "docs/protocol.md must have this table:\n\n{table}");
    }

    #[test]
    fn the_documents_name_no_code_by_another_name() {
        let table = table();
        let of_app = |number: u32| Code::OWN.iter().any(|(range, _)| range.contains(&number));
        let rest = PROTOCOL.replace(&table, "");
        let mut named = 0;
        for (number, before, behind) in codes_in(&rest).chain(codes_in(WEBHOOKS)) {
            let code = find(number);
            assert!(code.is_some() || of_app(number), "{number} is no code");
            let is_range = before.ends_with(" to ") || behind.starts_with(" to ");
            let Some(code) = code.filter(|_| !is_range) else { continue };
            let name = format!(" `{}`", code.name());
            let shown: String = behind.chars().take(30).collect();
            assert!(behind.starts_with(&name), "{number} is{name}, not {shown:?}");
            named += 1;
        }
        assert!(named > 40, "{named}");
    }

    #[test]
    fn the_browser_client_has_the_numbers_of_the_table() {
        let entries = CLIENT.lines().filter_map(|line| {
            let (name, number) = line.strip_prefix("  ")?.strip_suffix(',')?.split_once(": ")?;
            Some((name, number.parse().ok()?))
        });
        let entries: Vec<(&str, u32)> = entries.collect();

        assert!(entries.len() > 5, "{entries:?}");
        for (name, number) in entries {
            assert_eq!(find(number).map(Code::name), Some(name), "{number}");
        }
    }

    #[test]
    fn the_table_is_in_order_and_ours_have_their_place() {
        let numbers: Vec<u32> = Code::ALL.iter().map(|code| code.number()).collect();

        assert!(numbers.is_sorted_by(|one, next| one < next));
        assert!(numbers.iter().all(|number| is_code(*number)));
        assert!(numbers.iter().all(|number| !Code::OWN.iter().any(|(range, _)| range.contains(number))));
    }

    #[test]
    fn an_apps_own_number_goes_on_if_it_is_of_those_left_to_it() {
        for (number, of_message, of_gift) in [
            (1, 10_016, 102_100),
            (100_004, 10_016, 102_100),
            (120_000, 10_016, 102_100),
            (120_001, 120_001, 102_100),
            (130_000, 130_000, 102_100),
            (130_001, 10_016, 102_100),
            (102_099, 10_016, 102_100),
            (102_100, 10_016, 102_100),
            (102_150, 10_016, 102_150),
            (102_200, 10_016, 102_200),
            (102_201, 10_016, 102_100),
        ] {
            assert_eq!(Code::of_refused_message(number).number(), of_message);
            assert_eq!(Code::of_refused_gift(number).number(), of_gift);
        }
    }
}
