//! What a survey asks, what it leaves out, and that nothing is decided differently for it.

use super::fixtures::*;
use super::totality::{every_survey, every_term};
use crate::controller::table::Facts;
use crate::state::{Claimed, State};
use crate::vault::InitStatus;
use crate::volume::TokenFile;

#[test]
fn a_survey_without_an_answer_that_every_row_needs_decides_at_once() {
    for (phase, row, wait) in [
        ("Survey::InspectingDirectory", 2, Wait::StateDirectory),
        ("Survey::ReadingState", 3, Wait::StateFile),
        ("Survey::ReadingInitStatus", 4, Wait::Vault),
        ("Survey::ReadingSealStatus", 4, Wait::Vault),
    ] {
        for outcome in doubts() {
            let mut bench = Bench::at_in(World::converged(), phase);
            let decision = Decision { row, verdict: Verdict::Wait(wait) };
            assert_eq!(bench.done(outcome), [Told::Notes(Notice::Decided(decision))], "{phase}");
            bench.assert_waits(wait);
        }
    }
}

#[test]
fn nobody_is_asked_anything_while_the_directory_is_not_ours() {
    for (claimed, wait) in [
        (Claimed::Others, Wait::StateHeld),
        (Claimed::Unlockable, Wait::StateUnlockable),
        (Claimed::Missing, Wait::StateDirectory),
    ] {
        let world = World { directory: claimed, ..World::converged() };
        let (mut bench, asked) = Bench::start(config(), world);
        assert_eq!(asked, [INSPECT]);
        let decision = Decision { row: 2, verdict: Verdict::Wait(wait) };
        assert_eq!(bench.step(), [Told::Notes(Notice::Decided(decision))]);
        bench.assert_waits(wait);
        for _ in 0..3 {
            assert_eq!(bench.wait(), [INSPECT], "nothing else, however often");
            bench.step();
            assert_eq!(bench.machine.waits_for(), wait.sentence());
        }

        bench.world.directory = Claimed::Ours { mount_point: true };
        bench.forward_to("Serving");
    }
}

#[test]
fn a_half_initialized_vault_is_not_asked_for_its_seal() {
    let sent = State::Sent { life: life(), attempt: 1, recoveries: 0 };
    let mut bench = Bench::at_in(World { state: sent, ..World::default() }, "Survey::ReadingInitStatus");
    bench.done(vault(vault::Reply::InitStatus(InitStatus::NoSealConfiguration)));
    assert_eq!(bench.machine.phase(), "Survey::ReadingApiToken");
    bench.forward_to("Stopped");
    bench.assert_stopped(Fatal::HalfInitialized);
}

#[test]
fn an_api_server_that_does_not_answer_once_is_asked_no_further() {
    for outcome in doubts() {
        for (silent_at, row) in
            [("Survey::ReadingCommitted", 5), ("Survey::ReadingSecret", 5), ("Survey::ReadingTrust", 5)]
        {
            let mut bench = Bench::at_in(World::default(), silent_at);
            let decision = Decision { row, verdict: Verdict::Wait(Wait::ApiServer) };
            assert_eq!(bench.done(outcome.clone()), [Told::Notes(Notice::Decided(decision))]);
            bench.assert_waits(Wait::ApiServer);
        }
        let mut bench = Bench::at_in(World::converged(), "Survey::ReadingCommitted");
        bench.done(outcome.clone());
        assert_eq!(bench.machine.phase(), "Survey::ReadingMountedKey", "an envelope may do without it");
    }
}

#[test]
fn each_world_is_asked_what_its_rows_need() {
    let sealed = World { sealed: true, ..World::converged() };
    let begun = World { state: State::Intent { life: life() }, ..World::default() };
    let open = World::converged();
    let (corrupt, mut tokenless) = (World { state: State::Corrupt, ..World::default() }, open.clone());
    tokenless.tokens.clear();
    for (case, world, asked) in [
        (
            "no boot.state",
            World::default(),
            &["ReadingApiToken", "ReadingCommitted", "ReadingSecret", "ReadingTrust"][..],
        ),
        ("an intent", begun, &["ReadingApiToken", "ReadingCommitted", "ReadingSecret", "ReadingMountedKey"]),
        (
            "an envelope and a sealed Vault",
            sealed,
            &[
                "ReadingApiToken",
                "ReadingCommitted",
                "ReadingSecret",
                "ReadingMountedKey",
                "Opening",
                "ReadingHold",
            ],
        ),
        (
            "an envelope and an active Vault",
            open,
            &["ReadingApiToken", "ReadingCommitted", "ReadingSecret", "ReadingMountedKey", "Opening"],
        ),
        ("no token for the API server", tokenless, &["ReadingApiToken", "ReadingMountedKey", "Opening"]),
        ("a file that cannot be used", corrupt, &[]),
    ] {
        let mut expected = vec!["InspectingDirectory", "ReadingState"];
        if !asked.is_empty() {
            expected.extend(["ReadingInitStatus", "ReadingSealStatus"]);
        }
        expected.extend(asked);
        let (mut bench, _) = Bench::start(config(), world);
        let mut phases = vec![];
        while let Some(phase) = bench.machine.phase().strip_prefix("Survey::") {
            phases.push(phase);
            bench.step();
        }
        assert_eq!(phases, expected, "{case}");
    }
}

#[test]
fn what_a_survey_leaves_out_makes_a_row_wait_sooner_and_changes_none() {
    // Row 2 ends a survey before anything else is asked, and is looked at above.
    let volume = |facts: &Facts| facts.directory == Known::Fact(Claimed::Ours { mount_point: true });
    let own = uid("3f1c");
    let mut surveys = 0;
    for facts in every_survey().filter(volume) {
        surveys += 1;
        let handed_over = survey(&facts);
        for terms in every_term(&own) {
            let everything = decide(&facts, terms);
            let surveyed = decide(&handed_over, terms);
            let sooner = matches!(surveyed.verdict, Verdict::Wait(_)) && surveyed.row <= everything.row;
            assert!(surveyed == everything || sooner, "{surveyed:?} instead of {everything:?} for {facts:?}");
        }
    }
    assert!(surveys > 100_000, "{surveys}");
}

/// What the survey hands to the table in a world of these facts.
fn survey(facts: &Facts) -> Facts {
    let (config, mut memory, mut notices) = (config(), Memory::default(), vec![]);
    let mut survey = Survey::begin();
    loop {
        let answer = answer(facts, &survey.ask().0);
        let (memory, notices) = (&mut memory, &mut notices);
        let mut context = Context { config: &config, seed: SEED, now: START, memory, notices };
        match survey.done(answer, &mut context) {
            Turn::Ask(next) => survey = next,
            Turn::Decide(facts) => return *facts,
            Turn::Pause(..)
            | Turn::Survey
            | Turn::Follow(_)
            | Turn::Wait(_)
            | Turn::Configure
            | Turn::Certify
            | Turn::Serve
            | Turn::Stop(_) => panic!("a survey only asks and decides"),
        }
    }
}

fn answer(facts: &Facts, call: &Call) -> Outcome<Reply> {
    match call {
        Call::State(state::Call::Claim) => {
            told(&facts.directory, |claimed| Reply::State(state::Reply::Claimed(claimed)))
        }
        Call::State(state::Call::Read) => {
            told(&facts.state, |state| Reply::State(state::Reply::State(state)))
        }
        Call::State(state::Call::Open { .. }) => {
            told(&facts.opened, |opened| Reply::State(state::Reply::Opened(opened)))
        }
        Call::State(state::Call::ReadHold) => {
            told(&facts.hold, |hold| Reply::State(state::Reply::Hold(hold)))
        }
        Call::Vault(vault::Call::SealStatus) => {
            told(&facts.seal, |seal| Reply::Vault(vault::Reply::SealStatus(seal)))
        }
        Call::Vault(vault::Call::InitStatus) => {
            told(&facts.init, |init| Reply::Vault(vault::Reply::InitStatus(init)))
        }
        Call::Volume(volume::Call::ReadToken { .. }) if facts.api_token => token_file(TokenFile::Read),
        Call::Volume(volume::Call::ReadToken { .. }) => token_file(TokenFile::Missing),
        Call::Volume(volume::Call::ReadSealKey { .. }) => {
            told(&facts.mounted, |mounted| Reply::Volume(volume::Reply::SealKey(mounted)))
        }
        Call::Kubernetes(kubernetes::Call::ReadSealKey) => {
            told(&facts.secret, |secret| Reply::Kubernetes(kubernetes::Reply::SealKey(secret)))
        }
        Call::Kubernetes(kubernetes::Call::ReadCommitted) => {
            told(&facts.committed, |committed| Reply::Kubernetes(kubernetes::Reply::Committed(committed)))
        }
        Call::Kubernetes(kubernetes::Call::ReadTrust) => told(&facts.trust, |exists| {
            let version = crate::names::ResourceVersion::parse("1").expect("a digit");
            let published = kubernetes::PublishedTrust { life: None, version, trust: None };
            Reply::Kubernetes(kubernetes::Reply::Trust(exists.then_some(published)))
        }),
        Call::State(_)
        | Call::Vault(_)
        | Call::Volume(_)
        | Call::Kubernetes(_)
        | Call::Keys(_)
        | Call::Listener(_) => {
            panic!("a survey does not ask this: {call:?}")
        }
    }
}

fn told<T: Clone>(fact: &Known<T>, reply: impl FnOnce(T) -> Reply) -> Outcome<Reply> {
    match fact {
        Known::Fact(fact) => Outcome::Ok(reply(fact.clone())),
        Known::Unknown => Outcome::Unknown(Lost::Deadline),
    }
}
