//! Standing still in one state: how a test stops a process at a moment that no outside clock could hit.
//!
//! ```text
//! a step leads into the state ──> `unsent`: nothing of what the step asks for leaves
//!           │
//! its call leaves, its answer comes ──> unheard: the effect has happened, and the machine does not hear of it
//! ```
//!
//! A state may be met several times in one life of a process, as `Waiting` is or the reading of one setting after the
//! other: it is halted at the first meeting. In a state that awaits no answer, what is not heard is that its time has
//! come. Calls on behalf of a question are no concern of the machine's state and never halt it.

use std::collections::{BTreeMap, BTreeSet};

/// What follows a state's name if its call is not to leave.
const UNSENT: &str = ":unsent";

/// The state and the side of its call at which a driver stands still. Production has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halt {
    /// One of the names that the machine's `phase()` gives.
    pub state: &'static str,
    /// Before the call or after its answer.
    pub side: Side,
}

/// On which side of the call of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The call was not sent.
    Unsent,
    /// The call was answered, and the machine has not heard it.
    Unheard,
}

impl Side {
    /// A word for a log line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unsent => "unsent",
            Self::Unheard => "unheard",
        }
    }
}

/// No such state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no state {name:?}; a state is written STATE or STATE:unsent, and there are:{there_are}")]
pub struct NoSuchState {
    name: String,
    there_are: String,
}

impl Halt {
    /// Reads `STATE` or `STATE:unsent`, where the state is one of these.
    ///
    /// # Errors
    /// [`NoSuchState`] names the states that there are.
    pub fn parse(text: &str, states: &BTreeSet<&'static str>) -> Result<Self, NoSuchState> {
        let (name, side) = match text.strip_suffix(UNSENT) {
            Some(name) => (name, Side::Unsent),
            None => (text, Side::Unheard),
        };
        match states.get(name) {
            Some(state) => Ok(Self { state, side }),
            None => Err(NoSuchState { name: name.to_owned(), there_are: listed(states) }),
        }
    }

    /// Whether this is the moment.
    #[must_use]
    pub fn is_at(&self, state: &str, side: Side) -> bool {
        self.state == state && self.side == side
    }
}

impl std::fmt::Display for Halt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let suffix = match self.side {
            Side::Unsent => UNSENT,
            Side::Unheard => "",
        };
        write!(f, "{}{suffix}", self.state)
    }
}

/// A line for each phase, with the states inside it in braces.
fn listed(states: &BTreeSet<&str>) -> String {
    let mut phases: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for state in states {
        let (phase, name) =
            state.split_once("::").map_or((*state, None), |(phase, name)| (phase, Some(name)));
        phases.entry(phase).or_default().extend(name);
    }
    let line = |(phase, names): (&&str, &Vec<&str>)| match names.as_slice() {
        [] => format!("\n  {phase}"),
        names => format!("\n  {phase}::{{{}}}", names.join(", ")),
    };
    phases.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_halt_is_read_as_it_is_written() {
        let states = BTreeSet::from(["Begin::Writing", "Serving", "Survey::Opening", "Survey::Reading"]);

        for (text, halt) in [
            ("Survey::Opening", Halt { state: "Survey::Opening", side: Side::Unheard }),
            ("Survey::Opening:unsent", Halt { state: "Survey::Opening", side: Side::Unsent }),
            ("Serving", Halt { state: "Serving", side: Side::Unheard }),
        ] {
            assert_eq!(Halt::parse(text, &states), Ok(halt));
            assert_eq!(halt.to_string(), text);
        }
        for text in ["", ":unsent", "Survey", "Survey::Opening:unheard", "Survey::Opening::unsent"] {
            let error = Halt::parse(text, &states).expect_err(text).to_string();
            let there_are = "and there are:\n  Begin::{Writing}\n  Serving\n  Survey::{Opening, Reading}";
            assert!(error.ends_with(there_are), "{error}");
        }
    }
}
