//! Checks beyond a pattern's shape: checksums and what a value is made of.

use sha2::{Digest as _, Sha256};

/// ISO/IEC 7812: the check digit of payment cards.
pub(super) fn luhn(matched: &[u8]) -> bool {
    let digits = matched.iter().rev().filter(|b| b.is_ascii_digit());
    let sum: u32 = digits
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0');
            match (place % 2, digit) {
                (0, digit) => digit,
                (_, digit) if digit < 5 => digit * 2,
                (_, digit) => digit * 2 - 9,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Length of an account number by country, from the IBAN registry.
const IBAN_LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NL", 18),
    (b"NO", 15),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"SA", 24),
    (b"SC", 31),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
];

/// How long an account number that begins like this is.
pub(super) fn iban_length(compact: &[u8]) -> Option<usize> {
    let (country, _) = compact.split_first_chunk::<2>()?;
    IBAN_LENGTHS.iter().find(|(code, _)| *code == country).map(|(_, length)| *length)
}

/// ISO 13616: length by country, and modulo 97.
pub(super) fn iban(number: &[u8]) -> bool {
    if iban_length(number) != Some(number.len()) {
        return false;
    }
    let (head, tail) = number.split_at(4);
    let remainder = tail.iter().chain(head).fold(0_u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    remainder == 1
}

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// Decodes Base58 into `N` bytes, or nothing when it does not fit exactly.
fn base58(text: &[u8], bytes: usize) -> Option<Vec<u8>> {
    let mut out = vec![0_u8; bytes];
    for byte in text {
        let mut carry = u32::try_from(BASE58.iter().position(|b| b == byte)?).ok()?;
        for place in out.iter_mut().rev() {
            carry += u32::from(*place) * 58;
            *place = u8::try_from(carry & 0xff).ok()?;
            carry >>= 8;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(out)
}

/// `Base58Check` with a Bitcoin private key's version byte.
pub(super) fn wif(text: &[u8]) -> bool {
    let bytes = if text.len() == 51 { 37 } else { 38 };
    let Some(decoded) = base58(text, bytes) else { return false };
    let (payload, checksum) = decoded.split_at(bytes - 4);
    payload[0] == 0x80 && Sha256::digest(Sha256::digest(payload))[..4] == *checksum
}

/// A number that the Social Security Administration can have issued.
pub(super) fn ssn(matched: &[u8]) -> bool {
    let digits: Vec<u8> = matched.iter().copied().filter(u8::is_ascii_digit).collect();
    let (area, rest) = digits.split_at(3.min(digits.len()));
    let (group, serial) = rest.split_at(2.min(rest.len()));
    area != b"000" && area != b"666" && area.first() != Some(&b'9') && group != b"00" && serial != b"0000"
}

/// Passwords that stand in examples and on developers' machines.
const STAND_INS: [&str; 26] = [
    // RFC 7617 §2
    "open sesame",
    "opensesame",
    "password",
    "passwd",
    "pass",
    "pwd",
    "secret",
    "example",
    "changeme",
    "root",
    "admin",
    "postgres",
    "mysql",
    "test",
    "tiger",
    "guest",
    "rabbitmq",
    "redis",
    "mongo",
    "mongodb",
    "password123",
    "yourpassword",
    "mypassword",
    "user",
    "my-secret-pw",
    "mysecretpassword",
];

/// Whether a password, in lower case, stands in examples.
pub(super) fn is_stand_in(lower: &[u8]) -> bool {
    STAND_INS.iter().any(|it| it.as_bytes() == lower)
}

/// Whether a program puts a value there: `$NAME`, `${NAME}`, `{name}`, `<name>`.
pub(super) fn is_variable(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"$").unwrap_or(text);
    let name = |inside: &[u8]| inside.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'));
    match text {
        [b'{', inside @ .., b'}' | b'\''] | [b'<', inside @ .., b'>'] => {
            name(inside.strip_suffix(b"}").unwrap_or(inside))
        }
        _ => false,
    }
}

/// The password of a URL's userinfo is no stand-in.
pub(super) fn url_password(user: &[u8], password: &[u8]) -> bool {
    user != password
        && !is_stand_in(&password.to_ascii_lowercase())
        && !matches!(password.first(), Some(b'$' | b'{' | b'<' | b'[' | b'*' | b'%' | b'(' | b':') | None)
        && password.iter().any(|b| !matches!(b, b'x' | b'X' | b'*' | b'.'))
        && !super::judge::is_stand_in_word(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_card_has_its_check_digit() {
        assert!(luhn(b"4111 1111 1111 1111"));
        assert!(!luhn(b"4111 1111 1111 1112"));
    }

    #[test]
    fn an_iban_has_its_countrys_length_and_modulus() {
        assert!(iban(b"DE89370400440532013000"));
        assert!(iban(b"GB82WEST12345698765432"));
        assert!(!iban(b"DE88370400440532013000"));
        assert!(!iban(b"DE8937040044053201"));
        assert!(!iban(b"ZZ89370400440532013000"));
    }

    #[test]
    fn a_wallet_key_has_its_checksum() {
        // The example of the format's public description.
        let key = ["5HueCGU8rMjxEXxiPuD5BDku4Mk", "FqeZyd4dZ1jvhTVqvbTLvyTJ"].concat();
        assert!(wif(key.as_bytes()));
        assert!(!wif(key.replace('8', "9").as_bytes()));
    }

    #[test]
    fn a_values_stand_ins_are_no_password() {
        assert!(url_password(b"app", b"s3cr3tPa55"));
        for harmless in ["app", "password", "${PASSWORD}", "****", "xxxx", "your-password"] {
            assert!(!url_password(b"app", harmless.as_bytes()), "{harmless}");
        }
    }
}
