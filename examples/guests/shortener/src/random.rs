//! Names that can't be guessed.

use wasip2::random::random::get_random_bytes;

/// Crockford's alphabet: 5 bits in a character, and none that is taken for another one.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Returns a name of so many characters, with 5 random bits in each.
pub(crate) fn name(length: usize) -> String {
    let bytes = get_random_bytes(length as u64);
    let characters = bytes
        .into_iter()
        .map(|byte| ALPHABET[usize::from(byte % 32)]);
    characters.map(char::from).collect()
}
