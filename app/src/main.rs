//! The `regrant` command.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A request allocates on one thread what is freed on another, at which the system's allocator is slow: see
/// docs/decisions/0016-request-path.md.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    regrant::cli::main(std::env::args_os(), std::env::vars_os())
}
