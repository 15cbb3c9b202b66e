//! Files as they come, and as they should not.

use super::lines::MAX_LINE;
use super::{Broken, Format, UsersFile};

type Read = (u64, Result<[Option<String>; 5], String>);

fn read(format: Format, bytes: &[u8]) -> Result<Vec<Read>, Broken> {
    let mut file = UsersFile::open(bytes, format)?;
    let mut all = Vec::new();
    loop {
        // Small, so that batches meet inside of every file.
        let batch = file.read(2)?;
        if batch.is_empty() {
            assert_eq!(file.bytes_read(), bytes.len() as u64);
            return Ok(all);
        }
        all.extend(batch.into_iter().map(|line| {
            let row =
                line.row.map(|row| [Some(row.email), Some(row.password_hash), row.id, row.created_at, row.updated_at]);
            (line.number, row)
        }));
    }
}

fn row(email: &str, hash: &str, rest: [Option<&str>; 3]) -> [Option<String>; 5] {
    let [id, created, updated] = rest.map(|text| text.map(str::to_owned));
    [Some(email.into()), Some(hash.into()), id, created, updated]
}

#[test]
fn json_lines_are_read_whatever_their_ends_and_blank_ones_are_left_out() {
    let text = "\u{feff}{\"email\":\"a@b\",\"password_hash\":\"h\"}\r\n\n  \n\
        {\"password_hash\":\"h\",\"email\":\"ä@b\",\"id\":\"i\",\"created_at\":\"c\",\"updated_at\":null}";
    let expected = vec![(1, Ok(row("a@b", "h", [None; 3]))), (4, Ok(row("ä@b", "h", [Some("i"), Some("c"), None])))];
    assert_eq!(read(Format::JsonLines, text.as_bytes()).expect("whole"), expected);
    assert_eq!(read(Format::JsonLines, b"").expect("whole"), []);
}

#[test]
fn csv_is_read_by_its_header_with_quotes_and_values_that_are_missing() {
    let text = "id, \"password_hash\",email\r\n\
        ,\"$argon2id$v=19$m=64,t=1,p=1$c$h\",a@b\n\
        i,h,\"\"\"quoted\"\" x@b\"\n";
    let expected = vec![
        (2, Ok(row("a@b", "$argon2id$v=19$m=64,t=1,p=1$c$h", [None; 3]))),
        (3, Ok(row("\"quoted\" x@b", "h", [Some("i"), None, None]))),
    ];
    // A blank before a quote is no part of RFC 4180.
    assert!(read(Format::Csv, text.as_bytes()).is_err());
    assert_eq!(read(Format::Csv, text.replacen(", ", ",", 1).as_bytes()).expect("whole"), expected);
}

#[test]
fn what_is_wrong_with_a_row_is_told_of_that_row_and_the_others_are_read() {
    let long = format!("{}\n", "x".repeat(MAX_LINE + 1));
    for (format, header, line, part) in [
        (Format::JsonLines, "", "{\"email\":\"a@b\"}", "missing field `password_hash` (column 15)"),
        (Format::JsonLines, "", "{\"email\":\"a@b\",\"password\":\"hunter2\"}", "unknown field `password`"),
        (Format::JsonLines, "", "{\"email\":1,\"password_hash\":\"h\"}", "expected a string"),
        (Format::JsonLines, "", "{\"email\":\"a\",\"email\":\"b\",\"password_hash\":\"h\"}", "duplicate field `email`"),
        (Format::JsonLines, "", "[]", "not a JSON object of a user"),
        (Format::JsonLines, "", "{}{}", "missing field `email`"),
        (Format::JsonLines, "", "a@b,h", "not a JSON object of a user"),
        (Format::JsonLines, "", &long, "longer than 16384 bytes"),
        (Format::Csv, "email,password_hash\n", "a@b", "it has 1 values where the header has 2"),
        (Format::Csv, "email,password_hash\n", "a@b,m=64,t=1", "a value with a comma must be in double quotes"),
        (Format::Csv, "email,password_hash\n", "a@b,\"h", "not closed on its line"),
        (Format::Csv, "email,password_hash\n", "a@b,\"h\"x", "expected a comma"),
        (Format::Csv, "email,password_hash\n", "a\"b,h", "must be in double quotes"),
        (Format::Csv, "email,password_hash\n", &long, "longer than 16384 bytes"),
    ] {
        let good = if format == Format::Csv { "a@b,h" } else { "{\"email\":\"a@b\",\"password_hash\":\"h\"}" };
        let text = format!("{header}{line}\n{good}\n");
        let read = read(format, text.as_bytes()).unwrap_or_else(|why| panic!("{line}: {why}"));
        let [(_, Err(why)), .., (_, last)] = read.as_slice() else { panic!("{line}: {read:?}") };
        assert!(why.contains(part) && !why.contains("hunter2"), "{line}: {why}");
        assert_eq!(*last, Ok(row("a@b", "h", [None; 3])));
    }
}

#[test]
fn a_file_that_is_none_is_told_at_once() {
    for (format, bytes, part) in [
        (Format::Csv, &b""[..], "its first line is no header: it is empty"),
        (Format::Csv, b"\n\n", "it is empty"),
        (Format::Csv, b"a@b,h\n", "column \"a@b\" is not known"),
        (Format::Csv, b"email\n", "column \"password_hash\" is missing"),
        (Format::Csv, b"email,password_hash,email\n", "column \"email\" is there twice"),
        (Format::Csv, b"email,\"password_hash\n", "not closed"),
        (Format::Csv, b"email,password_hash\na@b,\xff\n", "line 2 is not UTF-8"),
        (Format::JsonLines, b"{}\n\n\xff\xfe\n", "line 3 is not UTF-8"),
    ] {
        let why = read(format, bytes).expect_err(part).to_string();
        assert!(why.contains(part), "{why}");
    }
}
