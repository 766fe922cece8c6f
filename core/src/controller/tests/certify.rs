//! The serving certificate: issued, published without replacing what others trust, shown, and proved to be shown.

use super::fixtures::*;
use crate::documents::certificate::{CONTROLLER_TTL_S, request};
use crate::kubernetes::{PublishedTrust, Trust};
use crate::names::ResourceVersion;
use crate::vault::{Certificate, PkiRole};
use crate::volume::{Token, TokenFile};

const KEY: Secret = Secret::Own(Own::ServingKey);

#[test]
fn a_certificate_is_published_before_it_is_shown() {
    let mut bench = Bench::at("Configure::Forgetting");
    assert_eq!(bench.step(), [asks_for_token(Token::Api, Own::ApiJwt)]);
    bench.step();
    let identity = identity("kubefox", "kubefox");
    let request = request(PkiRole::Controller, &identity, &config().trust_domain, CONTROLLER_TTL_S);
    let token = Secret::Own(Own::ControllerToken);
    let call = Call::Vault(vault::Call::Issue { token, request, into: KEY });
    assert_eq!(bench.boot_flight().expect("a certificate is asked for").call, call);

    assert_eq!(bench.step(), [asks_kubernetes(kubernetes::Call::ReadTrust)]);
    assert_eq!(
        bench.step(),
        [asks_kubernetes(kubernetes::Call::CreateTrust { life: life(), trust: trust(1) })]
    );
    let (leaf, ca) = (pem("controller 1"), pem("root"));
    let present = listener::Call::Present { leaf: leaf.clone(), ca, key: KEY };
    assert_eq!(bench.step(), [Told::Asks(5_000, Call::Listener(present))]);
    assert_eq!(bench.step(), [Told::Asks(5_000, Call::Listener(listener::Call::Probe { leaf }))]);
    assert_eq!(bench.machine.standing(), Standing::Starting, "that it is shown is not proved yet");
    assert_eq!(
        bench.step(),
        [
            Told::Notes(Notice::Certified { not_after: Unix(UNIX + CONTROLLER_TTL_S) }),
            Told::Notes(Notice::Serving { address: "127.0.0.1:8443".into() }),
        ]
    );
    assert_eq!(bench.machine.standing(), Standing::Ready);
}

#[test]
fn a_published_root_that_is_not_vaults_is_never_overwritten() {
    let foreign = Trust { ca: pem("another root"), ..trust(1) };
    for published in [Some(foreign), None] {
        let mut world = World::converged();
        world.trust.as_mut().expect("it is published").trust = published;
        let mut bench = Bench::at_in(world, "Certify::ReadingTrust");
        assert_eq!(bench.step(), []);
        bench.assert_stopped(Fatal::TrustReplaced);
        assert!(!bench.world.deeds.iter().any(|deed| deed == "UpdateTrust" || deed == "Present"));
    }
}

#[test]
fn a_certificate_of_another_time_is_replaced_by_compare_and_set() {
    let mut bench = Bench::at_in(World::converged(), "Certify::ReadingTrust");
    let version = ResourceVersion::parse("1").expect("a digit");
    let update = |version| kubernetes::Call::UpdateTrust { life: life(), version, trust: trust(2) };
    assert_eq!(bench.step(), [asks_kubernetes(update(version))]);

    // Somebody else publishes meanwhile.
    let published = bench.world.trust.as_mut().expect("it is published");
    published.version = ResourceVersion::parse("7").expect("a digit");
    assert_eq!(bench.step(), []);
    bench.assert_pauses(200, Wait::Conflict);
    assert_eq!(bench.wait(), [asks_kubernetes(kubernetes::Call::ReadTrust)]);
    let version = ResourceVersion::parse("7").expect("a digit");
    assert_eq!(bench.step(), [asks_kubernetes(update(version))]);
    bench.forward_to("Serving");
    let found = bench.world.trust.and_then(|published| published.trust);
    assert_eq!(found, Some(trust(2)));
}

#[test]
fn whoever_published_first_is_compared_with() {
    let mut bench = Bench::at("Certify::CreatingTrust");
    let version = ResourceVersion::parse("9").expect("a digit");
    let trust = Trust { ca: pem("another root"), ..trust(1) };
    bench.world.trust = Some(PublishedTrust { life: Some(life()), version, trust: Some(trust) });
    assert_eq!(bench.step(), []);
    assert_eq!(bench.wait(), [asks_kubernetes(kubernetes::Call::ReadTrust)]);
    bench.step();
    bench.assert_stopped(Fatal::TrustReplaced);
}

#[test]
fn a_write_that_nobody_confirmed_is_looked_at_before_anything_is_shown() {
    let mut bench = Bench::at("Certify::CreatingTrust");
    let call = bench.boot_flight().expect("a create").call;
    bench.world.answer(&call, bench.now);
    bench.done(Outcome::Unknown(Lost::Deadline));
    bench.assert_waits(Wait::ApiServer);
    bench.forward_to("Certify::UpdatingTrust");
    bench.forward_to("Serving");
}

#[test]
fn a_certificate_that_is_about_to_end_is_not_published() {
    for (life_s, phase) in [(59, "Waiting"), (60, "Certify::ReadingTrust")] {
        let mut bench = Bench::at("Certify::Issuing");
        let not_after = Unix(UNIX + life_s);
        let certificate = Certificate { leaf: pem("controller"), ca: pem("root"), not_after };
        bench.done(vault(vault::Reply::Certificate(certificate)));
        assert_eq!(bench.machine.phase(), phase);
    }
}

#[test]
fn nothing_is_issued_that_could_not_be_published() {
    for file in [TokenFile::Missing, TokenFile::Empty, TokenFile::Malformed] {
        let mut bench = Bench::at("Certify::ReadingApiToken");
        assert_eq!(bench.done(token_file(file)), []);
        bench.assert_waits(Wait::ApiToken);
    }
    // Row 20 does without the API server, so it may be here that its token is missed first.
    let mut world = World::converged();
    world.tokens.remove(&Token::Api);
    let bench = Bench::at_in(world, "Waiting");
    bench.assert_waits(Wait::ApiToken);
    assert!(bench.world.deeds.contains(&"Login controller".into()));
}

#[test]
fn a_server_that_shows_another_certificate_serves_nobody() {
    let mut bench = Bench::at("Certify::Probing");
    assert_eq!(bench.done(probed(false)), []);
    bench.assert_waits(Wait::Listener);
    assert_eq!(bench.machine.standing(), Standing::Starting);
    bench.forward_to("Certify::Probing");
    bench.step();
    assert_eq!((bench.machine.phase(), bench.machine.standing()), ("Serving", Standing::Ready));
}

#[test]
fn a_renewed_certificate_that_is_not_shown_counts_for_nothing_and_is_tried_again() {
    let mut bench = Bench::at("Serving");
    let before = bench.machine.memory.certificate;
    bench.machine.memory.token = before;
    bench.pass_to(bench.now.in_ms(CONTROLLER_TTL_S / 3 * 2 * 1_000));
    bench.timeout();
    bench.forward_to("Certify::Probing");
    bench.done(probed(false));
    bench.assert_waits(Wait::Listener);
    assert_eq!(bench.machine.memory.certificate, before);
    assert_eq!(bench.machine.standing(), Standing::Ready, "the one before it still lives");
    bench.forward_to("Certify::Issuing");
    bench.forward_to("Serving");
    assert_ne!(bench.machine.memory.certificate, before);
}

const fn probed(shown: bool) -> Outcome<Reply> {
    Outcome::Ok(Reply::Listener(listener::Reply::Probed { shown }))
}

fn trust(number: u64) -> Trust {
    Trust { certificate: pem(&format!("controller {number}")), ca: pem("root") }
}
