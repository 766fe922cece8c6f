//! Initialization and unsealing.

use kubefox_core::machine::Outcome;
use kubefox_core::secret::{Own, Secret};
use kubefox_core::vault::{Call, Reply};

use crate::stage::{ROOT, Stage};

const KEY: Secret = Secret::Own(Own::UnsealKey);
const WRONG_KEY: Secret = Secret::Own(Own::MintedSealKey);
const MALFORMED_KEY: Secret = Secret::Own(Own::Password);

pub(super) fn two_starts(stage: &mut Stage<'_>) {
    stage.fill(WRONG_KEY, &"5a".repeat(32));
    stage.fill(MALFORMED_KEY, "not-hexadecimal");
    stage.fill(ROOT, "s.nobody");

    stage.vault("uninitialized", &Call::SealStatus);
    stage.vault("uninitialized", &Call::InitStatus);
    stage.vault("uninitialized", &Call::Health);
    stage.vault("uninitialized", &Call::Unseal { key: WRONG_KEY });
    stage.vault("uninitialized", &Call::LookupSelf { token: ROOT });
    stage.vault("first", &Call::Initialize);
    stage.vault("sealed", &Call::SealStatus);
    stage.vault("sealed", &Call::InitStatus);
    stage.vault("sealed", &Call::Health);
    stage.vault("sealed", &Call::LookupSelf { token: ROOT });
    stage.vault("second, sealed", &Call::Initialize);
    stage.vault("wrong key", &Call::Unseal { key: WRONG_KEY });
    stage.vault("malformed key", &Call::Unseal { key: MALFORMED_KEY });
    assert_eq!(stage.vault("right key", &Call::Unseal { key: KEY }), Outcome::Ok(Reply::Unsealed));
    stage.await_active();
    stage.vault("unsealed", &Call::SealStatus);
    stage.vault("unsealed", &Call::InitStatus);
    stage.vault("unsealed", &Call::Health);
    stage.vault("unsealed already", &Call::Unseal { key: KEY });
    stage.vault("unsealed already, wrong key", &Call::Unseal { key: WRONG_KEY });
    stage.vault("second, unsealed", &Call::Initialize);
    stage.vault("root", &Call::LookupSelf { token: ROOT });

    stage.restart_vault();
    stage.vault("started again", &Call::SealStatus);
    stage.vault("started again", &Call::Health);
    stage.vault("started again, wrong key", &Call::Unseal { key: WRONG_KEY });
    stage.vault("started again, right key", &Call::Unseal { key: KEY });
    stage.await_active();
    stage.vault("started again, root", &Call::LookupSelf { token: ROOT });
}
