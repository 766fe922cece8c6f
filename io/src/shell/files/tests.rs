mod exhausted;

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use kubefox_core::state::Claimed;
use tempfile::TempDir;

use super::*;
use crate::disk::NewFile;

const LIMIT_BYTES: u64 = 1_024;

#[test]
fn a_replaced_file_is_read_back_by_whoever_reads_next() {
    let world = World::new();

    assert_eq!(world.read_state("boot.state"), Seen::Absent);
    assert_eq!(world.replace("boot.state", b"one"), Seen::Done);
    assert_eq!(world.read_state("boot.state"), Seen::Bytes(b"one".to_vec()));
    assert_eq!(world.replace("boot.state", b"another"), Seen::Done);
    assert_eq!(world.read_state("boot.state"), Seen::Bytes(b"another".to_vec()));

    let file = fs::metadata(world.path("boot.state")).expect("written");
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    assert_eq!(world.list("."), ["boot.state"]);
}

#[test]
fn a_temporary_file_that_a_crash_left_is_in_nobodys_way() {
    let world = World::new();
    fs::write(world.path(".boot.state.tmp"), "half").expect("a leftover");

    assert_eq!(world.replace("boot.state", b"whole"), Seen::Done);

    assert_eq!(world.read_state("boot.state"), Seen::Bytes(b"whole".to_vec()));
    assert_eq!(world.list("."), ["boot.state"]);
}

#[test]
fn a_failed_replacement_leaves_the_old_file_and_no_temporary_one() {
    let world = World::new();
    fs::create_dir_all(world.path("boot.state")).expect("a folder in the file's place");

    let outcome = world.replace("boot.state", b"new");

    assert!(matches!(outcome, Seen::Failed(_)), "{outcome:?}");
    assert_eq!(world.list("."), ["boot.state"]);
}

#[test]
fn only_what_is_not_there_is_absent() {
    let world = World::new();
    let nowhere = Directories::default();
    let missing = Directories { state: Some(world.path("missing")), ..Directories::default() };
    for directories in [&nowhere, &missing] {
        assert_eq!(see(directories, Request::Claim(Folder::State)), Seen::Absent);
        assert_eq!(see(directories, read("boot.state")), Seen::Absent);
        assert_eq!(see(directories, replace_request("boot.state", b"x")), Seen::Absent);
    }

    fs::create_dir_all(world.path("boot.state")).expect("a folder in the file's place");
    assert_eq!(world.read_state("boot.state"), Seen::Failed(ErrorKind::IsADirectory));
    fs::write(world.path("file"), "").expect("a file");
    let file = Directories { state: Some(world.path("file")), ..Directories::default() };
    assert_eq!(see(&file, read("boot.state")), Seen::Failed(ErrorKind::NotADirectory));
}

#[test]
fn without_permission_it_is_refused() {
    if rustix::process::geteuid().is_root() {
        // Said aloud: a test that is skipped must not look like one that passed.
        writeln!(io::stderr(), "skipped: root may read and write everything").expect("stderr is open");
        return;
    }
    let world = World::new();
    fs::write(world.path("boot.state"), "x").expect("a file");
    fs::set_permissions(world.path("boot.state"), fs::Permissions::from_mode(0o000)).expect("own file");
    fs::set_permissions(world.path("."), fs::Permissions::from_mode(0o500)).expect("own folder");

    assert_eq!(world.read_state("boot.state"), Seen::Refused(ErrorKind::PermissionDenied));
    assert_eq!(world.replace("boot.state", b"y"), Seen::Refused(ErrorKind::PermissionDenied));

    fs::set_permissions(world.path("."), fs::Permissions::from_mode(0o700)).expect("own folder");
}

#[test]
fn more_than_the_limit_is_refused_and_exactly_the_limit_is_read() {
    let world = World::new();
    let limit = usize::try_from(LIMIT_BYTES).expect("small");

    assert_eq!(world.replace("boot.state", &vec![b'x'; limit]), Seen::Done);
    assert_eq!(world.read_state("boot.state"), Seen::Bytes(vec![b'x'; limit]));
    assert_eq!(world.replace("boot.state", &vec![b'x'; limit + 1]), Seen::Done);
    assert_eq!(world.read_state("boot.state"), Seen::Refused(ErrorKind::FileTooLarge));
}

#[test]
fn a_plain_directory_is_no_mount_point_and_the_root_is_one() {
    let world = World::new();

    let claimed = see(&world.directories, Request::Claim(Folder::State));

    assert_eq!(claimed, Seen::Claimed(Claimed::Ours { mount_point: false }));
    assert!(is_mount_point(Path::new("/")).expect("it is there"));
    if cfg!(target_os = "linux") {
        assert!(is_mount_point(Path::new("/proc")).expect("it is there"));
    }
}

#[test]
fn a_pair_is_of_one_version() {
    let world = World::new();
    for version in ["..2024_1", "..2024_2"] {
        fs::create_dir(world.path(version)).expect("a version");
        fs::write(world.path(version).join("tls.crt"), version).expect("a file");
    }
    fs::write(world.path("..2024_2/ca.crt"), "..2024_2").expect("a file");
    symlink("..2024_1", world.path("..data")).expect("a link");
    symlink("..data/tls.crt", world.path("tls.crt")).expect("a link");
    // A link that leads elsewhere: only the version itself counts.
    symlink("..2024_2/ca.crt", world.path("ca.crt")).expect("a link");

    assert_eq!(world.read_pair(["tls.crt", "ca.crt"]), Seen::Pair([Some(b"..2024_1".to_vec()), None]));
}

#[test]
fn a_bundle_replaces_the_one_before_as_one() {
    let world = World::new();

    assert_eq!(world.replace_all(&[("nats.conf", "1", 0o644), ("tls.key", "1", 0o640)]), Seen::Done);
    assert_eq!(
        world.read_pair(["nats.conf", "tls.key"]),
        Seen::Pair([Some(b"1".to_vec()), Some(b"1".to_vec())])
    );
    assert_eq!(world.replace_all(&[("nats.conf", "2", 0o644), ("ca.crt", "2", 0o644)]), Seen::Done);

    assert_eq!(world.read_pair(["nats.conf", "tls.key"]), Seen::Pair([Some(b"2".to_vec()), None]));
    assert_eq!(fs::read_to_string(world.path("ca.crt")).ok().as_deref(), Some("2"));
    assert_eq!(world.list(""), ["..data", "..version-2", "ca.crt", "nats.conf"]);
    let mode = fs::metadata(world.path("nats.conf")).expect("written").permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

#[test]
fn whoever_reads_meanwhile_sees_the_old_bundle_or_the_new_one() {
    let world = World::new();
    let write = |number: u32| {
        let text = number.to_string();
        assert_eq!(world.replace_all(&[("a", &text, 0o644), ("b", &text, 0o644)]), Seen::Done);
    };
    write(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut whole = 0;
            while !done.load(Ordering::Relaxed) {
                let seen = world.read_pair(["a", "b"]);
                if let Seen::Pair([Some(a), Some(b)]) = &seen {
                    assert_eq!(a, b);
                    whole += 1;
                } else {
                    assert_eq!(seen, Seen::Failed(ErrorKind::Interrupted), "a bundle or a passing failure");
                }
            }
            whole
        });
        (1..200).for_each(write);
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().expect("the reader saw no mixture") > 0);
    });
}

#[test]
fn a_crash_before_the_swap_leaves_the_old_bundle_and_the_next_write_cleans_up() {
    let world = World::new();
    assert_eq!(world.replace_all(&[("a", "1", 0o644)]), Seen::Done);
    fs::create_dir(world.path("..version-2")).expect("half a version");
    fs::write(world.path("..version-2/a"), "half").expect("half a version");
    symlink("..version-2", world.path("..link.tmp")).expect("a link");

    assert_eq!(world.read_pair(["a", "b"]), Seen::Pair([Some(b"1".to_vec()), None]));
    assert_eq!(world.replace_all(&[("a", "2", 0o644)]), Seen::Done);

    assert_eq!(world.read_pair(["a", "b"]), Seen::Pair([Some(b"2".to_vec()), None]));
    assert_eq!(world.list(""), ["..data", "..version-2", "a"]);
}

#[test]
fn no_file_is_written_outside_its_folder() {
    let world = World::new();
    for name in ["../a", "a/b", "..data", "..", ".", ""] {
        assert_eq!(
            world.replace_all(&[(name, "x", 0o644)]),
            Seen::Refused(ErrorKind::InvalidInput),
            "{name:?}"
        );
    }
    assert_eq!(world.list(""), Vec::<String>::new());
}

#[tokio::test]
async fn operations_take_turns_in_the_order_they_came() {
    let world = World::new();
    let files = Files::new(world.directories.clone());

    // The first caller gives up at once; its write may still happen, but never after the second.
    let given_up = files.carry(replace_request("boot.state", b"old"));
    let _ = tokio::time::timeout(std::time::Duration::from_micros(1), given_up).await;
    let response = files.carry(replace_request("boot.state", b"new")).await;

    assert_eq!(Seen::from(response), Seen::Done);
    assert_eq!(world.read_state("boot.state"), Seen::Bytes(b"new".to_vec()));
}

/// A response that can be compared and printed; there are no secrets here.
#[derive(Debug, PartialEq)]
enum Seen {
    Claimed(Claimed),
    Bytes(Vec<u8>),
    Pair([Option<Vec<u8>>; 2]),
    Absent,
    Done,
    Refused(ErrorKind),
    Failed(ErrorKind),
}

impl From<Response> for Seen {
    fn from(response: Response) -> Self {
        match response {
            Response::Claimed(claimed) => Self::Claimed(claimed),
            Response::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
            Response::Pair(pair) => Self::Pair(pair.map(|bytes| bytes.map(|bytes| bytes.to_vec()))),
            Response::Data(facts) => panic!("nobody asked for {facts:?}"),
            Response::Absent => Self::Absent,
            Response::Done => Self::Done,
            Response::Refused(kind) => Self::Refused(kind),
            Response::Failed(kind) => Self::Failed(kind),
        }
    }
}

/// One temporary directory that is both the state volume and the shared volume.
struct World {
    root: TempDir,
    directories: Directories,
}

impl World {
    fn new() -> Self {
        let root = TempDir::new().expect("a temporary directory");
        let path = Some(root.path().to_owned());
        let directories = Directories { state: path.clone(), shared: path, ..Directories::default() };
        Self { root, directories }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn list(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).expect("a folder");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name().into_string();
        let mut names: Vec<_> = entries.map(|entry| name(entry).expect("UTF-8")).collect();
        names.sort();
        names
    }

    fn read_state(&self, name: &'static str) -> Seen {
        see(&self.directories, read(name))
    }

    fn replace(&self, name: &'static str, bytes: &[u8]) -> Seen {
        see(&self.directories, replace_request(name, bytes))
    }

    fn read_pair(&self, names: [&'static str; 2]) -> Seen {
        see(&self.directories, Request::ReadPair { folder: Folder::Shared, names, limit_bytes: LIMIT_BYTES })
    }

    fn replace_all(&self, files: &[(&str, &str, u32)]) -> Seen {
        let files = files.iter().map(|(name, text, mode)| NewFile {
            name: (*name).to_owned(),
            bytes: Zeroizing::new(text.as_bytes().to_vec()),
            mode: *mode,
        });
        see(&self.directories, Request::ReplaceAll { folder: Folder::Shared, files: files.collect() })
    }
}

fn see(directories: &Directories, request: Request) -> Seen {
    perform(directories, &mut Claim::default(), &request).into()
}

fn read(name: &'static str) -> Request {
    Request::Read { folder: Folder::State, name, limit_bytes: LIMIT_BYTES }
}

fn replace_request(name: &'static str, bytes: &[u8]) -> Request {
    Request::Replace { folder: Folder::State, name, bytes: Zeroizing::new(bytes.to_vec()) }
}
