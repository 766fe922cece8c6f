//! Making every setting so, and storing what is written once.

use serde_json::{Value, json};

use super::fixtures::*;
use crate::documents::nkey::{Prefix, PublicKey};
use crate::documents::setting::{platform_settings, wanted};
use crate::vault::{Account, AuthRole, Mount, NatsKey, PkiRole, Setting, StoredJwt};
use crate::volume::{Token, TokenFile};

const CONTROLLER: Secret = Secret::Own(Own::ControllerToken);
const SETUP: Secret = Secret::Own(Own::SetupToken);

#[test]
fn the_one_who_serves_logs_in_first_and_sweeps_before_anybody_configures() {
    let mut bench = Bench::at_in(World::converged(), "Login::ReadingControllerJwt");
    let log_in = |role, jwt, into| {
        let (jwt, into) = (Secret::Own(jwt), Secret::Own(into));
        asks_vault(vault::Call::Login { role, jwt, into })
    };
    assert_eq!(bench.step(), [log_in(AuthRole::Controller, Own::VaultJwt, Own::ControllerToken)]);
    assert_eq!(bench.step(), [asks_vault(vault::Call::ListAccessors { token: CONTROLLER })]);
    assert_eq!(
        bench.step(),
        [Told::Notes(Notice::Swept { roots_found: 0 }), asks_for_token(Token::Setup, Own::SetupJwt)]
    );
    assert_eq!(bench.step(), [log_in(AuthRole::ControllerSetup, Own::SetupJwt, Own::SetupToken)]);
    assert_eq!(bench.step(), [reads(SETUP, Setting::KubernetesAuth)]);
}

#[test]
fn on_a_converged_vault_every_setting_is_read_and_none_is_written() {
    let mut bench = Bench::at_in(World::converged(), "Configure::ReadingSetting");
    for setting in platform_settings() {
        assert_eq!(bench.step(), [reads(SETUP, setting)]);
    }
    for jwt in StoredJwt::ALL {
        assert_eq!(bench.step(), [asks_vault(vault::Call::ReadJwt { token: SETUP, jwt })]);
    }
    for account in Account::ALL {
        assert_eq!(bench.step(), [asks_vault(vault::Call::ReadAccount { token: SETUP, account })]);
    }
    let told = bench.step();
    assert_eq!(told, [Told::Notes(Notice::Configured { writes: 0, keys: nats_keys() }), asks_to_forget()]);
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
        for world in [World::converged(), hardened()] {
            let mut bench = bench_reading(&setting, world);
            let told = bench.done(vault(vault::Reply::Setting(Some(standing.clone()))));
            assert_eq!(told, [Told::Notes(Notice::Drift(setting.clone()))], "{standing}");
            bench.assert_stopped(Fatal::ForeignConfiguration);
        }
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
    for jwt in StoredJwt::ALL {
        assert_eq!(bench.step(), [asks_vault(vault::Call::ReadJwt { token: CONTROLLER, jwt })]);
    }
    let told = bench.step();
    assert_eq!(told[0], Told::Notes(Notice::Configured { writes: 0, keys: nats_keys() }));
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
    let (jwt, text) = (StoredJwt::Operator, unsigned.signed(&[7; 64]));
    assert_eq!(bench.step(), [asks_vault(vault::Call::WriteJwt { token: SETUP, jwt, text })]);
    assert_eq!(bench.step(), [asks_vault(vault::Call::ReadJwt { token: SETUP, jwt })], "at once");
}

#[test]
fn a_write_that_is_confirmed_and_never_stands_ends_in_a_back_off() {
    for (phase, absent) in [
        ("Configure::WritingJwt", vault::Reply::Jwt(None)),
        ("Configure::WritingAccount", vault::Reply::Account { exists: false }),
    ] {
        let mut bench = Bench::at(phase);
        for _ in 0..40 {
            bench.done(vault(vault::Reply::Written));
            bench.done(vault(absent.clone()));
            bench.forward_to(phase);
        }
        assert_eq!(bench.done(vault(vault::Reply::Written)), []);
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
            assert_eq!(bench.done(outcome), []);
            assert_eq!(bench.machine.phase(), reading);
            bench.assert_pauses(25, Wait::Configuration);
        }
        for refusal in [Refusal::Unauthenticated, Refusal::Unclear, Refusal::Invalid, Refusal::Busy] {
            let mut bench = Bench::at(phase);
            assert_eq!(bench.done(Outcome::Refused(refusal)), []);
            bench.assert_waits(Wait::Configuration);
        }
    }
}

#[test]
fn a_write_that_is_always_denied_ends_in_a_back_off() {
    let mut bench = Bench::at("Configure::WritingJwt");
    for _ in 0..40 {
        bench.done(Outcome::Refused(Refusal::Denied));
        bench.forward_to("Configure::WritingJwt");
    }
    assert_eq!(bench.done(Outcome::Refused(Refusal::Denied)), []);
    bench.assert_waits(Wait::Configuration);
}

#[test]
fn a_signature_of_another_length_is_not_put_into_a_jwt() {
    let mut bench = Bench::at("Configure::SigningJwt");
    assert_eq!(bench.done(vault(vault::Reply::Signature(vec![7; 63]))), []);
    bench.assert_waits(Wait::Configuration);
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
