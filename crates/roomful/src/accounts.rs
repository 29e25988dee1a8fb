//! Apps, their accounts and their catalogues of gifts, as they change.

use std::sync::Arc;

use hall::{By, Command, Passing, Planned};
use rooms::{Account, CatalogueChange, LeaveCause, Profile, SdkAppId, UserId};
use store::Change;

use crate::app::App;
use crate::clock;
use crate::error::{ApiError, Code};
use crate::halls::SYSTEM;
use crate::server::{Server, to_its_end};
use crate::session::Close;

/// The lane of an app's gift catalogue; no room or user has a line feed in its name.
const CATALOGUE_LANE: &str = "\ncatalogue";

/// In place of an app, for the lanes of what is no app's.
const KEYS: SdkAppId = SdkAppId(0);

impl Server {
    /// Makes or changes an app; its admins become accounts. With another key, what the old one signed is over: also the
    /// sessions, unless they are kept for a change that was planned. Goes on to its end whoever hangs up.
    pub(crate) async fn save_app(
        self: &Arc<Self>,
        record: store::App,
        keeps_sessions: bool,
    ) -> Result<(), ApiError> {
        let server = self.clone();
        to_its_end(async move { server.write_app(record, keeps_sessions).await }).await
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

    /// Makes or changes a key of the RTC API. Goes on to its end whoever hangs up.
    pub(crate) async fn save_key(self: &Arc<Self>, key: store::ApiKey) -> Result<(), ApiError> {
        let server = self.clone();
        to_its_end(async move {
            let _lane = server.lane(KEYS, &key.secret_id).await;
            server.store.commit(vec![Change::PutApiKey(key.clone())]).await?;
            server.keys.put(key);
            Ok(())
        })
        .await
    }

    /// Deletes a key of the RTC API: nothing is called with it any more. Goes on to its end whoever hangs up.
    pub(crate) async fn delete_key(self: &Arc<Self>, secret_id: String) -> Result<(), ApiError> {
        let server = self.clone();
        to_its_end(async move {
            let _lane = server.lane(KEYS, &secret_id).await;
            server.store.commit(vec![Change::DeleteApiKey(secret_id.clone())]).await?;
            server.keys.remove(&secret_id);
            Ok(())
        })
        .await
    }

    /// Imports accounts, or changes the profiles of those that exist. All of them or none.
    pub(crate) async fn save_accounts(
        &self,
        app: &App,
        updates: Vec<(UserId, impl FnOnce(&mut Profile))>,
    ) -> Result<(), ApiError> {
        let _lanes = self.lanes_of(app.id, updates.iter().map(|(user, _)| user.as_str())).await;
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
        let (server, app, user) = (self.clone(), app.clone(), user.clone());
        to_its_end(async move { server.save_accounts(&app, vec![(user, |_: &mut Profile| {})]).await }).await
    }

    /// Deletes an account: its connections are closed, and it is in no room any more.
    pub(crate) async fn delete_account(self: &Arc<Self>, app: &App, user: &UserId) -> Result<(), ApiError> {
        {
            // No longer than this: a room may be in the same lane.
            let _lane = self.lane(app.id, user.as_str()).await;
            self.store.commit(vec![Change::DeleteAccount(app.id, user.clone())]).await?;
            app.remove_account(user.as_str());
        }
        // A session that begins now finds that there is no account.
        for session in self.sessions.all() {
            if session.app.id == app.id && session.user == *user {
                session.close(Close::ACCOUNT_DELETED);
                self.end_session(&session, LeaveCause::Kicked);
            }
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
        Ok(())
    }

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
}
