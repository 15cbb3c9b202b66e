//! Files that only the service's own account may read: keys, and what is said about them.
//!
//! Keys are made with [`create_new`] and never replaced: a key that is overwritten is lost, and with it every session it
//! signed. [`replace`] is for what is said about them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Longest file that is read: keys are far shorter, and something else was named by mistake.
const MAX_LEN: u64 = 64 * 1024;

/// Writes a new file that only its owner may read and write (mode 0600 on Unix), on the disk when this returns.
///
/// All or nothing: it is written under another name first, so whoever sees it sees all of it, even after a crash or
/// when two processes start at once.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if there is such a file; it is left alone. Otherwise what the system says.
pub fn create_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    let (draft, mut file) = open_draft(path)?;
    let written = file.write_all(contents).and_then(|()| file.sync_all());
    drop(file);
    // A link, unlike a rename, never takes the place of a file.
    let named = written.and_then(|()| match std::fs::hard_link(&draft, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => create_in_place(path, contents),
        other => other,
    });
    let tidied = std::fs::remove_file(&draft);
    named?;
    tidied?;
    sync_directory(path)
}

/// Writes a file that only its owner may read and write, in the place of the one that may be there; on the disk when this
/// returns.
///
/// All or nothing: whoever reads the file meanwhile, even after a crash, sees all of the old one or all of the new one.
///
/// # Errors
/// What the system says; then the old file is still there.
pub fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let (draft, mut file) = open_draft(path)?;
    let written = file.write_all(contents).and_then(|()| file.sync_all());
    drop(file);
    written.and_then(|()| std::fs::rename(&draft, path)).inspect_err(|_| {
        // If that fails too, the first error is the one to tell.
        let _ = std::fs::remove_file(&draft);
    })?;
    sync_directory(path)
}

/// Waits until no other process holds this file, and holds it until it is dropped. Made if it is not there; it stays.
///
/// # Errors
/// What the system says.
pub fn hold(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    file.lock()?;
    Ok(file)
}

/// Removes a file for good; one that is not there is none the less removed.
///
/// # Errors
/// What the system says.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => sync_directory(path),
    }
}

/// The whole of a text file.
///
/// # Errors
/// What the system says; [`io::ErrorKind::InvalidData`] for more than 64 KiB or for bytes that are not UTF-8.
pub fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    // Room for all of it and one byte more, so that the buffer does not grow and leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(len.min(MAX_LEN)).unwrap_or(0) + 1));
    let got = file.take(MAX_LEN + 1).read_to_string(&mut text)?;
    if got as u64 > MAX_LEN {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is longer than 64 KiB"));
    }
    Ok(text)
}

/// Whether the file's mode lets its group or everyone read or write it. Always false where files have no mode.
///
/// # Errors
/// What the system says.
pub fn is_open_to_others(path: &Path) -> io::Result<bool> {
    let metadata = std::fs::metadata(path)?;
    #[cfg(unix)]
    let open = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o066 != 0;
    #[cfg(not(unix))]
    let open = {
        let _ = metadata;
        false
    };
    Ok(open)
}

/// When a file was last written, in milliseconds since 1970; `None` where that is not known.
pub fn written_at(path: &Path) -> Option<i64> {
    let modified = std::fs::metadata(path).ok()?.modified().ok()?;
    i64::try_from(modified.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis()).ok()
}

fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// A file of our own beside `path`. One that a crash left behind keeps its name.
fn open_draft(path: &Path) -> io::Result<(PathBuf, File)> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    };
    let mut attempt = 0_u32;
    loop {
        let mut draft = std::ffi::OsString::from(".");
        draft.push(name);
        draft.push(format!(".{}-{attempt}.new", std::process::id()));
        let draft = path.with_file_name(draft);
        match private_options().open(&draft) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 100 => attempt += 1,
            Err(error) => return Err(error),
            Ok(file) => return Ok((draft, file)),
        }
    }
}

/// For file systems without links.
fn create_in_place(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = private_options().open(path)?;
    file.write_all(contents).and_then(|()| file.sync_all()).inspect_err(|_| {
        // Half a key is worse than none. If that fails too, the first error is the one to tell.
        let _ = std::fs::remove_file(path);
    })
}

/// The file's name is safe only once its directory is (POSIX `fsync`, rationale).
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).expect("a directory");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_new_file_is_private_and_whole_and_nothing_else_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("token.key");
        create_new(&path, b"contents\n").expect("written");
        assert_eq!(*read(&path).expect("read"), "contents\n");
        assert_eq!(names(dir.path()), ["token.key"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        }
        assert!(!is_open_to_others(&path).expect("there"));
        assert!(written_at(&path).expect("it was written") > 1_700_000_000_000);
        assert_eq!(written_at(&dir.path().join("none")), None);
    }

    #[test]
    fn a_file_that_is_there_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("token.key");
        create_new(&path, b"first").expect("written");
        let again = create_new(&path, b"second").expect_err("it is there");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(*read(&path).expect("read"), "first");
        assert_eq!(names(dir.path()), ["token.key"]);
    }

    #[test]
    fn of_many_at_once_one_writes_and_all_see_the_whole_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("token.key");
        let wrote = std::thread::scope(|scope| {
            let path = &path;
            let tries = (0..8_u8).map(|i| {
                scope.spawn(move || {
                    let contents = vec![b'a' + i; 1000];
                    let created = create_new(path, &contents);
                    assert_eq!(read(path).expect("it is there by now").len(), 1000);
                    created.is_ok()
                })
            });
            let tries: Vec<_> = tries.collect();
            tries.into_iter().map(|one| one.join().expect("no panic")).filter(|wrote| *wrote).count()
        });
        assert_eq!(wrote, 1);
    }

    #[test]
    fn a_file_that_is_replaced_is_one_or_the_other_whoever_reads_it_meanwhile() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("keys.json");
        replace(&path, &[b'0'; 10_000]).expect("written");
        std::thread::scope(|scope| {
            let path = &path;
            scope.spawn(move || (1..=9_u8).for_each(|i| replace(path, &[b'0' + i; 10_000]).expect("written")));
            loop {
                let text = read(path).expect("always there");
                assert_eq!(text.len(), 10_000);
                assert!(text.bytes().all(|byte| byte == text.as_bytes()[0]));
                if text.starts_with('9') {
                    break;
                }
            }
        });
        assert_eq!(names(dir.path()), ["keys.json"]);
        assert!(!is_open_to_others(&path).expect("there"));
    }

    #[test]
    fn a_file_that_cannot_be_replaced_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("keys.json");
        std::fs::create_dir(&path).expect("made");
        assert!(replace(&path, b"x").is_err());
        assert_eq!(names(dir.path()), ["keys.json"], "and no draft stays");
    }

    #[test]
    fn of_many_that_hold_a_file_one_holds_it_at_a_time() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let dir = tempfile::tempdir().expect("a directory");
        let (path, inside) = (dir.path().join("keys.lock"), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let held = hold(&path).expect("held");
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    std::thread::sleep(std::time::Duration::from_millis(2));
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(held);
                });
            }
        });
        assert!(!is_open_to_others(&path).expect("there"));
    }

    #[test]
    fn a_file_that_is_removed_is_gone_and_may_have_been_gone_before() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("token.key");
        create_new(&path, b"x").expect("written");
        for _ in 0..2 {
            remove(&path).expect("removed");
            assert!(names(dir.path()).is_empty());
        }
    }

    #[test]
    fn no_directory_no_name_or_too_much_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(create_new(&dir.path().join("none").join("key"), b"x").is_err());
        assert!(create_new(Path::new("/"), b"x").is_err());
        assert_eq!(read(&dir.path().join("none")).expect_err("not there").kind(), io::ErrorKind::NotFound);
        let large = dir.path().join("large");
        std::fs::write(&large, vec![b'x'; 64 * 1024 + 1]).expect("written");
        assert_eq!(read(&large).expect_err("too long").kind(), io::ErrorKind::InvalidData);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_noticed() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("token.key");
        create_new(&path, b"x").expect("written");
        for (mode, open) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true), (0o620, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
            assert_eq!(is_open_to_others(&path).expect("there"), open, "{mode:o}");
        }
    }
}
