//! What processes have used of the machine.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// The processor time of this process, the kernel's part for it included.
pub(crate) fn own_cpu() -> Duration {
    let time = |time: TimeVal| Duration::from_micros((time.tv_sec() * 1_000_000 + time.tv_usec()).unsigned_abs());
    getrusage(UsageWho::RUSAGE_SELF).map_or(Duration::ZERO, |usage| time(usage.user_time()) + time(usage.system_time()))
}

/// The processor time of another process; `None` where there is no `/proc`.
pub(crate) fn cpu_of(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may have blanks; after it, user and system time are the 12th and 13th fields (proc(5)),
    // in hundredths of a second on every Linux.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((next()? + next()?) * 10))
}

/// The most memory, in KiB, that a process has had resident so far; `None` where there is no `/proc`.
pub(crate) fn peak_memory_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn work_is_seen_in_the_processor_time() {
        let (before, begun) = (own_cpu(), Instant::now());
        let mut sum = 0_u64;
        while begun.elapsed() < Duration::from_millis(300) {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(1));
        }
        let used = own_cpu().saturating_sub(before);
        assert!(used > Duration::from_millis(30), "{used:?}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn another_process_can_be_looked_at() {
        let pid = std::process::id();
        assert!(peak_memory_of(pid).is_some_and(|kib| kib > 1000), "{:?}", peak_memory_of(pid));
        assert!(cpu_of(pid).is_some());
        assert_eq!(peak_memory_of(u32::MAX), None);
    }
}
