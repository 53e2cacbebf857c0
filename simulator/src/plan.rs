//! A plan: everything that a scenario leaves open decided for one seed at one depth, as an explicit timeline.
//!
//! [`Plan::expand`] makes one; it is pure, and the same arguments give the same plan on every machine. Worlds are built from
//! plans alone. Every draw hangs on the seed and on names ([`stream`]), never on the order of drawing: without some node,
//! link or event everything else is as it was. [`Plan::to_scenario`] writes a plan as a scenario that expands to it.
//!
//! # What a world may assume
//!
//! At every depth: members, links and events are sorted and named once; every link joins two members; every event happens to
//! a member at or before `heal.at`; each node has one [`Action::Join`] and nothing happens to it earlier; a link's changes
//! begin at zero, say the whole state from then on, and end at `heal.at` with the link up by its preferred profile. At
//! `heal.at` the world ends whatever lasts: it starts what is down, gives disks room, ends lies and errors of disks, sets
//! clocks right, stops twins and attackers, lifts quotas. A process fault that hits a process which is down, and any fault
//! that hits a node before it joined, does nothing; the world counts it as not reached.
//!
//! *Depth 1* has no datagrams: it uses latency, bandwidth, loss as delay, and the up and down of links; NAT, MTU, duplication,
//! reordering and corruption are below it. Its disk holds what was committed; `power-loss` is `crash`, `lying-fsync` and
//! `io-errors` have no place in it. *Depth 2* uses everything. *Depth 3* runs in real time, on real disks and one clock: it
//! uses links, crashes (SIGKILL), pauses (SIGSTOP), restarts, backups, copies, hostile nodes and work; disks and clocks are
//! the machine's. Times of a plan for depth 3 are divided by the scenario's speed already. What a depth leaves out it says in
//! its report; [`Plan::expand`] leaves it in, so that plans of all depths compare.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::scenario::{
    Attack, Check, DEFAULT, Depth, Disk, Drift, Layer, Link, LinkState, Offset, Share, Timestamp, Unsynced,
};

mod actions;
mod calendars;
mod events;
mod expand;
mod explicit;
mod links;
mod members;
mod randomise;
pub mod stream;

pub use expand::PlanError;
pub use randomise::randomise;

/// The name of a member, a link, a profile or a layer. Cheap to copy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// A scenario for one seed at one depth. Times are from the start of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The scenario's name.
    pub name: String,
    /// What it rehearses.
    pub rehearses: String,
    /// The seed. Worlds draw what a plan leaves open (which datagram is lost) from [`stream::Stream`]s of it.
    pub seed: u64,
    /// The depth.
    pub depth: Depth,
    /// The true time at zero.
    pub start: Timestamp,
    /// The end of the run.
    pub duration: Duration,
    /// When the world is healed; nothing happens later.
    pub heal_at: Duration,
    /// How long after that every honest member may take to agree.
    pub heal_within: Duration,
    /// The hubs; the first founds the fleet and holds its authority.
    pub hubs: Vec<PlannedHub>,
    /// The nodes, in the scenario's order.
    pub nodes: Vec<PlannedNode>,
    /// A link for each node and each hub in its reach, and for each pair of hubs that dial.
    pub links: Vec<PlannedLink>,
    /// What links are like, by the names in their changes.
    pub profiles: BTreeMap<Name, Link>,
    /// The layers at the start; released together before the first event.
    pub layers: Vec<Layer>,
    /// What happens, sorted.
    pub events: Vec<Event>,
    /// The checks to run, sorted.
    pub checks: Vec<Check>,
    /// A node whose link has been up this long without a break holds the newest release meant for it.
    pub fresh_within: Option<Duration>,
}

/// A hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedHub {
    /// Its name.
    pub name: Name,
    /// Its disk.
    pub disk: Disk,
    /// Its clock.
    pub clock: PlannedClock,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedNode {
    /// Its name.
    pub name: Name,
    /// The labels that its token gives.
    pub labels: BTreeMap<String, String>,
    /// The layers that are assigned to it, the lowest first.
    pub layers: Vec<Name>,
    /// Workloads that report a status.
    pub workloads: u32,
    /// The hubs in reach, the home first.
    pub hubs: Vec<Name>,
    /// Its disk.
    pub disk: Disk,
    /// Its clock.
    pub clock: PlannedClock,
}

/// A clock, as it is at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlannedClock {
    /// How far it is ahead.
    pub offset: Offset,
    /// How much faster it runs.
    pub drift: Drift,
    /// Whether it runs on without power.
    pub keeps_time: bool,
}

/// A link and its whole life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedLink {
    /// The member that dials.
    pub from: Name,
    /// The hub that it dials.
    pub to: Name,
    /// What the link is from when on, by time, no two alike in a row. See the module for the first and the last.
    pub changes: Vec<LinkChange>,
}

/// What a link is from some time on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkChange {
    /// When.
    pub at: Duration,
    /// What it lets through.
    pub state: LinkState,
    /// By which profile. Another one than before means another network, hence another address of the one who dials.
    pub profile: Name,
}

/// Something that happens. The order of events is total and hangs on nothing but the events.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// When.
    pub at: Duration,
    /// What.
    pub action: Action,
    /// To which member.
    pub on: Name,
    /// Seeds whatever the action leaves open, such as which bits flip.
    pub draw: u32,
}

/// What happens. In the order in which it does when it happens at the same time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// The node gets a token of its home hub and joins. Those at zero are done before the run begins.
    Join,
    /// The process is killed and starts again after `down`.
    Crash {
        /// How long it is down.
        down: Duration,
    },
    /// The process stands still.
    Pause {
        /// How long.
        lasts: Duration,
    },
    /// The process stops in order and starts at once.
    Restart,
    /// The machine is off for `down`.
    PowerLoss {
        /// How long it is down.
        down: Duration,
        /// What becomes of writes that were not synced.
        unsynced: Unsynced,
    },
    /// Nothing more fits on the disk.
    DiskFull {
        /// How long.
        lasts: Duration,
    },
    /// Bits flip on the disk.
    BitRot {
        /// How many.
        bits: u32,
    },
    /// Syncs do nothing and say that they did.
    LyingFsync {
        /// How long.
        lasts: Duration,
    },
    /// Reads, writes and syncs fail.
    IoErrors {
        /// How long.
        lasts: Duration,
        /// How many of them.
        share: Share,
    },
    /// The files are set back and the process is started on them.
    RestoreBackup {
        /// How old the copy is; the one of the first start if the member is younger.
        age: Duration,
    },
    /// A twin runs on a copy of the files, from an address of its own.
    CloneDisk {
        /// How long.
        lasts: Duration,
    },
    /// The process stops, loses its database, not its key, and starts.
    WipeStore,
    /// The clock is at 1970.
    Clock1970,
    /// The clock jumps.
    ClockJump {
        /// How far ahead.
        by: Offset,
    },
    /// The clock runs too fast, on top of what it does anyway.
    ClockDrift {
        /// How much.
        drift: Drift,
        /// How long.
        lasts: Duration,
    },
    /// The node has another address from now on.
    AddressChange,
    /// The NAT before the node maps it to another port from now on.
    NatRebind,
    /// Someone with the node's key attacks each hub in the node's reach, beside the node.
    Hostile {
        /// How.
        attack: Attack,
    },
    /// Objects of a layer are edited at this hub.
    Edit {
        /// The layer.
        layer: Name,
        /// How many objects change.
        objects: u32,
        /// How many are added.
        add: u32,
        /// How many are removed.
        remove: u32,
        /// Whether it is released at once.
        release: bool,
    },
    /// This hub makes a release.
    Release {
        /// How many releases it goes back; 0 releases what was edited. Going back is to apply and release what was released then.
        back: u32,
    },
    /// A workload of the node reports another status.
    Status {
        /// How many values change.
        values: u32,
    },
    /// Objects in the node's target are edited by hand.
    TargetEdit {
        /// How many.
        objects: u32,
    },
    /// This hub revokes a node.
    Revoke {
        /// The node.
        node: Name,
    },
}

impl Plan {
    /// What a link is like after `change`.
    #[must_use]
    pub fn profile(&self, change: &LinkChange) -> &Link {
        // The name is always there in an expanded plan; a link without a table is the default one.
        static LINK: LazyLock<Link> = LazyLock::new(Link::default);
        self.profiles.get(&change.profile).unwrap_or(&LINK)
    }
}

impl PlannedLink {
    /// `node/hub`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.from, self.to)
    }
}

impl Name {
    /// The name of the link, disk and clock where none is named.
    #[must_use]
    pub fn default_profile() -> Self {
        Self::from(DEFAULT)
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(Arc::from(text))
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests;
