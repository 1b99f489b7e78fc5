//! Numbers as mantissa, exponent and sign.

use super::types::HashableF64;

/// The exponent of infinity and NaN, in double precision.
const SPECIAL_64: i16 = 972;
/// The same in single precision.
const SPECIAL_32: i16 = 105;
/// The bit of a mantissa that isn't stored, in double precision. Infinity has that alone.
const HIDDEN_64: u64 = 1 << 52;
/// The same in single precision.
const HIDDEN_32: u64 = 1 << 23;

/// Returns a number of double precision.
pub(super) fn to_f64(&(mantissa, exponent, sign): &HashableF64) -> f64 {
    if exponent == SPECIAL_64 && mantissa != HIDDEN_64 {
        return f64::NAN;
    }
    // The smallest power of two alone would be 0, so it comes in two steps. No bit is lost.
    let (half, rest) = (exponent / 2, exponent - exponent / 2);
    f64::from(sign) * mantissa as f64 * f64::from(half).exp2() * f64::from(rest).exp2()
}

/// Returns a number of single precision.
pub(super) fn to_f32(number: &HashableF64) -> f32 {
    let &(mantissa, exponent, _) = number;
    if exponent == SPECIAL_32 && mantissa != HIDDEN_32 {
        return f32::NAN;
    }
    to_f64(number) as f32
}

/// Returns the parts of a number of double precision.
pub(super) fn of_f64(number: f64) -> HashableF64 {
    let bits = number.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i16;
    let stored = bits & (HIDDEN_64 - 1);
    let mantissa = if exponent == 0 {
        stored << 1
    } else {
        stored | HIDDEN_64
    };
    (mantissa, exponent - 1_075, sign(number.is_sign_negative()))
}

/// Returns the parts of a number of single precision.
pub(super) fn of_f32(number: f32) -> HashableF64 {
    let bits = u64::from(number.to_bits());
    let exponent = (bits >> 23 & 0xff) as i16;
    let stored = bits & (HIDDEN_32 - 1);
    let mantissa = if exponent == 0 {
        stored << 1
    } else {
        stored | HIDDEN_32
    };
    (mantissa, exponent - 150, sign(number.is_sign_negative()))
}

fn sign(is_negative: bool) -> i8 {
    if is_negative { -1 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_they_were() {
        for number in [
            0.0,
            -0.0,
            1.5,
            -1e300,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ] {
            assert_eq!(
                to_f64(&of_f64(number)).to_bits(),
                number.to_bits(),
                "{number}"
            );
        }
        for number in [0.0, -1.5, f32::MAX, 1e-45, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(
                to_f32(&of_f32(number)).to_bits(),
                number.to_bits(),
                "{number}"
            );
        }
        assert!(to_f64(&of_f64(f64::NAN)).is_nan());
        assert!(to_f32(&of_f32(f32::NAN)).is_nan());
        assert_eq!(of_f64(1.0), (1 << 52, -52, 1));
    }
}
