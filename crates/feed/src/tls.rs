//! One TLS configuration for everything that leaves this process: rustls with ring, and the roots that are built in.
//!
//! The provider is named here, so nothing has to be installed for the process; the system's certificates are not read,
//! so a container needs none.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use crate::error::FeedError;

/// The configuration of a client.
///
/// # Errors
/// [`FeedError::Protocol`] when the provider knows none of the protocol versions.
pub fn client_config() -> Result<ClientConfig, FeedError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| FeedError::Protocol(format!("TLS: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
