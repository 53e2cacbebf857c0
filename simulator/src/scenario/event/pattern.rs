//! Patterns for names.

/// Whether a pattern, in which `*` stands for any part of a name, is that of a name.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(begin) else { return false };
    // Every part but the last is looked for as early as possible; the last must end the name.
    let Some((middle, end)) = rest.rsplit_once('*') else {
        return name.ends_with(rest);
    };
    let mut left = name;
    for part in middle.split('*') {
        let Some((_, after)) = left.split_once(part) else { return false };
        left = after;
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_the_names_with_its_parts_in_order() {
        for (pattern, name, is) in [
            ("hub", "hub", true),
            ("hub", "hub-1", false),
            ("hub-*", "hub-1", true),
            ("*", "anything", true),
            ("*-1", "hub-1", true),
            ("*-1", "hub-12", false),
            ("a*c", "abc", true),
            ("a*a", "a", false),
            ("a*b*c", "axbxc", true),
            ("a*b*c", "axcxb", false),
            ("**", "x", true),
            ("a*b*b", "ab", false),
        ] {
            assert_eq!(matches(pattern, name), is, "{pattern} {name}");
        }
    }
}
