//! The memory of this machine.

use crate::limits::ByteSize;
use std::{fs, path::Path};

/// Memory that is assumed when the machine doesn't report it.
const UNKNOWN: ByteSize = ByteSize::gib(4);

/// Where control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";

/// Returns the memory that this process can use without evicting others: what the system reports as
/// available, or the rest of the limits of its control group and of those around it if that is
/// less.
pub(super) fn available_memory() -> ByteSize {
    let system = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| meminfo(&text));
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group_memory(Path::new(GROUPS), &own);
    let known = [system, group].into_iter().flatten().min();
    known.map_or(UNKNOWN, ByteSize::bytes)
}

/// Returns the unused memory of the groups that `own`, the text of `/proc/self/cgroup`, names.
/// `None` without a limit. In a container, its own group is often the mount itself.
fn group_memory(mount: &Path, own: &str) -> Option<u64> {
    let mut left = vec![];
    for line in own.lines().chain(["0::/", "0:memory:/"]) {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (mount, limits) = match controllers {
            "" => (mount.to_owned(), &["memory.max", "memory.high"][..]),
            controllers if controllers.split(',').any(|name| name == "memory") => {
                (mount.join("memory"), &["memory.limit_in_bytes"][..])
            }
            _ => continue,
        };
        let group = mount.join(path.trim_start_matches('/'));
        for group in group.ancestors().take_while(|at| at.starts_with(&mount)) {
            left.extend(limits.iter().filter_map(|limit| left_of(group, limit)));
        }
    }
    left.into_iter().min()
}

/// Returns the part of a group's limit that is not in use by programs. Caches count as unused.
fn left_of(group: &Path, limit: &str) -> Option<u64> {
    let limit: u64 = fs::read_to_string(group.join(limit))
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let used = ["anon ", "rss "].iter().find_map(|name| {
        let line = stat.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse::<u64>().ok()
    });
    Some(limit.saturating_sub(used.unwrap_or(0)))
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

    #[test]
    fn the_tightest_of_the_groups_around_a_process_counts() {
        let mount = tempfile::tempdir().expect("a directory");
        let write = |path: &str, text: &str| {
            let path = mount.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("written");
        };
        let left = |own: &str| group_memory(mount.path(), own);
        assert_eq!(left("0::/system.slice/it.scope\n"), None);
        write("system.slice/it.scope/memory.max", "max\n");
        assert_eq!(left("0::/system.slice/it.scope\n"), None);
        write("system.slice/memory.max", "3000\n");
        write("system.slice/it.scope/memory.high", "2000\n");
        write("system.slice/it.scope/memory.stat", "anon 500\nfile 900\n");
        assert_eq!(left("0::/system.slice/it.scope\n"), Some(1_500));
        assert_eq!(left("0::/system.slice\n"), Some(3_000));
        write("memory.max", "1000\n");
        assert_eq!(left("0::/elsewhere\n"), Some(1_000), "a container's own");
        write("memory/docker/x/memory.limit_in_bytes", "800\n");
        write("memory/docker/x/memory.stat", "cache 7\nrss 100\n");
        assert_eq!(left("5:cpu,memory:/docker/x\n"), Some(700));
    }
}
