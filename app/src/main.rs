//! The `regrant` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    regrant::cli::main(std::env::args_os(), std::env::vars_os())
}
