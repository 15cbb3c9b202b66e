//! The process as the system sees it, from `/proc`; where there is none, these metrics are not there.

use std::fs;

use super::readings::{Kind, Reading};

/// Ticks a second in `/proc/self/stat`: a constant of Linux towards programs (`USER_HZ`), whatever the kernel's own clock.
const TICKS: f64 = 100.0;

/// With the names that every Prometheus client uses.
pub(super) fn readings() -> Vec<Reading> {
    let gauge = |name, help, value: fn() -> Option<f64>| Reading::new(Kind::Gauge, name, help).with(&[], value);
    vec![
        gauge("process_resident_memory_bytes", "Memory that is in use", || memory("VmRSS:")),
        gauge("process_virtual_memory_bytes", "Memory that is mapped", || memory("VmSize:")),
        gauge("process_open_fds", "Open file descriptors, connections included", open_files),
        gauge("process_max_fds", "Most file descriptors that may be open", most_files),
        gauge("process_threads", "Threads", threads),
        Reading::new(Kind::Counter, "process_cpu_seconds", "Processor time that was used").with(&[], processor_time),
    ]
}

fn memory(line: &str) -> Option<f64> {
    kibibytes(&fs::read_to_string("/proc/self/status").ok()?, line)
}

/// `VmRSS:     1234 kB`, in bytes.
fn kibibytes(status: &str, name: &str) -> Option<f64> {
    let kib: f64 = status.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024.0)
}

fn threads() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("Threads:"))?.trim().parse().ok()
}

fn open_files() -> Option<f64> {
    // One of them is the folder that is being read.
    let open = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(open).ok().map(f64::from)
}

fn most_files() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

fn processor_time() -> Option<f64> {
    ticks(&fs::read_to_string("/proc/self/stat").ok()?).map(|ticks| ticks / TICKS)
}

/// Fields 14 and 15 of proc(5): in user mode, and in the kernel. The second field may have any character but ends with the
/// last parenthesis.
fn ticks(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_writes_is_read() {
        assert_eq!(kibibytes("VmPeak:\t  9 kB\nVmRSS:\t   12 kB\n", "VmRSS:"), Some(12_288.0));
        assert_eq!(kibibytes("VmPeak:\t  9 kB\n", "VmRSS:"), None);
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 9 0 100 0 0";
        assert_eq!(ticks(stat), Some(200.0));
        assert_eq!(ticks("nonsense"), None);
    }
}
