//! The link between the two network namespaces: *near*, where the server is, and *far*, where those are whose network it
//! is about. Each has a TUN device; what the kernel sends into one goes through a [`Pipe`] and comes out of the other.
//!
//! Two threads a direction: one takes packets, one gives them when they are due. Both are asked to be run before others, and
//! what they are late by is measured, so that a report says when the machine was too busy to be believed.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use parking_lot::{Condvar, Mutex};
use tun_rs::{DeviceBuilder, SyncDevice};

use crate::link::{Pipe, Shape, Slot};

/// The server's address.
pub(crate) const NEAR: &str = "10.77.0.1";
/// Of those beyond the link.
pub(crate) const FAR: &str = "10.77.0.2";
/// The name of the namespace beyond the link.
pub(crate) const NAMESPACE: &str = "far";

const MTU: u16 = 1500;

/// What the kernel may hold before a device: what is dropped must be dropped by the link.
const DEVICE_QUEUE: &str = "10000";

/// Both directions of a link.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// From near to far.
    pub(crate) down: Shape,
    pub(crate) up: Shape,
}

/// One direction.
struct Way {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    pipe: Pipe,
    began: Instant,
    late: Late,
}

/// How late packets were given, against when they were due.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Late {
    pub(crate) packets: u32,
    /// By more than 5 ms.
    pub(crate) late: u32,
    pub(crate) most: Duration,
}

impl Way {
    fn new() -> Self {
        let state = State { pipe: Pipe::new(Shape::open(), 0), began: Instant::now(), late: Late::default() };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// What was under way is lost, and time begins anew.
    fn set(&self, shape: Shape, seed: u64, began: Instant) {
        *self.state.lock() = State { pipe: Pipe::new(shape, seed), began, late: Late::default() };
        self.changed.notify_one();
    }

    fn take(&self, from: &SyncDevice) -> anyhow::Result<()> {
        let mut buffer = vec![0; usize::from(MTU)];
        loop {
            let bytes = from.recv(&mut buffer).context("taking a packet")?;
            let packet = buffer.get(..bytes).context("a packet longer than the device's")?.to_vec();
            let mut state = self.state.lock();
            let now = state.began.elapsed();
            state.pipe.offer(now, packet);
            drop(state);
            self.changed.notify_one();
        }
    }

    fn give(&self, to: &SyncDevice) {
        let mut state = self.state.lock();
        loop {
            let now = state.began.elapsed();
            if let Some((due, packet)) = state.pipe.poll(now) {
                let late = now.saturating_sub(due);
                state.late.packets += 1;
                state.late.late += u32::from(late > Duration::from_millis(5));
                state.late.most = state.late.most.max(late);
                parking_lot::MutexGuard::unlocked(&mut state, || {
                    // A device that is not up loses what it gets, as a cable would.
                    let _ = to.send(&packet);
                });
                continue;
            }
            match state.pipe.deadline() {
                Some(at) => {
                    let until = state.began + at;
                    self.changed.wait_until(&mut state, until);
                }
                None => self.changed.wait(&mut state),
            }
        }
    }
}

/// The two namespaces and what connects them.
pub(crate) struct Wire {
    down: Arc<Way>,
    up: Arc<Way>,
}

fn ip(arguments: &str) -> anyhow::Result<()> {
    let output =
        Command::new("ip").args(arguments.split(' ')).output().context("`ip` (iproute2) cannot run")?;
    let trouble = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "`ip {arguments}`: {trouble}");
    Ok(())
}

fn device(name: &str) -> anyhow::Result<Arc<SyncDevice>> {
    let device = DeviceBuilder::new().name(name).mtu(MTU).build_sync();
    Ok(Arc::new(device.with_context(|| format!("making the TUN device {name}"))?))
}

impl Wire {
    /// Makes the namespace beyond and the open link to it. This one must be of the lab alone (`run.sh`).
    pub(crate) fn lay() -> anyhow::Result<Self> {
        let (near, far) = (device("near")?, device("far")?);
        ip(&format!("netns add {NAMESPACE}"))?;
        ip(&format!("link set far netns {NAMESPACE}"))?;
        ip(&format!("-n {NAMESPACE} link set lo up"))?;
        for (place, name, own, other) in
            [("".to_owned(), "near", NEAR, FAR), (format!("-n {NAMESPACE} "), "far", FAR, NEAR)]
        {
            ip(&format!("{place}link set {name} txqueuelen {DEVICE_QUEUE} mtu {MTU} up"))?;
            ip(&format!("{place}addr replace {own} peer {other} dev {name}"))?;
        }
        let wire = Self { down: Arc::new(Way::new()), up: Arc::new(Way::new()) };
        for (way, from, to) in [(&wire.down, &near, &far), (&wire.up, &far, &near)] {
            let (taker, source) = (way.clone(), from.clone());
            std::thread::spawn(move || {
                before_others();
                if let Err(error) = taker.take(&source) {
                    eprintln!("the link ended: {error:#}");
                }
            });
            let (giver, sink) = (way.clone(), to.clone());
            std::thread::spawn(move || {
                before_others();
                giver.give(&sink);
            });
        }
        Ok(wire)
    }

    /// The link is like this from now on.
    pub(crate) fn begin(&self, link: &Link, seed: u64) {
        let now = Instant::now();
        self.down.set(link.down.clone(), seed, now);
        self.up.set(link.up.clone(), seed.wrapping_add(1), now);
    }

    pub(crate) fn open(&self) {
        self.begin(&Link { down: Shape::open(), up: Shape::open() }, 0);
    }

    /// What was counted since the link began, towards *far* and towards *near*.
    pub(crate) fn counted(&self) -> (Vec<Slot>, Vec<Slot>) {
        let of = |way: &Way| way.state.lock().pipe.slots().to_vec();
        (of(&self.down), of(&self.up))
    }

    /// How late the link was, the worse of both ways.
    pub(crate) fn late(&self) -> Late {
        let (down, up) = (self.down.state.lock().late, self.up.state.lock().late);
        Late { packets: down.packets + up.packets, late: down.late + up.late, most: down.most.max(up.most) }
    }
}

/// A thread that waits for the moment of a packet must not wait for its turn, too: it gets real-time scheduling. A nice value
/// alone counts only among processes of the same session where the kernel groups them.
fn before_others() {
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    let status = Command::new("chrt").args(["--fifo", "--pid", "10", &thread]).status();
    if !status.is_ok_and(|status| status.success()) {
        eprintln!("the link is not run before others: it may be late");
    }
}
