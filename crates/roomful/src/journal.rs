//! The presence journal: which sessions are in which rooms, written behind the answers. Nobody waits for it; what
//! changes often between two writes is written once.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashSet;
use parking_lot::Mutex;
use rooms::{RoomId, SdkAppId, SessionId};
use store::{Change, RoomCounters};

use crate::hub::Hub;

/// How long changes are gathered.
const INTERVAL: Duration = Duration::from_millis(200);

/// How long the journal waits after the disk refused it.
const RETRY: Duration = Duration::from_secs(1);

/// How many changes go into one commit, so that durable commands do not wait long behind it.
const BATCH: usize = 1000;

/// What has changed since the last write.
#[derive(Default)]
pub(crate) struct Journal(Mutex<Dirty>);

#[derive(Default)]
struct Dirty {
    sessions: HashSet<SessionId, foldhash::fast::RandomState>,
    rooms: HashSet<(SdkAppId, RoomId), foldhash::fast::RandomState>,
}

impl Journal {
    /// A session has begun, ended, changed its token, entered or left.
    pub(crate) fn session(&self, id: SessionId) {
        self.0.lock().sessions.insert(id);
    }

    /// A room's counters have grown.
    pub(crate) fn room(&self, app: SdkAppId, room_id: &RoomId) {
        let mut dirty = self.0.lock();
        // Asked first, so that a busy room costs no allocation each time.
        if !dirty.rooms.contains(&(app, room_id.clone())) {
            dirty.rooms.insert((app, room_id.clone()));
        }
    }

    /// Writes what has changed so far.
    pub(crate) async fn flush(&self, hub: &Hub) -> Result<(), store::Error> {
        let dirty = std::mem::take(&mut *self.0.lock());
        let sessions: Vec<_> = dirty.sessions.into_iter().collect();
        let rooms: Vec<_> = dirty.rooms.into_iter().collect();
        let mut changes: Vec<Change> = Vec::with_capacity(sessions.len() + rooms.len());
        changes.extend(sessions.iter().map(|id| match hub.sessions.stored(*id) {
            Some(session) => Change::PutSession(session),
            None => Change::DeleteSession(*id),
        }));
        changes.extend(rooms.iter().filter_map(|(app, room_id)| {
            let cell = hub.app(*app)?.room(room_id.as_str()).ok()?;
            let room = cell.read().ok()?;
            let counters = RoomCounters { views: room.views(), last_seq: room.last_seq() };
            Some(Change::PutRoomCounters(*app, room_id.clone(), counters))
        }));
        while !changes.is_empty() {
            let batch = changes.split_off(changes.len().saturating_sub(BATCH));
            if let Err(error) = hub.store.commit(batch).await {
                let mut dirty = self.0.lock();
                dirty.sessions.extend(sessions);
                dirty.rooms.extend(rooms);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Writes the journal for as long as the server runs.
pub(crate) async fn run(hub: Arc<Hub>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        if hub.journal.flush(&hub).await.is_err() {
            tokio::time::sleep(RETRY).await;
        }
    }
}
