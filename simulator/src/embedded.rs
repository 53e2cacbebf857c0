//! The hub and the agent inside this binary: hidden subcommands, crash points, and the tie to the parent process.

use std::ffi::OsString;
use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sync_core::env::{CrashPoint, Witness, no_witness};

/// The variable that asks a child to end itself: `POINT:N`, at the `N`th passing (from 1) of the crash point `POINT`.
pub const CRASH_VARIABLE: &str = "ARCHIPEL_SIM_CRASH";

/// The variable that ties a child to its parent: while it is set, the end of standard input ends the child.
pub const TIED_VARIABLE: &str = "ARCHIPEL_SIM_TIED";

/// Runs the hub's command line. `arguments` are those after the program's name.
#[must_use]
pub fn hub(arguments: Vec<OsString>) -> ExitCode {
    start("archipel-hub", arguments, hub::cli::run_cli_with)
}

/// Runs the agent's command line. `arguments` are those after the program's name.
#[must_use]
pub fn edge(arguments: Vec<OsString>) -> ExitCode {
    start("archipel-edge", arguments, edge_node::cli::run_cli_with)
}

fn start(program: &str, arguments: Vec<OsString>, run: impl FnOnce(Vec<OsString>, Witness) -> ExitCode) -> ExitCode {
    end_when_tied();
    let witness = match std::env::var(CRASH_VARIABLE) {
        Err(_) => no_witness(),
        Ok(text) => match parse_crash(&text) {
            Ok((point, passing)) => crash_at(point, passing),
            Err(problem) => {
                eprintln!("{program}: {problem}");
                return ExitCode::from(2);
            }
        },
    };
    run(std::iter::once(OsString::from(program)).chain(arguments).collect(), witness)
}

/// Reads `POINT:N`.
///
/// # Errors
/// Says what is wrong with `text` and what would be right.
pub fn parse_crash(text: &str) -> Result<(CrashPoint, u64), String> {
    let wrong = |problem: &str| {
        let names = CrashPoint::ALL.map(CrashPoint::name).join(", ");
        format!("{CRASH_VARIABLE}=`{text}`: {problem}; write POINT:N with N from 1 and POINT one of {names}")
    };
    let (name, passing) = text.split_once(':').ok_or_else(|| wrong("no `:`"))?;
    let point = CrashPoint::ALL.into_iter().find(|point| point.name() == name).ok_or_else(|| wrong("unknown point"))?;
    match passing.parse() {
        Ok(passing) if passing > 0 => Ok((point, passing)),
        Ok(_) | Err(_) => Err(wrong("no number from 1")),
    }
}

/// A witness that ends this process at the `passing`th time that `point` passes.
///
/// The end is an abort: like SIGKILL it runs no destructor and flushes nothing, but it takes effect before the next
/// instruction of any thread of ours, and its signal (SIGABRT) tells it apart from a kill that came from outside.
#[must_use]
pub fn crash_at(point: CrashPoint, passing: u64) -> Witness {
    let passed = AtomicU64::new(0);
    Arc::new(move |at| {
        if at == point && passed.fetch_add(1, Ordering::Relaxed) + 1 == passing {
            eprintln!("{}", crash_line(point));
            std::process::abort();
        }
    })
}

/// What a process writes to standard error right before it ends itself at `point`.
#[must_use]
pub fn crash_line(point: CrashPoint) -> String {
    format!("crash point {} reached", point.name())
}

/// Ties this process to its parent when that asked for it.
pub(crate) fn end_when_tied() {
    if std::env::var_os(TIED_VARIABLE).is_some() {
        end_with_standard_input();
    }
}

/// Ends this process when its standard input ends, which happens when the parent dies, however it dies.
fn end_with_standard_input() {
    std::thread::spawn(|| {
        let mut input = std::io::stdin().lock();
        let mut bytes = [0; 64];
        while matches!(input.read(&mut bytes), Ok(1..)) {}
        std::process::exit(1);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crash_point_can_be_asked_for() {
        for point in CrashPoint::ALL {
            assert_eq!(parse_crash(&format!("{}:3", point.name())), Ok((point, 3)));
        }
    }

    #[test]
    fn a_wrong_crash_point_is_explained() {
        for text in ["", "before-send", "before-send:0", "before-send:x", "nowhere:1"] {
            let problem = parse_crash(text).unwrap_err();
            assert!(problem.contains("write-before-commit"), "{problem}");
        }
    }
}
