//! The documents say what the code says: tables and columns, messages and numbers, constants and values.
#![expect(clippy::unwrap_used, reason = "a test ends where it meets what it does not expect")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// What stands between the first pair of backticks.
fn quoted(text: &str) -> Option<&str> {
    text.split('`').nth(1)
}

/// The cells of a table's row.
fn cells(line: &str) -> Option<Vec<&str>> {
    Some(line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect())
}

/// Rows of tables below headings of `level` with a quoted name, as `heading.first cell`, with the second cell.
/// Headings of a lesser level with a quoted name in brackets (a package) go before.
fn documented(text: &str, level: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let (mut package, mut heading) = (String::new(), None);
    for line in text.lines() {
        if let Some(title) = line.strip_prefix(level).filter(|rest| rest.starts_with(' ')) {
            heading = quoted(title).map(str::to_owned);
        } else if line.starts_with('#') {
            heading = None;
            package = line
                .split_once("(`")
                .and_then(|(_, rest)| rest.split_once("`)"))
                .map_or(String::new(), |(it, _)| format!("{it}."));
        } else if let (Some(heading), Some(cells)) = (&heading, cells(line))
            && let [first, second, ..] = cells.as_slice()
            && let Some(name) = quoted(first)
        {
            let key = format!("{package}{heading}.{name}");
            assert!(found.insert(key.clone(), (*second).to_owned()).is_none(), "`{key}` is described twice");
        }
    }
    found
}

fn compare(what: &str, source: &str, document: &str, real: &BTreeMap<String, String>, said: &BTreeMap<String, String>) {
    let mut wrong: Vec<String> = Vec::new();
    for (name, value) in real {
        match said.get(name) {
            None => wrong.push(format!("{document} lacks the {what} `{name}` ({value}) of {source}: add its row")),
            Some(other) if other != value => {
                wrong.push(format!("{document} says `{name}` is {other}, {source} says {value}"));
            }
            Some(_) => {}
        }
    }
    let gone = said.keys().filter(|name| !real.contains_key(*name));
    wrong.extend(gone.map(|name| format!("{document} describes the {what} `{name}`, which {source} does not have")));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_column_of_the_schema_is_described_and_no_other() {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    database.execute_batch(include_str!("../src/store/schema.sql")).unwrap();
    let sql = "SELECT t.name, c.name, c.type FROM pragma_table_list AS t, pragma_table_info(t.name) AS c
               WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite_%'";
    let mut statement = database.prepare(sql).unwrap();
    let column = |row: &rusqlite::Row<'_>| {
        Ok((format!("{}.{}", row.get::<_, String>(0)?, row.get::<_, String>(1)?), row.get::<_, String>(2)?))
    };
    let real: BTreeMap<String, String> = statement.query_map([], column).unwrap().map(Result::unwrap).collect();
    assert!(real.len() > 50, "only {} columns were found", real.len());
    compare("column", "schema.sql", "docs/store.md", &real, &documented(&page("docs/store.md"), "###"));
}

#[test]
fn every_field_and_value_of_the_messages_is_described_and_no_other() {
    let wire = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wire");
    let files = protox::compile(["sync.proto", "join.proto"], [&wire]).unwrap();
    let mut real = BTreeMap::new();
    for file in &files.file {
        for message in &file.message_type {
            assert!(message.nested_type.is_empty() && message.enum_type.is_empty(), "nested types have no place yet");
            let fields = message.field.iter().map(|field| (field.name(), field.number()));
            real.extend(
                fields.map(|(name, number)| {
                    (format!("{}.{}.{name}", file.package(), message.name()), number.to_string())
                }),
            );
        }
        for list in &file.enum_type {
            let values = list.value.iter().map(|value| (value.name(), value.number()));
            real.extend(
                values.map(|(name, number)| (format!("{}.{}.{name}", file.package(), list.name()), number.to_string())),
            );
        }
    }
    assert!(real.len() > 50, "only {} fields were found", real.len());
    compare("field", "the .proto files", "docs/protocol.md", &real, &documented(&page("docs/protocol.md"), "####"));
}

#[test]
fn every_constant_in_the_documents_exists_and_has_that_value() {
    let constants = constants(&[page("sync-core/src/limits.rs"), page("hub/src/limits.rs")].concat());
    let mut pages = vec![root().join("README.md"), root().join("CONTRIBUTING.md"), root().join("CHANGELOG.md")];
    markdown(&root().join("docs"), &mut pages);
    let schema = [page("sync-core/src/wire/sync.proto"), page("sync-core/src/wire/join.proto")].concat();
    let mut wrong = Vec::new();
    let mut values = 0;
    for path in &pages {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let text = fs::read_to_string(path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let place = format!("{name}, line {}", number + 1);
            for constant in line.split('`').skip(1).step_by(2).filter(|word| is_constant(word)) {
                if !constants.contains_key(constant) && !schema.contains(constant) {
                    wrong.push(format!("{place}: `{constant}` is in no limits.rs; was it renamed or removed?"));
                }
            }
            let row = cells(line).unwrap_or_default();
            let [first, value, ..] = row.as_slice() else { continue };
            let Some(constant) = quoted(first).filter(|word| constants.contains_key(*word)) else { continue };
            values += 1;
            let real = constants[constant];
            if evaluated(value) != real {
                let real = real.map_or("not a number".to_owned(), |real| real.to_string());
                wrong.push(format!("{place}: `{constant}` is said to be {value}, limits.rs says {real}"));
            }
        }
    }
    assert!(values > 20, "only {values} values were found");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn markdown(folder: &Path, pages: &mut Vec<PathBuf>) {
    let entries: BTreeSet<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    for path in entries {
        if path.is_dir() {
            markdown(&path, pages);
        } else if path.extension().is_some_and(|it| it == "md") {
            pages.push(path);
        }
    }
}

/// A name in capitals, but for variables of the environment.
fn is_constant(word: &str) -> bool {
    const VARIABLES: [&str; 6] =
        ["RUST_LOG", "NO_COLOR", "ARCHIPEL_HUB_DATA", "CARGO_TARGET_DIR", "UPDATE_PROTOS", "PROPTEST_CASES"];
    word.contains('_')
        && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        && !VARIABLES.contains(&word)
}

/// Every constant of a source text, with its value where that is a number made of numbers and constants before it.
fn constants(source: &str) -> BTreeMap<String, Option<u64>> {
    let mut found: BTreeMap<String, Option<u64>> = BTreeMap::new();
    for line in source.lines().filter_map(|line| line.strip_prefix("pub const ")) {
        let Some((name, rest)) = line.split_once(": ") else { continue };
        let expression = rest.split_once("= ").map_or("", |(_, value)| value.trim_end_matches(';'));
        let atom = |text: &str| match text.trim().split_once(" << ") {
            Some((base, shift)) => Some(base.parse::<u64>().ok()? << shift.parse::<u32>().ok()?),
            None => text.trim().replace('_', "").parse().ok().or_else(|| found.get(text.trim()).copied().flatten()),
        };
        let value = expression.split(" * ").try_fold(1_u64, |product, factor| product.checked_mul(atom(factor)?));
        found.insert(name.to_owned(), value);
    }
    found
}

/// The number that a person wrote: `16 384`, `8 MiB`, `20 s`, `2^31`.
fn evaluated(text: &str) -> Option<u64> {
    if let Some((base, exponent)) = text.split_once('^') {
        return base.parse::<u64>().ok()?.checked_pow(exponent.parse().ok()?);
    }
    let digits: String = text.chars().take_while(|c| c.is_ascii_digit() || *c == ' ').filter(|c| *c != ' ').collect();
    let unit = match text.rsplit(' ').next() {
        Some("KiB") => 1 << 10,
        Some("MiB") => 1 << 20,
        _ => 1,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[test]
fn the_readers_of_this_test_read() {
    assert_eq!(
        (evaluated("16 384"), evaluated("8 MiB"), evaluated("2^31")),
        (Some(16_384), Some(8 << 20), Some(1 << 31))
    );
    let constants = constants("pub const A: usize = 4 * 1_024;\npub const B: u64 = 2 * A;\npub const C: u64 = 1 << 5;");
    assert_eq!(constants.values().copied().collect::<Vec<_>>(), [Some(4096), Some(8192), Some(32)]);
    assert!(is_constant("FRAME_BYTES_MAX") && !is_constant("RUST_LOG") && !is_constant("Name"));
}
