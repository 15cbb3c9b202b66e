//! The `regrant` command.

fn main() {}
