//! What every phase does about every no and every silence: one table.

use super::fixtures::*;
use crate::state::{Claimed, State};
use crate::vault::{Health, Setting, TokenFacts};
use crate::volume::{Token, TokenFile};

/// What follows from a missing answer.
enum After {
    /// The world is looked at again after a back-off.
    Waits(Wait),
    /// The same deed goes on after a pause, in this phase.
    Pauses(u64, Wait, &'static str),
    /// At once something else is asked, and the machine is in this phase.
    Asks(Told, &'static str),
    /// The table decides again with what is known.
    Decides(u8, Verdict, Told),
}

/// Every phase but those of the survey.
const PHASES: [&str; 49] = [
    "Begin::WritingIntent",
    "CreateKey::Rehearsing",
    "CreateKey::Minting",
    "CreateKey::Creating",
    "Initialize::Rehearsing",
    "Initialize::WritingSent",
    "Initialize::Initializing",
    "Initialize::WritingForeign",
    "Initialize::WritingEnvelope",
    "Initialize::ReadingBack",
    "Commit::Creating",
    "Commit::Creating again",
    "Unseal::Unsealing",
    "Unseal::AwaitingActive",
    "SetUp::LookingUp",
    "SetUp::ReadingSetting",
    "SetUp::WritingSetting",
    "Login::ReadingControllerJwt",
    "Login::LoggingInAsController",
    "Login::ReadingApiTokenForController",
    "Login::ReviewingControllerJwt",
    "SetUp::CheckingBefore",
    "SetUp::Revoking",
    "SetUp::LookingUpAgain",
    "SetUp::CheckingAfter",
    "Sweep::Listing",
    "Sweep::LookingUp",
    "Sweep::Revoking",
    "Sweep::LookingUpRevoked",
    "SetUp::ReadingGeneration",
    "SetUp::WritingEnvelope",
    "SetUp::ReadingBack",
    "Login::ReadingSetupJwt",
    "Login::LoggingInAsSetup",
    "Login::ReadingApiTokenForSetup",
    "Login::ReviewingSetupJwt",
    "Configure::ReadingSetting",
    "Configure::WritingSetting",
    "Configure::ReadingState",
    "Configure::ReadingGeneration",
    "Configure::WritingGeneration",
    "Configure::Forgetting",
    "Certify::ReadingApiToken",
    "Certify::Issuing",
    "Certify::ReadingTrust",
    "Certify::CreatingTrust",
    "Certify::UpdatingTrust",
    "Certify::Presenting",
    "Certify::Probing",
];

#[test]
fn no_doubt_is_taken_for_an_answer() {
    for phase in PHASES {
        for outcome in doubts() {
            let mut bench = bench_at(phase);
            let told = bench.done(outcome.clone());
            let case = format!("{phase} {outcome:?}");
            let alarm = phase.ends_with("::WritingEnvelope") || phase.ends_with("::ReadingBack");
            let alarms = if alarm { vec![Told::Notes(Notice::EnvelopeNotWritten)] } else { vec![] };
            match after(phase, &outcome) {
                After::Waits(wait) => {
                    assert_eq!(told, alarms, "{case}");
                    bench.assert_waits(wait);
                }
                After::Pauses(pause_ms, wait, next) => {
                    assert_eq!((told, bench.machine.phase()), (alarms, next), "{case}");
                    bench.assert_pauses(pause_ms, wait);
                }
                After::Asks(asked, next) => {
                    assert_eq!((told, bench.machine.phase()), (vec![asked], next), "{case}");
                    assert_eq!(bench.machine.poll_timeout(), None, "{case}");
                }
                After::Decides(row, verdict, asked) => {
                    let decided = Told::Notes(Notice::Decided(Decision { row, verdict }));
                    assert_eq!(told, [decided, asked], "{case}");
                }
            }
        }
    }
}

#[test]
fn the_pause_between_surveys_grows_until_a_deed_is_done() {
    let plain = World { directory: Claimed::Ours { mount_point: false }, ..World::default() };
    let mut bench = Bench::at_in(plain, "Survey::InspectingDirectory");
    for attempt in 0..12 {
        while bench.boot_flight().is_some() {
            bench.done(Outcome::Unknown(Lost::Connection));
        }
        let attempt = Attempt(attempt.min(crate::retry::ATTEMPT_MAX));
        let until = backoff(SEED, attempt, bench.now);
        assert_eq!(bench.machine.poll_timeout(), Some((until, Wait::StateDirectory.sentence())));
        assert_eq!(bench.timeout(), [], "early");
        assert_eq!(bench.wait(), [INSPECT]);
    }
    bench.world.directory = Claimed::Ours { mount_point: true };
    bench.forward_to("Begin::WritingIntent");
    assert_eq!(bench.machine.attempt, Attempt(crate::retry::ATTEMPT_MAX), "a survey is no deed");
    assert_eq!(bench.step(), [INSPECT]);
    assert_eq!(bench.machine.attempt, Attempt(0));
}

#[test]
fn every_deed_that_is_done_is_surveyed_at_once_and_ends_the_back_off() {
    for phase in [
        "Begin::WritingIntent",
        "CreateKey::Creating",
        "Initialize::ReadingBack",
        "Commit::Creating",
        "Unseal::AwaitingActive",
        "SetUp::ReadingBack",
    ] {
        let mut bench = Bench::at(phase);
        bench.machine.attempt = Attempt(5);
        assert_eq!(bench.step().last(), Some(&INSPECT), "{phase}");
        assert_eq!(bench.machine.attempt, Attempt(0), "{phase}");
    }
}

#[test]
fn a_health_that_is_not_active_proves_nothing() {
    for health in [Health::Standby, Health::Sealed, Health::Uninitialized] {
        for phase in ["SetUp::CheckingBefore", "SetUp::CheckingAfter"] {
            let mut bench = Bench::at(phase);
            assert_eq!(bench.done(vault(vault::Reply::Health(health))), []);
            bench.assert_waits(Wait::Vault);
        }
    }
    let mut bench = Bench::at("Unseal::AwaitingActive");
    assert_eq!(bench.done(vault(vault::Reply::Health(Health::Standby))), []);
    bench.assert_pauses(25, Wait::VaultActive);
    assert_eq!(bench.wait(), [Told::Asks(15_000, Call::Vault(vault::Call::Health))]);
    bench.done(vault(vault::Reply::Health(Health::Sealed)));
    bench.assert_waits(Wait::VaultUnsettled);
}

#[test]
fn a_token_file_that_holds_no_token_is_waited_for() {
    for phase in ["Login::ReadingControllerJwt", "Login::ReadingSetupJwt"] {
        for file in [TokenFile::Empty, TokenFile::Malformed] {
            let mut bench = Bench::at(phase);
            assert_eq!(bench.done(token_file(file)), []);
            bench.assert_waits(Wait::VaultToken);
        }
    }
    let mut bench = Bench::at("Login::ReadingControllerJwt");
    assert_eq!(bench.done(token_file(TokenFile::Missing)), []);
    bench.assert_waits(Wait::VaultToken);
}

#[test]
fn a_refused_login_is_judged_by_the_api_server_with_a_token_read_for_it() {
    for (phase, token, audience) in [
        ("Login::LoggingInAsController", Own::VaultJwt, "kubefox-vault"),
        ("Login::LoggingInAsSetup", Own::SetupJwt, "kubefox-setup"),
    ] {
        let mut bench = Bench::at(phase);
        assert_eq!(bench.done(Outcome::Refused(Refusal::Denied)), [asks_for_token(Token::Api, Own::ApiJwt)]);
        assert_eq!(bench.step(), [asks_for_review(token, audience)]);
    }
}

#[test]
#[should_panic(expected = "the driver answered WritingIntent with Vault(Written)")]
fn an_answer_to_another_call_is_a_fault_of_the_driver() {
    Bench::at("Begin::WritingIntent").done(vault(vault::Reply::Written));
}

#[test]
fn an_answer_that_nobody_awaits_changes_nothing() {
    let mut bench = Bench::at("Begin::WritingIntent");
    let before = bench.machine.clone();
    assert_eq!(bench.answer(CallId(0), state(state::Reply::Written)), []);
    assert_eq!(bench.answer(CallId(999), state(state::Reply::Written)), []);
    assert_eq!(bench.machine, before);
}

#[test]
fn every_phase_can_be_stored_and_read_back() {
    for phase in PHASES {
        let machine = bench_at(phase).machine;
        let text = serde_json::to_string(&machine).expect("it is data");
        assert_eq!(
            serde_json::from_str::<Controller>(&text).expect("it is the same data"),
            machine,
            "{phase}"
        );
    }
}

#[test]
fn a_token_that_is_not_the_one_of_the_initialization_sets_nothing_up() {
    let mut bench = Bench::at("SetUp::LookingUp");
    let facts = TokenFacts { path: "auth/token/create".into(), policies: vec!["root".into()] };
    assert_eq!(bench.done(vault(vault::Reply::Token(facts))), []);
    bench.assert_stopped(Fatal::ForeignConfiguration);
    assert!(!bench.world.settings.contains_key(&Setting::KubernetesAuth));
}

fn after(phase: &'static str, outcome: &Outcome<Reply>) -> After {
    let refusal = match outcome {
        Outcome::Refused(refusal) => Some(*refusal),
        Outcome::Unknown(_) => None,
        Outcome::Ok(reply) => panic!("no doubt: {reply:?}"),
    };
    let conflict = refusal == Some(Refusal::Conflict);
    let dead = refusal == Some(Refusal::Unauthenticated);
    let not_there = matches!(refusal, None | Some(Refusal::NotReady | Refusal::Busy));
    match phase {
        "Begin::WritingIntent"
        | "CreateKey::Rehearsing"
        | "Initialize::Rehearsing"
        | "Initialize::WritingSent" => After::Waits(Wait::StateWrite),
        "CreateKey::Minting" | "Configure::Forgetting" => After::Waits(Wait::Keyring),
        "CreateKey::Creating" | "Commit::Creating" | "Commit::Creating again" if conflict => {
            After::Waits(Wait::Conflict)
        }
        "Commit::Creating again" => After::Decides(18, Verdict::Unseal, asks_to_unseal()),
        "CreateKey::Creating" | "Commit::Creating" => After::Waits(Wait::ApiServer),
        "Initialize::WritingForeign" => After::Pauses(500, Wait::StateWrite, "Initialize::WritingForeign"),
        "Initialize::WritingEnvelope" | "Initialize::ReadingBack" => {
            After::Pauses(500, Wait::StateWrite, "Initialize::WritingEnvelope")
        }
        "SetUp::WritingEnvelope" | "SetUp::ReadingBack" => {
            After::Pauses(500, Wait::StateWrite, "SetUp::WritingEnvelope")
        }
        "SetUp::LookingUp" if dead => {
            After::Asks(asks_for_token(Token::Vault, Own::VaultJwt), "Login::ReadingControllerJwt")
        }
        "SetUp::Revoking" if dead => {
            let token = Secret::Own(Own::RootToken);
            After::Asks(asks_vault(vault::Call::LookupSelf { token }), "SetUp::LookingUpAgain")
        }
        "SetUp::LookingUpAgain" if dead => {
            After::Asks(asks_vault(vault::Call::Health), "SetUp::CheckingAfter")
        }
        "SetUp::ReadingSetting" | "Configure::ReadingSetting" if refusal == Some(Refusal::NotReady) => {
            After::Pauses(25, Wait::Configuration, reading(phase))
        }
        "SetUp::WritingSetting" | "Configure::WritingSetting"
            if matches!(refusal, Some(Refusal::Conflict | Refusal::NotReady)) =>
        {
            After::Pauses(25, Wait::Configuration, reading(phase))
        }
        "SetUp::WritingSetting" | "Configure::WritingSetting" if refusal.is_none() => {
            After::Pauses(200, Wait::Configuration, reading(phase))
        }
        "Configure::ReadingState" => After::Waits(Wait::StateFile),
        "Configure::ReadingGeneration" if refusal == Some(Refusal::NotReady) => {
            After::Pauses(25, Wait::Configuration, phase)
        }
        "Configure::WritingGeneration" if matches!(refusal, Some(Refusal::Conflict | Refusal::NotReady)) => {
            After::Pauses(25, Wait::Configuration, "Configure::ReadingGeneration")
        }
        "Configure::WritingGeneration" if refusal.is_none() => {
            After::Pauses(200, Wait::Configuration, "Configure::ReadingGeneration")
        }
        "Configure::ReadingGeneration" | "Configure::WritingGeneration" => After::Waits(Wait::Configuration),
        "SetUp::ReadingSetting"
        | "SetUp::WritingSetting"
        | "Configure::ReadingSetting"
        | "Configure::WritingSetting" => After::Waits(Wait::Configuration),
        "Login::ReadingControllerJwt" | "Login::ReadingSetupJwt" => After::Waits(Wait::VaultToken),
        "Login::LoggingInAsController" if !not_there => {
            After::Asks(asks_for_token(Token::Api, Own::ApiJwt), "Login::ReadingApiTokenForController")
        }
        "Login::LoggingInAsSetup" if !not_there => {
            After::Asks(asks_for_token(Token::Api, Own::ApiJwt), "Login::ReadingApiTokenForSetup")
        }
        "Login::LoggingInAsController"
        | "Login::LoggingInAsSetup"
        | "Login::ReadingApiTokenForController"
        | "Login::ReadingApiTokenForSetup"
        | "Login::ReviewingControllerJwt"
        | "Login::ReviewingSetupJwt" => After::Waits(Wait::Login),
        _ if phase.starts_with("Certify::") => after_certifying(phase, conflict),
        _ => After::Waits(Wait::Vault),
    }
}

fn after_certifying(phase: &str, conflict: bool) -> After {
    match phase {
        "Certify::ReadingApiToken" => After::Waits(Wait::ApiToken),
        "Certify::Issuing" => After::Waits(Wait::Configuration),
        "Certify::CreatingTrust" | "Certify::UpdatingTrust" if conflict => {
            After::Pauses(200, Wait::Conflict, "Certify::ReadingTrust")
        }
        "Certify::Presenting" | "Certify::Probing" => After::Waits(Wait::Listener),
        _ => After::Waits(Wait::ApiServer),
    }
}

fn reading(phase: &str) -> &'static str {
    if phase.starts_with("SetUp") { "SetUp::ReadingSetting" } else { "Configure::ReadingSetting" }
}

fn asks_to_unseal() -> Told {
    Told::Asks(15_000, Call::Vault(vault::Call::Unseal { key: Secret::Own(Own::UnsealKey) }))
}

fn asks_for_review(token: Own, audience: &str) -> Told {
    let (token, audience) = (Secret::Own(token), audience.into());
    asks_kubernetes(kubernetes::Call::ReviewToken { token, audience })
}

/// A machine that has come to this phase.
fn bench_at(phase: &str) -> Bench {
    let mut bench;
    match phase {
        "Initialize::WritingForeign" => {
            bench = Bench::at("Initialize::Initializing");
            bench.done(vault(vault::Reply::AlreadyInitialized));
        }
        "Commit::Creating again" => {
            let world = World { committed: None, sealed: true, ..World::converged() };
            return Bench::at_in(world, "Commit::Creating");
        }
        "Login::ReadingApiTokenForController" | "Login::ReviewingControllerJwt" => {
            bench = Bench::at("Login::LoggingInAsController");
            bench.done(Outcome::Refused(Refusal::Unclear));
            bench.forward_to(phase);
        }
        "Login::ReadingApiTokenForSetup" | "Login::ReviewingSetupJwt" => {
            bench = Bench::at("Login::LoggingInAsSetup");
            bench.done(Outcome::Refused(Refusal::Unclear));
            bench.forward_to(phase);
        }
        "SetUp::ReadingGeneration" => {
            let envelope = State::Envelope { life: life(), generation: 1, key: key_id(1) };
            let world = World { state: envelope, root_inside: true, ..World::converged() };
            return Bench::at_in(world, phase);
        }
        "Sweep::LookingUp" | "Sweep::Revoking" | "Sweep::LookingUpRevoked" => {
            let other_roots = [accessor("another")].into();
            return Bench::at_in(World { other_roots, ..World::default() }, phase);
        }
        "Certify::UpdatingTrust" => return Bench::at_in(World::converged(), phase),
        _ => bench = Bench::at(phase),
    }
    assert_eq!(bench.machine.phase(), phase);
    bench
}
