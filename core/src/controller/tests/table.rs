//! Every row of the boot table, with all its alternatives.

use alloc::boxed::Box;

use super::fixtures::*;
use crate::controller::table::{ATTEMPT_AGAIN, Facts};
use crate::kubernetes::{Marked, SealKeyObject};
use crate::state::{Claimed, Opened, RECOVERIES_MAX, State};
use crate::vault::{InitStatus, SealStatus};
use crate::volume::SealKeyFile;

#[test]
fn row_2_the_directory_is_a_volume_or_nothing_begins() {
    let unknown = Facts { directory: Known::Unknown, ..clean() };
    let plain = Facts { directory: Known::Fact(Claimed::Ours { mount_point: false }), ..clean() };
    for allow_plain in [false, true] {
        assert_eq!(decide(&unknown, Terms { allow_plain, ..LATE }), waits(2, Wait::StateDirectory));
    }
    assert_eq!(decide(&plain, LATE), stops(2, Fatal::StateNotPersistent));
    assert_eq!(
        decide(&plain, Terms { allow_plain: true, ..LATE }),
        Decision { row: 5, verdict: Verdict::Begin }
    );
}

#[test]
fn row_2_a_directory_of_another_process_or_without_locks_is_waited_for_whatever_else_is_so() {
    for facts in [clean(), intent(), sent(), marked_after(0), sealed(), active()] {
        for (claimed, wait) in [
            (Claimed::Others, Wait::StateHeld),
            (Claimed::Unlockable, Wait::StateUnlockable),
            (Claimed::Missing, Wait::StateDirectory),
        ] {
            assert_decides(Facts { directory: Known::Fact(claimed), ..facts.clone() }, waits(2, wait));
        }
    }
}

#[test]
fn row_3_a_file_that_cannot_be_used_is_never_replaced() {
    assert_decides(Facts { state: Known::Unknown, ..clean() }, waits(3, Wait::StateFile));
    for (state, fatal) in [
        (State::Corrupt, Fatal::EnvelopeCorrupt),
        (State::OtherInstallation, Fatal::WrongInstallation),
        (State::Foreign { life: life() }, Fatal::ForeignInit),
    ] {
        let silent =
            Facts { state: Known::Fact(state.clone()), directory: clean().directory, ..Facts::default() };
        assert_decides(silent, stops(3, fatal));
        assert_decides(Facts { state: Known::Fact(state), ..sealed() }, stops(3, fatal));
    }
}

#[test]
fn row_4_a_vault_that_does_not_answer_or_contradicts_itself_is_waited_for() {
    for facts in [clean(), intent(), sent(), sealed()] {
        assert_decides(Facts { seal: Known::Unknown, ..facts.clone() }, waits(4, Wait::Vault));
        assert_decides(Facts { init: Known::Unknown, ..facts.clone() }, waits(4, Wait::Vault));
        let contradicting = match facts.init {
            Known::Fact(InitStatus::Initialized) => InitStatus::Uninitialized,
            Known::Fact(InitStatus::Uninitialized | InitStatus::NoSealConfiguration) | Known::Unknown => {
                InitStatus::Initialized
            }
        };
        assert_decides(Facts { init: Known::Fact(contradicting), ..facts }, waits(4, Wait::VaultUnsettled));
    }
}

#[test]
fn row_4_another_seal_is_foreign() {
    let shamir = |shamir, seal: SealStatus| Known::Fact(SealStatus { shamir, ..seal });
    assert_decides(Facts { seal: shamir(false, untouched()), ..clean() }, stops(4, Fatal::ForeignSeal));
    assert_decides(
        Facts { seal: shamir(false, initialized(true)), ..sealed() },
        stops(4, Fatal::ForeignSeal),
    );
    for (shares, threshold) in [(5, 3), (2, 1), (1, 2), (0, 0)] {
        let seal = Known::Fact(SealStatus { shares, threshold, ..initialized(true) });
        assert_decides(Facts { seal, ..sealed() }, stops(4, Fatal::ForeignSeal));
    }
}

#[test]
fn row_5_a_life_begins_only_where_there_was_none() {
    assert_decides(clean(), Decision { row: 5, verdict: Verdict::Begin });
    for facts in [
        Facts { secret: Known::Fact(Some(secret(Some(other_life())))), ..clean() },
        Facts { secret: Known::Fact(Some(secret(None))), ..clean() },
        Facts { committed: Known::Fact(Some(marked(Some(other_life())))), ..clean() },
        Facts { committed: Known::Fact(Some(marked(None))), ..clean() },
        Facts { trust: Known::Fact(true), ..clean() },
    ] {
        assert_decides(facts, stops(5, Fatal::EarlierLife));
    }
    for facts in [
        Facts { secret: Known::Unknown, ..clean() },
        Facts { committed: Known::Unknown, ..clean() },
        Facts { trust: Known::Unknown, ..clean() },
    ] {
        assert_decides(facts.clone(), waits(5, Wait::ApiServer));
        assert_decides(Facts { api_token: false, ..facts }, waits(5, Wait::ApiToken));
    }
}

#[test]
fn row_6_an_initialized_vault_without_a_file_is_not_ours_to_touch() {
    assert_decides(half(clean()), stops(6, Fatal::ForeignInit));
    for facts in [sealed(), active()] {
        assert_decides(
            Facts { state: Known::Fact(State::Absent), ..facts },
            stops(6, Fatal::EnvelopeMissing),
        );
    }
}

#[test]
fn row_7_objects_of_another_life_stop_a_life_that_began() {
    for begun in [intent(), sent(), marked_after(0)] {
        for life in [None, Some(other_life())] {
            for facts in [
                Facts {
                    secret: Known::Fact(Some(secret(life.clone()))),
                    committed: Known::Unknown,
                    ..begun.clone()
                },
                Facts {
                    committed: Known::Fact(Some(marked(life.clone()))),
                    secret: Known::Unknown,
                    ..begun.clone()
                },
            ] {
                assert_decides(facts, stops(7, Fatal::EarlierLife));
            }
        }
        for facts in [
            Facts { secret: Known::Unknown, ..begun.clone() },
            Facts { committed: Known::Unknown, ..begun.clone() },
        ] {
            assert_decides(facts.clone(), waits(7, Wait::ApiServer));
            assert_decides(Facts { api_token: false, ..facts }, waits(7, Wait::ApiToken));
        }
    }
}

#[test]
fn row_8_what_was_committed_is_never_initialized_again() {
    let committed = Known::Fact(Some(marked(Some(life()))));
    for begun in [intent(), sent(), marked_after(0)] {
        let facts = Facts { committed: committed.clone(), ..begun };
        assert_decides(facts.clone(), stops(8, Fatal::StorageLost));
        for facts in [half(facts.clone()), with_vault(facts.clone(), &sealed()), with_vault(facts, &active())]
        {
            assert_decides(facts, stops(8, Fatal::DiskRolledBack));
        }
    }
}

#[test]
fn row_9_an_intent_is_resumed_and_a_vault_somebody_else_initialized_is_not() {
    assert_decides(intent(), Decision { row: 9, verdict: Verdict::CreateSealKey { life: life() } });
    let verdict = Verdict::Initialize { life: life(), attempt: 1, recoveries: 0 };
    assert_decides(with_key(intent()), Decision { row: 9, verdict });
    for facts in [half(intent()), with_vault(intent(), &sealed()), with_vault(intent(), &active())] {
        assert_decides(facts, stops(9, Fatal::ForeignInit));
    }
}

#[test]
fn row_10_an_initialization_that_never_arrived_is_sent_again() {
    assert_decides(sent(), Decision { row: 10, verdict: Verdict::CreateSealKey { life: life() } });
    for attempt in [1, 2, 3, u32::MAX] {
        let state = Known::Fact(State::Sent { life: life(), attempt, recoveries: 1 });
        let verdict = Verdict::Initialize { life: life(), attempt: ATTEMPT_AGAIN, recoveries: 1 };
        assert_decides(Facts { state, ..with_key(sent()) }, Decision { row: 10, verdict });
    }
}

#[test]
fn rows_9_and_10_nothing_is_initialized_under_a_key_that_is_not_both_stored_and_mounted() {
    for (row, begun) in [(9, intent()), (10, sent())] {
        for mounted in [
            Known::Unknown,
            Known::Fact(SealKeyFile::Absent),
            Known::Fact(SealKeyFile::Malformed),
            Known::Fact(SealKeyFile::Present(key_id(9))),
        ] {
            let facts = Facts { mounted, ..with_key(begun.clone()) };
            assert_decides(facts, waits(row, Wait::SealKeyVolume));
        }
        let broken = SealKeyObject { key: None, ..secret(Some(life())) };
        let facts = Facts { secret: Known::Fact(Some(broken)), ..with_key(begun) };
        assert_decides(facts, stops(row, Fatal::SealKeyMalformed));
    }
}

#[test]
fn rows_9_and_10_nothing_is_initialized_under_a_key_that_is_being_deleted() {
    for (row, begun) in [(9, intent()), (10, sent())] {
        for key in [Some(key_id(1)), None] {
            let marked = Marked { life: Some(life()), deleting: true };
            let deleting = Known::Fact(Some(SealKeyObject { marked, key }));
            let facts = Facts { secret: deleting, ..with_key(begun.clone()) };
            assert_decides(facts, waits(row, Wait::SealKeyDeletion));
        }
    }
    for facts in [sealed(), active()] {
        let marked = Marked { life: Some(life()), deleting: true };
        let secret = Known::Fact(Some(SealKeyObject { marked, key: Some(key_id(1)) }));
        let deleting = Facts { secret, ..facts.clone() };
        assert_eq!(decide(&deleting, LATE), decide(&facts, LATE), "the envelope is under it already");
    }
}

#[test]
fn row_11_an_answer_that_was_lost_is_not_asked_for_twice() {
    for recoveries in 0..=RECOVERIES_MAX {
        for begun in [sent_after(recoveries), marked_after(recoveries)] {
            assert_eq!(decide(&half(begun.clone()), LATE), stops(11, Fatal::HalfInitialized));
            let interrupted = with_vault(begun.clone(), &sealed());
            assert_eq!(decide(&interrupted, LATE), stops(11, Fatal::InitInterrupted));
            assert_decides(with_vault(begun, &active()), stops(11, Fatal::ForeignInit));
        }
    }
}

#[test]
fn row_11_with_the_operators_leave_what_an_interrupted_initialization_left_is_moved_aside() {
    let uid = uid("3f1c");
    let recover = Terms { recover: Some(&uid), ..LATE };
    for recoveries in 0..RECOVERIES_MAX {
        let verdict = Verdict::Mark { life: life(), attempt: 1, recoveries };
        let sent = sent_after(recoveries);
        for facts in [half(sent.clone()), with_vault(sent, &sealed())] {
            assert_eq!(decide(&facts, recover), Decision { row: 11, verdict: verdict.clone() });
        }
        let marked = with_key(marked_after(recoveries));
        for facts in [marked.clone(), half(marked.clone()), with_vault(marked, &sealed())] {
            assert_eq!(decide(&facts, recover), Decision { row: 11, verdict: Verdict::ReplacePod });
            let another = self::uid("4a2d");
            let replaced = Terms { recover: Some(&another), ..LATE };
            assert_eq!(decide(&facts, replaced), stops(11, Fatal::QuarantineMissing));
        }
    }
    for begun in [sent_after(RECOVERIES_MAX), marked_after(RECOVERIES_MAX)] {
        for facts in [half(begun.clone()), with_vault(begun, &sealed())] {
            assert_eq!(decide(&facts, recover), stops(11, Fatal::RecoveryExhausted));
        }
    }
}

#[test]
fn row_11_silence_of_the_cluster_recovers_nothing() {
    let uid = uid("3f1c");
    let recover = Terms { recover: Some(&uid), ..LATE };
    for begun in [sent(), marked_after(0)] {
        for facts in [half(begun.clone()), with_vault(begun, &sealed())] {
            for facts in [
                Facts { committed: Known::Unknown, ..facts.clone() },
                Facts { secret: Known::Unknown, ..facts },
            ] {
                assert_eq!(decide(&facts, recover), waits(7, Wait::ApiServer));
            }
        }
    }
}

#[test]
fn row_12_keys_of_a_vault_that_is_gone_are_kept() {
    for facts in [sealed(), active()] {
        let facts = Facts { committed: Known::Unknown, ..facts };
        assert_decides(with_vault(facts.clone(), &clean()), stops(12, Fatal::StorageLost));
        assert_decides(half(facts), stops(12, Fatal::StorageLost));
    }
}

#[test]
fn row_13_an_envelope_does_not_serve_another_life() {
    for life in [None, Some(other_life())] {
        let committed = Known::Fact(Some(marked(life)));
        for facts in [sealed(), active()] {
            let facts = Facts { committed: committed.clone(), mounted: Known::Unknown, ..facts };
            assert_decides(facts, stops(13, Fatal::WrongInstallation));
        }
    }
}

#[test]
fn row_13_without_an_answer_an_envelope_goes_on_unless_root_is_inside() {
    for (facts, next) in [
        (sealed(), Decision { row: 18, verdict: Verdict::Unseal }),
        (active(), Decision { row: 20, verdict: Verdict::LogIn { life: life() } }),
    ] {
        for api_token in [true, false] {
            let silent = Facts { committed: Known::Unknown, api_token, ..facts.clone() };
            assert_decides(silent.clone(), next.clone());
            let opened = Known::Fact(Opened::Keys { root: true });
            let wait = if api_token { Wait::ApiServer } else { Wait::ApiToken };
            assert_decides(Facts { opened, ..silent }, waits(16, wait));
        }
    }
}

#[test]
fn rows_14_and_15_the_seal_key_has_its_grace_and_no_more() {
    for facts in [sealed(), active()] {
        let of = |mounted| Facts { mounted, opened: Known::Unknown, ..facts.clone() };
        let (absent, other) = (SealKeyFile::Absent, SealKeyFile::Present(key_id(9)));
        for (mounted, fatal) in [(absent, Fatal::SealKeyMissing), (other, Fatal::SealKeyReplaced)] {
            let facts = of(Known::Fact(mounted));
            assert_eq!(decide(&facts, Terms::default()), waits(14, Wait::SealKeyVolume));
            assert_eq!(decide(&facts, LATE), stops(15, fatal));
        }
        assert_decides(of(Known::Unknown), waits(14, Wait::SealKeyVolume));
        assert_decides(of(Known::Fact(SealKeyFile::Malformed)), stops(15, Fatal::SealKeyMalformed));
        let tampered = Facts { opened: Known::Fact(Opened::Tampered), ..facts.clone() };
        assert_decides(tampered, stops(15, Fatal::EnvelopeCorrupt));
        for opened in [Known::Unknown, Known::Fact(Opened::OtherKey), Known::Fact(Opened::NoEnvelope)] {
            assert_decides(Facts { opened, ..facts.clone() }, waits(14, Wait::StateFile));
        }
    }
}

#[test]
fn row_16_while_root_is_inside_nothing_goes_on_before_the_commit() {
    for facts in [sealed(), active()] {
        let opened = Known::Fact(Opened::Keys { root: true });
        let absent = Facts { opened, committed: Known::Fact(None), ..facts };
        let verdict = Verdict::Commit { life: life(), otherwise: None };
        assert_decides(absent.clone(), Decision { row: 16, verdict });
        let unknown = Facts { committed: Known::Unknown, ..absent };
        assert_decides(unknown.clone(), waits(16, Wait::ApiServer));
        assert_decides(Facts { api_token: false, ..unknown }, waits(16, Wait::ApiToken));
    }
}

#[test]
fn row_17_a_commit_that_somebody_deleted_is_made_again_and_silence_is_no_reason() {
    for (facts, row, verdict) in
        [(sealed(), 18, Verdict::Unseal), (active(), 20, Verdict::LogIn { life: life() })]
    {
        let absent = Facts { committed: Known::Fact(None), ..facts };
        let next = Decision { row, verdict };
        let again = Verdict::Commit { life: life(), otherwise: Some(Box::new(next.clone())) };
        assert_decides(absent.clone(), Decision { row: 17, verdict: again });
        assert_decides(Facts { committed: Known::Unknown, ..absent }, next);
    }
}

#[test]
fn row_18_vault_is_unsealed_unless_a_person_holds_it() {
    for root in [false, true] {
        let facts = Facts { opened: Known::Fact(Opened::Keys { root }), ..sealed() };
        assert_decides(facts.clone(), Decision { row: 18, verdict: Verdict::Unseal });
        assert_decides(Facts { hold: Known::Fact(true), ..facts.clone() }, waits(18, Wait::SealHeld));
        assert_decides(Facts { hold: Known::Unknown, ..facts }, waits(18, Wait::StateFile));
    }
}

#[test]
fn rows_19_and_20_root_is_used_up_before_anybody_logs_in_to_serve() {
    let root = Facts { opened: Known::Fact(Opened::Keys { root: true }), ..active() };
    let verdict = Verdict::FinishSetUp { life: life(), generation: 4 };
    assert_decides(root, Decision { row: 19, verdict });
    assert_decides(active(), Decision { row: 20, verdict: Verdict::LogIn { life: life() } });
    for hold in [Known::Fact(true), Known::Unknown] {
        let held = Facts { hold, ..active() };
        assert_decides(held, Decision { row: 20, verdict: Verdict::LogIn { life: life() } });
    }
}

/// The same whether the mount point rule is lifted, the seal key's volume is late, and recovery is allowed.
fn assert_decides(facts: Facts, decision: Decision) {
    let uid = uid("3f1c");
    for allow_plain in [false, true] {
        for key_late in [false, true] {
            for recover in [None, Some(&uid)] {
                let terms = Terms { allow_plain, key_late, recover };
                assert_eq!(decide(&facts, terms), decision, "{facts:?}");
            }
        }
    }
}

/// Nothing is allowed that does not have to be, and the seal key's volume has had its grace.
const LATE: Terms<'static> = Terms { allow_plain: false, key_late: true, recover: None };

/// Nothing was ever started here, and everything answers.
fn clean() -> Facts {
    Facts {
        directory: Known::Fact(Claimed::Ours { mount_point: true }),
        state: Known::Fact(State::Absent),
        seal: Known::Fact(untouched()),
        init: Known::Fact(InitStatus::Uninitialized),
        api_token: true,
        secret: Known::Fact(None),
        committed: Known::Fact(None),
        trust: Known::Fact(false),
        mounted: Known::Fact(SealKeyFile::Absent),
        opened: Known::Unknown,
        hold: Known::Fact(false),
    }
}

fn intent() -> Facts {
    Facts { state: Known::Fact(State::Intent { life: life() }), ..clean() }
}

fn sent() -> Facts {
    sent_after(0)
}

fn sent_after(recoveries: u32) -> Facts {
    Facts { state: Known::Fact(State::Sent { life: life(), attempt: 1, recoveries }), ..clean() }
}

fn marked_after(recoveries: u32) -> Facts {
    Facts {
        state: Known::Fact(State::Recover { life: life(), attempt: 1, recoveries, pod: uid("3f1c") }),
        ..clean()
    }
}

/// A life in the middle of which Vault was restarted.
fn sealed() -> Facts {
    Facts {
        state: Known::Fact(State::Envelope { life: life(), generation: 4, key: key_id(1) }),
        seal: Known::Fact(initialized(true)),
        init: Known::Fact(InitStatus::Initialized),
        secret: Known::Fact(Some(secret(Some(life())))),
        committed: Known::Fact(Some(marked(Some(life())))),
        trust: Known::Fact(true),
        mounted: Known::Fact(SealKeyFile::Present(key_id(1))),
        opened: Known::Fact(Opened::Keys { root: false }),
        ..clean()
    }
}

fn active() -> Facts {
    Facts { seal: Known::Fact(initialized(false)), ..sealed() }
}

/// The same with the Vault of others.
fn with_vault(facts: Facts, vault: &Facts) -> Facts {
    Facts { seal: vault.seal.clone(), init: vault.init, ..facts }
}

/// The same with a Vault that was killed inside its own initialization.
fn half(facts: Facts) -> Facts {
    Facts { init: Known::Fact(InitStatus::NoSealConfiguration), ..facts }
}

/// The same with our seal key stored and mounted.
fn with_key(facts: Facts) -> Facts {
    Facts {
        secret: Known::Fact(Some(secret(Some(life())))),
        mounted: Known::Fact(SealKeyFile::Present(key_id(1))),
        ..facts
    }
}

fn untouched() -> SealStatus {
    SealStatus {
        shamir: true,
        initialized: false,
        sealed: true,
        shares: 0,
        threshold: 0,
        version: "2.6.2".into(),
    }
}

fn initialized(sealed: bool) -> SealStatus {
    SealStatus { initialized: true, sealed, shares: 1, threshold: 1, ..untouched() }
}

fn secret(life: Option<LifeId>) -> SealKeyObject {
    SealKeyObject { marked: marked(life), key: Some(key_id(1)) }
}

const fn marked(life: Option<LifeId>) -> Marked {
    Marked { life, deleting: false }
}

const fn waits(row: u8, wait: Wait) -> Decision {
    Decision { row, verdict: Verdict::Wait(wait) }
}

const fn stops(row: u8, fatal: Fatal) -> Decision {
    Decision { row, verdict: Verdict::Stop(fatal) }
}
