//! Searches every world of the catalogue: `cargo run -p regrant-model --release -- --size large`.

#![expect(clippy::print_stdout, reason = "a report is what this program is for")]

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use regrant_model::catalogue::{self, Size};
use regrant_model::search::search;

/// Searches small worlds for a broken promise of the rotation rules.
#[derive(Parser)]
struct Options {
    /// How large the worlds are.
    #[arg(long, value_enum, default_value = "quick")]
    size: SizeName,
    /// Threads. With more than one, a counter-example may not be the shortest.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Only worlds whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum SizeName {
    Quick,
    Large,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let size = match options.size {
        SizeName::Quick => Size::Quick,
        SizeName::Large => Size::Large,
    };
    let mut broken = 0;
    for world in catalogue::worlds(size).iter().filter(|world| world.name.contains(&options.only)) {
        let report = search(world, options.threads);
        println!("{report}");
        if let Some(found) = &report.broken {
            println!("{found}");
            broken += 1;
        }
    }
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
