//! Every parser of names and subjects in core: none panics, and whatever is accepted says itself again.

#![no_main]

use kubefox_core::documents::nkey::PublicKey;
use kubefox_core::documents::subject;
use kubefox_core::names::{
    Accessor, Identity, Installation, KeyId, LifeId, Namespace, Pem, PodName, ResourceVersion,
    ServiceAccount, SubjectTail, TrustDomain, Uid, ordinal,
};
use libfuzzer_sys::fuzz_target;

macro_rules! says_itself_again {
    ($text:expr, $($name:ident),+) => {
        $(if let Ok(name) = $name::parse($text) {
            assert_eq!(name.as_str(), $text);
        })+
    };
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    says_itself_again!(
        text,
        Accessor,
        Installation,
        KeyId,
        LifeId,
        Namespace,
        Pem,
        PodName,
        PublicKey,
        ResourceVersion,
        ServiceAccount,
        SubjectTail,
        TrustDomain,
        Uid
    );
    if let Ok(key) = PublicKey::parse(text) {
        assert_eq!(PublicKey::encode(key.prefix(), &key.raw()), key);
    }
    if let Ok(pod) = PodName::parse(text)
        && let Some(number) = ordinal(&pod)
    {
        assert!(text.ends_with(&format!("-{number}")));
    }
    if let Ok(identity) = Identity::parse_username(text) {
        assert_eq!(
            format!("system:serviceaccount:{}:{}", identity.namespace, identity.service_account),
            text
        );
    }
    if let Ok(message) = subject::parse(text) {
        assert_eq!(subject::message(&message.to, &message.from, &message.tail), text);
    }
});
