//! Who is calling, as their TLS client certificate says.

/// A calling system. Made by the edge from a verified client certificate, never from a field of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// `wuku://<hub>/<department>/<system>`, the certificate's SAN URI.
    pub uri: String,
    /// The department part of it.
    pub department: String,
    /// Serial number of the certificate, hexadecimal.
    pub serial: String,
    /// SHA-256 of the certificate's DER.
    pub fingerprint: [u8; 32],
}

impl Caller {
    /// A caller from the parts of a verified certificate; `None` where the URI is not of this hub's form.
    #[must_use]
    pub fn from_certificate(uri: &str, serial: &str, fingerprint: [u8; 32]) -> Option<Self> {
        let mut parts = uri.strip_prefix("wuku://")?.split('/');
        let (hub, department, system) = (parts.next()?, parts.next()?, parts.next()?);
        let whole = parts.next().is_none() && [hub, department, system].iter().all(|part| !part.is_empty());
        whole.then(|| Self {
            uri: uri.to_owned(),
            department: department.to_owned(),
            serial: serial.to_owned(),
            fingerprint,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_uri_of_three_parts_names_a_system() {
        let read = |uri| Caller::from_certificate(uri, "01", [0; 32]).map(|c| c.department);
        assert_eq!(read("wuku://tiantai/police/population").as_deref(), Some("police"));
        for wrong in
            ["wuku://tiantai/police", "https://tiantai/police/x", "wuku://tiantai//x", "wuku://tiantai/a/b/c", ""]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
