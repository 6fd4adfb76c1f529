//! Finds the end of a head while its bytes come in, and what no head may hold.

use super::FaultKind;

/// Where the scan of a head stands. A head ends with an empty line.
#[derive(Debug, Default)]
pub(super) struct Lines {
    at: usize,
    line: usize,
    count: usize,
    after_cr: bool,
}

impl Lines {
    /// Looks at what came since the last call; `bytes` begins where the head begins.
    /// Gives the length of the head once its last byte is there.
    pub(super) fn scan(&mut self, bytes: &[u8], max_lines: usize) -> Result<Option<usize>, FaultKind> {
        while let Some(&byte) = bytes.get(self.at) {
            self.at += 1;
            match (self.after_cr, byte) {
                (true, b'\n') => {
                    self.after_cr = false;
                    if std::mem::take(&mut self.line) == 0 {
                        return Ok(Some(self.at));
                    }
                    self.count += 1;
                    if self.count > max_lines {
                        return Err(FaultKind::TooManyFields);
                    }
                }
                (true, _) => return Err(FaultKind::BareCr),
                (false, b'\n') => return Err(FaultKind::BareLf),
                (false, b'\r') => self.after_cr = true,
                (false, b'\t' | b' '..=b'~' | 0x80..) => self.line += 1,
                (false, _) => return Err(FaultKind::ControlByte),
            }
        }
        Ok(None)
    }
}
