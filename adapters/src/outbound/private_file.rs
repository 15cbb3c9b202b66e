//! Files that only the service's own account may read: keys.
//!
//! Deliberately absent: replacing a file. A key that is overwritten is lost, and with it every session it signed.

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
