//! TLS for those who have no proxy in front: a certificate from files, and a new one as soon as the files change.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::stop_asked;
use crate::compose::InUse;
use crate::failure::Failure;
use crate::settings::Tls;

/// How often it is looked whether the files have changed: whoever renews certificates need tell nobody.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The certificate and its key, as the files had them last when they could be used.
#[derive(Debug)]
pub(super) struct Certificate {
    files: Tls,
    in_use: InUse<CertifiedKey>,
}

impl Certificate {
    pub(super) fn open(files: &Tls) -> Result<Arc<Self>, Failure> {
        let in_use = InUse::new(Arc::new(read(files)?));
        Ok(Arc::new(Self { files: files.clone(), in_use }))
    }

    /// Speaks TLS 1.3 or 1.2 with this certificate, and HTTP/1.1 inside.
    pub(super) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, Failure> {
        let failed = |error: rustls::Error| Failure::new("TLS cannot be set up").because(&error);
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = Ticketer::new().map_err(failed)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Follows the files until it is told to stop. Files that cannot be used change nothing.
    pub(super) async fn follow(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut seen = self.times();
        loop {
            tokio::select! {
                () = stop_asked(&mut stopped) => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let times = self.times();
            if times != seen {
                seen = times;
                self.renew();
            }
        }
    }

    fn renew(&self) {
        match read(&self.files) {
            Ok(read) => {
                self.in_use.set(Arc::new(read));
                tracing::info!(certificate = %self.files.certificate.display(), "a new certificate is in use");
            }
            Err(failure) => tracing::warn!(%failure, "the certificate stays as it was: the files cannot be used yet"),
        }
    }

    fn times(&self) -> [Option<SystemTime>; 2] {
        [&self.files.certificate, &self.files.key].map(|file| std::fs::metadata(file).and_then(|of| of.modified()).ok())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.in_use.get())
    }
}

fn read(files: &Tls) -> Result<CertifiedKey, Failure> {
    let wrong = |setting: &str, file: &Path, why: &str| {
        Failure::new(format!("{setting}: {} cannot be used: {why}", file.display()))
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|why| wrong("server.tls_certificate", &files.certificate, &why.to_string()))?;
    if chain.is_empty() {
        return Err(wrong("server.tls_certificate", &files.certificate, "there is no certificate in it (PEM)"));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|why| wrong("server.tls_key", &files.key, &why.to_string()))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|why| {
        wrong("server.tls_key", &files.key, &why.to_string())
            .advise("it must be the private key of the first certificate in server.tls_certificate")
    })
}
