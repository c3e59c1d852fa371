//! Keys and bearer tokens.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::{Value, json};
use terms::{Clock, SystemClock};

/// `iss` of every token.
pub const ISSUER: &str = "https://issuer.test";
/// `aud` of every token.
pub const AUDIENCE: &str = "rapport";

/// An issuer of tokens: its key pair, and the file that tells the servers of it.
#[derive(Clone)]
pub struct Issuer {
    key: EncodingKey,
    jwks: Value,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").finish_non_exhaustive()
    }
}

impl Issuer {
    /// A new P-256 key pair (ES256).
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new() -> Result<Self> {
        let pair = KeyPair::generate()?;
        // An uncompressed point: 4, x, y.
        let point = pair.public_key_raw();
        let (x, y) = point.get(1..65).context("an uncompressed P-256 point")?.split_at(32);
        let jwks = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "suite",
            "x": BASE64_URL_SAFE_NO_PAD.encode(x), "y": BASE64_URL_SAFE_NO_PAD.encode(y),
        }] });
        Ok(Self { key: EncodingKey::from_ec_der(&pair.serialize_der()), jwks })
    }

    /// Writes the key set (RFC 7517) that servers verify tokens with.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn publish(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_vec_pretty(&self.jwks)?).context("the key set")
    }

    /// A token for `tenant` with `scopes`, good for an hour.
    ///
    /// # Panics
    /// When it cannot be signed.
    pub fn token(&self, tenant: &str, scopes: &[&str]) -> String {
        self.sign(&Self::claims(tenant, scopes))
    }

    /// The claims of a good token, to be changed.
    pub fn claims(tenant: &str, scopes: &[&str]) -> Value {
        let now = SystemClock.now().micros() / 1_000_000;
        let hour = Duration::from_secs(3_600).as_secs();
        json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "suite", "tenant": tenant, "scope": scopes.join(" "),
            "iat": now, "exp": now + i64::try_from(hour).unwrap_or_default(),
        })
    }

    /// A token with these claims.
    ///
    /// # Panics
    /// When it cannot be signed.
    pub fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some("suite".to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.key).expect("a P-256 key signs")
    }
}
