//! What the figures were taken on, and with what.

use fs_err as fs;
use serde_json::{Value, json};
use std::fmt;

#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    /// When the run began.
    pub(crate) time: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) bottle: String,
    /// Runnable tasks on average over a minute, before the run and after it.
    pub(crate) load: [String; 2],
}

impl Machine {
    pub(crate) fn look(bottle: String) -> Self {
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            time: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
            processor: model.map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned()),
            cores: processors.lines().filter(|line| line.starts_with("processor")).count(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            bottle,
            load: [load(), String::new()],
        }
    }

    pub(crate) fn ended(&mut self) {
        self.load[1] = load();
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "time": self.time,
            "processor": self.processor,
            "cores": self.cores,
            "kernel": self.kernel,
            "bottle": self.bottle,
            "load_before": self.load[0],
            "load_after": self.load[1],
        })
    }
}

fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, processor, cores, kernel, bottle, load } = self;
        write!(
            f,
            "{time}; {processor}, {cores} cores, Linux {kernel}; {bottle}; load before {}, after {}",
            load[0], load[1]
        )
    }
}
