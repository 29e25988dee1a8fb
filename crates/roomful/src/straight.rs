//! REST calls straight from their connection. App servers ask one call after the other on connections that they keep, in one plain
//! form, and what a whole HTTP server does for each request costs as much as the answer. So these are read and answered here.
//!
//! With the first request of another form (another path, a body of no stated length, `Expect`, a line that is not understood) the
//! connection is hyper's, with all that came of that request and whatever follows: nothing of it is taken or answered before. Both read
//! heads by the same parser (httparse), and what is not certain here is left to hyper; so no request is one thing here and
//! another there.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::Frame;
use hyper::Method;
use rooms::Time;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::again::Known;
use crate::clock;
use crate::error::{ApiError, Code};
use crate::host;
use crate::lease::UNSURE;
use crate::metrics::Metrics;
use crate::patience::Patient;
use crate::rest::{self, Question};
use crate::server::Server;
use crate::wire;

/// How much is read at once: a call whole, nearly always.
const READ_BYTES: usize = 8 * 1024;

/// How much of a long body is.
const LONGEST_READ: usize = 64 * 1024;

/// Where there is no more room than this behind what has come, it is made.
const LEAST_BYTES: usize = 1024;

/// The longest head that is waited for here; most are not a tenth of it.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The most headers of a request here.
const MAX_HEADERS: usize = 32;

/// How every call begins.
const BEGINNING: &[u8] = b"POST /v4/";

/// What of that is before the target.
const METHOD: &[u8] = b"POST ";

/// How long the body of what another is asked to look at may be behind its head: what is later is carried.
const LATE: Duration = Duration::from_secs(1);

/// So much is copied, out of the buffer or before a write, where more is shared.
const COPIED_BYTES: usize = 4 * 1024;

/// What became of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// It is over.
    Over,
    /// What has come is of another form; it is there to be read again.
    Other,
}

/// What answers calls.
pub(crate) struct Here {
    pub(crate) server: Arc<Server>,
    pub(crate) metrics: Arc<Metrics>,
}

/// A node of several, where that may be another with each call.
pub(crate) trait Answering: Send + Sync {
    /// This server, while it may answer.
    fn here(&self) -> Option<Here> {
        None
    }

    /// What another says to a call that is answered by looking, and came then; nothing where that is to be asked for otherwise.
    fn look<'a>(
        &'a self,
        _question: Question<'a>,
        _started: Instant,
    ) -> Pin<Box<dyn Future<Output = Option<rest::Body>> + Send + 'a>> {
        Box::pin(std::future::ready(None))
    }
}

/// Who answers.
#[derive(Clone, Copy)]
pub(crate) enum Whose<'a> {
    Own(&'a Here),
    Shared(&'a dyn Answering),
}

/// Who serves, and until when.
pub(crate) struct House<'a> {
    pub(crate) whose: Whose<'a>,
    /// Once it is true, the connection ends after what is being answered.
    pub(crate) is_ending: &'a AtomicBool,
}

/// Answers calls until the connection ends, or is to be served by another.
pub(crate) async fn serve<S>(stream: &mut Patient<S>, house: House<'_>) -> Left
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut line = Line {
        stream,
        came: BytesMut::new(),
        out: Vec::new(),
        target: String::new(),
        host: Vec::new(),
        last: Last::default(),
        date: Date::default(),
    };
    let mut caller = rest::Caller::default();
    let course = line.stream.course();
    loop {
        let length = match line.head(house.is_ending).await {
            Ok(Some(length)) => length,
            Ok(None) => return line.give_back(),
            Err(_) => return line.close().await,
        };
        course.begin();
        let started = Instant::now();
        let of_now;
        let here = match house.whose {
            Whose::Own(here) => here,
            Whose::Shared(shared) => match shared.here() {
                Some(here) => {
                    of_now = here;
                    &of_now
                }
                None => {
                    let Some(answer) = line.look(shared, length, started).await else {
                        return line.give_back();
                    };
                    line.came.advance(length.head_bytes + length.body_bytes);
                    let is_last = house.is_ending.load(Ordering::Relaxed);
                    if line.answer(answer, is_last, clock::at(started)).await.is_err() || is_last {
                        return line.close().await;
                    }
                    course.end();
                    continue;
                }
            },
        };
        line.came.advance(length.head_bytes);
        let (path, query) = line.target.split_once('?').unwrap_or((&line.target, ""));
        let mut body =
            Arriving { stream: &mut *line.stream, came: &mut line.came, missing: length.body_bytes };
        let asked = rest::Asked { method: &Method::POST, path, query, body: &mut body, started };
        let mut answer = rest::answer(&here.server, &here.metrics, asked, &mut caller).await;
        if !here.server.lease.is_held_soon().await {
            answer = rest::refusal(ApiError::new(Code::Internal, UNSURE));
        }
        // What was not read of a body would be taken for the next request.
        let is_last = body.missing > 0 || house.is_ending.load(Ordering::Relaxed);
        if line.answer(answer, is_last, clock::at(started)).await.is_err() || is_last {
            return line.close().await;
        }
        course.end();
    }
}

/// A connection, and what is kept of it from one call to the next.
struct Line<'a, S> {
    stream: &'a mut Patient<S>,
    /// What has come and is not taken.
    came: BytesMut,
    /// What goes out first of an answer.
    out: Vec<u8>,
    /// The path and query of the call that is being answered.
    target: String,
    /// The last Host there was, which was one.
    host: Vec<u8>,
    /// What the target and the host were read from.
    last: Last,
    date: Date,
}

/// The last head there was.
#[derive(Default)]
struct Last {
    head: Known,
    body_bytes: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<'_, S> {
    /// Reads the next call's head, which is not taken; `None` is something else than a call.
    ///
    /// # Errors
    /// When nothing comes any more, or nothing shall.
    async fn head(&mut self, is_ending: &AtomicBool) -> io::Result<Option<Length>> {
        loop {
            if let Some(head_bytes) = self.last.head.begins(&self.came) {
                return Ok(Some(Length { head_bytes, body_bytes: self.last.body_bytes }));
            }
            match form(&self.came) {
                Form::Call(call) => {
                    if call.host != self.host {
                        if !host::is_host(call.host) {
                            return Ok(None);
                        }
                        self.host.clear();
                        self.host.extend_from_slice(call.host);
                    }
                    self.target.clear();
                    self.target.push_str(call.target);
                    let Call { head_bytes, body_bytes, .. } = call;
                    let query = call.target.find('?').unwrap_or(call.target.len()) + 1;
                    let head = self.came.get(..head_bytes).unwrap_or_default();
                    self.last = Last { head: Known::new(head, METHOD.len() + query), body_bytes };
                    return Ok(Some(Length { head_bytes, body_bytes }));
                }
                Form::Begun if self.came.len() < MAX_HEAD_BYTES => {}
                Form::Begun | Form::Other => return Ok(None),
            }
            let (stream, came) = (&mut *self.stream, &mut self.came);
            std::future::poll_fn(|cx| {
                if came.is_empty() && is_ending.load(Ordering::Relaxed) {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                }
                poll_more(stream, came, READ_BYTES, cx)
            })
            .await?;
        }
    }

    /// Asks another to answer the call whose head has come, if that is done by looking. It is not taken.
    async fn look(&mut self, shared: &dyn Answering, length: Length, started: Instant) -> Option<rest::Body> {
        let Length { head_bytes, body_bytes } = length;
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        if body_bytes > rest::LONGEST_LOOK || !rest::is_look(path) {
            return None;
        }
        let whole = head_bytes + body_bytes;
        if self.came.len() < whole {
            let (stream, came) = (&mut *self.stream, &mut self.came);
            let arriving = async {
                while came.len() < whole {
                    std::future::poll_fn(|cx| poll_more(stream, came, READ_BYTES, cx)).await.ok()?;
                }
                Some(())
            };
            timeout(LATE, arriving).await.ok()??;
        }
        let body = self.came.get(head_bytes..whole)?;
        shared.look(Question { path, query, body }, started).await
    }

    /// All that has come and is not taken is to be read by another.
    fn give_back(self) -> Left {
        let Self { stream, came, .. } = self;
        stream.unread(came.freeze());
        Left::Other
    }

    /// Writes an answer; `is_last` says to the client that it is the connection's last.
    async fn answer(&mut self, answer: rest::Body, is_last: bool, now: Time) -> io::Result<()> {
        let out = &mut self.out;
        out.clear();
        out.extend_from_slice(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-content-type-options: nosniff\r\n",
        );
        if is_last {
            out.extend_from_slice(b"connection: close\r\n");
        }
        out.extend_from_slice(b"content-length: ");
        wire::push_number(out, answer.len() as u64);
        out.extend_from_slice(b"\r\ndate: ");
        out.extend_from_slice(self.date.at(now).as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        let [first, second, third] = answer.into_pieces();
        if second.is_empty() && first.len() <= COPIED_BYTES {
            // One write of one piece is cheaper than one of several.
            out.extend_from_slice(&first);
            self.stream.write_all(out).await?;
            return self.stream.flush().await;
        }
        let mut pieces =
            [IoSlice::new(out), IoSlice::new(&first), IoSlice::new(&second), IoSlice::new(&third)];
        let mut left = &mut pieces[..];
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let written = self.stream.write_vectored(left).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut left, written);
        }
        self.stream.flush().await
    }

    /// Closes it in the order in which nothing is lost.
    async fn close(self) -> Left {
        let _ = self.stream.shutdown().await;
        Left::Over
    }
}

/// Reads what comes next, behind what is there: about `most` bytes of it.
///
/// # Errors
/// When nothing comes any more.
fn poll_more<S: AsyncRead + Unpin>(
    stream: &mut Patient<S>,
    came: &mut BytesMut,
    most: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    if came.capacity() - came.len() < LEAST_BYTES {
        came.reserve(most);
    }
    // Made anew each time: it keeps nothing.
    match ready!(pin!(stream.read_buf(came)).poll(cx))? {
        0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
        _ => Poll::Ready(Ok(())),
    }
}

/// A call's body, of which some may still be on its way.
struct Arriving<'a, S> {
    stream: &'a mut Patient<S>,
    came: &'a mut BytesMut,
    missing: usize,
}

impl<S: AsyncRead + Unpin> http_body::Body for Arriving<'_, S> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Self { stream, came, missing } = self.get_mut();
        if *missing == 0 {
            return Poll::Ready(None);
        }
        if came.is_empty() {
            ready!(poll_more(stream, came, (*missing).clamp(READ_BYTES, LONGEST_READ), cx))?;
        }
        let count = came.len().min(*missing);
        *missing -= count;
        let data = match came.get(..count) {
            Some(few) if count <= COPIED_BYTES => {
                let few = Bytes::copy_from_slice(few);
                came.advance(count);
                few
            }
            _ => came.split_to(count).freeze(),
        };
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.missing == 0
    }
}

/// What a connection's bytes begin with.
#[derive(Debug, PartialEq, Eq)]
enum Form<'a> {
    Call(Call<'a>),
    /// It may become a call.
    Begun,
    Other,
}

/// How long a call is.
#[derive(Clone, Copy)]
struct Length {
    head_bytes: usize,
    body_bytes: usize,
}

/// The head of a call.
#[derive(Debug, PartialEq, Eq)]
struct Call<'a> {
    target: &'a str,
    host: &'a [u8],
    head_bytes: usize,
    body_bytes: usize,
}

/// What it is that has come.
fn form(came: &[u8]) -> Form<'_> {
    let begun = came.len().min(BEGINNING.len());
    if came.get(..begun) != BEGINNING.get(..begun) {
        return Form::Other;
    }
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    let head_bytes = match request.parse_with_uninit_headers(came, &mut headers) {
        Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
        Ok(httparse::Status::Partial) => return Form::Begun,
        Err(_) => return Form::Other,
    };
    call(&request, head_bytes).map_or(Form::Other, Form::Call)
}

/// The head of a call, if it has nothing to it that is not known here.
fn call<'a>(request: &httparse::Request<'_, 'a>, head_bytes: usize) -> Option<Call<'a>> {
    let target = request.path.filter(|target| request.version == Some(1) && is_plain(target))?;
    let (mut host, mut body_bytes) = (None, None);
    for header in &*request.headers {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let is_special = SPECIAL.iter().any(|name| is(name));
        if is_special || is("connection") && !header.value.eq_ignore_ascii_case(b"keep-alive") {
            return None;
        }
        if is("host") && host.replace(header.value).is_some() {
            return None;
        }
        if is("content-length") && body_bytes.replace(number(header.value)?).is_some() {
            return None;
        }
    }
    Some(Call { target, host: host?, head_bytes, body_bytes: body_bytes? })
}

/// With one of these a request is more than a head and a body.
const SPECIAL: [&str; 5] = ["te", "expect", "upgrade", "trailer", "transfer-encoding"];

/// Whether a target has only what every reader of URLs takes as it is.
fn is_plain(target: &str) -> bool {
    let is_odd = |byte: u8| {
        !byte.is_ascii_graphic()
            || matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
    };
    // All of it, which takes less time than to stop at the first.
    !target.bytes().fold(false, |odd, byte| odd | is_odd(byte))
}

/// Digits, and no more of them than a length may have.
fn number(digits: &[u8]) -> Option<usize> {
    let is_number = (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}

/// The date of answers, which is written once a second.
#[derive(Default)]
struct Date {
    second: u64,
    text: String,
}

impl Date {
    fn at(&mut self, now: Time) -> &str {
        let second = now.unix_seconds();
        if second != self.second || self.text.is_empty() {
            self.second = second;
            self.text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str =
        "/v4/live_engine_http_srv/get_member_list?sdkappid=1400000001&usersig=eJw*-_&random=1";

    fn head(more: &str) -> String {
        format!("POST {TARGET} HTTP/1.1\r\nHost: a\r\n{more}\r\n")
    }

    #[test]
    fn a_call_is_one_in_its_plain_form_only() {
        for (more, is_call) in [
            ("Content-Length: 2\r\n", true),
            (
                "content-length: 2\r\nConnection: Keep-Alive\r\nAccept: */*\r\nContent-Type: text/plain\r\n",
                true,
            ),
            ("", false),
            ("Content-Length: 2\r\nHost: b\r\n", false),
            ("Content-Length: 2\r\nContent-Length: 2\r\n", false),
            ("Content-Length: +2\r\n", false),
            ("Content-Length: 2, 2\r\n", false),
            ("Content-Length: 1234567890\r\n", false),
            ("Content-Length: \r\n", false),
            ("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", false),
            ("Content-Length: 2\r\nTE: trailers\r\n", false),
            ("Content-Length: 2\r\nTrailer: a\r\n", false),
            ("Content-Length: 2\r\nExpect: 100-continue\r\n", false),
            ("Content-Length: 2\r\nUpgrade: h2c\r\n", false),
            ("Content-Length: 2\r\nConnection: close\r\n", false),
            ("Content-Length: 2\r\nConnection: keep-alive, upgrade\r\n", false),
            ("Content-Length: 2\r\n folded\r\n", false),
            ("Content-Length : 2\r\n", false),
        ] {
            let head = head(more);

            let form = form(head.as_bytes());

            assert_eq!(matches!(form, Form::Call(_)), is_call, "{more:?}: {form:?}");
            if let Form::Call(call) = form {
                assert_eq!((call.target, call.host), (TARGET, b"a".as_slice()));
                assert_eq!((call.head_bytes, call.body_bytes), (head.len(), 2));
            }
        }
    }

    #[test]
    fn what_is_no_call_is_seen_at_its_first_bytes() {
        for (begins, expected) in [
            ("", Form::Begun),
            ("POST ", Form::Begun),
            ("POST /v4/x?y", Form::Begun),
            ("G", Form::Other),
            ("POST /whip/", Form::Other),
            ("\r\nPOST /v4/", Form::Other),
            ("post /v4/", Form::Other),
            ("POST /v4/a HTTP/1.0\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Form::Other),
            ("POST /v4/a#b HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Form::Other),
            ("POST /v4/\u{e9} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Form::Other),
            ("POST /v4/a HTTP/1.1\r\nContent-Length: 0\r\n\r\n", Form::Other),
        ] {
            assert_eq!(form(begins.as_bytes()), expected, "{begins:?}");
        }
        let whole = head("Content-Length: 2\r\n");
        for end in 0..whole.len() {
            assert_eq!(form(&whole.as_bytes()[..end]), Form::Begun, "{end}");
        }
        let many = head(&"A: b\r\n".repeat(MAX_HEADERS));
        assert_eq!(form(many.as_bytes()), Form::Other);
    }
}
