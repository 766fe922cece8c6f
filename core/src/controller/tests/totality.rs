//! The boot table over the cross product of all facts: it always decides, and never more than the facts allow.

use alloc::collections::{BTreeMap, BTreeSet};

use super::fixtures::*;
use crate::controller::table::Facts;
use crate::kubernetes::{Marked, SealKeyObject};
use crate::state::{Claimed, Opened, RECOVERIES_MAX, State};
use crate::vault::{InitStatus, SealStatus};
use crate::volume::SealKeyFile;

#[test]
fn the_table_is_total_every_verdict_has_its_evidence_and_every_stop_is_documented_with_its_row() {
    let own = uid("3f1c");
    let mut stops = BTreeMap::<u8, BTreeSet<String>>::new();
    let mut combinations = 0;
    for facts in every_survey() {
        for terms in every_term(&own) {
            let decision = decide(&facts, terms);
            assert_evidence(&facts, terms, &decision);
            let stops = stops.entry(decision.row).or_default();
            if let Verdict::Stop(fatal) = decision.verdict {
                stops.insert(format!("{fatal:?}"));
            }
            combinations += 1;
        }
    }
    assert!(stops.keys().copied().eq(2..=20), "every row applies to some world");
    assert_eq!(documented_stops(), stops);
    assert!(combinations > 100_000, "{combinations}");
}

#[test]
fn a_fact_that_becomes_unknown_only_ever_turns_a_deed_into_a_wait_or_an_earlier_row() {
    for facts in every_survey() {
        let own = uid("3f1c");
        let terms = Terms { key_late: true, recover: Some(&own), allow_plain: false };
        let known = decide(&facts, terms);
        for (name, silent) in silenced(&facts) {
            let decision = decide(&silent, terms);
            // What follows if the API server does not take the commit is checked as a row of its own.
            let same_deed = decision.row == 17 && known.row == 17;
            let harmless = decision == known
                || same_deed
                || matches!(decision.verdict, Verdict::Wait(_) | Verdict::Stop(_))
                // Row 17 alone goes on without its fact: unsealing does not need the API server.
                || (name == "committed" && known.row == 17 && decision.row > 17)
                || (name == "committed" && known.row == 13 && decision.row > 13);
            assert!(harmless, "without {name} {known:?} became {decision:?} for {facts:?}");
        }
    }
}

/// Of the table in the documentation: row by row, the stops that it names.
fn documented_stops() -> BTreeMap<u8, BTreeSet<String>> {
    let mut stops = BTreeMap::<u8, BTreeSet<String>>::new();
    for line in include_str!("../table.rs").lines() {
        let Some((row, cells)) = line.strip_prefix("//! | ").and_then(|row| row.split_once(" | ")) else {
            continue;
        };
        let Ok(row) = row.parse() else { continue };
        let named = cells.split('`').skip(1).step_by(2).map(String::from);
        stops.entry(row).or_default().extend(named);
    }
    stops
}

/// Whatever the operator allows, and time has brought.
pub(super) fn every_term(own: &Uid) -> impl Iterator<Item = Terms<'_>> {
    [false, true].into_iter().flat_map(move |allow_plain| {
        [false, true].into_iter().flat_map(move |key_late| {
            [None, Some(own)].map(|recover| Terms { allow_plain, key_late, recover })
        })
    })
}

/// What must be known, and how, for each verdict.
fn assert_evidence(facts: &Facts, terms: Terms<'_>, decision: &Decision) {
    let seen = Seen(facts);
    let shown = || format!("{decision:?} for {facts:?}");
    let volume = match facts.directory {
        Known::Fact(Claimed::Ours { mount_point }) => mount_point || terms.allow_plain,
        Known::Fact(Claimed::Others | Claimed::Unlockable | Claimed::Missing) | Known::Unknown => false,
    };
    if !matches!(decision.verdict, Verdict::Wait(_) | Verdict::Stop(_)) {
        assert!(volume, "{}", shown());
    }
    if volume && seen.envelope() && (seen.uninitialized() || seen.half()) {
        assert_eq!(
            *decision,
            Decision { row: 12, verdict: Verdict::Stop(Fatal::StorageLost) },
            "{}",
            shown()
        );
    }
    let committed = matches!(facts.committed, Known::Fact(Some(_)));
    let evident = match &decision.verdict {
        Verdict::Begin => {
            seen.uninitialized()
                && facts.state == Known::Fact(State::Absent)
                && facts.secret == Known::Fact(None)
                && facts.committed == Known::Fact(None)
                && facts.trust == Known::Fact(false)
        }
        Verdict::CreateSealKey { life } => {
            seen.uninitialized()
                && seen.begun(life)
                && facts.secret == Known::Fact(None)
                && facts.committed == Known::Fact(None)
        }
        Verdict::Initialize { life, attempt, recoveries } => {
            let sole = matches!(facts.state, Known::Fact(State::Intent { .. }));
            seen.uninitialized()
                && seen.begun(life)
                && seen.stored_key_is_mounted(life)
                && facts.committed == Known::Fact(None)
                && (*attempt == 1) == sole
                && *recoveries == seen.recoveries()
        }
        Verdict::Mark { life, attempt: 1, recoveries } => {
            terms.recover.is_some()
                && seen.interrupted()
                && *recoveries < RECOVERIES_MAX
                && facts.state
                    == Known::Fact(State::Sent { life: life.clone(), attempt: 1, recoveries: *recoveries })
                && seen.nothing_of_another_life(life)
                && facts.committed == Known::Fact(None)
        }
        Verdict::Mark { .. } => false,
        Verdict::ReplacePod => {
            terms.recover.is_some()
                && seen.to_move()
                && seen.marked_by("3f1c")
                && seen.recoveries() < RECOVERIES_MAX
                && seen.nothing_of_another_life(&life())
                && facts.committed == Known::Fact(None)
        }
        Verdict::Commit { otherwise, .. } => {
            seen.initialized() && seen.opens(otherwise.is_none()) && facts.committed == Known::Fact(None)
        }
        Verdict::Unseal => {
            seen.initialized()
                && seen.sealed(true)
                && facts.hold == Known::Fact(false)
                && (seen.opens(false) || (seen.opens(true) && committed))
        }
        Verdict::FinishSetUp { .. } => {
            seen.initialized() && seen.sealed(false) && seen.opens(true) && committed
        }
        Verdict::LogIn { .. } => seen.initialized() && seen.sealed(false) && seen.opens(false),
        Verdict::Stop(Fatal::StorageLost) => {
            (seen.uninitialized() || seen.half()) && (seen.envelope() || committed)
        }
        Verdict::Stop(Fatal::QuarantineMissing) => {
            terms.recover.is_some() && seen.to_move() && seen.marked_by("4a2d")
        }
        Verdict::Stop(Fatal::RecoveryExhausted) => {
            terms.recover.is_some() && seen.to_move() && seen.recoveries() >= RECOVERIES_MAX
        }
        Verdict::Stop(Fatal::HalfInitialized | Fatal::InitInterrupted) => {
            terms.recover.is_none() && seen.to_move()
        }
        Verdict::Stop(_) => matches!(facts.directory, Known::Fact(Claimed::Ours { .. })),
        Verdict::Wait(wait) => is_missing(*wait, facts),
    };
    assert!(evident, "{}", shown());
}

/// What a survey proves; silence proves nothing.
struct Seen<'a>(&'a Facts);

impl Seen<'_> {
    fn uninitialized(&self) -> bool {
        self.0.init == Known::Fact(InitStatus::Uninitialized)
            && matches!(&self.0.seal, Known::Fact(seal) if !seal.initialized && seal.shamir)
    }

    fn initialized(&self) -> bool {
        self.0.init == Known::Fact(InitStatus::Initialized)
            && matches!(&self.0.seal, Known::Fact(seal) if seal.initialized && seal.shamir && seal.shares == 1)
    }

    fn half(&self) -> bool {
        self.0.init == Known::Fact(InitStatus::NoSealConfiguration)
    }

    fn sealed(&self, sealed: bool) -> bool {
        matches!(&self.0.seal, Known::Fact(seal) if seal.sealed == sealed)
    }

    fn envelope(&self) -> bool {
        matches!(self.0.state, Known::Fact(State::Envelope { .. }))
    }

    fn begun(&self, life: &LifeId) -> bool {
        self.0.state == Known::Fact(State::Intent { life: life.clone() })
            || matches!(
                &self.0.state,
                Known::Fact(State::Sent { life: found, .. }) if found == life
            )
    }

    /// Vault holds something, and nobody ever unsealed it.
    fn interrupted(&self) -> bool {
        self.half() || (self.initialized() && self.sealed(true))
    }

    /// A marked Vault may be half-initialized and say that it is uninitialized.
    fn to_move(&self) -> bool {
        let marked = matches!(self.0.state, Known::Fact(State::Recover { .. }));
        self.interrupted() || (marked && self.uninitialized())
    }

    fn marked_by(&self, uid: &str) -> bool {
        matches!(&self.0.state, Known::Fact(State::Recover { pod, .. }) if pod.as_str() == uid)
    }

    fn recoveries(&self) -> u32 {
        match self.0.state {
            Known::Fact(State::Sent { recoveries, .. } | State::Recover { recoveries, .. }) => recoveries,
            Known::Fact(
                State::Absent
                | State::Intent { .. }
                | State::Foreign { .. }
                | State::Envelope { .. }
                | State::Corrupt
                | State::OtherInstallation,
            )
            | Known::Unknown => 0,
        }
    }

    fn nothing_of_another_life(&self, life: &LifeId) -> bool {
        match &self.0.secret {
            Known::Fact(Some(secret)) => secret.marked.life.as_ref() == Some(life),
            Known::Fact(None) => true,
            Known::Unknown => false,
        }
    }

    /// With the mounted key, which is the envelope's.
    fn opens(&self, root: bool) -> bool {
        let Known::Fact(State::Envelope { key, .. }) = &self.0.state else { return false };
        self.0.mounted == Known::Fact(SealKeyFile::Present(key.clone()))
            && self.0.opened == Known::Fact(Opened::Keys { root })
    }

    fn stored_key_is_mounted(&self, life: &LifeId) -> bool {
        let Known::Fact(Some(SealKeyObject { marked, key: Some(key) })) = &self.0.secret else {
            return false;
        };
        let stays = marked.life.as_ref() == Some(life) && !marked.deleting;
        stays && self.0.mounted == Known::Fact(SealKeyFile::Present(key.clone()))
    }
}

/// Whether what is waited for is what is missing.
fn is_missing(wait: Wait, facts: &Facts) -> bool {
    let api_silent =
        facts.secret == Known::Unknown || facts.committed == Known::Unknown || facts.trust == Known::Unknown;
    match wait {
        Wait::StateDirectory => {
            matches!(facts.directory, Known::Unknown | Known::Fact(Claimed::Missing))
        }
        Wait::StateHeld => facts.directory == Known::Fact(Claimed::Others),
        Wait::StateUnlockable => facts.directory == Known::Fact(Claimed::Unlockable),
        Wait::StateFile => {
            facts.state == Known::Unknown
                || facts.hold == Known::Unknown
                || !matches!(facts.opened, Known::Fact(Opened::Keys { .. } | Opened::Tampered))
        }
        Wait::Vault => facts.seal == Known::Unknown || facts.init == Known::Unknown,
        Wait::VaultUnsettled => matches!(
            (&facts.seal, facts.init),
            (Known::Fact(seal), Known::Fact(init)) if seal.initialized != (init == InitStatus::Initialized)
        ),
        Wait::ApiToken => api_silent && !facts.api_token,
        Wait::ApiServer => api_silent && facts.api_token,
        Wait::SealKeyVolume => match (&facts.state, &facts.secret, &facts.mounted) {
            (Known::Fact(State::Envelope { key, .. }), _, Known::Fact(SealKeyFile::Present(mounted))) => {
                key != mounted
            }
            (_, Known::Fact(Some(secret)), Known::Fact(SealKeyFile::Present(mounted))) => {
                secret.key.as_ref() != Some(mounted)
            }
            (_, _, Known::Unknown | Known::Fact(_)) => true,
        },
        Wait::SealKeyDeletion => matches!(
            &facts.secret,
            Known::Fact(Some(SealKeyObject { marked, .. })) if marked.deleting && marked.life == Some(life())
        ),
        Wait::SealHeld => facts.hold == Known::Fact(true),
        Wait::VaultActive
        | Wait::StateWrite
        | Wait::Conflict
        | Wait::Keyring
        | Wait::Login
        | Wait::VaultToken
        | Wait::Tokens
        | Wait::Configuration
        | Wait::Listener
        | Wait::Renewal
        | Wait::OwnPod => false,
    }
}

/// The same survey with one answer missing, for each answer that the table may use.
fn silenced(facts: &Facts) -> [(&'static str, Facts); 9] {
    let facts = || facts.clone();
    [
        ("directory", Facts { directory: Known::Unknown, ..facts() }),
        ("state", Facts { state: Known::Unknown, ..facts() }),
        ("seal", Facts { seal: Known::Unknown, ..facts() }),
        ("init", Facts { init: Known::Unknown, ..facts() }),
        ("secret", Facts { secret: Known::Unknown, ..facts() }),
        ("committed", Facts { committed: Known::Unknown, ..facts() }),
        ("trust", Facts { trust: Known::Unknown, ..facts() }),
        ("mounted", Facts { mounted: Known::Unknown, ..facts() }),
        ("hold", Facts { hold: Known::Unknown, ..facts() }),
    ]
}

/// The cross product, without what contradicts itself within one answer.
pub(super) fn every_survey() -> impl Iterator<Item = Facts> {
    states().into_iter().flat_map(|state| {
        vaults().into_iter().flat_map(move |(seal, init)| {
            let base = Facts { state: state.clone(), seal, init, ..Facts::default() };
            clusters(base).into_iter().flat_map(mounts)
        })
    })
}

fn states() -> Vec<Known<State>> {
    let mut states: Vec<_> = [
        State::Absent,
        State::Intent { life: life() },
        State::Sent { life: life(), attempt: 1, recoveries: 0 },
        State::Sent { life: life(), attempt: 1, recoveries: RECOVERIES_MAX },
        State::Recover { life: life(), attempt: 1, recoveries: 0, pod: uid("3f1c") },
        State::Recover { life: life(), attempt: 1, recoveries: 0, pod: uid("4a2d") },
        State::Recover { life: life(), attempt: 1, recoveries: RECOVERIES_MAX, pod: uid("3f1c") },
        State::Foreign { life: life() },
        State::Envelope { life: life(), generation: 1, key: key_id(1) },
        State::Corrupt,
        State::OtherInstallation,
    ]
    .map(Known::Fact)
    .into();
    states.push(Known::Unknown);
    states
}

fn vaults() -> Vec<(Known<SealStatus>, Known<InitStatus>)> {
    let status = |initialized, sealed, shares, shamir| {
        let version = String::from("2.6.2");
        Known::Fact(SealStatus { shamir, initialized, sealed, shares, threshold: shares, version })
    };
    let seals = [
        Known::Unknown,
        status(false, true, 0, true),
        status(true, true, 1, true),
        status(true, false, 1, true),
        status(true, true, 3, true),
        status(true, true, 1, false),
    ];
    let inits = [
        Known::Unknown,
        Known::Fact(InitStatus::Uninitialized),
        Known::Fact(InitStatus::Initialized),
        Known::Fact(InitStatus::NoSealConfiguration),
    ];
    seals.iter().flat_map(|seal| inits.map(|init| (seal.clone(), init))).collect()
}

fn clusters(base: Facts) -> Vec<Facts> {
    let marks = || [None, Some(other_life()), Some(life())].map(|life| Marked { life, deleting: false });
    let mut secrets = Vec::from([Known::Unknown, Known::Fact(None)]);
    for marked in marks().into_iter().chain([Marked { life: Some(life()), deleting: true }]) {
        for key in [None, Some(key_id(1))] {
            secrets.push(Known::Fact(Some(SealKeyObject { marked: marked.clone(), key })));
        }
    }
    let mut commits = Vec::from([Known::Unknown, Known::Fact(None)]);
    commits.extend(marks().map(Some).map(Known::Fact));
    let mut facts = Vec::new();
    for secret in &secrets {
        for committed in &commits {
            for trust in [Known::Unknown, Known::Fact(false), Known::Fact(true)] {
                let (secret, committed) = (secret.clone(), committed.clone());
                facts.push(Facts { secret, committed, trust, api_token: true, ..base.clone() });
            }
        }
    }
    // Without a token the API server is not even asked.
    facts.push(base);
    facts
}

fn mounts(base: Facts) -> Vec<Facts> {
    let opening = |mounted, opened| Facts { mounted, opened, ..base.clone() };
    let present = |number| Known::Fact(SealKeyFile::Present(key_id(number)));
    let mut facts = Vec::from([
        opening(Known::Unknown, Known::Unknown),
        opening(Known::Fact(SealKeyFile::Absent), Known::Unknown),
        opening(Known::Fact(SealKeyFile::Malformed), Known::Unknown),
        opening(present(9), Known::Unknown),
        opening(present(1), Known::Unknown),
    ]);
    for opened in [
        Opened::Keys { root: true },
        Opened::Keys { root: false },
        Opened::OtherKey,
        Opened::Tampered,
        Opened::NoEnvelope,
    ] {
        facts.push(opening(present(1), Known::Fact(opened)));
    }
    let mut all = Vec::new();
    for facts in facts {
        for directory in directories() {
            let hold = if directory == Known::Fact(Claimed::Ours { mount_point: true }) { 3 } else { 1 };
            for hold in [Known::Fact(false), Known::Fact(true), Known::Unknown].into_iter().take(hold) {
                all.push(Facts { directory, hold, ..facts.clone() });
            }
        }
    }
    all
}

const fn directories() -> [Known<Claimed>; 6] {
    [
        Known::Fact(Claimed::Ours { mount_point: true }),
        Known::Fact(Claimed::Ours { mount_point: false }),
        Known::Fact(Claimed::Others),
        Known::Fact(Claimed::Unlockable),
        Known::Fact(Claimed::Missing),
        Known::Unknown,
    ]
}
