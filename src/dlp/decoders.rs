//! The decoders that every view has, as one.

use super::{
    Encoding,
    decoder::{Best, Context, Decoder, Text},
    escape::Escapes,
    inflate::Inflate,
    radix::{self, Radix},
};

struct Decoders(Vec<Box<dyn Decoder>>);

/// New ones, whose own views have this depth.
pub(super) fn decoders(depth: u8) -> Box<dyn Decoder> {
    let mut all = of_characters(depth);
    all.push(Box::new(Inflate::new(depth)));
    Box::new(Decoders(all))
}

/// The same without those that decompress.
pub(super) fn uncompressed(depth: u8) -> Box<dyn Decoder> {
    Box::new(Decoders(of_characters(depth)))
}

fn of_characters(depth: u8) -> Vec<Box<dyn Decoder>> {
    let radix = |coding| Box::new(Radix::new(coding, depth)) as Box<dyn Decoder>;
    let escapes = |kind| Box::new(Escapes::new(kind, depth)) as Box<dyn Decoder>;
    vec![
        radix(&radix::BASE64),
        radix(&radix::BASE32),
        radix(&radix::BASE32_LOWER),
        radix(&radix::HEX),
        escapes(Encoding::Percent),
        escapes(Encoding::JsonEscape),
        escapes(Encoding::Html),
        escapes(Encoding::QuotedPrintable),
        escapes(Encoding::Utf16),
        escapes(Encoding::Unicode),
    ]
}

impl Decoder for Decoders {
    fn position(&self) -> u64 {
        self.0.iter().map(|it| it.position()).min().unwrap_or(u64::MAX)
    }

    fn hold(&self) -> u64 {
        self.0.iter().map(|it| it.hold()).min().unwrap_or(u64::MAX)
    }

    fn hold_when_idle(&self) -> u64 {
        self.0.iter().map(|it| it.hold_when_idle()).min().unwrap_or(u64::MAX)
    }

    fn advance(&mut self, context: Context<'_>, text: Text<'_>, best: &mut Best) {
        self.0.iter_mut().for_each(|it| it.advance(context, text, best));
    }

    fn reset(&mut self) {
        self.0.iter_mut().for_each(|it| it.reset());
    }
}
