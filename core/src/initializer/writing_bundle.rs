//! The files that NATS starts on.

use alloc::string::String;
use alloc::vec::Vec;

use super::bootstrapping::Fitting;
use super::{Call, Config, Initializer, KEY, State};
use crate::bootstrap::NatsDocuments;
use crate::documents::nats_conf::nats_conf;
use crate::machine::Out;
use crate::secret::Piece;
use crate::time::Now;
use crate::volume::{self, File};

/// How long writing a handful of small files durably may take.
pub(crate) const WRITE_BUNDLE_MS: u64 = 5_000;

impl State {
    /// Configuration, certificate, key and authority: all or none.
    pub(super) fn writing_bundle(
        documents: &NatsDocuments,
        fitting: Fitting,
        config: &Config,
        now: Now,
        out: &mut Out<Initializer>,
    ) -> Self {
        let call = Call::Volume(volume::Call::WriteBundle { files: files(documents, &fitting, config) });
        Self::WritingBundle { call: out.call(now.in_ms(WRITE_BUNDLE_MS), call) }
    }
}

fn files(documents: &NatsDocuments, fitting: &Fitting, config: &Config) -> Vec<File> {
    let configuration = nats_conf(
        &documents.operator,
        (&fitting.system_account, &documents.system_account),
        (&fitting.platform_account, &documents.platform_account),
        &config.listen,
        &config.directory,
        config.ports_file_dir.as_deref(),
    );
    alloc::vec![
        file("nats.conf", Piece::text(configuration)),
        file("tls.crt", Piece::text(documents.certificate.leaf.as_str())),
        file("tls.key", alloc::vec![Piece::Secret(KEY)]),
        file("ca.crt", Piece::text(documents.certificate.ca.as_str())),
    ]
}

pub(crate) fn file(name: &str, content: Vec<Piece>) -> File {
    File { name: String::from(name), content }
}
