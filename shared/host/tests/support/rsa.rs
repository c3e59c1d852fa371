//! An RSA key for RS256: the certificate library of the tests makes none.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use jsonwebtoken::EncodingKey;
use rsa::{RsaPrivateKey, pkcs8::EncodePrivateKey as _, rand_core::OsRng, traits::PublicKeyParts as _};
use serde_json::{Value, json};

/// A new key, secret and public.
pub fn key() -> (EncodingKey, Value) {
    let key = RsaPrivateKey::new(&mut OsRng, 2_048).unwrap();
    let pem = key.to_pkcs8_pem(rsa::pkcs8::LineEnding::LF).unwrap();
    let (n, e) = (key.n().to_bytes_be(), key.e().to_bytes_be());
    let public = json!({"kty": "RSA", "n": BASE64.encode(n), "e": BASE64.encode(e)});
    (EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(), public)
}
