//! The keys that tokens are signed with: a JWK set in a file, read again when the file changes.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::SystemTime,
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse},
};
use parking_lot::{Mutex, RwLock};
use terms::{Clock, Fault};

/// One key.
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The file.
pub(super) struct KeyFile {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    keys: RwLock<Arc<Vec<Key>>>,
    /// Of the content that was read last.
    stamp: Mutex<Option<(SystemTime, u64)>>,
    looked: AtomicI64,
    generation: AtomicU64,
}

/// How often the file is looked at; microseconds.
const LOOK: i64 = 1_000_000;

impl KeyFile {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, is no JWK set, or holds no key that can be used.
    pub(super) fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, Fault> {
        let stamp = stamp(path);
        let keys = read(path).map_err(|e| Fault::internal(format!("auth.jwks_file {}: {e}", path.display())))?;
        Ok(Self {
            path: path.to_owned(),
            looked: AtomicI64::new(clock.now().micros()),
            clock,
            keys: RwLock::new(Arc::new(keys)),
            stamp: Mutex::new(stamp),
            generation: AtomicU64::new(0),
        })
    }

    /// The keys, and a number that changes with them.
    pub(super) fn keys(&self) -> (Arc<Vec<Key>>, u64) {
        let keys = self.keys.read();
        (keys.clone(), self.generation.load(Ordering::Acquire))
    }

    /// The number that changes with the keys; looks at the file now and then.
    pub(super) fn generation(&self) -> u64 {
        let now = self.clock.now().micros();
        let looked = self.looked.load(Ordering::Relaxed);
        // A clock that was set back must not stop the looking.
        let due = now - looked >= LOOK || now < looked;
        if due && self.looked.compare_exchange(looked, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.look();
        }
        self.generation.load(Ordering::Acquire)
    }

    fn look(&self) {
        let now = stamp(&self.path);
        let mut known = self.stamp.lock();
        if now == *known {
            return;
        }
        *known = now;
        match read(&self.path) {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "the keys that tokens are signed with were read again");
                let mut current = self.keys.write();
                *current = Arc::new(keys);
                self.generation.fetch_add(1, Ordering::Release);
            }
            // A half-written file heals by the next change.
            Err(problem) => tracing::error!(problem, "the changed key file cannot be used; the keys before stay"),
        }
    }
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeyFile").field(&self.path).finish()
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(path: &Path) -> Result<Vec<Key>, String> {
    let text = std::fs::read(path).map_err(|e| format!("cannot be read: {e}"))?;
    let set: JwkSet = serde_json::from_slice(&text).map_err(|e| format!("is no JWK set: {e}"))?;
    let keys: Vec<Key> = set.keys.iter().filter_map(key).collect();
    if keys.is_empty() {
        return Err("holds no signature key for RS256, ES256 or EdDSA".to_owned());
    }
    Ok(keys)
}

/// A key for signatures of a kind that we take; the kind follows from the key, never from a token.
fn key(jwk: &Jwk) -> Option<Key> {
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(params) if params.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(params) if params.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    if jwk.common.key_algorithm.is_some_and(|named| named.to_string() != format!("{algorithm:?}")) {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(Key { id: jwk.common.key_id.clone(), algorithm, key })
}
