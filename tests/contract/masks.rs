//! What differs from run to run, masked: accessors, uids, keys, certificates, versions. What they say is kept.

use std::cmp::Reverse;

use kubefox_core::kubernetes;
use kubefox_core::machine::Outcome;
use kubefox_core::names::ResourceVersion;
use kubefox_core::vault::Reply;
use serde::Serialize;
use serde_json::{Value, json};

use crate::certificate;

/// Texts of this run, with the names that stand for them.
#[derive(Default)]
pub(crate) struct Masks {
    texts: Vec<(String, String)>,
    versions: Vec<ResourceVersion>,
}

impl Masks {
    /// From now on `text` is shown as `name`. One text keeps its first name.
    pub(crate) fn mask(&mut self, text: &str, name: &str) {
        assert!(!text.is_empty(), "{name} is empty");
        if !self.texts.iter().any(|(known, _)| known == text) {
            self.texts.push((text.to_owned(), name.to_owned()));
            // One text may be part of another.
            self.texts.sort_by_key(|(text, _)| Reverse(text.len()));
        }
    }

    /// An outcome of Vault's adapter.
    pub(crate) fn vault(&self, outcome: &Outcome<Reply>) -> String {
        self.shown(&match outcome.clone() {
            Outcome::Ok(reply) => json!({ "Ok": vault_reply(reply) }),
            refused @ (Outcome::Refused(_) | Outcome::Unknown(_)) => value(&refused),
        })
    }

    /// An outcome of Kubernetes' adapter. Resource versions are numbered in the order in which they appear.
    pub(crate) fn kubernetes(&mut self, outcome: &Outcome<kubernetes::Reply>) -> String {
        let mut shown = value(outcome);
        if let Outcome::Ok(kubernetes::Reply::Trust(Some(trust))) = outcome {
            let known = self.versions.iter().position(|known| *known == trust.version);
            let number = known.unwrap_or(self.versions.len());
            if known.is_none() {
                self.versions.push(trust.version.clone());
            }
            shown["Ok"]["Trust"]["version"] = format!("VERSION {number}").into();
        }
        // Which keys, and of which algorithm, is the cluster's choice.
        if let Outcome::Ok(kubernetes::Reply::Signers(signers)) = outcome {
            shown["Ok"]["Signers"] = signers.len().into();
        }
        self.shown(&shown)
    }

    /// Any other answer.
    pub(crate) fn shown(&self, answer: &Value) -> String {
        let mut text = answer.to_string();
        for (known, name) in &self.texts {
            // As it stands in JSON, without the quotes.
            let quoted = Value::from(known.as_str()).to_string();
            text = text.replace(&quoted[1..quoted.len() - 1], name);
        }
        text
    }
}

fn vault_reply(reply: Reply) -> Value {
    match reply {
        Reply::SealStatus(mut status) => {
            status.version = "VERSION".to_owned();
            value(&Reply::SealStatus(status))
        }
        Reply::Accessors(accessors) => json!({ "Accessors": accessors.len() }),
        Reply::Setting(Some(mut setting)) => {
            if let Some(key) = setting.get_mut("public_key").filter(|key| key.is_string()) {
                *key = "PUBLIC KEY".into();
            }
            json!({ "Setting": setting })
        }
        Reply::Certificate(certificate) => json!({ "Certificate": certificate::facts(&certificate) }),
        Reply::Signature(signature) => json!({ "Signature": signature.0.len() }),
        other @ (Reply::InitStatus(_)
        | Reply::Health(_)
        | Reply::Initialized
        | Reply::AlreadyInitialized
        | Reply::HalfInitialized
        | Reply::Unsealed
        | Reply::WrongKey
        | Reply::Token(_)
        | Reply::NoToken
        | Reply::Revoked
        | Reply::LoggedIn(_)
        | Reply::Setting(None)
        | Reply::Written
        | Reply::Jwt(_)
        | Reply::Account { .. }
        | Reply::Password
        | Reply::Generation(_)) => value(&other),
    }
}

fn value(data: &impl Serialize) -> Value {
    serde_json::to_value(data).expect("the contract's types are data")
}
