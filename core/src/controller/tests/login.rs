//! Refused logins: whose fault it is, and what follows for those who are served.

use super::fixtures::*;
use crate::vault::AuthRole;

/// For how long a good token may be refused.
const STRANDED_MS: u64 = 150_000;

const ROLES: [(&str, AuthRole); 2] = [
    ("Login::LoggingInAsController", AuthRole::Controller),
    ("Login::LoggingInAsSetup", AuthRole::ControllerSetup),
];

#[test]
fn either_role_that_is_refused_for_too_long_strands_a_first_start() {
    for (phase, _) in ROLES {
        let mut bench = Bench::at(phase);
        let since = bench.now.mono;
        let told = refuse_until(&mut bench, phase, |bench| bench.machine.phase() == "Stopped");
        assert_eq!(told, []);
        bench.assert_stopped(Fatal::SetupStranded);
        assert!(bench.now.mono >= since.after_ms(STRANDED_MS));
    }
}

#[test]
fn a_login_that_works_ends_its_own_series_and_not_the_other_roles() {
    let setup = "Login::LoggingInAsSetup";
    let mut bench = Bench::at(setup);
    let since = bench.now.mono;
    // In every round the other role is let in.
    refuse_until(&mut bench, setup, |bench| bench.now.mono >= since.after_ms(60_000));
    bench.forward_to(setup);
    bench.step();
    bench.done(Outcome::Unknown(Lost::Deadline));
    let since = bench.now.mono;
    refuse_until(&mut bench, setup, |bench| bench.machine.phase() == "Stopped");
    assert!(bench.now.mono >= since.after_ms(STRANDED_MS), "the series began anew");
}

#[test]
fn while_callers_are_served_a_stranded_login_is_told_once_and_ends_nothing() {
    for (phase, role) in ROLES {
        let mut bench = Bench::at("Serving");
        bench.pass_to(bench.now.in_ms(600_000));
        bench.timeout();
        bench.forward_to(phase);
        let since = bench.now.mono;
        let told = refuse_until(&mut bench, phase, |bench| bench.now.mono >= since.after_ms(290_000));
        assert_eq!(told, [Told::Notes(Notice::LoginStranded { role })]);
        assert_eq!(bench.machine.standing(), Standing::Ready, "its token still lives");

        bench.forward_to("Serving");
        bench.pass_to(bench.now.in_ms(600_000));
        bench.timeout();
        bench.forward_to(phase);
        let since = bench.now.mono;
        let told = refuse_until(&mut bench, phase, |bench| bench.now.mono >= since.after_ms(290_000));
        assert_eq!(told, [Told::Notes(Notice::LoginStranded { role })], "a new series is told again");
    }
}

#[test]
fn a_stranded_login_takes_readiness_away_with_the_token_and_still_ends_nothing() {
    let (phase, role) = ROLES[0];
    let mut bench = Bench::at("Serving");
    bench.pass_to(bench.now.in_ms(600_000));
    bench.timeout();
    bench.forward_to(phase);
    let since = bench.now.mono;
    let told = refuse_until(&mut bench, phase, |bench| bench.now.mono >= since.after_ms(3_600_000));
    assert_eq!(
        told,
        [Told::Notes(Notice::LoginStranded { role }), Told::Notes(Notice::Lapsed(Lapse::Token))]
    );
    assert_eq!(bench.machine.standing(), Standing::Starting);
    bench.forward_to("Serving");
    assert_eq!(bench.machine.standing(), Standing::Ready);
}

/// Vault refuses the login of this phase, the API server accepts the token, and everything else answers well. Gives the
/// alarms that were told.
fn refuse_until(bench: &mut Bench, phase: &str, done: impl Fn(&Bench) -> bool) -> Vec<Told> {
    let mut alarms = vec![];
    while !done(bench) {
        let refused = Outcome::Refused(Refusal::Unclear);
        let told = if bench.machine.phase() == phase { bench.done(refused) } else { bench.step() };
        alarms
            .extend(told.into_iter().filter(|told| {
                matches!(told, Told::Notes(Notice::LoginStranded { .. } | Notice::Lapsed(_)))
            }));
    }
    alarms
}
