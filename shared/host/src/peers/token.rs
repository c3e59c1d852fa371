//! The credential that this process shows to the others: a token in a file, read again when the file changes.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use http::HeaderValue;
use parking_lot::Mutex;
use terms::Fault;
use tokio::time::Instant;

/// The file.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    header: HeaderValue,
    modified: Option<SystemTime>,
    looked: Instant,
}

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

impl TokenFile {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or holds no token.
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        let modified = modified(path);
        let header = read(path).map_err(|e| Fault::internal(format!("`peers.token_file` {}: {e}", path.display())))?;
        Ok(Self { path: path.to_owned(), state: Mutex::new(State { header, modified, looked: Instant::now() }) })
    }

    /// The value of the header `authorization`.
    pub(super) fn header(&self) -> HeaderValue {
        let mut state = self.state.lock();
        if state.looked.elapsed() >= LOOK {
            state.looked = Instant::now();
            let modified = modified(&self.path);
            if modified != state.modified {
                match read(&self.path) {
                    Ok(header) => (state.header, state.modified) = (header, modified),
                    Err(problem) => tracing::error!(problem, "the changed token file cannot be used"),
                }
            }
        }
        state.header.clone()
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

fn read(path: &Path) -> Result<HeaderValue, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot be read: {e}"))?;
    let token = text.trim();
    if token.is_empty() {
        return Err("is empty".to_owned());
    }
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| "holds no token".to_owned())?;
    header.set_sensitive(true);
    Ok(header)
}
