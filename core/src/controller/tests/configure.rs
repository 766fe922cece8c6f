//! Making every setting so, and storing what is written once.

use serde_json::{Value, json};

use super::fixtures::*;
use crate::documents::jwt::{self, Unsigned};
use crate::documents::nkey::{Prefix, PublicKey};
use crate::documents::setting::{platform_settings, wanted};
use crate::signature::Signature;
use crate::state::State;
use crate::vault::{Account, AuthRole, Generation, Mount, NatsKey, PkiRole, Setting, StoredJwt};
use crate::volume::{Token, TokenFile};

const CONTROLLER: Secret = Secret::Own(Own::ControllerToken);
const SETUP: Secret = Secret::Own(Own::SetupToken);
/// Of 32 bytes of nine.
const PUBLIC_KEY: &str = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=";

#[test]
fn the_one_who_serves_logs_in_first_and_sweeps_before_anybody_configures() {
    let mut bench = Bench::at_in(World::converged(), "Login::ReadingControllerJwt");
    let log_in = |role, jwt, into| {
        let (jwt, into) = (Secret::Own(jwt), Secret::Own(into));
        asks_vault(vault::Call::Login { role, jwt, into })
    };
    assert_eq!(bench.step(), [log_in(AuthRole::Controller, Own::VaultJwt, Own::ControllerToken)]);
    assert_eq!(bench.step(), [asks_vault(vault::Call::ListAccessors { token: CONTROLLER })]);
    assert_eq!(bench.step(), [Told::Notes(Notice::Swept), asks_for_token(Token::Setup, Own::SetupJwt)]);
    assert_eq!(bench.step(), [log_in(AuthRole::ControllerSetup, Own::SetupJwt, Own::SetupToken)]);
    assert_eq!(bench.step(), [reads(SETUP, Setting::KubernetesAuth)]);
}

#[test]
fn on_a_converged_vault_every_setting_is_read_and_none_is_written() {
    let mut bench = Bench::at_in(World::converged(), "Configure::ReadingSetting");
    for setting in platform_settings() {
        assert_eq!(bench.step(), [reads(SETUP, setting)]);
    }
    compares_the_generation(&mut bench);
    for jwt in StoredJwt::ALL {
        assert_eq!(bench.step(), [asks_vault(vault::Call::ReadJwt { token: SETUP, jwt })]);
    }
    for account in Account::ALL {
        assert_eq!(bench.step(), [asks_vault(vault::Call::ReadAccount { token: SETUP, account })]);
    }
    let told = bench.step();
    assert_eq!(told, [Told::Notes(Notice::Configured { keys: nats_keys() }), asks_to_forget()]);
}

#[test]
fn whoever_serves_holds_nothing_that_only_the_boot_needs() {
    for world in [World::default(), World::converged(), hardened()] {
        let mut bench = Bench::at_in(world, "Configure::Forgetting");
        assert_eq!(bench.slots.own(), [Own::ApiJwt, Own::ControllerToken]);
        bench.forward_to("Serving");
        assert_eq!(bench.slots.own(), [Own::ApiJwt, Own::ControllerToken, Own::ServingKey]);

        // A renewal fills what it needs, and forgets it again.
        bench.pass_to(bench.now.in_ms(700_000));
        bench.wait();
        bench.forward_to("Configure::Forgetting");
        bench.forward_to("Serving");
        assert_eq!(bench.slots.own(), [Own::ApiJwt, Own::ControllerToken, Own::ServingKey]);
    }
}

#[test]
fn what_is_missing_or_differs_is_written_and_read_again() {
    for standing in [None, Some(json!({"policy": "path \"*\" {}"}))] {
        let mut bench = bench_reading(&Setting::Policy(AuthRole::Nats), World::converged());
        let setting = Setting::Policy(AuthRole::Nats);
        let body = wanted(&setting, &config().plan(), &accessor("auth_kubernetes_1")).body;
        assert_eq!(
            bench.done(vault(vault::Reply::Setting(standing))),
            [asks_vault(vault::Call::Write { token: SETUP, setting: setting.clone(), body })]
        );
        assert_eq!(bench.step(), [Told::Notes(Notice::Wrote(setting.clone())), reads(SETUP, setting)]);
        assert_eq!(bench.step(), [reads(SETUP, Setting::Policy(AuthRole::Opensearch))]);
    }
}

#[test]
fn what_cannot_be_repaired_by_writing_is_foreign() {
    let key = Setting::NatsKey(NatsKey::Operator);
    for (setting, standing) in [
        (Setting::Mount(Mount::Pki), json!({"type": "kv", "options": null, "config": {}})),
        (Setting::RootCertificate, json!({"issuers": ["root-1", "another"]})),
        (Setting::RootCertificate, json!({"issuers": ["another"]})),
        (key.clone(), json!({"type": "aes256-gcm96", "latest_version": 1})),
        (key.clone(), json!({"type": "ed25519", "latest_version": 2, "public_key": "AA=="})),
        (key.clone(), json!({"type": "ed25519", "latest_version": 1})),
        (key, json!({"type": "ed25519", "latest_version": 1, "public_key": "AA=="})),
    ] {
        let mut bench = bench_reading(&setting, World::converged());
        let told = bench.done(vault(vault::Reply::Setting(Some(standing.clone()))));
        assert_eq!(told, [Told::Notes(Notice::Drift(setting.clone()))], "{standing}");
        bench.assert_stopped(Fatal::ForeignConfiguration);
    }
}

#[test]
fn without_a_setup_token_even_what_cannot_be_repaired_is_only_an_alarm() {
    for (setting, standing, next) in [
        (
            Setting::Mount(Mount::Pki),
            json!({"type": "kv", "options": null, "config": {}}),
            Setting::Mount(Mount::Nats),
        ),
        (
            Setting::RootCertificate,
            json!({"issuers": ["root-1", "another"]}),
            Setting::PkiRole(PkiRole::Controller),
        ),
        (
            Setting::NatsKey(NatsKey::PlatformSigner),
            json!({"type": "ed25519", "latest_version": 2, "public_key": PUBLIC_KEY}),
            Setting::NatsKey(NatsKey::PlatformSigner),
        ),
    ] {
        let mut bench = bench_reading(&setting, hardened());
        let mut told = bench.done(vault(vault::Reply::Setting(Some(standing))));
        assert_eq!(told.remove(0), Told::Notes(Notice::Drift(setting.clone())));
        if next != setting {
            assert_eq!(told, [reads(CONTROLLER, next)]);
        }
        bench.forward_to("Serving");
    }
}

#[test]
fn without_a_setup_token_what_nothing_can_go_on_without_is_an_alarm_and_waited_for() {
    for (setting, standing) in [
        (Setting::KubernetesAuth, json!({"type": "kubernetes", "accessor": "../x"})),
        (Setting::NatsKey(NatsKey::Operator), json!({"type": "aes256-gcm96", "latest_version": 1})),
    ] {
        let mut bench = bench_reading(&setting, hardened());
        let told = bench.done(vault(vault::Reply::Setting(Some(standing))));
        assert_eq!(told, [Told::Notes(Notice::Drift(setting))]);
        bench.assert_waits(Wait::Configuration);
    }
}

#[test]
fn without_a_setup_token_a_difference_is_an_alarm_and_nothing_is_written() {
    let mut world = hardened();
    let setting = Setting::PkiRole(PkiRole::Component);
    world.settings.insert(setting.clone(), json!({"allow_any_name": true}));
    let mut bench = bench_reading(&setting, world);
    assert_eq!(
        bench.step(),
        [Told::Notes(Notice::Drift(setting)), reads(CONTROLLER, Setting::PkiRole(PkiRole::Runtime))]
    );
    bench.forward_to("Serving");
    let written = bench.world.deeds.iter().filter(|deed| deed.starts_with("Write")).count();
    assert_eq!(written, 0);
}

#[test]
fn without_a_setup_token_only_what_the_serving_role_may_read_is_read() {
    let mut bench = Bench::at_in(hardened(), "Configure::ReadingSetting");
    let readable = platform_settings().into_iter().filter(|setting| *setting != Setting::PasswordPolicy);
    for setting in readable {
        assert_eq!(bench.step(), [reads(CONTROLLER, setting)]);
    }
    compares_the_generation(&mut bench);
    for jwt in StoredJwt::ALL {
        assert_eq!(bench.step(), [asks_vault(vault::Call::ReadJwt { token: CONTROLLER, jwt })]);
    }
    let told = bench.step();
    assert_eq!(told[0], Told::Notes(Notice::Configured { keys: nats_keys() }));
}

#[test]
fn without_a_setup_token_what_is_missing_is_waited_for() {
    let mut world = hardened();
    world.settings.remove(&Setting::Mount(Mount::Opensearch));
    let mut bench = bench_reading(&Setting::Mount(Mount::Opensearch), world);
    assert_eq!(bench.step(), [Told::Notes(Notice::Drift(Setting::Mount(Mount::Opensearch)))]);
    bench.assert_waits(Wait::VaultToken);

    let mut world = hardened();
    world.jwts.remove(&StoredJwt::Operator);
    let mut bench = Bench::at_in(world, "Configure::ReadingJwt");
    assert_eq!(bench.step(), []);
    bench.assert_waits(Wait::VaultToken);
}

#[test]
fn a_jwt_is_signed_by_the_operator_and_written_once() {
    let mut bench = Bench::at("Configure::ReadingJwt");
    let unsigned = crate::documents::jwt::operator(
        &nats_keys().operator,
        &nats_keys().system_account,
        "blue",
        Unix(UNIX),
    );
    let input = unsigned.signing_input().into();
    assert_eq!(bench.step(), [asks_vault(vault::Call::Sign { token: SETUP, key: NatsKey::Operator, input })]);
    let (jwt, text) = (StoredJwt::Operator, unsigned.signed(&Signature([7; 64])));
    assert_eq!(bench.step(), [asks_vault(vault::Call::WriteJwt { token: SETUP, jwt, text })]);
    let stored = Told::Notes(Notice::Stored(Document::Jwt(jwt)));
    assert_eq!(bench.step(), [stored, asks_vault(vault::Call::ReadJwt { token: SETUP, jwt })], "at once");
}

#[test]
fn a_stored_jwt_about_other_keys_is_foreign() {
    let keys = nats_keys();
    let other = |prefix| PublicKey::encode(prefix, &[9; 32]);
    let (operator, account) = (other(Prefix::Operator), other(Prefix::Account));
    let text = |unsigned: Unsigned| unsigned.signed(&Signature([7; 64]));
    let now = Unix(UNIX);
    for (jwt, foreign) in [
        (StoredJwt::Operator, String::from("no JWT")),
        (StoredJwt::Operator, text(jwt::operator(&operator, &keys.system_account, "blue", now))),
        (StoredJwt::Operator, text(jwt::operator(&keys.operator, &account, "blue", now))),
        (StoredJwt::Operator, text(jwt::system_account(&keys.system_account, &keys.operator, now))),
        (StoredJwt::SystemAccount, text(jwt::system_account(&account, &keys.operator, now))),
        (StoredJwt::SystemAccount, text(jwt::system_account(&keys.system_account, &operator, now))),
        (StoredJwt::SystemAccount, text(jwt::system_account(&keys.platform_account, &keys.operator, now))),
        (StoredJwt::PlatformAccount, text(jwt::system_account(&keys.system_account, &keys.operator, now))),
    ] {
        let mut world = World::converged();
        world.jwts.insert(jwt, foreign.clone());
        let mut bench = Bench::at_in(world.clone(), "Stopped");
        bench.assert_stopped(Fatal::ForeignConfiguration);
        assert_eq!(bench.world.jwts, world.jwts, "it is left as it is");

        world.tokens.remove(&Token::Setup);
        bench = bench_reading_jwt(jwt, world);
        let mut told = bench.step();
        assert_eq!(told.remove(0), Told::Notes(Notice::ForeignJwt(jwt)), "{foreign}");
        bench.forward_to("Serving");
    }
}

#[test]
fn a_write_that_is_confirmed_and_never_stands_ends_in_a_back_off() {
    for (phase, absent, document) in [
        ("Configure::WritingJwt", vault::Reply::Jwt(None), Document::Jwt(StoredJwt::Operator)),
        (
            "Configure::WritingAccount",
            vault::Reply::Account { exists: false },
            Document::Account(Account::Admin),
        ),
    ] {
        let mut bench = Bench::at(phase);
        for _ in 0..5 {
            bench.done(vault(vault::Reply::Written));
            bench.done(vault(absent.clone()));
            bench.forward_to(phase);
        }
        assert_eq!(bench.done(vault(vault::Reply::Written)), [Told::Notes(Notice::Stored(document))]);
        bench.assert_waits(Wait::Configuration);
    }
}

#[test]
fn whoever_wrote_first_wins_and_the_loser_looks_again() {
    for (phase, reading) in [
        ("Configure::WritingJwt", "Configure::ReadingJwt"),
        ("Configure::WritingAccount", "Configure::ReadingAccount"),
    ] {
        for outcome in [
            Outcome::Refused(Refusal::Conflict),
            Outcome::Refused(Refusal::Denied),
            Outcome::Refused(Refusal::NotReady),
            Outcome::Unknown(Lost::Deadline),
        ] {
            let mut bench = Bench::at(phase);
            let pause_ms = if matches!(outcome, Outcome::Unknown(_)) { 200 } else { 25 };
            assert_eq!(bench.done(outcome), []);
            assert_eq!(bench.machine.phase(), reading);
            bench.assert_pauses(pause_ms, Wait::Configuration);
        }
        for refusal in [Refusal::Unauthenticated, Refusal::Unclear, Refusal::Invalid, Refusal::Busy] {
            let mut bench = Bench::at(phase);
            assert_eq!(bench.done(Outcome::Refused(refusal)), []);
            bench.assert_waits(Wait::Configuration);
        }
    }
}

#[test]
fn what_is_never_settled_is_looked_at_less_and_less_and_then_the_world_is() {
    let no = |refusal| Outcome::Refused(refusal);
    let unknown = || Outcome::Unknown(Lost::Deadline);
    for (phase, outcome, pauses) in [
        ("Configure::WritingJwt", no(Refusal::Denied), &[25, 50, 100, 200, 400][..]),
        ("Configure::WritingJwt", unknown(), &[200, 400]),
        ("Configure::ReadingJwt", no(Refusal::NotReady), &[25, 50, 100, 200, 400]),
        ("Configure::WritingSetting", no(Refusal::Conflict), &[25, 50, 100, 200, 400]),
        ("Configure::WritingSetting", unknown(), &[200, 400]),
        ("SetUp::WritingSetting", unknown(), &[200, 400]),
        ("Configure::WritingGeneration", no(Refusal::Conflict), &[25, 50, 100, 200, 400]),
        ("Configure::WritingGeneration", unknown(), &[200, 400]),
    ] {
        let mut bench = Bench::at(phase);
        for pause_ms in pauses {
            assert_eq!(bench.done(outcome.clone()), [], "{phase}");
            bench.assert_pauses(*pause_ms, Wait::Configuration);
            bench.wait();
            bench.forward_to(phase);
        }
        assert_eq!(bench.done(outcome), []);
        bench.assert_waits(Wait::Configuration);
        bench.forward_to("Serving");
    }
}

#[test]
fn a_password_is_made_by_vault_and_stays_there() {
    let mut bench = Bench::at("Configure::ReadingAccount");
    let password = Secret::Own(Own::Password);
    assert_eq!(bench.step(), [asks_vault(vault::Call::GeneratePassword { token: SETUP, into: password })]);
    let account = Account::Admin;
    assert_eq!(bench.step(), [asks_vault(vault::Call::WriteAccount { token: SETUP, account, password })]);
}

#[test]
fn a_setup_token_that_cannot_be_read_is_waited_for_and_one_that_is_gone_is_not() {
    let mut bench = Bench::at_in(World::converged(), "Login::ReadingSetupJwt");
    bench.done(token_file(TokenFile::Malformed));
    bench.assert_waits(Wait::VaultToken);

    let mut bench = Bench::at_in(World::converged(), "Login::ReadingSetupJwt");
    let told = bench.done(token_file(TokenFile::Missing));
    assert_eq!(told, [reads(CONTROLLER, Setting::KubernetesAuth)]);
}

#[test]
fn a_second_start_leaves_every_setting_and_document_as_it_was() {
    let world = World::converged();
    let standing: Vec<&Value> = world.settings.values().collect();
    let bench = Bench::at_in(world.clone(), "Serving");
    assert_eq!(bench.world.settings.values().collect::<Vec<_>>(), standing);
    assert_eq!(bench.world.jwts, world.jwts);
}

#[test]
fn vault_learns_the_generation_of_the_disk_once() {
    for (recorded, cas) in [(None, 0), (Some(Generation { version: 4, generation: 1 }), 4)] {
        let mut world = World::converged();
        world.generation = recorded;
        let mut bench = Bench::at_in(world, "Configure::ReadingGeneration");
        let write = vault::Call::WriteGeneration { token: CONTROLLER, cas, generation: 2 };
        assert_eq!(bench.step(), [asks_vault(write)]);
        let [first, _] = bench.step().try_into().expect("a notice, and on it goes");
        assert_eq!(first, Told::Notes(Notice::GenerationRecorded { generation: 2 }));
        assert_eq!(bench.machine.phase(), "Configure::ReadingJwt");
        assert_eq!(bench.world.generation, Some(Generation { version: cas + 1, generation: 2 }));
    }
}

#[test]
fn whoever_recorded_the_generation_first_wins() {
    let mut bench = Bench::at("Configure::WritingGeneration");
    bench.world.generation = Some(Generation { version: 1, generation: 2 });
    assert_eq!(bench.step(), []);
    bench.assert_pauses(25, Wait::Configuration);
    assert_eq!(bench.wait(), [asks_vault(vault::Call::ReadGeneration { token: CONTROLLER })]);
    bench.step();
    assert_eq!(bench.machine.phase(), "Configure::ReadingJwt");
}

#[test]
fn a_disk_that_was_rolled_back_stops_a_start_and_alarms_whoever_serves() {
    let rolled_back = Told::Notes(Notice::RolledBack { disk: 2, recorded: 3 });
    let newer = Some(Generation { version: 9, generation: 3 });
    for world in [World::converged(), hardened()] {
        let world = World { generation: newer, ..world };
        let mut bench = Bench::at_in(world, "Configure::ReadingGeneration");
        assert_eq!(bench.step(), core::slice::from_ref(&rolled_back));
        bench.assert_stopped(Fatal::DiskRolledBack);
        assert_eq!(bench.world.generation, newer, "what is newer is not overwritten");
    }
    let mut bench = renewing();
    bench.world.generation = newer;
    bench.forward_to("Configure::ReadingGeneration");
    assert_eq!(bench.step()[0], rolled_back);
    bench.forward_to("Serving");
    assert_eq!((bench.machine.standing(), bench.world.generation), (Standing::Ready, newer));
}

#[test]
fn an_envelope_that_goes_while_callers_are_served_is_an_alarm() {
    for outcome in [state(state::Reply::State(State::Absent)), Outcome::Refused(Refusal::Local)] {
        let mut bench = renewing();
        bench.forward_to("Configure::ReadingState");
        assert_eq!(bench.done(outcome.clone())[0], Told::Notes(Notice::EnvelopeUnread));
        bench.forward_to("Serving");

        let mut bench = Bench::at_in(World::converged(), "Configure::ReadingState");
        assert_eq!(bench.done(outcome), []);
        bench.assert_waits(Wait::StateFile);
    }
}

/// A machine that serves, and whose token is due.
fn renewing() -> Bench {
    let mut bench = Bench::at("Serving");
    bench.pass_to(bench.now.in_ms(700_000));
    bench.wait();
    bench
}

fn compares_the_generation(bench: &mut Bench) {
    assert_eq!(bench.step(), [Told::Asks(2_000, Call::State(state::Call::Read))]);
    assert_eq!(bench.step(), [asks_vault(vault::Call::ReadGeneration { token: CONTROLLER })]);
}

/// A converged world whose overlay has taken the setup token away.
fn hardened() -> World {
    let mut world = World::converged();
    world.tokens.remove(&Token::Setup);
    world
}

/// A machine that reads this setting.
fn bench_reading(wanted: &Setting, world: World) -> Bench {
    let mut bench = Bench::at_in(world, "Configure::ReadingSetting");
    loop {
        let flight = bench.boot_flight().expect("a setting is read");
        if matches!(&flight.call, Call::Vault(vault::Call::Read { setting, .. }) if setting == wanted) {
            return bench;
        }
        bench.step();
    }
}

/// A machine that reads this JWT.
fn bench_reading_jwt(wanted: StoredJwt, world: World) -> Bench {
    let mut bench = Bench::at_in(world, "Configure::ReadingJwt");
    loop {
        let flight = bench.boot_flight().expect("a JWT is read");
        if matches!(&flight.call, Call::Vault(vault::Call::ReadJwt { jwt, .. }) if *jwt == wanted) {
            return bench;
        }
        bench.step();
    }
}

fn asks_to_forget() -> Told {
    let names = [
        Own::MintedSealKey,
        Own::SealKey,
        Own::UnsealKey,
        Own::RootToken,
        Own::VaultJwt,
        Own::SetupJwt,
        Own::SetupToken,
        Own::Password,
    ];
    let names = names.map(Secret::Own).into();
    Told::Asks(1_000, Call::Keys(keys::Call::Forget { names }))
}

const fn reads(token: Secret, setting: Setting) -> Told {
    asks_vault(vault::Call::Read { token, setting })
}

fn nats_keys() -> NatsKeys {
    let key = |prefix, key| PublicKey::encode(prefix, &super::world::raw(&key));
    NatsKeys {
        operator: key(Prefix::Operator, NatsKey::Operator),
        system_account: key(Prefix::Account, NatsKey::SystemAccount),
        platform_account: key(Prefix::Account, NatsKey::PlatformAccount),
        platform_signer: key(Prefix::Account, NatsKey::PlatformSigner),
    }
}
