//! Who is connected and who is in: sessions as they begin, enter, are lost, are back, leave and end.

use std::sync::Arc;

use hall::{Command, Input, Passing, Refusal};
use rooms::{LeaveCause, SessionId, Time, UserId};
use store::Change;
use tokio::sync::mpsc;

use crate::app::App;
use crate::error::{ApiError, Code};
use crate::halls::{OpenRoom, Welcome};
use crate::quota;
use crate::server::Server;
use crate::session::{Close, Closer, Frame, Loss, ResumeToken, Session};
use crate::tenant::Tenant;

fn new_id() -> Result<SessionId, ApiError> {
    // 0 stands for robots.
    Ok(SessionId(getrandom::u64().map_err(ApiError::internal)?.max(1)))
}

impl Server {
    /// A user that has shown its UserSig begins a session. Where it has as many as are allowed, the oldest that has lost
    /// its connection makes room.
    pub(crate) fn begin_session(
        self: &Arc<Self>,
        app: &Arc<App>,
        user: &UserId,
        valid_until: Time,
    ) -> Result<(Arc<Session>, ResumeToken), ApiError> {
        let limits = &self.config.limits;
        let quota = app.quotas.of(user, limits);
        let id = new_id()?;
        while let Err(own) = quota.begin_session(limits, id) {
            self.end_a_lost_one(own).ok_or_else(|| quota::too_many_sessions(limits))?;
        }
        let tenant = app.tenant.clone();
        let begun = self.sessions.begin(id, tenant, user.clone(), quota.clone(), Some(valid_until));
        begun.map_err(|error| {
            quota.end_session(id);
            ApiError::internal(error)
        })
    }

    /// A session that is nothing but what comes by WHIP or WHEP, and lasts as long as that: there is nobody who could show
    /// another UserSig. How many a user has is held against its [`Place`]s.
    pub(crate) fn begin_media_session(
        &self,
        app: &Arc<Tenant>,
        user: &UserId,
    ) -> Result<Arc<Session>, ApiError> {
        let quota = app.quotas.of(user, &self.config.limits);
        let begun = self.sessions.begin(new_id()?, app.clone(), user.clone(), quota, None);
        Ok(begun.map_err(ApiError::internal)?.0)
    }

    /// A session goes into a room.
    pub(crate) async fn enter_room(
        self: &Arc<Self>,
        session: &Arc<Session>,
        cell: &Arc<OpenRoom>,
        password: Option<String>,
    ) -> Result<Welcome, ApiError> {
        self.require_store(&cell.app)?;
        loop {
            let was_in = session.is_in(cell.room_id.as_str()) == Some(cell.media_key);
            if !session.note_entering(&cell.room_id, cell.media_key) {
                return Err(ApiError::new(Code::SigInvalid, "the session has ended; log in with a UserSig"));
            }
            let refusal = match cell.enter(session, password.clone()).await {
                Ok(welcome) => return Ok(welcome),
                Err(refusal) => refusal,
            };
            if !was_in {
                session.note_left(cell.media_key);
            }
            let Refusal::Crowded(own) = refusal else { return Err(cell.error(refusal)) };
            self.end_a_lost_one(own).ok_or_else(|| quota::too_many_in_room(&self.config.limits))?;
        }
    }

    /// Of a user's sessions the first that has lost its connection ends, for another to begin. `None` when none has.
    fn end_a_lost_one(self: &Arc<Self>, own: Vec<SessionId>) -> Option<()> {
        let lost = own.into_iter().filter_map(|id| self.sessions.by_id(id)).find(|one| one.is_lost())?;
        lost.close(Close::REPLACED);
        self.end_session(&lost, LeaveCause::Interrupted);
        Some(())
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

    /// A session goes out of one room. Resolves when it hears no more of it.
    pub(crate) fn leave_room(
        self: &Arc<Self>,
        session: &Session,
        cell: &Arc<OpenRoom>,
        cause: LeaveCause,
    ) -> impl Future<Output = Result<(), ApiError>> + Send + use<> {
        let left = cell.leave(session, cause);
        self.watch_lifetime(cell);
        left
    }

    /// A session is over: it leaves all its rooms, and its token is worth nothing.
    pub(crate) fn end_session(self: &Arc<Self>, session: &Session, cause: LeaveCause) {
        if self.sessions.end(session) {
            self.let_go(session, cause);
        }
    }

    /// The same, unless another connection has taken over from the one of `generation`.
    pub(crate) fn end_session_at(self: &Arc<Self>, session: &Session, generation: u64, cause: LeaveCause) {
        if self.sessions.end_at(session, generation) {
            self.let_go(session, cause);
        }
    }

    fn let_go(self: &Arc<Self>, session: &Session, cause: LeaveCause) {
        for room in session.rooms() {
            // A room that was destroyed meanwhile has let the session go already.
            let cell = self.cell_of(session, &room);
            cell.into_iter().for_each(|cell| drop(self.leave_room(session, &cell, cause)));
        }
        self.store.journal(vec![Change::DeleteSession(session.id)]);
    }

    /// A session has a connection, which gets what it has missed. With `seen`, the client says for each room the last message
    /// it has; else the server goes by what it knows. Returns the connection's generation.
    pub(crate) fn attach(
        &self,
        session: &Session,
        outbox: mpsc::Sender<Frame>,
        closer: Arc<Closer>,
        seen: &std::collections::HashMap<String, u64>,
    ) -> u64 {
        let (generation, rooms) = session.attach(outbox, closer);
        for room in rooms {
            let Some(cell) = self.cell_of(session, &room) else {
                session.note_caught_up(&room.room_id);
                continue;
            };
            let known = seen.get(room.room_id.as_str()).copied().unwrap_or(room.sent);
            let (user, session) = (session.user.clone(), session.id);
            cell.drive(Input::Back { user, session, seen: known });
        }
        generation
    }

    /// A connection is lost: unless another has taken over, the session has the resume grace to come back.
    pub(crate) fn detach(self: &Arc<Self>, session: &Arc<Session>, generation: u64, loss: Loss) {
        let Some(rooms) = session.detach(generation, loss) else { return };
        for room in rooms {
            let Some(cell) = self.cell_of(session, &room) else { continue };
            let (user, session) = (session.user.clone(), session.id);
            cell.drive(Input::Lost { user, session, seen: room.acknowledged });
        }
        self.expire_unless_resumed(session.clone(), generation);
    }

    /// A session has begun of which the store knows nothing yet.
    pub(crate) fn note_new_session(&self, session: &Session) {
        self.store.journal(vec![Change::AddSession(session.stored())]);
    }

    /// A session has another token, or another end.
    pub(crate) fn note_session(&self, session: &Session) {
        self.store.journal(vec![Change::PutSession(session.stored())]);
    }

    /// A session lost its connection: it ends when the resume grace is over, unless another connection comes.
    pub(crate) fn expire_unless_resumed(self: &Arc<Self>, session: Arc<Session>, generation: u64) {
        let server = self.clone();
        tokio::spawn(async move {
            crate::pulse::sleep(server.config.presence.resume_grace).await;
            server.end_session_at(&session, generation, LeaveCause::Interrupted);
        });
    }
}
