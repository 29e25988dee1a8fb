//! The hub: all apps of this server, and the commands that change what is kept.
//!
//! A durable command takes its *lane* (one of many, by the name of what it changes), plans the change under the rules,
//! commits it, and applies it: so nobody sees what is not on disk, and a refused commit needs no undoing. A lane is no
//! lock on any state. Reading, entering and leaving go on while the disk is asked.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::RwLock;
use rooms::{
    Account, Fields, LeaveCause, Profile, Room, RoomId, RoomInfo, RoomType, SdkAppId, SessionId, Time, UserId,
};
use store::{Change, Snapshot, Store};
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::app::App;
use crate::clock;
use crate::config::Config;
use crate::error::ApiError;
use crate::journal::Journal;
use crate::room_cell::RoomCell;
use crate::session::{Close, Session, Sessions};

/// How many lanes there are: enough that two commands seldom meet in one by chance.
const LANES: usize = 1024;

/// How long a dismissal that the disk refused waits.
const DISMISSAL_RETRY: Duration = Duration::from_secs(1);

/// Resolves once the server drains.
pub(crate) async fn drained(draining: &mut watch::Receiver<bool>) {
    // The error is that the hub is gone, which is the same to a connection.
    let _ = draining.wait_for(|draining| *draining).await;
}

/// Everything the server knows.
pub(crate) struct Hub {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sessions: Sessions,
    pub(crate) journal: Journal,
    apps: RwLock<HashMap<SdkAppId, Arc<App>, foldhash::fast::RandomState>>,
    lanes: Box<[Mutex<()>]>,
    lane_of: foldhash::fast::RandomState,
    /// True once the server drains; every connection holds a receiver, so that their end can be waited for.
    pub(crate) draining: watch::Sender<bool>,
}

impl Hub {
    /// Takes over what the store has kept. Sessions of before wait to be resumed from [`Self::begin_grace`] on.
    pub(crate) fn new(config: Config, store: Arc<dyn Store>, snapshot: Snapshot) -> Arc<Self> {
        let hub = Arc::new(Self {
            store,
            sessions: Sessions::default(),
            journal: Journal::default(),
            apps: RwLock::default(),
            lanes: (0..LANES).map(|_| Mutex::default()).collect(),
            lane_of: foldhash::fast::RandomState::default(),
            draining: watch::Sender::new(false),
            config,
        });
        let now = clock::now();
        for app in snapshot.apps {
            hub.put_app(app);
        }
        for (app, account) in snapshot.accounts {
            if let Some(app) = hub.app(app) {
                app.put_account(account);
            }
        }
        for (id, info, counters) in snapshot.rooms {
            let Some(app) = hub.app(id) else { continue };
            let mut room = Room::new(info, now);
            // The journal runs behind the answers, so a few numbers more than it knows may have been given out.
            room.restore_counters(
                counters.views,
                counters.last_seq + 1000 * u64::from(counters.last_seq > 0),
            );
            app.put_room(RoomCell::new(id, room));
        }
        for stored in &snapshot.sessions {
            let Some(app) = hub.app(stored.sdkappid) else { continue };
            let session = hub.sessions.restore(app.clone(), stored);
            for (room_id, place, seen) in &stored.rooms {
                if let Ok(cell) = app.room(room_id.as_str()) {
                    let _ = cell.restore(&session, *place, *seen);
                }
            }
        }
        hub
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
        }
    }

    pub(crate) fn app(&self, id: SdkAppId) -> Option<Arc<App>> {
        self.apps.read().get(&id).cloned()
    }

    pub(crate) fn apps(&self) -> Vec<Arc<App>> {
        self.apps.read().values().cloned().collect()
    }

    /// Takes over an app's record that is durable by now.
    fn put_app(&self, record: store::App) {
        if let Some(app) = self.app(record.sdkappid) {
            return app.set_record(record);
        }
        let app = Arc::new(App::new(record, self.config.limits.calls_per_second));
        self.apps.write().insert(app.id, app);
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    async fn lane(&self, app: SdkAppId, name: &str) -> Option<MutexGuard<'_, ()>> {
        let lane = self.lane_index(app, name);
        Some(self.lanes.get(lane)?.lock().await)
    }

    fn lane_index(&self, app: SdkAppId, name: &str) -> usize {
        usize::try_from(self.lane_of.hash_one((app, name))).unwrap_or_default() % LANES
    }

    // Apps

    /// Makes or changes an app; its admins become accounts.
    pub(crate) async fn save_app(&self, record: store::App) -> Result<(), ApiError> {
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
        let id = record.sdkappid;
        self.put_app(record);
        if let Some(app) = self.app(id) {
            admins.into_iter().for_each(|admin| app.put_account(admin));
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

    /// Imports an account unless it exists.
    pub(crate) async fn import_if_new(&self, app: &App, user: &UserId) -> Result<(), ApiError> {
        if app.account(user.as_str()).is_some() {
            return Ok(());
        }
        self.save_accounts(app, vec![(user.clone(), |_: &mut Profile| {})]).await
    }

    /// Deletes an account: its connections are closed, and it is in no room any more.
    pub(crate) async fn delete_account(self: &Arc<Self>, app: &App, user: &UserId) -> Result<(), ApiError> {
        let _lane = self.lane(app.id, user.as_str()).await;
        self.store.commit(vec![Change::DeleteAccount(app.id, user.clone())]).await?;
        app.remove_account(user.as_str());
        for session in self.sessions.all() {
            if session.app.id == app.id && session.user == *user {
                session.close(Close::ACCOUNT_DELETED);
                self.end_session(&session, LeaveCause::Kicked);
            }
        }
        Ok(())
    }

    // Rooms

    /// Creates a room, and answers with it.
    pub(crate) async fn create_room(
        self: &Arc<Self>,
        app: &App,
        room_id: RoomId,
        room_type: RoomType,
        owner: UserId,
        fields: &Fields,
    ) -> Result<Arc<RoomCell>, ApiError> {
        let _lane = self.lane(app.id, room_id.as_str()).await;
        if app.room(room_id.as_str()).is_ok() {
            return Err(rooms::Error::RoomExists(room_id.to_string()).into());
        }
        let incarnation =
            getrandom::u64().map_err(|error| ApiError::new(ApiError::INTERNAL, error.to_string()))?;
        let now = clock::now();
        let info = RoomInfo::create(room_id, room_type, owner, fields, now, incarnation)?;
        self.store.commit(vec![Change::PutRoom(app.id, info.clone())]).await?;
        let cell = RoomCell::new(app.id, Room::new(info, clock::now()));
        app.put_room(cell.clone());
        self.watch_lifetime(&cell);
        Ok(cell)
    }

    /// Changes a room's record.
    pub(crate) async fn update_room(
        self: &Arc<Self>,
        app: &App,
        room_id: &str,
        room_type: RoomType,
        fields: &Fields,
        owner: Option<UserId>,
    ) -> Result<(), ApiError> {
        let _lane = self.lane(app.id, room_id).await;
        let cell = app.room(room_id)?;
        let info = {
            let room = cell.read()?;
            room.require_type(room_type)?;
            let mut info = room.info().updated(fields)?;
            info.owner = owner.unwrap_or(info.owner);
            info
        };
        self.store.commit(vec![Change::PutRoom(app.id, info.clone())]).await?;
        cell.write()?.set_info(info);
        self.watch_lifetime(&cell);
        Ok(())
    }

    /// Destroys a room; everyone in it is put out with a reason.
    pub(crate) async fn destroy_room(
        &self,
        app: &App,
        room_id: &str,
        room_type: RoomType,
    ) -> Result<(), ApiError> {
        let _lane = self.lane(app.id, room_id).await;
        let cell = app.room(room_id)?;
        cell.read()?.require_type(room_type)?;
        self.destroy(app, &cell, LeaveCause::Destroyed).await
    }

    async fn destroy(&self, app: &App, cell: &RoomCell, cause: LeaveCause) -> Result<(), ApiError> {
        self.store.commit(vec![Change::DeleteRoom(app.id, cell.room_id.clone())]).await?;
        app.remove_room(&cell.room_id);
        for session in cell.destroy(cause) {
            self.journal.session(session);
        }
        Ok(())
    }

    /// Ends the room when its lifetime does. Called whenever that moment may have come nearer.
    pub(crate) fn watch_lifetime(self: &Arc<Self>, cell: &Arc<RoomCell>) {
        let Ok(Some(deadline)) = cell.read().map(|room| room.deadline()) else { return };
        if !cell.watch_until(deadline) {
            return;
        }
        let (hub, cell) = (self.clone(), cell.clone());
        tokio::spawn(async move {
            tokio::time::sleep(clock::now().until(deadline)).await;
            cell.unwatch(deadline);
            hub.end_if_due(&cell).await;
        });
    }

    async fn end_if_due(self: &Arc<Self>, cell: &Arc<RoomCell>) {
        let Some(app) = self.app(cell.app) else { return };
        loop {
            let lane = self.lane(cell.app, cell.room_id.as_str()).await;
            let is_due = |deadline: Option<Time>| deadline.is_some_and(|deadline| deadline <= clock::now());
            match cell.read() {
                Err(_) => return,
                Ok(room) if !is_due(room.deadline()) => break,
                Ok(_) => {}
            }
            match self.destroy(&app, cell, LeaveCause::Expired).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(room = %cell.room_id, error = %error.message, "dismissal waits"),
            }
            drop(lane);
            tokio::time::sleep(DISMISSAL_RETRY).await;
        }
        self.watch_lifetime(cell);
    }

    // Presence

    /// A session goes out of one room.
    pub(crate) fn leave_room(
        self: &Arc<Self>,
        session: &Session,
        cell: &Arc<RoomCell>,
        cause: LeaveCause,
    ) -> Result<(), ApiError> {
        cell.leave(session, cause, clock::now())?;
        self.journal.session(session.id);
        self.watch_lifetime(cell);
        Ok(())
    }

    /// A session is over: it leaves all its rooms, and its token is worth nothing.
    pub(crate) fn end_session(self: &Arc<Self>, session: &Session, cause: LeaveCause) {
        if !self.sessions.end(session) {
            return;
        }
        for cell in session.rooms() {
            // A room that was destroyed meanwhile has let the session go already.
            let _ = self.leave_room(session, &cell, cause);
        }
        self.journal.session(session.id);
    }

    /// A session lost its connection: it ends when the resume grace is over, unless another connection comes.
    pub(crate) fn expire_unless_resumed(self: &Arc<Self>, session: Arc<Session>, generation: u64) {
        let hub = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(hub.config.presence.resume_grace).await;
            if session.is_at(generation) {
                hub.end_session(&session, LeaveCause::Interrupted);
            }
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

    /// Marks a session for the journal.
    pub(crate) fn note(&self, session: SessionId, cell: &RoomCell) {
        self.journal.session(session);
        self.journal.room(cell.app, &cell.room_id);
    }
}
