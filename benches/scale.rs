//! What a repository of many bottles costs: 10, 100 and 1,000 manifests of 200 routes each are rendered, checked and
//! compared, and the processor time for each manifest is set against that of ten, so that other work on the machine
//! does not change the ratio.
//!
//! `cargo bench --bench scale`; with numbers after `--`, other sizes. `BOTTLE` names another program to measure.

use fs_err as fs;
use std::fmt::Write as _;
use std::{
    io,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const ROUTES: usize = 200;

fn manifest(name: &str, extra: &str) -> String {
    let mut routes = String::new();
    for n in 0..ROUTES {
        // Writing to a String can't fail.
        let _ = writeln!(
            routes,
            "    - host: h{n}.{name}.example\n      path_allowlist: [/v1/items, \"/v1/*/status\"{extra}]\n      methods: [GET, HEAD]"
        );
    }
    format!(
        "version: 1\nname: {name}\nagent:\n  image: agent:local\n  mounts: [{{source: ., target: /work}}]\negress_proxy:\n  routes:\n{routes}"
    )
}

/// Time on the clock and on a processor (with ended children, which is git), and the most memory in KiB.
struct Cost {
    time: Duration,
    processor: Duration,
    memory: u64,
}

/// User and system time of a process and of its ended children, from `/proc/PID/stat`: proc(5), fields 14 to 17, in
/// hundredths of a second.
fn processor_time(stat: &str) -> Duration {
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = fields.split_whitespace().skip(11).take(4).filter_map(|it| it.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn cost(command: &mut Command, codes: &[i32]) -> io::Result<Cost> {
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let [memory_file, time_file] = ["status", "stat"].map(|file| format!("/proc/{}/{file}", child.id()));
    let (mut memory, mut processor) = (0, Duration::ZERO);
    let ended = loop {
        let text = fs::read_to_string(&memory_file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        memory = memory.max(line.and_then(|it| it.trim().split(' ').next()?.parse().ok()).unwrap_or(0));
        processor = processor.max(processor_time(&fs::read_to_string(&time_file).unwrap_or_default()));
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let time = start.elapsed();
    if ended.code().is_some_and(|code| codes.contains(&code)) {
        return Ok(Cost { time, processor, memory });
    }
    Err(io::Error::other(format!("{command:?} ended with {ended}")))
}

fn git(folder: &Path, arguments: &[&str]) -> io::Result<()> {
    let identity = ["-c", "user.name=n", "-c", "user.email=n@example.test", "-c", "gc.auto=0"];
    let ran = Command::new("git")
        .current_dir(folder)
        .args(identity)
        .args(arguments)
        .stdout(Stdio::null())
        .status()?;
    if ran.success() { Ok(()) } else { Err(io::Error::other(format!("git {arguments:?} failed"))) }
}

fn measure(program: &str, count: usize) -> io::Result<Vec<Cost>> {
    let folder = tempfile::tempdir()?;
    let project = folder.path().join("project");
    let names: Vec<String> = (0..count).map(|n| format!("b{n}")).collect();
    let write = |extra: &str| {
        names.iter().try_for_each(|name| {
            fs::create_dir_all(project.join(name))?;
            fs::write(project.join(name).join("bottle.yaml"), manifest(name, extra))
        })
    };
    write("")?;
    // The program of the image is copied for each bottle; a small one keeps the disk out of the picture.
    let image = folder.path().join("image");
    let mut elf = vec![0_u8; 64];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (elf[18], elf[32], elf[54]) = (0x3e, 64, 56);
    fs::write(&image, elf)?;
    git(folder.path(), &["init", "--quiet", "project"])?;
    let bottle = |arguments: &[&str]| {
        let mut command = Command::new(program);
        command.current_dir(&project).env("XDG_STATE_HOME", folder.path().join("state")).args(arguments);
        command
    };
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let image = image.to_string_lossy().into_owned();
    let rendered = cost(bottle(&["render", "--accept-widening", "--image-binary", &image]).args(&all), &[0])?;
    git(&project, &["add", "--all"])?;
    git(&project, &["commit", "--quiet", "--message", "first"])?;
    let checked = cost(bottle(&["render", "--check"]).args(&all), &[0])?;
    // Nothing differs, and then every bottle does.
    let same = cost(&mut bottle(&["diff"]), &[0])?;
    write(", /v2")?;
    let differs = cost(&mut bottle(&["diff"]), &[1])?;
    Ok(vec![rendered, checked, same, differs])
}

fn main() -> io::Result<()> {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|it| it.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![10, 100, 1000] } else { sizes };
    let program = std::env::var("BOTTLE").unwrap_or_else(|_| env!("CARGO_BIN_EXE_bottle").to_owned());
    let mut first: Option<Vec<f64>> = None;
    print_row("manifests of 200 routes", &["command", "s", "CPU ms each", "ratio", "MiB"]);
    for count in sizes {
        let costs = measure(&program, count)?;
        #[expect(clippy::cast_precision_loss, reason = "a count of manifests")]
        let each: Vec<f64> =
            costs.iter().map(|cost| cost.processor.as_secs_f64() * 1000.0 / count as f64).collect();
        let base = first.get_or_insert_with(|| each.clone());
        for (at, name) in ["render", "render --check", "diff (nothing)", "diff (all)"].into_iter().enumerate()
        {
            let row = [
                name.to_owned(),
                format!("{:.1}", costs[at].time.as_secs_f64()),
                format!("{:.1}", each[at]),
                format!("{:.2}", each[at] / base[at]),
                (costs[at].memory >> 10).to_string(),
            ];
            print_row(&count.to_string(), &row.each_ref().map(String::as_str));
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report of a benchmark")]
fn print_row(first: &str, rest: &[&str]) {
    let rest = rest.iter().fold(String::new(), |row, cell| format!("{row}{cell:>16}"));
    println!("{first:<24}{rest}");
}
