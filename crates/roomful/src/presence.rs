//! Sessions as they begin, enter, leave, are lost, are back and end: what their machines say is carried out. Nothing is
//! decided here but which session is told what.

use std::collections::HashMap;
use std::sync::Arc;

use hall::session::{Effect, Input, LinkId, Loss};
use hall::{Command, Passing, Refusal};
use history::Served;
use rooms::{Incarnation, LeaveCause, SessionId, Time, UserId};
use tokio::sync::oneshot;

use crate::app::App;
use crate::clock;
use crate::error::{ApiError, Code};
use crate::halls::OpenRoom;
use crate::link::{Close, Closer};
use crate::quota;
use crate::server::Server;
use crate::session::{Attached, Late, ResumeToken, Session, Waiter, Welcome, token_hash};
use crate::tenant::{Credentials, Tenant};

fn new_id() -> Result<SessionId, ApiError> {
    // 0 stands for robots.
    Ok(SessionId(getrandom::u64().map_err(ApiError::internal)?.max(1)))
}

impl Server {
    // Beginning

    /// A user that has shown its UserSig begins a session. Where it has as many as are allowed, the oldest that has lost
    /// its connection makes room.
    pub(crate) fn begin_session(
        self: &Arc<Self>,
        app: &Arc<App>,
        user: &UserId,
        valid_until: Time,
        verified_by: &Credentials,
    ) -> Result<(Arc<Session>, ResumeToken), ApiError> {
        let limits = &self.config.limits;
        let quota = app.quotas.of(user, limits);
        let id = new_id()?;
        while let Err(own) = quota.begin_session(limits, id) {
            self.end_a_lost_one(own).ok_or_else(|| quota::too_many_sessions(limits))?;
        }
        let tenant = app.tenant.clone();
        let begun = self.sessions.begin(id, tenant, user.clone(), quota.clone(), Some(valid_until));
        let (session, token) = begun.map_err(|error| {
            quota.end_session(id);
            ApiError::internal(error)
        })?;
        self.confirm(&session, verified_by)?;
        Ok((session, token))
    }

    /// A session that is nothing but what comes by WHIP or WHEP, and lasts as long as that: there is nobody who could show
    /// another UserSig. How many a user has is held against its [`Place`](quota::Place)s.
    pub(crate) fn begin_media_session(
        self: &Arc<Self>,
        app: &Arc<Tenant>,
        user: &UserId,
        verified_by: &Credentials,
    ) -> Result<Arc<Session>, ApiError> {
        let quota = app.quotas.of(user, &self.config.limits);
        let begun = self.sessions.begin(new_id()?, app.clone(), user.clone(), quota, None);
        let (session, _) = begun.map_err(ApiError::internal)?;
        self.confirm(&session, verified_by)?;
        Ok(session)
    }

    /// Whoever deletes an account or changes a key ends the sessions there are: this one is found there, or that here.
    fn confirm(self: &Arc<Self>, session: &Arc<Session>, verified_by: &Credentials) -> Result<(), ApiError> {
        let trouble = if session.app.account(session.user.as_str()).is_none() {
            ApiError::new(Code::SigInvalid, "the account was deleted at this moment; log in again")
        } else if !verified_by.has_same_key(&session.app.credentials()) {
            usersig::Error::WrongKey.into()
        } else {
            return Ok(());
        };
        self.end_session(session, LeaveCause::Kicked);
        Err(trouble)
    }

    // Connections

    /// A session has its first connection. `None` when it is over.
    pub(crate) fn attach(self: &Arc<Self>, session: &Arc<Session>, closer: Arc<Closer>) -> Option<Attached> {
        let (attached, late) = session.attach(Input::Attach, closer);
        self.carry_out(session, late);
        attached
    }

    /// A client shows a resume token on another connection, which gets what it has missed. `None` when the token is not the
    /// session's, or the session is over. Returns its next token too.
    pub(crate) fn resume(
        self: &Arc<Self>,
        session: &Arc<Session>,
        token: &str,
        seen: HashMap<String, u64>,
        closer: Arc<Closer>,
    ) -> Result<Option<(Attached, ResumeToken)>, ApiError> {
        let next = ResumeToken::generate().map_err(ApiError::internal)?;
        let used = token_hash(token);
        let resume = Input::Resume { used, next: next.hash, seen, now: clock::now() };
        let (attached, late) = session.attach(resume, closer);
        if attached.is_some() {
            self.sessions.change_token(session.id, &used, next.hash);
        }
        self.carry_out(session, late);
        Ok(attached.map(|attached| (attached, next)))
    }

    /// A connection has ended.
    pub(crate) fn detach(self: &Arc<Self>, session: &Arc<Session>, link: LinkId, how: Loss) {
        self.tell(session, Input::Detach { link, how });
    }

    /// A session has shown a newer UserSig.
    pub(crate) fn renew(self: &Arc<Self>, session: &Arc<Session>, valid_until: Time) {
        self.tell(session, Input::Renew(valid_until));
    }

    // Rooms

    /// A session goes into a room, by one of its connections.
    pub(crate) async fn enter_room(
        self: &Arc<Self>,
        session: &Arc<Session>,
        link: LinkId,
        cell: &Arc<OpenRoom>,
        password: Option<String>,
    ) -> Result<Welcome, ApiError> {
        self.require_store(&cell.app)?;
        let entered = self.let_in(session, link, cell, password).await;
        let joins = [1, u64::from(entered.is_ok()), 0];
        self.chronicle.serve(cell.app.id.0, Served { joins, ..Served::default() });
        entered
    }

    async fn let_in(
        self: &Arc<Self>,
        session: &Arc<Session>,
        link: LinkId,
        cell: &Arc<OpenRoom>,
        password: Option<String>,
    ) -> Result<Welcome, ApiError> {
        loop {
            let (sender, answer) = oneshot::channel();
            let ticket = Waiter::Newcomer(session.clone(), sender, None);
            let (room, password) = (cell.incarnation(), password.clone());
            self.tell(session, Input::Enter { link, room, password, ticket });
            match answer.await.unwrap_or(Err(Refusal::Unknown)) {
                Ok(welcome) => return Ok(welcome),
                Err(Refusal::Crowded(own)) => {
                    self.end_a_lost_one(own).ok_or_else(|| quota::too_many_in_room(&self.config.limits))?;
                }
                Err(refusal) => return Err(cell.error(refusal)),
            }
        }
    }

    /// A session goes out of a room. Resolves when it hears no more of it.
    pub(crate) async fn leave_room(
        self: &Arc<Self>,
        session: &Arc<Session>,
        link: LinkId,
        cell: &Arc<OpenRoom>,
    ) -> Result<(), ApiError> {
        let (sender, answer) = oneshot::channel();
        let (room, ticket) = (cell.incarnation(), Waiter::Asker(sender));
        self.tell(session, Input::Leave { link, room, ticket });
        let answer = answer.await.unwrap_or(Err(Refusal::Unknown));
        answer.map(drop).map_err(|refusal| cell.error(refusal))
    }

    // Ends

    /// A session is over: it leaves all its rooms, and its token is worth nothing.
    pub(crate) fn end_session(self: &Arc<Self>, session: &Arc<Session>, cause: LeaveCause) {
        self.tell(session, Input::End(cause));
    }

    /// The session ends that a token resumes.
    pub(crate) fn end_by_token(self: &Arc<Self>, token: &str) {
        let token = token_hash(token);
        if let Some(session) = self.sessions.by_token(&token)
            && self.ends(&session, Input::EndByToken(token))
        {
            session.close(Close::LEFT);
        }
    }

    /// Of a user's sessions the first that has lost its connection ends, for another to begin. `None` when none has.
    fn end_a_lost_one(self: &Arc<Self>, own: Vec<SessionId>) -> Option<()> {
        let mut own = own.into_iter().filter_map(|id| self.sessions.by_id(id));
        let ended = own.find(|session| self.ends(session, Input::EndIfLost))?;
        ended.close(Close::REPLACED);
        Some(())
    }

    /// Tells a session something by which it may end. Whether it does.
    fn ends(self: &Arc<Self>, session: &Arc<Session>, input: Input<Waiter>) -> bool {
        let late = session.tell(input);
        let ends = late.iter().any(|effect| matches!(effect, Effect::Over));
        self.carry_out(session, late);
        ends
    }

    /// All sessions of an app are over.
    pub(crate) fn end_sessions_of(self: &Arc<Self>, app: &App, why: Close) {
        for session in self.sessions.all() {
            if session.app.id == app.id {
                session.close(why);
                self.end_session(&session, LeaveCause::Kicked);
            }
        }
        for cell in app.rooms() {
            let players = cell.read().map(|room| room.playing().cloned().collect()).unwrap_or_default();
            cell.order(Command::Passing(Passing::EndPlayers(players)));
        }
    }

    // Driving

    fn tell(self: &Arc<Self>, session: &Arc<Session>, input: Input<Waiter>) {
        let late = session.tell(input);
        self.carry_out(session, late);
    }

    /// Does what a session says, which nobody's lock is held for. Other threads may do what it says later before this.
    pub(crate) fn carry_out(self: &Arc<Self>, session: &Arc<Session>, late: Late) {
        for effect in late {
            match effect {
                Effect::Say { room, input } => self.say(session, room, input),
                Effect::Answer { ticket, result } => ticket.answer(result),
                Effect::Wait(link) => {
                    let (server, session) = (self.clone(), session.clone());
                    tokio::spawn(async move {
                        crate::pulse::sleep(server.config.presence.resume_grace).await;
                        server.tell(&session, Input::GraceOver(link));
                    });
                }
                Effect::Over => self.sessions.forget(session),
                Effect::Attached { .. } | Effect::Refused | Effect::Keep(_) => {}
            }
        }
    }

    fn say(self: &Arc<Self>, session: &Arc<Session>, room: Incarnation, input: hall::Input<Waiter>) {
        if let Some(cell) = self.cell_of(session, &room) {
            return cell.drive(input);
        }
        // A room that is over has let everybody go.
        match input {
            hall::Input::Enter { turn, ticket, .. } => {
                self.tell(session, Input::Entered { room, turn, result: Err(Refusal::Gone), ticket });
            }
            hall::Input::Leave { ticket: Some(ticket), .. } => ticket.answer(Err(Refusal::Gone)),
            _ => {}
        }
    }
}
