//! How many cases each request has. A call without a row does not compile; a row whose number is not the number of its
//! cases fails.

use kubefox_core::{kubernetes, vault};
use vault::Setting;

macro_rules! rows {
    ($rows:ident, $row_of:ident($call:ty) { $($row:literal: $pattern:pat => $cases:literal,)+ } beside { $($other:literal => $count:literal,)* }) => {
        /// Each kind of request with the number of its cases.
        pub(crate) const $rows: &[(&str, usize)] = &[$(($row, $cases),)+ $(($other, $count),)*];

        /// The row that a call counts for.
        pub(crate) const fn $row_of(call: &$call) -> &'static str {
            match call {
                $($pattern => $row,)+
            }
        }
    };
}

rows! { VAULT, vault_row(vault::Call) {
    "SealStatus": vault::Call::SealStatus => 4,
    "InitStatus": vault::Call::InitStatus => 2,
    "Health": vault::Call::Health => 3,
    "Initialize": vault::Call::Initialize => 2,
    "Unseal": vault::Call::Unseal { .. } => 5,
    "LookupSelf": vault::Call::LookupSelf { .. } => 1,
    "RevokeSelf": vault::Call::RevokeSelf { .. } => 1,
    "ListAccessors": vault::Call::ListAccessors { .. } => 1,
    "LookupAccessor": vault::Call::LookupAccessor { .. } => 1,
    "RevokeAccessor": vault::Call::RevokeAccessor { .. } => 1,
    "Login": vault::Call::Login { .. } => 1,
    "Read KubernetesAuth": vault::Call::Read { setting: Setting::KubernetesAuth, .. } => 1,
    "Read KubernetesAuthConfig": vault::Call::Read { setting: Setting::KubernetesAuthConfig, .. } => 1,
    "Read Policy": vault::Call::Read { setting: Setting::Policy(_), .. } => 1,
    "Read AuthRole": vault::Call::Read { setting: Setting::AuthRole(_), .. } => 1,
    "Read Mount": vault::Call::Read { setting: Setting::Mount(_), .. } => 1,
    "Read RootCertificate": vault::Call::Read { setting: Setting::RootCertificate, .. } => 1,
    "Read PkiRole": vault::Call::Read { setting: Setting::PkiRole(_), .. } => 1,
    "Read NatsKey": vault::Call::Read { setting: Setting::NatsKey(_), .. } => 1,
    "Read PasswordPolicy": vault::Call::Read { setting: Setting::PasswordPolicy, .. } => 1,
    "Write KubernetesAuth": vault::Call::Write { setting: Setting::KubernetesAuth, .. } => 1,
    "Write KubernetesAuthConfig": vault::Call::Write { setting: Setting::KubernetesAuthConfig, .. } => 1,
    "Write Policy": vault::Call::Write { setting: Setting::Policy(_), .. } => 1,
    "Write AuthRole": vault::Call::Write { setting: Setting::AuthRole(_), .. } => 1,
    "Write Mount": vault::Call::Write { setting: Setting::Mount(_), .. } => 1,
    "Write RootCertificate": vault::Call::Write { setting: Setting::RootCertificate, .. } => 1,
    "Write PkiRole": vault::Call::Write { setting: Setting::PkiRole(_), .. } => 1,
    "Write NatsKey": vault::Call::Write { setting: Setting::NatsKey(_), .. } => 1,
    "Write PasswordPolicy": vault::Call::Write { setting: Setting::PasswordPolicy, .. } => 1,
    "ReadJwt": vault::Call::ReadJwt { .. } => 1,
    "WriteJwt": vault::Call::WriteJwt { .. } => 1,
    "ReadAccount": vault::Call::ReadAccount { .. } => 1,
    "GeneratePassword": vault::Call::GeneratePassword { .. } => 1,
    "WriteAccount": vault::Call::WriteAccount { .. } => 1,
    "ReadGeneration": vault::Call::ReadGeneration { .. } => 1,
    "WriteGeneration": vault::Call::WriteGeneration { .. } => 1,
    "Issue": vault::Call::Issue { .. } => 1,
    "Sign": vault::Call::Sign { .. } => 1,
} beside {
    "other" => 1,
} }

rows! { KUBERNETES, kubernetes_row(kubernetes::Call) {
    "CreateSealKey": kubernetes::Call::CreateSealKey { .. } => 1,
    "ReadSealKey": kubernetes::Call::ReadSealKey => 1,
    "CreateCommitted": kubernetes::Call::CreateCommitted { .. } => 1,
    "ReadCommitted": kubernetes::Call::ReadCommitted => 1,
    "ReadTrust": kubernetes::Call::ReadTrust => 1,
    "CreateTrust": kubernetes::Call::CreateTrust { .. } => 1,
    "UpdateTrust": kubernetes::Call::UpdateTrust { .. } => 1,
    "DeletePod": kubernetes::Call::DeletePod { .. } => 1,
    "ReviewToken": kubernetes::Call::ReviewToken { .. } => 1,
} beside {
    "other" => 1,
} }
