//! The binary `kubefox`: every role of the platform.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    kubefox_io::cli::main(std::env::args_os())
}
