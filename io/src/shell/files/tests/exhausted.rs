//! A volume that is full, and one that is read-only: real ones, in a mount namespace of a process of their own.

use std::process::Command;

use super::*;

/// Says that this process is the one inside, and where the volume is.
const VOLUME: &str = "KUBEFOX_TEST_VOLUME";
/// `$1` is the volume, `$2` this program, `$3` the test.
const INSIDE: &str = r#"mount -t tmpfs -o size=64k none "$1" && exec "$2" --exact "$3" --nocapture"#;
const TEST: &str = "shell::files::tests::exhausted::a_full_or_read_only_volume_refuses_and_keeps_what_it_has";

#[test]
fn a_full_or_read_only_volume_refuses_and_keeps_what_it_has() {
    if let Some(volume) = std::env::var_os(VOLUME) {
        return inside(Path::new(&volume));
    }
    let volume = TempDir::new().expect("a temporary directory");
    let program = std::env::current_exe().expect("this test's program");
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", INSIDE, "sh"])
        .args([volume.path(), &program])
        .arg(TEST)
        .env(VOLUME, volume.path())
        .env("TMPDIR", volume.path())
        .output()
        .expect("unshare (util-linux) is installed");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn inside(volume: &Path) {
    let world = World::new();
    let (small, large) = ("x", "x".repeat(100 * 1024));
    assert_eq!(world.replace("boot.state", small.as_bytes()), Seen::Done);
    assert_eq!(world.replace_all(&[("tls.crt", small, 0o644), ("tls.key", small, 0o640)]), Seen::Done);
    let before = world.list("");

    let full = || Seen::Refused(ErrorKind::StorageFull);
    assert_eq!(world.replace_all(&[("tls.crt", small, 0o644), ("tls.key", &large, 0o640)]), full());
    assert_eq!(world.replace("boot.state", large.as_bytes()), full());
    let one = || Some(small.as_bytes().to_vec());
    assert_eq!(world.read_pair(["tls.crt", "tls.key"]), Seen::Pair([one(), one()]));
    assert_eq!(fs::read(world.path("boot.state")).ok(), one());
    assert_eq!(world.list(""), before, "nothing half-written stays");

    assert_eq!(world.replace_all(&[("tls.crt", small, 0o644), ("tls.key", small, 0o640)]), Seen::Done);
    let before = world.list("");

    let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(volume).status();
    assert!(remount.expect("mount is installed").success());
    let read_only = || Seen::Refused(ErrorKind::ReadOnlyFilesystem);
    assert_eq!(world.replace_all(&[("tls.crt", small, 0o644)]), read_only());
    assert_eq!(world.replace("boot.state", small.as_bytes()), read_only());
    assert_eq!(world.list(""), before);
}
