//! Reads and judges the certificates that say which controller is the right one.

use super::{Call, Initializer, State, Verdict, Wait};
use crate::fatal::Fatal;
use crate::machine::Out;
use crate::names::Pem;
use crate::time::Now;
use crate::volume::{self, MountedTrust, TrustFiles};

/// Reading two mounted files takes no longer, unless the node is in trouble.
pub(crate) const READ_TRUST_MS: u64 = 2_000;

impl State {
    pub(super) fn reading_trust(now: Now, out: &mut Out<Initializer>) -> Self {
        let call = Call::Volume(volume::Call::ReadTrust);
        Self::ReadingTrust { call: out.call(now.in_ms(READ_TRUST_MS), call) }
    }
}

/// The authority to verify the controller with, if what is mounted is complete, of one origin and valid now.
pub(crate) fn judge(files: TrustFiles, now: Now) -> Verdict<Pem> {
    let MountedTrust { trust, not_before, not_after } = match files {
        TrustFiles::Read(mounted) => mounted,
        TrustFiles::Missing(_) => return Verdict::Late { wait: Wait::Trust, fatal: Fatal::TrustMissing },
        TrustFiles::NotPem(_) => return Verdict::Stop(Fatal::TrustNotPem),
        TrustFiles::OtherAuthority => return Verdict::Stop(Fatal::TrustForeign),
    };
    if not_after < now.unix {
        return Verdict::Stop(Fatal::TrustExpired);
    }
    if now.unix < not_before {
        return Verdict::Again(Wait::Clock);
    }
    Verdict::Go(trust.ca)
}
