//! The files that the runtime connects to the broker with: its own certificate and key, never the broker's.

use super::bootstrapping::Held;
use super::{Broker, Call, RUNTIME_KEY, State};
use crate::initializer::{WRITE_BUNDLE_MS, file};
use crate::machine::Out;
use crate::secret::Piece;
use crate::time::Now;
use crate::volume;

impl State {
    pub(super) fn writing_bundle(held: &Held, now: Now, out: &mut Out<Broker>) -> Self {
        let runtime = &held.documents.runtime;
        let files = alloc::vec![
            file("tls.crt", Piece::text(runtime.leaf.as_str())),
            file("tls.key", alloc::vec![Piece::Secret(RUNTIME_KEY)]),
            file("ca.crt", Piece::text(runtime.ca.as_str())),
        ];
        let call = Call::Volume(volume::Call::WriteBundle { files });
        Self::WritingBundle { call: out.call(now.in_ms(WRITE_BUNDLE_MS), call) }
    }
}
