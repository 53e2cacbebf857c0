//! One member of a rehearsal: its folders, and the process on them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sync_core::id::NodeId;

use super::LiveError;
use super::owners::Owners;
use crate::commands::HUB_READY;
use crate::plan::Name;
use crate::process::{Process, ProcessError, Spec};

/// The line with which an agent says that it runs.
const EDGE_READY: &str = "running";

/// How long a process may take to say that it runs. A busy machine needs most of it.
const START_WITHIN: Duration = Duration::from_secs(15);

/// How long a process gets to end by itself before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// What a program writes when it panics.
const PANICKED: &str = "panicked at";

/// A hub or a node. Dropping it kills its process.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: Name,
    pub(super) is_hub: bool,
    pub(super) data: PathBuf,
    /// Where an agent writes its objects.
    pub(super) target: PathBuf,
    pub(super) id: Option<NodeId>,
    pub(super) boots: u32,
    pub(super) is_paused: bool,
    spec: Spec,
    process: Option<Process>,
    owners: Owners,
}

impl Member {
    /// A member that is off. `spec` starts it.
    pub(super) fn new(name: Name, is_hub: bool, data: PathBuf, target: PathBuf, spec: Spec, owners: Owners) -> Self {
        Self { name, is_hub, data, target, id: None, boots: 0, is_paused: false, spec, process: None, owners }
    }

    /// Whether its process is there, standing still or not.
    pub(super) fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// Whether it would answer.
    pub(super) fn answers(&self) -> bool {
        self.is_up() && !self.is_paused
    }

    /// Starts it, and waits until it says that it runs.
    pub(super) async fn start(&mut self) -> Result<(), LiveError> {
        let mut process = Process::start(self.spec.clone())?;
        self.owners.add(process.id(), &self.name);
        self.boots += 1;
        let ready = if self.is_hub { HUB_READY } else { EDGE_READY };
        process.line(ready, START_WITHIN).await?;
        (self.process, self.is_paused) = (Some(process), false);
        Ok(())
    }

    /// Kills it. What it said of a panic before.
    pub(super) async fn kill(&mut self) -> Result<Option<String>, LiveError> {
        let Some(mut process) = self.process.take() else { return Ok(None) };
        self.owners.remove(process.id());
        process.kill().await?;
        Ok(panic_of(&process))
    }

    /// Asks it to end. What it said of a panic.
    pub(super) async fn stop(&mut self) -> Result<Option<String>, LiveError> {
        self.resume().await?;
        let Some(mut process) = self.process.take() else { return Ok(None) };
        self.owners.remove(process.id());
        process.stop(STOP_WITHIN).await?;
        Ok(panic_of(&process))
    }

    /// Has it stand still; whether it runs.
    pub(super) async fn pause(&mut self) -> Result<bool, LiveError> {
        if let Some(process) = self.process.as_mut().filter(|_| !self.is_paused) {
            process.signal("STOP").await?;
            self.is_paused = true;
            return Ok(true);
        }
        Ok(false)
    }

    /// Has it go on.
    pub(super) async fn resume(&mut self) -> Result<(), LiveError> {
        if let Some(process) = self.process.as_mut().filter(|_| self.is_paused) {
            process.signal("CONT").await?;
        }
        self.is_paused = false;
        Ok(())
    }

    /// Why it has ended by itself, once.
    pub(super) fn ended(&mut self) -> Option<ProcessError> {
        let process = self.process.as_mut()?;
        let status = process.ended()?;
        let error = process.ended_before(status, "it was told to".to_owned());
        self.owners.remove(process.id());
        self.process = None;
        Some(error)
    }

    /// What it said of a panic, if it still runs.
    pub(super) fn panicked(&self) -> Option<String> {
        self.process.as_ref().and_then(panic_of)
    }

    /// Copies its files as they are at one moment: its process stands still for it, as in a loss of power.
    pub(super) async fn copy_to(&mut self, folder: &Path) -> Result<(), LiveError> {
        let has_paused = self.pause().await?;
        let copied = copy_files(&self.data, folder);
        if has_paused {
            self.resume().await?;
        }
        copied.map_err(LiveError::system(format!("copy {}", self.data.display())))
    }

    /// Puts the files of `folder` in place of its own, while it is off.
    pub(super) fn set_files(&self, folder: &Path) -> Result<(), LiveError> {
        let set = || -> io::Result<()> {
            fs::remove_dir_all(&self.data)?;
            copy_files(folder, &self.data)
        };
        set().map_err(LiveError::system(format!("set {} back", self.data.display())))
    }
}

fn panic_of(process: &Process) -> Option<String> {
    let output = process.output();
    let mut lines = output.lines().skip_while(|line| !line.contains(PANICKED));
    let first = lines.next()?;
    Some(lines.next().map_or_else(|| first.to_owned(), |next| format!("{first} {next}")))
}

/// Copies plain files: no sockets, and not SQLite's index of the log, which belongs to the processes that have it open.
fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let is_index = entry.file_name().as_encoded_bytes().ends_with(b"-shm");
        if entry.file_type()?.is_file() && !is_index {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(folder: &Path, script: &str) -> Member {
        let spec = Spec {
            name: "shell".to_owned(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: Vec::new(),
            log: folder.join("shell.log"),
        };
        let data = folder.join("data");
        fs::create_dir_all(&data).unwrap();
        Member::new(Name::from("a"), false, data, folder.join("target"), spec, Owners::default())
    }

    #[tokio::test]
    async fn files_are_copied_while_the_process_stands_still_and_can_be_set_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut member = shell(folder.path(), "echo running; cat");
        for (name, text) in [("archipel.db", "old"), ("archipel.db-wal", "log"), ("archipel.db-shm", "index")] {
            fs::write(member.data.join(name), text).unwrap();
        }
        member.start().await.unwrap();
        let copy = folder.path().join("copy");
        member.copy_to(&copy).await.unwrap();
        assert!(member.answers());
        fs::write(member.data.join("archipel.db"), "new").unwrap();
        fs::write(member.data.join("other"), "new").unwrap();
        assert_eq!(member.kill().await.unwrap(), None);
        member.set_files(&copy).unwrap();
        assert_eq!(fs::read_to_string(member.data.join("archipel.db")).unwrap(), "old");
        let names: Vec<_> = fs::read_dir(&member.data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }

    #[tokio::test]
    async fn a_process_that_stands_still_can_be_killed_and_one_that_ended_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let mut member = shell(folder.path(), "echo running; cat");
        member.start().await.unwrap();
        assert!(member.pause().await.unwrap() && !member.answers());
        member.kill().await.unwrap();
        assert!(!member.is_up());

        let mut member = shell(folder.path(), "echo running; echo thread x panicked at a.rs; echo why; read line");
        member.start().await.unwrap();
        crate::process::until("its words", Duration::from_secs(10), async || {
            member.panicked().ok_or_else(|| "none".to_owned())
        })
        .await
        .unwrap();
        assert_eq!(member.stop().await.unwrap().unwrap(), "thread x panicked at a.rs why");

        let mut member = shell(folder.path(), "echo running; exit 3");
        member.start().await.unwrap();
        let why = crate::process::until("its end", Duration::from_secs(10), async || {
            member.ended().ok_or_else(|| "it runs".to_owned())
        });
        assert!(why.await.unwrap().to_string().contains("exit status: 3"));
    }

    #[test]
    fn a_panic_ends_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let number = std::sync::Mutex::new(None);
        let play = || {
            runtime.block_on(async {
                let mut member = shell(folder.path(), "echo running; cat");
                member.start().await.unwrap();
                *number.lock().unwrap() = member.process.as_ref().and_then(Process::id);
                member.pause().await.unwrap();
                std::panic::resume_unwind(Box::new("as it should"));
            });
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(play)).is_err());
        let number = number.lock().unwrap().unwrap();
        // A process that was killed and not waited for yet has no command line any more.
        let gone = crate::process::until("it to be gone", Duration::from_secs(10), async || {
            let line = fs::read_to_string(format!("/proc/{number}/cmdline")).unwrap_or_default();
            if line.is_empty() { Ok(()) } else { Err(line) }
        });
        runtime.block_on(gone).unwrap();
    }
}
