//! The built-in configuration and the code that reads it know the same keys, and each key is explained.

use std::collections::BTreeSet;

use super::*;

fn built_in_keys() -> BTreeSet<String> {
    let mut faults = Vec::new();
    let merged = layers::merge(&Sources::default(), &mut faults);
    assert_eq!(faults, []);
    merged.into_keys().collect()
}

#[test]
fn every_key_of_the_built_in_configuration_is_read_and_every_key_that_is_read_is_in_it() {
    let merged = layers::merge(&Sources::default(), &mut Vec::new());
    let mut reader = reader::Reader::new(&merged, Vec::new());
    read::settings(&mut reader);
    let (asked, faults) = reader.finish();
    assert_eq!(faults, []);
    let asked: BTreeSet<String> = asked.into_iter().map(str::to_owned).collect();
    assert_eq!(asked, built_in_keys());
}

#[test]
fn every_key_of_the_built_in_configuration_has_a_comment_right_above_it() {
    let mut above = "";
    let mut seen = 0;
    for line in BUILT_IN.lines() {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(above.starts_with("# "), "no comment above: {line}");
            seen += 1;
        }
        above = line;
    }
    assert_eq!(seen, built_in_keys().len());
}
