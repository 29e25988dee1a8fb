//! What an action's handler is given, and the types that parameters of many actions have.

use std::sync::Arc;

use rooms::SdkAppId;
use schemars::JsonSchema;
use serde::Deserialize;

use super::refusal::{Code, Refusal};
use crate::app::App;
use crate::keys::Key;
use crate::server::Server;

/// A call whose caller is known and whose parameters are what the action takes.
pub(super) struct Call {
    pub(super) server: Arc<Server>,
    key: Arc<Key>,
}

/// The app that a call is about.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("x-code" = "SdkAppId"))]
pub(super) struct AppId(#[schemars(range(min = 1, max = 4_294_967_295_u32))] u64);

impl Call {
    pub(super) fn new(server: Arc<Server>, key: Arc<Key>) -> Self {
        Self { server, key }
    }

    /// The app, if the key may act on it. Whether there is one is told to those alone who may act on all.
    ///
    /// # Errors
    /// `UnauthorizedOperation.SdkAppId`.
    pub(super) fn app(&self, id: AppId) -> Result<Arc<App>, Refusal> {
        self.find_app(id)?.ok_or_else(|| {
            let message = format!("there is no app {}; see `roomful app list`", id.0);
            Refusal::new(Code::UnauthorizedOperation, message).of("SdkAppId")
        })
    }

    /// All apps that the key may act on.
    pub(super) fn apps(&self) -> impl Iterator<Item = Arc<App>> {
        self.server.apps().into_iter().filter(|app| self.key.may_act_on(app.id))
    }

    /// The same as [`Self::app`]; `None` where a key of all apps names one that there is not.
    pub(super) fn find_app(&self, id: AppId) -> Result<Option<Arc<App>>, Refusal> {
        let id = SdkAppId(u32::try_from(id.0).unwrap_or_default());
        if !self.key.may_act_on(id) {
            let message = format!("the key was not given app {id}; see `roomful key list`");
            return Err(Refusal::new(Code::UnauthorizedOperation, message).of("SdkAppId"));
        }
        let app = self.server.app(id);
        if app.is_none() && !self.key.is_of_all_apps() {
            return Err(
                Refusal::new(Code::UnauthorizedOperation, format!("there is no app {id}")).of("SdkAppId")
            );
        }
        Ok(app)
    }
}
