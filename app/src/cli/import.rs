//! `regrant user import`: users of other software, with the hashes of their passwords.

use std::fs::File;
use std::io::{BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use regrant_adapters::inbound::users_file::{self, Broken, UsersFile};
use regrant_domain::usecases::import::{self, Mode, Refused};
use serde_json::json;

use super::progress::Progress;
use super::shown::plain;
use crate::failure::{Failure, Kind};
use crate::output;

pub(super) const HELP: &str = "\
A row has email and password_hash, and may have id, created_at and updated_at (RFC 3339).
As JSON lines:
  {\"email\":\"ada@example.org\",\"password_hash\":\"$2b$12$…\",\"created_at\":\"2019-05-01T12:00:00Z\"}
As CSV, with a header and a row a line:
  email,password_hash
  ada@example.org,\"$argon2id$v=19$m=65536,t=3,p=4$…\"

Hashes: Argon2, scrypt, and PBKDF2 with SHA-256 or SHA-512, as PHC strings; bcrypt ($2a$, $2b$, $2y$);
and all of these as passlib, Django and Werkzeug write them. Everybody signs in with the old password,
and has an Argon2id hash from then on.

A row is refused if its address or hash cannot be used, if one check of the hash would cost too much,
or if a user with its address or id is there: so an import can be repeated. Refused rows are told with
their line and reason; the others are imported all the same. --dry-run does not see an address that is
in the file twice, if that is more than 500 lines apart.

Exit codes: 0 everything was imported; 1 rows were refused, or it failed; 2 the command line or the
configuration is at fault.";

/// Refused rows that are printed where no file is named for them.
const PRINTED: u64 = 20;

#[derive(Debug, Args)]
pub(super) struct Import {
    /// File to read; - is standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// How it is written; without this, its ending tells: .jsonl, .ndjson or .json, or .csv
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Say what would be imported and refused, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// File to write refused rows to, as JSON lines with line, email, code and reason
    #[arg(long, value_name = "FILE")]
    refused: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// One JSON object a line
    Jsonl,
    /// A header, then a row a line
    Csv,
}

/// What came of the rows so far.
#[derive(Default)]
struct Count {
    added: u64,
    refused: u64,
}

pub(super) async fn run(import: &import::Import, what: &Import) -> Result<(), Failure> {
    let format = what.format()?;
    let (from, length) = open(&what.file)?;
    let mut report = Report::open(what.refused.as_deref())?;
    let mut progress = Progress::new(length);
    let mut count = Count::default();
    let done = rows(import, what, (from, format), (&mut report, &mut progress, &mut count)).await;
    progress.finish();
    let Count { added, refused } = count;
    let done = done.and_then(|()| report.close());
    let imported = if what.dry_run { "Would import" } else { "Imported" };
    output::line(format_args!("{imported} {added} users; {refused} rows were refused."));
    done?;
    if refused == 0 {
        return Ok(());
    }
    let failure = Failure::new(format!("{refused} rows were refused"));
    Err(match &what.refused {
        Some(file) => failure.advise(format!("see {}; the others are not affected", file.display())),
        None if refused > PRINTED => failure.advise("see them all with --refused FILE"),
        None => failure,
    })
}

async fn rows(
    import: &import::Import,
    what: &Import,
    (from, format): (Box<dyn Read>, users_file::Format),
    (report, progress, count): (&mut Report, &mut Progress, &mut Count),
) -> Result<(), Failure> {
    let broken = |error: Broken| {
        Failure::new(format!("{} is not a file of users", what.file.display()))
            .because(&error)
            .advise("mend it and run it again: users who are there already are refused, and not harmed")
    };
    let mode = if what.dry_run { Mode::Check } else { Mode::Keep };
    let mut file = UsersFile::open(BufReader::new(from), format).map_err(broken)?;
    loop {
        let lines = file.read(import::Import::BATCH).map_err(broken)?;
        if lines.is_empty() {
            return Ok(());
        }
        let imported = import.batch(lines, mode).await.map_err(|error| {
            Failure::of(&error).advise("run it again: users who are there already are refused, and not harmed")
        })?;
        count.added += imported.added;
        for refused in &imported.refused {
            count.refused += 1;
            report.tell(refused, count.refused, progress)?;
        }
        progress.at(file.bytes_read(), format!("{} imported, {} refused", count.added, count.refused));
    }
}

impl Import {
    fn format(&self) -> Result<users_file::Format, Failure> {
        let ending = self.file.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
        match (self.format, ending.as_str()) {
            (Some(Format::Jsonl), _) | (None, "jsonl" | "ndjson" | "json") => Ok(users_file::Format::JsonLines),
            (Some(Format::Csv), _) | (None, "csv") => Ok(users_file::Format::Csv),
            (None, _) => {
                let failure =
                    Failure::new(format!("whether {} is JSON lines or CSV is not known", self.file.display()));
                Err(Failure { kind: Kind::Configuration, ..failure.advise("say --format jsonl or --format csv") })
            }
        }
    }
}

/// What to read, and how long it is where that can be known.
fn open(path: &Path) -> Result<(Box<dyn Read>, Option<u64>), Failure> {
    if path == Path::new("-") {
        return Ok((Box::new(std::io::stdin()), None));
    }
    let open = || -> std::io::Result<(File, u64)> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok((file, length))
    };
    let (file, length) =
        open().map_err(|error| Failure::new(format!("{} cannot be read", path.display())).because(&error))?;
    Ok((Box::new(file), (length > 0).then_some(length)))
}

/// Where refused rows are told.
enum Report {
    File(PathBuf, std::io::BufWriter<File>),
    /// On standard error, the first few.
    Printed,
}

impl Report {
    fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::Printed) };
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        // It has people's addresses.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| unwritable(path, &error))?;
        Ok(Self::File(path.to_owned(), std::io::BufWriter::new(file)))
    }

    /// The row that is refused as number `count`.
    fn tell(&mut self, refused: &Refused, count: u64, progress: &Progress) -> Result<(), Failure> {
        let Refused { line, email, why } = refused;
        match self {
            Self::File(path, file) => {
                let json = json!({ "line": line, "email": email, "code": why.code(), "reason": why.to_string() });
                writeln!(file, "{json}").map_err(|error| unwritable(path, &error))?;
            }
            Self::Printed if count <= PRINTED => {
                let of = email.as_deref().map(|email| format!(" ({})", plain(email))).unwrap_or_default();
                progress.tell(&format!("line {line}{of}: {}", plain(&why.to_string())));
            }
            Self::Printed => {}
        }
        Ok(())
    }

    fn close(self) -> Result<(), Failure> {
        match self {
            Self::File(path, mut file) => file.flush().map_err(|error| unwritable(&path, &error)),
            Self::Printed => Ok(()),
        }
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{} cannot be written", path.display())).because(error)
}
