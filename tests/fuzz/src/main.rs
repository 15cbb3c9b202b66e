//! One target, searched by libFuzzer: `REGRANT_FUZZ_TARGET` names it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use regrant_fuzz::{Made, Target, target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("REGRANT_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("REGRANT_FUZZ_TARGET={name:?}: there is no such target"))
});

fuzz_target!(|data: &[u8]| {
    let _: Made = (TARGET.read)(data);
});
