//! What a controller can find when it starts: each situation leads it through some of its states.

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
    /// An hour passes while it serves, and somebody has deleted `kubefox-committed`.
    Hour,
    /// Everything is empty.
    FirstStart,
    /// The root token is dead, and the envelope still holds it: a first start was killed between the two.
    RootDead,
    /// Somebody made a second root token while the first one lived.
    SecondRoot,
    /// Somebody else initializes Vault one moment before it does.
    Rival,
    /// A controller was killed before it had heard Vault's unseal key, and this one may recover that.
    Interrupted,
}

/// What happens to a controller once it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnceServing {
    /// Nothing.
    Nothing,
    /// It is told to end.
    ToldToEnd,
    /// Somebody deletes `kubefox-committed`, and an hour passes.
    Hour,
}

impl Situation {
    /// All of them, in order.
    pub(super) const ALL: [Self; 14] = [
        Self::Restarted,
        Self::Sealed,
        Self::VaultGone,
        Self::StrangeVaultToken,
        Self::StrangeSetupToken,
        Self::OtherPod,
        Self::PlainDirectory,
        Self::ToldToEnd,
        Self::Hour,
        Self::FirstStart,
        Self::RootDead,
        Self::SecondRoot,
        Self::Rival,
        Self::Interrupted,
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
            Self::Hour => "after an hour, without kubefox-committed",
            Self::FirstStart => "first start",
            Self::RootDead => "a dead root token in the envelope",
            Self::SecondRoot => "a second root token lives",
            Self::Rival => "somebody else initializes Vault",
            Self::Interrupted => "an interrupted initialization, to be recovered",
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
            Self::Hour => End::Finds,
            Self::Interrupted => End::IsReplaced,
        }
    }

    /// What happens to a controller in it once it serves.
    pub(super) const fn once_serving(self) -> OnceServing {
        match self {
            Self::ToldToEnd => OnceServing::ToldToEnd,
            Self::Hour => OnceServing::Hour,
            Self::Restarted
            | Self::Sealed
            | Self::VaultGone
            | Self::StrangeVaultToken
            | Self::StrangeSetupToken
            | Self::OtherPod
            | Self::PlainDirectory
            | Self::FirstStart
            | Self::RootDead
            | Self::SecondRoot
            | Self::Rival
            | Self::Interrupted => OnceServing::Nothing,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kubefox_core::controller::Controller;
    use kubefox_core::machine::Machine as _;

    use super::*;

    #[test]
    fn what_cannot_be_answered_are_states_of_the_machine_each_once() {
        let states = Controller::phases();
        let listed: BTreeSet<_> = UNANSWERABLE.iter().map(|one| one.state).collect();

        assert!(listed.is_subset(&states), "{listed:?}");
        assert_eq!(listed.len(), UNANSWERABLE.len());
    }
}
