//! The first explorer: one controller from empty disks, and every call × every fate, one fault at a time, then to
//! rest. It comes up, or stops with the right reason.

use std::collections::BTreeMap;
use std::fmt;

use kubefox_core::controller::Call;
use kubefox_core::fatal::Fatal;
use kubefox_core::{state, vault};

use super::invariant::always;
use super::invariant::at_rest::{self, SecondStart};
use super::world::{Fate, Rest, World};

/// What an exploration saw.
#[derive(Default)]
pub struct Exploration {
    /// Worlds that were driven to rest.
    pub worlds: u32,
    /// Calls of the run without faults.
    pub calls: u32,
    /// How often each call met each fate, by the state that awaited it.
    pub matrix: BTreeMap<&'static str, BTreeMap<Fate, u32>>,
    /// Where worlds came to rest.
    pub rests: BTreeMap<Rest, u32>,
    /// What should not have been.
    pub failures: Vec<Failure>,
}

/// A world that came to rest where it should not, or broke an invariant.
#[derive(Debug)]
pub struct Failure {
    /// Which call of the run without faults.
    pub call: u32,
    /// The state that awaited it.
    pub phase: &'static str,
    /// What became of it.
    pub fate: Fate,
    /// What is wrong.
    pub wrong: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, phase, fate, wrong } = self;
        write!(f, "call {call} ({phase}) {fate:?}: {wrong}")
    }
}

/// Which calls meet faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The first that each state of the controller awaits.
    EachStateOnce,
    /// All of them.
    EveryCall,
}

/// Tries every fate of the calls of a first start, one fault at a time.
#[must_use]
pub fn one_fault(seed: u64, scope: Scope) -> Exploration {
    let mut exploration = Exploration::default();
    let mut world = World::new(seed);
    exploration.come_to_rest(world.clone(), None);
    loop {
        let Some(call) = world.next_call() else {
            if world.waits_for_nothing() || !world.idle() {
                return exploration;
            }
            continue;
        };
        let (call, phase) = (call.clone(), world.phase());
        let number = exploration.calls;
        exploration.calls += 1;
        let met = exploration.matrix.contains_key(phase);
        let faults = match scope {
            Scope::EachStateOnce if met => &[],
            Scope::EachStateOnce | Scope::EveryCall => faults_of(&call),
        };
        for fate in faults.iter().copied() {
            *exploration.matrix.entry(phase).or_default().entry(fate).or_default() += 1;
            let mut fork = world.clone();
            fork.take(fate);
            exploration.come_to_rest(fork, Some((number, phase, fate, &call)));
        }
        world.take(Fate::Answered);
    }
}

impl Exploration {
    fn come_to_rest(&mut self, mut world: World, fault: Option<(u32, &'static str, Fate, &Call)>) {
        self.worlds += 1;
        let rest = world.settle();
        *self.rests.entry(rest).or_default() += 1;
        let (call, phase, fate) = match fault {
            Some((number, phase, fate, _)) => (number, phase, fate),
            None => (0, "no fault", Fate::Answered),
        };
        let mut fail = |wrong: String| self.failures.push(Failure { call, phase, fate, wrong });
        let expected = fault.map_or(Rest::Serving, |(_, _, fate, call)| expected(call, fate));
        if rest != expected {
            fail(format!("came to rest as {rest:?}, expected {expected:?}; it was {}", world.waits_for()));
        }
        if let Err((invariant, broken)) = always::check(&world) {
            fail(format!("{invariant}: {broken}"));
        }
        let Some(second) = SecondStart::of(&world, rest) else { return };
        for invariant in at_rest::ALL {
            if let Err(broken) = (invariant.check)(&world, &second) {
                fail(format!("{}: {broken}", invariant.name));
            }
        }
    }
}

/// What can go wrong with a call. Keys are made inside the process: nothing can be lost there, but the process can die.
const fn faults_of(call: &Call) -> &'static [Fate] {
    match call {
        Call::Keys(_) => &[Fate::KilledBefore],
        Call::Vault(_) | Call::Kubernetes(_) | Call::State(_) | Call::Volume(_) | Call::Listener(_) => {
            &Fate::FAULTS
        }
    }
}

/// Only one answer in the whole boot cannot be asked for again: that of the initialization. Whoever loses it, or dies
/// before the envelope is written, has interrupted it.
fn expected(call: &Call, fate: Fate) -> Rest {
    let interrupted = match call {
        Call::Vault(vault::Call::Initialize) => matches!(fate, Fate::ReplyLost | Fate::KilledAfter),
        Call::State(state::Call::WriteEnvelope { root: true, .. }) => fate == Fate::KilledBefore,
        Call::Vault(_)
        | Call::Kubernetes(_)
        | Call::State(_)
        | Call::Volume(_)
        | Call::Keys(_)
        | Call::Listener(_) => false,
    };
    if interrupted { Rest::Stopped(Fatal::InitInterrupted) } else { Rest::Serving }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    /// The first call of each state; `cargo sim explore` takes every call.
    static EXPLORED: LazyLock<Exploration> = LazyLock::new(|| one_fault(1, Scope::EachStateOnce));

    #[test]
    fn every_single_fault_of_a_first_start_ends_where_it_should() {
        let exploration = &*EXPLORED;

        let failures: Vec<String> = exploration.failures.iter().map(ToString::to_string).collect();
        assert_eq!(failures, Vec::<String>::new());
        let interrupted = Rest::Stopped(Fatal::InitInterrupted);
        let expected = [(Rest::Serving, exploration.worlds - 3), (interrupted, 3)];
        assert_eq!(exploration.rests, BTreeMap::from(expected));
        let met: u32 = exploration.matrix.values().flat_map(BTreeMap::values).sum();
        assert_eq!(exploration.worlds, 1 + met);
        // A boot that became much shorter is not the boot any more.
        assert!(exploration.calls > 100 && exploration.matrix.len() > 20, "{:?}", exploration.matrix);
    }

    #[test]
    fn the_same_seed_explores_the_same_worlds() {
        let again = one_fault(1, Scope::EachStateOnce);

        let Exploration { worlds, calls, matrix, rests, failures } = &*EXPLORED;
        assert_eq!((worlds, calls), (&again.worlds, &again.calls));
        assert_eq!((matrix, rests), (&again.matrix, &again.rests));
        assert_eq!(failures.len(), again.failures.len());
    }
}
