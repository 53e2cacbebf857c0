//! Runs the walk-through of README.md as it stands and compares what it prints with what the page says.
//!
//! The `sh` blocks of the section "By hand" go to one shell, in order; the `text` block after one is what it must print.
//! A block that only looks is repeated until it shows that. `…` matches the rest of a line, alone any number of lines;
//! ages and ids match each other.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it meets what it does not expect")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// One block may take this long; the longest waits for an agent that dials again.
const WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Commands that change nothing, and so may be repeated.
const LOOKING: [&str; 5] = ["archipel-hub nodes", "archipel-hub node show", "archipel-edge status", "cat ", "grep "];

const END: &str = "the block has ended";

#[derive(Debug)]
struct Step {
    line: usize,
    commands: String,
    expected: Option<String>,
}

impl Step {
    fn only_looks(&self) -> bool {
        self.commands.lines().all(|line| LOOKING.iter().any(|command| line.starts_with(command)))
    }
}

#[test]
fn the_walk_through_of_the_readme_does_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("README.md")).unwrap();
    let work = tempfile::Builder::new().prefix("archipel-readme-").tempdir().unwrap();
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let demo = work.path().join("demo");
    // The page's own folder and port may be in use by whoever reads it.
    let page =
        page.replace("/tmp/archipel-demo", demo.to_str().unwrap()).replace("127.0.0.1:7440", &address.to_string());
    let steps = steps(&page);
    assert!(steps.len() > 15, "only {} blocks of the walk-through were found", steps.len());

    let mut shell = Shell::start(root, &programs(work.path()));
    for step in &steps {
        let deadline = Instant::now() + WITHIN;
        loop {
            let printed = shell.run(&step.commands);
            let Some(expected) = &step.expected else { break };
            if matches(expected, &printed) {
                break;
            }
            assert!(
                step.only_looks() && Instant::now() < deadline,
                "README.md, line {}:\n{}printed\n{printed}\nwhere the page says\n{expected}",
                step.line,
                step.commands,
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }
    assert!(!demo.exists(), "the walk-through did not clear up");
}

/// The blocks of the walk-through, but for the one that builds.
fn steps(page: &str) -> Vec<Step> {
    let section = page.find("\n## By hand").expect("README.md has the section `By hand`");
    let first = page[..section].lines().count() + 1;
    let section = &page[section + 1..];
    let section = &section[..section[3..].find("\n## ").map_or(section.len(), |end| end + 3)];
    let mut steps: Vec<Step> = Vec::new();
    let mut fence: Option<(&str, usize, String)> = None;
    for (number, line) in section.lines().enumerate() {
        match (&mut fence, line.strip_prefix("```")) {
            (None, Some(kind)) => fence = Some((kind, first + number, String::new())),
            (Some((_, _, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (Some(_), Some(_)) => match fence.take() {
                Some(("sh", line, commands)) => steps.push(Step { line, commands, expected: None }),
                Some(("text", line, text)) => {
                    let step = steps.last_mut().filter(|step| step.expected.is_none());
                    step.unwrap_or_else(|| panic!("README.md, line {line}: no commands before this output")).expected =
                        Some(text);
                }
                other => panic!("README.md: {other:?} is neither `sh` nor `text`"),
            },
            (None, None) => {}
        }
    }
    steps.retain(|step| !step.commands.contains("cargo "));
    steps
}

/// A folder with `archipel-hub` and `archipel-edge`, which hand on to the simulator's binary.
fn programs(work: &Path) -> String {
    let folder = work.join("programs");
    fs::create_dir(&folder).unwrap();
    for role in ["hub", "edge"] {
        let path = folder.join(format!("archipel-{role}"));
        let program = env!("CARGO_BIN_EXE_archipel-sim");
        fs::write(&path, format!("#!/bin/sh\nexec '{program}' {role} \"$@\"\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder.to_str().unwrap().to_owned()
}

/// A shell in a process group of its own, which ends with it.
struct Shell {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Shell {
    fn start(folder: &Path, programs: &str) -> Self {
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
        let mut child = Command::new("sh")
            .current_dir(folder)
            .env("PATH", path)
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"exec 2>&1\n").unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                if line.map(|line| sender.send(line)).is_err() {
                    break;
                }
            }
        });
        Self { child, input, lines }
    }

    fn run(&mut self, commands: &str) -> String {
        self.input.write_all(format!("{commands}\necho '{END}'\n").as_bytes()).unwrap();
        let mut printed = String::new();
        loop {
            let line = self.lines.recv_timeout(WITHIN);
            let line = line.unwrap_or_else(|_| panic!("the shell hangs at\n{commands}after\n{printed}"));
            if line == END {
                return printed;
            }
            printed.push_str(&line);
            printed.push('\n');
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The shell has not been waited for, so its id, and the group's, are still ours.
        let group = self.child.id().to_string();
        let _ = Command::new("sh").args(["-c", "kill -9 \"-$1\"", "sh", &group]).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn matches(expected: &str, printed: &str) -> bool {
    let words = |text: &str| text.lines().map(words_of).collect::<Vec<_>>();
    lines_match(&words(expected), &words(printed))
}

fn lines_match(expected: &[Vec<String>], printed: &[Vec<String>]) -> bool {
    match (expected.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((line, rest)), _) if line.len() == 1 && line[0] == "…" => {
            (0..=printed.len()).any(|skipped| lines_match(rest, &printed[skipped..]))
        }
        (Some((line, rest)), Some((other, others))) => line_matches(line, other) && lines_match(rest, others),
        _ => false,
    }
}

fn line_matches(expected: &[String], printed: &[String]) -> bool {
    match expected.split_last() {
        Some((last, before)) if last.ends_with('…') => {
            let last = last.trim_end_matches('…');
            printed.starts_with(before)
                && (last.is_empty() || printed.get(before.len()).is_some_and(|word| word.starts_with(last)))
        }
        _ => expected == printed,
    }
}

/// A line's words; ages and ids, which differ from run to run, each have one form.
fn words_of(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let bare = word.trim_matches(['(', ')', ',']);
        let is_id = [8, 64].contains(&bare.len()) && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        if word == "ago" {
            words.pop();
        }
        match (word, is_id) {
            ("ago" | "now", _) => words.push("AGE".to_owned()),
            (_, true) => words.push(word.replace(bare, "ID")),
            _ => words.push(word.to_owned()),
        }
    }
    words
}

#[test]
fn what_differs_from_run_to_run_matches_and_nothing_else() {
    assert!(matches("shop-1  up  2s ago", "shop-1 up   now"));
    assert!(matches("node (0e3f8bfd)\n…\nend", "node (b06de7e2)\na\nb\nend"));
    assert!(matches("payload …", "payload 4.1 KiB in") && matches("link down (…", "link down (the hub stops)"));
    assert!(!matches("shop-1 up", "shop-1 down") && !matches("a\n…\nb", "a\nc") && !matches("", "error"));
}
