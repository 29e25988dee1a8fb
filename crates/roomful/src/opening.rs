//! What was kept is put together again when the server starts.

use std::sync::Arc;

use hall::between::Input;
use hashbrown::HashMap;
use rooms::{Battle, CatalogueChange, Connection, Incarnation, Record, Room, SdkAppId};
use store::{Change, Intent, Presence, RoomScope, Snapshot};

use crate::clock;
use crate::halls::OpenRoom;
use crate::quota::Place;
use crate::server::Server;

/// What was kept of what goes on between the rooms of an app, and which of them have still to say that they are over.
#[derive(Default)]
struct BetweenRooms {
    battles: Vec<Battle>,
    connections: Vec<Connection>,
    over: Vec<Incarnation>,
}

impl Server {
    /// Takes over what the store has kept.
    pub(crate) fn restore(self: &Arc<Self>, snapshot: Snapshot) {
        let now = clock::now();
        snapshot.apps.into_iter().for_each(|app| self.put_app(app, []));
        snapshot.api_keys.into_iter().for_each(|key| self.keys.put(key));
        for (app, account) in snapshot.accounts {
            if let Some(app) = self.app(app) {
                app.known.write().restore_account(account);
            }
        }
        for (app, record) in snapshot.catalogues {
            if let Some(app) = self.app(app) {
                app.known.write().restore_gifts(CatalogueChange::Put(record));
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
            let (tenant, chronicle) = (app.tenant.clone(), self.chronicle.clone());
            let cell = OpenRoom::new(tenant, app.beyond(), scope, room, place, &self.config, chronicle);
            cells.insert(scope, cell.clone());
            app.known.write().restore_name(cell.incarnation());
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
            let Some(app) = self.app(stored.sdkappid) else { continue };
            if app.account(stored.user.as_str()).is_some() {
                self.sessions.restore(app.tenant.clone(), stored, &self.config.limits);
            } else {
                // Its account was deleted in the moment of a crash.
                self.store.journal(vec![Change::DeleteSession(stored.id)]);
            }
        }
        for presence in snapshot.presence {
            let is_in = cells
                .get(&presence.scope)
                .zip(self.sessions.by_id(presence.session))
                .is_some_and(|(cell, session)| cell.restore_session(&session, &presence));
            if !is_in {
                let Presence { session, scope, user, .. } = presence;
                self.store.journal(vec![Change::DeletePresence(scope, user, session)]);
            }
        }
        for app in self.apps() {
            app.rooms().iter().for_each(|cell| cell.finish_restore());
        }
        let mut between: HashMap<SdkAppId, BetweenRooms> = HashMap::new();
        for (app, battle) in snapshot.battles {
            between.entry(app).or_default().battles.push(battle);
        }
        for (app, connection) in snapshot.connections {
            between.entry(app).or_default().connections.push(connection);
        }
        for (app, intent) in snapshot.intents {
            match (intent, self.app(app)) {
                (Intent::RoomOver(room), _) => between.entry(app).or_default().over.push(room),
                (Intent::AccountOver(user), Some(app)) => self.end_account(&app, user),
                (Intent::AccountOver(_), None) => {}
            }
        }
        for (app, BetweenRooms { battles, connections, over }) in between {
            if let Some(app) = self.app(app) {
                app.between.open(battles, connections, over);
            }
        }
    }

    /// Tells history of all that goes on: after a restart, and when what it had of today was deleted.
    pub(crate) fn retell(&self) {
        self.apps().iter().flat_map(|app| app.rooms()).for_each(|cell| cell.retell());
        self.chronicle.settle();
    }

    /// Starts the clocks of what was there before the restart: resume graces and lifetimes of rooms.
    pub(crate) fn begin_grace(self: &Arc<Self>) {
        self.retell();
        for session in self.sessions.all() {
            self.carry_out(&session, session.settle());
        }
        for app in self.apps() {
            for cell in app.rooms() {
                cell.drive(hall::Input::Time);
            }
            app.between.drive(Input::Time);
        }
    }
}
