//! Tokens of Vault: alive, dead, and the batch tokens that the platform gives out.

use kubefox_core::machine::Outcome;
use kubefox_core::names::Accessor;
use kubefox_core::secret::{Own, Secret};
use kubefox_core::vault::{
    Account, AuthRole, Call, CertificateRequest, NatsKey, PkiRole, Reply, Setting, StoredJwt,
};
use serde_json::json;

use super::platform::{
    COMPONENT, CONTROLLER, DEAD, NATS, SETUP, caller_logs_in, component, set_up, unsealed,
};
use crate::stage::{ROOT, Stage, accessor, caller};

/// A token that root makes for the occasion.
const OTHER: Secret = caller(7);

pub(super) fn living_and_dead(stage: &mut Stage<'_>) {
    unsealed(stage);
    stage.vault("root", &Call::LookupSelf { token: ROOT });
    stage.vault("root alone", &Call::ListAccessors { token: ROOT });
    let root = accessors(stage).remove(0);
    stage.vault("root's own", &Call::LookupAccessor { token: ROOT, accessor: root.clone() });

    stage.as_root("POST", "sys/policies/acl/nothing", &json!({"policy": "# nothing"}));
    let made = stage.as_root("POST", "auth/token/create", &json!({"policies": ["nothing"], "ttl": "1h"}));
    stage.fill(OTHER, made["auth"]["client_token"].as_str().expect("a token"));
    let other = accessor(made["auth"]["accessor"].as_str().expect("an accessor"));
    stage.vault("one more", &Call::ListAccessors { token: ROOT });
    stage.vault("the other", &Call::LookupAccessor { token: ROOT, accessor: other.clone() });
    stage.vault("with the default policy", &Call::LookupSelf { token: OTHER });
    stage.vault("policy says no", &Call::ListAccessors { token: OTHER });
    stage.vault("policy says no", &Call::LookupAccessor { token: OTHER, accessor: root.clone() });
    stage.vault("policy says no", &Call::RevokeAccessor { token: OTHER, accessor: root.clone() });
    stage.vault("alive", &Call::RevokeAccessor { token: ROOT, accessor: other.clone() });
    stage.vault("dead already", &Call::RevokeAccessor { token: ROOT, accessor: other.clone() });
    stage.vault("dead", &Call::LookupAccessor { token: ROOT, accessor: other });
    stage.vault("never made", &Call::LookupAccessor { token: ROOT, accessor: accessor("nobody") });
    stage.vault("never made", &Call::RevokeAccessor { token: ROOT, accessor: accessor("nobody") });
    stage.vault("revoked", &Call::LookupSelf { token: OTHER });
    stage.vault("revoked", &Call::RevokeSelf { token: OTHER });

    let brief = json!({"policies": ["nothing"], "ttl": "1s"});
    let made = stage.as_root("POST", "auth/token/create", &brief);
    stage.fill(OTHER, made["auth"]["client_token"].as_str().expect("a token"));
    stage.wait(3);
    stage.vault("expired", &Call::LookupSelf { token: OTHER });

    stage.vault("root", &Call::RevokeSelf { token: ROOT });
    stage.vault("root, again", &Call::RevokeSelf { token: ROOT });
    stage.vault("root, dead", &Call::LookupSelf { token: ROOT });
    stage.vault("root, dead", &Call::ListAccessors { token: ROOT });
    stage.vault("root, dead", &Call::LookupAccessor { token: ROOT, accessor: root.clone() });
    stage.vault("root, dead", &Call::RevokeAccessor { token: ROOT, accessor: root });
}

/// Nothing is answered to a token that was never made, and nothing to one whose policy is another.
pub(super) fn refused(stage: &mut Stage<'_>) {
    set_up(stage);
    stage.fill(Secret::Own(Own::Password), "0123456789abcdef");
    for (who, token) in [("dead token", DEAD), ("NATS", NATS), ("component", COMPONENT), ("setup", SETUP)] {
        for call in everything(token) {
            stage.vault(who, &call);
        }
    }
}

/// What batch tokens cannot do, whatever their policies say.
pub(super) fn batch(stage: &mut Stage<'_>) {
    let platform = set_up(stage);
    stage.vault("without the default policy", &Call::LookupSelf { token: COMPONENT });
    stage.vault("without the default policy", &Call::RevokeSelf { token: COMPONENT });
    stage.vault(
        "batch tokens have no accessor: root and nobody else",
        &Call::ListAccessors { token: CONTROLLER },
    );

    let all = "path \"auth/token/*\" { capabilities = [\"create\", \"update\", \"read\", \"sudo\"] }";
    stage.as_root("POST", "sys/policies/acl/tokens", &json!({"policy": all}));
    let mut role = platform.body(&Setting::AuthRole(AuthRole::Component));
    role["token_policies"] = json!(["tokens"]);
    stage.as_root("POST", "auth/kubernetes/role/component", &role);
    caller_logs_in(stage, &platform, AuthRole::Component, &component(), "app-7", OTHER);
    stage.vault("allowed", &Call::LookupSelf { token: OTHER });
    stage.vault("allowed, and impossible", &Call::RevokeSelf { token: OTHER });
    stage.other("a child", "POST", "auth/token/create", OTHER, &json!({}));
    stage.other("longer", "POST", "auth/token/renew-self", OTHER, &json!({}));
}

fn accessors(stage: &mut Stage<'_>) -> Vec<Accessor> {
    let listed = stage.ask_vault(&Call::ListAccessors { token: ROOT });
    let Outcome::Ok(Reply::Accessors(accessors)) = listed else { panic!("root may list: {listed:?}") };
    accessors
}

/// A call of each kind that needs a token and is no setting.
fn everything(token: Secret) -> Vec<Call> {
    let (slot, accessor) = (Secret::Own(Own::Password), accessor("nobody"));
    let request = CertificateRequest {
        role: PkiRole::Controller,
        common_name: Some("kubefox.kubefox.svc".to_owned()),
        dns_names: Vec::new(),
        uri: "spiffe://cluster.local/ns/kubefox/sa/kubefox".to_owned(),
        ttl_s: 60,
    };
    vec![
        Call::LookupSelf { token },
        Call::RevokeSelf { token },
        Call::ListAccessors { token },
        Call::LookupAccessor { token, accessor: accessor.clone() },
        Call::RevokeAccessor { token, accessor },
        Call::ReadJwt { token, jwt: StoredJwt::Operator },
        Call::WriteJwt { token, jwt: StoredJwt::Operator, text: "a.b.c".to_owned() },
        Call::ReadAccount { token, account: Account::Viewer },
        Call::GeneratePassword { token, into: Secret::Own(Own::RuntimeKey) },
        Call::WriteAccount { token, account: Account::Viewer, password: slot },
        Call::ReadGeneration { token },
        Call::WriteGeneration { token, cas: 0, generation: 1 },
        Call::Issue { token, request, into: Secret::Own(Own::ServingKey) },
        Call::Sign { token, key: NatsKey::PlatformSigner, input: b"claims".to_vec() },
    ]
}
