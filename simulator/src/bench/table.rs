//! A table of figures, for the terminal and as markdown.

use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::{CellAlignment, presets};

/// One table with what has to be known to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    title: String,
    about: Vec<String>,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table. The first column is text, the others are numbers.
    #[must_use]
    pub(super) fn new(title: &str, header: &[&str]) -> Self {
        let header = header.iter().map(|&cell| cell.to_owned()).collect();
        Self { title: title.to_owned(), about: Vec::new(), header, rows: Vec::new() }
    }

    /// Adds a paragraph that stands above the table.
    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.about.push(text.into());
    }

    /// Adds a row; missing cells stay empty.
    pub(super) fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let mut cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        cells.resize(self.header.len(), String::new());
        self.rows.push(cells);
    }

    /// For a terminal.
    #[must_use]
    pub(super) fn to_text(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY).set_header(&self.header);
        for row in &self.rows {
            table.add_row(row);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let about: String = self.about.iter().fold(String::new(), |text, paragraph| text + paragraph + "\n");
        format!("{}\n{about}{table}", self.title)
    }

    /// For a page.
    #[must_use]
    pub(super) fn to_markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut text = format!("## {}\n\n", self.title);
        for paragraph in &self.about {
            let _ = write!(text, "{paragraph}\n\n");
        }
        text += &line(&self.header);
        text += &format!("|---|{}\n", "---:|".repeat(self.header.len().saturating_sub(1)));
        self.rows.iter().for_each(|row| text += &line(row));
        text
    }
}

/// A whole number with commas between thousands.
#[must_use]
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How many times `part` is of `whole`, such as `1.07 x`; `-` when there is nothing to compare with.
#[must_use]
pub(super) fn ratio(part: f64, whole: f64) -> String {
    match part / whole {
        ratio if whole <= 0.0 || !ratio.is_finite() => "-".to_owned(),
        ratio if ratio >= 100.0 => format!("{} x", count(ratio.round() as u64)),
        ratio if ratio >= 0.01 => format!("{ratio:.2} x"),
        ratio => format!("{ratio:.5} x"),
    }
}

/// A time with three digits that mean something.
#[must_use]
pub(super) fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.2} s"),
        seconds if seconds >= 1e-3 => format!("{:.2} ms", seconds * 1e3),
        seconds => format!("{:.1} us", seconds * 1e6),
    }
}

/// Bytes of memory or of a file.
#[must_use]
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{} B", count(bytes)),
        10_240..10_485_760 => format!("{} KiB", count(bytes / 1024)),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([ratio(3.0, 2.0), ratio(1.0, 0.0), ratio(1e6, 2.0)], ["1.50 x", "-", "500,000 x"]);
        assert_eq!(time(Duration::from_micros(1_500)), "1.50 ms");
        assert_eq!([5_000, 20_480, 20_971_520].map(size), ["5,000 B", "20 KiB", "20.0 MiB"]);
    }

    #[test]
    fn a_table_reads_the_same_on_a_page() {
        let mut table = Table::new("Bytes", &["what", "bytes"]);
        table.say("Of payload.");
        table.row(["a|b", "12"]);
        table.row(["short"]);
        let page = "## Bytes\n\nOf payload.\n\n| what | bytes |\n|---|---:|\n| a\\|b | 12 |\n| short |  |\n";
        assert_eq!(table.to_markdown(), page);
        assert!(table.to_text().contains("Of payload."));
    }
}
