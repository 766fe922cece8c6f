//! NATS: the stories, and the two ways to run them.

mod connection;
mod stories;
mod world;

use kubefox_sim::embedded::nats::serve;

use self::world::World;
use crate::cases::NATS;
use crate::real::Real;
use crate::record::Record;

const EXPECTED: &str = include_str!("../expected/nats.txt");
const EXPECTED_FILE: &str = "expected/nats.txt";

#[test]
fn the_fake_nats_server_answers_as_committed() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime needs nothing that a process lacks");
    let mut record = Record::default();
    let folder = tempfile::tempdir().expect("a temporary directory");
    runtime.block_on(async {
        let world = World::lay_out(folder.path());
        let served = serve(&folder.path().join("nats.conf"), folder.path()).await.expect("it starts");
        stories::tell(&world, &served.address.to_string(), &mut record).await;
    });
    record.check("the fake nats-server", EXPECTED, EXPECTED_FILE, NATS);
}

#[test]
#[ignore = "needs the servers of tests/peers/build"]
fn real_nats_server_answers_as_committed() {
    let mut real = Real::start("bao");
    let [_, _, (_, version)] = real.versions();
    assert!(version.starts_with("v2.14."), "{version}");
    let folder = tempfile::tempdir().expect("a temporary directory");
    let world = World::lay_out(folder.path());
    let address = real.start_nats(folder.path());
    let mut record = Record::default();
    real.wait_for(stories::tell(&world, &address, &mut record));
    record.check("nats-server", EXPECTED, EXPECTED_FILE, NATS);
}
