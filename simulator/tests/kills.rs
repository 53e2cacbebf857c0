//! Kills a hub and two agents hundreds of times, at random moments and at every crash point, and looks for what was lost.
//!
//! `KILLS` (default 200) and `SEED` (default: drawn, printed) come from the environment. The seed repeats the choices, not
//! the scheduling.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use simulator::commands::{CommandError, Commands, HUB_READY};
use simulator::embedded::{CRASH_VARIABLE, crash_line};
use simulator::live::target;
use simulator::process::{Process, Spec, until};
use simulator::random::Random;
use sync_core::env::CrashPoint;

type Outcome<T> = Result<T, Box<dyn Error>>;

const EDGES: [&str; 2] = ["edge-a", "edge-b"];

/// Layers that are changed in turn, as many as deaths in a chapter: a change that was lost is not covered by a later one.
const LAYERS: usize = KILLS_A_CHAPTER;

/// Objects of one layer; they change together.
const OBJECTS: usize = 3;

/// Deaths between two looks at the whole state. Looking costs a reconnect of everything.
const KILLS_A_CHAPTER: usize = 10;

/// How long a process may take to reach the crash point it was given, before it is killed where it stands.
const CRASH_WITHIN: Duration = Duration::from_secs(3);

/// How long a restarted fleet may take to converge: two idle timeouts, and a busy machine.
const CONVERGE_WITHIN: Duration = Duration::from_secs(30);

const START_WITHIN: Duration = Duration::from_secs(15);

const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Hub,
    Edge(usize),
    /// The command that changes a layer.
    Apply,
}

/// How a victim dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// At the nth passing of a point, by its own hand.
    At(CrashPoint, u64),
    /// Some time after the change was handed in.
    After(Duration),
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_by_kills() -> Outcome<()> {
    let drawn = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let seed = from_environment("SEED")?.unwrap_or(drawn);
    let kills = from_environment("KILLS")?.unwrap_or(200);
    println!("seed {seed}, {kills} kills; repeat with SEED={seed}");
    let folder = tempfile::tempdir()?;
    let played = play(folder.path(), Random::new(seed), kills).await;
    if played.is_err() {
        println!("logs: {}", folder.keep().join("logs").display());
    }
    played
}

async fn play(work: &Path, random: Random, kills: u64) -> Outcome<()> {
    let mut fleet = Fleet::start(work, random).await?;
    for _ in 0..LAYERS {
        fleet.change(&[]).await?.map_err(|refused| format!("refused without any kill: {refused}"))?;
    }
    let layers: Vec<String> = (0..LAYERS).map(layer_name).collect();
    for edge in EDGES {
        fleet.commands.assign(&layers, &format!("edge={edge}")).await?;
    }
    fleet.check().await?;
    let plan = plan(kills, &mut fleet.random);
    for chapter in plan.chunks(KILLS_A_CHAPTER) {
        for (victim, death) in chapter {
            fleet.kill_one(*victim, *death).await.map_err(|error| format!("{victim:?} {death:?}: {error}"))?;
        }
        fleet.check().await?;
        println!("{} kills, revision {}, {:?}", fleet.kills, fleet.revision, fleet.reached);
    }
    // The plan ends when its last death was tried; deaths that did not happen are made up for at random moments.
    while fleet.kills < kills {
        let victim = Victim::Edge(usize::try_from(fleet.random.below(2))?);
        let death = Death::After(Duration::from_millis(fleet.random.below(200)));
        fleet.kill_one(victim, death).await?;
    }
    fleet.check().await?;
    let missed: Vec<_> =
        CrashPoint::ALL.iter().filter(|point| !fleet.reached.contains_key(point.name())).map(|p| p.name()).collect();
    assert!(missed.is_empty(), "no process ended itself at {missed:?}; reached: {:?}", fleet.reached);
    assert!(fleet.kills >= kills);
    Ok(())
}

/// Every crash point for every process that may pass it, at its first passings, then random moments; shuffled.
fn plan(kills: u64, random: &mut Random) -> Vec<(Victim, Death)> {
    let processes = [Victim::Hub, Victim::Edge(0), Victim::Edge(1)];
    let mut plan = Vec::new();
    for passing in 1..=2 {
        for point in CrashPoint::ALL {
            let on_target = matches!(point, CrashPoint::DuringTargetWrite | CrashPoint::TargetWritten);
            let by_command = matches!(point, CrashPoint::WriteBeforeCommit | CrashPoint::WriteAfterCommit);
            let victims = processes.into_iter().filter(|victim| !on_target || *victim != Victim::Hub);
            plan.extend(victims.map(|victim| (victim, Death::At(point, passing))));
            if by_command && passing == 1 {
                plan.push((Victim::Apply, Death::At(point, passing)));
            }
        }
    }
    // An armed death costs two kills: the unarmed process has to go first.
    for _ in (2 * plan.len() as u64)..kills {
        let victim = processes.into_iter().nth(usize::try_from(random.below(3)).unwrap_or(0)).unwrap_or(Victim::Hub);
        plan.push((victim, Death::After(Duration::from_millis(random.below(300)))));
    }
    for last in (1..plan.len()).rev() {
        plan.swap(last, usize::try_from(random.below(last as u64 + 1)).unwrap_or(last));
    }
    plan
}

struct Fleet {
    commands: Commands,
    random: Random,
    work: PathBuf,
    hub_address: SocketAddr,
    processes: BTreeMap<Victim, Process>,
    /// The newest revision handed in. Each belongs to one layer, in turn.
    revision: u64,
    /// For each layer the revisions that it may have: the newest one acknowledged, and those handed in since.
    allowed: Vec<BTreeSet<u64>>,
    kills: u64,
    reached: BTreeMap<&'static str, u64>,
}

impl Fleet {
    async fn start(work: &Path, random: Random) -> Outcome<Self> {
        let commands = Commands::new(Path::new(env!("CARGO_BIN_EXE_archipel-sim")), work)?;
        let mut hub = Process::start(commands.hub_serve("127.0.0.1:0"))?;
        let hub_address = hub.line(HUB_READY, START_WITHIN).await?.parse()?;
        let mut processes = BTreeMap::from([(Victim::Hub, hub)]);
        for (index, edge) in EDGES.into_iter().enumerate() {
            let token = commands.token(&format!("edge={edge}")).await?;
            commands.join(edge, hub_address, &token).await?;
            processes.insert(Victim::Edge(index), Process::start(commands.edge_run(edge))?);
        }
        let (work, reached) = (work.to_owned(), BTreeMap::new());
        let allowed = vec![BTreeSet::new(); LAYERS];
        Ok(Self { commands, random, work, hub_address, processes, revision: 0, allowed, kills: 0, reached })
    }

    /// Hands in the next revision, to the next layer, and remembers whether it was acknowledged.
    async fn change(&mut self, environment: &[(String, String)]) -> Outcome<Result<(), CommandError>> {
        self.revision += 1;
        let layer = usize::try_from(self.revision)? % LAYERS;
        let (name, marker) = (layer_name(layer), marker(layer, self.revision));
        let folder = self.work.join(&name);
        std::fs::create_dir_all(&folder)?;
        for object in 0..OBJECTS {
            let text = format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}-{object}\n  namespace: default\ndata:\n  \
                 revision: {marker}\n"
            );
            std::fs::write(folder.join(format!("{object}.yaml")), text)?;
        }
        let answer = self.commands.apply_layer(&name, &folder, environment).await;
        let allowed = self.allowed.get_mut(layer).ok_or("no such layer")?;
        if answer.is_ok() {
            allowed.clear();
        }
        allowed.insert(self.revision);
        Ok(answer)
    }

    /// Brings `victim` to its death while a change is under way, then starts it again.
    async fn kill_one(&mut self, victim: Victim, death: Death) -> Outcome<()> {
        let Some(mut process) = self.processes.remove(&victim) else {
            let Death::At(point, passing) = death else { return Err("a command dies at a point only".into()) };
            // Whether this command or the hub's process writes is the hub's affair: a death here is not waited for.
            return self.change(&crash_environment(point, passing)).await.map(drop);
        };
        let status = match death {
            Death::At(point, passing) => self.crash(victim, &mut process, point, passing).await?,
            Death::After(wait) => {
                let killed = async {
                    tokio::time::sleep(wait).await;
                    process.kill().await
                };
                let (changed, status) = tokio::join!(self.change(&[]), killed);
                // A refusal is what a kill may lead to; the change stays allowed either way.
                let _ = changed?;
                status?
            }
        };
        if ![Some(SIGABRT), Some(SIGKILL)].contains(&status.signal()) {
            return Err(format!("it ended by itself ({status}):\n{}", process.output()).into());
        }
        self.kills += 1;
        process.restart(self.spec(victim)).await?;
        if victim == Victim::Hub {
            process.line(HUB_READY, START_WITHIN).await?;
        }
        self.processes.insert(victim, process);
        Ok(())
    }

    /// Restarts the victim so that it ends itself at `point`, and kills it if it never gets there.
    async fn crash(
        &mut self,
        victim: Victim,
        process: &mut Process,
        point: CrashPoint,
        passing: u64,
    ) -> Outcome<ExitStatus> {
        // The end of the process that is not armed is a kill as well.
        process.restart(Spec { environment: crash_environment(point, passing), ..self.spec(victim) }).await?;
        self.kills += 1;
        if victim == Victim::Hub {
            // An armed hub may be gone before it can be reached; then the change is refused, and that is fine.
            let _ = process.line(HUB_READY, CRASH_WITHIN).await;
        }
        let _ = self.change(&[]).await?;
        let Some(status) = process.end(CRASH_WITHIN).await else { return Ok(process.kill().await?) };
        if status.signal() == Some(SIGABRT) {
            // The line tells the crash point from an abort by a defect.
            let output = process.output();
            if !output.contains(&crash_line(point)) {
                return Err(format!("it aborted somewhere else:\n{output}").into());
            }
            *self.reached.entry(point.name()).or_default() += 1;
        }
        Ok(status)
    }

    fn spec(&self, victim: Victim) -> Spec {
        match victim {
            Victim::Edge(index) => self.commands.edge_run(EDGES.get(index).copied().unwrap_or(EDGES[0])),
            Victim::Hub | Victim::Apply => self.commands.hub_serve(&self.hub_address.to_string()),
        }
    }

    /// Waits until both edges hold, of every layer, one whole revision that may be there.
    ///
    /// The newest acknowledged one may be there, and each later one: those were handed in, and their commands died.
    async fn check(&mut self) -> Outcome<()> {
        for (victim, process) in &mut self.processes {
            if let Some(status) = process.ended() {
                return Err(format!("{victim:?} ended by itself ({status}):\n{}", process.output()).into());
            }
        }
        let allowed = self.allowed.clone();
        let commands = self.commands.clone();
        let what = "both edges to hold every acknowledged change";
        let shown: Vec<u64> = until(what, CONVERGE_WITHIN, async || {
            let rows = commands.nodes().await.map_err(|error| error.to_string())?;
            if let Some(row) = rows.iter().find(|row| !row.converged()) {
                return Err(format!("{} is {}: {:?} of {:?}", row.name, row.link, row.applied, row.desired));
            }
            if rows.len() != EDGES.len() {
                return Err(format!("the hub lists {} nodes", rows.len()));
            }
            let files = EDGES.map(|edge| target::read(&commands.target(edge)));
            let [Ok(first), Ok(second)] = files else { return Err("a target cannot be read".to_owned()) };
            let differences = target::differences((EDGES[0], &first), (EDGES[1], &second));
            if !differences.is_empty() {
                return Err(differences.join("; "));
            }
            allowed.iter().enumerate().map(|(layer, allowed)| shown_revision(&first, layer, allowed)).collect()
        })
        .await?;
        // What was found is what the hub holds: from here on nothing older may come back.
        self.allowed = Vec::from_iter(shown.iter().map(|revision| BTreeSet::from([*revision])));
        Ok(())
    }
}

/// The one allowed revision that every object of a layer has, or what is there instead.
fn shown_revision(files: &target::Files, layer: usize, allowed: &BTreeSet<u64>) -> Result<u64, String> {
    let with = |text: &str| files.values().filter(|content| target::contains(content, text)).count();
    let any = with(&format!("{}-revision-", layer_name(layer)));
    let whole = allowed.iter().find(|revision| with(&marker(layer, **revision)) == OBJECTS);
    match whole {
        Some(revision) if any == OBJECTS => Ok(*revision),
        _ => Err(format!("{}: {any} objects, and not {OBJECTS} of one of {allowed:?}", layer_name(layer))),
    }
}

fn layer_name(layer: usize) -> String {
    format!("kills-{layer}")
}

fn crash_environment(point: CrashPoint, passing: u64) -> Vec<(String, String)> {
    vec![(CRASH_VARIABLE.to_owned(), format!("{}:{passing}", point.name()))]
}

/// The text by which a revision is found in any target's format.
fn marker(layer: usize, revision: u64) -> String {
    format!("{}-revision-{revision}-end", layer_name(layer))
}

fn from_environment(name: &str) -> Outcome<Option<u64>> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text.parse().map_err(|_| format!("{name}=`{text}` is no number"))?)),
        Err(_) => Ok(None),
    }
}
