use super::*;
use crate::adapter::Empty;
use crate::adapter::envelope::tests::Counter;
use crate::keyring::Keyring;
use data_encoding::HEXLOWER;
use kubefox_core::names::{KeyId, Uid};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

const SEAL_KEY: Secret = Secret::Own(Own::SealKey);

#[test]
fn each_state_is_written_so_that_a_person_can_read_it_and_read_back() {
    let intent = r#"{
  "state": "Intent",
  "version": 1,
  "installation": "kubefox",
  "life": "0123456789abcdef""#;
    let sent = r#"{
  "state": "Sent",
  "version": 1,
  "installation": "kubefox",
  "life": "0123456789abcdef",
  "attempt": 2,
  "recoveries": 1"#;
    let recover = sent.replace("Sent", "Recover") + ",\n  \"pod\": \"3f1c\"";
    let pod = || Uid::parse("3f1c").expect("a uid");
    let foreign = intent.replace("Intent", "Foreign");
    let golden = [
        (Call::WriteIntent { life: life() }, intent, State::Intent { life: life() }),
        (
            Call::WriteSent { life: life(), attempt: 2, recoveries: 1 },
            sent,
            State::Sent { life: life(), attempt: 2, recoveries: 1 },
        ),
        (
            Call::WriteRecover { life: life(), attempt: 2, recoveries: 1, pod: pod() },
            &recover,
            State::Recover { life: life(), attempt: 2, recoveries: 1, pod: pod() },
        ),
        (Call::WriteForeign { life: life() }, &foreign, State::Foreign { life: life() }),
    ];
    for (call, members, state) in golden {
        let bytes = written(&call, &keyring());
        assert_eq!(core::str::from_utf8(&bytes), Ok(with_digest(members).as_str()));
        assert_eq!(read_back(&bytes), state);
    }
}

/// The digest was computed by `sha256sum` of the lines before its own, without the comma and the end of the last.
#[test]
fn the_digest_is_that_of_the_bytes_before_it() {
    let bytes = written(&Call::WriteIntent { life: life() }, &keyring());
    let text = String::from_utf8(bytes).expect("JSON is UTF-8");
    let line = text.lines().find(|line| line.contains("sha256"));
    assert_eq!(
        line,
        Some(r#"  "sha256": "205da79b0cbd744d82d8a59403ad91365ee8d3fac06875877a68409db28fba1b""#)
    );
}

#[test]
fn an_envelope_is_written_read_and_opened() {
    for root in [true, false] {
        let bytes = envelope(root);
        assert_eq!(
            read_back(&bytes),
            State::Envelope { life: life(), generation: 2, key: KeyId::parse(&kid()).expect("a key id") }
        );
        let (outcome, slots) = opened(&bytes, [7; 32]);
        assert_eq!(outcome, Outcome::Ok(Reply::Opened(Opened::Keys { root })));
        assert_eq!(slots.expose(UNSEAL_KEY), Ok(&b"00c0ffee"[..]));
        assert_eq!(slots.expose(ROOT_TOKEN).ok(), root.then_some(&b"s.root"[..]));
        assert!(!String::from_utf8_lossy(&bytes).contains("c0ffee"));
    }
}

#[test]
fn the_reserve_has_room_for_the_largest_envelope() {
    let mut slots = keyring();
    for name in [UNSEAL_KEY, ROOT_TOKEN] {
        slots.fill(name, Zeroizing::new(vec![b'x'; envelope::SECRET_BYTES_MAX]));
    }
    let call = Call::WriteEnvelope { life: life(), generation: u64::MAX, key: SEAL_KEY, root: true };
    let bytes = written(&call, &slots);
    assert!(bytes.len() <= RESERVE_BYTES, "{} bytes", bytes.len());
    assert!(matches!(read_back(&bytes), State::Envelope { life: _, generation: u64::MAX, key: _ }));
}

#[test]
fn another_seal_key_opens_nothing() {
    let (outcome, slots) = opened(&envelope(true), [8; 32]);
    assert_eq!(outcome, Outcome::Ok(Reply::Opened(Opened::OtherKey)));
    assert!(slots.expose(UNSEAL_KEY).is_err());
}

#[test]
fn every_flipped_bit_and_every_truncation_of_every_kind_of_file_is_called_corrupt() {
    let pod = Uid::parse("3f1c").expect("a uid");
    let kinds = [
        written(&Call::WriteIntent { life: life() }, &keyring()),
        written(&Call::WriteSent { life: life(), attempt: 1, recoveries: 0 }, &keyring()),
        written(&Call::WriteRecover { life: life(), attempt: 1, recoveries: 2, pod }, &keyring()),
        written(&Call::WriteForeign { life: life() }, &keyring()),
        envelope(true),
        envelope(false),
    ];
    for whole in kinds {
        assert_ne!(read_back(&whole), State::Corrupt);
        let flipped = (0..whole.len() * 8).map(|bit| {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        });
        let truncated = (0..whole.len()).map(|length| whole[..length].to_vec());
        for bytes in flipped.chain(truncated) {
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(read_back(&bytes), State::Corrupt, "{text}");
            let (outcome, slots) = opened(&bytes, [7; 32]);
            assert_eq!(outcome, Outcome::Ok(Reply::Opened(Opened::NoEnvelope)), "{text}");
            assert!(slots.expose(UNSEAL_KEY).is_err() && slots.expose(ROOT_TOKEN).is_err());
        }
    }
}

/// Whoever can write the file can write its digest too: here the seal of the envelope alone decides.
#[test]
fn every_member_of_an_envelope_is_bound_whoever_writes_the_digest() {
    let text = String::from_utf8(envelope(true)).expect("JSON is UTF-8");
    let (members, _) = text.split_once(",\n  \"sha256\"").expect("it ends with its digest");
    let kid = kid();
    let other_kid = envelope::key_id(&[8; 32]).to_string();
    let value = |name: &str| {
        let line = members.lines().find(|line| line.contains(&format!("\"{name}\": "))).expect("a member");
        line.trim_end_matches(',').trim().to_owned()
    };
    let flip = |name: &str| {
        let line = value(name);
        let at = name.len() + 5;
        let other = if line.as_bytes()[at] == b'A' { "B" } else { "A" };
        members.replace(&line, &format!("{}{other}{}", &line[..at], &line[at + 1..]))
    };
    let (tampered, other_key, no_envelope) = (Opened::Tampered, Opened::OtherKey, Opened::NoEnvelope);
    for (changed, expected) in [
        (members.to_owned(), Opened::Keys { root: true }),
        (members.replace("\"version\": 1", "\"version\": 2"), no_envelope),
        (members.replace("\"kubefox\"", "\"other\""), no_envelope),
        (members.replace("0123456789abcdef", "0123456789abcdee"), tampered),
        (members.replace("\"generation\": 2", "\"generation\": 3"), tampered),
        (members.replace(&kid, &other_kid), other_key),
        (flip("salt"), tampered),
        (flip("nonce"), tampered),
        (flip("ciphertext"), tampered),
    ] {
        let (outcome, slots) = opened(with_digest(&changed).as_bytes(), [7; 32]);
        assert_eq!(outcome, Outcome::Ok(Reply::Opened(expected)), "{changed}");
        assert_eq!(slots.expose(UNSEAL_KEY).is_ok(), changed == members);
    }
}

#[test]
fn two_writes_of_the_same_envelope_share_neither_salt_nor_nonce() {
    let mut entropy = Counting { counter: Counter(0), asked: vec![] };
    let call = Call::WriteEnvelope { life: life(), generation: 2, key: SEAL_KEY, root: true };
    let mut write = || {
        let request = encode(&call, &context(), &keyring(), &mut entropy).expect("all secrets are there");
        let Request::Replace { bytes, .. } = request else { panic!("a state replaces boot.state") };
        let file: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        ["salt", "nonce", "ciphertext"].map(|name| file[name].as_str().map(str::to_owned))
    };
    let (first, second) = (write(), write());

    for (first, second) in first.into_iter().zip(second) {
        assert!(first.is_some() && first != second, "{first:?} {second:?}");
    }
    assert_eq!(entropy.asked, [32, 12, 32, 12], "all of it is fresh, every time");
}

#[test]
fn a_file_that_says_more_or_less_than_it_should_is_corrupt() {
    let text =
        String::from_utf8(written(&Call::WriteIntent { life: life() }, &keyring())).expect("JSON is UTF-8");
    let (members, _) = text.split_once(",\n  \"sha256\"").expect("it ends with its digest");
    let corrupt = [
        String::new(),
        "{}".to_owned(),
        with_digest("{"),
        format!("{members}\n}}\n"),
        text.trim_end().to_owned(),
        format!("{text}\n"),
        with_digest(&members.replace("\"version\": 1", "\"version\": 2")),
        with_digest(&members.replace("Intent", "Other")),
        with_digest(&members.replace("\"life\"", "\"extra\": 1,\n  \"life\"")),
        with_digest(&members.replace("0123456789abcdef", "0123456789ABCDEF")),
        with_digest(&members.replace("\"kubefox\"", "\"Kubefox\"")),
        with_digest(&members.replace("\n  ", "\n    ")),
    ];
    for text in corrupt {
        assert_eq!(read_back(text.as_bytes()), State::Corrupt, "{text}");
    }
    let other = with_digest(&members.replace("\"kubefox\"", "\"other\""));
    assert_eq!(read_back(other.as_bytes()), State::OtherInstallation);
}

#[test]
fn each_call_is_one_operation_on_the_state_directory() {
    let request =
        |call: &Call| encode(call, &context(), &keyring(), &mut Counter(0)).expect("all secrets are there");
    assert!(matches!(request(&Call::Claim), Request::Claim(Folder::State)));
    for call in [Call::Read, Call::Open { key: SEAL_KEY }] {
        assert!(matches!(
            request(&call),
            Request::Read { folder: Folder::State, name: "boot.state", limit_bytes: 8192 }
        ));
    }
    assert!(matches!(
        request(&Call::ReadHold),
        Request::Read { folder: Folder::State, name: "hold-seal", limit_bytes: 4096 }
    ));
    let Request::Replace { folder: Folder::State, name: "reserve", bytes } = request(&Call::Rehearse) else {
        panic!("a rehearsal replaces the reserve");
    };
    assert_eq!(bytes.len(), 4096);
    assert_eq!(&bytes[..3], [0, 1, 2]);
}

#[test]
fn the_end_of_an_operation_is_told_apart() {
    let (denied, large, io) = (ErrorKind::PermissionDenied, ErrorKind::FileTooLarge, ErrorKind::Other);
    let ours = Claimed::Ours { mount_point: true };
    let intent = || Call::WriteIntent { life: life() };
    let open = || Call::Open { key: SEAL_KEY };
    let rows = [
        (Call::Claim, Response::Claimed(ours), Outcome::Ok(Reply::Claimed(ours))),
        (Call::Claim, Response::Claimed(Claimed::Others), Outcome::Ok(Reply::Claimed(Claimed::Others))),
        (Call::Claim, Response::Absent, Outcome::Ok(Reply::Claimed(Claimed::Missing))),
        (Call::Claim, Response::Refused(denied), Outcome::Refused(Refusal::Local)),
        (Call::Read, Response::Absent, Outcome::Ok(Reply::State(State::Absent))),
        (Call::Read, Response::Refused(denied), Outcome::Refused(Refusal::Local)),
        (Call::Read, Response::Refused(large), Outcome::Ok(Reply::State(State::Corrupt))),
        (Call::Read, Response::Failed(io), Outcome::Unknown(Lost::ServerError)),
        (Call::Read, Response::Done, Outcome::Unknown(Lost::Garbled)),
        (open(), Response::Absent, Outcome::Ok(Reply::Opened(Opened::NoEnvelope))),
        (open(), Response::Refused(large), Outcome::Ok(Reply::Opened(Opened::NoEnvelope))),
        (Call::ReadHold, Response::Absent, Outcome::Ok(Reply::Hold(false))),
        (Call::ReadHold, Response::Bytes(Zeroizing::default()), Outcome::Ok(Reply::Hold(true))),
        (Call::ReadHold, Response::Refused(large), Outcome::Ok(Reply::Hold(true))),
        (Call::ReadHold, Response::Refused(denied), Outcome::Refused(Refusal::Local)),
        (Call::Rehearse, Response::Done, Outcome::Ok(Reply::Written)),
        (intent(), Response::Done, Outcome::Ok(Reply::Written)),
        (intent(), Response::Refused(ErrorKind::StorageFull), Outcome::Refused(Refusal::Local)),
        (intent(), Response::Failed(io), Outcome::Unknown(Lost::ServerError)),
    ];
    for (call, response, expected) in rows {
        assert_eq!(decode(&call, &context(), response, &mut keyring()), expected, "{call:?}");
    }
}

#[test]
fn an_envelope_needs_its_secrets_in_sound_lengths() {
    let call = Call::WriteEnvelope { life: life(), generation: 1, key: SEAL_KEY, root: true };
    let error = |slots: &Keyring| encode(&call, &context(), slots, &mut Counter(0)).err();
    let mut slots = keyring();
    slots.forget(ROOT_TOKEN);
    assert_eq!(error(&slots), Some(Unencodable::Empty(Empty(ROOT_TOKEN))));
    slots.fill(ROOT_TOKEN, Zeroizing::new(b"s.root".to_vec()));
    slots.fill(SEAL_KEY, Zeroizing::new(b"canary".to_vec()));
    assert_eq!(error(&slots), Some(Unencodable::Unsendable(SEAL_KEY, "it is not of 32 bytes")));
}

#[test]
fn a_seal_key_that_was_forgotten_meanwhile_is_a_refusal() {
    let mut slots = keyring();
    let bytes = envelope(false);
    slots.forget(SEAL_KEY);
    let outcome =
        decode(&Call::Open { key: SEAL_KEY }, &context(), Response::Bytes(Zeroizing::new(bytes)), &mut slots);
    assert_eq!(outcome, Outcome::Refused(Refusal::Local));
}

proptest! {
    #[test]
    fn no_file_panics(bytes in any::<Vec<u8>>(), text in "[\\[\\]{}\":,a-zA-Z0-9 \n]{0,128}") {
        for bytes in [bytes, text.into_bytes()] {
            prop_assert_eq!(read_back(&bytes), State::Corrupt);
            prop_assert_eq!(opened(&bytes, [7; 32]).0, Outcome::Ok(Reply::Opened(Opened::NoEnvelope)));
        }
    }
}

fn envelope(root: bool) -> Vec<u8> {
    written(&Call::WriteEnvelope { life: life(), generation: 2, key: SEAL_KEY, root }, &keyring())
}

/// The members, closed with their digest as whoever can write the file would close them.
fn with_digest(members: &str) -> String {
    let digest = HEXLOWER.encode(&Sha256::digest(members));
    format!("{members},\n  \"sha256\": \"{digest}\"\n}}\n")
}

/// Randomness that says how much of it was taken each time.
struct Counting {
    counter: Counter,
    asked: Vec<usize>,
}

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.asked.push(bytes.len());
        self.counter.fill(bytes);
    }
}

fn written(call: &Call, slots: &Keyring) -> Vec<u8> {
    let request = encode(call, &context(), slots, &mut Counter(0)).expect("all secrets are there");
    let Request::Replace { folder: Folder::State, name: "boot.state", bytes } = request else {
        panic!("a state replaces boot.state");
    };
    bytes.to_vec()
}

fn read_back(bytes: &[u8]) -> State {
    let response = Response::Bytes(Zeroizing::new(bytes.to_vec()));
    let outcome = decode(&Call::Read, &context(), response, &mut Keyring::default());
    let Outcome::Ok(Reply::State(state)) = outcome else { panic!("{outcome:?}") };
    state
}

fn opened(bytes: &[u8], seal_key: [u8; 32]) -> (Outcome<Reply>, Keyring) {
    let mut slots = Keyring::default();
    slots.fill(SEAL_KEY, Zeroizing::new(seal_key.to_vec()));
    let response = Response::Bytes(Zeroizing::new(bytes.to_vec()));
    let outcome = decode(&Call::Open { key: SEAL_KEY }, &context(), response, &mut slots);
    (outcome, slots)
}

fn keyring() -> Keyring {
    let mut slots = Keyring::default();
    slots.fill(SEAL_KEY, Zeroizing::new(vec![7; 32]));
    slots.fill(UNSEAL_KEY, Zeroizing::new(b"00c0ffee".to_vec()));
    slots.fill(ROOT_TOKEN, Zeroizing::new(b"s.root".to_vec()));
    slots
}

fn context() -> Context {
    Context { installation: Installation::parse("kubefox").expect("a name") }
}

fn life() -> LifeId {
    LifeId::parse("0123456789abcdef").expect("a life id")
}

fn kid() -> String {
    envelope::key_id(&[7; 32]).to_string()
}
