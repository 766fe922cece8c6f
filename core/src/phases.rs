//! The names of a machine's states, and the list of all of them, from the same match.
//!
//! Whoever walks every state of a machine needs the list, and a list that is kept by hand is incomplete on the day
//! when somebody adds a state. So [`phases!`] makes `phase()`, which the compiler checks for completeness, and
//! `add_phases()` out of the same arms: a name for a state that has one, and the type of the sub-machine for a state
//! that is as many states as that has.
//!
//! ```text
//! phases! {
//!     pub(super) fn phase(&self) match (&self.step) {
//!         Step::LookingUp => "SetUp::LookingUp",
//!         Step::Sweeping(sweep) => Sweep(sweep),
//!     }
//! }
//! ```

/// Makes `phase()` and `add_phases()`; the module says how.
macro_rules! phases {
    (
        $(#[$doc:meta])*
        $vis:vis fn phase($($receiver:tt)+) match ($($scrutinee:tt)+) {
            $($pattern:pat => $name:tt $(($inner:ident))?),* $(,)?
        }
    ) => {
        $(#[$doc])*
        $vis fn phase($($receiver)+) -> &'static str {
            match ($($scrutinee)+) {
                $($pattern => $crate::phases::phases!(@name $name $(($inner))?),)*
            }
        }

        /// Adds the name of every state there is.
        $vis fn add_phases(names: &mut alloc::collections::BTreeSet<&'static str>) {
            $($crate::phases::phases!(@add names $name $(($inner))?);)*
        }
    };
    (@name $name:literal) => { $name };
    (@name $sub:ident ($inner:ident)) => { $inner.phase() };
    (@add $names:ident $name:literal) => { $names.insert($name) };
    (@add $names:ident $sub:ident ($inner:ident)) => { $sub::add_phases($names) };
}

pub(crate) use phases;
