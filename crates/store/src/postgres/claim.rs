//! Whose database it is: one server's at a time.
//!
//! Each run of a server is a *generation*: a row whose beat it raises as long as it lives. Raising it and ending it lock the same
//! row, so one of the two fails, and what is over stays over. No two clocks are compared: a generation is ended only by one that
//! has itself seen its beat stand still for long enough, or by a later run on the same data folder of the same machine, which
//! holds that folder's lock and so knows that the former one is gone.
//!
//! The records belong to the generation that the *claim* names. It goes to another generation only when its owner is over, and
//! every group of changes locks it before it changes anything: so whoever has lost it changes nothing, whatever it believes.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::link::{Call, Link, Trouble};
use super::target::Target;
use crate::Error;

/// The claim on everything; with a condition on its owner behind it.
pub(super) const CLAIMED: &str = "SELECT epoch FROM @.claims WHERE scope = 0";

/// How often a server says that it lives.
const BEAT: Duration = Duration::from_secs(2);

/// How long a beat must have stood still before its server counts as gone.
pub(super) const STANDS_STILL: Duration = Duration::from_secs(7);

/// How often it is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// Time in which the database did not answer does not count.
const MOST_BETWEEN_LOOKS: Duration = Duration::from_secs(3);

/// How long the end of what a former owner has begun is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who a server is to others on the same database.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The data folder's.
    node: String,
    /// The machine's, until it starts again.
    boot: String,
    host: String,
}

impl Identity {
    /// Who a server on that folder is. The folder has to be locked.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn of(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("node");
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        let mut kept = kept.lines().map(str::trim);
        let here = here(folder)?;
        // A copy of a folder is another node.
        let node = match (kept.next(), kept.next()) {
            (Some(node), known) if !node.is_empty() && known.is_none_or(|known| known == here) => {
                node.to_owned()
            }
            _ => fresh_id()?,
        };
        std::fs::write(&path, format!("{node}\n{here}\n"))?;
        Ok(Self { node, boot: of_system("random/boot_id"), host: of_system("hostname") })
    }

    /// The data folder's id.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The data folder's id, the machine's until it starts again, and its name.
    pub(super) fn parts(&self) -> (&str, &str, &str) {
        (&self.node, &self.boot, &self.host)
    }
}

/// What the system says of itself under that name.
fn of_system(name: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default().trim().to_owned()
}

/// An id that nobody has.
pub(super) fn fresh_id() -> Result<String, Error> {
    let id = of_system("random/uuid");
    if id.is_empty() { Err(Error::Other("the system gives no random numbers".into())) } else { Ok(id) }
}

/// What tells a folder from its copies: the machine, and which folder of it this is.
fn here(folder: &Path) -> Result<String, Error> {
    let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    Ok(format!("{} {}", machine.trim(), std::fs::metadata(folder)?.ino()))
}

/// A generation that is not over.
struct Living {
    generation: i64,
    node: String,
    boot: String,
    host: String,
    beat: i64,
    /// For how long it answers after a renewal, where it is a cluster's node.
    lease: Option<i64>,
}

/// For how long a beat has to stand still where its node answers for so many milliseconds after a renewal, or is a server alone.
pub(super) fn still_after(lease: Option<i64>) -> Duration {
    let lease = lease.and_then(|lease| u64::try_from(lease).ok()).map(Duration::from_millis);
    lease.map_or(STANDS_STILL, |lease| cluster::stands_still(lease).max(STANDS_STILL))
}

/// Begins a generation that owns everything; waits for a former one to be found gone.
///
/// # Errors
/// [`Error::Unusable`] when another server lives.
pub(super) async fn claim(link: &mut Link, target: &Target, identity: &Identity) -> Result<i64, Error> {
    let mut vigil = Vigil::default();
    let started = Instant::now();
    loop {
        let living = living(link).await.map_err(Trouble::error)?;
        let Some(first) = living.first() else {
            match begin(link, identity).await {
                Ok(Some(generation)) => return Ok(generation),
                // Another was faster.
                Ok(None) => continue,
                // What the former owner has begun is not over yet; by itself it is soon.
                Err(Trouble::Again(_)) if started.elapsed() < PATIENCE => {
                    link.call(&Call::new("ROLLBACK", [])).await.map_err(Trouble::error)?;
                    continue;
                }
                Err(trouble) => return Err(trouble.error()),
            }
        };
        if first.node == identity.node && first.boot == identity.boot {
            end(link, first.generation).await.map_err(Trouble::error)?;
            continue;
        }
        let still = still_after(first.lease);
        let seen = vigil.look(link, first.generation, first.beat, still).await.map_err(Trouble::error)?;
        match seen {
            None => tracing::warn!(
                host = first.host,
                "another server had this database and did not say that it ended; whether it lives is looked at for {} s",
                still.as_secs()
            ),
            Some(Seen::Lives) => {
                return Err(Error::Unusable(format!(
                    "another server has the schema {} at {target}: it runs on {} ({}); end that one first, or name \
                     another schema with ?schema=NAME",
                    target.quoted_schema(),
                    first.host,
                    first.node
                )));
            }
            Some(Seen::Gone) => continue,
            Some(Seen::Unsure) => {}
        }
        sleep(LOOK).await;
    }
}

async fn living(link: &mut Link) -> Result<Vec<Living>, Trouble> {
    let is_cluster = link.plain("SELECT 1 WHERE to_regclass('@.mesh') IS NOT NULL").await?;
    let select = match is_cluster.is_empty() {
        true => {
            "SELECT generation, id, boot, host, beat, NULL::bigint FROM @.nodes WHERE NOT over ORDER BY generation"
        }
        false => {
            "SELECT n.generation, n.id, n.boot, n.host, n.beat, m.lease FROM @.nodes n
                 LEFT JOIN @.mesh m ON m.generation = n.generation WHERE NOT n.over ORDER BY n.generation"
        }
    };
    let rows = link.call(&Call::new(select, [])).await?;
    let living = rows.iter().map(|row| {
        Ok(Living {
            generation: row.try_get(0)?,
            node: row.try_get(1)?,
            boot: row.try_get(2)?,
            host: row.try_get(3)?,
            beat: row.try_get(4)?,
            lease: row.try_get(5)?,
        })
    });
    Ok(living.collect::<Result<_, tokio_postgres::Error>>()?)
}

/// `None` when somebody else owns it by now.
async fn begin(link: &mut Link, identity: &Identity) -> Result<Option<i64>, Trouble> {
    link.call(&Call::new("BEGIN", [])).await?;
    let generation = insert(link, identity).await?;
    let take = Call::new(
        "UPDATE @.claims SET owner = $1, epoch = epoch + 1 WHERE scope = 0 AND (owner = 0
             OR EXISTS (SELECT 1 FROM @.nodes WHERE generation = claims.owner AND over)) RETURNING epoch",
        [generation.into()],
    );
    if link.call(&take).await?.is_empty() {
        link.call(&Call::new("ROLLBACK", [])).await?;
        return Ok(None);
    }
    // Whoever has lost its claim can learn nothing from them any more.
    let forget = Call::new("DELETE FROM @.groups WHERE generation < $1", [generation.into()]);
    link.call(&forget).await?;
    let forget = Call::new("DELETE FROM @.nodes WHERE over AND generation < $1 - 100", [generation.into()]);
    link.call(&forget).await?;
    link.call(&Call::new("COMMIT", [])).await?;
    Ok(Some(generation))
}

/// Adds a generation, in the transaction there is.
pub(super) async fn insert(link: &mut Link, identity: &Identity) -> Result<i64, Trouble> {
    let (id, boot, host) = identity.parts();
    let insert = Call::new(
        "INSERT INTO @.nodes (id, boot, host) VALUES ($1, $2, $3) RETURNING generation",
        [id.into(), boot.into(), host.into()],
    );
    let rows = link.call(&insert).await?;
    let Some(row) = rows.first() else { return Err(Error::Other("a row without a number".into()).into()) };
    Ok(row.try_get(0)?)
}

/// A generation is over, unless it has said that it lives since that beat.
pub(super) async fn end_still(link: &mut Link, generation: i64, beat: i64) -> Result<(), Trouble> {
    let end = Call::new(
        "UPDATE @.nodes SET over = true WHERE generation = $1 AND beat = $2 AND NOT over",
        [generation.into(), beat.into()],
    );
    link.call(&end).await.map(drop)
}

/// A generation that is looked at again and again.
pub(super) struct Watch {
    pub(super) generation: i64,
    beat: i64,
    /// Since when the beat stands still, and when it was looked at last.
    since: Instant,
    last: Instant,
    /// For how long it has to.
    still: Duration,
}

/// One generation after the other that has to be gone, each looked at from when it is the next.
#[derive(Default)]
pub(super) struct Vigil(Option<Watch>);

impl Vigil {
    /// Looks at the next, and ends it when it has stood still for so long; nothing is seen the first time.
    pub(super) async fn look(
        &mut self,
        link: &mut Link,
        generation: i64,
        beat: i64,
        still: Duration,
    ) -> Result<Option<Seen>, Trouble> {
        let Some(watch) = self.0.as_mut().filter(|watch| watch.generation == generation) else {
            self.0 = Some(Watch::begin(generation, beat, still));
            return Ok(None);
        };
        let seen = watch.look(beat);
        if matches!(seen, Seen::Gone) {
            end_still(link, generation, beat).await?;
        }
        Ok(Some(seen))
    }
}

/// What a look has shown.
pub(super) enum Seen {
    Lives,
    Gone,
    Unsure,
}

impl Watch {
    pub(super) fn begin(generation: i64, beat: i64, still: Duration) -> Self {
        let now = Instant::now();
        Self { generation, beat, since: now, last: now, still }
    }

    pub(super) fn look(&mut self, beat: i64) -> Seen {
        let now = Instant::now();
        if beat != self.beat {
            return Seen::Lives;
        }
        if now.duration_since(self.last) > MOST_BETWEEN_LOOKS {
            self.since = now;
        }
        self.last = now;
        if now.duration_since(self.since) >= self.still { Seen::Gone } else { Seen::Unsure }
    }
}

/// A generation is over.
pub(super) async fn end(link: &mut Link, generation: i64) -> Result<(), Trouble> {
    let call = Call::new("UPDATE @.nodes SET over = true WHERE generation = $1", [generation.into()]);
    link.call(&call).await.map(drop)
}

/// Whether a generation is over, as far as it is known here, and why.
#[derive(Debug, Clone, Default)]
pub struct Standing(Arc<OnceLock<Error>>);

impl Standing {
    /// Whether it goes on.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check(&self) -> Result<(), Error> {
        self.0.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// It does not.
    pub fn note_over(&self, error: &Error) {
        let _ = self.0.set(error.clone());
    }
}

/// Says again and again that a generation lives, over a connection of its own: what is being written never delays it.
#[derive(Debug)]
pub(super) struct Beat {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Beat {
    pub(super) fn start(target: Target, generation: i64, standing: Standing) -> Result<Self, Error> {
        let (stop, stopped) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let beat = move || {
            let (mut link, mut last) = (None, 0);
            while stopped.recv_timeout(BEAT) == Err(mpsc::RecvTimeoutError::Timeout) {
                let raised = runtime.block_on(raise(&target, &mut link, generation));
                match raised {
                    Ok(beat) if beat > last => last = beat,
                    Ok(beat) => {
                        return standing
                            .note_over(&Error::Rewound(format!("its beat is {beat}, and was {last}")));
                    }
                    Err(Error::Superseded) => return standing.note_over(&Error::Superseded),
                    Err(error) => {
                        link = None;
                        tracing::debug!(%error, "the database was not told that this server lives");
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("store-beat".into()).spawn(beat)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn raise(target: &Target, link: &mut Option<Link>, generation: i64) -> Result<i64, Error> {
    let raise = async {
        let link = match link {
            Some(link) => link,
            None => link.insert(Link::connect(target).await?),
        };
        let call = Call::new(
            "UPDATE @.nodes SET beat = beat + 1 WHERE generation = $1 AND NOT over RETURNING beat",
            [generation.into()],
        );
        let rows = link.call(&call).await.map_err(Trouble::error)?;
        let Some(row) = rows.first() else { return Err(Error::Superseded) };
        row.try_get(0).map_err(|error| Trouble::from(error).error())
    };
    timeout(MOST_BETWEEN_LOOKS, raise).await.unwrap_or_else(|_| Err(super::link::silent(MOST_BETWEEN_LOOKS)))
}
