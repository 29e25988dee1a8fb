//! The hub: all apps of this server, and the commands that change what is kept.
//!
//! A durable command plans the change under the rules, commits it, and applies it: so nobody sees what is not on disk. In a
//! room it says what it touches, and waits only for what is on its way and touches the same (`hall/src/plans.rs`). What
//! makes and ends rooms, and what changes accounts, takes its *lane* (one of many, by the name). A lane is no lock on any
//! state. Reading, entering and leaving go on while the disk is asked.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use hall::{Answer, By, Command, Input, Passing, Planned, Refusal};
use hashbrown::HashMap;
use parking_lot::RwLock;
use rooms::{
    Account, Battle, BattleStep, CatalogueChange, ConnectionStep, Fields, LeaveCause, Profile, Record, Room,
    RoomId, RoomInfo, RoomType, SdkAppId, SessionId, Time, UserId,
};
use store::{Change, Presence, RoomScope, Snapshot, Store, Webhook};
use tokio::sync::{Mutex, MutexGuard, mpsc, watch};

use crate::app::App;
use crate::budget::Budget;
use crate::clock;
use crate::config::Config;
use crate::error::{ApiError, Code};
use crate::halls::{OpenRoom, SYSTEM, Welcome};
use crate::live::Live;
use crate::locks::ReadRoom;
use crate::quota::{self, Place};

use crate::session::{Close, Closer, Frame, InRoom, Loss, ResumeToken, Session, Sessions};
use crate::tenant::Tenant;
use crate::webhooks::{self, EventIds, Sender};
use crate::wire::{self, RoomInfoView};

/// How many lanes there are: enough that two commands seldom meet in one by chance.
const LANES: usize = 1024;

/// How long a dismissal that the disk refused waits.
const DISMISSAL_RETRY: Duration = Duration::from_secs(1);

/// The lane of an app's gift catalogue; no room or user has a line feed in its name.
const CATALOGUE_LANE: &str = "\ncatalogue";

/// Resolves once the server drains.
pub(crate) async fn drained(draining: &mut watch::Receiver<bool>) {
    // The error is that the hub is gone, which is the same to a connection.
    let _ = draining.wait_for(|draining| *draining).await;
}

/// Carries out what must not be left between its commit and what follows from that, whoever waits for it.
pub(crate) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(ApiError::internal(error)))
}

/// Everything the server knows.
pub(crate) struct Hub {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sessions: Sessions,
    /// Carries sound and pictures.
    pub(crate) live: Arc<Live>,
    /// Sends to webhook receivers.
    pub(crate) sender: Sender,
    event_ids: Arc<EventIds>,
    default_webhook: Arc<Webhook>,
    /// The documented frequency of each command.
    frequencies: Vec<u32>,
    apps: RwLock<HashMap<SdkAppId, Arc<App>, foldhash::fast::RandomState>>,
    /// For the bodies of all apps' calls.
    pub(crate) bodies: Budget,
    lanes: Box<[Mutex<()>]>,
    lane_of: foldhash::fast::RandomState,
    /// True once the server drains; every connection holds a receiver, so that their end can be waited for.
    pub(crate) draining: watch::Sender<bool>,
}

impl Hub {
    /// Takes over what the store has kept. Sessions of before wait to be resumed from [`Self::begin_grace`] on.
    pub(crate) fn new(
        config: Config,
        frequencies: Vec<u32>,
        store: Arc<dyn Store>,
        snapshot: Snapshot,
        live: Arc<Live>,
    ) -> Arc<Self> {
        let hub = Arc::new(Self {
            store,
            sessions: Sessions::default(),
            sender: Sender::new(config.webhooks.allow_private),
            event_ids: Arc::new(EventIds::after(snapshot.last_event)),
            default_webhook: Arc::new(config.webhooks.default_receiver()),
            frequencies,
            apps: RwLock::default(),
            bodies: Budget::of_all(),
            lanes: (0..LANES).map(|_| Mutex::default()).collect(),
            lane_of: foldhash::fast::RandomState::default(),
            draining: watch::Sender::new(false),
            config,
            live,
        });
        hub.restore(snapshot);
        hub
    }

    fn restore(&self, snapshot: Snapshot) {
        let now = clock::now();
        snapshot.apps.into_iter().for_each(|app| self.put_app(app));
        for (app, account) in snapshot.accounts {
            if let Some(app) = self.app(app) {
                app.put_account(account);
            }
        }
        for (app, record) in snapshot.catalogues {
            if let Some(app) = self.app(app) {
                app.catalogue.write().apply(CatalogueChange::Put(record));
            }
        }
        for (app, battle) in snapshot.battles {
            if let Some(app) = self.app(app) {
                app.stage.put_battle(battle);
            }
        }
        for (app, connection) in snapshot.connections {
            if let Some(app) = self.app(app) {
                app.stage.connections.lock().put(connection);
            }
        }
        let mut cells: HashMap<RoomScope, Arc<OpenRoom>> = HashMap::new();
        for (scope, info, mut counters) in snapshot.rooms {
            let Some(app) = self.app(scope.app) else { continue };
            let mut room = Room::new(info, now);
            // Messages go out before they are on disk, so a few numbers more than it knows may have been given out.
            counters.last_seq += 1000 * u64::from(counters.last_seq > 0);
            room.restore_counters(counters);
            let made_by = room.info().made_by.as_ref();
            let place = made_by.map(|user| Place::of_restored_room(app.quotas.of(user, &self.config.limits)));
            let cell = OpenRoom::new(app.tenant.clone(), scope, room, place, &self.config);
            cells.insert(scope, cell.clone());
            app.put_room(cell);
        }
        for (scope, record) in snapshot.records {
            // A robot whose account was deleted in the moment of a crash.
            if let Record::Robot { user, .. } = &record
                && self.app(scope.app).is_some_and(|app| app.account(user.as_str()).is_none())
            {
                self.store.journal(vec![Change::DeleteRecord(scope, Record::robot_key(user))]);
                continue;
            }
            if let Some(cell) = cells.get(&scope) {
                cell.restore(|room| room.restore_record(record));
            }
        }
        for (scope, message) in snapshot.messages {
            if let Some(cell) = cells.get(&scope) {
                cell.restore(|room| room.restore_message(message));
            }
        }
        for stored in &snapshot.sessions {
            if let Some(app) = self.app(stored.sdkappid) {
                self.sessions.restore(app.tenant.clone(), stored, &self.config.limits);
            }
        }
        for presence in snapshot.presence {
            let is_in = cells
                .get(&presence.scope)
                .zip(self.sessions.by_id(presence.session))
                .is_some_and(|(cell, session)| cell.restore_session(&session, presence.place, presence.seen));
            if !is_in {
                let Presence { session, scope, user, .. } = presence;
                self.store.journal(vec![Change::DeletePresence(scope, user, session)]);
            }
        }
        for app in self.apps() {
            app.rooms().iter().for_each(|cell| cell.finish_restore());
            self.restore_stage(&app);
        }
    }

    /// What is between rooms of which one was destroyed in the moment of a crash goes on without it.
    fn restore_stage(&self, app: &App) {
        let is_gone = |room: &RoomId| app.room(room.as_str()).is_err();
        let connected = app.stage.connections.lock().all().cloned().collect::<Vec<_>>();
        for mut connection in connected {
            let before = connection.rooms.len();
            connection.rooms.retain(|room| !is_gone(room));
            if connection.rooms.len() < before {
                app.stage.connections.lock().put(connection.clone());
                self.store.journal(vec![Change::PutConnection(app.id, connection)]);
            }
        }
        for mut battle in app.stage.open_battles() {
            let gone: Vec<RoomId> =
                battle.sides.iter().map(|side| side.room.clone()).filter(is_gone).collect();
            let has_left = gone.iter().filter(|room| battle.leave(room, clock::now()).is_ok()).count() > 0;
            if has_left {
                app.stage.put_battle(battle.clone());
                self.store.journal(vec![Change::PutBattle(app.id, battle)]);
            }
        }
    }

    /// Starts the clocks of what was there before the restart: resume graces and lifetimes of rooms.
    pub(crate) fn begin_grace(self: &Arc<Self>) {
        for session in self.sessions.all() {
            self.expire_unless_resumed(session, 0);
        }
        for app in self.apps() {
            for cell in app.rooms() {
                self.watch_lifetime(&cell);
            }
            self.watch_battles(&app);
        }
    }

    pub(crate) fn app(&self, id: SdkAppId) -> Option<Arc<App>> {
        self.apps.read().get(&id).cloned()
    }

    /// The app of a session.
    ///
    /// # Errors
    /// When there is none any more, which does not happen.
    pub(crate) fn app_of(&self, session: &Session) -> Result<Arc<App>, ApiError> {
        self.app(session.app.id).ok_or_else(|| ApiError::internal("the session's app is gone"))
    }

    /// A room that a session is in, unless it is over.
    fn cell_of(&self, session: &Session, room: &InRoom) -> Option<Arc<OpenRoom>> {
        let cell = self.app(session.app.id)?.room(room.room_id.as_str()).ok()?;
        (cell.media_key == room.key).then_some(cell)
    }

    pub(crate) fn apps(&self) -> Vec<Arc<App>> {
        self.apps.read().values().cloned().collect()
    }

    /// Takes over an app's record that is durable by now.
    fn put_app(&self, record: store::App) {
        if let Some(app) = self.app(record.sdkappid) {
            return app.set_record(record);
        }
        let app = Arc::new(App::new(Tenant::new(
            record,
            &self.frequencies,
            self.config.limits.calls_per_second,
            self.store.clone(),
            self.event_ids.clone(),
            self.default_webhook.clone(),
            self.live.clone(),
        )));
        self.apps.write().insert(app.id, app);
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    pub(crate) async fn lane(&self, app: SdkAppId, name: &str) -> Option<MutexGuard<'_, ()>> {
        let lane = self.lane_index(app, name);
        Some(self.lanes.get(lane)?.lock().await)
    }

    fn lane_index(&self, app: SdkAppId, name: &str) -> usize {
        usize::try_from(self.lane_of.hash_one((app, name))).unwrap_or_default() % LANES
    }

    // Apps

    /// Makes or changes an app; its admins become accounts. With another key, what the old one signed is over: also the
    /// sessions, unless they are kept for a change that was planned. Goes on to its end whoever hangs up.
    pub(crate) async fn save_app(
        self: &Arc<Self>,
        record: store::App,
        keeps_sessions: bool,
    ) -> Result<(), ApiError> {
        let hub = self.clone();
        to_its_end(async move { hub.write_app(record, keeps_sessions).await }).await
    }

    async fn write_app(self: &Arc<Self>, record: store::App, keeps_sessions: bool) -> Result<(), ApiError> {
        let _lane = self.lane(record.sdkappid, "").await;
        let known = self.app(record.sdkappid);
        let now = clock::now();
        let admins: Vec<Account> = record
            .admins
            .iter()
            .filter(|admin| known.as_ref().is_none_or(|app| app.account(admin.as_str()).is_none()))
            .map(|admin| Account { user: admin.clone(), profile: Profile::default(), created_at: now })
            .collect();
        let mut changes = vec![Change::PutApp(record.clone())];
        changes.extend(admins.iter().map(|admin| Change::PutAccount(record.sdkappid, admin.clone())));
        self.store.commit(changes).await?;
        let is_rekeyed = known.is_some_and(|app| !app.credentials().has_key(&record.secret_key));
        let id = record.sdkappid;
        self.put_app(record);
        if let Some(app) = self.app(id) {
            admins.into_iter().for_each(|admin| app.put_account(admin));
            if is_rekeyed && !keeps_sessions {
                self.end_sessions_of(&app, Close::KEY_CHANGED);
            }
        }
        Ok(())
    }

    // Accounts

    /// Imports accounts, or changes the profiles of those that exist. All of them or none.
    pub(crate) async fn save_accounts(
        &self,
        app: &App,
        updates: Vec<(UserId, impl FnOnce(&mut Profile))>,
    ) -> Result<(), ApiError> {
        let mut lanes: Vec<usize> =
            updates.iter().map(|(user, _)| self.lane_index(app.id, user.as_str())).collect();
        // In one order and each once, so that two calls cannot wait for each other.
        lanes.sort_unstable();
        lanes.dedup();
        let mut held = Vec::with_capacity(lanes.len());
        for lane in lanes.into_iter().filter_map(|lane| self.lanes.get(lane)) {
            held.push(lane.lock().await);
        }
        let now = clock::now();
        let mut accounts: Vec<Account> = Vec::with_capacity(updates.len());
        for (user, update) in updates {
            let known = accounts.iter().rev().find(|account| account.user == user).cloned();
            let known = known.or_else(|| app.account(user.as_str()).map(|account| (*account).clone()));
            let mut account = known.unwrap_or(Account { user, profile: Profile::default(), created_at: now });
            update(&mut account.profile);
            account.profile.check()?;
            accounts.push(account);
        }
        self.store
            .commit(accounts.iter().map(|account| Change::PutAccount(app.id, account.clone())).collect())
            .await?;
        accounts.into_iter().for_each(|account| app.put_account(account));
        Ok(())
    }

    /// Imports an account unless it exists. Goes on to its end whoever hangs up.
    pub(crate) async fn import_if_new(
        self: &Arc<Self>,
        app: &Arc<App>,
        user: &UserId,
    ) -> Result<(), ApiError> {
        if app.account(user.as_str()).is_some() {
            return Ok(());
        }
        let (hub, app, user) = (self.clone(), app.clone(), user.clone());
        to_its_end(async move { hub.save_accounts(&app, vec![(user, |_: &mut Profile| {})]).await }).await
    }

    /// Deletes an account: its connections are closed, and it is in no room any more.
    pub(crate) async fn delete_account(self: &Arc<Self>, app: &App, user: &UserId) -> Result<(), ApiError> {
        {
            // No longer than this: a room may be in the same lane.
            let _lane = self.lane(app.id, user.as_str()).await;
            self.store.commit(vec![Change::DeleteAccount(app.id, user.clone())]).await?;
            app.remove_account(user.as_str());
        }
        for cell in app.rooms() {
            cell.order(Command::Passing(Passing::EndPlayers(vec![user.clone()])));
            // A robot that was being placed is there when this is planned; whoever places one later finds that there is
            // no account.
            let robots = Command::Planned(Planned::DeleteRobots(vec![user.clone()]));
            match self.ask(&cell, By::App(SYSTEM.into()), None, robots).await {
                // Gone with all its robots.
                Err(error) if error.code == Code::RoomNotFound => {}
                result => drop(result?),
            }
        }
        for session in self.sessions.all() {
            if session.app.id == app.id && session.user == *user {
                session.close(Close::ACCOUNT_DELETED);
                self.end_session(&session, LeaveCause::Kicked);
            }
        }
        Ok(())
    }

    // Rooms

    /// Creates a room, and answers with its record as JSON.
    pub(crate) async fn create_room(
        self: &Arc<Self>,
        app: &Arc<App>,
        new: NewRoom<'_>,
    ) -> Result<String, ApiError> {
        let NewRoom { room_id, room_type, owner, fields, operator, made_by } = new;
        let _lane = self.lane(app.id, room_id.as_str()).await;
        if let Ok(there) = app.room(room_id.as_str()) {
            // One that is over keeps its name until it has left everything between rooms.
            let over = |_| rooms::Error::RoomExists(room_id.to_string());
            let exists = |room: ReadRoom<'_>| rooms::Error::room_exists(room.info(), &owner, room_type);
            return Err(there.read().map_or_else(over, exists).into());
        }
        let incarnation = getrandom::u64().map_err(ApiError::internal)?;
        let now = clock::now();
        let mut info = RoomInfo::create(room_id, room_type, owner, fields, now, incarnation)?;
        let mut place = None;
        if let Some(user) = made_by {
            let limits = &self.config.limits;
            place = Some(Place::of_room(app.quotas.of(&user, limits), limits)?);
            info.made_by = Some(user);
            if fields.lifetime_after_no_users.is_none() && !limits.member_room_lifetime.is_zero() {
                info.lifetime_after_no_users = Some(limits.member_room_lifetime);
            }
        }
        let scope = self.store.room_scope(app.id)?;
        let mut changes = vec![Change::CreateRoom(scope, info.clone())];
        changes.extend(webhooks::room_created(app, &info, operator, now));
        self.store.commit(changes).await?;
        let room = Room::new(info, clock::now());
        // Another call may destroy the room as soon as it can be found.
        let made = RoomInfoView::new(&room, app).json();
        let cell = OpenRoom::new(app.tenant.clone(), scope, room, place, &self.config);
        app.put_room(cell.clone());
        self.watch_lifetime(&cell);
        Ok(made)
    }

    /// A command on a room that may bring its end nearer.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        cell: &Arc<OpenRoom>,
        by: By,
        room_type: Option<RoomType>,
        command: Command,
    ) -> Result<Answer, ApiError> {
        let answer = cell.ask(by, room_type, command).await;
        self.watch_lifetime(cell);
        answer
    }

    /// Destroys a room; everyone in it is put out with a reason. Answers with its numbers.
    pub(crate) async fn destroy_room(
        self: &Arc<Self>,
        app: &Arc<App>,
        room_id: &str,
        room_type: RoomType,
        by: By,
    ) -> Result<wire::Statistic, ApiError> {
        let (hub, app, cell) = (self.clone(), app.clone(), app.room(room_id)?);
        let answer = to_its_end(async move {
            // Whoever makes a room of that name finds none, or this one whole.
            let _lane = hub.lane(app.id, cell.room_id.as_str()).await;
            let end = cell.try_ask(by, Some(room_type), Command::Planned(Planned::Destroy)).await;
            let answer = end.map_err(|refusal| cell.error(refusal))?;
            hub.clear_up(&app, &cell).await;
            Ok(answer)
        });
        match answer.await? {
            Answer::Statistic { counters, senders } => Ok(wire::Statistic::new(counters, senders)),
            other => Err(ApiError::internal(format_args!("the end of a room is answered {other:?}"))),
        }
    }

    /// A room is over: so is all that it had a part in.
    async fn clear_up(self: &Arc<Self>, app: &Arc<App>, cell: &OpenRoom) {
        cell.let_go();
        self.end_requests(app, &cell.room_id);
        // The name is not given to another room before this one has left everything between rooms, on disk too.
        if self.leave_stage(app, &cell.room_id).await.is_ok() {
            return app.remove_room(&cell.room_id);
        }
        let (hub, app, room) = (self.clone(), app.clone(), cell.room_id.clone());
        tokio::spawn(async move {
            while let Err(error) = hub.leave_stage(&app, &room).await {
                tracing::warn!(%room, error = %error.message, "a destroyed room is still between others");
                tokio::time::sleep(DISMISSAL_RETRY).await;
            }
            app.remove_room(&room);
        });
    }

    /// Ends the room when its lifetime does. Called whenever that moment may have come nearer.
    pub(crate) fn watch_lifetime(self: &Arc<Self>, cell: &Arc<OpenRoom>) {
        let Ok(Some(deadline)) = cell.read().map(|room| room.deadline()) else { return };
        let (hub, watched) = (self.clone(), cell.clone());
        cell.lifetime_alarm.set(deadline, async move { hub.end_if_due(&watched).await });
    }

    async fn end_if_due(self: &Arc<Self>, cell: &Arc<OpenRoom>) {
        loop {
            let lane = self.lane(cell.app.id, cell.room_id.as_str()).await;
            let expire = Command::Planned(Planned::Expire);
            match cell.try_ask(By::App(SYSTEM.into()), None, expire).await {
                Ok(_) => {
                    if let Some(app) = self.app(cell.app.id) {
                        self.clear_up(&app, cell).await;
                    }
                    return;
                }
                Err(Refusal::Gone) => return,
                Err(Refusal::NotDue) => return self.watch_lifetime(cell),
                Err(refusal) => {
                    let error = cell.error(refusal);
                    tracing::warn!(room = %cell.room_id, error = %error.message, "dismissal waits");
                }
            }
            drop(lane);
            tokio::time::sleep(DISMISSAL_RETRY).await;
        }
    }

    // Presence

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
        // 0 stands for robots.
        let id = SessionId(getrandom::u64().map_err(ApiError::internal)?.max(1));
        while let Err(own) = quota.begin_session(limits, id) {
            let lost = own.into_iter().filter_map(|id| self.sessions.by_id(id)).find(|one| one.is_lost());
            let lost = lost.ok_or_else(|| quota::too_many_sessions(limits))?;
            lost.close(Close::REPLACED);
            self.end_session(&lost, LeaveCause::Interrupted);
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
        let id = SessionId(getrandom::u64().map_err(ApiError::internal)?.max(1));
        let begun = self.sessions.begin(id, app.clone(), user.clone(), quota, None);
        Ok(begun.map_err(ApiError::internal)?.0)
    }

    /// Refuses what would be written when so much of the app's waits for the disk already.
    ///
    /// # Errors
    /// [`Code::TooOften`].
    pub(crate) fn require_store(&self, app: &Tenant) -> Result<(), ApiError> {
        if self.store.is_behind(app.id) { Err(store::Error::Behind.into()) } else { Ok(()) }
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
            let known = own.into_iter().filter_map(|id| self.sessions.by_id(id));
            let lost = known.into_iter().find(|one| one.is_lost());
            let lost = lost.ok_or_else(|| quota::too_many_in_room(&self.config.limits))?;
            lost.close(Close::REPLACED);
            self.end_session(&lost, LeaveCause::Interrupted);
        }
    }

    /// All sessions of an app are over.
    fn end_sessions_of(self: &Arc<Self>, app: &App, why: Close) {
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
        let hub = self.clone();
        tokio::spawn(async move {
            crate::pulse::sleep(hub.config.presence.resume_grace).await;
            hub.end_session_at(&session, generation, LeaveCause::Interrupted);
        });
    }

    /// How many rooms and members there are.
    pub(crate) fn totals(&self) -> (usize, usize) {
        let (mut rooms, mut members) = (0, 0);
        for app in self.apps() {
            rooms += app.room_count();
            members +=
                app.rooms().iter().filter_map(|cell| Some(cell.read().ok()?.members().len())).sum::<usize>();
        }
        (rooms, members)
    }

    // Gifts

    /// Changes an app's catalogue.
    pub(crate) async fn change_catalogue(
        &self,
        app: &App,
        plan: impl FnOnce(&rooms::Catalogue) -> Result<Vec<CatalogueChange>, rooms::Error>,
    ) -> Result<(), ApiError> {
        let _lane = self.lane(app.id, CATALOGUE_LANE).await;
        let changes = plan(&app.catalogue.read())?;
        self.store
            .commit(changes.iter().map(|change| Change::Catalogue(app.id, change.clone())).collect())
            .await?;
        let mut catalogue = app.catalogue.write();
        changes.into_iter().for_each(|change| catalogue.apply(change));
        Ok(())
    }

    // Between rooms

    /// Makes a battle's next state durable, then tells the rooms.
    ///
    /// The caller holds the stage's lane.
    pub(crate) async fn save_battle(
        self: &Arc<Self>,
        app: &Arc<App>,
        battle: Battle,
        steps: &[BattleStep],
        operator: &str,
    ) -> Result<(), ApiError> {
        let now = clock::now();
        let mut changes = vec![Change::PutBattle(app.id, battle.clone())];
        changes.extend(
            steps.iter().filter_map(|step| webhooks::battle_event(app, &battle, step, operator, now)),
        );
        self.store.commit(changes).await?;
        if let Some(forgotten) = app.stage.put_battle(battle.clone()) {
            self.store.journal(vec![Change::DeleteBattle(app.id, forgotten)]);
        }
        self.watch_battles(app);
        for step in steps {
            let frame = Frame::text(&wire::battle_event(&battle, step));
            for side in &battle.sides {
                if let Ok(cell) = app.room(side.room.as_str()) {
                    cell.tell_all(frame.clone());
                }
            }
        }
        Ok(())
    }

    /// Lets time act on battles when it must.
    fn watch_battles(self: &Arc<Self>, app: &Arc<App>) {
        let Some(deadline) = app.stage.next_battle_deadline() else { return };
        let (hub, watched) = (self.clone(), app.clone());
        app.stage.battle_alarm.set(deadline, async move {
            for battle in watched.stage.open_battles() {
                let _lane = watched.stage.lane.lock().await;
                let Ok(mut battle) = watched.stage.battle(&battle.id) else { continue };
                let steps = battle.tick(clock::now());
                if steps.is_empty() {
                    continue;
                }
                if let Err(error) = hub.save_battle(&watched, battle, &steps, SYSTEM).await {
                    tracing::warn!(error = %error.message, "the end of a battle waits");
                    tokio::time::sleep(DISMISSAL_RETRY).await;
                }
            }
            hub.watch_battles(&watched);
        });
    }

    /// Requests by a room that is no more, and to it, are over.
    fn end_requests(&self, app: &App, room: &RoomId) {
        let ended = app.stage.connections.lock().forget(room);
        for (from, to) in ended {
            let (step, other) = match from == *room {
                true => (ConnectionStep::Cancelled, &to),
                false => (ConnectionStep::Expired, &from),
            };
            if let Ok(other) = app.room(other.as_str()) {
                other.tell_managers(Frame::text(&wire::connection_event(step, &from, &to, "")));
            }
        }
    }

    /// A room that is no more has no part in anything.
    async fn leave_stage(self: &Arc<Self>, app: &Arc<App>, room: &RoomId) -> Result<(), ApiError> {
        let _lane = app.stage.lane.lock().await;
        // It may be in one, and be asked to others.
        while let Some(mut battle) = app.stage.battle_of(room.as_str()) {
            let Ok(steps) = battle.leave(room, clock::now()) else { break };
            self.save_battle(app, battle, &steps, SYSTEM).await?;
        }
        if !app.stage.connected(room).is_empty() {
            self.disconnect(app, room).await?;
        }
        Ok(())
    }

    /// A room leaves its connection. The caller holds the stage's lane.
    pub(crate) async fn disconnect(&self, app: &App, room: &RoomId) -> Result<(), ApiError> {
        let before = app.stage.connected(room);
        let connection = app.stage.connections.lock().leave(room)?;
        self.save_connection(app, connection, &before).await
    }

    /// Makes a connection durable, then tells its rooms and those that were in it `before`.
    pub(crate) async fn save_connection(
        &self,
        app: &App,
        connection: rooms::Connection,
        before: &[RoomId],
    ) -> Result<(), ApiError> {
        self.store.commit(vec![Change::PutConnection(app.id, connection.clone())]).await?;
        app.stage.connections.lock().put(connection.clone());
        let mut rooms = connection.rooms;
        rooms.extend(before.iter().cloned());
        rooms.sort();
        rooms.dedup();
        for room in rooms {
            if let Ok(cell) = app.room(room.as_str()) {
                let connected = app.connected(&room);
                cell.tell_all(Frame::text(&wire::connection_changed(&room, &connected)));
            }
        }
        Ok(())
    }
}

/// What a room is made from.
pub(crate) struct NewRoom<'a> {
    pub(crate) room_id: RoomId,
    pub(crate) room_type: RoomType,
    pub(crate) owner: UserId,
    pub(crate) fields: &'a Fields,
    pub(crate) operator: &'a str,
    /// The member that makes it, and may have only so many.
    pub(crate) made_by: Option<UserId>,
}
