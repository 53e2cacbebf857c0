//! What the directory target does to a folder: causes, drift, removal, errors.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use sync_core::env::no_witness;

use super::*;
use crate::actuator::conformance::{self, Bench, object, pass};
use crate::actuator::{Cause, Entry, Stage, State};
use crate::reconcile::{Outcome, plan};

mod crashes;

/// A folder in a temporary one.
struct Site {
    scratch: tempfile::TempDir,
    flavour: Flavour,
}

impl Site {
    fn new(flavour: Flavour) -> Self {
        Self { scratch: tempfile::tempdir().unwrap(), flavour }
    }

    fn folder(&self) -> PathBuf {
        self.scratch.path().join("target")
    }

    fn file(&self, object: &DesiredObject) -> PathBuf {
        self.folder().join(name::of(&object.key, object.stage()))
    }
}

impl Bench for Site {
    type Actuator = Directory;

    fn actuator(&self) -> Directory {
        Directory::new(self.folder(), self.flavour)
    }

    fn alter(&self, place: &str) {
        fs::write(self.folder().join(place), "by: hand\n").unwrap();
    }

    fn take_away(&self, place: &str) {
        fs::remove_file(self.folder().join(place)).unwrap();
    }

    fn let_leave(&self) {}

    fn leaves_within(&self) -> Instant {
        Instant(0).after(EMPTIED_WAIT)
    }
}

fn seconds(seconds: u64) -> Instant {
    Instant(0).after(Duration::from_secs(seconds))
}

#[test]
fn every_flavour_conforms() {
    for flavour in [Flavour::Plain, Flavour::K3s, Flavour::K0s] {
        conformance::check(|| Site::new(flavour));
    }
}

#[test]
fn what_happened_to_a_file_by_hand_is_undone() {
    type Drift = fn(&Path);
    let table: [(&str, Drift, Cause); 7] = [
        ("edited", |file| fs::write(file, "by: hand\n").unwrap(), Cause::Repaired),
        ("cut short", |file| File::options().write(true).open(file).unwrap().set_len(9).unwrap(), Cause::Repaired),
        ("emptied as K3s' removal does", |file| fs::write(file, content::EMPTIED).unwrap(), Cause::Repaired),
        ("deleted", |file| fs::remove_file(file).unwrap(), Cause::Restored),
        ("renamed", |file| fs::rename(file, file.with_extension("bak")).unwrap(), Cause::Restored),
        (
            "too long to be read",
            |file| {
                File::options().write(true).open(file).unwrap().set_len(TARGET_FILE_BYTES_MAX as u64 + 1).unwrap();
            },
            Cause::Repaired,
        ),
        ("not UTF-8", |file| fs::write(file, [0xff, 0xfe]).unwrap(), Cause::Repaired),
    ];
    for flavour in [Flavour::Plain, Flavour::K3s, Flavour::K0s] {
        for (what, drift, cause) in table {
            let site = Site::new(flavour);
            let (mut actuator, mut stored, desired) = (site.actuator(), Inventory::default(), [object("a", 1)]);
            let _ = pass(&mut actuator, &mut stored, &desired, seconds(0));
            let good = fs::read(site.file(&desired[0])).unwrap();
            drift(&site.file(&desired[0]));
            let outcome = pass(&mut actuator, &mut stored, &desired, seconds(100));
            assert_eq!(outcome.done.iter().map(|done| done.cause).collect::<Vec<_>>(), [Some(cause)], "{what}");
            assert_eq!(fs::read(site.file(&desired[0])).unwrap(), good, "{what}");
        }
    }
}

#[test]
fn a_link_in_place_of_a_file_is_replaced_and_what_it_points_at_is_untouched() {
    for desired in [vec![object("a", 1)], vec![]] {
        let site = Site::new(Flavour::Plain);
        let (mut actuator, mut stored) = (site.actuator(), Inventory::default());
        let _ = pass(&mut actuator, &mut stored, &[object("a", 1)], seconds(0));
        let (file, other) = (site.file(&object("a", 1)), site.scratch.path().join("other"));
        fs::rename(&file, &other).unwrap();
        symlink(&other, &file).unwrap();
        let before = fs::read(&other).unwrap();
        assert!(pass(&mut actuator, &mut stored, &desired, seconds(0)).is_complete());
        assert_eq!(fs::read(&other).unwrap(), before);
        assert_eq!(fs::symlink_metadata(&file).is_ok_and(|metadata| metadata.is_file()), !desired.is_empty());
    }
}

#[test]
fn the_folder_itself_may_be_a_link() {
    let site = Site::new(Flavour::Plain);
    let real = site.scratch.path().join("real");
    fs::create_dir(&real).unwrap();
    symlink(&real, site.folder()).unwrap();
    let (mut actuator, mut stored) = (site.actuator(), Inventory::default());
    assert!(pass(&mut actuator, &mut stored, &[object("a", 1)], seconds(0)).is_complete());
    assert_eq!(fs::read_dir(real).unwrap().count(), 1);
}

#[test]
fn only_the_owner_can_read_a_file_since_it_may_hold_a_secret() {
    let site = Site::new(Flavour::Plain);
    let _ = pass(&mut site.actuator(), &mut Inventory::default(), &[object("a", 1)], seconds(0));
    assert_eq!(fs::metadata(site.file(&object("a", 1))).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_a_crash_left_half_written_is_cleared_and_hidden_files_of_others_are_not() {
    let site = Site::new(Flavour::Plain);
    fs::create_dir(site.folder()).unwrap();
    let part = site.folder().join(name::partial(&name::of(&object("a", 1).key, Stage::Support)));
    let others =
        [".hidden.yaml.partial", "archipel-notes.yaml", "traefik.yaml.skip"].map(|file| site.folder().join(file));
    for path in others.iter().chain([&part]) {
        fs::write(path, "half").unwrap();
    }
    let seen = site.actuator().observe(&Inventory::default(), seconds(0)).unwrap();
    assert_eq!(seen, Seen::default());
    assert!(!part.exists() && others.iter().all(|path| path.exists()));
}

#[test]
fn an_unchanged_file_is_not_read_again() {
    let site = Site::new(Flavour::Plain);
    let (mut actuator, mut stored) = (site.actuator(), Inventory::default());
    let desired: Vec<_> = (0..20).map(|i| object(&format!("a{i}"), 1)).collect();
    let _ = pass(&mut actuator, &mut stored, &desired, seconds(0));
    let reads = |actuator: &mut Directory, now| {
        let before = actuator.files_read();
        actuator.observe(&stored, now).unwrap();
        actuator.files_read() - before
    };
    assert_eq!(reads(&mut actuator, seconds(1)), 20, "first sight");
    assert_eq!(reads(&mut actuator, seconds(2)), 20, "the stamp may be of the tick of an unseen change");
    assert_eq!(reads(&mut actuator, seconds(4)), 20, "read once after the stamp settled");
    assert_eq!(reads(&mut actuator, seconds(5)), 0);
    fs::write(site.file(&desired[3]), "by: hand\n").unwrap();
    assert_eq!(reads(&mut actuator, seconds(6)), 1);
}

#[test]
fn nothing_is_written_when_nothing_changed() {
    let site = Site::new(Flavour::Plain);
    let (mut actuator, mut stored, desired) = (site.actuator(), Inventory::default(), [object("a", 1)]);
    let _ = pass(&mut actuator, &mut stored, &desired, seconds(0));
    let stamp = || Stamp::of(&fs::metadata(site.folder()).unwrap());
    let before = stamp();
    let seen = actuator.observe(&stored, seconds(9)).unwrap();
    let plan = plan(&desired, &stored, &seen, |_| panic!("an object that did not change is not rendered")).unwrap();
    assert!(plan.is_idle());
    let recorded = plan.record(|_| Err("the inventory did not change")).unwrap();
    assert!(recorded.apply(&mut actuator, &no_witness()).done.is_empty());
    assert_eq!(stamp(), before);
}

/// Passes until nothing is leaving, 20 s apart; what each saw in the file afterwards.
fn removal(
    site: &Site,
    actuator: &mut Directory,
    stored: &mut Inventory,
    from: u64,
    passes: u64,
) -> Vec<Option<String>> {
    let file = site.file(&object("a", 1));
    let one = |i| {
        assert!(pass(actuator, stored, &[], seconds(from + 20 * i)).is_complete());
        fs::read_to_string(&file).ok()
    };
    (0..passes).map(one).collect()
}

#[test]
fn k3s_gets_an_empty_file_for_a_minute_before_it_goes() {
    let site = Site::new(Flavour::K3s);
    let (mut actuator, mut stored) = (site.actuator(), Inventory::default());
    let _ = pass(&mut actuator, &mut stored, &[object("a", 1)], seconds(0));
    let empty = Some(content::EMPTIED.to_owned());
    let files = removal(&site, &mut actuator, &mut stored, 0, 6);
    assert_eq!(files, [&empty, &empty, &empty, &empty, &None, &None].map(Clone::clone));
    assert!(stored.0.is_empty());
}

#[test]
fn k3s_waits_the_whole_minute_again_after_a_restart() {
    let site = Site::new(Flavour::K3s);
    let mut stored = Inventory::default();
    let _ = pass(&mut site.actuator(), &mut stored, &[object("a", 1)], seconds(0));
    let _ = removal(&site, &mut site.actuator(), &mut stored, 1_000, 4);
    let files = removal(&site, &mut site.actuator(), &mut stored, 0, 4);
    assert_eq!(files.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, true, false]);
}

#[test]
fn k3s_gets_the_empty_file_also_when_somebody_deleted_the_full_one() {
    let site = Site::new(Flavour::K3s);
    let (mut actuator, mut stored) = (site.actuator(), Inventory::default());
    let _ = pass(&mut actuator, &mut stored, &[object("a", 1)], seconds(0));
    fs::remove_file(site.file(&object("a", 1))).unwrap();
    let files = removal(&site, &mut actuator, &mut stored, 0, 5);
    assert_eq!(files[0].as_deref(), Some(content::EMPTIED));
    assert_eq!(files[4], None);
}

#[test]
fn k3s_keeps_the_empty_file_while_the_operator_switched_it_off() {
    let site = Site::new(Flavour::K3s);
    let (mut actuator, mut stored) = (site.actuator(), Inventory::default());
    let _ = pass(&mut actuator, &mut stored, &[object("a", 1)], seconds(0));
    let skip = site.file(&object("a", 1)).with_extension("yaml.skip");
    fs::write(&skip, "").unwrap();
    assert!(removal(&site, &mut actuator, &mut stored, 0, 9).iter().all(Option::is_some));
    assert!(skip.exists());
    fs::remove_file(&skip).unwrap();
    assert_eq!(removal(&site, &mut actuator, &mut stored, 1_000, 4)[3], None);
}

#[test]
fn an_object_that_is_wanted_again_while_it_leaves_stays() {
    let site = Site::new(Flavour::K3s);
    let (mut actuator, mut stored, desired) = (site.actuator(), Inventory::default(), [object("a", 1)]);
    let _ = pass(&mut actuator, &mut stored, &desired, seconds(0));
    let _ = removal(&site, &mut actuator, &mut stored, 0, 2);
    let outcome = pass(&mut actuator, &mut stored, &desired, seconds(30));
    assert_eq!(outcome.done.iter().map(|done| done.cause).collect::<Vec<_>>(), [Some(Cause::New)]);
    for minute in 1..4 {
        assert!(pass(&mut actuator, &mut stored, &desired, seconds(60 * minute)).done.is_empty());
    }
    assert!(site.file(&desired[0]).exists());
}

fn failures(outcome: &Outcome) -> String {
    outcome.failed.iter().map(|failure| failure.error.to_string()).collect()
}

#[test]
fn a_folder_without_a_parent_is_not_made() {
    let site = Site::new(Flavour::Plain);
    let mut actuator = Directory::new(site.folder().join("a/b"), Flavour::Plain);
    let error = actuator.observe(&Inventory::default(), seconds(0)).unwrap_err();
    let ObserveError::Directory(DirectoryError::ParentMissing { missing, .. }) = &error else { panic!("{error}") };
    assert_eq!(*missing, site.folder());
    assert!(error.to_string().contains("--target") && !site.folder().exists());
}

#[test]
fn a_folder_that_is_a_link_to_nowhere_is_named() {
    let site = Site::new(Flavour::Plain);
    symlink("gone", site.folder()).unwrap();
    let error = site.actuator().observe(&Inventory::default(), seconds(0)).unwrap_err();
    assert!(matches!(error, ObserveError::Directory(DirectoryError::ParentMissing { .. })), "{error}");
}

#[test]
fn a_folder_that_became_a_file_stops_the_pass() {
    let site = Site::new(Flavour::Plain);
    let (mut actuator, stored) = (site.actuator(), Inventory::default());
    let desired = [object("a", 1), object("b", 1)];
    let seen = actuator.observe(&stored, seconds(0)).unwrap();
    let plan = plan(&desired, &stored, &seen, |object| actuator.intent(object)).unwrap();
    fs::write(site.folder(), "a file").unwrap();
    let outcome = plan.record(|_| Ok::<_, ()>(())).unwrap().apply(&mut actuator, &no_witness());
    assert!(failures(&outcome).contains("is not a directory"), "{}", failures(&outcome));
    assert_eq!((outcome.done.len(), outcome.failed.len(), outcome.put_off), (0, 1, 1));
    assert_eq!(outcome.inventory.0.len(), 2, "what may have been written stays named");

    for path in [site.folder(), site.folder().join("below")] {
        let error = Directory::new(path, Flavour::Plain).observe(&stored, seconds(0)).unwrap_err();
        let ObserveError::Directory(DirectoryError::NotADirectory { file, .. }) = &error else { panic!("{error}") };
        assert_eq!(*file, site.folder());
    }
}

#[test]
fn a_directory_in_place_of_a_file_fails_alone_and_puts_off_removals() {
    let site = Site::new(Flavour::Plain);
    let (mut actuator, mut stored) = (site.actuator(), Inventory::default());
    let _ = pass(&mut actuator, &mut stored, &[object("old", 1)], seconds(0));
    fs::create_dir(site.file(&object("a", 1))).unwrap();
    let desired = [object("a", 1), object("b", 1)];
    let outcome = pass(&mut actuator, &mut stored, &desired, seconds(0));
    assert!(failures(&outcome).contains("move it away"));
    assert!(site.file(&desired[1]).exists() && site.file(&object("old", 1)).exists());
    assert_eq!(fs::read_dir(site.folder()).unwrap().count(), 3, "no half-written file is left");

    fs::remove_dir(site.file(&desired[0])).unwrap();
    assert!(pass(&mut actuator, &mut stored, &desired, seconds(0)).is_complete());
    assert!(site.file(&desired[0]).exists() && !site.file(&object("old", 1)).exists());
}

#[test]
fn an_object_that_grew_too_large_leaves_the_old_file() {
    let site = Site::new(Flavour::Plain);
    let (mut actuator, mut stored) = (site.actuator(), Inventory::default());
    let _ = pass(&mut actuator, &mut stored, &[object("a", 1)], seconds(0));
    let before = fs::read(site.file(&object("a", 1))).unwrap();
    let mut large = object("a", 1);
    large.manifest["data"]["value"] = "x".repeat(TARGET_FILE_BYTES_MAX).into();
    let outcome = pass(&mut actuator, &mut stored, &[DesiredObject::new(large.key, large.manifest)], seconds(0));
    assert!(failures(&outcome).contains("make the object smaller"));
    assert_eq!(fs::read(site.file(&object("a", 1))).unwrap(), before);
}

#[test]
fn a_damaged_inventory_cannot_reach_another_file() {
    for flavour in [Flavour::Plain, Flavour::K3s] {
        let site = Site::new(flavour);
        let victim = site.scratch.path().join("victim.yaml");
        fs::write(&victim, "mine").unwrap();
        let entry = Entry {
            place: "../victim.yaml".to_owned(),
            stage: Stage::Workload,
            object: Digest::of(b""),
            content: Digest::of(b""),
            state: State::Held,
        };
        let mut stored = Inventory([("k".to_owned(), entry)].into());
        let outcome = pass(&mut site.actuator(), &mut stored, &[], seconds(0));
        assert!(failures(&outcome).contains("not touched"));
        assert_eq!(fs::read(&victim).unwrap(), b"mine");
    }
}
