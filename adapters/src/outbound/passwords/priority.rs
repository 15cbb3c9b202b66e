//! Who goes first where sign-ins and everything else want the processors: everything else.
//!
//! Why so far and no further: docs/decisions/0015.

use std::io;

/// Steps of the nice value (19 is the last) between the threads that hash and the rest of the process.
#[cfg(target_os = "linux")]
pub(super) const BEHIND: i32 = 10;

/// Puts the calling thread behind the others of the process.
///
/// # Errors
/// The system refuses. The thread goes on as it was.
#[cfg(target_os = "linux")]
pub(super) fn give_way() -> io::Result<()> {
    // On Linux it is the thread's own, against POSIX (setpriority(2), C library/kernel differences).
    rustix::process::nice(BEHIND)?;
    Ok(())
}

/// Elsewhere the nice value is the whole process's, and stays as it is.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "on Linux it may be refused")]
pub(super) fn give_way() -> io::Result<()> {
    Ok(())
}
