//! The decoders that every view has, as one.

use super::{
    Encoding,
    decoder::{Best, Context, Decoder, Text, find_text, index},
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

/// None at all: a text as it stands.
pub(super) fn none(_: u8) -> Box<dyn Decoder> {
    Box::new(Decoders(Vec::new()))
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
        // Of binary data most is nothing that most of them look for.
        let waiting = self.0.iter().filter(|it| it.wants_text()).map(|it| it.position()).min();
        if let Some(from) = waiting {
            let from = index(from.max(text.base) - text.base);
            let (Ok(begins) | Err(begins)) = find_text(text.bytes, from);
            for it in self.0.iter_mut().filter(|it| it.wants_text()) {
                it.pass_over(text.base + begins as u64);
            }
        }
        self.0.iter_mut().for_each(|it| it.advance(context, text, best));
    }

    fn memory(&self) -> usize {
        self.0.capacity() * size_of::<Box<dyn Decoder>>() + self.0.iter().map(|it| it.memory()).sum::<usize>()
    }

    fn release(&mut self) {
        self.0.iter_mut().for_each(|it| it.release());
    }

    fn reset(&mut self) {
        self.0.iter_mut().for_each(|it| it.reset());
    }
}
