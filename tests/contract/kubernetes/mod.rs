//! The API server: the stories, and the two ways to run them.

mod objects;
mod review;

use crate::cases::KUBERNETES;
use crate::real::Real;
use crate::record::Record;
use crate::stage::Stage;

const EXPECTED: &str = include_str!("../expected/kubernetes.txt");
const EXPECTED_FILE: &str = "expected/kubernetes.txt";

type Story = (&'static str, fn(&mut Stage<'_>));

const STORIES: &[Story] = &[
    ("the seal key", objects::seal_key),
    ("the commitment", objects::committed),
    ("trust", objects::trust),
    ("the controller's own pod", objects::own_pod),
    ("requests by who may not", objects::refused),
    ("objects that the policy forbids", objects::forbidden),
    ("reviews", review::of_tokens),
    ("members that nobody knows", review::with_unknown_members),
    ("the keys that sign tokens", review::signers),
];

#[test]
fn the_fake_api_server_answers_as_committed() {
    let mut record = Record::default();
    for (name, story) in STORIES {
        record.begin(name);
        story(&mut Stage::fake(&mut record));
    }
    record.check("the fake API server", EXPECTED, EXPECTED_FILE, KUBERNETES);
}

#[test]
#[ignore = "needs the servers of tests/peers/build"]
fn real_kube_apiserver_answers_as_committed() {
    let mut real = Real::start("bao");
    let [_, (_, version), _] = real.versions();
    assert!(version.starts_with("v1.36."), "{version}");
    let mut record = Record::default();
    for (name, story) in STORIES {
        record.begin(name);
        story(&mut Stage::real_cluster(&mut real, &mut record));
    }
    record.check("kube-apiserver", EXPECTED, EXPECTED_FILE, KUBERNETES);
}
