//! What an unquoted YAML scalar means: exactly what kubectl makes of it.
//!
//! kubectl reads YAML with `sigs.k8s.io/yaml`, which follows YAML 1.1 for booleans and octal numbers and YAML 1.2 for
//! the rest, then takes the way through JSON. So `yes`, `on`, `y` and their opposites are booleans, `0644` is 420,
//! `0o644` too, `1_000` is 1000, `1.0` and `1e3` are the integers 1 and 1000, `1:30` and dates are strings, and an
//! integer beyond 64 bits becomes a float. The table in the tests was made with that library (1.6.0).

use serde_json::{Number, Value};

/// Why a plain scalar has no JSON form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotFinite;

/// The value of the unquoted scalar `text`.
pub(super) fn resolve_plain(text: &str) -> Result<Value, NotFinite> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" | ".nan" | ".NaN"
        | ".NAN" => return Err(NotFinite),
        _ => resolve_number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    })
}

/// Whether `text`, written without quotes, is the string that it shows.
pub(crate) fn means_itself(text: &str) -> bool {
    resolve_plain(text).is_ok_and(|value| value.is_string())
}

fn resolve_number(text: &str) -> Option<Number> {
    let first = text.bytes().next()?;
    if !matches!(first, b'0'..=b'9' | b'+' | b'-' | b'.') {
        return None;
    }
    // Underscores are dropped wherever they stand, but not in a number that starts with its point.
    let plain = if first == b'.' { text.to_owned() } else { text.replace('_', "") };
    integer(&plain).or_else(|| if is_float(&plain) { plain.parse().ok().and_then(number_of_float) } else { None })
}

/// Go's `strconv.ParseInt(text, 0, 64)`, then `ParseUint`: a prefix or a leading zero gives the base.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, lower.get(1..)?)
    } else {
        (10, lower.as_str())
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(base)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()?;
    if !negative {
        return Some(Number::from(magnitude));
    }
    0_i64.checked_sub_unsigned(magnitude).map(Number::from)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            all_digits(whole) && all_digits(fraction) && !(whole.is_empty() && fraction.is_empty())
        }
        None => !mantissa.is_empty() && all_digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    mantissa_fits && exponent_fits
}

/// The JSON number that Kubernetes stores for a float: an integer when it is one and fits. `None` when it is infinite,
/// which leaves the text a string.
pub(super) fn number_of_float(float: f64) -> Option<Number> {
    // Go prints floats below 1e21 without an exponent, and what reads such a text back takes it for an integer.
    if float.fract() == 0.0 && float.abs() < 1e21 {
        let digits = format!("{float}");
        if let Ok(signed) = digits.parse::<i64>() {
            return Some(Number::from(signed));
        }
        if let Ok(unsigned) = digits.parse::<u64>() {
            return Some(Number::from(unsigned));
        }
    }
    Number::from_f64(float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_kubectl_makes_of_them() {
        let table = [
            ("yes", "true"),
            ("Yes", "true"),
            ("YES", "true"),
            ("yEs", r#""yEs""#),
            ("on", "true"),
            ("off", "false"),
            ("y", "true"),
            ("n", "false"),
            ("TRUE", "true"),
            ("tRue", r#""tRue""#),
            ("~", "null"),
            ("", "null"),
            ("nULL", r#""nULL""#),
            ("0644", "420"),
            ("0o644", "420"),
            ("0O644", "420"),
            ("0888", "888"),
            ("08", "8"),
            ("00", "0"),
            ("-0644", "-420"),
            ("+12", "12"),
            ("1_000", "1000"),
            ("0x1F", "31"),
            ("-0x1F", "-31"),
            ("0b101", "5"),
            ("-0b101", "-5"),
            ("9223372036854775808", "9223372036854775808"),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "1.8446744073709552e19"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("1.5", "1.5"),
            ("1.0", "1"),
            ("1e3", "1000"),
            ("12e03", "12000"),
            (".5", "0.5"),
            ("5.", "5"),
            ("+.5", "0.5"),
            ("1.e3", "1000"),
            (".e3", r#"".e3""#),
            (".", r#"".""#),
            ("+", r#""+""#),
            ("1e400", r#""1e400""#),
            ("1e-400", "0"),
            ("1:30", r#""1:30""#),
            ("2020-01-01", r#""2020-01-01""#),
            ("100m", r#""100m""#),
            ("123456789012345678.0", "123456789012345680"),
            ("1__0", "10"),
            ("1_0.5", "10.5"),
            ("_1", r#""_1""#),
            ("0x_1", "1"),
            ("0_7", "7"),
            ("0x", r#""0x""#),
            ("0b2", r#""0b2""#),
            ("0o9", r#""0o9""#),
            ("-0", "0"),
            ("-0.0", "0"),
            ("0xFFFFFFFFFFFFFFFFF", r#""0xFFFFFFFFFFFFFFFFF""#),
            ("01777777777777777777777", "18446744073709551615"),
            ("07777777777777777777777", "7.777777777777777e21"),
            ("1e5.", r#""1e5.""#),
            ("NaN", r#""NaN""#),
            ("inf", r#""inf""#),
            ("0x1p4", r#""0x1p4""#),
            ("1e21", "1e21"),
            ("1.5e-7", "1.5e-7"),
            ("<<", r#""<<""#),
            ("=", r#""=""#),
            ("1,000", r#""1,000""#),
        ];
        for (text, json) in table {
            let expected: Value = serde_json::from_str(json).unwrap();
            assert_eq!(resolve_plain(text), Ok(expected), "{text}");
        }
        for text in [".inf", "-.Inf", "+.INF", ".nan", ".NaN"] {
            assert_eq!(resolve_plain(text), Err(NotFinite), "{text}");
        }
    }
}
