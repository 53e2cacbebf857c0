//! Child processes: start, wait for a condition, kill, restart. All of them end with this program.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use tokio::process::{Child, ChildStdin, Command};
use tokio::time::Instant;

use crate::embedded::TIED_VARIABLE;

/// How often a condition is looked at. Short against every deadline, long against the cost of a look.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// Bytes at the end of a log that an error quotes.
const LOG_QUOTE_BYTES: u64 = 2000;

/// What to run, and where its output goes.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The name used in messages.
    pub name: String,
    /// The program's file.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables added to the environment.
    pub environment: Vec<(String, String)>,
    /// The file that standard output and standard error are appended to.
    pub log: PathBuf,
}

/// Why a process did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The operating system refused. Nothing runs.
    #[error("{name}: cannot {what}: {source}")]
    System {
        /// The process.
        name: String,
        /// What was tried.
        what: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The process ended by itself.
    #[error("{name} ended ({status}) before {what}; the end of its log {log}:\n{quote}")]
    Ended {
        /// The process.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// What was waited for.
        what: String,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        quote: String,
    },
    /// The deadline passed. What was waited for may still happen.
    #[error("waited {within:?} for {what}, in vain{detail}")]
    Late {
        /// What was waited for.
        what: String,
        /// The deadline.
        within: Duration,
        /// What was seen instead; empty, or begins with a separator.
        detail: String,
    },
}

/// One child. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    spec: Spec,
    child: Child,
    /// Held open as long as the child may run. Taken out of `child`, which would close it as soon as one waits.
    _input: Option<ChildStdin>,
    /// The log's length when this child started: earlier lines are another child's.
    log_start: u64,
}

impl Process {
    /// Starts the program.
    ///
    /// Its standard input is a pipe that this program holds and never writes to, so the child sees an end of file when
    /// this program dies, even by SIGKILL.
    ///
    /// # Errors
    /// [`ProcessError::System`] when the log or the program cannot be opened.
    pub fn start(spec: Spec) -> Result<Self, ProcessError> {
        let failed = |what| {
            let name = spec.name.clone();
            move |source| ProcessError::System { name, what, source }
        };
        let log = OpenOptions::new().create(true).append(true).open(&spec.log).map_err(failed("open its log"))?;
        let log_start = log.metadata().map_err(failed("read its log"))?.len();
        let second = log.try_clone().map_err(failed("open its log"))?;
        let mut child = Command::new(&spec.program)
            .args(&spec.arguments)
            .env(TIED_VARIABLE, "1")
            .envs(spec.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(second)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed("start it"))?;
        let input = child.stdin.take();
        Ok(Self { spec, child, _input: input, log_start })
    }

    /// What this process runs.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The child's process id; `None` once it was waited for.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// What the child has written so far; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn output(&self) -> String {
        read_from(&self.spec.log, SeekFrom::Start(self.log_start))
    }

    /// How the child ended; `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until the child has written a whole line that begins with `prefix`, and returns the rest of that line.
    ///
    /// # Errors
    /// [`ProcessError::Ended`] when it ends first, [`ProcessError::Late`] when the deadline passes.
    pub async fn line(&mut self, prefix: &str, within: Duration) -> Result<String, ProcessError> {
        let deadline = Instant::now() + within;
        loop {
            // Asked before the log is read: a child that wrote the line and ended has its line found.
            let status = self.ended();
            if let Some(rest) = find_line(&self.output(), prefix) {
                return Ok(rest);
            }
            let what = format!("a line `{prefix}…` from {}", self.spec.name);
            if let Some(status) = status {
                return Err(self.ended_before(status, what));
            }
            if Instant::now() >= deadline {
                let detail = format!("; its log is {}", self.spec.log.display());
                return Err(ProcessError::Late { what, within, detail });
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// The error for a child that ended before `what` happened.
    #[must_use]
    pub fn ended_before(&self, status: ExitStatus, what: String) -> ProcessError {
        ProcessError::Ended {
            name: self.spec.name.clone(),
            status,
            what,
            log: self.spec.log.clone(),
            quote: quote(&self.spec.log),
        }
    }

    /// Waits until the child ends; `None` when it still runs after `within`.
    pub async fn end(&mut self, within: Duration) -> Option<ExitStatus> {
        tokio::time::timeout(within, self.child.wait()).await.ok()?.ok()
    }

    /// Kills the child (SIGKILL) and waits until it is gone. Returns how it ended: by this kill, or earlier by itself.
    ///
    /// # Errors
    /// [`ProcessError::System`] when the operating system refuses.
    pub async fn kill(&mut self) -> Result<ExitStatus, ProcessError> {
        // An error here means that the child has ended already; the wait below tells how.
        let _ = self.child.start_kill();
        self.child.wait().await.map_err(|source| ProcessError::System {
            name: self.spec.name.clone(),
            what: "wait for its end",
            source,
        })
    }

    /// Asks the child to end (SIGTERM), and kills it when it has not within `within`.
    ///
    /// # Errors
    /// [`ProcessError::System`] when the operating system refuses.
    pub async fn stop(&mut self, within: Duration) -> Result<ExitStatus, ProcessError> {
        if self.signal("TERM").await?
            && let Some(status) = self.end(within).await
        {
            return Ok(status);
        }
        self.kill().await
    }

    /// Sends the child a signal, by its name without `SIG`. Whether it still ran.
    ///
    /// # Errors
    /// [`ProcessError::System`] when the operating system refuses.
    pub async fn signal(&mut self, signal: &str) -> Result<bool, ProcessError> {
        let (None, Some(id)) = (self.ended(), self.child.id()) else { return Ok(false) };
        // The id stays ours until the child is waited for. The shell's own `kill` needs no unsafe code here.
        let script = ["-c", "kill -s \"$1\" \"$2\"", "sh", signal];
        let sent = Command::new("sh").args(script).arg(id.to_string()).status().await;
        let sent = sent.map_err(|source| ProcessError::System {
            name: self.spec.name.clone(),
            what: "send it a signal",
            source,
        })?;
        Ok(sent.success())
    }

    /// Kills the child if it runs and starts `spec` in its place.
    ///
    /// # Errors
    /// [`ProcessError::System`] when the operating system refuses.
    pub async fn restart(&mut self, spec: Spec) -> Result<(), ProcessError> {
        self.kill().await?;
        *self = Self::start(spec)?;
        Ok(())
    }
}

/// Runs a program to its end and returns what it wrote. It is killed when the deadline passes.
///
/// # Errors
/// [`ProcessError::System`] when it cannot be started, [`ProcessError::Late`] when the deadline passes. A program that
/// ends with an error code is not an error here.
pub async fn run_to_end(spec: &Spec, within: Duration) -> Result<Output, ProcessError> {
    let output = Command::new(&spec.program)
        .args(&spec.arguments)
        .envs(spec.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(within, output).await {
        Ok(output) => output.map_err(|source| ProcessError::System { name: spec.name.clone(), what: "run it", source }),
        Err(_) => Err(ProcessError::Late {
            what: format!("`{}` to end", spec.name),
            within,
            detail: "; it was killed".to_owned(),
        }),
    }
}

/// Looks at a condition until it holds. `probe` returns what it waited for, or `Err` with what it saw instead.
///
/// # Errors
/// [`ProcessError::Late`] when the deadline passes, with what the last look saw.
pub async fn until<T>(
    what: &str,
    within: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, ProcessError> {
    let deadline = Instant::now() + within;
    loop {
        match probe().await {
            Ok(found) => return Ok(found),
            Err(seen) if Instant::now() >= deadline => {
                return Err(ProcessError::Late {
                    what: what.to_owned(),
                    within,
                    detail: format!("; last seen: {seen}"),
                });
            }
            Err(_) => tokio::time::sleep(POLL_EVERY).await,
        }
    }
}

/// The last lines of a log, for an error message.
fn quote(log: &Path) -> String {
    let length = std::fs::metadata(log).map_or(0, |about| about.len());
    read_from(log, SeekFrom::Start(length.saturating_sub(LOG_QUOTE_BYTES))).trim_end().to_owned()
}

fn read_from(path: &Path, from: SeekFrom) -> String {
    let mut bytes = Vec::new();
    // A log that cannot be read is an empty one: what waits on it runs into its deadline.
    let _ = File::open(path).and_then(|mut file| {
        file.seek(from)?;
        file.read_to_end(&mut bytes)
    });
    String::from_utf8_lossy(&bytes).into_owned()
}

fn find_line(text: &str, prefix: &str) -> Option<String> {
    let whole_lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    whole_lines.filter_map(|line| line.strip_prefix(prefix)).next().map(|rest| rest.trim().to_owned())
}

#[cfg(test)]
mod tests;
