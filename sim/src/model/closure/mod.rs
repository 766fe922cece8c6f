//! The closure: every state that the controller and its world can reach by any number of faults, in any order.
//!
//! A breadth-first search from empty disks. In each state everything in `step.rs` happens, each time in a world of its
//! own; worlds with equal keys (`key.rs`) are one state. The search ends when no step leads to a new state.
//!
//! That a key stands for everything that counts is itself looked at: worlds that came to one key by different ways must
//! lead to the same keys by the same steps ([`Limits::compared_every`]).
//!
//! A search is deterministic, whatever the number of threads: states are found in the order of their parents.

pub mod calls;
mod key;
pub mod searches;
mod step;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZero;
use std::sync::Mutex;
use std::thread;

use kubefox_core::machine::{Machine as _, Standing};

use self::calls::Kind;
pub use self::step::{Alphabet, Step};
use super::invariant::always;
use super::world::{Fate, Rest, World};
use crate::canonical::Key;

/// What a search found.
#[derive(Default)]
pub struct Closure {
    /// Different states.
    pub states: usize,
    /// Steps from one state to another or the same.
    pub edges: u64,
    /// Steps from the first state to the farthest.
    pub depth: u32,
    /// Whether the search came to its end.
    pub closed: bool,
    /// How often each kind of call met each fate.
    pub matrix: BTreeMap<(Kind, Fate), u64>,
    /// How often anything else happened.
    pub events: BTreeMap<Step, u64>,
    /// States at rest.
    pub rests: BTreeMap<Rest, u64>,
    /// States by phase.
    pub phases: BTreeMap<&'static str, u64>,
    /// Pairs of worlds with one key that were compared by where each of their steps leads.
    pub compared: u64,
    /// What must never be, and was; the shortest paths first.
    pub broken: Vec<Broken>,
}

/// A state in which something is wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken {
    /// The name of what must hold.
    pub invariant: &'static str,
    /// How it does not.
    pub how: String,
    /// How to come there from the first state.
    pub path: Vec<Step>,
}

/// Where a search ends, beside the end of what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// States that are known at most.
    pub states_max: usize,
    /// Steps from the first state.
    pub depth_max: u32,
    /// What is wrong, at most.
    pub broken_max: usize,
    /// One in so many keys is distrusted: whatever world leads to it is compared with the first that did.
    pub compared_every: u64,
}

impl Limits {
    /// Until everything is found, or something is wrong.
    pub const NONE: Self =
        Self { states_max: 20_000_000, depth_max: u32::MAX, broken_max: 1, compared_every: 256 };
}

/// A state that was found.
struct Found {
    parent: u32,
    step: Step,
    /// Where the state leads if nothing goes wrong from here on.
    onward: u32,
    /// Nothing more has to happen.
    at_rest: bool,
}

/// One step of one state.
struct Edge {
    step: Step,
    key: Key,
    /// The world, and whether its state was neither known before this batch nor found in it by this thread. Without one
    /// it is the world of an earlier edge.
    world: Option<(bool, World)>,
    /// What is wrong where it leads.
    broken: Result<(), (&'static str, String)>,
    /// Where everything leads from there, if its key is distrusted.
    future: Option<Future>,
}

/// What stands for every step of a world and the key that it leads to.
type Future = u64;

/// A state with everything that it leads to.
struct Expanded {
    number: u32,
    call: Option<Kind>,
    phase: &'static str,
    rest: Option<Rest>,
    edges: Vec<Edge>,
    /// Where everything leads from it, if its key is distrusted.
    future: Option<(Key, Future)>,
}

/// States that are expanded before what they led to is collected.
const BATCH: usize = 2_048;
/// States that a thread takes at a time: few enough that none waits long for the others at the end of a batch.
const SHARE: usize = 32;
const NOWHERE: u32 = u32::MAX;
/// That a fault-free path leads to rest from every state.
const COMES_TO_REST: &str = "without further faults it comes to rest";
/// That the canonical form leaves out nothing that counts.
const ONE_KEY_ONE_FUTURE: &str = "worlds with one key have one future";

/// Searches from one world until nothing new is found, or a limit is met.
#[must_use]
pub fn close(mut first: World, alphabet: Alphabet, limits: Limits) -> Closure {
    if alphabet.recovery {
        first.allow_recovery(true);
        first.restart_controller();
    }
    search(first, alphabet, limits).end()
}

fn search(first: World, alphabet: Alphabet, limits: Limits) -> Search {
    let mut search = Search {
        closure: Closure::default(),
        known: HashMap::from([(key::key(&first), 0)]),
        found: vec![Found { parent: NOWHERE, step: Step::Restart, onward: NOWHERE, at_rest: false }],
        futures: HashMap::new(),
    };
    let mut frontier = vec![(0, first)];
    while !frontier.is_empty() && search.closure.depth < limits.depth_max {
        let mut next = Vec::new();
        let mut left = frontier.into_iter();
        loop {
            let batch: Vec<_> = left.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            for expanded in expand(batch, alphabet, limits, &search.known) {
                search.collect(expanded, &mut next);
            }
            if search.found.len() > limits.states_max || search.closure.broken.len() >= limits.broken_max {
                return search;
            }
        }
        search.closure.depth += u32::from(!next.is_empty());
        frontier = next;
    }
    search.closure.closed = frontier.is_empty();
    search
}

/// A search under way.
struct Search {
    closure: Closure,
    known: HashMap<Key, u32>,
    found: Vec<Found>,
    /// Of states whose keys are distrusted.
    futures: HashMap<Key, Future>,
}

impl Search {
    fn collect(&mut self, expanded: Expanded, next: &mut Vec<(u32, World)>) {
        let Expanded { number: from, call, phase, rest, edges, future } = expanded;
        if let Some((key, future)) = future {
            self.compare(key, future, from, None);
        }
        *self.closure.phases.entry(phase).or_default() += 1;
        if let Some(rest) = rest {
            self.found[from as usize].at_rest = true;
            *self.closure.rests.entry(rest).or_default() += 1;
        }
        for Edge { step, key, world, broken, future } in edges {
            if let Some(future) = future {
                self.closure.compared += u64::from(self.known.contains_key(&key));
                self.compare(key, future, from, Some(step));
            }
            self.closure.edges += 1;
            match (step, call) {
                (Step::Call(fate), Some(kind)) => *self.closure.matrix.entry((kind, fate)).or_default() += 1,
                (step, _) => *self.closure.events.entry(step).or_default() += 1,
            }
            if let Err((invariant, how)) = broken {
                let path = self.path(from).into_iter().chain([step]).collect();
                self.closure.broken.push(Broken { invariant, how, path });
            }
            let number = u32::try_from(self.found.len()).expect("fewer states than four thousand million");
            let target = *self.known.entry(key).or_insert(number);
            if target == number {
                let (_, world) = world.expect("a state that was not known keeps its world");
                self.found.push(Found { parent: from, step, onward: NOWHERE, at_rest: false });
                next.push((number, world));
            }
            let from = &mut self.found[from as usize];
            if from.onward == NOWHERE {
                from.onward = target;
            }
        }
    }

    fn compare(&mut self, key: Key, future: Future, from: u32, step: Option<Step>) {
        if *self.futures.entry(key).or_insert(future) != future {
            let (path, how) =
                (self.path(from).into_iter().chain(step).collect(), "it leads elsewhere".to_owned());
            self.closure.broken.push(Broken { invariant: ONE_KEY_ONE_FUTURE, how, path });
        }
    }

    /// The steps from the first state to this one.
    fn path(&self, mut state: u32) -> Vec<Step> {
        let mut path = Vec::new();
        while let Found { parent, step, .. } = self.found[state as usize]
            && parent != NOWHERE
        {
            path.push(step);
            state = parent;
        }
        path.reverse();
        path
    }

    fn end(mut self) -> Closure {
        self.closure.states = self.found.len();
        if self.closure.closed
            && let Some(state) = self.restless()
        {
            let (path, how) = (self.path(state), "it goes in a circle".to_owned());
            self.closure.broken.push(Broken { invariant: COMES_TO_REST, how, path });
        }
        self.closure
    }

    /// The first state from which the path without further faults never comes to rest.
    fn restless(&self) -> Option<u32> {
        /// On a path that is being followed, or on one that came to rest.
        const FOLLOWED: u8 = 1;
        const RESTS: u8 = 2;
        let mut marks = vec![0_u8; self.found.len()];
        for first in 0..self.found.len() {
            let (mut path, mut state) = (Vec::new(), first);
            while marks[state] == 0 && !self.found[state].at_rest {
                marks[state] = FOLLOWED;
                path.push(state);
                state = self.found[state].onward as usize;
            }
            if marks[state] == FOLLOWED {
                return u32::try_from(first).ok();
            }
            marks[state] = RESTS;
            path.into_iter().for_each(|state| marks[state] = RESTS);
        }
        None
    }
}

/// Everything that each of these states leads to, in their order.
fn expand(
    batch: Vec<(u32, World)>,
    alphabet: Alphabet,
    limits: Limits,
    known: &HashMap<Key, u32>,
) -> Vec<Expanded> {
    let left = Mutex::new(batch.into_iter());
    let work = || {
        let mut found = HashSet::new();
        let mut expanded = Vec::new();
        loop {
            let mut left = left.lock().expect("whoever takes a share does nothing else with it");
            let share: Vec<_> = left.by_ref().take(SHARE).collect();
            drop(left);
            if share.is_empty() {
                return expanded;
            }
            for (number, world) in share {
                expanded.push(expand_one(number, &world, alphabet, limits, known, &mut found));
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let mut expanded: Vec<Expanded> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |worker: thread::ScopedJoinHandle<'_, Vec<Expanded>>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().flat_map(join).collect()
    });
    expanded.sort_unstable_by_key(|expanded| expanded.number);
    expanded
}

/// `found` holds what this thread has found in this batch. It takes states in their order, so whatever a batch finds first
/// is the first of its kind for the thread as well, and keeps its world.
fn expand_one(
    number: u32,
    world: &World,
    alphabet: Alphabet,
    limits: Limits,
    known: &HashMap<Key, u32>,
    found: &mut HashSet<Key>,
) -> Expanded {
    let rest = match world.standing() {
        Standing::Ready => Some(Rest::Serving),
        Standing::Stopped(fatal) => Some(Rest::Stopped(fatal)),
        Standing::Starting | Standing::Finished => None,
    };
    let mut edges: Vec<Edge> = Vec::new();
    for step in step::steps(world, alphabet) {
        let mut fork = world.clone();
        step::take(&mut fork, step);
        let alike = edges.iter().find(|edge| leads_alike(step, &fork, edge));
        let edge = match alike {
            Some(edge) => Edge { step, key: edge.key, world: None, broken: Ok(()), future: None },
            None => {
                let key = key::key(&fork);
                let is_new = !known.contains_key(&key) && found.insert(key);
                // A stop is judged at the moment when it comes, and what is told when it is told, by whatever way.
                let broken = if is_new || fork.has_just_stopped() || !fork.notices.is_empty() {
                    always::check(&fork)
                } else {
                    Ok(())
                };
                let future = key.is_one_in(limits.compared_every).then(|| future(&fork, alphabet));
                Edge { step, key, world: Some((is_new, fork)), broken, future }
            }
        };
        edges.push(edge);
    }
    let own = key::key(world);
    let future = own.is_one_in(limits.compared_every).then(|| {
        let ends = edges.iter().map(|edge| (edge.step, edge.key));
        (own, digest(ends))
    });
    for edge in &mut edges {
        edge.world.take_if(|(is_new, _)| !*is_new);
    }
    let phase = world.init.as_ref().map_or_else(|| world.phase(), |init| init.machine().phase());
    Expanded { number, call: world.next_call().map(Kind::of), phase, rest, edges, future }
}

/// Whether two refusals are one to the machine, so that the worlds after them are the same. All others are told apart by
/// their keys; this is only quicker, and most edges are refusals.
fn leads_alike(step: Step, fork: &World, edge: &Edge) -> bool {
    let is_refusal = |step| matches!(step, Step::Call(Fate::Refused(_)));
    let Some((_, other)) = &edge.world else { return false };
    is_refusal(step) && is_refusal(edge.step) && fork.has_process_like(other)
}

/// Where everything that can happen next leads to.
fn future(world: &World, alphabet: Alphabet) -> Future {
    digest(step::steps(world, alphabet).into_iter().map(|step| {
        let mut fork = world.clone();
        step::take(&mut fork, step);
        (step, key::key(&fork))
    }))
}

fn digest(ends: impl Iterator<Item = (Step, Key)>) -> Future {
    let mut hasher = DefaultHasher::new();
    ends.for_each(|end| end.hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::planted::Bug;

    /// As far as the answer of the initialization and what can be lost around it.
    const SHALLOW: Limits = Limits { depth_max: 34, ..Limits::NONE };

    #[test]
    fn worlds_that_came_to_one_key_by_different_ways_have_one_future() {
        let limits = Limits { compared_every: 1, ..SHALLOW };

        let closure = close(World::frozen(1), Alphabet { time: false, ..Alphabet::FAULTS }, limits);

        assert_eq!(closure.broken, []);
        assert!(closure.compared > 500, "{}", closure.compared);
    }

    /// The canonical form merges worlds; here nothing is merged, and every way of so many steps is gone.
    #[test]
    fn whoever_merges_nothing_comes_to_the_same_states() {
        let recovery = Alphabet { time: false, ..Alphabet::FAULTS };
        let time = Alphabet { late_max: 0, recovery: false, ..Alphabet::FAULTS };
        for (phase, alphabet) in [
            ("Survey::InspectingDirectory", recovery),
            ("CreateKey::Creating", recovery),
            ("Initialize::Initializing", recovery),
            ("Commit::Creating", recovery),
            ("Unseal::Unsealing", recovery),
            ("SetUp::Revoking", recovery),
            ("SetUp::WritingEnvelope", time),
            ("Certify::Issuing", time),
            ("Serving", time),
        ] {
            let mut first = World::frozen(1);
            first.allow_recovery(alphabet.recovery);
            first.reach(phase);

            let mut found = BTreeSet::from([key::key(&first)]);
            let mut edges = 0;
            go_every_way(&first, alphabet, WAY_STEPS, &mut found, &mut edges);

            let merged = search(first, alphabet, Limits { depth_max: WAY_STEPS, ..Limits::NONE });
            assert_eq!(merged.known.keys().copied().collect::<BTreeSet<_>>(), found, "{phase}");
            assert!(edges >= merged.closure.edges, "{phase}: {edges}");
        }
    }

    /// Steps of a way.
    const WAY_STEPS: u32 = 4;

    /// In every world on the way, not only in the first of its key, everything must hold.
    fn go_every_way(
        world: &World,
        alphabet: Alphabet,
        steps: u32,
        found: &mut BTreeSet<Key>,
        edges: &mut u64,
    ) {
        if steps == 0 {
            return;
        }
        for step in step::steps(world, alphabet) {
            let mut fork = world.clone();
            step::take(&mut fork, step);
            assert_eq!(always::check(&fork), Ok(()), "{step:?}");
            found.insert(key::key(&fork));
            *edges += 1;
            go_every_way(&fork, alphabet, steps - 1, found, edges);
        }
    }

    #[test]
    fn a_search_finds_the_same_states_again_and_nothing_wrong_in_them() {
        let search = || close(World::frozen(1), Alphabet::CALLS, SHALLOW);
        let (one, again) = (search(), search());

        assert_eq!((one.states, one.edges, one.depth), (again.states, again.edges, again.depth));
        assert_eq!((&one.matrix, &one.rests, &one.phases), (&again.matrix, &again.rests, &again.phases));
        assert_eq!(one.broken, []);
        assert!(one.phases.contains_key("Initialize::ReadingBack"), "{:?}", one.phases);
    }

    #[test]
    fn the_path_to_what_is_wrong_leads_there() {
        let planted = || {
            let mut world = World::frozen(1);
            Bug::BlindRetry.plant(&mut world);
            world
        };

        let closure = close(planted(), Alphabet::CALLS, Limits::NONE);

        let Broken { invariant, how, path } = closure.broken.first().expect("the bug is found");
        assert_eq!(*invariant, Bug::BlindRetry.breaks());
        let mut world = planted();
        path.iter().for_each(|step| step::take(&mut world, *step));
        assert_eq!(always::check(&world), Err((*invariant, how.clone())));
    }
}
