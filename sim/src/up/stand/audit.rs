//! What OpenBao was asked: its audit log has a line for each request before that is carried out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// Where it is, in the directory of a platform on real servers.
pub(in crate::up) const LOG: &str = "vault/audit.log";

/// The audit log, as far as it was read.
pub struct Audit {
    log: PathBuf,
    read_bytes: u64,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    request: Request,
}

#[derive(Deserialize)]
struct Request {
    operation: String,
    path: String,
}

impl Audit {
    /// Of the platform in that directory. What was asked before does not count.
    ///
    /// # Errors
    /// If there is no log.
    pub fn from_now_on(directory: &Path) -> Result<Self> {
        let log = directory.join(LOG);
        let length = std::fs::metadata(&log).with_context(|| format!("{} is missing", log.display()))?.len();
        Ok(Self { log, read_bytes: length })
    }

    /// How often what was asked since the last time, by operation and path: `update pki/issue/component`.
    ///
    /// # Errors
    /// If the log cannot be read, or is not what OpenBao writes.
    pub fn requests(&mut self) -> Result<BTreeMap<String, u64>> {
        let mut file = File::open(&self.log)?;
        file.seek(SeekFrom::Start(self.read_bytes))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // The last line may be in the middle of being written.
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        self.read_bytes += u64::try_from(whole)?;
        count(&text[..whole])
    }
}

fn count(lines: &str) -> Result<BTreeMap<String, u64>> {
    let mut requests = BTreeMap::new();
    for line in lines.lines() {
        let Entry { kind, request } = serde_json::from_str(line).context("a line of the audit log")?;
        // Each has a second line, for its response.
        if kind == "request" {
            *requests.entry(format!("{} {}", request.operation, request.path)).or_default() += 1;
        }
    }
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const READ: &str = r#"{"type":"request","request":{"operation":"read","path":"nats/keys/a"}}"#;
    const ANSWERED: &str = r#"{"type":"response","request":{"operation":"read","path":"nats/keys/a"}}"#;
    const SIGN: &str = r#"{"type":"request","request":{"operation":"update","path":"nats/sign/a"}}"#;

    #[test]
    fn each_whole_line_of_a_request_counts_once() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(folder.path().join("vault")).expect("it is empty");
        let mut log = File::create(folder.path().join(LOG)).expect("it is writable");
        let mut write = |text: &str| log.write_all(text.as_bytes()).expect("it is writable");
        write(&format!("{SIGN}\n"));
        let mut audit = Audit::from_now_on(folder.path()).expect("it is there");
        let mut seen = || audit.requests().expect("it is readable");
        let of = |requests: &[(&str, u64)]| requests.iter().map(|(of, n)| ((*of).to_owned(), *n)).collect();

        write(&format!("{READ}\n{ANSWERED}\n{READ}\n{}", &SIGN[..9]));
        assert_eq!(seen(), of(&[("read nats/keys/a", 2)]));
        write(&format!("{}\n", &SIGN[9..]));
        assert_eq!(seen(), of(&[("update nats/sign/a", 1)]));
        assert_eq!(seen(), of(&[]));
    }
}
