//! Random values, and the oracle: wasmtime's dynamic values to and from bytes that `postcard`
//! itself encodes.

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmtime::component::Val;

use super::types::Ty;

/// A small generator (splitmix64) that prefers values at the edges of types.
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Returns all ones, a small number, zero, a single high bit, or any bits.
    fn bits(&mut self) -> u64 {
        match self.below(6) {
            0 => u64::MAX,
            1 => self.next() & 0x7f,
            2 => 0,
            3 => 1 << self.below(64),
            _ => self.next(),
        }
    }

    fn char(&mut self) -> char {
        let edges = [
            'a',
            '\0',
            '\u{7f}',
            '\u{80}',
            'é',
            'ÿ',
            'Ā',
            '漢',
            '\u{d7ff}',
            '\u{e000}',
            '🦀',
            '\u{10ffff}',
        ];
        edges[self.below(edges.len())]
    }

    fn text(&mut self) -> String {
        // Text that is only Latin-1 takes another path in guests that have it.
        let latin = self.below(3) == 0;
        let length = if self.below(20) == 0 {
            300
        } else {
            self.below(8)
        };
        (0..length)
            .map(|_| self.char())
            .filter(|char| !latin || *char <= 'ÿ')
            .collect()
    }

    fn float(&mut self) -> u64 {
        let edges = [
            0.5,
            -0.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            f64::NAN,
        ];
        match self.below(8) {
            0 => self.bits(),
            // Signalling NaNs and payloads are kept as they are.
            1 => 0x7ff0_0000_0000_0001 | self.next() & 0xf_ffff_ffff_ffff,
            _ => edges[self.below(edges.len())].to_bits(),
        }
    }

    pub(super) fn value(&mut self, ty: &Ty) -> Val {
        match ty {
            Ty::Bool => Val::Bool(self.below(2) == 1),
            Ty::S8 => Val::S8(self.bits() as i8),
            Ty::U8 => Val::U8(self.bits() as u8),
            Ty::S16 => Val::S16(self.bits() as i16),
            Ty::U16 => Val::U16(self.bits() as u16),
            Ty::S32 => Val::S32(self.bits() as i32),
            Ty::U32 => Val::U32(self.bits() as u32),
            Ty::S64 => Val::S64(self.bits().cast_signed()),
            Ty::U64 => Val::U64(self.bits()),
            Ty::F32 => Val::Float32(f32::from_bits((self.float() >> 29) as u32)),
            Ty::F64 => Val::Float64(f64::from_bits(self.float())),
            Ty::Char => Val::Char(self.char()),
            Ty::String => Val::String(self.text()),
            Ty::List(element) => {
                let length = if self.below(20) == 0 {
                    40
                } else {
                    self.below(4)
                };
                Val::List((0..length).map(|_| self.value(element)).collect())
            }
            Ty::FixedList(element, length) => {
                Val::FixedLengthList((0..*length).map(|_| self.value(element)).collect())
            }
            Ty::Map(key, value) => Val::Map(self.map(key, value)),
            Ty::Record(fields) => {
                let fields = fields.iter().enumerate();
                Val::Record(
                    fields
                        .map(|(index, ty)| (format!("f{index}"), self.value(ty)))
                        .collect(),
                )
            }
            Ty::Tuple(fields) => Val::Tuple(fields.iter().map(|ty| self.value(ty)).collect()),
            Ty::Variant(cases) => {
                let index = self.below(cases.len());
                let payload = cases[index].as_ref().map(|ty| Box::new(self.value(ty)));
                Val::Variant(format!("c{index}"), payload)
            }
            Ty::Enum(cases) => Val::Enum(format!("e{}", self.below(*cases as usize))),
            Ty::Option(some) => {
                Val::Option((self.below(2) == 1).then(|| Box::new(self.value(some))))
            }
            Ty::Result(ok, err) => {
                let mut payload =
                    |ty: &Option<Box<Ty>>| ty.as_ref().map(|ty| Box::new(self.value(ty)));
                let (ok, err) = (payload(ok), payload(err));
                Val::Result(if self.below(2) == 0 { Ok(ok) } else { Err(err) })
            }
            Ty::Flags(labels) => {
                let bits = self.bits();
                let set = (0..*labels).filter(|index| bits >> index & 1 == 1);
                Val::Flags(set.map(|index| format!("g{index}")).collect())
            }
        }
    }

    fn map(&mut self, key: &Ty, value: &Ty) -> Vec<(Val, Val)> {
        let mut entries: Vec<(Val, Val)> = vec![];
        for _ in 0..self.below(4) {
            let key = self.value(key);
            if entries.iter().all(|(other, _)| *other != key) {
                entries.push((key, self.value(value)));
            }
        }
        entries
    }
}

/// Encodes a value as wire bytes.
pub(super) fn encode(ty: &Ty, value: &Val, wire: &mut Vec<u8>) {
    match (ty, value) {
        (_, Val::Bool(value)) => put(wire, value),
        (_, Val::S8(value)) => put(wire, value),
        (_, Val::U8(value)) => put(wire, value),
        (_, Val::S16(value)) => put(wire, value),
        (_, Val::U16(value)) => put(wire, value),
        (_, Val::S32(value)) => put(wire, value),
        (_, Val::U32(value)) => put(wire, value),
        (_, Val::S64(value)) => put(wire, value),
        (_, Val::U64(value)) => put(wire, value),
        (_, Val::Float32(value)) => put(wire, value),
        (_, Val::Float64(value)) => put(wire, value),
        (_, Val::Char(value)) => put(wire, value),
        (_, Val::String(value)) => put(wire, value),
        (Ty::List(element), Val::List(values)) => {
            put(wire, &values.len());
            for value in values {
                encode(element, value, wire);
            }
        }
        (Ty::FixedList(element, _), Val::FixedLengthList(values)) => {
            for value in values {
                encode(element, value, wire);
            }
        }
        (Ty::Map(key_ty, value_ty), Val::Map(entries)) => {
            put(wire, &entries.len());
            for (key, value) in entries {
                encode(key_ty, key, wire);
                encode(value_ty, value, wire);
            }
        }
        (Ty::Record(fields), Val::Record(values)) => {
            fields
                .iter()
                .zip(values)
                .for_each(|(ty, (_, value))| encode(ty, value, wire));
        }
        (Ty::Tuple(fields), Val::Tuple(values)) => {
            fields
                .iter()
                .zip(values)
                .for_each(|(ty, value)| encode(ty, value, wire));
        }
        (Ty::Variant(cases), Val::Variant(name, payload)) => {
            let case = position(name);
            encode_case(
                case,
                cases[case as usize].as_ref(),
                payload.as_deref(),
                wire,
            );
        }
        (Ty::Enum(_), Val::Enum(name)) => put(wire, &position(name)),
        (Ty::Option(some), Val::Option(value)) => {
            encode_case(value.is_some().into(), Some(some), value.as_deref(), wire);
        }
        (Ty::Result(ok, _), Val::Result(Ok(value))) => {
            encode_case(0, ok.as_deref(), value.as_deref(), wire);
        }
        (Ty::Result(_, err), Val::Result(Err(value))) => {
            encode_case(1, err.as_deref(), value.as_deref(), wire);
        }
        (Ty::Flags(labels), Val::Flags(set)) => {
            let bits: u32 = set.iter().map(|name| 1 << position(name)).sum();
            match labels {
                0..=8 => put(wire, &(bits as u8)),
                9..=16 => put(wire, &(bits as u16)),
                _ => put(wire, &bits),
            }
        }
        other => panic!("value and type differ: {other:?}"),
    }
}

/// Decodes a value from the front of `wire`, and removes its bytes.
pub(super) fn decode(ty: &Ty, wire: &mut &[u8]) -> Val {
    match ty {
        Ty::Bool => Val::Bool(take(wire)),
        Ty::S8 => Val::S8(take(wire)),
        Ty::U8 => Val::U8(take(wire)),
        Ty::S16 => Val::S16(take(wire)),
        Ty::U16 => Val::U16(take(wire)),
        Ty::S32 => Val::S32(take(wire)),
        Ty::U32 => Val::U32(take(wire)),
        Ty::S64 => Val::S64(take(wire)),
        Ty::U64 => Val::U64(take(wire)),
        Ty::F32 => Val::Float32(take(wire)),
        Ty::F64 => Val::Float64(take(wire)),
        Ty::Char => Val::Char(take(wire)),
        Ty::String => Val::String(take(wire)),
        Ty::List(element) => {
            let length: usize = take(wire);
            Val::List((0..length).map(|_| decode(element, wire)).collect())
        }
        Ty::FixedList(element, length) => {
            Val::FixedLengthList((0..*length).map(|_| decode(element, wire)).collect())
        }
        Ty::Map(key, value) => {
            let length: usize = take(wire);
            Val::Map(
                (0..length)
                    .map(|_| (decode(key, wire), decode(value, wire)))
                    .collect(),
            )
        }
        Ty::Record(fields) => {
            let fields = fields.iter().enumerate();
            Val::Record(
                fields
                    .map(|(index, ty)| (format!("f{index}"), decode(ty, wire)))
                    .collect(),
            )
        }
        Ty::Tuple(fields) => Val::Tuple(fields.iter().map(|ty| decode(ty, wire)).collect()),
        Ty::Variant(cases) => {
            let case: u32 = take(wire);
            let payload = cases[case as usize]
                .as_ref()
                .map(|ty| Box::new(decode(ty, wire)));
            Val::Variant(format!("c{case}"), payload)
        }
        Ty::Enum(_) => Val::Enum(format!("e{}", take::<u32>(wire))),
        Ty::Option(some) => {
            Val::Option((take::<u8>(wire) == 1).then(|| Box::new(decode(some, wire))))
        }
        Ty::Result(ok, err) => {
            let is_ok = take::<u8>(wire) == 0;
            let mut payload =
                |ty: &Option<Box<Ty>>| ty.as_ref().map(|ty| Box::new(decode(ty, wire)));
            Val::Result(if is_ok {
                Ok(payload(ok))
            } else {
                Err(payload(err))
            })
        }
        Ty::Flags(labels) => {
            let bits = match labels {
                0..=8 => take::<u8>(wire).into(),
                9..=16 => take::<u16>(wire).into(),
                _ => take::<u32>(wire),
            };
            let set = (0..*labels).filter(|index| bits >> index & 1 == 1);
            Val::Flags(set.map(|index| format!("g{index}")).collect())
        }
    }
}

fn encode_case(case: u32, ty: Option<&Ty>, payload: Option<&Val>, wire: &mut Vec<u8>) {
    put(wire, &case);
    if let (Some(ty), Some(payload)) = (ty, payload) {
        encode(ty, payload, wire);
    }
}

/// Returns the number in a name like `c12`.
fn position(name: &str) -> u32 {
    name[1..].parse().expect("names are a letter and a number")
}

fn put<V: Serialize + ?Sized>(wire: &mut Vec<u8>, value: &V) {
    wire.extend(postcard::to_stdvec(value).expect("plain values encode"));
}

fn take<V: DeserializeOwned>(wire: &mut &[u8]) -> V {
    let (value, rest) = postcard::take_from_bytes(wire).expect("the wire bytes are valid");
    *wire = rest;
    value
}
