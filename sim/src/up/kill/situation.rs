//! What a controller can find when it starts: each situation leads it through some of its states.

use std::collections::BTreeSet;

use kubefox_core::controller::Controller;
use kubefox_core::machine::Machine as _;

use super::bench::End;

/// A way to start a controller. Cheap ones come first: a state is killed in the first situation that meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Situation {
    /// Everything stands and Vault is unsealed: its container alone starts again.
    Restarted,
    /// Vault was killed as well, so it is sealed.
    Sealed,
    /// Vault does not answer.
    VaultGone,
    /// The token for Vault has another audience.
    StrangeVaultToken,
    /// The token for the set-up has another audience.
    StrangeSetupToken,
    /// Its pod is not the first of the StatefulSet.
    OtherPod,
    /// Its state directory is not a volume of its own, and has to be.
    PlainDirectory,
    /// It is told to end once it serves.
    ToldToEnd,
    /// Everything is empty.
    FirstStart,
    /// The root token is dead, and the envelope still holds it: a first start was killed between the two.
    RootDead,
    /// Somebody made a second root token while the first one lived.
    SecondRoot,
    /// Somebody else initializes Vault one moment before it does.
    Rival,
}

impl Situation {
    /// All of them, in order.
    pub(super) const ALL: [Self; 12] = [
        Self::Restarted,
        Self::Sealed,
        Self::VaultGone,
        Self::StrangeVaultToken,
        Self::StrangeSetupToken,
        Self::OtherPod,
        Self::PlainDirectory,
        Self::ToldToEnd,
        Self::FirstStart,
        Self::RootDead,
        Self::SecondRoot,
        Self::Rival,
    ];

    /// The situation in a few words.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Restarted => "started again",
            Self::Sealed => "started again, Vault sealed",
            Self::VaultGone => "Vault does not answer",
            Self::StrangeVaultToken => "its token for Vault is for somebody else",
            Self::StrangeSetupToken => "its token for the set-up is for somebody else",
            Self::OtherPod => "another pod of the StatefulSet",
            Self::PlainDirectory => "its state directory is no volume",
            Self::ToldToEnd => "told to end",
            Self::FirstStart => "first start",
            Self::RootDead => "a dead root token in the envelope",
            Self::SecondRoot => "a second root token lives",
            Self::Rival => "somebody else initializes Vault",
        }
    }

    /// What a controller that nobody kills comes to in it.
    pub(super) const fn end(self) -> End {
        match self {
            Self::Restarted | Self::Sealed | Self::FirstStart | Self::RootDead | Self::SecondRoot => {
                End::Serves
            }
            Self::VaultGone | Self::StrangeVaultToken | Self::StrangeSetupToken | Self::OtherPod => {
                End::Waits
            }
            Self::PlainDirectory | Self::ToldToEnd | Self::Rival => End::Ends,
        }
    }
}

/// A state that awaits nothing: there is no answer that it could leave unheard.
pub(super) struct Unanswerable {
    /// Its name.
    pub(super) state: &'static str,
    /// The situation that leads to it.
    pub(super) situation: Situation,
    /// Why nothing can be answered there.
    pub(super) why: &'static str,
}

/// All of them. Each is tried in every walk: one that can be answered after all is a failure.
pub(super) const UNANSWERABLE: [Unanswerable; 3] = [
    Unanswerable {
        state: "StandingBy",
        situation: Situation::OtherPod,
        why: "it asks for nothing and no time ends it",
    },
    Unanswerable {
        state: "Finished",
        situation: Situation::ToldToEnd,
        why: "it asks for nothing: the process ends",
    },
    Unanswerable {
        state: "Stopped",
        situation: Situation::PlainDirectory,
        why: "it asks for nothing: the process ends",
    },
];

/// A deed that no situation leads to. Its states are the machine's own list, so a new one of the deed is among them.
pub(super) struct Unreached {
    /// What the names of its states begin with.
    deed: &'static str,
    /// Why nothing leads to it.
    why: &'static str,
}

/// All of them. Whichever state of one is met in a walk after all is a failure.
const UNREACHED: [Unreached; 2] = [
    Unreached {
        deed: "Audit::",
        why: "the audit begins after an hour of serving, and no controller of a walk lives that long",
    },
    Unreached {
        deed: "Recover::",
        why: "an interrupted initialization is only recovered with --recover-interrupted-init, and up does not give it",
    },
];

/// Why no situation leads to this state, if none does.
pub(super) fn why_unreached(state: &str) -> Option<&'static str> {
    UNREACHED.iter().find(|one| state.starts_with(one.deed)).map(|one| one.why)
}

/// Every state that no situation leads to, with the reason.
pub(super) fn unreached() -> impl Iterator<Item = (&'static str, &'static str)> {
    Controller::phases().into_iter().filter_map(|state| why_unreached(state).map(|why| (state, why)))
}

/// What is said of a state that a controller was in after all, if there is one.
pub(super) fn contradiction(met: &BTreeSet<String>) -> Option<String> {
    let (state, why) = unreached().find(|(state, _)| met.contains(*state))?;
    Some(format!(
        "{state} was met, and is said to be not reachable here: {why}; take its deed out of UNREACHED"
    ))
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn what_nothing_leads_to_are_deeds_of_the_machine_and_no_situation_is_said_to_lead_there() {
        let states: Vec<_> = unreached().map(|(state, _)| state).collect();

        for one in UNREACHED {
            assert!(states.iter().any(|state| state.starts_with(one.deed)), "{} is no deed", one.deed);
        }
        assert_eq!(states.len(), states.iter().collect::<BTreeSet<_>>().len());
        for one in UNANSWERABLE {
            assert_eq!(why_unreached(one.state), None, "{}", one.state);
        }
    }

    #[test]
    fn a_state_that_is_met_contradicts_that_nothing_leads_to_it() {
        let met = |state: &str| BTreeSet::from(["Serving".to_owned(), state.to_owned()]);

        assert_eq!(contradiction(&met("Survey::Opening")), None);
        let contradiction =
            contradiction(&met("Audit::Opening")).expect("it is said that nothing leads there");
        assert!(contradiction.starts_with("Audit::Opening was met"), "{contradiction}");
    }

    #[test]
    fn what_cannot_be_answered_are_states_of_the_machine_each_once() {
        let states = Controller::phases();
        let listed: BTreeSet<_> = UNANSWERABLE.iter().map(|one| one.state).collect();

        assert!(listed.is_subset(&states), "{listed:?}");
        assert_eq!(listed.len(), UNANSWERABLE.len());
    }
}
