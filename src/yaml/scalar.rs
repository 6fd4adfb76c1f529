//! The core schema of YAML 1.2.2 (section 10.3.2): what a plain scalar means.

use serde_json::{Number, Value};

/// Why a plain scalar that reads as a number can't be one here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    TooLarge,
    NotFinite,
}

/// The value of a plain (unquoted) scalar.
pub(super) fn resolve(text: &str) -> Result<Value, Unusable> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" | ".nan"
        | ".NaN" | ".NAN" => return Err(Unusable::NotFinite),
        _ => {}
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return based(text, digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return based(text, digits, 8);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return integer(text);
    }
    if is_float(unsigned) {
        let number = text.parse::<f64>().ok().and_then(Number::from_f64);
        return number.map(Value::Number).ok_or(Unusable::TooLarge);
    }
    Ok(Value::String(text.to_owned()))
}

fn integer(text: &str) -> Result<Value, Unusable> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let number = text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from));
    number.map(Value::Number).map_err(|_| Unusable::TooLarge)
}

fn based(text: &str, digits: &str, radix: u32) -> Result<Value, Unusable> {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Ok(Value::String(text.to_owned()));
    }
    u64::from_str_radix(digits, radix).map(Value::from).map_err(|_| Unusable::TooLarge)
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && digits(fraction),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_fits && exponent_fits
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_booleans_and_sexagesimals_of_yaml_1_1_are_text() {
        for text in
            ["no", "yes", "on", "off", "y", "n", "22:22", "1_000", "0b1", "2026-01-01", "1.2.3", "-", "."]
        {
            assert_eq!(resolve(text), Ok(json!(text)), "{text}");
        }
    }

    #[test]
    fn numbers_are_those_of_the_core_schema() {
        let cases = [
            ("0", json!(0)),
            ("-1", json!(-1)),
            ("+1", json!(1)),
            ("010", json!(10)),
            ("0o10", json!(8)),
            ("0x1F", json!(31)),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000.0)),
            (".5", json!(0.5)),
            ("18446744073709551615", json!(u64::MAX)),
        ];
        for (text, value) in cases {
            assert_eq!(resolve(text), Ok(value), "{text}");
        }
        assert_eq!(resolve("18446744073709551616"), Err(Unusable::TooLarge));
        assert_eq!(resolve("1e999"), Err(Unusable::TooLarge));
        assert_eq!(resolve(".nan"), Err(Unusable::NotFinite));
    }
}
