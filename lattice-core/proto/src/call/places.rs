//! Where the values of a function can have handles.

use lattice_wit::signature::Function;

/// Whether the type of a function has places for handles, which are resources, streams and futures,
/// in its parameters and in its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandlePlaces {
    /// Whether its arguments can have handles.
    pub arguments: bool,
    /// Whether its result can have handles.
    pub result: bool,
}

impl HandlePlaces {
    /// Reads the canonical text of the type. Nothing is known of a text that isn't a canonical
    /// signature, so its values can have handles.
    pub fn of(signature: &str) -> Self {
        let Ok(function) = signature.parse::<Function>() else {
            return Self {
                arguments: true,
                result: true,
            };
        };
        Self {
            arguments: function.takes_handles(),
            result: function.returns_handles(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_type() {
        for (signature, arguments, result) in [
            ("func()", false, false),
            ("func(stream: u8, own: string) -> u8", false, false),
            ("func(it: option<stream<u8>>)", true, false),
            ("func(it: u8) -> result<_, own<a:b/c/r>>", false, true),
            ("func(it: borrow<a:b/c/r>) -> future", true, true),
            ("anything", true, true),
            ("", true, true),
        ] {
            let expected = HandlePlaces { arguments, result };
            assert_eq!(HandlePlaces::of(signature), expected, "{signature}");
        }
    }
}
