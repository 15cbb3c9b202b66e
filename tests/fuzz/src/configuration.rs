//! Configuration: a file, and after a line of dashes, variables of the environment.

use regrant::settings::{File, Sources, load};

use crate::Made;

const VARIABLES: &str = "\n---\n";

pub(crate) fn read(data: &[u8]) -> Made {
    let Ok(text) = str::from_utf8(data) else { return Made::Nothing };
    // A file that never ends is the operator's own.
    if text.contains("/dev") || text.contains("/proc") {
        return Made::Nothing;
    }
    let (text, variables) = text.split_once(VARIABLES).unwrap_or((text, ""));
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(name, value)| (name.into(), value.into())).collect();
    let file = |text: &str| Some(File::Text { name: "regrant.toml".into(), text: text.into() });
    let loaded = match load(&Sources { file: file(text), variables, ..Sources::default() }) {
        Ok(loaded) => loaded,
        Err(faults) => {
            assert!(!faults.0.is_empty(), "refused without a reason");
            for fault in &faults.0 {
                assert!(!fault.origin.is_empty() && !fault.wrong.is_empty(), "{fault:?}");
            }
            assert!(faults.to_string().lines().count() > faults.0.len());
            return Made::Nothing;
        }
    };
    // Printed, it is a configuration again, and the same one, unless something had to be hidden.
    let shown = loaded.show();
    if !shown.contains(":********@") && !shown.contains("?…") {
        let again = load(&Sources { file: file(&shown), ..Sources::default() });
        let again = again.unwrap_or_else(|faults| panic!("what was printed cannot be read: {faults}"));
        assert_eq!(format!("{:?}", again.settings), format!("{:?}", loaded.settings));
    }
    Made::Something
}
