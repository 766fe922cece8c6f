//! What the controller does, in words.

use alloc::format;
use alloc::string::String;

use crate::controller::Call;
use crate::{keys, kubernetes, listener, state, vault};

/// What is more than a look, `None` of a look.
pub(super) fn deed(call: &Call) -> Option<String> {
    Some(match call {
        Call::Vault(call) => return vault_deed(call),
        Call::Kubernetes(kubernetes::Call::CreateSealKey { .. }) => "CreateSealKey".into(),
        Call::Kubernetes(kubernetes::Call::CreateCommitted { .. }) => "CreateCommitted".into(),
        Call::Kubernetes(kubernetes::Call::CreateTrust { .. }) => "CreateTrust".into(),
        Call::Kubernetes(kubernetes::Call::UpdateTrust { .. }) => "UpdateTrust".into(),
        Call::Kubernetes(kubernetes::Call::ReviewToken { .. }) => "ReviewToken".into(),
        Call::Kubernetes(kubernetes::Call::DeletePod { pod }) => {
            format!("DeletePod {} {}", pod.name, pod.uid)
        }
        Call::State(state::Call::Rehearse) => "Rehearse".into(),
        Call::State(state::Call::WriteIntent { .. }) => "WriteIntent".into(),
        Call::State(state::Call::WriteSent { attempt, .. }) => format!("WriteSent {attempt}"),
        Call::State(state::Call::WriteRecover { recoveries, .. }) => format!("WriteRecover {recoveries}"),
        Call::State(state::Call::WriteForeign { .. }) => "WriteForeign".into(),
        Call::State(state::Call::WriteEnvelope { generation, root, .. }) => {
            format!("WriteEnvelope {generation}{}", if *root { " with root" } else { "" })
        }
        Call::State(state::Call::Open { .. }) => "Open".into(),
        Call::Keys(keys::Call::MintSealKey { .. }) => "MintSealKey".into(),
        Call::Keys(keys::Call::Forget { .. }) => "Forget".into(),
        Call::Listener(listener::Call::Present { .. }) => "Present".into(),
        Call::Listener(listener::Call::Probe { .. }) => "Probe".into(),
        Call::Kubernetes(
            kubernetes::Call::ReadSealKey
            | kubernetes::Call::ReadCommitted
            | kubernetes::Call::ReadTrust
            | kubernetes::Call::ReadSigners,
        )
        | Call::Keys(keys::Call::Examine { .. } | keys::Call::MintCertificateKey { .. })
        | Call::State(state::Call::Claim | state::Call::Read | state::Call::ReadHold)
        | Call::Volume(_) => return None,
    })
}

fn vault_deed(call: &vault::Call) -> Option<String> {
    Some(match call {
        vault::Call::Initialize => "Initialize".into(),
        vault::Call::Unseal { .. } => "Unseal".into(),
        vault::Call::LookupSelf { .. } => "LookupSelf".into(),
        vault::Call::RevokeSelf { .. } => "RevokeSelf".into(),
        vault::Call::ListAccessors { .. } => "ListAccessors".into(),
        vault::Call::RevokeAccessor { accessor, .. } => format!("RevokeAccessor {accessor}"),
        vault::Call::Login { role, .. } => format!("Login {}", role.as_str()),
        vault::Call::Write { setting, .. } => format!("Write {setting:?}"),
        vault::Call::WriteJwt { jwt, .. } => format!("WriteJwt {jwt:?}"),
        vault::Call::GeneratePassword { .. } => "GeneratePassword".into(),
        vault::Call::WriteAccount { account, .. } => format!("WriteAccount {account:?}"),
        vault::Call::Issue { request, .. } => format!("Issue {}", request.role.as_str()),
        vault::Call::SignCertificate { request, .. } => format!("SignCertificate {}", request.role.as_str()),
        vault::Call::Sign { key, .. } => format!("Sign {key:?}"),
        vault::Call::WriteGeneration { generation, .. } => format!("WriteGeneration {generation}"),
        vault::Call::SealStatus
        | vault::Call::InitStatus
        | vault::Call::Health
        | vault::Call::LookupAccessor { .. }
        | vault::Call::Read { .. }
        | vault::Call::ReadJwt { .. }
        | vault::Call::ReadAccount { .. }
        | vault::Call::ReadGeneration { .. } => return None,
    })
}
