//! From `host:port` to addresses. Done before every dial, for a hub may have moved.

use std::io;
use std::net::SocketAddr;

/// Why a text leads to no address. Nothing was sent to a hub.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Not of the form `host:port`.
    #[error("`{text}` is no address; write `host:port`, `1.2.3.4:port` or `[2001:db8::1]:port`")]
    Form {
        /// What was given.
        text: String,
    },
    /// The name service did not answer or does not know the host. Worth trying again.
    #[error("the host in `{text}` was not found: {source}; check the name, or try again when the link is up")]
    Lookup {
        /// What was given.
        text: String,
        /// What the system says.
        source: io::Error,
    },
    /// The host exists and has no address.
    #[error("the host in `{text}` has no address")]
    NoAddress {
        /// What was given.
        text: String,
    },
}

/// The addresses behind `host:port`, in the order to try them; at least one. A literal address needs no name service.
///
/// # Errors
/// [`ResolveError`] when the text is malformed or the name leads nowhere.
pub async fn resolve(text: &str) -> Result<Vec<SocketAddr>, ResolveError> {
    if let Ok(address) = text.parse() {
        return Ok(vec![address]);
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(|| ResolveError::Form { text: text.to_owned() })?;
    if host.is_empty() || host.contains(':') || port.parse::<u16>().is_err() {
        return Err(ResolveError::Form { text: text.to_owned() });
    }
    let found = tokio::net::lookup_host(text).await;
    let addresses: Vec<_> = found.map_err(|source| ResolveError::Lookup { text: text.to_owned(), source })?.collect();
    if addresses.is_empty() {
        return Err(ResolveError::NoAddress { text: text.to_owned() });
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_literal_address_is_taken_as_it_is() {
        assert_eq!(resolve("[::1]:7400").await.unwrap(), ["[::1]:7400".parse().unwrap()]);
        assert_eq!(resolve("127.0.0.1:7400").await.unwrap(), ["127.0.0.1:7400".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_malformed_address_is_named() {
        for text in ["", "hub", ":7400", "hub:", "hub:port", "::1:7400x", "hub:70000"] {
            assert!(matches!(resolve(text).await, Err(ResolveError::Form { .. })), "{text}");
        }
    }
}
