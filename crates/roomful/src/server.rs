//! What the server knows: all apps, all sessions, and what they share.

use std::pin::Pin;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::RwLock;
use rooms::{Account, Incarnation, SdkAppId};
use store::{Snapshot, Store};
use tokio::sync::{Mutex, watch};

use crate::app::App;
use crate::budget::Budget;
use crate::chronicle::Chronicle;
use crate::clock;
use crate::config::Config;
use crate::error::ApiError;
use crate::halls::OpenRoom;
use crate::keys::Keys;
use crate::lease::Lease;
use crate::live::Live;
use crate::scale::Scale;
use crate::session::{Session, Sessions};
use crate::tenant::{Receivers, Tenant};
use crate::webhooks::{EventIds, Sender};

/// Resolves once the server drains.
pub(crate) async fn drained(draining: &mut watch::Receiver<bool>) {
    // The error is that the server is gone, which is the same to a connection.
    let _ = draining.wait_for(|draining| *draining).await;
}

/// Work of which the compiler needs not know what it is: a kind of task for each piece of work is much to compile.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>> + Send>>;

/// Carries out what must not be left between its commit and what follows from that, whoever waits for it.
pub(crate) async fn to_its_end<T: Send + 'static>(work: Work<T>) -> Result<T, ApiError> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(ApiError::internal(error)))
}

/// Everything the server knows.
pub(crate) struct Server {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sessions: Sessions,
    /// Carries sound and pictures.
    pub(crate) live: Arc<Live>,
    /// What happens, as it is kept for later.
    pub(crate) chronicle: Arc<Chronicle>,
    /// How many were there, for dashboards.
    pub(crate) scale: Scale,
    event_ids: Arc<EventIds>,
    default_receivers: Receivers,
    /// The documented frequency of each command.
    frequencies: Vec<u32>,
    apps: RwLock<HashMap<SdkAppId, Arc<App>, foldhash::fast::RandomState>>,
    /// For the bodies of all apps' calls.
    pub(crate) bodies: Arc<Budget>,
    /// With which the RTC API is called.
    pub(crate) keys: Keys,
    /// Held by whoever makes an app or changes a key.
    pub(crate) saving: Mutex<()>,
    /// True once the server drains; every connection holds a receiver, so that their end can be waited for.
    pub(crate) draining: watch::Sender<bool>,
    /// Whether what it knows is still so.
    pub(crate) lease: Lease,
    /// Where clients reach the nodes of the cluster; none of a server alone.
    pub(crate) addresses: RwLock<Vec<String>>,
}

/// What a server has around it.
pub(crate) struct Around {
    pub(crate) live: Arc<Live>,
    pub(crate) chronicle: Arc<Chronicle>,
    pub(crate) term: Term,
}

/// For how long a server answers.
#[derive(Default)]
pub(crate) struct Term {
    pub(crate) draining: watch::Sender<bool>,
    pub(crate) lease: Lease,
}

impl Server {
    /// Takes over what the store has kept. Sessions of before wait to be resumed from [`Self::begin_grace`] on.
    pub(crate) fn new(
        config: Config,
        frequencies: Vec<u32>,
        keys: Keys,
        store: Arc<dyn Store>,
        snapshot: Snapshot,
        Around { live, chronicle, term: Term { draining, lease } }: Around,
    ) -> Arc<Self> {
        let server = Arc::new(Self {
            store,
            sessions: Sessions::default(),
            chronicle,
            scale: Scale::new(clock::now()),
            event_ids: Arc::new(EventIds::after(snapshot.last_event)),
            default_receivers: Receivers {
                webhook: Arc::new(config.webhooks.default_receiver()),
                callbacks: config.callbacks.receivers().into(),
                sender: Arc::new(Sender::new(config.webhooks.allow_private)),
            },
            frequencies,
            apps: RwLock::default(),
            bodies: Budget::of_all(),
            keys,
            saving: Mutex::default(),
            draining,
            lease,
            addresses: RwLock::default(),
            config,
            live,
        });
        server.restore(snapshot);
        server
    }

    /// What reaches webhook receivers.
    pub(crate) fn sender(&self) -> &Sender {
        &self.default_receivers.sender
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
    pub(crate) fn cell_of(&self, session: &Session, room: &Incarnation) -> Option<Arc<OpenRoom>> {
        let cell = self.app(session.app.id)?.room(room.room.as_str()).ok()?;
        (cell.incarnation() == *room).then_some(cell)
    }

    pub(crate) fn apps(&self) -> Vec<Arc<App>> {
        self.apps.read().values().cloned().collect()
    }

    /// Takes over an app that is durable by now, with accounts.
    pub(crate) fn put_app(&self, record: store::App, accounts: impl IntoIterator<Item = Account>) {
        let app = Arc::new(App::new(Tenant::new(
            record,
            &self.frequencies,
            self.config.limits.calls_per_second,
            self.store.clone(),
            self.event_ids.clone(),
            self.default_receivers.clone(),
            self.live.clone(),
        )));
        accounts.into_iter().for_each(|account| app.known.write().restore_account(account));
        self.apps.write().insert(app.id, app);
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Refuses what would be written when so much of the app's waits for the disk already.
    ///
    /// # Errors
    /// [`Code::TooOften`].
    pub(crate) fn require_store(&self, app: &Tenant) -> Result<(), ApiError> {
        if self.store.is_behind(app.id) { Err(store::Error::Behind.into()) } else { Ok(()) }
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
}
