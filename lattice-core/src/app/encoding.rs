//! The encodings of manifests, as editors and shells write them: UTF-8 and UTF-16, with and without
//! a byte order mark.

use std::io;

/// The byte order mark, which many editors of Windows write.
const MARK: char = '\u{feff}';

/// Returns the text of a file.
///
/// # Errors
/// Fails with [`io::ErrorKind::InvalidData`] if the bytes are not text in UTF-8 or UTF-16.
pub(super) fn decode(bytes: Vec<u8>) -> io::Result<String> {
    let unit: fn([u8; 2]) -> u16 = match bytes.as_slice() {
        // Without a mark, the zero shows it: a manifest begins with a character of ASCII.
        [0xff, 0xfe, ..] | [1..=0x7f, 0, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] | [0, 1..=0x7f, ..] => u16::from_be_bytes,
        _ => {
            let text = String::from_utf8(bytes);
            return text.map_err(|_| invalid("it isn't text in UTF-8; save it as UTF-8"));
        }
    };
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| unit(*pair));
    let text: Result<String, _> = char::decode_utf16(units).collect();
    text.ok()
        .filter(|text| rest.is_empty() && !text.contains('\0'))
        .ok_or_else(|| invalid("it begins like UTF-16 but isn't valid UTF-16; save it as UTF-8"))
}

/// Returns a text without its byte order mark.
pub(super) fn without_mark(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
