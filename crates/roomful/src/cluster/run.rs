//! `roomful serve --cluster`: a node, from its first word to its last.
//!
//! A run that is over forgets everything by beginning again as a new process in the place of the old one: nothing that it held can
//! be answered from any more, and whoever watches the process sees that it goes on.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use cluster::{Input, Why};
use media::TrunkConfig;
use store::{Identity, Membership, Place, Postgres, Said, Standing};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::certificate::{Papers, derive, name};
use super::drive::{Driver, Facts, Told};
use super::front::{Front, Here, Joined};
use super::lost;
use super::mesh::{self, Mesh};
use super::settings::Settings;
use super::status;
use super::units::{Lender, borrow_all};
use crate::config::Config;
use crate::control;
use crate::door::{Door, House, accept, accept_control};
use crate::first_app::print_welcome;
use crate::lease::{Lease, running};
use crate::logging::Logging;
use crate::metrics::Metrics;
use crate::serve::{Begun, Opened, Part, end_at_once};
use crate::server::Term;
use crate::signals::StopSignals;
use crate::wire;
use crate::workers::Workers;

/// Says to a run that the one before it was drained.
const DRAINED: &str = "ROOMFUL_NODE_IS_DRAINED";

/// Says to a run that there was one before it in this process.
const AGAIN: &str = "ROOMFUL_NODE_BEGINS_AGAIN";

/// How long is waited before a database that is away is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How often it is counted how many rooms there are.
const COUNT: Duration = Duration::from_secs(1);

/// How often a connection to the node that has the records is seen to.
const TOUCH: Duration = Duration::from_secs(1);

/// How often what the store has found out is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long members may take to be gone from a node that ends without having the records.
const LEAVE: Duration = Duration::from_secs(5);

/// Why a run ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Stopped,
    HandedOver,
    Over(Why),
}

/// Runs a node until it is told to stop; with `is_dev`, the page signs people in by their names.
pub(crate) async fn run(config: Config, is_dev: bool, logging: &Logging) -> anyhow::Result<()> {
    let begun = Arc::new(Begun::with(config, is_dev)?);
    let folder = begun.config.server.data.clone();
    let (listener, metrics_listener) = begun.listen()?;
    let address = listener.local_addr()?;
    let settings = Settings::of(&begun.config, address)?;
    let is_draining = std::env::var_os(DRAINED).is_some();
    let is_again = std::env::var_os(AGAIN).is_some();
    let (rooms, sessions) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let lease = Lease::of_node();

    let front = Front::new(begun.metrics.clone(), lease.clone(), sessions.clone(), is_dev, is_draining);
    let about = control::About { listen: address, is_tls: begun.tls.is_some() };
    front.set_own(status::own(&begun, &front, about));
    let door = Arc::new(Door { places: begun.places.clone(), workers: Workers::start()? });
    let background = [tokio::spawn(Metrics::upkeep(begun.metrics.handle()))];
    let control_socket = control::bind(&folder)?;
    let mut listeners = vec![
        tokio::spawn(accept(listener, begun.tls.clone(), House::Shared(front.clone()), door.clone())),
        tokio::spawn(accept_control(control_socket, front.of_operator())),
    ];
    if let Some(listener) = metrics_listener {
        let routes = begun.metrics_routes({
            let front = front.clone();
            move || front.shown()
        });
        listeners.push(tokio::spawn(accept(listener, None, front.of(routes), door)));
    }

    let mut stop = StopSignals::listen()?;
    let socket = mesh::bind(settings.listen, settings.is_listen_said)?;
    let bound = socket.local_addr()?;
    let advertise = settings.advertise.unwrap_or(bound);
    let advertise =
        if advertise.port() == 0 { SocketAddr::new(advertise.ip(), bound.port()) } else { advertise };
    let said = Said {
        address: address.to_string(),
        clients: settings.clients.clone(),
        mesh: advertise,
        lease: begun.config.cluster.lease,
        is_draining,
        rooms: 0,
        sessions: 0,
        clock: 0,
    };
    let membership = tokio::select! {
        membership = begin(&settings, &folder, &said) => membership?,
        () = stop.next() => {
            control::unbind(&folder);
            return Ok(());
        }
    };
    let place = begun.config.store.place_to_serve(&folder)?;
    place.remember()?;
    let (generation, id) = (membership.generation(), membership.id().to_owned());
    let papers = Papers::make(&settings.secrets, membership.cluster(), &name(generation, &id))?;
    let mesh = Mesh::start(socket, papers)?;
    tracing::info!(
        %address, mesh = %advertise, node = id, generation, cluster = membership.cluster(), clock_ms = membership.is_ahead(),
        "one of the cluster's nodes"
    );
    let facts = Facts { said, rooms: rooms.clone(), sessions };
    let mut driver = Driver::start(membership, facts, is_draining, lease.clone(), mesh.clone())?;
    let trunk = TrunkConfig {
        listen: settings.media.unwrap_or_else(|| SocketAddr::new(bound.ip(), 0)),
        advertise: advertise.ip(),
    };
    let part = Part { node: generation, trunk: Some(trunk) };
    let lender = Arc::new(Lender::new(begun.clone(), address, part));
    front.join(Joined {
        lender: lender.clone(),
        me: generation,
        cluster: driver.cluster.clone(),
        inputs: driver.inputs(),
        promises: driver.promises(),
        going: driver.going.clone(),
        mesh: mesh.clone(),
    });
    // What was said before that; said twice it is the same.
    if front.is_emptying() {
        driver.say(Input::Drain);
    }
    let taker = front.clone();
    listeners.push(tokio::spawn(mesh.clone().accept(move |asked| taker.clone().take(asked))));
    if !is_again {
        tokio::spawn(welcome(begun.clone(), front.clone(), place, address));
    }
    let counter = tokio::spawn(count(front.clone(), rooms));
    let touch = tokio::spawn(stay_in_touch(front.clone(), mesh.clone(), driver.inputs()));

    let standing = Standing::default();
    let mut opened: Option<(Opened, Vec<JoinHandle<()>>)> = None;
    let mut _own_unit = None;
    let end = loop {
        let told = tokio::select! {
            () = stop.next() => break End::Stopped,
            told = driver.told.recv() => told,
            why = over(&standing) => break End::Over(why),
        };
        match told {
            Some(Told::Open) if opened.is_some() => {}
            Some(Told::Open) => {
                let target = &settings.target;
                let open =
                    |on_commit| Ok(Postgres::open_claimed(target, generation, standing.clone(), on_commit)?);
                let term = Term { lease: lease.clone(), ..Term::default() };
                _own_unit = lender.keep().await;
                match Opened::open(&begun, Some(target), open, || Ok(address), term, part).await {
                    Ok(mut records) => {
                        *records.server.addresses.write() = front.addresses();
                        let clients = records.serve(&begun);
                        let about = control::About { listen: address, is_tls: begun.tls.is_some() };
                        let routes = control::routes(records.server.clone(), about);
                        let operator = records.serve_with(Some(begun.metrics.clone()), routes);
                        let mut tasks = records.start();
                        let live = records.server.live.clone();
                        let borrowing = borrow_all(generation, driver.cluster.clone(), mesh.clone(), live);
                        tasks.push(tokio::spawn(borrowing));
                        front.set_here(Some(Here { clients, operator }));
                        opened = Some((records, tasks));
                        driver.inputs().send(Input::Opened).await.context("the node's thread is gone")?;
                        tracing::info!(node = id, "this node answers for the cluster");
                    }
                    Err(error) if needs_somebody(&error) => {
                        driver.end().await;
                        control::unbind(&folder);
                        return Err(error);
                    }
                    Err(error) => {
                        tracing::error!(error = format!("{error:#}"), "the records cannot be opened");
                        _own_unit = None;
                        driver.say(Input::NotOpened);
                    }
                }
            }
            Some(Told::HandOver) => break End::HandedOver,
            Some(Told::Over(why)) => break End::Over(why),
            None => anyhow::bail!("the thread that says that this node lives is gone"),
        }
    };

    if let End::Over(why) = end {
        standing.note_over(&store::Error::Superseded);
        front.set_here(None);
        tracing::warn!("this node begins anew: {}", reason(why));
        if why == Why::Rewound
            && let Err(error) = lost::note(&folder)
        {
            tracing::error!(%error, "what the database has lost is said in the log alone");
        }
        return Err(again(address, is_draining, logging));
    }
    tracing::info!("draining: no new work, connections are told to come back");
    end_at_once(stop, folder.clone(), logging);
    counter.abort();
    touch.abort();
    if let Some((records, tasks)) = &opened {
        // What is asked meanwhile waits for who takes over.
        front.set_here(None);
        records.server.draining.send_replace(true);
        records.drained(tasks).await;
    }
    if end == End::Stopped {
        front.end();
        listeners.iter().chain(&background).for_each(JoinHandle::abort);
        let _ = timeout(LEAVE, async {
            while front.sessions() > 0 {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
    // The others look at once when they hear the mesh end, and find what they may take.
    driver.end().await;
    mesh.close();
    if end == End::HandedOver {
        tracing::info!("the records are handed over");
        return Err(again(address, true, logging));
    }
    control::unbind(&folder);
    tracing::info!("stopped");
    Ok(())
}

/// Resolves when what is written finds out that the records are not this run's any more, or not what it knows of them.
async fn over(standing: &Standing) -> Why {
    loop {
        match standing.check() {
            Ok(()) => sleep(LOOK).await,
            Err(store::Error::Rewound(_)) => return Why::Rewound,
            Err(_) => return Why::Deposed,
        }
    }
}

/// Whether it would be no better in a moment: an older release, a right that is missing.
fn needs_somebody(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(store::Error::Unusable(_) | store::Error::Newer { .. }))
}

fn reason(why: Why) -> &'static str {
    match why {
        Why::Over => "it did not say for too long that it lives, and the others took it for gone",
        Why::Deposed => "another node has the records",
        Why::Parted => {
            "the database was away for too long; once it is back, whoever is first takes the records"
        }
        Why::Rewound => {
            "the database has lost what it had acknowledged, as a standby does that was promoted too early"
        }
    }
}

/// Becomes one of the cluster's nodes; waits for a database that is away.
async fn begin(settings: &Settings, folder: &Path, said: &Said) -> anyhow::Result<Membership> {
    let identity = Identity::of(folder)?;
    let checks = |cluster: &str| {
        let check = |secret: &[u8]| wire::hex(&derive(secret, &format!("roomful check v1 {cluster}")));
        settings.secrets.all().map(check).collect()
    };
    let mut is_said = false;
    loop {
        let version = env!("CARGO_PKG_VERSION");
        match Membership::begin(&settings.target, &identity, version, said, running, &checks).await {
            Err(store::Error::Away(error)) => {
                if !std::mem::replace(&mut is_said, true) {
                    tracing::warn!(
                        error,
                        "the cluster's database cannot be reached; it is tried again and again"
                    );
                }
                sleep(RETRY).await;
            }
            begun => return Ok(begun?),
        }
    }
}

/// Says to a person where the page is, once somebody answers.
async fn welcome(begun: Arc<Begun>, front: Arc<Front>, place: Place, address: SocketAddr) {
    loop {
        if front.is_ready().is_ok() {
            let place = place.clone();
            let read = tokio::task::spawn_blocking(move || place.read_apps()).await;
            if let Ok(Ok(apps)) = read
                && let Some(app) = apps.first()
            {
                let folder = &begun.config.server.data;
                return print_welcome(app, address, begun.tls.is_some(), begun.is_dev, folder);
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Counts how many rooms this node has, and tells the server where the others are.
async fn count(front: Arc<Front>, rooms: Arc<AtomicU64>) {
    loop {
        let mut all = 0;
        if let Some(server) = front.server() {
            all = server.apps().iter().map(|app| app.room_count() as u64).sum();
            *server.addresses.write() = front.addresses();
        }
        rooms.store(all, Ordering::Relaxed);
        sleep(COUNT).await;
    }
}

/// Knows as soon as can be when the node that has the records is gone or hands them over: it has a connection there, and looks when
/// that ends.
async fn stay_in_touch(front: Arc<Front>, mesh: Arc<Mesh>, inputs: mpsc::Sender<Input>) {
    let mut often = tokio::time::interval(TOUCH);
    loop {
        tokio::select! {
            _ = often.tick() => front.reach_owner().await,
            () = mesh.met() => {
                let _ = inputs.send(Input::Met).await;
            }
            () = mesh.lost() => {
                let _ = inputs.send(Input::Suspect).await;
            }
        }
    }
}

/// Begins again in the place of this process; returns only when that cannot be done.
fn again(address: SocketAddr, is_drained: bool, logging: &Logging) -> anyhow::Error {
    logging.flush();
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "roomful".into());
    let mut kept = Vec::new();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            // Where it listened: a port that was any is the same again.
            Some("--listen") => drop(arguments.next()),
            Some(text) if text.starts_with("--listen=") => {}
            _ => kept.push(argument),
        }
    }
    let mut command = std::process::Command::new("/proc/self/exe");
    command.arg0(name).args(kept).arg("--listen").arg(address.to_string()).env(AGAIN, "yes");
    match is_drained {
        true => command.env(DRAINED, "yes"),
        false => command.env_remove(DRAINED),
    };
    anyhow::Error::from(command.exec()).context("this node cannot begin anew")
}
