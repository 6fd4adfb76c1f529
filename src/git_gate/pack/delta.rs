//! A delta: an object as parts of another and what is new (gitformat-pack(5), "Deltified representation").

use super::Refused;

/// A delta whose head was read.
pub(super) struct Delta<'d> {
    /// Bytes of the object that it is made from.
    base: u64,
    /// Bytes of the object that it makes.
    pub(super) size: u64,
    orders: &'d [u8],
}

fn bad(what: &str) -> Refused {
    Refused::malformed(format_args!("a delta {what}"))
}

/// A number in parts of seven bits, the lowest first.
fn number(delta: &mut &[u8]) -> Result<u64, Refused> {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let (byte, rest) = delta.split_first().ok_or_else(|| bad("is cut off"))?;
        *delta = rest;
        if shift > 56 {
            return Err(bad("names a size that no object has"));
        }
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
}

impl<'d> Delta<'d> {
    pub(super) fn read(mut delta: &'d [u8]) -> Result<Self, Refused> {
        let (base, size) = (number(&mut delta)?, number(&mut delta)?);
        Ok(Self { base, size, orders: delta })
    }

    /// Makes the object, a part at a time.
    pub(super) fn apply(
        &self,
        base: &[u8],
        mut into: impl FnMut(&[u8]) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        if base.len() as u64 != self.base {
            return Err(bad("is for a base of another size"));
        }
        let (mut orders, mut left) = (self.orders, self.size);
        while let Some((order, rest)) = orders.split_first() {
            orders = rest;
            let part = if order & 0x80 == 0 {
                // Zero is reserved: it makes nothing.
                let length = usize::from(*order);
                let (part, rest) = orders.split_at_checked(length).ok_or_else(|| bad("is cut off"))?;
                orders = rest;
                part
            } else {
                let mut operand = |bits: std::ops::Range<u8>| {
                    let mut value = 0_usize;
                    for (bit, shift) in bits.zip((0..).step_by(8)) {
                        if order & (1 << bit) != 0 {
                            let (byte, rest) = orders.split_first().ok_or_else(|| bad("is cut off"))?;
                            orders = rest;
                            value |= usize::from(*byte) << shift;
                        }
                    }
                    Ok::<_, Refused>(value)
                };
                let (start, length) = (operand(0..4)?, operand(4..7)?);
                let length = if length == 0 { 0x1_0000 } else { length };
                start
                    .checked_add(length)
                    .and_then(|end| base.get(start..end))
                    .ok_or_else(|| bad("copies what its base does not have"))?
            };
            if part.is_empty() {
                return Err(bad("holds an order that git does not write"));
            }
            left = left.checked_sub(part.len() as u64).ok_or_else(|| bad("makes more than it says"))?;
            into(part)?;
        }
        if left == 0 { Ok(()) } else { Err(bad("makes less than it says")) }
    }
}
