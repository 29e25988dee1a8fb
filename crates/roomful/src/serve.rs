//! `roomful serve`: the store, the server, the listeners, and the way down again.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, WWW_AUTHENTICATE};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use bytes::Bytes;
use hyper_util::service::TowerToHyperService;
use media::{Media, TrunkConfig};
use rooms::SdkAppId;
use sha2::{Digest as _, Sha256};
use store::{OnCommit, Queued, Snapshot, Store as _, Target};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::chronicle::{self, Chronicle};
use crate::config::{Config, Listening};
use crate::door::{Door, House, Served, accept, accept_control, listen};
use crate::first_app::{first_app, print_welcome};
use crate::keys::Keys;
use crate::live::{self, Live};
use crate::logging::Logging;
use crate::metrics::{Metrics, Shown};
use crate::places::Places;
use crate::server::{Around, Server, Term};
use crate::signals::StopSignals;
use crate::told::Node;
use crate::webhooks::Outbox;
use crate::workers::Workers;
use crate::{census, control, dev, gateway, metrics, page, pulse, rest, rtc, sdk, tls};

/// How long connections get to finish when the server stops; the whole is done within 10 s.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);

/// Made once: whoever asks, signed or not, shares it.
static OPENAPI: LazyLock<Bytes> = LazyLock::new(|| rest::openapi().to_string().into());
static ASYNCAPI: LazyLock<Bytes> = LazyLock::new(|| gateway::asyncapi().to_string().into());
static RTC_OPENAPI: LazyLock<Bytes> = LazyLock::new(|| rtc::openapi().to_string().into());

/// What a server of any kind begins with.
pub(crate) struct Begun {
    pub(crate) config: Config,
    pub(crate) is_dev: bool,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) places: Arc<Places>,
    pub(crate) tls: Option<TlsAcceptor>,
    /// Keeps others off the data folder.
    _lock: File,
}

impl Begun {
    /// Looks whether a server can be had with these settings, and takes the data folder.
    pub(crate) fn with(config: Config, is_dev: bool) -> anyhow::Result<Self> {
        pulse::start()?;
        // Each member is a file descriptor; the usual soft limit of 1,024 is for programs that use select().
        if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
            tracing::warn!(%error, "the limit of open files stays as it was");
        }
        let files = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(u64::MAX, |(soft, _)| soft);
        let places = Places::new(&config.limits, files);
        if places.most() < config.limits.connections {
            tracing::info!(files, connections = places.most(), "more connections would need more open files");
        }
        for (key, wants) in config.idle() {
            tracing::warn!("{key} is set and does nothing without {wants}");
        }
        let tls = tls::load(&config.tls)?;
        let metrics = Arc::new(Metrics::install(rest::names())?);
        let _lock = control::lock(&config.server.data)?;
        Ok(Self { config, is_dev, metrics, places, tls, _lock })
    }

    /// Listens for clients, and for who reads the metrics.
    pub(crate) fn listen(&self) -> anyhow::Result<(TcpListener, Option<TcpListener>)> {
        let listener = listen(self.config.server.listen, "choose another with --listen")?;
        let metrics = match self.config.metrics.listen {
            Some(address) => Some(listen(address, "choose another with metrics.listen")?),
            None => None,
        };
        Ok((listener, metrics))
    }

    /// `/metrics`, of a server while there is one.
    pub(crate) fn metrics_routes(&self, shown: impl Fn() -> Shown + Clone + Send + Sync + 'static) -> Router {
        let (metrics, places) = (self.metrics.clone(), self.places.clone());
        let show = move || async move { render(&metrics, &shown(), &places) };
        Router::new().route("/metrics", get(show))
    }

    /// The same for clients that have its token, where there is one.
    pub(crate) fn metrics_by_token(
        &self,
        shown: impl Fn() -> Shown + Clone + Send + Sync + 'static,
    ) -> Router {
        let token: Arc<str> = self.config.metrics.token.as_str().into();
        if token.is_empty() {
            return Router::new();
        }
        let (metrics, places) = (self.metrics.clone(), self.places.clone());
        let show = move |headers: HeaderMap| async move {
            if !has_token(&headers, &token) {
                return (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")]).into_response();
            }
            render(&metrics, &shown(), &places).into_response()
        };
        Router::new().route("/metrics", get(show))
    }
}

/// Which of several nodes this is, and where their forwarding units reach its own.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Part {
    /// 0 where it is the only one.
    pub(crate) node: Node,
    pub(crate) trunk: Option<TrunkConfig>,
}

/// Records that are open, and a server on them.
pub(crate) struct Opened {
    pub(crate) server: Arc<Server>,
    /// Taken by who begins to carry sound and pictures.
    happenings: Option<live::Happenings>,
    pub(crate) first_app: Option<store::App>,
}

impl Opened {
    /// Opens them, makes a first app where there is none, and finds out where clients will be: whoever is let in is answered.
    pub(crate) async fn open(
        begun: &Begun,
        database: Option<&Target>,
        open: impl FnOnce(OnCommit) -> anyhow::Result<(Queued, Snapshot)>,
        listen: impl FnOnce() -> anyhow::Result<SocketAddr>,
        term: Term,
        Part { node, trunk }: Part,
    ) -> anyhow::Result<Self> {
        let config = &begun.config;
        let outbox = Outbox::new(tokio::runtime::Handle::current(), config.webhooks.waiting_bytes);
        let committed = outbox.clone();
        let (store, mut snapshot) = open(Box::new(move |group| {
            metrics::record_commit(group.took, group.changes);
            committed.accept(&group);
        }))?;
        // Beside the records, so that whoever has those has what happened too.
        let history = match (database, store.generation()) {
            (Some(target), Some(generation)) => {
                history::Place::Database { target: Box::new(target.clone()), generation }
            }
            _ => history::Place::Folder(config.server.data.join(chronicle::FOLDER)),
        };
        let store = Arc::new(store);
        if snapshot.apps.is_empty() {
            let (app, changes) = first_app()?;
            store.commit(changes.clone()).await?;
            snapshot.accounts.extend(changes.into_iter().filter_map(|change| match change {
                store::Change::PutAccount(app, account) => Some((app, account)),
                _ => None,
            }));
            snapshot.apps.push(app);
        }
        let first_app = snapshot.apps.first().cloned();
        let address = listen()?;
        let undelivered = std::mem::take(&mut snapshot.waiting);
        let (live, happenings) = start_unit(config, address, trunk, |unit| Live::start(unit, node))?;
        say_where(live.media());
        live.set_relay_urls(live::relay_urls(config, live.media(), address));
        let chronicle = Chronicle::start(&config.history, history)?;
        let keys = Keys::new(rtc::rates(), config.limits.calls_per_second);
        let around = Around { live, chronicle, term };
        let server = Server::new(config.clone(), rest::frequencies(), keys, store, snapshot, around);
        outbox.start(server.clone(), undelivered);
        Ok(Self { server, happenings: Some(happenings), first_app })
    }

    /// What answers clients.
    pub(crate) fn serve(&self, begun: &Begun) -> Served {
        let dev = self.first_app.as_ref().filter(|_| begun.is_dev).map(|app| app.sdkappid);
        let shown = self.server.clone();
        let metrics = begun.metrics_by_token(move || Shown::of(&shown));
        self.serve_with(Some(begun.metrics.clone()), routes(self.server.clone(), dev).merge(metrics))
    }

    /// What answers with other routes; calls where those are recorded.
    pub(crate) fn serve_with(&self, calls: Option<Arc<Metrics>>, routes: Router) -> Served {
        Served { server: self.server.clone(), calls, routes: TowerToHyperService::new(routes), teller: None }
    }

    /// Begins to carry sound and pictures, and to count the time of those who are lost.
    pub(crate) fn start(&mut self) -> Vec<JoinHandle<()>> {
        self.server.begin_grace();
        let mut tasks =
            vec![tokio::spawn(retell(self.server.clone())), tokio::spawn(census::keep(self.server.clone()))];
        if let Some(happenings) = self.happenings.take() {
            tasks.push(tokio::spawn(self.server.live.clone().run(self.server.clone(), happenings)));
        }
        tasks
    }

    /// Waits for connections to end, which were told to, and for all that was journalled to be on disk.
    pub(crate) async fn drained(&self, others: &[JoinHandle<()>]) {
        if tokio::time::timeout(DRAIN_TIMEOUT, self.server.draining.closed()).await.is_err() {
            tracing::warn!(connections = self.server.draining.receiver_count(), "connections were cut off");
        }
        others.iter().for_each(JoinHandle::abort);
        // Everything that was journalled is on disk when this is.
        if let Err(error) = self.server.store.commit(Vec::new()).await {
            tracing::error!(%error, "the presence journal could not be written");
        }
        let chronicle = self.server.chronicle.clone();
        let _ = tokio::task::spawn_blocking(move || chronicle.finish()).await;
    }
}

/// Ends the process at a second signal, whatever it waits for.
pub(crate) fn end_at_once(mut stop: StopSignals, folder: PathBuf, logging: &Logging) {
    let logging = logging.clone();
    tokio::spawn(async move {
        stop.next().await;
        tracing::warn!("stopped at once: a second signal");
        control::unbind(&folder);
        logging.flush();
        std::process::exit(1);
    });
}

/// Runs the server until it is told to stop; with `is_dev`, the page signs people in by their names.
pub(crate) async fn run(config: Config, is_dev: bool, logging: &Logging) -> anyhow::Result<()> {
    let begun = Begun::with(config, is_dev)?;
    let folder = begun.config.server.data.clone();
    let place = begun.config.store.place_to_serve(&folder)?;
    let mut listening = None;
    let listen = || {
        let (listener, metrics) = begun.listen()?;
        let address = listener.local_addr()?;
        listening = Some((listener, metrics, address));
        Ok(address)
    };
    let open = |on_commit| Ok(place.open(on_commit)?);
    let mut opened =
        Opened::open(&begun, place.target(), open, listen, Term::default(), Part::default()).await?;
    let (listener, metrics_listener, address) = listening.context("nothing listens")?;
    let server = opened.server.clone();

    let shown = server.clone();
    let metrics_routes = begun.metrics_routes(move || Shown::of(&shown));
    let about = control::About { listen: address, is_tls: begun.tls.is_some() };
    let control_routes = control::routes(server.clone(), about).merge(metrics_routes.clone());
    let control_socket = control::bind(&folder)?;
    let door = Arc::new(Door { places: begun.places.clone(), workers: Workers::start()? });
    let (house, control_house) =
        (opened.serve(&begun), opened.serve_with(Some(begun.metrics.clone()), control_routes));
    let mut background = vec![tokio::spawn(Metrics::upkeep(begun.metrics.handle()))];
    background.extend(opened.start());
    let mut listeners = vec![
        tokio::spawn(accept(listener, begun.tls.clone(), House::Own(house), door.clone())),
        tokio::spawn(accept_control(control_socket, House::Own(control_house))),
    ];
    if let Some(listener) = metrics_listener {
        let house = House::Own(opened.serve_with(None, metrics_routes));
        listeners.push(tokio::spawn(accept(listener, None, house, door)));
    }
    let mut stop = StopSignals::listen()?;
    if let Some(app) = &opened.first_app {
        print_welcome(app, address, begun.tls.is_some(), is_dev, &folder);
    }
    tracing::info!(%address, tls = begun.tls.is_some(), data = %folder.display(), "serving");

    let lost = tokio::select! {
        () = stop.next() => None,
        error = lost(&server) => Some(error),
    };
    if let Some(error) = &lost {
        tracing::error!(%error, "the server ends");
    }
    end_at_once(stop, folder.clone(), logging);
    tracing::info!("draining: no new work, connections are told to come back");
    server.draining.send_replace(true);
    listeners.iter().for_each(JoinHandle::abort);
    opened.drained(&background).await;
    control::unbind(&folder);
    tracing::info!("stopped");
    lost.map_or(Ok(()), |error| Err(error.into()))
}

/// Tells history once more of what goes on, whenever what it had is gone.
async fn retell(server: Arc<Server>) {
    loop {
        server.chronicle.lost().await;
        server.retell();
    }
}

/// Starts the forwarding unit beside a server at `address`. Ports that nobody asked for may be any, when the usual ones
/// are taken.
pub(crate) fn start_unit<T>(
    config: &Config,
    address: SocketAddr,
    trunk: Option<TrunkConfig>,
    start: impl Fn(&media::Config) -> std::io::Result<T>,
) -> anyhow::Result<T> {
    let usual = config.media.unit(address, trunk)?;
    let any = |address: SocketAddr| SocketAddr::new(address.ip(), 0);
    let mut tries = vec![usual.clone()];
    let mut next = usual.clone();
    if config.media.turn_udp.is_none() {
        next.turn = next.turn.map(any);
        tries.push(next.clone());
    }
    if config.media.tcp == Listening::Usual {
        next.tcp = next.tcp.map(any);
        tries.push(next.clone());
        if config.media.udp.is_none() {
            next.udp = any(next.udp);
            tries.push(next);
        }
    }
    let mut trouble = None;
    for unit in &tries {
        match start(unit) {
            Ok(started) => {
                if *unit != usual {
                    tracing::warn!(
                        "the usual media ports are taken; set media.udp, media.tcp and media.turn_udp"
                    );
                }
                return Ok(started);
            }
            Err(error) => trouble = trouble.or(Some(error)),
        }
    }
    let trouble = trouble.map_or_else(|| anyhow::anyhow!("there is nothing to try"), anyhow::Error::from);
    Err(trouble.context(format!(
        "cannot listen for media on UDP {}, TCP {:?} and, for TURN, UDP {:?}; set media.udp, media.tcp and media.turn_udp",
        usual.udp, usual.tcp, usual.turn
    )))
}

/// Says where clients' sound and pictures come and go.
pub(crate) fn say_where(media: &Media) {
    let ((udp, tcp), turn_udp) = (media.addresses(), media.relay_addresses());
    tracing::info!(?udp, ?tcp, ?turn_udp, "media");
}

/// With the app for which the development sign-in is, if there is one.
fn routes(server: Arc<Server>, dev: Option<SdkAppId>) -> Router {
    let routes = Router::new()
        .route(
            "/v1/connect",
            get(|State(server): State<Arc<Server>>, request: Request| async move {
                gateway::upgrade(server, request)
            }),
        )
        .route(
            "/v1/leave",
            post(|State(server): State<Arc<Server>>, request: Request| async move {
                gateway::leave(server, request).await
            }),
        )
        .route("/readyz", get(ready))
        .with_state(server.clone())
        .merge(live::whip::routes(server.clone()))
        .merge(fixed_routes(dev.is_some()));
    match dev {
        Some(app) => routes.merge(dev::routes(server, app)),
        None => routes,
    }
}

/// What is the same whoever answers; with `is_dev`, the page signs people in by their names.
pub(crate) fn fixed_routes(is_dev: bool) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/openapi.json", get(|| async { ([(CONTENT_TYPE, "application/json")], OPENAPI.clone()) }))
        .route("/asyncapi.json", get(|| async { ([(CONTENT_TYPE, "application/json")], ASYNCAPI.clone()) }))
        .route(
            "/openapi-rtc.json",
            get(|| async { ([(CONTENT_TYPE, "application/json")], RTC_OPENAPI.clone()) }),
        )
        .merge(page::routes(is_dev))
        .merge(sdk::routes())
}

fn render(metrics: &Metrics, shown: &Shown, places: &Places) -> impl IntoResponse + use<> {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render(shown, places))
}

/// Whether a request has the bearer token. Digests are compared, so that the time it takes says nothing of the token.
fn has_token(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given = given.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    given.is_some_and(|(_, given)| Sha256::digest(given.trim()) == Sha256::digest(token))
}

/// 200 once calls will succeed; the listener is open only after the store was read.
async fn ready(State(server): State<Arc<Server>>) -> impl IntoResponse {
    if server.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_string());
    }
    if let Err(error) = server.store.health() {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("the store cannot write: {error}\n"));
    }
    (StatusCode::OK, "ready\n".to_string())
}

/// Resolves when the records are not this server's any more, or not what it knows of them: what it would go on to say of rooms
/// might be wrong.
async fn lost(server: &Server) -> store::Error {
    let mut look = tokio::time::interval(Duration::from_secs(1));
    loop {
        look.tick().await;
        if let Err(error @ (store::Error::Superseded | store::Error::Rewound(_))) = server.store.health() {
            return error;
        }
    }
}

/// Whether a server runs on the folder.
pub(crate) fn is_running(folder: &Path) -> bool {
    control::is_bound(folder)
}
