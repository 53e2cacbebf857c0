//! The page: a fixed file with the report inside as JSON.

use super::model::Report;

/// The page without its report.
const PAGE: &str = include_str!("page.html");

/// Where the report goes.
const PLACE: &str = "{{REPORT}}";

/// The whole page.
#[must_use]
pub fn page(report: &Report) -> String {
    // A report is plain values with text keys, so this cannot fail; if it did, the page says that it has nothing to show.
    let json = serde_json::to_string(report).unwrap_or_default();
    PAGE.replacen(PLACE, &inert(&json), 1)
}

/// JSON that ends no element and begins none, whatever names and messages say. All these characters are within texts, where
/// JSON has another way to write them.
fn inert(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}
