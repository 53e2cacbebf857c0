//! The house rules that a program can check. Each violation says what to write instead.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const CRATES: [&str; 4] = ["sync-core", "edge-node", "hub", "simulator"];
const LINES_MAX: usize = 500;
const MAIN_LINES_MAX: usize = 60;

/// A text file of the repository, with its path from the root.
struct Text {
    path: String,
    text: String,
}

impl Text {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn is_generated(&self) -> bool {
        self.text.lines().take(3).any(|line| line.contains("@generated"))
    }

    /// Whether the whole file is compiled for unit tests only.
    fn is_unit_test(&self) -> bool {
        self.path.contains("/src/") && (self.path.ends_with("/tests.rs") || self.path.contains("/tests/"))
    }

    fn stem(&self) -> &str {
        Path::new(&self.path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
    }

    /// The code before the unit tests, without comments.
    fn code(&self) -> String {
        let lines = self.text.lines().take_while(|line| *line != "#[cfg(test)]");
        lines.map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
    }
}

type Rule = fn(&Text) -> Vec<String>;

/// The rules that look at one file at a time.
const RULES: [(&str, Rule); 8] = [
    ("first line", first_line),
    ("names", names),
    ("length", length),
    ("marks", marks),
    ("machine", machine),
    ("directions", directions),
    ("links", links),
    ("unsafe", outside_the_shim),
];

#[test]
fn every_file_keeps_the_house_rules() {
    let texts = texts();
    assert!(texts.iter().filter(|text| text.is_rust()).count() > 20, "the files were not found");
    let all = texts.iter().flat_map(|text| {
        RULES.iter().flat_map(move |(rule, check)| check(text).into_iter().map(move |what| (rule, &text.path, what)))
    });
    report(all.map(|(rule, path, what)| format!("{path}: [{rule}] {what}")).collect());
}

fn first_line(text: &Text) -> Vec<String> {
    let good = !text.is_rust() || text.is_generated() || text.text.starts_with("//! ");
    if good { Vec::new() } else { vec!["make the first line `//! ` and the file's one job".to_owned()] }
}

fn names(text: &Text) -> Vec<String> {
    const VAGUE: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "manager", "misc", "shared"];
    if !text.is_rust() {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    if text.path.ends_with("/mod.rs") {
        wrong.push("rename `foo/mod.rs` to `foo.rs` beside the folder `foo`".to_owned());
    }
    let parts = text.path.split('/').map(|part| part.strip_suffix(".rs").unwrap_or(part));
    let code = text.code();
    let modules = code.lines().filter_map(|line| {
        let declared =
            line.trim().split_once("mod ").filter(|(before, _)| before.is_empty() || before.starts_with("pub"));
        declared.map(|(_, name)| name.trim_end_matches([';', '{', '}', ' ']))
    });
    for name in parts.chain(modules).filter(|name| VAGUE.contains(name)).collect::<BTreeSet<_>>() {
        wrong.push(format!("`{name}` says nothing: name it after what it does, or move each part to where it is used"));
    }
    wrong
}

fn length(text: &Text) -> Vec<String> {
    if !text.is_rust() || text.is_generated() || text.is_unit_test() {
        return Vec::new();
    }
    let lines = text.text.lines().take_while(|line| *line != "#[cfg(test)]").count();
    let most = if text.stem() == "main" { MAIN_LINES_MAX } else { LINES_MAX };
    let instead = if text.stem() == "main" { "move code to the library" } else { "split it by job" };
    if lines <= most { Vec::new() } else { vec![format!("{lines} lines without tests, at most {most}: {instead}")] }
}

fn marks(text: &Text) -> Vec<String> {
    // Written apart, so that this file does not contain them.
    let marks = [concat!("FIX", "ME"), concat!("XX", "X")];
    let found = marks.into_iter().filter(|mark| text.text.contains(mark));
    found.map(|mark| format!("`{mark}`: do it now, or say in a sentence what is missing and why")).collect()
}

fn machine(text: &Text) -> Vec<String> {
    let folders = [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];
    let hosts = [
        concat!("index.crates", ".io"),
        concat!("static.crates", ".io"),
        concat!("arti", "factory"),
        concat!("pypi", ".org"),
        concat!("registry.npmjs", ".org"),
        concat!("proxy.golang", ".org"),
    ];
    // `docs/home/x` is no path of a machine: a word or a dot goes before it.
    let starts = |at: usize| !text.text[..at].ends_with(|c: char| c.is_alphanumeric() || "-_.}".contains(c));
    let folders = folders.into_iter().filter(|word| text.text.match_indices(word).any(|(at, _)| starts(at)));
    let hosts = hosts.into_iter().filter(|word| text.text.contains(word));
    let found = folders.map(|word| format!("`{word}` is a path of one machine: use a relative path or a placeholder"));
    found
        .chain(hosts.map(|word| format!("`{word}` names a registry's host: leave it to the user's settings")))
        .collect()
}

/// Who may not name what: a place, what it must not name, and where to go instead. Unit tests may.
fn directions(text: &Text) -> Vec<String> {
    const ENGINE: &str = "sync-core/src/";
    let code = text.code();
    if !text.is_rust() || text.is_unit_test() {
        return Vec::new();
    }
    let mut forbidden: Vec<(&str, &str)> = Vec::new();
    for (place, others) in [
        ("sync-core/", &["edge_node", "hub", "simulator"][..]),
        ("edge-node/", &["hub", "simulator"]),
        ("hub/", &["edge_node", "simulator"]),
    ] {
        if text.path.starts_with(place) {
            forbidden.extend(others.iter().map(|other| (*other, "move what both need down to sync-core")));
        }
    }
    if let Some(inside) = text.path.strip_prefix(ENGINE) {
        let place = inside.split(['/', '.']).next().unwrap_or_default();
        let rules: &[(&str, &str)] = match place {
            "session" => &[
                ("crate::store", "ask for it in an effect; `replica` calls the store"),
                ("rusqlite", "ask for it in an effect; `replica` calls the store"),
            ],
            "store" => &[
                ("crate::session", "return a value; `replica` hands it to the session"),
                ("crate::wire", "store own types; `replica` and `session` translate"),
            ],
            "state" | "document" => &[
                ("crate::store", "take it as an argument: this is a pure layer"),
                ("crate::session", "take it as an argument: this is a pure layer"),
                ("crate::transport", "take it as an argument: this is a pure layer"),
            ],
            _ => &[],
        };
        forbidden.extend(rules);
        if place != "transport" {
            let instead = "time, randomness and bytes are arguments; only `transport` does I/O";
            forbidden.extend([("tokio", instead), ("quinn", instead)]);
        }
    }
    let named = paths(&code);
    let found = forbidden.into_iter().filter(|(path, _)| names_path(&code, &named, path, &text.path));
    found.map(|(path, instead)| format!("names `{path}`: {instead}")).collect()
}

/// Whether code names a path, in a `use` or in line.
fn names_path(code: &str, named: &[String], path: &str, file: &str) -> bool {
    let begins = |name: &str| name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    // In the file of a top-level module, `super` is the crate.
    let top_level = file.matches('/').count() == 2;
    let from_super =
        |name: &str| top_level && name.strip_prefix("super::").is_some_and(|n| begins(&format!("crate::{n}")));
    let in_line = code
        .match_indices(&format!("{path}::"))
        .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'));
    in_line || named.iter().any(|name| begins(name) || from_super(name))
}

/// Every path of the `use` declarations, groups written out.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for statement in code.split(';') {
        let last = statement.rfind("use ").filter(|at| statement[..*at].ends_with([' ', '\n', ')']) || *at == 0);
        if let Some(at) = last {
            write_out("", statement[at + 4..].trim(), &mut found);
        }
    }
    found
}

fn write_out(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let Some((before, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default().trim().trim_start_matches("::");
        return found.push(format!("{prefix}{path}"));
    };
    let prefix = format!("{prefix}{}", before.trim().trim_start_matches("::"));
    let group = group.rsplit_once('}').map_or(group, |(inner, _)| inner);
    let (mut depth, mut start) = (0_usize, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                let part = group[start..at].trim();
                if !part.is_empty() {
                    write_out(&prefix, part, found);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// Relative links of a page, from the page; paths in backticks that begin like a place of ours, from the root.
fn links(text: &Text) -> Vec<String> {
    if !text.path.ends_with(".md") {
        return Vec::new();
    }
    let folder = root().join(&text.path).parent().map(Path::to_owned).unwrap_or_default();
    let mut fenced = false;
    let mut prose = String::new();
    for line in text.text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let relative = targets.filter(|target| !target.contains("://") && !target.starts_with(['#', '<']));
    let mut wrong: Vec<String> = relative
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !folder.join(target).exists())
        .map(|target| format!("the link `{target}` leads nowhere: links are relative to their page"))
        .collect();
    for quoted in prose.split('`').skip(1).step_by(2) {
        let is_path = quoted.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        let first = quoted.split_once('/').map_or("", |(first, _)| first);
        if is_path && (CRATES.contains(&first) || ["docs", ".ci"].contains(&first)) && !root().join(quoted).exists() {
            wrong.push(format!("`{quoted}` does not exist: correct the path from the repository's root"));
        }
    }
    wrong
}

/// The compiler forbids it in every crate but one, and there this does outside the shim.
fn outside_the_shim(text: &Text) -> Vec<String> {
    const SHIM: &str = "simulator/vfs/src/shim";
    // Written apart, so that this file does not contain it.
    let word = concat!("un", "safe ");
    let found = text.is_rust() && !text.path.starts_with(SHIM) && text.code().contains(word);
    if found { vec![format!("`{word}`: only `{SHIM}` calls C; use what it offers")] } else { Vec::new() }
}

#[test]
fn every_crate_keeps_the_workspaces_lints_and_directions() {
    let mut wrong = Vec::new();
    for (name, foreign) in [
        ("sync-core", &["edge-node", "hub", "simulator"][..]),
        ("edge-node", &["hub", "simulator"]),
        ("hub", &["edge-node", "simulator"]),
        ("simulator", &[]),
    ] {
        let text = read(&format!("{name}/Cargo.toml"));
        if !text.contains("[lints]\nworkspace = true") {
            wrong.push(format!("{name}/Cargo.toml: add `[lints]` with `workspace = true`"));
        }
        for dependency in dependencies(&text, |section| section.ends_with("dependencies")) {
            if foreign.contains(&dependency.as_str()) {
                wrong.push(format!("{name}/Cargo.toml: `{dependency}`: move what both need down to sync-core"));
            }
        }
        for line in text.lines().filter(|line| line.contains("version = \"") && !line.starts_with("version")) {
            wrong
                .push(format!("{name}/Cargo.toml: `{line}`: put the version in the root and write `workspace = true`"));
        }
    }
    report(wrong);
}

#[test]
fn every_dependency_has_its_reason() {
    let listed: BTreeSet<String> = read("docs/decisions/dependencies.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_owned()))
        .collect();
    let used: BTreeSet<String> =
        dependencies(&read("Cargo.toml"), |section| section == "workspace.dependencies").into_iter().collect();
    assert!(used.len() > 5, "the dependencies were not found");
    let missing =
        used.difference(&listed).map(|name| format!("dependencies.md: add a line with the reason of `{name}`"));
    let gone = listed.difference(&used).map(|name| format!("dependencies.md: remove `{name}`, nothing uses it"));
    report(missing.chain(gone).collect());
}

fn dependencies(manifest: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[') {
            inside = wanted(section.trim_end_matches(']'));
        } else if inside
            && !line.starts_with('#')
            && let Some((name, _)) = line.split_once(['.', '=', ' '])
        {
            found.push(name.to_owned());
        }
    }
    found
}

#[test]
fn each_rule_finds_what_it_forbids() {
    let long = format!("//! A file.\n{}", "\n".repeat(LINES_MAX));
    let main = format!("//! A file.\n{}", "\n".repeat(MAIN_LINES_MAX));
    let mark = concat!("//! A file.\n// FIX", "ME later\n");
    let path = concat!("See /ho", "me/me/x.\n");
    let block = concat!("//! A file.\nfn f() { un", "safe { g() } }\n");
    for (rule, path, text) in [
        ("first line", "hub/src/a.rs", "use std::io;\n"),
        ("names", "hub/src/a/mod.rs", "//! A file.\n"),
        ("names", "hub/src/utils.rs", "//! A file.\n"),
        ("names", "hub/src/a.rs", "//! A file.\npub(crate) mod common {\n}\n"),
        ("length", "hub/src/a.rs", &long),
        ("length", "hub/src/main.rs", &main),
        ("marks", "hub/src/a.rs", mark),
        ("machine", "docs/a.md", path),
        ("directions", "sync-core/src/session/a.rs", "//! A file.\nuse crate::{id, store::{Log, Row}};\n"),
        ("directions", "sync-core/src/session.rs", "//! A file.\nuse super::store::Log;\n"),
        ("directions", "sync-core/src/state.rs", "//! A file.\nfn f() {\n    crate::store::open();\n}\n"),
        ("directions", "sync-core/src/wire.rs", "//! A file.\nfn f() { tokio::spawn(async {}); }\n"),
        ("directions", "edge-node/src/a.rs", "//! A file.\npub use hub::roster;\n"),
        ("links", "docs/a.md", "See [this](nowhere.md).\n"),
        ("links", "README.md", "See `docs/nowhere.md`.\n"),
        ("unsafe", "simulator/vfs/src/lib.rs", block),
    ] {
        let text = Text { path: path.to_owned(), text: text.to_owned() };
        let found: Vec<_> = RULES.iter().filter(|(_, check)| !check(&text).is_empty()).map(|(name, _)| *name).collect();
        assert_eq!(found, [rule], "{}: {:?}", text.path, text.text.chars().take(60).collect::<String>());
    }
}

#[test]
fn what_is_allowed_is_not_reported() {
    for (path, text) in [
        ("sync-core/src/transport/a.rs", "//! A file.\nuse tokio::net::UdpSocket;\n"),
        ("sync-core/src/replica.rs", "//! A file.\nuse crate::{session, store};\n"),
        ("sync-core/src/wire.rs", "//! A file.\nuse crate::stored::x;\n// Not tokio::spawn.\n"),
        ("sync-core/src/session.rs", "//! A file.\nfn f() {}\n#[cfg(test)]\nmod tests { use crate::store; }\n"),
        ("edge-node/src/a.rs", "//! A file.\nuse crate::hub::Address;\n"),
        ("hub/src/main.rs", "//! A file.\nuse hub::cli;\n"),
        ("docs/a.md", "[out](https://example.org/x), `cargo test`, `hub`\n```sh\n[x](y)\n```\n"),
    ] {
        let text = Text { path: path.to_owned(), text: text.to_owned() };
        for (name, check) in RULES {
            assert_eq!(check(&text), Vec::<String>::new(), "{path} [{name}]");
        }
    }
}

#[expect(clippy::panic, reason = "this is how a test reports")]
fn report(violations: Vec<String>) {
    if !violations.is_empty() {
        panic!("{} to mend:\n  {}", violations.len(), violations.join("\n  "));
    }
}

fn root() -> PathBuf {
    let simulator = Path::new(env!("CARGO_MANIFEST_DIR"));
    simulator.parent().unwrap_or(simulator).to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// Every text file of the repository, except what git or a build made.
fn texts() -> Vec<Text> {
    const ENDS: [&str; 12] = ["rs", "md", "toml", "yaml", "yml", "json", "sh", "proto", "sql", "html", "css", "js"];
    let root = root();
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let in_ci = folder.ends_with(".ci");
            if path.is_dir() {
                if name == ".ci" || !(name.starts_with('.') || name == "target") {
                    open.push(path);
                }
            } else if in_ci || path.extension().is_some_and(|end| ENDS.iter().any(|text| end == *text)) {
                let (Ok(text), Ok(inside)) = (std::fs::read_to_string(&path), path.strip_prefix(&root)) else {
                    continue;
                };
                found.push(Text { path: inside.to_string_lossy().into_owned(), text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}
