//! Trees that an agent made to make a walk hang, follow, fill the memory, or hash something else than it copies.

use super::{Place, dockerfile, paths, place, place_in};
use bottle::consent::{Context, ContextError};
use bottle::tree::Folder;
use camino::Utf8PathBuf;
use fs_err as fs;
use fs_err::os::unix::fs::symlink;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many bytes this thread has read.
fn bytes_read() -> u64 {
    let counts = fs::read_to_string("/proc/thread-self/io").unwrap();
    counts.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

/// On a disk very many names take minutes.
fn in_memory(files: &[(&str, &str)]) -> Place {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { place_in(memory, files) } else { place(files) }
}

#[test]
fn pipes_sockets_and_bad_names_are_refused_by_name() {
    let place_with_pipe = place(&[]);
    let pipe = place_with_pipe.at("sub");
    fs::create_dir(&pipe).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, pipe.join("pipe").as_std_path(), fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    assert_eq!(
        place_with_pipe.refused(),
        "context/sub/pipe in the build context is a pipe; remove it or name it in .dockerignore"
    );

    let place_with_socket = place(&[]);
    let _socket = std::os::unix::net::UnixListener::bind(place_with_socket.at("socket")).unwrap();
    assert_eq!(
        place_with_socket.refused(),
        "context/socket in the build context is a socket; remove it or name it in .dockerignore"
    );

    let place_with_name = place(&[("sub/x", "")]);
    let name = std::ffi::OsStr::from_bytes(b"\xff");
    fs::write(place_with_name.at("sub").as_std_path().join(name), "").unwrap();
    assert_eq!(
        place_with_name.refused(),
        "context/sub holds a file whose name is not UTF-8; move it out of this folder"
    );

    let place_with_target = place(&[]);
    symlink(name, place_with_target.at("link")).unwrap();
    assert_eq!(
        place_with_target.refused(),
        "context/link is a symbolic link to a name that is not UTF-8; remove it"
    );

    let place_with_ignore = place(&[("sub/D", ""), ("sub/D.dockerignore", "a\n[\n")]);
    assert_eq!(
        place_with_ignore.refused_for("sub/D"),
        "context/sub/D.dockerignore:2: a `[` begins no character class"
    );
}

#[test]
fn an_ignore_file_that_is_a_pipe_or_huge_is_refused_at_once() {
    let fifo = place(&[]);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        fifo.at(".dockerignore").as_std_path(),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert!(fifo.refused().starts_with("context/.dockerignore is a pipe, which"));
    let huge = place(&[]);
    fs::File::create(huge.at(".dockerignore")).unwrap().set_len(2 << 30).unwrap();
    assert_eq!(huge.refused(), "context/.dockerignore is larger than 1 MiB");
}

#[test]
fn a_sparse_file_of_2_gib_is_refused_without_reading_it() {
    let place = place(&[("small/a", "12345"), ("cache/b", "1")]);
    fs::File::create(place.at("cache/disk.img")).unwrap().set_len(2 << 30).unwrap();
    let before = bytes_read();
    let error = place.refused();
    let read = bytes_read() - before;
    assert!(read < 1 << 20, "{read} bytes were read");
    assert_eq!(
        error,
        "the build context context/ holds more than 512 MiB; name what the image does not need in .dockerignore (the \
         largest: cache with 2 GiB in 3 entries, Dockerfile with 13 bytes in 1 entry, small with 5 bytes in 2 entries)"
    );
    place.put(".dockerignore", "cache\n");
    assert_eq!(paths(&place.read()), [".dockerignore", "Dockerfile", "small/a"]);
}

#[test]
fn a_hundred_thousand_entries_are_read_and_one_more_is_refused() {
    let place = in_memory(&[]);
    for folder in 0..100 {
        fs::create_dir_all(place.at(&format!("many/{folder}"))).unwrap();
        for file in 0..1000 {
            if (folder, file) != (0, 0) {
                symlink("x", place.at(&format!("many/{folder}/{file}"))).unwrap();
            }
        }
    }
    assert_eq!(place.read().entries().len(), 100_000);
    place.put("many/0/0", "");
    let error = place.refused();
    assert!(
        error.starts_with(
            "the build context context/ holds more than 100000 files, links and empty folders; name what the image \
             does not need in .dockerignore (the largest: "
        ) && error.contains("many with 0 bytes in 100101 entries"),
        "{error}"
    );
}

#[test]
fn deep_nesting_is_refused_before_it_costs_open_files() {
    let place = place(&[("a/x", "")]);
    let mut folder = Folder::open(&place.at("a")).unwrap();
    for _ in 0..99 {
        folder = folder.make_new("a").unwrap();
    }
    assert_eq!(place.read().entries().len(), 3);
    for _ in 0..2_000 {
        folder = folder.make_new("a").unwrap();
    }
    let deep = ["a"; 101].join("/");
    assert_eq!(
        place.refused(),
        format!("context/{deep} is nested more than 100 folders deep; name it in .dockerignore")
    );
    Folder::open(&place.base).unwrap().make_new("unnested").unwrap();
    flatten(&place);
}

/// The folder is too deep for whoever removes it by its path.
fn flatten(place: &Place) {
    let target = place.base.join("unnested");
    for round in 0.. {
        let moved = target.join(round.to_string());
        if fs::rename(place.at(&["a"; 50].join("/")), &moved).is_err() {
            break;
        }
        fs::rename(&moved, place.at("moved")).unwrap();
        fs::remove_dir_all(place.at("a")).unwrap();
        fs::rename(place.at("moved"), place.at("a")).unwrap();
    }
}

/// Whatever another program swaps in meanwhile: the copy has the digest that was returned, and no secret is in it.
#[test]
fn swapping_during_the_walk_never_parts_copy_and_digest() {
    let place = in_memory(&[("sub/file", "first"), ("sub/inner/x", "1")]);
    let outside = place.base.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("x"), "secret").unwrap();
    fs::write(place.base.join("second"), "second, and longer").unwrap();
    symlink(outside.join("x"), place.base.join("link")).unwrap();
    symlink(&outside, place.base.join("folder-link")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    let pipe = place.base.join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, pipe.as_std_path(), fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    let done = AtomicBool::new(false);
    let (mut copied, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let exchange = |one: &str, other: Utf8PathBuf| {
                let (cwd, flags) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
                let one = place.base.join(one);
                rustix::fs::renameat_with(cwd, one.as_std_path(), cwd, other.as_std_path(), flags).unwrap();
            };
            for _ in 0..200_000 {
                for (one, other) in [
                    ("second", "sub/file"),
                    ("link", "sub/file"),
                    ("pipe", "sub/file"),
                    ("folder-link", "sub/inner"),
                ] {
                    exchange(one, place.at(other));
                    exchange(one, place.at(other));
                }
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let base = Folder::open(&place.base).unwrap();
        for _ in 0..300 {
            let into = base.make_new("snapshot").unwrap();
            match Context::snapshot(&place.root(), dockerfile(), &into) {
                Ok(context) => {
                    copied += 1;
                    assert_eq!(Context::verify(&into, &context.digest()).unwrap(), context);
                    let found = fs::read_to_string(place.base.join("snapshot/sub/file"));
                    let link = fs::read_link(place.base.join("snapshot/sub/file"));
                    assert!(
                        link.is_ok() || found.is_ok_and(|text| text == "first" || text.starts_with("second"))
                    );
                }
                Err(ContextError::NotPlain { .. } | ContextError::Tree(_) | ContextError::Changed { .. }) => {
                    refused += 1;
                }
                Err(other) => panic!("{other}"),
            }
            base.remove_all("snapshot").unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(copied > 0 && refused > 0, "{copied} copied, {refused} refused");
}
