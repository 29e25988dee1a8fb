//! What drives what an app knows, as `halls.rs` drives a room: its record, its accounts, its gifts, the names of its rooms. There is no
//! decision in here.
//!
//! What is on disk is seen under the lock under which its plan ends, whoever still waits: nothing is between a commit and what
//! it means. What of it is elsewhere, in rooms and sessions, follows when the lock is open again.

use std::sync::Arc;
use std::time::Duration;

use hall::tenant::{Command, Effect, Input, Write};
use hall::{By, Command as RoomCommand, Input as RoomInput, Passing, PlanId, Planned, Refusal, SYSTEM};
use rooms::{LeaveCause, ProfileChange, Room, RoomInfo, UserId};
use store::{Change, Commit, Intent, RoomScope};
use tokio::sync::oneshot;

use crate::app::App;
use crate::clock;
use crate::error::{ApiError, Code};
use crate::first_app;
use crate::halls::{self, OpenRoom};
use crate::link::Close;
use crate::server::{Server, to_its_end};
use crate::tenant::{Asker, Making, Recorded};

/// How long a room is left alone whose disk refused to let a robot go.
const RETRY: Duration = Duration::from_secs(1);

impl Server {
    /// Makes or changes an app; its admins become accounts. With another key, what the old one signed is over: also the
    /// sessions, unless they are kept for a change that was planned.
    pub(crate) async fn save_app(
        self: &Arc<Self>,
        record: store::App,
        keeps_sessions: bool,
    ) -> Result<(), ApiError> {
        let Some(app) = self.app(record.sdkappid) else { return self.make_app(record).await };
        let admins = record.admins.clone();
        let record = Arc::new(Recorded { app: record, keeps_sessions });
        self.ask_app(&app, SYSTEM, Command::Record { record, admins }).await?;
        // Who is told that it is done hears of nothing more that was done by what held before.
        app.await_former_calls().await;
        Ok(())
    }

    /// An app that is new is known once it is on disk. One is made at a time.
    async fn make_app(self: &Arc<Self>, record: store::App) -> Result<(), ApiError> {
        let server = self.clone();
        to_its_end(Box::pin(async move {
            let _alone = server.saving.lock().await;
            if server.app(record.sdkappid).is_some() {
                return Err(ApiError::internal("another has made this app at this moment"));
            }
            let changes = first_app::with_admins(&record);
            server.store.commit(changes.clone()).await?;
            let accounts = changes.into_iter().filter_map(|change| match change {
                Change::PutAccount(_, account) => Some(account),
                _ => None,
            });
            server.put_app(record, accounts);
            Ok(())
        }))
        .await
    }

    /// Makes or changes a key of the RTC API. Goes on to its end whoever hangs up.
    pub(crate) async fn save_key(self: &Arc<Self>, key: store::ApiKey) -> Result<(), ApiError> {
        let server = self.clone();
        to_its_end(Box::pin(async move {
            let _alone = server.saving.lock().await;
            server.store.commit(vec![Change::PutApiKey(key.clone())]).await?;
            server.keys.put(key);
            Ok(())
        }))
        .await
    }

    /// Deletes a key of the RTC API: nothing is called with it any more. Goes on to its end whoever hangs up.
    pub(crate) async fn delete_key(self: &Arc<Self>, secret_id: String) -> Result<(), ApiError> {
        let server = self.clone();
        to_its_end(Box::pin(async move {
            let _alone = server.saving.lock().await;
            server.store.commit(vec![Change::DeleteApiKey(secret_id.clone())]).await?;
            server.keys.remove(&secret_id);
            Ok(())
        }))
        .await
    }

    /// Imports accounts, or changes the profiles of those that exist. All of them or none.
    pub(crate) async fn save_accounts(
        self: &Arc<Self>,
        app: &Arc<App>,
        changes: Vec<(UserId, ProfileChange)>,
    ) -> Result<(), ApiError> {
        self.ask_app(app, SYSTEM, Command::Import(changes)).await
    }

    /// Imports an account unless it exists.
    pub(crate) async fn import_if_new(
        self: &Arc<Self>,
        app: &Arc<App>,
        user: &UserId,
    ) -> Result<(), ApiError> {
        if app.account(user.as_str()).is_some() {
            return Ok(());
        }
        self.save_accounts(app, vec![(user.clone(), ProfileChange::default())]).await
    }

    /// Makes a room. `making` is what it brings along.
    pub(crate) async fn make_room(
        self: &Arc<Self>,
        app: &Arc<App>,
        operator: &str,
        info: RoomInfo,
        making: Making,
    ) -> Result<(), ApiError> {
        let number = self.store.room_scope(app.id)?.number;
        app.making.lock().insert(number, making);
        self.ask_app(app, operator, Command::Make { info: Box::new(info), number }).await
    }

    /// Something is wanted of what an app knows. Goes on to its end whoever hangs up.
    pub(crate) async fn ask_app(
        self: &Arc<Self>,
        app: &Arc<App>,
        operator: &str,
        command: Command<Recorded>,
    ) -> Result<(), ApiError> {
        let (sender, answer) = oneshot::channel();
        self.drive_app(app, Input::Do { operator: operator.to_owned(), command, ticket: sender });
        // The other end is kept until it is used.
        answer.await.unwrap_or(Err(Refusal::Unknown)).map_err(halls::error)
    }

    /// Lets something happen to what an app knows, and performs what follows.
    pub(crate) fn drive_app(self: &Arc<Self>, app: &Arc<App>, input: Input<Recorded, Asker>) {
        let mut after = Vec::new();
        let deadline = {
            let mut known = app.known.write();
            known.handle(input, clock::now());
            while let Some(effect) = known.poll() {
                after.extend(self.carry_out_for(app, effect));
            }
            known.deadline()
        };
        after.into_iter().for_each(|effect| self.perform(app, effect));
        if let Some(deadline) = deadline {
            let (server, driven) = (self.clone(), app.clone());
            app.alarm.set(deadline, async move { server.drive_app(&driven, Input::Time) });
        }
    }

    /// Performs an effect under the lock, or returns it to be performed when that is open.
    fn carry_out_for(
        self: &Arc<Self>,
        app: &Arc<App>,
        effect: Effect<Recorded, Asker>,
    ) -> Option<Effect<Recorded, Asker>> {
        match effect {
            Effect::Store { id, writes, .. } => {
                self.report_to(app, id, self.store.commit(changes(app, writes)))
            }
            Effect::Consumed(user) => {
                self.store.journal(vec![Change::DeleteIntent(app.id, Intent::AccountOver(user))]);
            }
            Effect::Record(record) => {
                let is_rekeyed = !app.credentials().has_key(&record.app.secret_key);
                app.set_record(record.app.clone());
                return (is_rekeyed && !record.keeps_sessions).then_some(Effect::Record(record));
            }
            other => return Some(other),
        }
        None
    }

    fn perform(self: &Arc<Self>, app: &Arc<App>, effect: Effect<Recorded, Asker>) {
        match effect {
            Effect::Made(info, number) => {
                let place = app.making.lock().remove(&number).and_then(|making| making.place);
                let scope = RoomScope { app: app.id, number };
                let room = Room::new(*info, clock::now());
                let (tenant, chronicle) = (app.tenant.clone(), self.chronicle.clone());
                let cell = OpenRoom::new(tenant, app.beyond(), scope, room, place, &self.config, chronicle);
                cell.retell();
                app.put_room(cell.clone());
                // Its lifetime begins.
                cell.drive(RoomInput::Time);
            }
            Effect::Unmade(number) => drop(app.making.lock().remove(&number)),
            Effect::Over(user) => self.end_account(app, user),
            // What the former key has signed is over.
            Effect::Record(_) => self.end_sessions_of(app, Close::KEY_CHANGED),
            // Whoever has hung up does not care.
            Effect::Answer { ticket, result } => drop(ticket.send(result)),
            Effect::Store { .. } | Effect::Consumed(_) => debug_assert!(false, "this does not wait"),
        }
    }

    /// Brings the store's answer back.
    fn report_to(self: &Arc<Self>, app: &Arc<App>, id: PlanId, commit: Commit) {
        let (server, app) = (self.clone(), app.clone());
        tokio::spawn(async move {
            let result = commit.await.map_err(halls::refused);
            server.drive_app(&app, Input::Stored { id, result });
        });
    }

    /// An account is no more: its connections are closed, and it is in no room any more. Again after a restart, until all of
    /// it is done.
    pub(crate) fn end_account(self: &Arc<Self>, app: &Arc<App>, user: UserId) {
        for session in self.sessions.all() {
            if session.app.id == app.id && session.user == user {
                session.close(Close::ACCOUNT_DELETED);
                self.end_session(&session, LeaveCause::Deleted);
            }
        }
        self.chronicle.forget(app.id, &user, clock::now());
        let (server, app) = (self.clone(), app.clone());
        tokio::spawn(async move {
            for cell in app.rooms() {
                cell.order(RoomCommand::Passing(Passing::EndPlayers(vec![user.clone()])));
                // A robot that was being placed, or an invitation, is there when this is planned; whoever comes with one later finds
                // that there is no account.
                let users = vec![user.clone()];
                let mut orders = vec![Planned::DeleteRobots(users.clone())];
                if cell.read().is_ok_and(|room| room.info().schedule.is_some()) {
                    orders.push(Planned::Invite { users, on: false });
                }
                for order in orders.into_iter().map(RoomCommand::Planned) {
                    while let Err(error) = cell.ask(By::App(SYSTEM.into()), None, order.clone()).await {
                        if error.code == Code::RoomNotFound {
                            // Gone with all that was in it.
                            break;
                        }
                        let (room, error) = (&cell.room_id, &error.message);
                        tracing::warn!(%user, %room, %error, "a robot or an invitation waits to be gone");
                        tokio::time::sleep(RETRY).await;
                    }
                }
            }
            server.drive_app(&app, Input::Left(user));
        });
    }
}

/// What is written down, as the store has it.
fn changes(app: &App, writes: Vec<Write<Recorded>>) -> Vec<Change> {
    let mut changes = Vec::with_capacity(writes.len() + 1);
    for write in writes {
        match write {
            Write::Record(record, _) => changes.push(Change::PutApp(record.app.clone())),
            Write::Account(account) => changes.push(Change::PutAccount(app.id, (*account).clone())),
            Write::Delete(user) => {
                changes.push(Change::DeleteAccount(app.id, user.clone()));
                changes.push(Change::PutIntent(app.id, Intent::AccountOver(user)));
            }
            Write::Gifts(change) => changes.push(Change::Catalogue(app.id, change)),
            Write::Make(info, number) => {
                changes.push(Change::CreateRoom(RoomScope { app: app.id, number }, *info));
                if let Some(making) = app.making.lock().get_mut(&number) {
                    changes.append(&mut making.told);
                }
            }
        }
    }
    changes
}
