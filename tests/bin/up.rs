//! `cargo up`, for the tests.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    kubefox_sim::up::main(std::env::args_os())
}
