//! `cargo up`: the whole platform on one machine.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    kubefox_sim::up::main(std::env::args_os())
}
