//! What a log was sent: kept, and waited for.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::Notify, time::timeout};

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a log writes to. Clones share what is written.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Shared>);

#[derive(Default)]
struct Shared {
    bytes: Mutex<Vec<u8>>,
    came: Notify,
}

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.bytes.lock().unwrap().extend_from_slice(bytes);
        self.0.came.notify_waiters();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Captured {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.bytes.lock().unwrap().clone()).unwrap()
    }

    /// What `find` finds in the lines that are whole, as soon as it does.
    pub(crate) async fn wait<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let found = async {
            loop {
                let came = self.0.came.notified();
                let text = self.text();
                // The last line may be on its way.
                if let Some(found) = find(text.rsplit_once('\n').map_or("", |(whole, _)| whole)) {
                    return found;
                }
                came.await;
            }
        };
        let found = timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("no {what} in:\n{}", self.text()))
    }
}
