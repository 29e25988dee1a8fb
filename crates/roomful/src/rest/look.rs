//! Calls that are answered by looking, where one node of a cluster has them and another has what they are about: what makes two of them the
//! same question, what is answered to whoever asks it, and how each caller is told.

use std::time::Instant;

use ::rooms::SdkAppId;
use bytes::Bytes;
use hyper::Method;

use super::answer::{self, Answer, Body, RequestId};
use super::body::require_json_object;
use super::commands::{self, COMMANDS, Run};
use super::query::Query;
use super::{Caller, admit, called_too_often, note};
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::server::Server;

/// Whether what is called there is answered by looking.
pub(crate) fn is_look(path: &str) -> bool {
    let command = commands::find(path).and_then(|index| COMMANDS.get(index));
    command.is_some_and(|command| matches!(command.run, Run::Now(_)))
}

/// A call that is answered by looking, as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Question<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) body: &'a [u8],
}

impl Question<'_> {
    /// Writes what decides its answer: two with the same are one question, whatever else their queries have. Returns whose it says it is;
    /// `None` is for who can say what is wrong with it.
    pub(crate) fn write_key(&self, key: &mut Vec<u8>) -> Option<SdkAppId> {
        let query = Query::parse(self.query).ok()?;
        let (app, user, sig) = (query.sdkappid?, query.identifier?, query.usersig?);
        if query.contenttype.is_some_and(|form| form != "json") {
            return None;
        }
        for part in [self.path.as_bytes(), app.as_bytes(), user.as_bytes(), sig.as_bytes()] {
            key.extend_from_slice(&part.len().to_le_bytes());
            key.extend_from_slice(part);
        }
        key.extend_from_slice(self.body);
        app.parse().ok().map(SdkAppId)
    }
}

/// The longest body of what is asked with others.
pub(crate) const LONGEST_LOOK: usize = 2 << 10;

/// What is answered to callers who ask the same at the same time.
pub(crate) struct Looked {
    /// JSON under `Response`.
    pub(crate) result: Result<Bytes, ApiError>,
    /// What those hear who ask too often, and how many they are.
    pub(crate) beyond: Option<(usize, ApiError)>,
}

/// Answers a question of so many callers; `caller` is who has asked it before.
pub(crate) fn look(server: &Server, asked: Question<'_>, askers: usize, caller: &mut Caller) -> Looked {
    let now = Instant::now();
    let Question { path, query, body } = asked;
    let index = commands::find(path);
    let (command, known) = match admit(server, (&Method::POST, path, query), index, caller, now) {
        Ok((command, (known, _))) => (command, known),
        Err(error) => return Looked { result: Err(error), beyond: None },
    };
    let limits = &known.app.limits;
    let more = (1..askers).take_while(|_| index.is_none_or(|index| limits.accept(index, now))).count();
    let beyond = askers.saturating_sub(more + 1);
    let result = match &command.run {
        Run::Now(look) => require_json_object(body).and_then(|text| look(&known.app, text)),
        Run::Later(_) => Err(ApiError::internal("this is answered by more than looking")),
    };
    Looked {
        result: result.map_err(|error| ApiError { code: command.code_of(error.code), ..error }),
        beyond: (beyond > 0).then(|| (beyond, called_too_often(command))),
    }
}

/// Tells one caller what was answered, as a request of its own.
pub(crate) fn tell(metrics: &Metrics, path: &str, result: Result<Bytes, ApiError>, started: Instant) -> Body {
    let request_id = RequestId::next();
    let result = result.map(Answer::Response);
    note(metrics, &request_id, commands::find(path), &result, started);
    answer::envelope(&request_id, result)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PATH: &str = "/v4/live_engine_http_srv/get_member_list";

    fn key(query: &str, body: &str) -> Option<Vec<u8>> {
        let mut key = Vec::new();
        let question = Question { path: PATH, query, body: body.as_bytes() };
        question.write_key(&mut key).map(|_| key)
    }

    #[test]
    fn what_decides_an_answer_makes_another_question_and_nothing_else_does() {
        let one = key("sdkappid=1&identifier=ann&usersig=s&random=1&contenttype=json", "{}");
        assert!(one.is_some());

        for same in [
            "sdkappid=1&identifier=ann&usersig=s",
            "random=2&usersig=s&identifier=%61nn&sdkappid=1&sdkappid=2&more",
        ] {
            assert_eq!(key(same, "{}"), one, "{same}");
        }
        for (query, body) in [
            ("sdkappid=2&identifier=ann&usersig=s", "{}"),
            ("sdkappid=1&identifier=anna&usersig=", "{}"),
            ("sdkappid=1&identifier=ben&usersig=s", "{}"),
            ("sdkappid=1&identifier=ann&usersig=t", "{}"),
            ("sdkappid=1&identifier=ann&usersig=s", "{ }"),
            ("sdkappid=1&identifier=ann&usersig=s{", "}"),
        ] {
            assert_ne!(key(query, body), one, "{query} {body}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_query_is_said_by_who_has_the_records() {
        for wrong in [
            "identifier=ann&usersig=s",
            "sdkappid=x&identifier=ann&usersig=s",
            "sdkappid=1&usersig=s",
            "sdkappid=1&identifier=ann",
            "sdkappid=1&identifier=%ff&usersig=s",
            "sdkappid=1&identifier=ann&usersig=s&contenttype=xml",
        ] {
            assert_eq!(key(wrong, "{}"), None, "{wrong}");
        }
    }

    #[test]
    fn only_what_is_answered_at_once_is_a_look() {
        assert!(is_look(PATH));
        assert!(!is_look("/v4/live_engine_http_srv/create_room"));
        assert!(!is_look("/v4/live_engine_http_srv/nothing"));
    }
}
