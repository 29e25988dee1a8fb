//! An app in memory, but for its rooms: its key and admins, what it knows (`accounts.rs` drives that), what it has used. Nothing is
//! shared between apps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hall::Refusal;
use hashbrown::HashMap;
use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard};
use rooms::{Account, Catalogue, Incarnation, SdkAppId, Time, UserId};
use store::{Callback, Change, Store, Webhook};
use tokio::sync::{oneshot, watch};
use usersig::{Claims, Decoded, SecretKey};

use crate::alarm::Alarm;
use crate::booked::Booked;
use crate::budget::Budget;
use crate::clock;
use crate::error::ApiError;
use crate::limit::{OnceASecond, RateLimit, RateLimits};
use crate::live::Live;
use crate::quota::{Place, Quotas};
use crate::repeats::Repeats;
use crate::webhooks::{EventIds, Sender, callback_receivers};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// An app's record, as it is to be.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) app: store::App,
    /// Sessions go on although the key is another.
    pub(crate) keeps_sessions: bool,
}

/// Who wants to hear what has come of something.
pub(crate) type Asker = oneshot::Sender<Result<(), Refusal>>;

type Known = hall::tenant::Tenant<Recorded, Asker>;

/// What a room brings along that is being made.
pub(crate) struct Making {
    /// What it takes up of its maker's.
    pub(crate) place: Option<Place>,
    /// What is told of it.
    pub(crate) told: Vec<Change>,
}

/// An app, as its rooms and sessions know it.
pub(crate) struct Tenant {
    pub(crate) id: SdkAppId,
    credentials: RwLock<Arc<Credentials>>,
    /// How often the record was another.
    record: AtomicU64,
    /// The calls that the record has authorised which there is, and those of former records that are not done.
    calls: RwLock<Generation>,
    former_calls: Mutex<Vec<Arc<watch::Sender<()>>>>,
    /// What it knows. Who holds it waits for nothing else.
    pub(crate) known: RwLock<Known>,
    /// For its deadline.
    pub(crate) alarm: Alarm,
    /// Rooms that are being made, by their numbers.
    pub(crate) making: Mutex<Map<i64, Making>>,
    pub(crate) limits: RateLimits,
    /// The same frequencies for what its members change, apart from its server's: neither takes the other's share.
    pub(crate) member_limits: RateLimits,
    /// Which of its rooms are booked, and whom they concern.
    pub(crate) booked: Booked,
    /// Each room id may be tried so often.
    pub(crate) creations: OnceASecond,
    /// What its server has sent already.
    pub(crate) repeats: Repeats,
    /// What each user has used.
    pub(crate) quotas: Quotas,
    /// For the bodies of its calls.
    pub(crate) bodies: Arc<Budget>,
    /// Where its rooms write what has happened.
    pub(crate) store: Arc<dyn Store>,
    pub(crate) event_ids: Arc<EventIds>,
    /// Who hears of its events; of the configuration file unless it has its own.
    webhook: RwLock<Arc<Webhook>>,
    /// Who gets its event callbacks; of the configuration file where it has none of its own for a group.
    callbacks: RwLock<Arc<[Callback]>>,
    default: Receivers,
    webhook_log_limit: RateLimit,
    /// About so much its receiver is asked at once.
    pub(crate) questions: Arc<Budget>,
    /// What carries its rooms' sound and pictures.
    pub(crate) live: Arc<Live>,
}

/// Who hears of what happens in apps that say nothing of it themselves.
#[derive(Clone)]
pub(crate) struct Receivers {
    pub(crate) webhook: Arc<Webhook>,
    pub(crate) callbacks: Arc<[Callback]>,
    /// What reaches them, and those that apps have of their own.
    pub(crate) sender: Arc<Sender>,
}

/// What decides who may act for an app.
pub(crate) struct Credentials {
    key: SecretKey,
    record: store::App,
    /// UserSigs that verified before, decoded: callers send the same one again and again. Verified on every request.
    decoded: RwLock<Map<Box<str>, Decoded>>,
}

/// Held by a call as long as it goes on.
pub(crate) type Authorised = Arc<watch::Receiver<()>>;

/// The calls of one record.
struct Generation {
    end: Arc<watch::Sender<()>>,
    authorised: Authorised,
}

impl Default for Generation {
    fn default() -> Self {
        let (end, authorised) = watch::channel(());
        Self { end: Arc::new(end), authorised: Arc::new(authorised) }
    }
}

/// How long whoever changes a record waits for the calls that the former one has authorised.
const FORMER_CALLS: Duration = Duration::from_secs(2);

/// How many decoded UserSigs an app keeps; when they are more, all are forgotten, which costs one decoding each.
const MAX_DECODED: usize = 1024;

impl Tenant {
    pub(crate) fn new(
        record: store::App,
        frequencies: &[u32],
        calls_per_second: u32,
        store: Arc<dyn Store>,
        event_ids: Arc<EventIds>,
        default: Receivers,
        live: Arc<Live>,
    ) -> Self {
        let callbacks = callbacks(&record, &default.callbacks);
        let webhook = record.webhook.clone().map_or_else(|| default.webhook.clone(), Arc::new);
        let mut known = Known::default();
        known.restore_admins(record.admins.clone());
        Self {
            id: record.sdkappid,
            credentials: RwLock::new(Arc::new(Credentials::new(record))),
            record: AtomicU64::new(0),
            calls: RwLock::default(),
            former_calls: Mutex::default(),
            known: RwLock::new(known),
            alarm: Alarm::default(),
            making: Mutex::default(),
            limits: RateLimits::new(frequencies, calls_per_second),
            member_limits: RateLimits::new(frequencies, calls_per_second),
            booked: Booked::default(),
            creations: OnceASecond::new(calls_per_second),
            repeats: Repeats::default(),
            quotas: Quotas::default(),
            bodies: Budget::of_app(),
            store,
            event_ids,
            webhook: RwLock::new(webhook),
            callbacks: RwLock::new(callbacks),
            default,
            webhook_log_limit: RateLimit::new(1),
            questions: Budget::of_questions(),
            live,
        }
    }

    /// What reaches its receivers.
    pub(crate) fn sender(&self) -> &Arc<Sender> {
        &self.default.sender
    }

    /// Where its events go; a URL of "" is nowhere.
    pub(crate) fn webhook(&self) -> Arc<Webhook> {
        self.webhook.read().clone()
    }

    pub(crate) fn has_webhook(&self) -> bool {
        !self.webhook.read().url.is_empty()
    }

    /// Where `command` goes, if its receiver wants it.
    pub(crate) fn webhook_for(&self, command: &str) -> Option<Arc<Webhook>> {
        let webhook = self.webhook();
        let is_wanted = webhook.events.is_empty() || webhook.events.iter().any(|event| event == command);
        (!webhook.url.is_empty() && is_wanted).then_some(webhook)
    }

    /// Whether anybody gets its event callbacks of a group.
    pub(crate) fn has_callback(&self, group: u8) -> bool {
        self.callbacks.read().iter().any(|callback| callback.group == group)
    }

    /// Whether anybody gets any of its event callbacks.
    pub(crate) fn has_callbacks(&self) -> bool {
        !self.callbacks.read().is_empty()
    }

    /// Who gets its event callbacks of a group.
    pub(crate) fn callback(&self, group: u8) -> Option<Callback> {
        self.callbacks.read().iter().find(|callback| callback.group == group).cloned()
    }

    /// Whether one more failure of its receiver is logged: of thousands, one a second says enough.
    pub(crate) fn may_log_webhook(&self) -> bool {
        self.webhook_log_limit.accept(std::time::Instant::now())
    }

    /// Another number for each record that there was. Whoever keeps what the record has decided looks at it before that was decided, and
    /// again before it counts.
    pub(crate) fn record(&self) -> u64 {
        self.record.load(Ordering::Acquire)
    }

    pub(crate) fn credentials(&self) -> Arc<Credentials> {
        self.credentials.read().clone()
    }

    /// Takes over a record that is durable by now.
    pub(crate) fn set_record(&self, record: store::App) {
        *self.webhook.write() = record.webhook.clone().map_or_else(|| self.default.webhook.clone(), Arc::new);
        *self.callbacks.write() = callbacks(&record, &self.default.callbacks);
        *self.credentials.write() = Arc::new(Credentials::new(record));
        self.record.fetch_add(1, Ordering::Release);
        // Whoever is authorised from here on, is by this record.
        let former = std::mem::take(&mut *self.calls.write());
        self.former_calls.lock().push(former.end);
    }

    /// What a call holds as long as it goes on; asked for before the [credentials](Self::credentials) by which it is let in.
    pub(crate) fn begin_call(&self) -> Authorised {
        self.calls.read().authorised.clone()
    }

    /// Waits until what former records have authorised is done, or for long enough.
    pub(crate) async fn await_former_calls(&self) {
        let former = self.former_calls.lock().clone();
        let done = async {
            for calls in former {
                calls.closed().await;
            }
        };
        let _ = tokio::time::timeout(FORMER_CALLS, done).await;
        self.former_calls.lock().retain(|calls| !calls.is_closed());
    }

    pub(crate) fn account(&self, user: &str) -> Option<Arc<Account>> {
        self.known.read().account(user).cloned()
    }

    /// Its catalogue of gifts.
    pub(crate) fn catalogue(&self) -> MappedRwLockReadGuard<'_, Catalogue> {
        RwLockReadGuard::map(self.known.read(), Known::catalogue)
    }

    /// A room is over, and its name free.
    pub(crate) fn free_name(&self, room: Incarnation) {
        self.known.write().handle(hall::tenant::Input::Free(room), clock::now());
    }

    /// The account named in the field `field` of a call.
    pub(crate) fn require_account(&self, field: &str, user: &str) -> Result<Arc<Account>, ApiError> {
        let user = UserId::parse_field(field, user)?;
        self.account(user.as_str()).ok_or_else(|| {
            ApiError::invalid(
                field,
                format_args!("names {user}, who is no imported account; call account_import first"),
            )
        })
    }

    /// The account that a call must name in the field `field`.
    pub(crate) fn require_account_field(&self, field: &str, user: Option<&str>) -> Result<UserId, ApiError> {
        let user = user.ok_or_else(|| ApiError::invalid(field, "is missing"))?;
        Ok(self.require_account(field, user)?.user.clone())
    }

    /// The accounts named in the list `field` of a call, each once.
    pub(crate) fn require_accounts(
        &self,
        field: &str,
        users: Option<Vec<String>>,
        most: usize,
    ) -> Result<Vec<UserId>, ApiError> {
        let users = users.ok_or_else(|| ApiError::invalid(field, "is missing"))?;
        if users.is_empty() {
            return Err(ApiError::invalid(field, "names no account"));
        }
        if users.len() > most {
            let trouble = format_args!("names {} accounts; at most {most} are allowed", users.len());
            return Err(ApiError::invalid(field, trouble));
        }
        let mut known = Vec::with_capacity(users.len());
        for user in &users {
            let user = self.require_account(field, user)?.user.clone();
            if !known.contains(&user) {
                known.push(user);
            }
        }
        Ok(known)
    }
}

/// The receivers of an app's event callbacks that are anywhere.
fn callbacks(record: &store::App, default: &[Callback]) -> Arc<[Callback]> {
    callback_receivers(record, default).into_iter().filter(|callback| !callback.url.is_empty()).collect()
}

impl Credentials {
    fn new(record: store::App) -> Self {
        Self { key: SecretKey::new(record.secret_key.clone()), record, decoded: RwLock::default() }
    }

    pub(crate) fn has_key(&self, key: &str) -> bool {
        self.record.secret_key == key
    }

    /// Whether what these have verified is verified by the others too.
    pub(crate) fn has_same_key(&self, other: &Self) -> bool {
        other.has_key(&self.record.secret_key)
    }

    pub(crate) fn is_admin(&self, user: &str) -> bool {
        self.record.admins.iter().any(|admin| admin.as_str() == user)
    }

    /// A UserSig of the app, for so many seconds.
    pub(crate) fn sign(&self, user: &UserId, seconds: u64) -> Result<String, usersig::Error> {
        let now = crate::clock::now().unix_seconds();
        usersig::sign(&self.key, &Claims::new(user.as_str(), self.record.sdkappid.0, now, seconds))
    }

    /// Checks a UserSig for the user a request names; returns when it ends.
    pub(crate) fn verify(&self, user: &str, sig: &str) -> Result<Time, usersig::Error> {
        let end = |claims: &Claims| Time::from_unix_seconds(claims.issued_at.saturating_add(claims.expire));
        let now = crate::clock::now().unix_seconds();
        {
            // Nobody waits to write but for a UserSig that comes for the first time.
            let decoded = self.decoded.read();
            if let Some(known) = decoded.get(sig) {
                let claims = known.verify(&self.key, now)?;
                claims.require(user, self.record.sdkappid.0)?;
                return Ok(end(claims));
            }
        }
        let fresh = usersig::decode(sig)?;
        let claims = fresh.verify(&self.key, now)?;
        claims.require(user, self.record.sdkappid.0)?;
        let end = end(claims);
        // An administrator's is sent with every call; a member's once.
        if self.is_admin(user) {
            let mut decoded = self.decoded.write();
            if decoded.len() >= MAX_DECODED {
                decoded.clear();
            }
            decoded.insert(sig.into(), fresh);
        }
        Ok(end)
    }

    /// Checks a UserSig for the user a request names, which may have ended.
    pub(crate) fn verify_once(&self, user: &str, sig: &str) -> Result<(), usersig::Error> {
        let fresh = usersig::decode(sig)?;
        let issued_at = fresh.unverified().issued_at;
        fresh.verify(&self.key, issued_at)?.require(user, self.record.sdkappid.0)
    }
}
