//! Work with a bound on waiting: a thread that is stuck fails its test and says at what, instead of hanging it.
//!
//! Include it from an integration test with `#[path = "crafted/waiting.rs"] mod waiting;`.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Ten times what the slowest of these tests takes on a busy machine of two cores.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a thread is at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<String>>);

impl Progress {
    pub(crate) fn at(&self, what: &str) {
        what.clone_into(&mut self.0.lock().unwrap());
    }
}

/// Runs `work` in a thread of its own and fails when it does not come back.
pub(crate) fn in_time<T: Send + 'static>(work: impl FnOnce(&Progress) -> T + Send + 'static) -> T {
    let progress = Progress::default();
    let (told, come_back) = channel();
    let for_thread = progress.clone();
    #[expect(clippy::disallowed_methods, reason = "a thread that is stuck has to be watched from another one")]
    let thread = std::thread::spawn(move || {
        let value = work(&for_thread);
        // Whoever waits has given up when this fails.
        drop(told.send(value));
    });
    match come_back.recv_timeout(PATIENCE) {
        Ok(value) => value,
        Err(RecvTimeoutError::Timeout) => {
            let what = progress.0.lock().unwrap().clone();
            panic!("a thread is stuck for {PATIENCE:?} at: {what}")
        }
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("the thread sends before it ends"),
        },
    }
}

/// Whether the ignored test of this name, in a process of its own, is still at it after `wait`. It is ended then.
pub(crate) fn hangs(test: &str, wait: Duration) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", test])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    let (told, ended) = channel();
    #[expect(clippy::disallowed_methods, reason = "the end of another process has to be waited for with a bound")]
    std::thread::spawn(move || {
        let mut text = String::new();
        // The output ends with the process.
        drop(std::io::Read::read_to_string(&mut output, &mut text));
        drop(told.send(text));
    });
    let output = ended.recv_timeout(wait);
    child.kill().unwrap();
    child.wait().unwrap();
    if let Ok(text) = &output {
        assert!(text.contains("running 1 test"), "there is no ignored test `{test}`:\n{text}");
    }
    output.is_err()
}
