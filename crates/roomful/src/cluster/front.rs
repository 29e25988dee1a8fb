//! Who answers at the door of a node: this server, while it has the records; otherwise the node that has them. While nobody has,
//! requests wait, for a while and so many of them; then they are refused, and it is said why.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use cluster::{Answer, Input};
use http_body::Body as _;
use http_body_util::Either;
use hyper::{Method, Request};
use hyper_util::service::TowerToHyperService;
use media::Media;
use parking_lot::RwLock;
use store::{Cluster, Known};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};

use super::carry::carry;
use super::confirm;
use super::drive::{AskedFor, Going};
use super::mesh::{Asked, Mesh, Unreached, Whose};
use super::pages::Pages;
use super::units::Lender;
use crate::door::{Arriving, Came, Counted, House, Peer, Response, Served, Shared, by_routes, serve, unsure};
use crate::host;
use crate::lease::Lease;
use crate::metrics::{Metrics, Shown};
use crate::patience::Patient;
use crate::rest::{self, Question};
use crate::rtc;
use crate::server::Server;
use crate::straight::{self, Answering};
use crate::told::Node;

/// How long a request waits for somebody to have the records: as long as it takes to find out that a node is gone, and to take
/// over from it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The same while this node does not know of any other: its database cannot be reached.
const ALONE: Duration = Duration::from_secs(3);

/// How many may wait.
const MOST_WAITING: usize = 1024;

/// How long is waited before another is asked.
const PAUSE: Duration = Duration::from_millis(100);

/// The WebSocket of members.
const CONNECT: &str = "/v1/connect";

const TOO_MANY: &str = "the cluster changes hands, and too many wait for that; retry in a moment";
const NOBODY: &str = "no node of the cluster has the records: its database cannot be reached, or a node is just taking over; retry";
const UNREACHED: &str = "the node of the cluster that has the records cannot be reached from this one: look at the network between nodes (cluster.listen, \
     cluster.advertise, UDP); retry, or call another node";
const LOST: &str = "the node that had the request is gone; it is not known whether it was done";
const DRAINED: &str = "this node was drained; connect to another";

/// What answers here while this node has the records.
#[derive(Clone)]
pub(super) struct Here {
    pub(super) clients: Served,
    pub(super) operator: Served,
}

/// What a node answers by itself, whoever has the records.
pub(super) struct Own {
    pub(super) clients: Router,
    pub(super) operator: Router,
}

/// What a node has once it is one of the cluster's.
pub(super) struct Joined {
    pub(super) me: i64,
    pub(super) cluster: watch::Receiver<Cluster>,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) promises: mpsc::Sender<AskedFor>,
    pub(super) going: watch::Receiver<Going>,
    pub(super) mesh: Arc<Mesh>,
    pub(super) lender: Arc<Lender>,
}

/// A node's door.
pub(super) struct Front {
    /// Nothing while it is not known to the database.
    joined: OnceLock<Joined>,
    here: RwLock<Option<Here>>,
    own: OnceLock<Own>,
    is_dev: bool,
    /// Counts what is answered here for others.
    metrics: Arc<Metrics>,
    lease: Lease,
    /// What the node with the records was asked here, while there is another.
    pages: RwLock<Option<Arc<Pages>>>,
    waiting: Semaphore,
    /// How many connections of members came in here.
    sessions: Arc<AtomicU64>,
    /// True once connections are to end.
    ending: watch::Sender<bool>,
    /// True once members are to go elsewhere.
    emptying: watch::Sender<bool>,
}

/// How a request came to be answered here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Client,
    Operator,
}

impl Front {
    pub(super) fn new(
        metrics: Arc<Metrics>,
        lease: Lease,
        sessions: Arc<AtomicU64>,
        is_dev: bool,
        is_draining: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            joined: OnceLock::new(),
            here: RwLock::new(None),
            own: OnceLock::new(),
            is_dev,
            metrics,
            lease,
            pages: RwLock::new(None),
            waiting: Semaphore::new(MOST_WAITING),
            sessions,
            ending: watch::Sender::new(false),
            emptying: watch::Sender::new(is_draining),
        })
    }

    /// What it answers by itself.
    pub(super) fn set_own(&self, own: Own) {
        let _ = self.own.set(own);
    }

    /// It is one of the cluster's.
    pub(super) fn join(&self, joined: Joined) {
        let _ = self.joined.set(joined);
    }

    /// From now on this node answers, or does not any more.
    pub(super) fn set_here(&self, here: Option<Here>) {
        *self.here.write() = here;
    }

    /// Connections end.
    pub(super) fn end(&self) {
        self.emptying.send_replace(true);
        self.ending.send_replace(true);
    }

    /// Members go elsewhere, and so does what it has. Before it has joined, that is said when it does.
    pub(super) async fn empty(&self) {
        self.emptying.send_replace(true);
        if let Some(joined) = self.joined.get() {
            // It is few, and asked for again by who waits.
            let _ = joined.inputs.send(Input::Drain).await;
        }
    }

    pub(super) fn is_emptying(&self) -> bool {
        *self.emptying.borrow()
    }

    pub(super) fn is_here(&self) -> bool {
        self.here.read().is_some()
    }

    /// What the command line's connections come to.
    pub(super) fn of_operator(self: &Arc<Self>) -> House {
        House::Shared(Arc::new(OfOperator(self.clone())))
    }

    /// Connections for which there are these routes and no others.
    pub(super) fn of(self: &Arc<Self>, routes: Router) -> House {
        House::Shared(Arc::new(Of { routes, ending: self.ending.subscribe() }))
    }

    /// Whether a request would be answered now, and why not.
    pub(super) fn is_ready(&self) -> Result<(), String> {
        if self.is_emptying() {
            return Err("drained".into());
        }
        if let Some(server) = self.server() {
            if !self.lease.holds() {
                return Err("the cluster's database cannot be reached".into());
            }
            return server.store.health().map_err(|error| format!("the store cannot write: {error}"));
        }
        match self.owner() {
            Some(_) if self.is_named() => Ok(()),
            Some(_) => Err("the node that has the records does not know of this one yet".into()),
            None => Err("no node has the records".into()),
        }
    }

    /// Whether this node may take over as soon as who has the records is gone: that one knows of it.
    fn is_named(&self) -> bool {
        let Some(joined) = self.joined.get() else { return false };
        joined.cluster.borrow().view.names(joined.me)
    }

    /// Who there is as far as this node knows, and who of them answers by promises.
    pub(super) fn known(&self) -> (Cluster, Vec<Node>) {
        let Some(joined) = self.joined.get() else { return (Cluster::default(), Vec::new()) };
        let going = joined.going.borrow();
        let mut by_promises = going.has_promised.clone();
        by_promises.extend(going.is_promised.then_some(joined.me));
        (joined.cluster.borrow().clone(), by_promises)
    }

    /// The node that has the records, as far as this one knows.
    fn owner(&self) -> Option<Known> {
        let cluster = self.joined.get()?.cluster.borrow();
        let owner = cluster.view.owner;
        cluster.nodes.iter().find(|node| node.generation == owner).cloned()
    }

    /// The same where that is another node, and how to get there.
    fn elsewhere(&self) -> Option<(&Joined, Known)> {
        let joined = self.joined.get()?;
        let owner = self.owner().filter(|owner| owner.generation != joined.me)?;
        Some((joined, owner))
    }

    /// The others' addresses for clients, where nobody is about to leave.
    pub(super) fn addresses(&self) -> Vec<String> {
        let Some(joined) = self.joined.get() else { return Vec::new() };
        let cluster = joined.cluster.borrow();
        let staying =
            cluster.nodes.iter().filter(|node| !node.said.is_draining && !node.said.clients.is_empty());
        staying.map(|node| node.said.clients.clone()).collect()
    }

    pub(super) fn server(&self) -> Option<Arc<Server>> {
        self.here.read().as_ref().map(|here| here.clients.server.clone())
    }

    /// What its metrics are about.
    pub(super) fn shown(&self) -> Shown {
        Shown { server: self.server(), media: self.media_here() }
    }

    /// The forwarding unit that is in use here.
    fn media_here(&self) -> Option<Arc<Media>> {
        let own = self.server().map(|server| server.live.media().clone());
        own.or_else(|| self.joined.get()?.lender.media())
    }

    /// How many connections of members came in here.
    pub(super) fn sessions(&self) -> u64 {
        self.sessions.load(Ordering::Relaxed)
    }

    fn served(&self, way: Way) -> Option<Served> {
        let here = self.here.read();
        let here = here.as_ref()?;
        Some(match way {
            Way::Client => here.clients.clone(),
            Way::Operator => here.operator.clone(),
        })
    }

    async fn answer_own(router: Router, came: Came) -> Response {
        match host::trouble(&came.request) {
            Some(trouble) => host::refusal(trouble).map(Either::Right),
            None => by_routes(&TowerToHyperService::new(router), came).await,
        }
    }

    async fn answer_by(&self, way: Way, mut came: Came) -> Response {
        let path = came.request.uri().path();
        let own = self.own.get().and_then(|own| match way {
            Way::Client => {
                (is_own(path) || path.starts_with("/dev/") && !self.is_dev).then_some(&own.clients)
            }
            Way::Operator => is_of_node(path).then_some(&own.operator),
        });
        if let Some(own) = own.filter(|_| !rtc::is_call(&came.request)) {
            return Self::answer_own(own.clone(), came).await;
        }
        let about = (path.starts_with("/v4/"), way == Way::Client && rtc::is_call(&came.request));
        if path == CONNECT {
            if self.is_emptying() {
                return unsure(about, DRAINED);
            }
            came.counted = Some(Counted::of(&self.sessions));
        }
        let whose = match (way, came.peer) {
            (Way::Client, Some(Peer(address))) => Whose::Client(address),
            _ => Whose::Operator,
        };
        if way == Way::Client && !self.is_here() && is_asked_in_rounds(&came.request) {
            match self.look_at(came).await {
                Ok(answer) => return rest::response(answer).map(Either::Left),
                Err(not_answered) => came = not_answered,
            }
        }
        let mut place = None;
        let mut why_not = NOBODY;
        let since = Instant::now();
        loop {
            if let Some(served) = self.served(way)
                && self.lease.is_held_soon().await
            {
                return served.answer(came).await;
            }
            if let Some((joined, owner)) = self.elsewhere() {
                match joined.mesh.open(&owner, whose).await {
                    Ok(there) => {
                        drop(place);
                        let carried = carry(there, joined.me, came, self.emptying.subscribe()).await;
                        return carried.unwrap_or_else(|error| {
                            tracing::info!(
                                node = owner.id,
                                error = format!("{error:#}"),
                                "a request was lost with its node"
                            );
                            self.suspect();
                            unsure(about, LOST)
                        });
                    }
                    Err(error) => {
                        if error.is::<Unreached>() {
                            why_not = UNREACHED;
                        }
                        tracing::debug!(
                            node = owner.id,
                            error = format!("{error:#}"),
                            "a node does not take a request"
                        );
                    }
                }
            }
            // Nothing was sent, so nothing was done.
            self.suspect();
            if place.is_none() {
                match self.waiting.try_acquire() {
                    Ok(one) => place = Some(one),
                    Err(_) => return unsure(about, TOO_MANY),
                }
            }
            let patience = if self.joined.get().is_some() { PATIENCE } else { ALONE };
            if since.elapsed() >= patience || *self.ending.borrow() {
                return unsure(about, why_not);
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks the node with the records for what is answered by looking, or gives it back.
    async fn look_at(&self, mut came: Came) -> Result<rest::Body, Came> {
        let started = std::time::Instant::now();
        // What is late may never come: that is looked after where it is carried to.
        let Some(body) = came.request.body_mut().whole() else { return Err(came) };
        let uri = came.request.uri();
        let question = Question { path: uri.path(), query: uri.query().unwrap_or_default(), body: &body };
        self.look(question, started).await.ok_or(came)
    }

    /// Stays in touch with the node that has the records.
    pub(super) async fn reach_owner(&self) {
        let elsewhere = self.elsewhere();
        if let Some(joined) = self.joined.get() {
            self.keep_pages(joined, elsewhere.as_ref().map(|(_, owner)| owner));
        }
        if let Some((joined, owner)) = elsewhere {
            joined.mesh.reach(&owner).await;
        }
    }

    /// Has pages of that node, and of no other.
    fn keep_pages(&self, joined: &Joined, owner: Option<&Known>) {
        let mut pages = self.pages.write();
        let is_of_owner = |pages: &Pages| {
            owner.is_some_and(|owner| owner.generation == pages.generation) && !pages.is_over()
        };
        if pages.as_ref().is_some_and(|pages| is_of_owner(pages)) {
            return;
        }
        if let Some(former) = pages.take() {
            former.end();
        }
        if let Some(owner) = owner.cloned() {
            let (new, mesh) = (Pages::of(owner.generation), joined.mesh.clone());
            *pages = Some(new.clone());
            tokio::spawn(async move {
                match mesh.open(&owner, Whose::Rounds).await {
                    Ok((stream, _)) => new.run(stream).await,
                    // One of an older release, or none any more.
                    Err(_) => new.end(),
                }
            });
        }
    }

    fn suspect(&self) {
        if let Some(joined) = self.joined.get() {
            let _ = joined.inputs.try_send(Input::Suspect);
        }
    }

    /// Lends the unit to the node that has the records.
    async fn lend(&self, to: Node, asked: Asked) {
        let joined = self.joined.get().filter(|joined| joined.cluster.borrow().view.owner == to);
        let Some(joined) = joined.filter(|_| !self.is_here()) else { return asked.refuse() };
        let Some(stream) = asked.go_on().await else { return };
        joined.lender.lend(to, stream, joined.cluster.clone()).await;
    }

    /// Promises another, or says why not.
    async fn promise(&self, to: Node, asked: Asked) {
        let Some(joined) = self.joined.get() else { return asked.refuse() };
        let (tell, told) = oneshot::channel();
        let answer = match joined.promises.try_send((to, tell)) {
            Ok(()) => told.await.unwrap_or(Answer::Refused),
            Err(_) => Answer::Refused,
        };
        asked.answer(answer).await;
    }

    /// Takes what another node has for this one.
    pub(super) async fn take(self: Arc<Self>, mut asked: Asked) {
        let Some(whose) = asked.whose().await else { return };
        let (way, peer) = match whose {
            Whose::Client(address) => (Way::Client, Some(Peer(address))),
            Whose::Operator => (Way::Operator, None),
            Whose::Unit(node) => return self.lend(node, asked).await,
            Whose::Promise(node) => return self.promise(node, asked).await,
            Whose::Rounds => (Way::Client, None),
            Whose::Lanes => return asked.teller().take_places(),
        };
        let since = Instant::now();
        let served = loop {
            if let Some(served) = self.served(way).filter(|_| self.lease.holds()) {
                break served;
            }
            // It may be reading them.
            let is_mine =
                self.joined.get().is_some_and(|joined| joined.cluster.borrow().view.owner == joined.me);
            let is_to_come = is_mine || self.is_here();
            if !is_to_come || since.elapsed() >= PATIENCE || *self.ending.borrow() {
                return asked.refuse();
            }
            sleep(PAUSE).await;
        };
        let served = Served { teller: Some(asked.teller()), ..served };
        let Some(stream) = asked.go_on().await else { return };
        if whose == Whose::Rounds {
            let answering = confirm::answer(stream, || Some(self.here()?.server)).await;
            if let Err(error) = answering {
                tracing::debug!(error = format!("{error:#}"), "a node asks no rounds any more");
            }
            return;
        }
        serve(Patient::new(stream, None), House::Own(served), peer).await;
    }
}

/// Whether it is a call that is answered by looking, in a form in which many are asked together.
fn is_asked_in_rounds(request: &Request<Arriving>) -> bool {
    let length = request.body().size_hint().exact();
    request.method() == Method::POST
        && rest::is_look(request.uri().path())
        && length.is_some_and(|length| length <= rest::LONGEST_LOOK as u64)
        && host::trouble(request).is_none()
}

/// What every node answers by itself.
fn is_own(path: &str) -> bool {
    matches!(
        path,
        "/" | "/favicon.svg"
            | "/healthz"
            | "/readyz"
            | "/metrics"
            | "/openapi.json"
            | "/asyncapi.json"
            | "/openapi-rtc.json"
    ) || path.starts_with("/sdk/")
        || path.starts_with("/page/")
}

/// What is about the node that was asked.
fn is_of_node(path: &str) -> bool {
    path == "/metrics" || path == "/control/about" || path.starts_with("/control/cluster")
}

impl Answering for Front {
    fn here(&self) -> Option<straight::Here> {
        self.here.read().as_ref().filter(|_| self.lease.holds())?.clients.here()
    }

    fn look<'a>(
        &'a self,
        question: Question<'a>,
        started: std::time::Instant,
    ) -> Pin<Box<dyn Future<Output = Option<rest::Body>> + Send + 'a>> {
        Box::pin(async move {
            let owner = self.joined.get()?.cluster.borrow().view.owner;
            let pages = self.pages.read().clone().filter(|pages| pages.generation == owner)?;
            let result = pages.ask(question).await?;
            Some(rest::tell(&self.metrics, question.path, result, started))
        })
    }
}

// Nothing of theirs is called.
impl Answering for OfOperator {}
impl Answering for Of {}

impl Shared for Front {
    fn answer(self: Arc<Self>, came: Came) -> Pin<Box<dyn Future<Output = Response> + Send>> {
        Box::pin(async move { self.answer_by(Way::Client, came).await })
    }

    fn ending(&self) -> watch::Receiver<bool> {
        self.ending.subscribe()
    }

    fn media(&self) -> Option<Arc<Media>> {
        self.media_here()
    }
}

struct OfOperator(Arc<Front>);

impl Shared for OfOperator {
    fn answer(self: Arc<Self>, came: Came) -> Pin<Box<dyn Future<Output = Response> + Send>> {
        Box::pin(async move { self.0.answer_by(Way::Operator, came).await })
    }

    fn ending(&self) -> watch::Receiver<bool> {
        self.0.ending()
    }

    fn media(&self) -> Option<Arc<Media>> {
        None
    }
}

struct Of {
    routes: Router,
    ending: watch::Receiver<bool>,
}

impl Shared for Of {
    fn answer(self: Arc<Self>, came: Came) -> Pin<Box<dyn Future<Output = Response> + Send>> {
        Box::pin(Front::answer_own(self.routes.clone(), came))
    }

    fn ending(&self) -> watch::Receiver<bool> {
        self.ending.clone()
    }

    fn media(&self) -> Option<Arc<Media>> {
        None
    }
}
