//! Subjects of NATS: who a message is for and who sent it, in keys and never in names.
//!
//! A message travels on `kf.<to>.in.<from>.<tail>`. The platform's account lets a user publish only where `<from>`
//! is that user's own key ([`crate::documents::jwt::platform_account`]), so the server itself proves the sender. A
//! reply travels on `kf.<to>.in._inbox.<random>`, which names no sender: whoever knows the random part was asked.
//!
//! The one who asks chooses the subject of the reply, and could name one on which the answer looks like a message
//! to somebody else. Whoever answers therefore checks it first ([`is_reply_to`]).

use alloc::format;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::documents::nkey::{Prefix, PublicKey};
use crate::names::{Invalid, SubjectTail};

/// What a user may publish to, by the scope of its signing key; `{{subject()}}` is the user's own key.
pub const MAY_PUBLISH: [&str; 2] = ["kf.*.in.{{subject()}}.>", "kf.*.in._inbox.>"];

/// What a user may subscribe to, by the scope of its signing key.
pub const MAY_SUBSCRIBE: [&str; 1] = ["kf.{{subject()}}.>"];

/// A subject that carries a message, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// The user it is for.
    pub to: PublicKey,
    /// The user who sent it; the server refuses everybody else.
    pub from: PublicKey,
    /// The subject as the sender named it.
    pub tail: SubjectTail,
}

/// The subject of a message.
#[must_use]
pub fn message(to: &PublicKey, from: &PublicKey, tail: &SubjectTail) -> String {
    format!("kf.{to}.in.{from}.{tail}")
}

/// What a user subscribes to: all its messages. Replies match it as well; [`parse`] refuses them, and the client
/// library hands them to whoever asked.
#[must_use]
pub fn inbox(own: &PublicKey) -> String {
    format!("kf.{own}.in.>")
}

/// The prefix of the subjects on which a user gets replies; the client library appends a random part.
#[must_use]
pub fn inbox_prefix(own: &PublicKey) -> String {
    format!("kf.{own}.in._inbox")
}

/// Takes the subject of a message apart.
///
/// # Errors
/// [`Invalid`] if it is the subject of a reply or of anything else.
pub fn parse(subject: &str) -> Result<Message, Invalid> {
    const NOT: Invalid = Invalid { what: "the subject of a message", rule: "kf.<to>.in.<from>.<tail>" };
    let rest = subject.strip_prefix("kf.").ok_or(NOT)?;
    let (to, rest) = rest.split_once(".in.").ok_or(NOT)?;
    let (from, tail) = rest.split_once('.').ok_or(NOT)?;
    Ok(Message {
        to: PublicKey::parse_as(Prefix::User, to)?,
        from: PublicKey::parse_as(Prefix::User, from)?,
        tail: SubjectTail::parse(tail)?,
    })
}

/// Whether `subject` is one on which `asker` gets replies. An answer to any other would make the one who answers
/// speak for the one who asks.
#[must_use]
pub fn is_reply_to(asker: &PublicKey, subject: &str) -> bool {
    let random = subject.strip_prefix(&inbox_prefix(asker)).and_then(|rest| rest.strip_prefix('.'));
    random.is_some_and(|random| SubjectTail::parse(random).is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_message_names_both_ends(to in any::<[u8; 32]>(), from in any::<[u8; 32]>(), tail in "[a-z_-]{1,9}(\\.in|\\.[A-Z0-9]{1,9}){0,4}") {
            let message_subject = Message {
                to: PublicKey::encode(Prefix::User, &to),
                from: PublicKey::encode(Prefix::User, &from),
                tail: SubjectTail::parse(&tail).expect("it keeps the grammar"),
            };

            let subject = message(&message_subject.to, &message_subject.from, &message_subject.tail);

            prop_assert_eq!(parse(&subject), Ok(message_subject));
        }
    }

    #[test]
    fn the_subjects_are_these() {
        let (a, b) = (key(1), key(2));
        let tail = SubjectTail::parse("orders.created").expect("a tail");

        assert_eq!(message(&b, &a, &tail), format!("kf.{b}.in.{a}.orders.created"));
        assert_eq!(inbox(&a), format!("kf.{a}.in.>"));
        assert_eq!(inbox_prefix(&a), format!("kf.{a}.in._inbox"));
    }

    #[test]
    fn what_proves_no_sender_is_no_message() {
        let (a, b) = (key(1), key(2));
        let account = PublicKey::encode(Prefix::Account, &[1; 32]);
        for bad in [
            String::new(),
            format!("kf.{b}"),
            format!("kf.{b}.in.{a}"),
            format!("kf.{b}.in.{a}."),
            format!("kf.{b}.in.{a}.>"),
            format!("kf.{b}.in._inbox.x"),
            format!("kf.{b}.out.{a}.x"),
            format!("kf.{b}.in.{account}.x"),
            format!("kf.{account}.in.{a}.x"),
            format!("kf.{b}.in.in.{a}.x"),
            format!("other.{b}.in.{a}.x"),
            format!(" kf.{b}.in.{a}.x"),
        ] {
            assert!(parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_answer_goes_to_the_one_who_asked() {
        let (asker, other) = (key(1), key(2));

        assert!(is_reply_to(&asker, &format!("kf.{asker}.in._inbox.x7.1")));

        assert!(!is_reply_to(&asker, &format!("kf.{other}.in._inbox.x7.1")));
        assert!(!is_reply_to(&asker, &format!("kf.{other}.in.{asker}.x")));
        assert!(!is_reply_to(&asker, &format!("kf.{asker}.in._inbox")));
        assert!(!is_reply_to(&asker, &format!("kf.{asker}.in._inboxes.x")));
        assert!(!is_reply_to(&asker, &format!("kf.{asker}.in._inbox.*")));
    }

    fn key(seed: u8) -> PublicKey {
        PublicKey::encode(Prefix::User, &[seed; 32])
    }
}
