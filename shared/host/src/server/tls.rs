//! Certificates: ours, and those of clients.

use std::{path::Path, sync::Arc};

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

use crate::config::{AuthMode, Config};

/// What accepts TLS connections; `None` when none are configured.
///
/// # Errors
/// When a file cannot be read or holds something else.
pub(super) fn acceptor(config: &Config) -> Result<Option<TlsAcceptor>, Fault> {
    let tls = &config.server.tls;
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
            let verifier = match config.auth.mode {
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
    if config.server.grpc_web {
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
