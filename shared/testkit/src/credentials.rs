//! Credentials that tests need: tokens with their keys, and certificates with their authority.

use std::path::{Path, PathBuf};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use terms::{Clock, SystemClock, Timestamp};

/// Issues bearer tokens, and publishes its keys in a file.
pub struct TokenIssuer {
    dir: TempDir,
    keys: Vec<TokenKey>,
    /// `iss` of its tokens.
    pub issuer: String,
    /// `aud` of its tokens.
    pub audience: String,
}

struct TokenKey {
    id: String,
    algorithm: Algorithm,
    secret: EncodingKey,
    public: Value,
}

impl Default for TokenIssuer {
    fn default() -> Self {
        Self::new()
    }
}

impl TokenIssuer {
    /// One that signs by ES256.
    pub fn new() -> Self {
        let mut issuer = Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
            keys: Vec::new(),
            issuer: "https://issuer.example".to_owned(),
            audience: "rapport".to_owned(),
        };
        issuer.add_es256("es");
        issuer
    }

    /// The file with the public keys, for `auth.jwks_file`.
    pub fn jwks_file(&self) -> PathBuf {
        self.dir.path().join("jwks.json")
    }

    /// A file next to the keys that holds `text`, such as a token for `peers.token_file`.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        write(self.dir.path(), name, text)
    }

    /// Adds a key for ES256.
    pub fn add_es256(&mut self, id: &str) {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        // An uncompressed point: a byte that says so, then both coordinates.
        let (x, y) = pair.public_key_raw()[1..].split_at(32);
        let public = json!({"kty": "EC", "crv": "P-256", "x": BASE64.encode(x), "y": BASE64.encode(y)});
        let secret = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).expect("a key");
        self.add(id, Algorithm::ES256, secret, public);
    }

    /// Adds a key for EdDSA.
    pub fn add_eddsa(&mut self, id: &str) {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let public = json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(pair.public_key_raw())});
        let secret = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).expect("a key");
        self.add(id, Algorithm::EdDSA, secret, public);
    }

    /// Adds a key of the caller's own.
    pub fn add(&mut self, id: &str, algorithm: Algorithm, secret: EncodingKey, public: Value) {
        let mut public = public;
        public["kid"] = json!(id);
        public["use"] = json!("sig");
        self.keys.push(TokenKey { id: id.to_owned(), algorithm, secret, public });
        self.publish();
    }

    /// Takes a key back: what it signed is no longer good.
    pub fn remove(&mut self, id: &str) {
        self.keys.retain(|key| key.id != id);
        self.publish();
    }

    fn publish(&self) {
        let keys: Vec<_> = self.keys.iter().map(|key| &key.public).collect();
        write(self.dir.path(), "jwks.json", &json!({ "keys": keys }).to_string());
    }

    /// The claims of a token that is good for an hour from now on; change them, then [`sign`](Self::sign).
    pub fn claims(&self, tenant: &str, subject: &str, scopes: &str) -> Value {
        self.claims_at(SystemClock.now(), tenant, subject, scopes)
    }

    /// The same, from `now` on.
    pub fn claims_at(&self, now: Timestamp, tenant: &str, subject: &str, scopes: &str) -> Value {
        let now = now.micros() / 1_000_000;
        json!({
            "iss": self.issuer, "aud": self.audience, "sub": subject, "tenant": tenant, "scope": scopes,
            "iat": now, "nbf": now, "exp": now + 3_600,
        })
    }

    /// A token with these claims, signed by the first key.
    pub fn sign(&self, claims: &Value) -> String {
        let id = self.keys.first().map(|key| key.id.clone()).expect("a key");
        self.sign_by(&id, claims)
    }

    /// The same, signed by the key `id`.
    pub fn sign_by(&self, id: &str, claims: &Value) -> String {
        let key = self.keys.iter().find(|key| key.id == id).expect("a known key");
        let mut header = Header::new(key.algorithm);
        header.kid = Some(key.id.clone());
        encode(&header, claims, &key.secret).expect("a token")
    }

    /// A good token.
    pub fn token(&self, tenant: &str, subject: &str, scopes: &str) -> String {
        self.sign(&self.claims(tenant, subject, scopes))
    }
}

/// Signs certificates.
pub struct CertificateAuthority {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub struct CertificateFiles {
    /// The certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Default for CertificateAuthority {
    fn default() -> Self {
        Self::new()
    }
}

impl CertificateAuthority {
    /// A new one.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let certificate = params.self_signed(&key).expect("a certificate");
        write(dir.path(), "ca.pem", &certificate.pem());
        Self { dir, issuer: Issuer::new(params, key) }
    }

    /// Its own certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A certificate for a server on `localhost` and 127.0.0.1.
    pub fn server(&self) -> CertificateFiles {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign("server", params)
    }

    /// A certificate for a client: `name` is its common name and a DNS name of it.
    pub fn client(&self, name: &str) -> CertificateFiles {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(name, params)
    }

    fn sign(&self, file: &str, params: CertificateParams) -> CertificateFiles {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        CertificateFiles {
            cert: write(self.dir.path(), &format!("{file}.pem"), &certificate.pem()),
            key: write(self.dir.path(), &format!("{file}.key"), &key.serialize_pem()),
        }
    }
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    // Replaced whole, so that nobody reads half of it.
    let draft = dir.join(format!("{name}.new"));
    std::fs::write(&draft, text).expect("write a file");
    std::fs::rename(&draft, &path).expect("rename a file");
    path
}
