//! The query of a REST URL. Names and values are case-sensitive; a value given twice counts the first time; names
//! that are not ours are ignored, and so is `random`.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::error::{ApiError, Code};

#[derive(Default)]
pub(super) struct Query<'a> {
    pub(super) sdkappid: Option<Cow<'a, str>>,
    pub(super) identifier: Option<Cow<'a, str>>,
    pub(super) usersig: Option<Cow<'a, str>>,
    pub(super) contenttype: Option<Cow<'a, str>>,
}

impl<'a> Query<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, ApiError> {
        let mut query = Self::default();
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match name {
                "sdkappid" => &mut query.sdkappid,
                "identifier" => &mut query.identifier,
                "usersig" => &mut query.usersig,
                "contenttype" => &mut query.contenttype,
                _ => continue,
            };
            if slot.is_none() {
                *slot = Some(decode(name, value)?);
            }
        }
        Ok(query)
    }
}

fn decode<'a>(name: &str, value: &'a str) -> Result<Cow<'a, str>, ApiError> {
    // All of it is looked at, many bytes at a time, which takes less than to stop at the first.
    let is_encoded = value.bytes().fold(false, |found, byte| found | (byte == b'%') | (byte == b'+'));
    if !is_encoded {
        return Ok(Cow::Borrowed(value));
    }
    let spaced = value.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    let decoded =
        decoded.map_err(|_| ApiError::new(Code::UrlMalformed, format!("{name} in the URL is not UTF-8")))?;
    Ok(Cow::Owned(decoded.into_owned()))
}
