//! The binary `kubefox`, for the tests.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    kubefox_io::cli::main(std::env::args_os())
}
