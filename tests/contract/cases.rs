//! How many cases each request has. A call without a row does not compile; a row whose number is not the number of its
//! cases fails.

use kubefox_core::{kubernetes, nats, vault};
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
    "InitStatus": vault::Call::InitStatus => 3,
    "Health": vault::Call::Health => 4,
    "Initialize": vault::Call::Initialize => 3,
    "Unseal": vault::Call::Unseal { .. } => 8,
    "LookupSelf": vault::Call::LookupSelf { .. } => 15,
    "RevokeSelf": vault::Call::RevokeSelf { .. } => 9,
    "ListAccessors": vault::Call::ListAccessors { .. } => 9,
    "LookupAccessor": vault::Call::LookupAccessor { .. } => 10,
    "RevokeAccessor": vault::Call::RevokeAccessor { .. } => 9,
    "Login": vault::Call::Login { .. } => 33,
    "Read KubernetesAuth": vault::Call::Read { setting: Setting::KubernetesAuth, .. } => 4,
    "Read KubernetesAuthConfig": vault::Call::Read { setting: Setting::KubernetesAuthConfig, .. } => 4,
    "Read Policy": vault::Call::Read { setting: Setting::Policy(_), .. } => 18,
    "Read AuthRole": vault::Call::Read { setting: Setting::AuthRole(_), .. } => 18,
    "Read Mount": vault::Call::Read { setting: Setting::Mount(_), .. } => 14,
    "Read RootCertificate": vault::Call::Read { setting: Setting::RootCertificate, .. } => 4,
    "Read PkiRole": vault::Call::Read { setting: Setting::PkiRole(_), .. } => 16,
    "Read NatsKey": vault::Call::Read { setting: Setting::NatsKey(_), .. } => 42,
    "Read PasswordPolicy": vault::Call::Read { setting: Setting::PasswordPolicy, .. } => 4,
    "Write KubernetesAuth": vault::Call::Write { setting: Setting::KubernetesAuth, .. } => 7,
    "Write KubernetesAuthConfig": vault::Call::Write { setting: Setting::KubernetesAuthConfig, .. } => 10,
    "Write Policy": vault::Call::Write { setting: Setting::Policy(_), .. } => 25,
    "Write AuthRole": vault::Call::Write { setting: Setting::AuthRole(_), .. } => 26,
    "Write Mount": vault::Call::Write { setting: Setting::Mount(_), .. } => 17,
    "Write RootCertificate": vault::Call::Write { setting: Setting::RootCertificate, .. } => 6,
    "Write PkiRole": vault::Call::Write { setting: Setting::PkiRole(_), .. } => 21,
    "Write NatsKey": vault::Call::Write { setting: Setting::NatsKey(_), .. } => 18,
    "Write PasswordPolicy": vault::Call::Write { setting: Setting::PasswordPolicy, .. } => 7,
    "ReadJwt": vault::Call::ReadJwt { .. } => 19,
    "WriteJwt": vault::Call::WriteJwt { .. } => 16,
    "ReadAccount": vault::Call::ReadAccount { .. } => 13,
    "GeneratePassword": vault::Call::GeneratePassword { .. } => 8,
    "WriteAccount": vault::Call::WriteAccount { .. } => 13,
    "ReadGeneration": vault::Call::ReadGeneration { .. } => 11,
    "WriteGeneration": vault::Call::WriteGeneration { .. } => 14,
    "Issue": vault::Call::Issue { .. } => 46,
    "SignCertificate": vault::Call::SignCertificate { .. } => 45,
    "Sign": vault::Call::Sign { .. } => 35,
} beside {
    "other" => 288,
} }

rows! { KUBERNETES, kubernetes_row(kubernetes::Call) {
    "CreateSealKey": kubernetes::Call::CreateSealKey { .. } => 10,
    "ReadSealKey": kubernetes::Call::ReadSealKey => 11,
    "CreateCommitted": kubernetes::Call::CreateCommitted { .. } => 8,
    "ReadCommitted": kubernetes::Call::ReadCommitted => 9,
    "ReadTrust": kubernetes::Call::ReadTrust => 11,
    "CreateTrust": kubernetes::Call::CreateTrust { .. } => 7,
    "UpdateTrust": kubernetes::Call::UpdateTrust { .. } => 13,
    "DeletePod": kubernetes::Call::DeletePod { .. } => 11,
    "ReadSigners": kubernetes::Call::ReadSigners => 3,
    "ReviewToken": kubernetes::Call::ReviewToken { .. } => 24,
} beside {
    "other" => 36,
} }

rows! { NATS, nats_row(nats::Call) {
    "Connect": nats::Call::Connect { .. } => 5,
    "Publish": nats::Call::Publish { .. } => 4,
} beside {
    "lines" => 68,
} }
