//! `kubefox check`: an exec probe for images without a shell.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// A role of the same pod answers at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// What a status answers is a sentence.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// What is asked.
#[derive(Clone, Copy, ValueEnum)]
enum Question {
    /// Is the process alive?
    Healthz,
    /// Does it do what it is for?
    Readyz,
}

/// What the operator chooses for a check.
#[derive(Args)]
pub(super) struct Arguments {
    /// What to ask.
    #[arg(value_enum, default_value = "readyz")]
    question: Question,
    /// The role's `--status-listen`.
    #[arg(long, env = "KUBEFOX_STATUS_LISTEN", default_value = "127.0.0.1:9102")]
    status_listen: SocketAddr,
}

/// Exit code 0 for yes; 1 for no, with the sentence on stdout.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let path = match arguments.question {
        Question::Healthz => "/healthz",
        Question::Readyz => "/readyz",
    };
    let (yes, sentence) = match ask(arguments.status_listen, path) {
        Ok(answer) => {
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
            (head.lines().next().is_some_and(|line| line.contains(" 200 ")), body.trim().to_owned())
        }
        Err(error) => (false, format!("{} does not answer: {error}", arguments.status_listen)),
    };
    // A probe without a reader still has its exit code.
    let _ = writeln!(std::io::stdout().lock(), "{sentence}");
    if yes { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}
