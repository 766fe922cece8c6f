//! Set-up with root, the login that proves it is no longer needed, and root's death.

use serde_json::json;

use super::fixtures::*;
use super::world::root_token;
use crate::kubernetes::Review;
use crate::state::{Opened, State};
use crate::vault::{Health, Setting, TokenFacts};
use crate::volume::{Token, TokenFile};

const ROOT: Secret = Secret::Own(Own::RootToken);
const CONTROLLER: Secret = Secret::Own(Own::ControllerToken);

#[test]
fn root_dies_between_two_looks_at_it_and_two_at_vault() {
    let mut bench = Bench::at("Login::LoggingInAsController");
    assert_eq!(bench.step(), [asks_vault(vault::Call::Health)]);
    assert_eq!(bench.step(), [asks_vault(vault::Call::RevokeSelf { token: ROOT })]);
    assert_eq!(bench.step(), [asks_vault(vault::Call::LookupSelf { token: ROOT })]);
    assert_eq!(bench.step(), [asks_vault(vault::Call::Health)]);
    assert_eq!(
        bench.step(),
        [Told::Notes(Notice::RootRevoked), asks_vault(vault::Call::ListAccessors { token: CONTROLLER })]
    );
    assert_eq!(bench.step(), [Told::Notes(Notice::Swept), asks_to_forget_root(2)]);
    assert_eq!(bench.step(), [asks_to_read_back()]);
    assert_eq!(bench.step(), [INSPECT]);
}

#[test]
fn a_root_that_still_answers_after_its_revocation_is_not_believed_to_be_dead() {
    let mut bench = Bench::at("SetUp::Revoking");
    bench.done(vault(vault::Reply::Revoked));
    assert_eq!(bench.machine.phase(), "SetUp::LookingUpAgain");
    assert_eq!(bench.done(vault(vault::Reply::Token(root_token()))), []);
    bench.assert_waits(Wait::Vault);
    assert!(bench.world.root_inside, "the envelope keeps what lives");

    bench.forward_to("SetUp::Revoking");
    bench.forward_to("Serving");
    assert_eq!((bench.world.root, bench.world.root_inside), (false, false));
}

#[test]
fn a_root_that_is_dead_already_is_swept_for_and_leaves_the_envelope() {
    let mut bench = Bench::at("SetUp::LookingUpAgain");
    assert!(!bench.world.root);
    bench.done(Outcome::Unknown(Lost::Connection));
    bench.wait();
    bench.forward_to("SetUp::LookingUp");

    assert_eq!(bench.step(), [asks_for_token(Token::Vault, Own::VaultJwt)]);
    bench.step();
    assert_eq!(bench.step(), [asks_vault(vault::Call::ReadGeneration { token: CONTROLLER })]);
    assert_eq!(bench.step(), [asks_vault(vault::Call::ListAccessors { token: CONTROLLER })]);
    assert_eq!(bench.step(), [Told::Notes(Notice::Swept), asks_to_forget_root(2)]);
    bench.forward_to("Serving");
}

#[test]
fn an_old_envelope_that_was_put_back_is_noticed_before_a_new_one_hides_it() {
    let mut world = World::converged();
    world.state = State::Envelope { life: life(), generation: 1, key: key_id(1) };
    world.root_inside = true;
    let mut bench = Bench::at_in(world, "SetUp::ReadingGeneration");
    assert_eq!(bench.step(), [Told::Notes(Notice::RolledBack { disk: 1, recorded: 2 })]);
    bench.assert_stopped(Fatal::DiskRolledBack);
    assert!(!bench.world.deeds.iter().any(|deed| deed.starts_with("WriteEnvelope")));
}

#[test]
fn another_root_is_told_of_revoked_and_looked_up_again() {
    let other_roots = [accessor("one"), accessor("two")].into();
    let mut bench = Bench::at_in(World { other_roots, ..World::default() }, "Sweep::LookingUp");
    let of = |name| accessor(name);
    let found = |name| Told::Notes(Notice::RootFound { accessor: of(name) });
    let lookup = |name| asks_vault(vault::Call::LookupAccessor { token: CONTROLLER, accessor: of(name) });
    let revoke = |name| asks_vault(vault::Call::RevokeAccessor { token: CONTROLLER, accessor: of(name) });

    assert_eq!(bench.step(), [found("two"), revoke("two")], "told before it leaves");
    assert_eq!(bench.step(), [lookup("two")]);
    assert_eq!(bench.step(), [lookup("one")]);
    assert_eq!(bench.step(), [found("one"), revoke("one")]);
    assert_eq!(bench.step(), [lookup("one")]);
    assert_eq!(bench.step(), [Told::Notes(Notice::Swept), asks_to_forget_root(2)]);
    assert_eq!(bench.world.other_roots, [].into());
}

#[test]
fn a_root_that_lives_after_its_revocation_was_confirmed_leaves_nothing_proved() {
    let other_roots = [accessor("one")].into();
    let mut bench = Bench::at_in(World { other_roots, ..World::default() }, "Sweep::Revoking");
    bench.done(vault(vault::Reply::Revoked));
    assert_eq!(bench.machine.phase(), "Sweep::LookingUpRevoked");
    assert_eq!(bench.step(), []);
    bench.assert_waits(Wait::Vault);

    bench.forward_to("Serving");
    assert_eq!(bench.world.other_roots, [].into());
}

#[test]
fn more_tokens_than_can_be_searched_are_an_alarm_and_never_clean() {
    let many = |found: usize| (0..found).map(|number| accessor(&format!("token-{number}"))).collect();
    let mut bench = Bench::at("Sweep::Listing");
    let told = bench.done(vault(vault::Reply::Accessors(many(1_001))));
    assert_eq!(told, [Told::Notes(Notice::TooManyTokens { found: 1_001 })]);
    bench.assert_waits(Wait::Tokens);
    assert!(bench.world.root_inside, "the envelope stays as it is");

    let mut bench = Bench::at("Sweep::Listing");
    bench.done(vault(vault::Reply::Accessors(many(1_000))));
    assert_eq!(bench.machine.phase(), "Sweep::LookingUp");
}

#[test]
fn a_token_that_is_not_root_or_is_gone_is_let_alone() {
    let other = TokenFacts { path: "auth/token/create".into(), policies: vec!["default".into()] };
    for reply in [vault::Reply::Token(other), vault::Reply::NoToken] {
        let other_roots = [accessor("one")].into();
        let mut bench = Bench::at_in(World { other_roots, ..World::default() }, "Sweep::LookingUp");
        assert_eq!(bench.done(vault(reply)), [Told::Notes(Notice::Swept), asks_to_forget_root(2)]);
    }
}

#[test]
fn an_envelope_without_root_that_cannot_be_written_is_written_again_with_the_key_in_memory() {
    let mut bench = Bench::at("SetUp::WritingEnvelope");
    let before = bench.world.deeds.len();
    for outcome in doubts().chain(doubts()) {
        assert_eq!(bench.done(outcome), [Told::Notes(Notice::EnvelopeNotWritten)]);
        bench.assert_pauses(500, Wait::StateWrite);
        assert_eq!(bench.wait(), [asks_to_forget_root(2)]);
    }
    assert_eq!(bench.world.deeds.len(), before, "nothing else happened");
    bench.forward_to("Serving");
    assert_eq!(bench.world.state, State::Envelope { life: life(), generation: 2, key: key_id(1) });
}

#[test]
fn an_envelope_without_root_that_does_not_open_as_written_is_written_again() {
    for opened in [Opened::Keys { root: true }, Opened::OtherKey, Opened::Tampered, Opened::NoEnvelope] {
        let mut bench = Bench::at("SetUp::ReadingBack");
        assert_eq!(
            bench.done(state(state::Reply::Opened(opened))),
            [Told::Notes(Notice::EnvelopeNotWritten)]
        );
        bench.assert_pauses(500, Wait::StateWrite);
        assert_eq!(bench.wait(), [asks_to_forget_root(2)]);
        assert_eq!(bench.step(), [asks_to_read_back()]);
        bench.forward_to("Serving");
    }
    let mut bench = Bench::at("SetUp::ReadingBack");
    assert_eq!(bench.step(), [INSPECT]);
    bench.forward_to("Serving");
    assert_eq!(bench.world.state, State::Envelope { life: life(), generation: 2, key: key_id(1) });
}

#[test]
fn a_login_refused_for_too_long_with_a_good_token_strands_the_set_up() {
    let mut bench = Bench::at("Login::LoggingInAsController");
    let since = bench.now.mono;
    loop {
        bench.done(Outcome::Refused(Refusal::Unclear));
        assert_eq!(bench.machine.phase(), "Login::ReadingApiTokenForController");
        bench.step();
        bench.step();
        if bench.machine.phase() == "Stopped" {
            break;
        }
        assert_eq!(bench.stands(), ("Waiting", Wait::Login.sentence()));
        assert!(bench.now.mono < since.after_ms(150_000));
        bench.forward_to("Login::LoggingInAsController");
    }
    bench.assert_stopped(Fatal::SetupStranded);
    assert!(bench.now.mono >= since.after_ms(150_000));
    assert!(bench.world.root_inside, "what can finish set-up later is kept");
}

#[test]
fn only_an_unbroken_series_of_refusals_strands_the_set_up() {
    let breaks: [&dyn Fn(&mut Bench); 6] = [
        &|bench| drop(bench.done(Outcome::Unknown(Lost::Deadline))),
        &|bench| drop(bench.done(Outcome::Refused(Refusal::NotReady))),
        &|bench| {
            bench.done(Outcome::Refused(Refusal::Unclear));
            bench.done(Outcome::Unknown(Lost::Connection));
        },
        &|bench| {
            bench.done(Outcome::Refused(Refusal::Unclear));
            bench.done(token_file(TokenFile::Missing));
        },
        &|bench| {
            bench.done(Outcome::Refused(Refusal::Unclear));
            bench.step();
            bench.done(Outcome::Unknown(Lost::Connection));
        },
        &|bench| {
            bench.done(Outcome::Refused(Refusal::Unclear));
            bench.step();
            bench.done(kubernetes(kubernetes::Reply::Review(Review::Refused)));
        },
    ];
    for break_it in breaks {
        let mut bench = Bench::at("Login::LoggingInAsController");
        for round in 0..3 {
            bench.done(Outcome::Refused(Refusal::Unclear));
            bench.step();
            bench.step();
            assert_eq!(bench.stands(), ("Waiting", Wait::Login.sentence()), "round {round}");
            bench.pass_to(bench.now.in_ms(100_000));
            bench.forward_to("Login::LoggingInAsController");
            break_it(&mut bench);
            assert_eq!(bench.stands(), ("Waiting", Wait::Login.sentence()), "round {round}");
            bench.pass_to(bench.now.in_ms(100_000));
            bench.forward_to("Login::LoggingInAsController");
        }
        bench.forward_to("Serving");
    }
}

#[test]
fn vault_sealed_in_the_middle_of_the_settings_is_unsealed_again() {
    for phase in [
        "SetUp::ReadingSetting",
        "SetUp::WritingSetting",
        "Configure::ReadingSetting",
        "Configure::WritingSetting",
        "Configure::ReadingJwt",
        "Configure::SigningJwt",
        "Configure::WritingJwt",
        "Configure::ReadingAccount",
        "Configure::WritingAccount",
    ] {
        let mut bench = Bench::at(phase);
        bench.world.sealed = true;
        bench.forward_to("Unseal::Unsealing");
        assert!(bench.now.mono < Mono(5_000), "{phase}: {:?}", bench.now);
        bench.forward_to("Serving");
    }
}

#[test]
fn a_write_that_nobody_confirms_is_never_taken_for_one_that_does_not_stay() {
    let mut bench = Bench::at("SetUp::WritingSetting");
    for _ in 0..200 {
        bench.done(Outcome::Unknown(Lost::ServerError));
        bench.forward_to("SetUp::WritingSetting");
    }
    bench.forward_to("Serving");
}

#[test]
fn a_setting_that_does_not_stay_is_foreign_after_three_writes() {
    let mut bench = Bench::at("SetUp::WritingSetting");
    bench.forward_to("SetUp::ReadingSetting");
    bench.forward_to("SetUp::WritingSetting");
    for write in 1..=3 {
        assert_eq!(bench.machine.phase(), "SetUp::WritingSetting", "write {write}");
        let told = bench.step();
        assert_eq!(told[0], Told::Notes(Notice::Wrote(Setting::KubernetesAuthConfig)));
        let other = json!({"kubernetes_host": "https://elsewhere"});
        let told = bench.done(vault(vault::Reply::Setting(Some(other))));
        if write == 3 {
            assert_eq!(told, [Told::Notes(Notice::Drift(Setting::KubernetesAuthConfig))]);
        }
    }
    bench.assert_stopped(Fatal::ForeignConfiguration);
}

#[test]
fn an_auth_method_that_is_not_ours_is_named_and_not_touched() {
    for standing in [
        json!({"type": "kubernetes"}),
        json!({"type": "kubernetes", "accessor": "../x"}),
        json!({"type": "jwt", "accessor": "auth_jwt_1"}),
    ] {
        let mut bench = Bench::at("SetUp::ReadingSetting");
        let told = bench.done(vault(vault::Reply::Setting(Some(standing))));
        assert_eq!(told, [Told::Notes(Notice::Drift(Setting::KubernetesAuth))]);
        bench.assert_stopped(Fatal::ForeignConfiguration);
    }
}

#[test]
fn nothing_is_revoked_while_vault_is_not_active() {
    let mut bench = Bench::at("SetUp::CheckingBefore");
    bench.done(vault(vault::Reply::Health(Health::Standby)));
    assert!(!bench.world.deeds.iter().any(|deed| deed == "RevokeSelf"));
    bench.assert_waits(Wait::Vault);
}

fn asks_to_read_back() -> Told {
    asks_state(state::Call::Open { key: Secret::Own(Own::SealKey) })
}

fn asks_to_forget_root(generation: u64) -> Told {
    let key = Secret::Own(Own::SealKey);
    asks_state(state::Call::WriteEnvelope { life: life(), generation, key, root: false })
}
