//! Certificates: ours, and those of clients; read again when their files change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::{Mutex, RwLock};
use terms::Fault;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
    },
};

use tokio_util::sync::CancellationToken;

use crate::config::{AuthMode, Config, Tls};

/// What accepts TLS connections, by the files as they are.
pub(super) struct Certificates {
    settings: Tls,
    mode: AuthMode,
    /// Whether HTTP/1.1 is spoken too.
    web: bool,
    current: RwLock<TlsAcceptor>,
    /// Of the files that were read last.
    stamp: Mutex<Stamp>,
}

/// Of each file when it was changed, and its length.
type Stamp = Vec<Option<(SystemTime, u64)>>;

impl Certificates {
    /// Reads the files; `None` when none are configured.
    ///
    /// # Errors
    /// When a file cannot be read or holds something else.
    pub(super) fn open(config: &Config) -> Result<Option<Self>, Fault> {
        let (settings, mode, web) = (config.server.tls.clone(), config.auth.mode, config.server.grpc_web);
        // Before they are read: a change in between is noticed.
        let stamp = Mutex::new(stamp(&settings));
        let Some(first) = acceptor(&settings, mode, web)? else { return Ok(None) };
        Ok(Some(Self { settings, mode, web, current: RwLock::new(first), stamp }))
    }

    /// For the next connection; open ones keep what they agreed on until they are old.
    pub(super) fn current(&self) -> TlsAcceptor {
        self.current.read().clone()
    }

    /// Looks at the files now and then, until the process leaves.
    pub(super) async fn watch(self: Arc<Self>, leaving: CancellationToken) {
        let every: Duration = self.settings.reload.get();
        if every.is_zero() {
            return;
        }
        loop {
            tokio::select! {
                () = leaving.cancelled() => return,
                () = tokio::time::sleep(every) => self.look(),
            }
        }
    }

    fn look(&self) {
        let now = stamp(&self.settings);
        let mut known = self.stamp.lock();
        if now == *known {
            return;
        }
        match acceptor(&self.settings, self.mode, self.web) {
            Ok(Some(fresh)) => {
                *known = now;
                *self.current.write() = fresh;
                tracing::info!("the changed certificates were read: new connections get them");
            }
            Ok(None) => {}
            // The certificate may be there before its key: tried again at the next look.
            Err(fault) => {
                tracing::error!(%fault, "the changed certificates cannot be used; those before stay");
            }
        }
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Certificates").field(&self.settings).finish()
    }
}

/// Follows links, as Kubernetes swaps them.
fn stamp(settings: &Tls) -> Stamp {
    let of = |file: &Option<PathBuf>| {
        let metadata = std::fs::metadata(file.as_ref()?).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    [&settings.cert_file, &settings.key_file, &settings.client_ca_file].into_iter().map(of).collect()
}

fn acceptor(tls: &Tls, mode: AuthMode, web: bool) -> Result<Option<TlsAcceptor>, Fault> {
    let (Some(cert), Some(key)) = (&tls.cert_file, &tls.key_file) else { return Ok(None) };
    let provider: Arc<CryptoProvider> = ring::default_provider().into();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(Fault::internal)?;
    let builder = match &tls.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(file)?), provider);
            // With tokens, a certificate is a choice.
            let verifier = match mode {
                AuthMode::Mtls => verifier,
                _ => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build().map_err(Fault::internal)?)
        }
    };
    let key = PrivateKeyDer::from_pem_file(key).map_err(|e| unusable("server.tls.key_file", key, e))?;
    let mut server = builder
        .with_single_cert(certificates("server.tls.cert_file", cert)?, key)
        .map_err(|e| unusable("server.tls.cert_file", cert, e))?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    if web {
        server.alpn_protocols.push(b"http/1.1".to_vec());
    }
    Ok(Some(TlsAcceptor::from(Arc::new(server))))
}

fn roots(file: &Path) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("server.tls.client_ca_file", file)? {
        roots.add(certificate).map_err(|e| unusable("server.tls.client_ca_file", file, e))?;
    }
    Ok(roots)
}

fn certificates(key: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found: Result<Vec<_>, _> = match CertificateDer::pem_file_iter(file) {
        Ok(found) => found.collect(),
        Err(e) => Err(e),
    };
    match found {
        Ok(found) if found.is_empty() => Err(unusable(key, file, "holds no certificate")),
        Ok(found) => Ok(found),
        Err(e) => Err(unusable(key, file, e)),
    }
}

fn unusable(key: &str, file: &Path, why: impl std::fmt::Display) -> Fault {
    Fault::internal(format!("`{key}` {}: {why}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_changes_nothing_and_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let [cert, key] = ["tls.crt", "tls.key"].map(|name| dir.path().join(name));
        let issue = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (old, new) = (issue(), issue());
        std::fs::write(&cert, old.cert.pem()).unwrap();
        std::fs::write(&key, old.signing_key.serialize_pem()).unwrap();
        let mut config = Config::default();
        config.server.tls.cert_file = Some(cert.clone());
        config.server.tls.key_file = Some(key.clone());
        let certificates = Certificates::open(&config).unwrap().unwrap();
        let first = certificates.current();
        let same = || Arc::ptr_eq(first.config(), certificates.current().config());
        certificates.look();
        assert!(same(), "nothing changed");
        // A length of its own: the file system's clock may be coarse.
        std::fs::write(&cert, format!("{}\n", new.cert.pem())).unwrap();
        certificates.look();
        assert!(same(), "the certificate does not fit the key");
        std::fs::write(&key, new.signing_key.serialize_pem()).unwrap();
        certificates.look();
        assert!(!same(), "both are there");
    }
}
