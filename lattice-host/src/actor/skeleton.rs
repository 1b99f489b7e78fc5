//! A component without the code of its functions. It has the same types and compiles at once.

/// The first bytes of a component, with the magic number.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const HEADER: usize = 8;

/// Ids of sections.
const CUSTOM: u8 = 0;
const CODE: u8 = 10;
const CORE_MODULE: u8 = 1;
const NESTED_COMPONENT: u8 = 4;

/// The body of a function without locals that does nothing but trap, with its length.
const TRAP: &[u8] = &[3, 0, 0x00, 0x0b];

/// How deep components may be nested. Tools nest them a few levels deep.
const MAX_DEPTH: usize = 100;

/// Returns the component with functions that only trap. `None` for bytes that aren't a valid
/// binary, or in which components are nested more than [`MAX_DEPTH`] deep.
pub(super) fn of(binary: &[u8]) -> Option<Vec<u8>> {
    nested(binary, MAX_DEPTH)
}

fn nested(binary: &[u8], depth: usize) -> Option<Vec<u8>> {
    let (header, mut rest) = binary.split_at_checked(HEADER)?;
    let is_component = header == COMPONENT;
    let mut out = header.to_vec();
    while let Some((&id, after)) = rest.split_first() {
        let (length, after) = number(after)?;
        let (section, after) = after.split_at_checked(length as usize)?;
        rest = after;
        let made = match (is_component, id) {
            (_, CUSTOM) => continue,
            (true, CORE_MODULE | NESTED_COMPONENT) => Some(nested(section, depth.checked_sub(1)?)?),
            (false, CODE) => {
                let (functions, _) = number(section)?;
                // Each function has at least two bytes, so the count is bounded by the section.
                if functions as usize > section.len() {
                    return None;
                }
                let mut code = Vec::new();
                push(&mut code, functions);
                code.extend(TRAP.repeat(functions as usize));
                Some(code)
            }
            _ => None,
        };
        let section = made.as_deref().unwrap_or(section);
        out.push(id);
        push(&mut out, u32::try_from(section.len()).ok()?);
        out.extend_from_slice(section);
    }
    Some(out)
}

/// Reads a number in LEB128. Returns it with the bytes after it.
fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()?, bytes.get(index + 1..)?));
        }
    }
    None
}

/// Writes a number in LEB128.
fn push(out: &mut Vec<u8>, mut value: u32) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component in which components are nested this deep.
    fn deep(depth: usize) -> Vec<u8> {
        let mut component = COMPONENT.to_vec();
        for _ in 0..depth {
            let mut outer = COMPONENT.to_vec();
            outer.push(NESTED_COMPONENT);
            push(&mut outer, u32::try_from(component.len()).expect("small"));
            outer.extend_from_slice(&component);
            component = outer;
        }
        component
    }

    #[test]
    fn components_may_be_nested_a_hundred_deep_and_no_deeper() {
        assert_eq!(of(&deep(MAX_DEPTH)), Some(deep(MAX_DEPTH)));
        assert_eq!(of(&deep(MAX_DEPTH + 1)), None);
        assert_eq!(of(&deep(5_000)), None);
    }
}
