//! What the operator gets for what cannot be.

use kubefox_core::fatal::Fatal;

use crate::run::{finish, kubefox, text};

/// A controller with everything it must have; later flags win over earlier ones only where clap says so, so each case
/// names its own.
const CONTROLLER: [&str; 7] =
    ["controller", "--namespace", "kubefox", "--pod-name", "kubefox-0", "--tenant-namespaces", "team0"];

#[test]
fn a_vault_beyond_the_pod_is_refused() {
    for url in
        ["http://10.0.0.1:8200", "https://vault.example.com:8200", "http://vault:8200", "unix:relative", "x"]
    {
        let output = finish(kubefox().args(CONTROLLER).args(["--vault-url", url]));

        assert_eq!(output.status.code(), Some(2), "{url}");
        let rule = "the URL of Vault must be http://127.0.0.1:PORT, http://localhost:PORT or unix:/PATH";
        let said = text(&output.stderr);
        assert!(said.contains(&format!("--vault-url {url}")) && said.contains(rule), "{said}");
    }
}

#[test]
fn a_name_that_is_none_is_refused_with_its_rule() {
    let output = finish(kubefox().args(["controller", "--namespace", "Kube_Fox", "--pod-name", "kubefox-0"]));

    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("not a Kubernetes namespace: 1 to 63 of a-z, 0-9 and inner hyphens"), "{said}");
}

#[test]
fn a_controller_without_tenants_is_refused() {
    let output = finish(kubefox().args(["controller", "--namespace", "kubefox", "--pod-name", "kubefox-0"]));

    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--tenant-namespaces"), "{}", text(&output.stderr));
}

#[test]
fn the_platforms_own_namespace_is_no_tenant() {
    let output = finish(kubefox().args([
        "controller",
        "--namespace",
        "kubefox",
        "--pod-name",
        "kubefox-0",
        "--tenant-namespaces",
        "team0,kubefox",
    ]));

    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(
        said.contains("--tenant-namespaces kubefox: the platform's own namespace is never a tenant"),
        "{said}"
    );
}

#[test]
fn a_pod_without_an_ordinal_is_refused() {
    let output = finish(kubefox().args([
        "controller",
        "--namespace",
        "kubefox",
        "--pod-name",
        "kubefox-7c9f",
        "--tenant-namespaces",
        "team0",
    ]));

    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("must end in the ordinal"), "{}", text(&output.stderr));
}

#[test]
fn a_missing_authority_of_the_api_server_names_the_file_and_the_remedy() {
    let folder = tempfile::tempdir().expect("a temporary directory");

    let output = finish(
        kubefox()
            .args(CONTROLLER)
            .args(["--kubernetes-url", "https://127.0.0.1:1", "--service-account-dir"])
            .arg(folder.path()),
    );

    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(
        said.contains("ca.crt") && said.contains("project kube-root-ca.crt into --service-account-dir"),
        "{said}"
    );
}

#[test]
fn recovery_without_the_pods_uid_is_refused() {
    let output = finish(kubefox().args(CONTROLLER).arg("--recover-interrupted-init"));

    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("--recover-interrupted-init: needs --pod-uid"), "{said}");
}

#[test]
fn before_vault_nothing_is_done_without_a_mark_and_nobody_is_needed_for_it() {
    let volume = tempfile::tempdir().expect("a temporary directory");
    let data = volume.path().join("vault");
    std::fs::create_dir(&data).expect("a new directory");
    std::fs::write(data.join("vault.db"), "raft").expect("a new file");

    let output = finish(
        kubefox()
            .args(["init", "vault", "--namespace", "kubefox", "--status-listen", "127.0.0.1:0"])
            .arg("--volume-dir")
            .arg(volume.path())
            .arg("--termination-log")
            .arg(volume.path().join("termination-log")),
    );

    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("NotMarked"), "{}", text(&output.stderr));
    assert_eq!(std::fs::read(data.join("vault.db")).expect("untouched"), b"raft");
}

#[test]
fn a_probe_of_a_role_that_is_not_there_says_so() {
    let output = finish(kubefox().args(["check", "--status-listen", "127.0.0.1:1"]));

    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("127.0.0.1:1 does not answer"), "{}", text(&output.stdout));
}

/// The table of the README is what the code says.
#[test]
fn the_readme_tells_every_way_to_stop() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).expect("a README");
    let table =
        readme.split("<!-- fatals -->\n").nth(1).and_then(|rest| rest.split("<!-- /fatals -->").next());

    let row = |fatal: &Fatal| {
        format!("| `{fatal:?}` | {} | {} | {} |\n", fatal.exit_code(), fatal.cause(), fatal.remedy())
    };
    let rows: String = Fatal::ALL.iter().map(row).collect();
    let head = "| name | exit | what happened | what to do |\n|---|---|---|---|\n";
    assert_eq!(table, Some(format!("{head}{rows}").as_str()));
}
