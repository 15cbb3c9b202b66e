//! Looks for secrets where none may be: in the files of the store, and in what was logged. (A core file of a killed
//! process would hold its memory, tokens included; that is not looked at.)

use std::fs;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Secrets, in each way in which one could be written.
#[derive(Default)]
pub(super) struct Secrets {
    needles: Vec<Vec<u8>>,
}

impl Secrets {
    /// The secret of a refresh token of the default format.
    pub(super) fn refresh_token(&mut self, token: &str) {
        let text = token.split('.').next().unwrap();
        let bytes = hex::decode(text).expect("the secret is hex");
        // Without the last characters, which what follows in a longer text would change.
        let [standard, url] = [STANDARD_NO_PAD.encode(&bytes[..30]), URL_SAFE_NO_PAD.encode(&bytes[..30])];
        self.needles.extend([text.to_owned(), text.to_uppercase(), standard, url].map(String::into_bytes));
        self.needles.push(bytes);
    }

    /// An access token: by its signature, since its head is everybody's.
    pub(super) fn access_token(&mut self, token: &str) {
        self.text(token.rsplit('.').next().unwrap());
    }

    /// Anything that is written as it is.
    pub(super) fn text(&mut self, text: &str) {
        self.needles.push(text.as_bytes().to_vec());
    }

    /// Every file below these that holds one.
    pub(super) fn found_in(&self, below: &[PathBuf]) -> Vec<PathBuf> {
        let secrets = AhoCorasick::new(&self.needles).expect("they are not too many");
        let holds = |path: &PathBuf| secrets.is_match(&fs::read(path).unwrap_or_default());
        let mut all = Vec::new();
        for path in below {
            files(path, &mut all);
        }
        all.into_iter().filter(holds).collect()
    }
}

fn files(path: &Path, into: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            files(&entry.path(), into);
        }
    } else {
        into.push(path.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut secrets = Secrets::default();
        let bytes: Vec<u8> = (100..132).collect();
        secrets.refresh_token(&format!("{}.label", hex::encode(&bytes)));
        secrets.text("a retry key");
        for (at, written) in
            [bytes.clone(), hex::encode(&bytes).into_bytes(), STANDARD_NO_PAD.encode(&bytes).into_bytes()]
                .into_iter()
                .chain([b"a retry key".to_vec()])
                .enumerate()
        {
            let path = folder.path().join(at.to_string());
            fs::write(&path, [b"something before ".to_vec(), written, b" and after".to_vec()].concat()).unwrap();
            assert_eq!(secrets.found_in(std::slice::from_ref(&path)), [path]);
        }
        let path = folder.path().join("nothing");
        fs::write(&path, hex::encode([9; 500])).unwrap();
        assert!(secrets.found_in(&[path]).is_empty());
    }
}
