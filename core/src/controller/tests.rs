//! State and event in, the whole list of effects out.

mod audit;
mod begin;
mod callers;
mod certify;
mod configure;
mod doubts;
mod first_start;
mod fixtures;
mod histories;
mod initialize;
mod lies;
mod login;
mod phases;
mod recover;
mod sessions;
mod set_up;
mod slots;
mod stops;
mod survey;
mod table;
mod totality;
mod watch;

use super::world;
