//! How the nodes of a cluster know of each other: the rows in which each says that it lives and where it is, and the statements
//! of which `cluster::Node` decides when they are due. A node has a connection of its own for them: what is being written never
//! delays it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use cluster::{Ask, Generation, Input, Seen, View};
use tokio::time::{sleep, timeout};
use tokio_postgres::Row;

use super::claim::{self, Identity, LOOK, STANDS_STILL, Vigil, Watch, end_still, fresh_id};
use super::link::{Call, Link, Trouble, Value, silent};
use super::pooler::refuse_pooler;
use super::rows::unsigned;
use super::schema::{self, Found};
use super::target::Target;
use crate::Error;

/// How long the database may take to answer a question.
const ANSWER: Duration = Duration::from_secs(3);

/// How many looks at the database's clock count.
const CLOCKS: usize = 15;

/// Beside those of `schema.rs`, since a server alone has none of it. Made by whoever is first.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS @.mesh (
        generation bigint PRIMARY KEY,
        address text NOT NULL,
        clients text NOT NULL,
        mesh text NOT NULL,
        version text NOT NULL,
        lease bigint NOT NULL,
        state text NOT NULL,
        rooms bigint NOT NULL DEFAULT 0,
        sessions bigint NOT NULL DEFAULT 0,
        clock bigint NOT NULL DEFAULT 0,
        alone bigint,
        names bigint[],
        renewal bigint NOT NULL DEFAULT 0
    ) WITH (fillfactor = 50)";

/// What a table of the release before does not have. `lease` is for how long a node answers at most, which that reads as well; `alone`
/// for how long without promises.
const MORE: &str = "
    ALTER TABLE @.mesh ADD COLUMN IF NOT EXISTS alone bigint, ADD COLUMN IF NOT EXISTS names bigint[],
        ADD COLUMN IF NOT EXISTS renewal bigint NOT NULL DEFAULT 0";

/// Whether that is wanting: to alter it waits for everybody, so it is not done for nothing.
const IS_WANTING: &str = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pg_attribute
    WHERE attrelid = '@.mesh'::regclass AND attname = 'renewal' AND NOT attisdropped)";

/// All that are not over, in the order in which they began, and whom the claim names.
const VIEW: &str =
    "SELECT c.owner, c.epoch, n.generation, n.id, n.host, n.beat, m.address, m.clients, m.mesh, m.version,
         m.lease, m.state, m.rooms, m.sessions, m.clock, m.alone, m.names
     FROM @.claims c LEFT JOIN @.nodes n ON NOT n.over LEFT JOIN @.mesh m ON m.generation = n.generation
     WHERE c.scope = 0 ORDER BY n.generation";

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Where its HTTP is.
    pub address: String,
    /// Where clients reach it; empty where nobody has said so.
    pub clients: String,
    /// Where other nodes reach it.
    pub mesh: SocketAddr,
    /// For how long it answers after a renewal.
    pub lease: Duration,
    /// Whether it is to have nothing any more.
    pub is_draining: bool,
    /// How many rooms it has open.
    pub rooms: u64,
    /// How many members' connections came in at it.
    pub sessions: u64,
    /// By how many milliseconds its clock is ahead of the database's.
    pub clock: i64,
}

/// A node that is not over, as the others know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its run.
    pub generation: Generation,
    /// Its data folder's.
    pub id: String,
    /// Its machine's name.
    pub host: String,
    /// Its release.
    pub version: String,
    /// What it says of itself.
    pub said: Said,
}

/// What the database said in one answer.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// What decides.
    pub view: View,
    /// Who they are.
    pub nodes: Vec<Known>,
}

/// A generation that has begun.
pub struct Membership {
    target: Target,
    generation: Generation,
    id: String,
    /// What tells this cluster from others.
    cluster: String,
    version: &'static str,
    link: Option<Link>,
    /// The node's own clock, which nobody sets.
    running: fn() -> Duration,
    /// What the database's clock said the last times: how much this machine's was ahead of it, and how much it was ahead of the
    /// node's own, in milliseconds.
    clocks: VecDeque<(i64, i64)>,
}

impl Membership {
    /// Makes the tables where there are none, refuses what cannot be a cluster's, and begins a generation. `checks` are made of
    /// the cluster's id, one with each secret that this node has: it is refused where none is one of those of the node before it.
    ///
    /// # Errors
    /// [`Error::Unusable`] says what somebody has to do about it.
    pub async fn begin(
        target: &Target,
        identity: &Identity,
        version: &'static str,
        said: &Said,
        running: fn() -> Duration,
        checks: impl Fn(&str) -> Vec<String>,
    ) -> Result<Self, Error> {
        let mut link = Link::connect(target).await?;
        refuse_pooler(&link, target).await?;
        schema::make(&link, target).await?;
        match schema::look(&link, target).await? {
            Found::Ours { is_being_filled: false, .. } => {}
            _ => {
                return Err(Error::Unusable(format!(
                    "records are being brought into {target}; wait until that is done"
                )));
            }
        }
        let rights = |trouble: Trouble| schema::rights(trouble, target);
        link.plain(&format!("BEGIN; {}; {TABLES}", schema::IN_TURN)).await.map_err(rights)?;
        if !link.plain(IS_WANTING).await.map_err(rights)?.is_empty() {
            link.plain(MORE).await.map_err(rights)?;
        }
        let id = fresh_id()?;
        put_once(&mut link, "cluster", id).await.map_err(rights)?;
        let cluster = about(&mut link, "cluster").await.map_err(rights)?.unwrap_or_default();
        let checks = checks(&cluster);
        let own = checks.join(" ");
        put_once(&mut link, "secret", own.clone()).await.map_err(rights)?;
        link.call(&Call::new("COMMIT", [])).await.map_err(rights)?;
        end_former(&mut link, identity, target).await?;
        let former = about(&mut link, "secret").await.map_err(rights)?.unwrap_or_default();
        if former != own {
            let is_theirs = former.split(' ').any(|check| checks.iter().any(|own| own == check));
            if !is_theirs && has_others(&mut link, identity).await.map_err(rights)? {
                return Err(Error::Unusable(format!(
                    "the nodes of the cluster at {target} have another cluster.secret: give this one theirs"
                )));
            }
            let put = Call::new("UPDATE @.about SET value = $1 WHERE key = 'secret'", [own.into()]);
            link.call(&put).await.map_err(rights)?;
        }
        let mut membership = Self {
            target: target.clone(),
            generation: 0,
            id: identity.node().to_owned(),
            cluster,
            version,
            link: Some(link),
            running,
            clocks: VecDeque::new(),
        };
        membership.look_at_clock().await.map_err(Trouble::error)?;
        membership.insert(identity, said).await.map_err(Trouble::error)?;
        Ok(membership)
    }

    /// Which run this is.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The data folder's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What tells this cluster from others.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// By how many milliseconds this machine's clock is ahead of the database's.
    pub fn is_ahead(&self) -> i64 {
        median(self.clocks.iter().map(|(ahead, _)| *ahead))
    }

    /// What is added to the node's own clock to have the database's, in milliseconds.
    pub fn offset(&self) -> i64 {
        median(self.clocks.iter().map(|(_, offset)| *offset))
    }

    async fn insert(&mut self, identity: &Identity, said: &Said) -> Result<(), Trouble> {
        let Some(link) = &mut self.link else { return Ok(()) };
        link.call(&Call::new("BEGIN", [])).await?;
        self.generation = claim::insert(link, identity).await?;
        let insert = Call::new(
            "INSERT INTO @.mesh (generation, address, clients, mesh, version, lease, state, alone, names)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $6, '{}')",
            [
                self.generation.into(),
                said.address.as_str().into(),
                said.clients.as_str().into(),
                said.mesh.to_string().into(),
                self.version.into(),
                millis(said.lease).into(),
                state(said).into(),
            ],
        );
        link.call(&insert).await?;
        let forget = Call::new(
            "DELETE FROM @.mesh WHERE NOT EXISTS (SELECT 1 FROM @.nodes WHERE nodes.generation = mesh.generation AND NOT over)",
            [],
        );
        link.call(&forget).await?;
        link.call(&Call::new("COMMIT", [])).await?;
        Ok(())
    }

    async fn look_at_clock(&mut self) -> Result<(), Trouble> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let own = || i64::try_from((self.running)().as_millis()).unwrap_or(i64::MAX);
        let before = (wall(), own());
        let rows = link.plain("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint").await?;
        let after = (wall(), own());
        if let Some(theirs) = rows.first().and_then(|row| row.get(0)?.parse::<i64>().ok()) {
            let (wall, own) = (before.0.midpoint(after.0), before.1.midpoint(after.1));
            self.clocks.push_back((wall - theirs, theirs - own));
        }
        if self.clocks.len() > CLOCKS {
            self.clocks.pop_front();
        }
        Ok(())
    }

    /// Asks the database what `cluster::Node` wants to know, and says what came of it; with it who there is, where that was
    /// said.
    pub async fn ask(&mut self, ask: Ask, said: &Said) -> (Input, Option<Cluster>) {
        let what = format!("{ask:?}");
        let asked =
            timeout(ANSWER, self.answer(ask, said)).await.unwrap_or_else(|_| Err(silent(ANSWER).into()));
        match asked {
            Ok((input, cluster)) => (input, cluster),
            Err(trouble) => {
                self.link = None;
                tracing::debug!(error = %trouble.error(), what, "the database has not answered");
                (Input::Silent, None)
            }
        }
    }

    async fn answer(&mut self, ask: Ask, said: &Said) -> Result<(Input, Option<Cluster>), Trouble> {
        let me = self.generation;
        if self.link.is_none() {
            self.link = Some(Link::connect(&self.target).await?);
        }
        if matches!(ask, Ask::Renew { .. }) {
            self.look_at_clock().await?;
        }
        let clock = self.is_ahead();
        // Given back when it has answered: one whose answer is given up is given up with it.
        let Some(mut link) = self.link.take() else { return Ok((Input::Silent, None)) };
        let answer = match ask {
            Ask::Renew { number, names, at_most } => {
                let renewal = Renewal { number, names, at_most };
                renew(&mut link, me, said, clock, renewal).await?
            }
            Ask::Look => {
                let cluster = view(link.call(&Call::new(VIEW, [])).await?)?;
                (Input::Looked(cluster.view.clone()), Some(cluster))
            }
            Ask::End { generation, beat } => {
                end_still(&mut link, generation, beat).await?;
                (Input::Ended, None)
            }
            Ask::Claim => (Input::Claimed(take(&mut link, me).await?), None),
        };
        self.link = Some(link);
        Ok(answer)
    }

    /// Says that this generation is over.
    ///
    /// # Errors
    /// When the database does not answer: others find out by themselves.
    pub async fn end(mut self) -> Result<(), Error> {
        let end = async {
            let mut link = match self.link.take() {
                Some(link) => link,
                None => Link::connect(&self.target).await?,
            };
            claim::end(&mut link, self.generation).await.map_err(Trouble::error)
        };
        timeout(ANSWER, end).await.unwrap_or_else(|_| Err(silent(ANSWER)))
    }
}

/// Who there is, read beside the nodes.
///
/// # Errors
/// When it cannot be read.
pub async fn nodes(target: &Target) -> Result<Cluster, Error> {
    let mut link = super::beside(target).await?;
    let there = link.plain("SELECT to_regclass('@.mesh')").await.map_err(Trouble::error)?;
    if there.first().and_then(|row| row.get(0)).is_none() {
        return Err(Error::Unusable(format!(
            "{target} is no cluster's: no server was started on it with --cluster"
        )));
    }
    let rows = link.call(&Call::new(VIEW, [])).await.map_err(Trouble::error)?;
    view(rows).map_err(Trouble::error)
}

/// Takes an operator's word that a node is gone of which nobody left knows what was promised to it: it is over, unless it says that it
/// lives. Returns whether there was one of that name.
///
/// # Errors
/// [`Error::Unusable`] where it lives.
pub async fn forget(target: &Target, node: &str) -> Result<bool, Error> {
    let mut link = super::beside(target).await?;
    let mut vigil = Vigil::default();
    let mut is_found = false;
    loop {
        let call = Call::new(
            "SELECT generation, beat FROM @.nodes WHERE NOT over AND id = $1 ORDER BY generation LIMIT 1",
            [node.into()],
        );
        let rows = link.call(&call).await.map_err(Trouble::error)?;
        let Some(row) = rows.first() else { return Ok(is_found) };
        is_found = true;
        let read = || -> Result<(i64, i64), tokio_postgres::Error> { Ok((row.try_get(0)?, row.try_get(1)?)) };
        let (generation, beat) = read().map_err(|error| Trouble::from(error).error())?;
        let seen = vigil.look(&mut link, generation, beat, STANDS_STILL).await.map_err(Trouble::error)?;
        if matches!(seen, Some(claim::Seen::Lives)) {
            return Err(Error::Unusable(format!(
                "the node {node} lives, it has said so just now: drain it, or end it"
            )));
        }
        sleep(LOOK).await;
    }
}

/// What a renewal says of promises.
struct Renewal {
    number: i64,
    names: Vec<Generation>,
    at_most: Duration,
}

async fn renew(
    link: &mut Link,
    me: Generation,
    said: &Said,
    clock: i64,
    renewal: Renewal,
) -> Result<(Input, Option<Cluster>), Trouble> {
    let calls = [
        // In one: whoever has seen a beat has seen what was said with it. One that comes after a later one says nothing.
        Call::new(
            "WITH said AS (
                 UPDATE @.mesh SET state = $2, rooms = $3, sessions = $4, clock = $5, renewal = $6, names = $7, lease = $8
                 WHERE generation = $1 AND renewal < $6)
             UPDATE @.nodes SET beat = beat + 1 WHERE generation = $1 AND NOT over RETURNING beat",
            [
                me.into(),
                state(said).into(),
                said.rooms.into(),
                said.sessions.into(),
                clock.into(),
                renewal.number.into(),
                Value::Ints(renewal.names),
                millis(renewal.at_most).into(),
            ],
        ),
        Call::new(VIEW, []),
    ];
    let mut answers = link.call_all(&calls).await?.into_iter();
    let beat = answers.next().transpose()?.unwrap_or_default();
    let Some(beat) = beat.first() else {
        return Ok((Input::Over, None));
    };
    let beat = beat.try_get(0)?;
    let cluster = view(answers.next().transpose()?.unwrap_or_default())?;
    Ok((Input::Renewed { beat, view: cluster.view.clone() }, Some(cluster)))
}

/// Takes the claim, if its owner is over; which epoch that begins.
async fn take(link: &mut Link, me: Generation) -> Result<Option<i64>, Trouble> {
    let calls = [
        Call::new("BEGIN ISOLATION LEVEL READ COMMITTED", []),
        // First, and by itself: what was waited for is seen by the next statement only.
        Call::new("SELECT 1 FROM @.claims WHERE scope = 0 FOR UPDATE", []),
        Call::new(
            "UPDATE @.claims SET owner = $1, epoch = epoch + 1 WHERE scope = 0 AND owner <> $1
                 AND NOT EXISTS (SELECT 1 FROM @.nodes WHERE generation = claims.owner AND NOT over)
                 AND EXISTS (SELECT 1 FROM @.nodes WHERE generation = $1 AND NOT over) RETURNING epoch",
            [me.into()],
        ),
        // Whoever has lost its claim can learn nothing from them any more.
        Call::new(
            "DELETE FROM @.groups WHERE generation < $1 AND EXISTS (SELECT 1 FROM @.claims WHERE scope = 0 AND owner = $1)",
            [me.into()],
        ),
        Call::new("DELETE FROM @.nodes WHERE over AND generation < $1 - 100", [me.into()]),
        Call::new("COMMIT", []),
    ];
    let mut epoch = None;
    for (at, answer) in link.call_all(&calls).await?.into_iter().enumerate() {
        let rows = answer?;
        if let (2, Some(row)) = (at, rows.first()) {
            epoch = Some(row.try_get(0)?);
        }
    }
    match link.has_warned() {
        true => Err(Trouble::Lost(super::group::unsure())),
        false => Ok(epoch),
    }
}

fn view(rows: Vec<Row>) -> Result<Cluster, Trouble> {
    let mut cluster = Cluster::default();
    for row in rows {
        cluster.view.owner = row.try_get(0)?;
        cluster.view.epoch = row.try_get(1)?;
        // There may be nobody.
        let Some(generation) = row.try_get::<_, Option<i64>>(2)? else { continue };
        let beat = row.try_get(5)?;
        let Some(mesh) = row.try_get::<_, Option<String>>(8)? else {
            // A server that is no node: it is watched as one with the lease that it does not have.
            let lease = Duration::from_secs(6);
            cluster.view.living.push(Seen { generation, beat, lease, at_most: lease, names: None });
            continue;
        };
        let at_most = Duration::from_millis(unsigned(&row, 10)?);
        let names = row.try_get(16)?;
        let alone = row.try_get::<_, Option<i64>>(15)?.and_then(|alone| u64::try_from(alone).ok());
        let lease = alone.map_or(at_most, Duration::from_millis);
        let mesh =
            mesh.parse().map_err(|_| Error::Other(format!("a node is at {mesh:?}, which is no address")))?;
        let said = Said {
            address: row.try_get(6)?,
            clients: row.try_get(7)?,
            mesh,
            lease,
            is_draining: row.try_get::<_, String>(11)? == DRAINING,
            rooms: unsigned(&row, 12)?,
            sessions: unsigned(&row, 13)?,
            clock: row.try_get(14)?,
        };
        let (id, host, version) = (row.try_get(3)?, row.try_get(4)?, row.try_get(9)?);
        cluster.view.living.push(Seen { generation, beat, lease, at_most, names });
        cluster.nodes.push(Known { generation, id, host, version, said });
    }
    Ok(cluster)
}

const DRAINING: &str = "draining";

fn state(said: &Said) -> &'static str {
    if said.is_draining { DRAINING } else { "alive" }
}

async fn about(link: &mut Link, key: &str) -> Result<Option<String>, Trouble> {
    let rows = link.call(&Call::new("SELECT value FROM @.about WHERE key = $1", [key.into()])).await?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
}

async fn put_once(link: &mut Link, key: &str, value: String) -> Result<(), Trouble> {
    let put = "INSERT INTO @.about VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
    link.call(&Call::new(put, [key.into(), value.into()])).await.map(drop)
}

/// Whether another node lives. Those that have not said that they ended are watched, and ended where they stand still.
async fn has_others(link: &mut Link, identity: &Identity) -> Result<bool, Trouble> {
    let mut watched: Vec<Watch> = Vec::new();
    loop {
        let call = Call::new(
            "SELECT n.generation, n.beat, m.lease FROM @.nodes n LEFT JOIN @.mesh m ON m.generation = n.generation
             WHERE NOT n.over AND n.id <> $1 ORDER BY n.generation",
            [identity.node().into()],
        );
        let rows = link.call(&call).await?;
        let now = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)));
        let now = now.collect::<Result<Vec<(i64, i64, Option<i64>)>, tokio_postgres::Error>>()?;
        if now.is_empty() {
            return Ok(false);
        }
        if watched.is_empty() {
            let begin = |&(generation, beat, lease): &(i64, i64, Option<i64>)| {
                Watch::begin(generation, beat, claim::still_after(lease))
            };
            watched = now.iter().map(begin).collect();
        }
        for (generation, beat, _) in now {
            // One that was not there before has just begun.
            let Some(watch) = watched.iter_mut().find(|watch| watch.generation == generation) else {
                return Ok(true);
            };
            match watch.look(beat) {
                claim::Seen::Lives => return Ok(true),
                claim::Seen::Gone => end_still(link, generation, beat).await?,
                claim::Seen::Unsure => {}
            }
        }
        sleep(LOOK).await;
    }
}

/// Ends what another run of this node has left, and refuses to begin beside one that lives.
async fn end_former(link: &mut Link, identity: &Identity, target: &Target) -> Result<(), Error> {
    let (id, boot, _) = identity.parts();
    let mut vigil = Vigil::default();
    loop {
        let call = Call::new(
            "SELECT generation, beat, boot, host FROM @.nodes WHERE NOT over AND id = $1 ORDER BY generation LIMIT 1",
            [id.into()],
        );
        let rows = link.call(&call).await.map_err(Trouble::error)?;
        let Some(row) = rows.first() else { return Ok(()) };
        let read = || -> Result<(i64, i64, String, String), tokio_postgres::Error> {
            Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
        };
        let (generation, beat, its_boot, host) = read().map_err(|error| Trouble::from(error).error())?;
        // The folder's lock is ours, so whoever had it on this machine is gone.
        if its_boot == boot {
            claim::end(link, generation).await.map_err(Trouble::error)?;
            continue;
        }
        match vigil.look(link, generation, beat, STANDS_STILL).await.map_err(Trouble::error)? {
            None => tracing::warn!(
                host,
                "another run of this node did not say that it ended; whether it lives is looked at"
            ),
            Some(claim::Seen::Lives) => {
                return Err(Error::Unusable(format!(
                    "this node ({id}) lives already, on {host}, by the cluster at {target}: is this a copy of its data \
                     folder? Remove the file `node` from this one, and it is a node of its own"
                )));
            }
            Some(claim::Seen::Gone | claim::Seen::Unsure) => {}
        }
        sleep(LOOK).await;
    }
}

/// Of answers of which some were slow, what is right.
fn median(all: impl Iterator<Item = i64>) -> i64 {
    let mut all: Vec<i64> = all.collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or(0)
}

fn wall() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
