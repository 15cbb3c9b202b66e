//! Files of users, as far as a store. The first byte names the format, everything after it is the file.

use std::sync::Arc;

use regrant_adapters::inbound::users_file::{Format, UsersFile};
use regrant_adapters::outbound::memory::MemoryStore;
use regrant_adapters::outbound::passwords::KnownHashes;
use regrant_domain::usecases::import::{Import, Imported, Line, Mode, Row};

use crate::Made;
use crate::world::{ports_on, wait};

/// How many lines are read at once; few, so that short files have several batches.
const BATCH: usize = 3;

pub(crate) fn read(data: &[u8]) -> Made {
    let Some((format, file)) = data.split_first() else { return Made::Nothing };
    let format = match format {
        b'j' => Format::JsonLines,
        b'c' => Format::Csv,
        _ => return Made::Nothing,
    };
    let lines = lines(file, format);
    for line in &lines {
        if let Ok(row) = &line.row {
            is_the_same_as_csv(row);
        }
    }
    let (rows, store) = (lines.len(), Arc::new(MemoryStore::default()));
    let first = import(&store, lines);
    assert_eq!(usize::try_from(first.added).expect("few") + first.refused.len(), rows, "a row was lost");
    let again = import(&store, self::lines(file, format));
    assert_eq!(again.added, 0, "a repeated import adds nobody");
    Made::something_if(first.added > 0)
}

fn lines(file: &[u8], format: Format) -> Vec<Line> {
    let Ok(mut users) = UsersFile::open(file, format) else { return Vec::new() };
    let mut lines: Vec<Line> = Vec::new();
    loop {
        match users.read(BATCH) {
            Ok(batch) if batch.is_empty() => {
                assert_eq!(usize::try_from(users.bytes_read()), Ok(file.len()), "all of it was read");
                return lines;
            }
            Ok(batch) => lines.extend(batch),
            Err(_) => return lines,
        }
        assert!(lines.is_sorted_by(|a, b| a.number < b.number), "each line has its own number");
    }
}

/// Any row can be written as CSV, and is read as the same.
fn is_the_same_as_csv(row: &Row) {
    let values = [
        &row.email,
        &row.password_hash,
        row.id.as_deref().unwrap_or_default(),
        row.created_at.as_deref().unwrap_or_default(),
        row.updated_at.as_deref().unwrap_or_default(),
    ];
    // Line breaks are what CSV, as it is read here, cannot have in a value.
    if values.iter().any(|value| value.contains('\n')) {
        return;
    }
    let quoted: Vec<_> = values.iter().map(|value| format!("\"{}\"", value.replace('"', "\"\""))).collect();
    let file = format!("email,password_hash,id,created_at,updated_at\n{}\n", quoted.join(","));
    let [Line { row: Ok(read), .. }] = &lines(file.as_bytes(), Format::Csv)[..] else {
        panic!("it was refused: {file:?}")
    };
    let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    assert_eq!((&read.email, &read.password_hash), (&row.email, &row.password_hash));
    assert_eq!(
        (&read.id, &read.created_at, &read.updated_at),
        (&some(&row.id), &some(&row.created_at), &some(&row.updated_at))
    );
}

fn import(store: &Arc<MemoryStore>, lines: Vec<Line>) -> Imported {
    let import = Import::new(&ports_on(store), store.clone(), Arc::new(KnownHashes));
    wait(import.batch(lines, Mode::Keep)).expect("a store in memory")
}
