//! The memory of this machine.

use crate::limits::ByteSize;
use std::fs;

/// Memory that is assumed when the machine doesn't report it.
const UNKNOWN: ByteSize = ByteSize::gib(4);

/// Returns the memory that this process can use without evicting others: what the system reports as
/// available, or what its control group leaves if that is less.
pub(super) fn available_memory() -> ByteSize {
    let system = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| meminfo(&text));
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let known = [system, group].into_iter().flatten().min();
    known.map_or(UNKNOWN, ByteSize::bytes)
}

fn meminfo(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_parsed_from_meminfo() {
        let text =
            "MemTotal:       24586264 kB\nMemFree:         1000 kB\nMemAvailable:   22000000 kB\n";
        assert_eq!(meminfo(text), Some(22_000_000 * 1_024));
        assert_eq!(meminfo("MemTotal: 1 kB"), None);
        assert_eq!(meminfo("MemAvailable: lots"), None);
        assert!(available_memory() > ByteSize::mib(16));
    }
}
