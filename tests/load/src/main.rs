//! See [`regrant_load::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    regrant_load::cli::main(std::env::args_os())
}
