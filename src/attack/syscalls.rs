//! System calls that safe Rust can't make: an interpreter of the agent's image makes them.
//!
//! bottle's own image has none. There this check says so, and does not count them as refused.

use super::{Outcome, describe};
use rustix::io::Errno;
use std::{io, path::Path, process::Command};

/// A call: its name, its number on `x86_64` and on `aarch64` (the kernel's `arch/x86/entry/syscalls/syscall_64.tbl` and
/// `scripts/syscall.tbl`), and arguments with which it changes nothing. Without a filter most of them end with
/// `EFAULT` or `EBADF`, or succeed. Where the kernel asks for a privilege first, as `bpf` does on most hosts, the
/// answer is the filter's.
type Call = (&'static str, [u16; 2], &'static [i8]);

const CALLS: &[Call] = &[
    ("bpf", [321, 280], &[0, 0, 0]),
    ("perf_event_open", [298, 241], &[0, 0, -1, -1, 0]),
    ("userfaultfd", [323, 282], &[1]), // UFFD_USER_MODE_ONLY, which needs no privilege
    ("keyctl", [250, 219], &[0, -3, 0]), // KEYCTL_GET_KEYRING_ID of the session, without making one
    ("add_key", [248, 217], &[0, 0, 0, 0, -3]),
    ("request_key", [249, 218], &[0, 0, 0, 0]),
    ("io_uring_setup", [425, 425], &[1, 0]),
    ("io_uring_enter", [426, 426], &[-1, 0, 0, 0, 0, 0]),
    ("io_uring_register", [427, 427], &[-1, 0, 0, 0]),
    ("setns", [308, 268], &[-1, 0]),
    ("open_by_handle_at", [304, 265], &[-1, 0, 0]),
];

/// Each argument is `NAME,NUMBER,ARGUMENTS…`; each line of output is `NAME ERRNO`, 0 for success.
const PERL: &str = r#"for (@ARGV) {
    my ($name, @words) = split /,/;
    $! = 0;
    my $result = syscall($words[0] + 0, map { $_ + 0 } @words[1 .. $#words]);
    print "$name ", ($result == -1 ? $! + 0 : 0), "\n";
}"#;
const PYTHON: &str = r#"
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
for word in sys.argv[1:]:
    name, *words = word.split(",")
    result = libc.syscall(*(ctypes.c_long(int(it)) for it in words))
    print(name, ctypes.get_errno() if result == -1 else 0)
"#;

/// Program, the option before a script, the script. Perl is in every Debian and Ubuntu.
const INTERPRETERS: [(&str, &str, &str); 4] = [
    ("/usr/bin/perl", "-e", PERL),
    ("/usr/local/bin/perl", "-e", PERL),
    ("/usr/bin/python3", "-c", PYTHON),
    ("/usr/local/bin/python3", "-c", PYTHON),
];

pub(super) fn attempt() -> Outcome {
    let column = match std::env::consts::ARCH {
        "x86_64" => 0,
        "aarch64" => 1,
        other => return Outcome::NotApplicable(format!("their numbers on {other} are not known here")),
    };
    let Some((program, option, script)) =
        INTERPRETERS.into_iter().find(|(program, ..)| Path::new(program).exists())
    else {
        let names: Vec<_> = CALLS.iter().map(|(name, ..)| *name).collect();
        return Outcome::NotApplicable(format!(
            "no perl and no python3 here to try {}; try it in the agent: /run/bottle/bottle attack --self",
            names.join(", ")
        ));
    };
    let words = CALLS.iter().map(|(name, numbers, arguments)| {
        let numbers = std::iter::once(numbers[column].to_string());
        let words: Vec<_> = numbers.chain(arguments.iter().map(ToString::to_string)).collect();
        format!("{name},{}", words.join(","))
    });
    match Command::new(program).args([option, script]).args(words).output() {
        Ok(output) => outcome(program, &String::from_utf8_lossy(&output.stdout)),
        Err(error) => Outcome::NotTried(format!("{program}: {error}")),
    }
}

fn outcome(program: &str, output: &str) -> Outcome {
    let mut attempts = Vec::new();
    for (name, ..) in CALLS {
        let code =
            output.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<i32>().ok());
        match code {
            Some(0) => attempts.push(((*name).to_owned(), Ok(()))),
            Some(code) => attempts.push(((*name).to_owned(), Err(io::Error::from_raw_os_error(code)))),
            None => return Outcome::NotTried(format!("{program} did not say how {name} ended")),
        }
    }
    all_refused(attempts)
}

/// Judges calls that a filter must refuse: `EPERM`, or `ENOSYS` as a call that does not exist. Any other error is
/// the kernel's own, so the call reached it.
pub(super) fn all_refused<T>(attempts: impl IntoIterator<Item = (String, io::Result<T>)>) -> Outcome {
    let (mut count, mut last) = (0, String::from("nothing was tried"));
    for (what, result) in attempts {
        let Err(error) = result else { return Outcome::Broken(format!("{what} worked")) };
        let code = error.raw_os_error().map(Errno::from_raw_os_error);
        if !matches!(code, Some(Errno::PERM | Errno::NOSYS)) {
            return Outcome::Broken(format!("{what} reached the kernel, which says: {}", describe(&error)));
        }
        (count, last) = (count + 1, describe(&error));
    }
    match count {
        0 => Outcome::NotTried(last),
        1 => Outcome::Held(last),
        _ => Outcome::Held(format!("{count} attempts: {last}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(of: impl Fn(&str) -> i32) -> String {
        let lines: Vec<_> = CALLS.iter().map(|(name, ..)| format!("{name} {}\n", of(name))).collect();
        lines.concat()
    }

    #[test]
    fn every_call_must_be_refused_and_none_be_missing() {
        assert!(
            matches!(outcome("perl", &output(|_| 1)), Outcome::Held(detail) if detail.starts_with("11 "))
        );
        let worked = output(|name| i32::from(name != "setns"));
        assert_eq!(outcome("perl", &worked), Outcome::Broken("setns worked".into()));
        let fault = output(|name| if name == "add_key" { 14 } else { 1 });
        assert_eq!(
            outcome("perl", &fault),
            Outcome::Broken("add_key reached the kernel, which says: bad address".into())
        );
        let cut = output(|_| 1).replace("setns 1\n", "");
        assert_eq!(outcome("perl", &cut), Outcome::NotTried("perl did not say how setns ended".into()));
    }

    /// Outside of a filter the calls reach the kernel, with each interpreter that is here.
    #[test]
    fn each_interpreter_says_how_each_call_ended() {
        let mut tried = 0;
        for (program, option, script) in INTERPRETERS {
            if !Path::new(program).exists() {
                continue;
            }
            // A number that no kernel has, and a call that succeeds with -1 in it: close(-1) is EBADF.
            let close = if std::env::consts::ARCH == "x86_64" { 3 } else { 57 };
            let words = ["none,100000".to_owned(), format!("close,{close},-1")];
            let ran = Command::new(program).args([option, script]).args(words).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&ran.stdout), "none 38\nclose 9\n", "{program}");
            tried += 1;
        }
        assert!(tried > 0, "neither perl nor python3 is here; scripts/setup --tests installs python3");
    }

    fn ended(code: Errno) -> (String, io::Result<()>) {
        ("x".to_owned(), Err(code.into()))
    }

    #[test]
    fn only_the_filters_own_answers_count_as_refused() {
        assert!(matches!(all_refused([ended(Errno::PERM), ended(Errno::NOSYS)]), Outcome::Held(_)));
        for code in [Errno::INVAL, Errno::NOENT, Errno::AFNOSUPPORT, Errno::FAULT, Errno::ACCESS] {
            let outcome = all_refused([ended(Errno::PERM), ended(code)]);
            assert!(
                matches!(&outcome, Outcome::Broken(why) if why.starts_with("x reached the kernel, which says: ")),
                "{outcome:?}"
            );
        }
        assert_eq!(
            all_refused([ended(Errno::PERM), ("y".to_owned(), Ok(()))]),
            Outcome::Broken("y worked".into())
        );
        assert!(matches!(all_refused::<()>([]), Outcome::NotTried(_)), "no attempt proves nothing");
    }
}
