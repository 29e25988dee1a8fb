//! Texts that come again. App servers send one call after the other of which nothing differs but `random`, which nobody reads here;
//! so what was found out of the last one holds for the next, and to see that it is the same takes a fraction of that.

use std::ops::Range;

/// The parameter that is another in each call, and is ignored.
const VARYING: &str = "random=";

/// The longest number that is taken for one.
const MOST_DIGITS: usize = 20;

/// A text, with the digits in it that may be others the next time.
#[derive(Default)]
pub(crate) struct Known {
    text: Box<[u8]>,
    digits: Range<usize>,
}

impl Known {
    /// `text`, in which a URL's query begins at `query`.
    pub(crate) fn new(text: &[u8], query: usize) -> Self {
        let digits = varying(text.get(query..).unwrap_or_default());
        let digits = digits.map_or(0..0, |digits| query + digits.start..query + digits.end);
        Self { text: text.into(), digits }
    }

    /// Whether `bytes` begin with it: how long it is this time. The time that takes tells nothing of where they differ: a proxy may put
    /// the calls of others on the same connection, and there are credentials in them.
    pub(crate) fn begins(&self, bytes: &[u8]) -> Option<usize> {
        let before = self.text.get(..self.digits.start)?;
        let after = self.text.get(self.digits.end..).filter(|_| !self.text.is_empty())?;
        let came = bytes.get(before.len()..)?;
        let digits = if self.digits.is_empty() { 0 } else { digits_of(came) };
        let whole = before.len() + digits + after.len();
        let is_same = is_same(before, bytes.get(..before.len())?)
            & is_same(after, bytes.get(before.len() + digits..whole)?);
        is_same.then_some(whole)
    }

    /// Whether `text` is it.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.begins(text.as_bytes()) == Some(text.len())
    }
}

/// Where the digits of the first such parameter are.
fn varying(query: &[u8]) -> Option<Range<usize>> {
    let mut start = 0;
    for pair in query.split(|byte| *byte == b'&') {
        if let Some(value) = pair.strip_prefix(VARYING.as_bytes()) {
            let start = start + VARYING.len();
            return Some(start..start + digits_of(value));
        }
        start += pair.len() + 1;
    }
    None
}

fn digits_of(text: &[u8]) -> usize {
    text.iter().take(MOST_DIGITS).take_while(|byte| byte.is_ascii_digit()).count()
}

/// Looks at all of it, eight bytes at a time.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (ones, one_rest) = one.as_chunks::<8>();
    let (others, other_rest) = other.as_chunks::<8>();
    let of_words = ones
        .iter()
        .zip(others)
        .fold(0, |differ, (one, other)| differ | (u64::from_ne_bytes(*one) ^ u64::from_ne_bytes(*other)));
    let of_bytes = one_rest.iter().zip(other_rest).fold(0, |differ, (one, other)| differ | (one ^ other));
    of_words | u64::from(of_bytes) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "POST /a?b=random=5&random=12&c=random=7 HTTP/1.1";

    #[test]
    fn only_the_digits_of_the_parameter_may_be_others() {
        let known = Known::new(TEXT.as_bytes(), "POST /a?".len());

        for (came, is_same) in [
            (TEXT.into(), true),
            (TEXT.replace("&random=12", "&random=34567"), true),
            (TEXT.replace("&random=12", "&random="), true),
            (TEXT.replace("&random=12", "&random=12x"), false),
            (TEXT.replace("b=random=5", "b=random=6"), false),
            (TEXT.replace("c=random=7", "c=random=8"), false),
            (TEXT.replace("&random=12", &format!("&random={}", "1".repeat(21))), false),
            (String::new(), false),
        ] {
            assert_eq!(known.is(&came), is_same, "{came}");
            assert_eq!(known.begins(format!("{came} and more").as_bytes()), is_same.then_some(came.len()));
        }
        for (at, byte) in TEXT.bytes().enumerate() {
            let (mut other, is_digit) = (TEXT.as_bytes().to_vec(), (26..28).contains(&at));
            other[at] ^= 1;

            assert_eq!(known.begins(&other).is_some(), is_digit, "{}", char::from(byte));
            assert_eq!(known.begins(&TEXT.as_bytes()[..at]), None);
        }
    }

    #[test]
    fn a_text_without_the_parameter_is_itself_only() {
        let known = Known::new(b"POST /a HTTP/1.1", 16);

        assert!(known.is("POST /a HTTP/1.1"));
        assert!(!known.is("POST /b HTTP/1.1") && !known.is("POST /a HTTP/1.") && !known.is(""));
        assert_eq!(Known::default().begins(b"anything"), None);
        assert!(Known::new(b"random=1&a=2", 0).is("random=23&a=2"));
    }
}
