//! What a `nats.conf` of operator mode with a MEMORY resolver says, checked as nats-server checks it at start.
//!
//! Unknown keys are start errors, as on the real one; so are keys that the real one knows and this fake does not.

use super::syntax::{self, Entry, SyntaxError, Value};
use super::trust::{Account, TrustError, trusted_accounts};
use kubefox_core::time::Unix;
use std::collections::{BTreeMap, BTreeSet};

/// nats-server's default address of clients.
const LISTEN_DEFAULT: &str = "0.0.0.0:4222";
/// nats-server's default `max_payload`: 1 MiB.
const PAYLOAD_BYTES_DEFAULT: u64 = 1 << 20;
/// nats-server refuses a `max_payload` above its `max_pending`, 64 MiB by default.
const PAYLOAD_BYTES_MAX: u64 = 64 << 20;
/// nats-server's default `max_control_line`.
const CONTROL_LINE_BYTES_DEFAULT: u64 = 4096;
/// A control line longer than this is no configuration of ours.
const CONTROL_LINE_BYTES_MAX: u64 = 1 << 20;
/// nats-server's default `tls.timeout` and, without TLS, `authorization.timeout`.
const TIMEOUT_S_DEFAULT: u64 = 2;
/// No time-out of a handshake is longer.
const TIMEOUT_S_MAX: u64 = 3600;

/// A start that nats-server would make.
#[derive(Clone)]
pub struct Configuration {
    /// Where clients connect.
    pub listen: Listen,
    /// In INFO.
    pub server_name: String,
    /// Where the real one writes the port it got, relative to where it runs.
    pub ports_file_dir: Option<String>,
    /// How TLS is spoken, if it is.
    pub tls: Option<Tls>,
    /// How long a client may take until CONNECT.
    pub authorization_timeout_s: u64,
    pub(super) payload_bytes_max: u64,
    pub(super) control_line_bytes_max: u64,
    pub(super) system_account: String,
    pub(super) accounts: BTreeMap<String, Account>,
    pub(super) pinned: Option<BTreeSet<String>>,
}

/// `listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// A name or an address.
    pub host: String,
    /// −1 and 0 are any free port.
    pub port: i32,
}

/// `tls`; files are paths as written, relative to where the server runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The server's chain, PEM.
    pub cert_file: String,
    /// Its private key, PEM.
    pub key_file: String,
    /// Who issues clients, PEM.
    pub ca_file: Option<String>,
    /// Whether a client must show a certificate.
    pub verify: bool,
    /// How long a handshake may take.
    pub timeout_s: u64,
    /// The oldest version that is spoken.
    pub oldest: TlsVersion,
}

/// `tls.min_version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2, the default.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// Why the server does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The text is not in the grammar.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// A key that is wrong or that this fake does not implement.
    #[error("nats.conf:{line}: unknown field {key:?} (or one that this fake does not implement)")]
    UnknownKey {
        /// Where.
        line: usize,
        /// Which.
        key: String,
    },
    /// A value of the wrong form.
    #[error("nats.conf:{line}: {key:?} must be {expected}")]
    WrongValue {
        /// Where.
        line: usize,
        /// Which.
        key: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A key without which this fake does not start.
    #[error("nats.conf: {0:?} is missing: this fake runs in operator mode only")]
    Missing(&'static str),
    /// An operator without `resolver`.
    #[error("operators require an account resolver to be configured")]
    NoResolver,
    /// `accounts` beside an operator.
    #[error("operators do not allow Accounts to be configured directly")]
    AccountsConfigured,
    /// `authorization { users }` beside an operator.
    #[error("operators do not allow users to be configured directly")]
    UsersConfigured,
    /// A JWT of operator or account is wrong.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl Configuration {
    /// Reads and checks a whole `nats.conf`.
    ///
    /// # Errors
    /// Everything nats-server refuses to start on, and everything this fake does not implement.
    pub fn parse(nats_conf: &str) -> Result<Self, StartError> {
        let mut draft = Draft::default();
        for entry in syntax::parse(nats_conf)? {
            draft.take(entry)?;
        }

        draft.finish()
    }

    /// Whether clients must speak TLS.
    #[must_use]
    pub fn requires_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// When a client that connects or finishes TLS at `now` must have sent CONNECT.
    pub(super) fn authorization_deadline(&self, now: Unix) -> Unix {
        Unix(now.0.saturating_add(self.authorization_timeout_s))
    }
}

/// The keys seen so far.
#[derive(Default)]
struct Draft {
    listen: Option<Listen>,
    server_name: Option<String>,
    ports_file_dir: Option<String>,
    operator: Option<String>,
    system_account: Option<String>,
    resolver: bool,
    preload: BTreeMap<String, String>,
    pinned: Option<BTreeSet<String>>,
    authorization_timeout_s: Option<u64>,
    payload_bytes_max: Option<u64>,
    control_line_bytes_max: Option<u64>,
    tls: Option<Tls>,
}

impl Draft {
    fn take(&mut self, entry: Entry) -> Result<(), StartError> {
        match entry.key.as_str() {
            "listen" => self.listen = Some(listen(entry)?),
            "server_name" => self.server_name = Some(server_name(entry)?),
            "ports_file_dir" => self.ports_file_dir = Some(text(entry)?),
            "operator" => self.operator = Some(inline_jwt(entry)?),
            "system_account" => self.system_account = Some(text(entry)?),
            "resolver" => self.resolver = memory_resolver(entry)?,
            "resolver_preload" => self.preload = preload(entry)?,
            "resolver_pinned_accounts" => self.pinned = Some(pinned(entry)?),
            "authorization" => self.authorization_timeout_s = authorization(entry)?,
            "max_payload" => self.payload_bytes_max = Some(number(entry, PAYLOAD_BYTES_MAX)?),
            "max_control_line" => {
                self.control_line_bytes_max = Some(number(entry, CONTROL_LINE_BYTES_MAX)?);
            }
            "tls" => self.tls = Some(tls(entry)?),
            "accounts" => return Err(StartError::AccountsConfigured),
            _unknown => return Err(unknown(entry)),
        }

        Ok(())
    }

    fn finish(self) -> Result<Configuration, StartError> {
        let operator = self.operator.ok_or(StartError::Missing("operator"))?;
        if !self.resolver {
            return Err(StartError::NoResolver);
        }
        let trusted =
            trusted_accounts(&operator, self.system_account.as_deref(), &self.preload, self.pinned.as_ref())?;
        let tls_timeout_s = self.tls.as_ref().map(|tls| tls.timeout_s + 1);

        Ok(Configuration {
            listen: self
                .listen
                .map_or_else(|| split_address(LISTEN_DEFAULT), Some)
                .expect("the default parses"),
            server_name: self.server_name.unwrap_or_default(),
            ports_file_dir: self.ports_file_dir,
            authorization_timeout_s: self
                .authorization_timeout_s
                .unwrap_or_else(|| tls_timeout_s.unwrap_or(TIMEOUT_S_DEFAULT)),
            tls: self.tls,
            payload_bytes_max: self.payload_bytes_max.unwrap_or(PAYLOAD_BYTES_DEFAULT),
            control_line_bytes_max: self.control_line_bytes_max.unwrap_or(CONTROL_LINE_BYTES_DEFAULT),
            system_account: trusted.system_account,
            accounts: trusted.accounts,
            pinned: trusted.pinned,
        })
    }
}

fn listen(entry: Entry) -> Result<Listen, StartError> {
    let (line, key) = (entry.line, entry.key.clone());
    let address = text(entry)?;
    split_address(&address).ok_or(StartError::WrongValue {
        line,
        key,
        expected: "host:port, port −1 for any",
    })
}

fn split_address(address: &str) -> Option<Listen> {
    let (host, port) = address.rsplit_once(':')?;
    let port: i32 = port.parse().ok()?;
    let valid = (-1..=i32::from(u16::MAX)).contains(&port) && !host.is_empty();
    valid.then(|| Listen { host: host.to_owned(), port })
}

fn server_name(entry: Entry) -> Result<String, StartError> {
    let (line, key) = (entry.line, entry.key.clone());
    let name = text(entry)?;
    if name.contains(char::is_whitespace) {
        return Err(StartError::WrongValue { line, key, expected: "a name without spaces" });
    }

    Ok(name)
}

/// The real server also takes a path or a list; a pure one reads no files.
fn inline_jwt(entry: Entry) -> Result<String, StartError> {
    let (line, key) = (entry.line, entry.key.clone());
    let operator = text(entry)?;
    if !operator.starts_with("eyJ") {
        return Err(StartError::WrongValue { line, key, expected: "the operator JWT itself, not a path" });
    }

    Ok(operator)
}

fn memory_resolver(entry: Entry) -> Result<bool, StartError> {
    let wrong = wrong(&entry, "MEMORY: this fake implements no other resolver");
    match entry.value {
        Value::Text(kind) if matches!(kind.to_ascii_uppercase().as_str(), "MEMORY" | "MEM") => Ok(true),
        Value::Text(_) | Value::Number(_) | Value::Boolean(_) | Value::List(_) | Value::Block(_) => {
            Err(wrong)
        }
    }
}

fn preload(entry: Entry) -> Result<BTreeMap<String, String>, StartError> {
    block(entry)?.into_iter().map(|account| Ok((account.key.clone(), text(account)?))).collect()
}

fn pinned(entry: Entry) -> Result<BTreeSet<String>, StartError> {
    let wrong = wrong(&entry, "a list of account keys");
    let Value::List(items) = entry.value else {
        return Err(wrong);
    };
    let key = |item| match item {
        Value::Text(key) => Ok(key),
        Value::Number(_) | Value::Boolean(_) | Value::List(_) | Value::Block(_) => Err(wrong.clone()),
    };
    items.into_iter().map(key).collect()
}

fn authorization(entry: Entry) -> Result<Option<u64>, StartError> {
    let mut timeout_s = None;
    for inner in block(entry)? {
        match inner.key.as_str() {
            "timeout" => timeout_s = Some(number(inner, TIMEOUT_S_MAX)?),
            "users" | "user" | "password" | "token" => return Err(StartError::UsersConfigured),
            _unknown => return Err(unknown(inner)),
        }
    }

    Ok(timeout_s)
}

fn tls(entry: Entry) -> Result<Tls, StartError> {
    let (mut cert_file, mut key_file, mut ca_file) = (None, None, None);
    let (mut verify, mut timeout_s, mut oldest) = (false, TIMEOUT_S_DEFAULT, TlsVersion::V1_2);
    for inner in block(entry)? {
        match inner.key.as_str() {
            "cert_file" => cert_file = Some(text(inner)?),
            "key_file" => key_file = Some(text(inner)?),
            "ca_file" => ca_file = Some(text(inner)?),
            "verify" => verify = boolean(inner)?,
            "timeout" => timeout_s = number(inner, TIMEOUT_S_MAX)?,
            "min_version" => oldest = tls_version(inner)?,
            _unknown => return Err(unknown(inner)),
        }
    }
    let cert_file = cert_file.ok_or(StartError::Missing("tls.cert_file"))?;
    let key_file = key_file.ok_or(StartError::Missing("tls.key_file"))?;
    if verify && ca_file.is_none() {
        return Err(StartError::Missing("tls.ca_file"));
    }

    Ok(Tls { cert_file, key_file, ca_file, verify, timeout_s, oldest })
}

fn tls_version(entry: Entry) -> Result<TlsVersion, StartError> {
    let wrong = wrong(&entry, "\"1.2\" or \"1.3\"");
    match text(entry)?.as_str() {
        "1.2" => Ok(TlsVersion::V1_2),
        "1.3" => Ok(TlsVersion::V1_3),
        _other => Err(wrong),
    }
}

fn block(entry: Entry) -> Result<Vec<Entry>, StartError> {
    let wrong = wrong(&entry, "a block");
    match entry.value {
        Value::Block(entries) => Ok(entries),
        Value::Text(_) | Value::Number(_) | Value::Boolean(_) | Value::List(_) => Err(wrong),
    }
}

fn text(entry: Entry) -> Result<String, StartError> {
    let wrong = wrong(&entry, "text");
    match entry.value {
        Value::Text(text) => Ok(text),
        Value::Number(_) | Value::Boolean(_) | Value::List(_) | Value::Block(_) => Err(wrong),
    }
}

fn number(entry: Entry, at_most: u64) -> Result<u64, StartError> {
    let wrong = wrong(&entry, "a whole number within its limit");
    match entry.value {
        Value::Number(number) if number <= at_most => Ok(number),
        Value::Number(_) | Value::Text(_) | Value::Boolean(_) | Value::List(_) | Value::Block(_) => {
            Err(wrong)
        }
    }
}

fn boolean(entry: Entry) -> Result<bool, StartError> {
    let wrong = wrong(&entry, "true or false");
    match entry.value {
        Value::Boolean(value) => Ok(value),
        Value::Text(_) | Value::Number(_) | Value::List(_) | Value::Block(_) => Err(wrong),
    }
}

fn unknown(entry: Entry) -> StartError {
    StartError::UnknownKey { line: entry.line, key: entry.key }
}

fn wrong(entry: &Entry, expected: &'static str) -> StartError {
    StartError::WrongValue { line: entry.line, key: entry.key.clone(), expected }
}

#[cfg(test)]
mod tests {
    use super::super::minting::Platform;
    use super::*;

    #[test]
    fn the_configuration_of_the_product_starts() {
        let platform = Platform {
            tls: "tls {\n cert_file: \"tls.crt\"\n key_file: \"tls.key\"\n ca_file: \"ca.crt\"\n verify: true\n \
                  timeout: 5\n min_version: \"1.3\"\n}",
            ..Platform::new()
        };

        let configuration = Configuration::parse(&platform.nats_conf()).expect("starts");

        assert_eq!(configuration.listen, Listen { host: "127.0.0.1".to_owned(), port: -1 });
        assert_eq!(configuration.server_name, "nats-0");
        assert_eq!(configuration.authorization_timeout_s, 6);
        assert_eq!((configuration.payload_bytes_max, configuration.control_line_bytes_max), (1 << 20, 4096));
        let tls = Tls {
            cert_file: "tls.crt".to_owned(),
            key_file: "tls.key".to_owned(),
            ca_file: Some("ca.crt".to_owned()),
            verify: true,
            timeout_s: 5,
            oldest: TlsVersion::V1_3,
        };
        assert_eq!(configuration.tls, Some(tls));
        assert_eq!(configuration.accounts.len(), 2);
    }

    #[test]
    fn keys_may_come_in_another_order() {
        let text = Platform::new().nats_conf();
        let (first, rest) = text.split_once('\n').expect("many lines");

        let configuration = Configuration::parse(&format!("{rest}\n{first}")).expect("starts");

        assert_eq!(configuration.listen.port, -1);
    }

    #[test]
    fn what_the_real_server_refuses_is_refused() {
        let good = Platform::new();
        let unknown = good.nats_conf() + "\njet_stream { store_dir: x }\n";
        let line = unknown.lines().count();
        assert!(matches!(
            error(&unknown),
            StartError::UnknownKey { key, line: at } if key == "jet_stream" && at == line
        ));
        assert_eq!(error(&good.nats_conf().replace("resolver: MEMORY", "")), StartError::NoResolver);
        assert_eq!(error(&(good.nats_conf() + "accounts { }")), StartError::AccountsConfigured);
        assert_eq!(
            error(&good.nats_conf().replace("{ timeout: 6 }", "{ users: [] }")),
            StartError::UsersConfigured
        );
        assert_eq!(error("listen: \"127.0.0.1:-1\""), StartError::Missing("operator"));
        assert_eq!(
            error(&(good.nats_conf() + "tls { cert_file: \"a\" }")),
            StartError::Missing("tls.key_file")
        );
    }

    #[test]
    fn what_the_fake_does_not_implement_is_refused() {
        let good = Platform::new().nats_conf();
        let refused = [
            good.replace("resolver: MEMORY", "resolver: { type: full, dir: x }"),
            good.replace("operator: eyJ", "operator: /etc/nats/eyJ"),
            good.replace("max_payload: 1MB", "max_payload: \"one\""),
            good.replace("127.0.0.1:-1", "127.0.0.1:70000"),
        ];

        for text in refused {
            assert!(matches!(error(&text), StartError::WrongValue { .. }));
        }
    }

    #[test]
    fn without_a_time_out_a_client_gets_that_of_tls_and_one_second_more() {
        let platform = Platform { tls: "tls { cert_file: a, key_file: b, timeout: 5 }", ..Platform::new() };
        let text = platform.nats_conf().replace("authorization { timeout: 6 }", "");

        let configuration = Configuration::parse(&text).expect("starts");

        assert_eq!(configuration.authorization_deadline(Unix(100)), Unix(106));
    }

    fn error(nats_conf: &str) -> StartError {
        Configuration::parse(nats_conf).err().expect("refused")
    }
}
