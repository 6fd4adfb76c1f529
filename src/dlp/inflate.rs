//! Looks into compressed data that no `Content-Encoding` tells of: gzip, zlib, and the entries of zip archives. What an
//! archive stores as it is, as tar does, needs no look of its own.

use super::{
    Encoding,
    decoder::{Best, Context, Decoder, Text, ViewFinding, index},
    set::Set,
    view::View,
};
use flate2::{Decompress, FlushDecompress, Status};

/// So much is read at once, so that what is seen does not depend on how the text came.
const BLOCK: u64 = 64;
/// How many streams may be under way: a beginning by chance must not hide what follows.
const STREAMS: usize = 4;
/// How much one block may grow to, on average, and how much more in all.
const GROWTH: (u64, u64) = (100, 16 << 20);
/// What an inflater takes with its window, in bytes.
const INFLATER: usize = 48 << 10;
/// Bytes of a zip's local header before the name.
const ZIP: usize = 30;
/// Bytes of a gzip header before the name, and the length of its extra field.
const GZIP: usize = 12;

pub(super) struct Inflate {
    depth: u8,
    /// Up to where beginnings were looked for.
    scan: u64,
    streams: Vec<Stream>,
    /// Inflaters of streams that ended, with their windows.
    spare: Vec<Decompress>,
    end: u64,
}

struct Stream {
    begin: u64,
    /// Up to where it was read.
    read: u64,
    /// Bytes of the header that follow.
    ahead: u64,
    /// Texts that end in a zero, after those.
    texts: u8,
    /// Bytes of the header after the texts.
    tail: u64,
    inflater: Decompress,
    view: View,
}

/// What a place turns out to be.
enum Begin {
    At {
        ahead: u64,
        texts: u8,
        tail: u64,
    },
    Nothing,
    /// It depends on bytes that are not there yet.
    Unsure,
}

fn begin(text: &[u8]) -> Begin {
    let short = |least: usize| text.len() < least;
    match text {
        [0x1f | b'P' | 0x78] | [0x1f, 0x8b] | [b'P', b'K'] | [b'P', b'K', 3] => Begin::Unsure,
        [0x1f, 0x8b, 8, ..] if short(GZIP) => Begin::Unsure,
        [0x1f, 0x8b, 8, flags, ..] if flags & 0xe0 == 0 => {
            let has = |flag: u8| u8::from(flags & flag != 0);
            let extra = u64::from(u16::from_le_bytes([text[10], text[11]])) + 2;
            Begin::At {
                ahead: 10 + extra * u64::from(has(4)),
                texts: has(8) + has(16),
                tail: 2 * u64::from(has(2)),
            }
        }
        [b'P', b'K', 3, 4, ..] if short(ZIP) => Begin::Unsure,
        [b'P', b'K', 3, 4, ..] if text[8..10] == [8, 0] => {
            let length = |at: usize| u64::from(u16::from_le_bytes([text[at], text[at + 1]]));
            Begin::At { ahead: ZIP as u64 + length(26) + length(28), texts: 0, tail: 0 }
        }
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => Begin::At { ahead: 2, texts: 0, tail: 0 },
        _ => Begin::Nothing,
    }
}

impl Inflate {
    pub(super) fn new(depth: u8) -> Self {
        Self { depth, scan: 0, streams: Vec::new(), spare: Vec::new(), end: 0 }
    }

    fn look_for_beginnings(&mut self, text: Text<'_>) {
        let mut at = index(self.scan - text.base);
        while let Some(offset) = memchr::memchr3(0x1f, b'P', 0x78, text.bytes.get(at..).unwrap_or_default()) {
            at += offset;
            match begin(&text.bytes[at..]) {
                Begin::Unsure if !text.complete => {
                    self.scan = text.base + at as u64;
                    return;
                }
                Begin::At { ahead, texts, tail } => self.begin(text.base + at as u64, ahead, texts, tail),
                Begin::Unsure | Begin::Nothing => {}
            }
            at += 1;
        }
        self.scan = text.base + text.bytes.len() as u64;
    }

    fn begin(&mut self, begin: u64, ahead: u64, texts: u8, tail: u64) {
        let gone = if self.streams.len() < STREAMS {
            None
        } else {
            let least = (0..self.streams.len()).min_by_key(|at| self.streams[*at].inflater.total_out());
            least.map(|at| self.streams.swap_remove(at).inflater)
        };
        let inflater = gone.or_else(|| self.spare.pop()).map_or_else(
            || Decompress::new(false),
            |mut inflater| {
                inflater.reset(false);
                inflater
            },
        );
        let view = View::new(self.depth);
        self.streams.push(Stream { begin, read: begin, ahead, texts, tail, inflater, view });
    }

    /// A bound from below of what the streams hold: so many bytes decoded are hardly more when they are compressed.
    fn held(&self, from: impl Fn(&View) -> u64) -> Option<u64> {
        self.streams
            .iter()
            .filter_map(|it| {
                let held = it.view.total() - from(&it.view);
                (held > 0).then(|| it.read.saturating_sub(2 * held + 8 * BLOCK).max(it.begin))
            })
            .min()
    }
}

impl Stream {
    /// Reads on; says whether there is more to read.
    fn read_on(&mut self, context: Context<'_>, text: Text<'_>, best: &mut Best) -> bool {
        loop {
            let rest = text.bytes.get(index(self.read - text.base)..).unwrap_or_default();
            if self.ahead > 0 {
                let there = self.ahead.min(rest.len() as u64);
                self.ahead -= there;
                self.read += there;
                if self.ahead > 0 {
                    return !text.complete;
                }
                continue;
            }
            if self.texts > 0 {
                let Some(zero) = memchr::memchr(0, rest) else {
                    self.read += rest.len() as u64;
                    return !text.complete;
                };
                self.read += zero as u64 + 1;
                self.texts -= 1;
                if self.texts == 0 {
                    self.ahead = self.tail;
                }
                continue;
            }
            let block = match rest.get(..index(BLOCK)) {
                Some(block) => block,
                None if text.complete => rest,
                None => return true,
            };
            self.read += block.len() as u64;
            if block.is_empty() || !self.inflate(context, block, best) {
                self.offer(best, |view, inner| view.finish(context, inner));
                return false;
            }
        }
    }

    /// Inflates a block; says whether more may follow.
    fn inflate(&mut self, context: Context<'_>, mut block: &[u8], best: &mut Best) -> bool {
        let mut out = [0; 2048];
        loop {
            let before = (self.inflater.total_in(), self.inflater.total_out());
            let status = self.inflater.decompress(block, &mut out, FlushDecompress::None);
            let (read, made) = (self.inflater.total_in() - before.0, self.inflater.total_out() - before.1);
            self.offer(best, |view, inner| view.feed(context, &out[..index(made)], inner));
            block = block.get(index(read)..).unwrap_or_default();
            let (all, most) = (self.inflater.total_in(), GROWTH);
            if self.inflater.total_out() > all * most.0 + most.1 {
                let certain = self.read;
                best.offer(ViewFinding {
                    pattern: Set::bomb_id(),
                    start: self.begin,
                    certain,
                    secret: (self.begin, certain),
                    chain: vec![Encoding::Compressed],
                });
                return false;
            }
            match status {
                Ok(Status::Ok | Status::BufError) if made == 0 && (read == 0 || block.is_empty()) => {
                    return true;
                }
                Ok(Status::Ok | Status::BufError) => {}
                Ok(Status::StreamEnd) | Err(_) => return false,
            }
        }
    }

    fn offer(&mut self, best: &mut Best, read: impl FnOnce(&mut View, &mut Best)) {
        let mut inner = Best::default();
        read(&mut self.view, &mut inner);
        if let Some(mut found) = inner.0 {
            (found.start, found.certain) = (self.begin, self.read);
            found.chain.insert(0, Encoding::Compressed);
            best.offer(found);
        }
    }
}

impl Decoder for Inflate {
    fn position(&self) -> u64 {
        self.streams.iter().map(|it| it.read).min().unwrap_or(u64::MAX).min(self.scan)
    }

    fn hold(&self) -> u64 {
        self.held(View::hold).unwrap_or(u64::MAX).min(self.position()).min(self.end)
    }

    fn hold_when_idle(&self) -> u64 {
        self.held(View::hold_when_idle).unwrap_or(u64::MAX)
    }

    fn advance(&mut self, context: Context<'_>, text: Text<'_>, best: &mut Best) {
        self.look_for_beginnings(text);
        let ended = self.streams.extract_if(.., |it| !it.read_on(context, text, best));
        self.spare.extend(ended.map(|it| it.inflater));
        self.spare.truncate(1);
        self.end = text.base + text.bytes.len() as u64;
    }

    fn memory(&self) -> usize {
        let streams = self.streams.iter().map(|it| size_of::<Stream>() + INFLATER + it.view.memory());
        size_of::<Self>() + streams.sum::<usize>() + self.spare.len() * INFLATER
    }

    fn release(&mut self) {
        *self = Self::new(self.depth);
    }

    fn reset(&mut self) {
        let spare = std::mem::take(&mut self.spare);
        *self = Self { spare, ..Self::new(self.depth) };
    }
}
