//! Types that generated code needs in addition to those of the standard library.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error, SeqAccess, Visitor},
    ser::SerializeTuple,
};
use std::{
    fmt,
    marker::PhantomData,
    ops::{Deref, DerefMut},
};

/// A `list<t, n>` with more than 32 elements, the most that serde supports in arrays. Derefs to the
/// array.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fixed<T, const N: usize>(pub [T; N]);

impl<T, const N: usize> From<[T; N]> for Fixed<T, N> {
    fn from(elements: [T; N]) -> Self {
        Self(elements)
    }
}

impl<T, const N: usize> Deref for Fixed<T, N> {
    type Target = [T; N];
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T, const N: usize> DerefMut for Fixed<T, N> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<T: Serialize, const N: usize> Serialize for Fixed<T, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(N)?;
        for element in &self.0 {
            tuple.serialize_element(element)?;
        }
        tuple.end()
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Fixed<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(N, Elements(PhantomData))
    }
}

struct Elements<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Elements<T, N> {
    type Value = Fixed<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element()? {
            elements.push(element);
        }
        let array = <[T; N]>::try_from(elements)
            .map_err(|found| A::Error::invalid_length(found.len(), &self))?;
        Ok(Fixed(array))
    }
}

/// A client's argument of type `list<u8>`.
#[derive(Debug)]
pub struct Blob<'b>(pub &'b [u8]);

impl Serialize for Blob<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// The representation of a set of flags, in memory and on the wire.
pub trait Bits: Copy + Eq + Serialize + DeserializeOwned {
    /// No bit.
    const NONE: Self;
    /// Returns the bits that are set in either.
    fn or(self, other: Self) -> Self;
    /// Returns the bits that are set in both.
    fn and(self, other: Self) -> Self;
    /// Returns the bits of `self` that aren't set in `other`.
    fn without(self, other: Self) -> Self;
}

macro_rules! word {
    ($($word:ty)+) => {
        $(impl Bits for $word {
            const NONE: Self = 0;
            fn or(self, other: Self) -> Self {
                self | other
            }
            fn and(self, other: Self) -> Self {
                self & other
            }
            fn without(self, other: Self) -> Self {
                self & !other
            }
        })+
    };
}
word!(u8 u16 u32);

impl<const N: usize> Bits for [u32; N]
where
    [u32; N]: Serialize + DeserializeOwned,
{
    const NONE: Self = [0; N];
    fn or(self, other: Self) -> Self {
        std::array::from_fn(|word| self[word] | other[word])
    }
    fn and(self, other: Self) -> Self {
        std::array::from_fn(|word| self[word] & other[word])
    }
    fn without(self, other: Self) -> Self {
        std::array::from_fn(|word| self[word] & !other[word])
    }
}

/// Deserializes flags.
///
/// # Errors
/// Fails when the deserializer does, and when a bit is set that no label has.
pub fn known_bits<'de, B: Bits, D: Deserializer<'de>>(
    all: B,
    deserializer: D,
) -> Result<B, D::Error> {
    let bits: B = Deserialize::deserialize(deserializer)?;
    if bits.without(all) == B::NONE {
        Ok(bits)
    } else {
        Err(D::Error::custom("a flag without a label is set"))
    }
}

/// Defines a set of flags.
#[doc(hidden)]
#[macro_export]
macro_rules! __flags {
    ($(#[$meta:meta])* $name:ident: $storage:ty = $all:expr, {
        $($(#[$label_meta:meta])* $constant:ident = $label:literal, $bits:expr;)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name($storage);

        impl $name {
            $($(#[$label_meta])* pub const $constant: Self = Self($bits);)*

            /// Returns the set without any label.
            pub const fn empty() -> Self {
                Self(<$storage as $crate::__private::Bits>::NONE)
            }

            /// Returns the set of all labels.
            pub const fn all() -> Self {
                Self($all)
            }

            /// Returns the bits. The first label is the lowest bit.
            pub const fn bits(self) -> $storage {
                self.0
            }

            /// Returns whether no label is set.
            pub fn is_empty(self) -> bool {
                self == Self::empty()
            }

            /// Returns whether all labels of `other` are set.
            pub fn contains(self, other: Self) -> bool {
                $crate::__private::Bits::and(self.0, other.0) == other.0
            }

            /// Sets the labels of `other`.
            pub fn insert(&mut self, other: Self) {
                self.0 = $crate::__private::Bits::or(self.0, other.0);
            }

            /// Clears the labels of `other`.
            pub fn remove(&mut self, other: Self) {
                self.0 = $crate::__private::Bits::without(self.0, other.0);
            }
        }

        impl ::core::default::Default for $name {
            fn default() -> Self {
                Self::empty()
            }
        }

        impl ::core::ops::BitOr for $name {
            type Output = Self;
            fn bitor(mut self, other: Self) -> Self {
                self.insert(other);
                self
            }
        }

        impl ::core::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                let labels = [$((Self::$constant, $label)),*];
                let set = labels.into_iter().filter(|(flag, _)| self.contains(*flag)).map(|(_, label)| label);
                f.write_str(::core::stringify!($name))?;
                f.debug_set().entries(set).finish()
            }
        }

        impl $crate::__private::serde::Serialize for $name {
            fn serialize<S: $crate::__private::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                $crate::__private::serde::Serialize::serialize(&self.0, serializer)
            }
        }

        impl<'de> $crate::__private::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::__private::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                $crate::__private::known_bits($all, deserializer).map(Self)
            }
        }
    };
}
