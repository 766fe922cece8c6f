//! The canonical form of a world: two worlds that will do the same from now on, apart from names that mean nothing,
//! have the same bytes.
//!
//! One wrapping [`Serializer`] writes whatever it is given, with these differences:
//!
//! * **Names** are numbered in the order in which they appear: life ids, key ids, certificates, JWTs and resource
//!   versions say no more than which of them are equal. Names that nothing holds any more vanish by themselves.
//! * **Times** are *to come* or *past*. How far away a moment is decides only when it comes, and that it comes is a step
//!   of the world's own.
//! * **Call ids** are all alike: a boot has one call in flight.
//! * **What only a person reads**, or what only lengthens a pause, is left out: [`LEFT_OUT`].
//!
//! Enums are written by the index of their variant, so the bytes mean something within one build only.

use std::fmt::{self, Display};
use std::hash::{DefaultHasher, Hash, Hasher as _};

use kubefox_core::time::{Mono, Now, Unix};
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};
use serde::{Serialize, Serializer};

/// Fields that decide nothing: struct (or variant), field.
const LEFT_OUT: [(&str, &str); 12] = [
    // The same in every state of a search, but for the pod's uid, which is the world's.
    ("Controller", "config"),
    // Spreads pauses and renewals, and makes life ids, which are names.
    ("Controller", "seed"),
    // The length of the next pause.
    ("Controller", "attempt"),
    // What a person reads while the next survey is under way.
    ("Controller", "waited_for"),
    // The same of the quarantine.
    ("Quarantine", "seed"),
    ("Quarantine", "attempt"),
    ("Quarantine", "wait"),
    // Vault: what its values look like.
    ("Issuer", "serial"),
    ("Issuer", "pem"),
    ("Key", "secret"),
    ("Issuer", "key"),
    ("StoredPolicy", "version"),
];

/// A field of this name is a Kubernetes resourceVersion or a server's version: which of them are equal is all it says.
const VERSION: &str = "version";

/// Collects the canonical form of one world.
pub(crate) struct Canonical {
    now: Now,
    bytes: Vec<u8>,
    /// Digests of the names that appeared, in their order.
    names: Vec<u64>,
    /// Every text is a name.
    naming: bool,
    /// The next number is a moment of a clock that shows this.
    clock: Option<u64>,
}

/// 128 bits that stand for a canonical form. Among ten million states two are equal by chance with a probability of 10⁻²⁵.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(u128);

impl Key {
    /// Whether it is among one in so many.
    pub(crate) fn is_one_in(self, so_many: u64) -> bool {
        self.0.is_multiple_of(so_many.into())
    }
}

impl Canonical {
    pub(crate) fn at(now: Now) -> Self {
        Self { now, bytes: Vec::with_capacity(4_096), names: Vec::new(), naming: false, clock: None }
    }

    /// For a part in which no moment counts.
    pub(crate) fn timeless() -> Self {
        Self::at(Now { mono: Mono(0), unix: Unix(0) })
    }

    /// A part whose canonical form was made before.
    pub(crate) fn part(&mut self, key: Key) {
        self.bytes.extend(key.0.to_le_bytes());
    }

    /// A value of which every part counts, but for what this module leaves out.
    pub(crate) fn value(&mut self, value: &impl Serialize) {
        value.serialize(&mut *self).expect("the types of the model have only maps with keys that serialise");
    }

    /// A name: only which names are equal counts.
    pub(crate) fn name(&mut self, name: &[u8]) {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let digest = hasher.finish();
        let known = self.names.iter().position(|known| *known == digest);
        let index = known.unwrap_or_else(|| {
            self.names.push(digest);
            self.names.len() - 1
        });
        self.tag(b'n');
        self.number(index as u64);
    }

    pub(crate) fn flag(&mut self, flag: bool) {
        self.tag(if flag { b'+' } else { b'-' });
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.bytes.extend(number.to_le_bytes());
    }

    /// What stands for everything written so far.
    pub(crate) fn key(&self) -> Key {
        // The state of the hasher has 256 bits; what it says before and after one byte more is two halves of 128.
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.bytes);
        let half = u128::from(hasher.finish());
        hasher.write_u8(0);
        Key(half << 64 | u128::from(hasher.finish()))
    }

    fn tag(&mut self, tag: u8) {
        self.bytes.push(tag);
    }

    fn field(
        &mut self,
        of: &str,
        name: &'static str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), Never> {
        if LEFT_OUT.contains(&(of, name)) {
            return Ok(());
        }
        let naming = std::mem::replace(&mut self.naming, name == VERSION);
        let written = value.serialize(&mut *self);
        self.naming = naming;
        written
    }
}

/// Whether a text is a name by its shape: a life id, a key id, a UUID, a certificate or a JWT.
fn is_name(text: &str) -> bool {
    let is_hex = || text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    (matches!(text.len(), 16 | 32 | 36) && is_hex())
        || text.starts_with("-----BEGIN ")
        || text.starts_with("eyJ")
}

/// Writing bytes to memory does not fail.
#[derive(Debug)]
pub(crate) struct Never(String);

impl Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Never {}

impl serde::ser::Error for Never {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Which struct or variant the fields belong to.
pub(crate) struct Fields<'a>(&'a mut Canonical, &'static str);

impl<'a> Serializer for &'a mut Canonical {
    type Ok = ();
    type Error = Never;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

    fn serialize_bool(self, value: bool) -> Result<(), Never> {
        self.flag(value);
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Never> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Never> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Never> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Never> {
        self.bytes.extend(value.to_le_bytes());
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Never> {
        self.tag(value);
        Ok(())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Never> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Never> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Never> {
        match self.clock.take() {
            Some(shows) => self.flag(value > shows),
            None => self.number(value),
        }
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Never> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Never> {
        self.number(value.to_bits());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Never> {
        self.serialize_u32(value.into())
    }

    fn serialize_str(self, text: &str) -> Result<(), Never> {
        if self.naming || is_name(text) {
            self.name(text.as_bytes());
            return Ok(());
        }
        self.serialize_bytes(text.as_bytes())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Never> {
        self.number(bytes.len() as u64);
        self.bytes.extend(bytes);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Never> {
        self.tag(b'0');
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Never> {
        self.tag(b'1');
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Never> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Never> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), Never> {
        self.serialize_u32(index)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Never> {
        self.clock = match name {
            "CallId" => return Ok(()),
            "Mono" => Some(self.now.mono.0),
            "Unix" => Some(self.now.unix.0),
            _ => None,
        };
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Never> {
        self.number(index.into());
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self, Never> {
        self.number(length.map_or(u64::MAX, |length| length as u64));
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Never> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Never> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Never> {
        self.number(index.into());
        Ok(self)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self, Never> {
        self.serialize_seq(length)
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Fields<'a>, Never> {
        Ok(Fields(self, name))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Fields<'a>, Never> {
        self.number(index.into());
        Ok(Fields(self, variant))
    }
}

macro_rules! elements {
    ($($trait:ident::$element:ident),+) => {
        $(impl $trait for &mut Canonical {
            type Ok = ();
            type Error = Never;

            fn $element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Never> {
                Ok(())
            }
        })+
    };
}

elements! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
}

impl SerializeMap for &mut Canonical {
    type Ok = ();
    type Error = Never;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Never> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}

impl SerializeStruct for Fields<'_> {
    type Ok = ();
    type Error = Never;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Never> {
        self.0.field(self.1, name, value)
    }

    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}

impl SerializeStructVariant for Fields<'_> {
    type Ok = ();
    type Error = Never;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Never> {
        self.0.field(self.1, name, value)
    }

    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now { mono: Mono(1_000), unix: Unix(1_700_000_000) };

    #[test]
    fn names_count_by_which_of_them_are_equal() {
        let (one, other) = ("0123456789abcdef", "fedcba9876543210");

        assert_eq!(key(&[one, one, other]), key(&[other, other, one]));
        assert_ne!(key(&[one, one]), key(&[one, other]));
        assert_ne!(key(&["a text", "a text"]), key(&["another", "another"]));
    }

    #[test]
    fn moments_count_by_whether_they_have_come() {
        assert_eq!(key(&Mono(1_001)), key(&Mono(9_999)));
        assert_ne!(key(&Mono(1_000)), key(&Mono(1_001)));
        assert_eq!(key(&Unix(5)), key(&Unix(1_700_000_000)));
        assert_ne!(key(&1_001_u64), key(&9_999_u64));
    }

    fn key<T: Serialize + ?Sized>(value: &T) -> Key {
        let mut canonical = Canonical::at(NOW);
        canonical.value(&value);
        canonical.key()
    }
}
