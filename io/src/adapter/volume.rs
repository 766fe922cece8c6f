//! Mounted volumes: calls become operations on the disk, their ends outcomes.
//!
//! | end | call | outcome |
//! |---|---|---|
//! | done, read | any | `Ok`; what is read is checked here, and goes into a slot only if it is sound |
//! | absent | reads | `Ok`: missing |
//! | absent | `WriteBundle` | `Refused(Local)`: the volume itself is missing |
//! | refused: too large | `ReadToken`, `ReadSealKey` | `Ok`: malformed |
//! | refused otherwise | any | `Refused(Local)`: nothing has changed |
//! | failed | any | `Unknown(ServerError)`: what is on the disk is not known |

use std::io::ErrorKind;

use kubefox_core::documents::certificate::usage;
use kubefox_core::kubernetes::Trust;
use kubefox_core::machine::{Lost, Outcome, Refusal};
use kubefox_core::names::Pem;
use kubefox_core::secret::{Piece, Secret};
use kubefox_core::vault::PkiRole;
use kubefox_core::volume::{Call, File, MountedTrust, Reply, SealKeyFile, TokenFile, TrustFile, TrustFiles};
use zeroize::Zeroizing;

use super::certificate::{self, Flaw};
use super::envelope::{self, SEAL_KEY_BYTES};
use super::{Slots, Unencodable};
use crate::disk::{Folder, NewFile, Request, Response};
use crate::token::{TOKEN_BYTES_MAX, is_token};

/// The longest file with a service-account token, a line break at its end included.
const TOKEN_FILE_BYTES_MAX: u64 = TOKEN_BYTES_MAX as u64;
/// More than a seal key has, so that a longer file is read and called malformed.
const SEAL_KEY_BYTES_MAX: u64 = 64;
/// The longest of the two trust files, as [`Pem`] has it.
const PEM_BYTES_MAX: u64 = 64 * 1024;

/// The seal key's file: the member of its Secret.
const SEAL_KEY: &str = "key";
/// The files of the trust volume.
const TRUST: [&str; 2] = ["tls.crt", "ca.crt"];

const MODE_PUBLIC: u32 = 0o644;
/// Readable by the group that the pod's containers share.
const MODE_SECRET: u32 = 0o640;

/// The operation of a call.
///
/// # Errors
/// [`Unencodable`] if a secret is not there, or a file name is none.
pub fn encode(call: &Call, slots: &dyn Slots) -> Result<Request, Unencodable> {
    match call {
        Call::ReadToken { token, into: _ } => Ok(Request::Read {
            folder: Folder::Tokens,
            name: token.file_name(),
            limit_bytes: TOKEN_FILE_BYTES_MAX,
        }),
        Call::ReadSealKey { into: _ } => {
            Ok(Request::Read { folder: Folder::SealKey, name: SEAL_KEY, limit_bytes: SEAL_KEY_BYTES_MAX })
        }
        Call::ReadTrust => {
            Ok(Request::ReadPair { folder: Folder::Trust, names: TRUST, limit_bytes: PEM_BYTES_MAX })
        }
        Call::WriteBundle { files } => {
            let files = files.iter().map(|file| assemble(file, slots)).collect::<Result<_, _>>()?;
            Ok(Request::ReplaceAll { folder: Folder::Shared, files })
        }
    }
}

/// The outcome of a call whose operation ended. The table is in the module's documentation.
pub fn decode(call: &Call, response: Response, slots: &mut dyn Slots) -> Outcome<Reply> {
    match (call, response) {
        (_, Response::Failed(_)) => Outcome::Unknown(Lost::ServerError),
        (Call::ReadToken { token: _, into }, response) => token(response, *into, slots).map(Reply::Token),
        (Call::ReadSealKey { into }, response) => seal_key(response, *into, slots).map(Reply::SealKey),
        (Call::ReadTrust, response) => trust(response).map(Reply::Trust),
        (Call::WriteBundle { files: _ }, Response::Done) => Outcome::Ok(Reply::Written),
        (Call::WriteBundle { files: _ }, response) => unread(&response),
    }
}

fn token(response: Response, into: Secret, slots: &mut dyn Slots) -> Outcome<TokenFile> {
    let bytes = match response {
        Response::Bytes(bytes) => bytes,
        Response::Absent => return Outcome::Ok(TokenFile::Missing),
        Response::Refused(ErrorKind::FileTooLarge) => return Outcome::Ok(TokenFile::Malformed),
        Response::Refused(_)
        | Response::Failed(_)
        | Response::Claimed(_)
        | Response::Data(_)
        | Response::Pair(_)
        | Response::Done => return unread(&response),
    };
    let token = bytes.trim_ascii_end();
    if token.is_empty() {
        return Outcome::Ok(TokenFile::Empty);
    }
    if !is_token(token) {
        return Outcome::Ok(TokenFile::Malformed);
    }
    slots.fill(into, Zeroizing::new(token.to_vec()));
    Outcome::Ok(TokenFile::Read)
}

fn seal_key(response: Response, into: Secret, slots: &mut dyn Slots) -> Outcome<SealKeyFile> {
    let bytes = match response {
        Response::Bytes(bytes) => bytes,
        Response::Absent => return Outcome::Ok(SealKeyFile::Absent),
        Response::Refused(ErrorKind::FileTooLarge) => return Outcome::Ok(SealKeyFile::Malformed),
        Response::Refused(_)
        | Response::Failed(_)
        | Response::Claimed(_)
        | Response::Data(_)
        | Response::Pair(_)
        | Response::Done => return unread(&response),
    };
    if bytes.len() != SEAL_KEY_BYTES {
        return Outcome::Ok(SealKeyFile::Malformed);
    }
    let id = envelope::key_id(&bytes);
    slots.fill(into, bytes);
    Outcome::Ok(SealKeyFile::Present(id))
}

fn trust(response: Response) -> Outcome<TrustFiles> {
    let files = match response {
        Response::Pair([certificate, ca]) => mounted(certificate, ca),
        Response::Absent => TrustFiles::Missing(TrustFile::Certificate),
        Response::Refused(_)
        | Response::Failed(_)
        | Response::Claimed(_)
        | Response::Data(_)
        | Response::Bytes(_)
        | Response::Done => return unread(&response),
    };
    Outcome::Ok(files)
}

fn mounted(certificate: Option<Zeroizing<Vec<u8>>>, ca: Option<Zeroizing<Vec<u8>>>) -> TrustFiles {
    let Some(certificate) = certificate else {
        return TrustFiles::Missing(TrustFile::Certificate);
    };
    let Some(ca) = ca else {
        return TrustFiles::Missing(TrustFile::Authority);
    };
    let Some(certificate) = pem(&certificate) else {
        return TrustFiles::NotPem(TrustFile::Certificate);
    };
    let Some(ca) = pem(&ca) else {
        return TrustFiles::NotPem(TrustFile::Authority);
    };
    match certificate::verify_chain(&certificate, &ca, usage(PkiRole::Controller)) {
        Ok(chain) => TrustFiles::Read(MountedTrust {
            trust: Trust { certificate, ca },
            not_before: chain.not_before,
            not_after: chain.not_after,
        }),
        Err(Flaw::Leaf) => TrustFiles::NotPem(TrustFile::Certificate),
        Err(Flaw::Authority) => TrustFiles::NotPem(TrustFile::Authority),
        Err(Flaw::OtherAuthority | Flaw::OtherUse) => TrustFiles::OtherAuthority,
    }
}

fn pem(bytes: &[u8]) -> Option<Pem> {
    Pem::parse(core::str::from_utf8(bytes).ok()?).ok()
}

/// An end that says nothing of what was asked for.
fn unread<R>(response: &Response) -> Outcome<R> {
    match response {
        Response::Refused(_) | Response::Absent => Outcome::Refused(Refusal::Local),
        Response::Failed(_) => Outcome::Unknown(Lost::ServerError),
        Response::Claimed(_)
        | Response::Data(_)
        | Response::Bytes(_)
        | Response::Pair(_)
        | Response::Done => Outcome::Unknown(Lost::Garbled),
    }
}

fn assemble(file: &File, slots: &dyn Slots) -> Result<NewFile, Unencodable> {
    if !is_file_name(&file.name) {
        return Err(Unencodable::Unbuildable(
            "the name of a file is empty, starts with a dot or holds a slash",
        ));
    }
    let pieces = file.content.iter().map(|piece| bytes_of(piece, slots)).collect::<Result<Vec<_>, _>>()?;
    // Reserved in full, so that no secret is copied, unwiped, while the content grows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(pieces.iter().map(|piece| piece.len()).sum()));
    pieces.into_iter().for_each(|piece| bytes.extend_from_slice(piece));
    let is_secret = file.content.iter().any(|piece| matches!(piece, Piece::Secret(_)));
    let mode = if is_secret { MODE_SECRET } else { MODE_PUBLIC };
    Ok(NewFile { name: file.name.clone(), bytes, mode })
}

fn bytes_of<'a>(piece: &'a Piece, slots: &'a dyn Slots) -> Result<&'a [u8], Unencodable> {
    match piece {
        Piece::Text(text) => Ok(text.as_bytes()),
        Piece::Secret(name) => Ok(slots.expose(*name)?),
    }
}

/// A leading dot is the atomic writer's own.
fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::Empty;
    use crate::adapter::certificate::tests::Authority;
    use crate::keyring::Keyring;
    use kubefox_core::secret::Own;
    use kubefox_core::state::Claimed;
    use kubefox_core::time::Unix;
    use kubefox_core::volume::Token;
    use proptest::prelude::*;

    const INTO: Secret = Secret::Own(Own::VaultJwt);

    #[test]
    fn each_read_is_one_file_or_one_pair() {
        let slots = Keyring::default();
        for (token, file) in [
            (Token::Api, "token"),
            (Token::Vault, "vault"),
            (Token::Setup, "setup"),
            (Token::Caller, "kubefox"),
        ] {
            let Ok(Request::Read { folder: Folder::Tokens, name, limit_bytes: 8192 }) =
                encode(&Call::ReadToken { token, into: INTO }, &slots)
            else {
                panic!("a token is one file");
            };
            assert_eq!(name, file);
        }
        assert!(matches!(
            encode(&Call::ReadSealKey { into: INTO }, &slots),
            Ok(Request::Read { folder: Folder::SealKey, name: "key", limit_bytes: 64 })
        ));
        assert!(matches!(
            encode(&Call::ReadTrust, &slots),
            Ok(Request::ReadPair {
                folder: Folder::Trust,
                names: ["tls.crt", "ca.crt"],
                limit_bytes: 65_536
            })
        ));
    }

    #[test]
    fn a_token_is_read_without_its_line_break() {
        for text in ["aA0.b-B._c", "aA0.b-B._c\n", "aA0.b-B._c\r\n"] {
            let (outcome, slots) = read_token(bytes(text.as_bytes()));
            assert_eq!(outcome, Outcome::Ok(Reply::Token(TokenFile::Read)));
            assert_eq!(slots.expose(INTO), Ok(&b"aA0.b-B._c"[..]));
        }
    }

    #[test]
    fn a_token_file_without_a_token_fills_nothing() {
        let mut rows = vec![
            (Response::Absent, Outcome::Ok(Reply::Token(TokenFile::Missing))),
            (bytes(b""), Outcome::Ok(Reply::Token(TokenFile::Empty))),
            (bytes(b"\n"), Outcome::Ok(Reply::Token(TokenFile::Empty))),
            (Response::Refused(ErrorKind::FileTooLarge), Outcome::Ok(Reply::Token(TokenFile::Malformed))),
            (Response::Refused(ErrorKind::PermissionDenied), Outcome::Refused(Refusal::Local)),
            (Response::Failed(ErrorKind::Other), Outcome::Unknown(Lost::ServerError)),
            (Response::Done, Outcome::Unknown(Lost::Garbled)),
        ];
        for bad in ["a.b", "a.b.c.d", "a..c", "a.b.", "a.b.c d", "a.b.c=", "a.b\n.c", "\na.b.c", "canary"] {
            rows.push((bytes(bad.as_bytes()), Outcome::Ok(Reply::Token(TokenFile::Malformed))));
        }
        for (response, expected) in rows {
            let (outcome, slots) = read_token(response);
            assert_eq!(outcome, expected);
            assert_eq!(slots.expose(INTO), Err(Empty(INTO)));
        }
    }

    #[test]
    fn a_seal_key_has_32_bytes() {
        let key = vec![b'\n'; 32];
        let present = SealKeyFile::Present(envelope::key_id(&key));
        let rows = [
            (bytes(&key), SealKeyFile::Present(envelope::key_id(&key)), true),
            (bytes(&key[1..]), SealKeyFile::Malformed, false),
            (bytes(&[7; 33]), SealKeyFile::Malformed, false),
            (Response::Refused(ErrorKind::FileTooLarge), SealKeyFile::Malformed, false),
            (Response::Absent, SealKeyFile::Absent, false),
        ];
        for (response, expected, filled) in rows {
            let mut slots = Keyring::default();
            let outcome = decode(&Call::ReadSealKey { into: INTO }, response, &mut slots);
            assert_eq!(outcome, Outcome::Ok(Reply::SealKey(expected)));
            assert_eq!(slots.expose(INTO).is_ok(), filled);
        }
        assert_ne!(present, SealKeyFile::Present(envelope::key_id(&[7; 32])));
    }

    #[test]
    fn trust_is_a_server_s_certificate_and_the_one_that_signed_it() {
        let (ours, other) = (Authority::new("root", 2026, 2036), Authority::new("root", 2026, 2036));
        let (leaf, ca) = (ours.issue(2026, 2027), ours.pem());
        let read = TrustFiles::Read(MountedTrust {
            trust: Trust { certificate: leaf.clone(), ca: ca.clone() },
            not_before: Unix(1_767_225_600),
            not_after: Unix(1_798_761_600),
        });
        let (leaf, ca, other) = (leaf.as_str(), ca.as_str(), other.pem());
        let key = rcgen::KeyPair::generate().expect("ring makes P-256 keys");
        let client = ours.issue_as(&key, |params| {
            params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        });
        let rows = [
            (Some(leaf), Some(ca), read),
            (None, Some(ca), TrustFiles::Missing(TrustFile::Certificate)),
            (Some(leaf), None, TrustFiles::Missing(TrustFile::Authority)),
            (Some("x"), Some(ca), TrustFiles::NotPem(TrustFile::Certificate)),
            (Some(leaf), Some(""), TrustFiles::NotPem(TrustFile::Authority)),
            (Some(leaf), Some(&ca[..40]), TrustFiles::NotPem(TrustFile::Authority)),
            (Some(leaf), Some(other.as_str()), TrustFiles::OtherAuthority),
            (Some(client.as_str()), Some(ca), TrustFiles::OtherAuthority),
        ];
        for (certificate, ca, expected) in rows {
            let file = |text: Option<&str>| text.map(|text| Zeroizing::new(text.as_bytes().to_vec()));
            let response = Response::Pair([file(certificate), file(ca)]);
            let outcome = decode(&Call::ReadTrust, response, &mut Keyring::default());
            assert_eq!(outcome, Outcome::Ok(Reply::Trust(expected)));
        }
        let outcome = decode(&Call::ReadTrust, Response::Absent, &mut Keyring::default());
        assert_eq!(outcome, Outcome::Ok(Reply::Trust(TrustFiles::Missing(TrustFile::Certificate))));
    }

    #[test]
    fn a_bundle_is_assembled_and_only_its_secrets_are_private() {
        let mut slots = Keyring::default();
        slots.fill(INTO, Zeroizing::new(b"KEY".to_vec()));
        let files = vec![
            File { name: "nats.conf".to_owned(), content: Piece::text("listen") },
            File {
                name: "tls.key".to_owned(),
                content: vec![Piece::Text("<".to_owned()), Piece::Secret(INTO), Piece::Text(">".to_owned())],
            },
        ];
        let Ok(Request::ReplaceAll { folder: Folder::Shared, files }) =
            encode(&Call::WriteBundle { files }, &slots)
        else {
            panic!("a bundle replaces all files of the shared volume");
        };
        let shown: Vec<_> =
            files.iter().map(|file| (file.name.as_str(), file.bytes.as_slice(), file.mode)).collect();
        assert_eq!(shown, [("nats.conf", &b"listen"[..], 0o644), ("tls.key", &b"<KEY>"[..], 0o640)]);
    }

    #[test]
    fn a_bundle_with_an_empty_slot_or_an_unsafe_name_is_not_written() {
        let file =
            |name: &str, content| Call::WriteBundle { files: vec![File { name: name.to_owned(), content }] };
        let error = |call: &Call| encode(call, &Keyring::default()).err();
        assert_eq!(error(&file("a", vec![Piece::Secret(INTO)])), Some(Unencodable::Empty(Empty(INTO))));
        for name in ["", ".", "..", "../a", "a/b", "..data"] {
            assert!(matches!(error(&file(name, vec![])), Some(Unencodable::Unbuildable(_))), "{name:?}");
        }
        assert_eq!(error(&file("a", vec![])), None);
    }

    #[test]
    fn a_bundle_was_written_or_the_disk_says_why_not() {
        let rows = [
            (Response::Done, Outcome::Ok(Reply::Written)),
            (Response::Absent, Outcome::Refused(Refusal::Local)),
            (Response::Refused(ErrorKind::StorageFull), Outcome::Refused(Refusal::Local)),
            (Response::Failed(ErrorKind::Other), Outcome::Unknown(Lost::ServerError)),
            (Response::Claimed(Claimed::Others), Outcome::Unknown(Lost::Garbled)),
        ];
        for (response, expected) in rows {
            let outcome = decode(&Call::WriteBundle { files: vec![] }, response, &mut Keyring::default());
            assert_eq!(outcome, expected);
        }
    }

    proptest! {
        #[test]
        fn no_file_panics(content in any::<Vec<u8>>(), text in "-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n-]{0,64}") {
            let pair = || Response::Pair([Some(Zeroizing::new(text.clone().into_bytes())), Some(Zeroizing::new(content.clone()))]);
            for call in [Call::ReadTrust, Call::ReadToken { token: Token::Api, into: INTO }, Call::ReadSealKey { into: INTO }] {
                decode(&call, bytes(&content), &mut Keyring::default());
                decode(&call, pair(), &mut Keyring::default());
            }
        }
    }

    fn read_token(response: Response) -> (Outcome<Reply>, Keyring) {
        let mut slots = Keyring::default();
        let outcome = decode(&Call::ReadToken { token: Token::Vault, into: INTO }, response, &mut slots);
        (outcome, slots)
    }

    fn bytes(content: &[u8]) -> Response {
        Response::Bytes(Zeroizing::new(content.to_vec()))
    }
}
