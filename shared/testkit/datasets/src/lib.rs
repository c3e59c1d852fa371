//! Where tests and benchmarks find published data sets. Their licences keep most of them out of this repository:
//! they lie beside it, in `../shared/data`, or where `RAPPORT_DATA` says.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

/// The file `name` of the data set `set`, or nothing where it is absent; then this says so on standard error, and the
/// test that wanted it says that it was skipped.
pub fn dataset(set: &str, name: &str) -> Option<PathBuf> {
    let path = root().join(set).join(name);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("skipped: the data set {set} ({name}) is not here; put it beside the repository or set RAPPORT_DATA");
    None
}

fn root() -> PathBuf {
    std::env::var_os("RAPPORT_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/data"), PathBuf::from)
}
