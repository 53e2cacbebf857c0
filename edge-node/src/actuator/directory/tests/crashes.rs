//! Releases, crashes and hands in any order: in the end the folder, the inventory and the cluster hold what is desired.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use sync_core::env::{CrashPoint, Witness};

use super::*;

/// What K3s makes of its folder: an `Addon` per file, whose objects outlive the file.
#[derive(Default)]
struct K3s {
    addons: BTreeMap<String, Option<serde_json::Value>>,
}

impl K3s {
    fn scan(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap();
            if file.starts_with('.') || !file.ends_with(".yaml") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let body: String = text.lines().filter(|line| !line.starts_with('#')).collect();
            // A file that a hand spoiled fails to apply and changes nothing.
            if body.is_empty() {
                self.addons.insert(file.to_owned(), None);
            } else if let Ok(object) = serde_json::from_str(&body) {
                self.addons.insert(file.to_owned(), Some(object));
            }
        }
    }

    fn objects(&self) -> Vec<String> {
        let mut objects: Vec<_> = self.addons.values().flatten().map(ToString::to_string).collect();
        objects.sort();
        objects
    }
}

/// Where the process ends in a pass.
#[derive(Debug, Clone, Copy)]
enum Crash {
    Never,
    BeforeRecord,
    AfterSteps(usize),
    BeforeCommit,
}

#[derive(Debug, Clone)]
struct Release {
    /// Object `i` at version `objects[i]`; 0 is absent.
    objects: Vec<u64>,
    crash: Crash,
    /// A file that a hand edits (even) or deletes (odd) afterwards.
    hand: Option<usize>,
}

fn release() -> impl Strategy<Value = Release> {
    let crash = prop_oneof![
        2 => Just(Crash::Never),
        1 => Just(Crash::BeforeRecord),
        5 => (0..6_usize).prop_map(Crash::AfterSteps),
        2 => Just(Crash::BeforeCommit),
    ];
    (prop::collection::vec(0..3_u64, 5), crash, prop::option::weighted(0.4, 0..20_usize))
        .prop_map(|(objects, crash, hand)| Release { objects, crash, hand })
}

fn desired(release: &Release) -> Vec<DesiredObject> {
    let wanted = release.objects.iter().enumerate().filter(|(_, version)| **version > 0);
    wanted.map(|(i, version)| object(&format!("o{i}"), *version)).collect()
}

/// Ends the process, as far as a test can: the panic unwinds past everything that is not on disk.
fn crash_after(steps: usize) -> Witness {
    let left = AtomicUsize::new(steps);
    Arc::new(move |point| {
        if point == CrashPoint::DuringTargetWrite && left.fetch_sub(1, Ordering::Relaxed) == 1 {
            resume_unwind(Box::new("crash"));
        }
    })
}

/// A pass that may be cut short. True when the process lives on.
fn cut_pass(
    actuator: &mut Directory,
    stored: &mut Inventory,
    desired: &[DesiredObject],
    crash: Crash,
    now: Instant,
) -> bool {
    let seen = actuator.observe(stored, now).unwrap();
    let plan = plan(desired, stored, &seen, |object| actuator.intent(object)).unwrap();
    if matches!(crash, Crash::BeforeRecord) {
        return false;
    }
    let save = |wider: &Inventory| {
        // Through its text form, as a database would.
        *stored = serde_json::from_str(&serde_json::to_string(wider).unwrap()).unwrap();
        Ok::<_, ()>(())
    };
    let recorded = plan.record(save).unwrap();
    let witness = match crash {
        Crash::AfterSteps(0) => return false,
        Crash::AfterSteps(steps) => crash_after(steps),
        Crash::Never | Crash::BeforeRecord | Crash::BeforeCommit => no_witness(),
    };
    match catch_unwind(AssertUnwindSafe(|| recorded.apply(actuator, &witness))) {
        Ok(outcome) if !matches!(crash, Crash::BeforeCommit) => {
            *stored = outcome.inventory;
            true
        }
        Ok(_) | Err(_) => false,
    }
}

fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())).collect()
}

fn run(flavour: Flavour, releases: &[Release]) -> Result<(), TestCaseError> {
    let site = Site::new(flavour);
    let folder = site.folder();
    fs::create_dir(&folder).unwrap();
    // The third has a name that we could have given, but nobody knows of it.
    let foreign = ["traefik.yaml", ".hidden", "archipel-50-old-00000000.yaml", "archipel-50-old-00000000.yaml.skip"];
    for file in foreign {
        fs::write(folder.join(file), "foreign: true\n").unwrap();
    }
    let (mut actuator, mut stored, mut k3s) = (site.actuator(), Inventory::default(), K3s::default());
    let mut time = 0;
    for release in releases {
        time += 20;
        if !cut_pass(&mut actuator, &mut stored, &desired(release), release.crash, seconds(time)) {
            actuator = site.actuator();
            let torn = name::partial(&name::of(&object("o0", 1).key, Stage::Support));
            fs::write(folder.join(torn), "{\"apiVer").unwrap();
        }
        k3s.scan(&folder);
        let ours: Vec<_> = files(&folder).into_keys().filter(|file| file.contains("-configmap-")).collect();
        if let Some(file) = release.hand.and_then(|hand| ours.get(hand / 2)) {
            let path = folder.join(file);
            if release.hand.is_some_and(|hand| hand % 2 == 0) {
                fs::write(path, "by: hand\n").unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
    }

    let desired = releases.last().map(desired).unwrap_or_default();
    for _ in 0..6 {
        time += 20;
        prop_assert!(pass(&mut actuator, &mut stored, &desired, seconds(time)).is_complete());
        k3s.scan(&folder);
    }
    let seen = actuator.observe(&stored, seconds(time)).unwrap();
    let plan = plan(&desired, &stored, &seen, |object| actuator.intent(object)).unwrap();
    prop_assert!(plan.is_idle() && plan.leaving() == 0);
    prop_assert_eq!(plan.foreign(), &[foreign[2].to_owned()]);

    let mut expected: BTreeMap<_, _> = foreign.map(|file| (file.to_owned(), "foreign: true\n".to_owned())).into();
    expected.extend(desired.iter().map(|object| (name::of(&object.key, object.stage()), content::render(object))));
    prop_assert_eq!(files(&folder), expected);
    prop_assert!(stored.0.keys().eq(desired.iter().map(|object| &object.key)));
    prop_assert!(stored.0.values().all(|entry| entry.state == State::Held));
    if flavour == Flavour::K3s {
        let mut objects: Vec<_> = desired.iter().map(|object| object.manifest.to_string()).collect();
        objects.sort();
        prop_assert_eq!(k3s.objects(), objects, "no object outlives its removal");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_folder_ends_as_desired_whatever_crashed_on_k3s(releases in prop::collection::vec(release(), 1..8)) {
        run(Flavour::K3s, &releases)?;
    }

    #[test]
    fn the_folder_ends_as_desired_whatever_crashed_elsewhere(releases in prop::collection::vec(release(), 1..8)) {
        run(Flavour::Plain, &releases)?;
    }
}
