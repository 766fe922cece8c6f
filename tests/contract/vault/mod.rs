//! Vault: the stories, and the two ways to run them.

mod certificates;
mod evaluation;
mod login;
mod platform;
mod policies;
mod requests;
mod seal;
mod settings;
mod signatures;
mod stored;
mod surplus;
mod tokens;

use crate::cases::VAULT;
use crate::real::Real;
use crate::record::Record;
use crate::stage::Stage;

/// Seal, settings, tokens and logins; then what the engines are used for.
const EXPECTED: &str =
    concat!(include_str!("../expected/vault-setup.txt"), "\n", include_str!("../expected/vault-engines.txt"));
const EXPECTED_FILE: &str = "expected/vault-{setup,engines}.txt";

type Story = (&'static str, fn(&mut Stage<'_>));

const STORIES: &[Story] = &[
    ("a first start and a second one", seal::two_starts),
    ("what root makes", settings::of_root),
    ("what setup makes", settings::of_setup),
    ("settings by who may not", settings::of_others),
    ("settings that are none", settings::malformed),
    ("parameters that nobody knows", surplus::parameters),
    ("password policies that are none", surplus::in_password_policies),
    ("tokens that live and die", tokens::living_and_dead),
    ("requests by who may not", tokens::refused),
    ("batch tokens", tokens::batch),
    ("each role logs in", login::each_role),
    ("others try to log in", login::of_others),
    ("the gone try to log in", login::of_the_gone),
    ("a login that cannot be decided", login::that_cannot_be_decided),
    ("documents of NATS", stored::documents_of_nats),
    ("accounts of OpenSearch", stored::accounts),
    ("the generation of the envelope", stored::generation),
    ("values of systems and environments", stored::systems_and_environments),
    ("each role's certificate", certificates::each_role),
    ("certificates of others", certificates::of_others),
    ("certificates on keys of others", requests::each_role),
    ("requests for certificates that are none", requests::bad),
    ("certificates for longer than their authority", certificates::beyond_the_authority),
    ("certificates by hand", certificates::by_hand),
    ("who signs", signatures::who_signs),
    ("keys whose names are alike", signatures::names_alike),
    ("signatures by hand", signatures::by_hand),
];

#[test]
fn the_fake_vault_answers_as_committed() {
    let mut record = Record::default();
    for (name, story) in STORIES {
        record.begin(name);
        story(&mut Stage::fake(&mut record));
    }
    record.check("the fake Vault", EXPECTED, EXPECTED_FILE, VAULT);
}

#[test]
#[ignore = "needs the servers of tests/peers/build"]
fn real_openbao_answers_as_committed() {
    compare("bao", "OpenBao v2.7.2");
}

#[test]
#[ignore = "needs the servers of tests/peers/build"]
fn real_openbao_of_the_release_before_answers_as_committed() {
    compare("bao-before", "OpenBao v2.6.2");
}

fn compare(bao: &str, version: &str) {
    let mut real = Real::start(bao);
    assert_eq!(real.versions()[0].1, version);
    let mut record = Record::default();
    for (name, story) in STORIES {
        record.begin(name);
        story(&mut Stage::real(&mut real, &mut record));
    }
    record.check(version, EXPECTED, EXPECTED_FILE, VAULT);
}
