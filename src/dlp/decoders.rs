//! The decoders that every view has, as one.

use super::{
    Encoding,
    base64::Base64,
    decoder::{Best, Context, Decoder, Text},
    escape::Escapes,
};

struct Decoders {
    base64: Base64,
    percent: Escapes,
    json: Escapes,
}

/// New ones, whose own views have this depth.
pub(super) fn decoders(depth: u8) -> Box<dyn Decoder> {
    Box::new(Decoders {
        base64: Base64::new(depth),
        percent: Escapes::new(Encoding::Percent, depth),
        json: Escapes::new(Encoding::JsonEscape, depth),
    })
}

impl Decoder for Decoders {
    fn position(&self) -> u64 {
        self.base64.position().min(self.percent.position()).min(self.json.position())
    }

    fn hold(&self) -> u64 {
        self.base64.hold().min(self.percent.hold()).min(self.json.hold())
    }

    fn hold_when_idle(&self) -> u64 {
        self.base64.hold_when_idle().min(self.percent.hold_when_idle()).min(self.json.hold_when_idle())
    }

    fn advance(&mut self, context: Context<'_>, text: Text<'_>, best: &mut Best) {
        self.base64.advance(context, text, best);
        self.percent.advance(context, text, best);
        self.json.advance(context, text, best);
    }

    fn reset(&mut self) {
        self.base64.reset();
        self.percent.reset();
        self.json.reset();
    }
}
