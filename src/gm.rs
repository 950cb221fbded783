//! SM2 signatures and SM3 hashes (国密): GB/T 32918 and GB/T 32905, over RustCrypto's `sm2` and `sm3`.
//!
//! Promise: a signature is accepted in exactly one encoding per form, from a key that is a point on the curve in uncompressed form.
//! Deliberately absent: certificates, ASN.1 beyond a signature's own, encryption with SM2.
use sm2::dsa::signature::{MultipartSigner as _, MultipartVerifier as _};
use sm2::dsa::{SigningKey, VerifyingKey};
use sm2::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use sm3::Digest as _;

/// The signer's identity that every certificate and seal met in the field is made with (GB/T 35276).
pub const DEFAULT_USER_ID: &str = "1234567812345678";

/// An SM3 digest.
pub type Digest = [u8; 32];

/// SM3 of the parts, one after another.
#[must_use]
pub fn sm3(parts: &[&[u8]]) -> Digest {
    let mut hasher = sm3::Sm3::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Why a key or a signature cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GmError {
    /// Not an uncompressed point (`04 ‖ x ‖ y`, 65 bytes) on the SM2 curve.
    #[error("not a public key on the SM2 curve")]
    PublicKey,
    /// Not a private key in [1, n-2].
    #[error("not an SM2 private key")]
    PrivateKey,
    /// Not a signature: r or s is zero or not below n, or its encoding is not the only one.
    #[error("not an SM2 signature")]
    Signature,
    /// The signature is not this key's over this message.
    #[error("the signature does not verify")]
    Unverified,
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness,
}

/// How a signature was written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `SEQUENCE { r INTEGER, s INTEGER }`, DER (GM/T 0009).
    Der,
    /// `r ‖ s`, 64 bytes: met in government files.
    Raw,
}

/// An SM2 signature: r and s in [1, n-1].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature(sm2::dsa::Signature);

impl Signature {
    /// Reads the DER form; trailing bytes and any other encoding of the same numbers are refused.
    ///
    /// # Errors
    /// [`GmError::Signature`].
    pub fn from_der(bytes: &[u8]) -> Result<Self, GmError> {
        let read = sm2::dsa::Signature::from_der(bytes).map_err(|_| GmError::Signature)?;
        // One signature, one encoding: whoever alters a byte of it has made it another.
        if read.to_der().as_ref() == bytes { Ok(Self(read)) } else { Err(GmError::Signature) }
    }

    /// Reads `r ‖ s`, 64 bytes.
    ///
    /// # Errors
    /// [`GmError::Signature`].
    pub fn from_raw(bytes: &[u8]) -> Result<Self, GmError> {
        sm2::dsa::Signature::from_slice(bytes).map(Self).map_err(|_| GmError::Signature)
    }

    /// Reads either form: 64 bytes are `r ‖ s` unless they are good DER.
    ///
    /// # Errors
    /// [`GmError::Signature`].
    pub fn from_either(bytes: &[u8]) -> Result<(Self, Encoding), GmError> {
        match Self::from_der(bytes) {
            Ok(signature) => Ok((signature, Encoding::Der)),
            Err(_) => Self::from_raw(bytes).map(|signature| (signature, Encoding::Raw)),
        }
    }

    /// The DER form, 70 to 72 bytes as a rule.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        self.0.to_der().as_ref().to_vec()
    }

    /// `r ‖ s`.
    #[must_use]
    pub fn to_raw(&self) -> [u8; 64] {
        self.0.to_bytes().into()
    }
}

/// An SM2 public key with its signer's identity hashed in (Z of GB/T 32918.2), computed once.
#[derive(Clone, Debug)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// A key of the default identity.
    ///
    /// # Errors
    /// [`GmError::PublicKey`] unless 65 bytes `04 ‖ x ‖ y` on the curve.
    pub fn from_point(point: &[u8]) -> Result<Self, GmError> {
        Self::from_point_of(DEFAULT_USER_ID, point)
    }

    /// A key of another identity.
    ///
    /// # Errors
    /// [`GmError::PublicKey`].
    pub fn from_point_of(user_id: &str, point: &[u8]) -> Result<Self, GmError> {
        // Compressed, hybrid and infinite points are encodings no certificate of the field uses.
        if point.len() != 65 || point.first() != Some(&4) {
            return Err(GmError::PublicKey);
        }
        VerifyingKey::from_sec1_bytes(user_id, point).map(Self).map_err(|_| GmError::PublicKey)
    }

    /// `04 ‖ x ‖ y`.
    #[must_use]
    pub fn point(&self) -> Vec<u8> {
        self.0.to_sec1_bytes().into_vec()
    }

    /// Verifies over the parts, one after another: e = SM3(Z ‖ message).
    ///
    /// # Errors
    /// [`GmError::Unverified`].
    pub fn verify(&self, message: &[&[u8]], signature: &Signature) -> Result<(), GmError> {
        self.0.multipart_verify(message, &signature.0).map_err(|_| GmError::Unverified)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_affine() == other.0.as_affine() && self.0.distid() == other.0.distid()
    }
}

/// An SM2 private key in this process's memory: a software key, not a certified device. Wiped when dropped.
pub struct PrivateKey {
    secret: sm2::SecretKey,
    /// Built once: building it costs more than signing. In a box, so that moving the key leaves no copy behind.
    signer: Box<SigningKey>,
}

impl Drop for PrivateKey {
    /// `SecretKey` wipes itself, `SigningKey` does not and gives no way to its bytes: another key is written over it.
    fn drop(&mut self) {
        let mut one = [0; 32];
        one[31] = 1;
        if let Ok(other) = SigningKey::from_slice(DEFAULT_USER_ID, &one) {
            *self.signer = other;
        }
        std::hint::black_box(&self.signer); // looked at again, so that the write is not left out
    }
}

impl PrivateKey {
    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`GmError::Randomness`].
    pub fn generate() -> Result<Self, GmError> {
        loop {
            let mut bytes = zeroize::Zeroizing::new([0; 32]);
            getrandom::fill(bytes.as_mut_slice()).map_err(|_| GmError::Randomness)?;
            if let Ok(key) = Self::from_bytes(&bytes) {
                return Ok(key);
            }
        }
    }

    /// The private number, big endian.
    ///
    /// # Errors
    /// [`GmError::PrivateKey`] unless in [1, n-2].
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, GmError> {
        let key = Self::of(sm2::SecretKey::from_slice(bytes).map_err(|_| GmError::PrivateKey)?)?;
        // d = n-1 has no signature: 1 + d must have an inverse. Trying it is simpler than comparing.
        key.sign(&[b"a key that cannot sign is not a key"]).map_err(|_| GmError::PrivateKey).map(|_| key)
    }

    /// From PKCS#8 DER, as `openssl pkcs8 -topk8 -nocrypt -outform DER` writes it.
    ///
    /// # Errors
    /// [`GmError::PrivateKey`].
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, GmError> {
        Self::of(sm2::SecretKey::from_pkcs8_der(der).map_err(|_| GmError::PrivateKey)?)
    }

    /// PKCS#8 PEM, as `openssl genpkey -algorithm SM2` writes it.
    ///
    /// # Errors
    /// [`GmError::PrivateKey`], which a key made here never brings.
    pub fn to_pkcs8_pem(&self) -> Result<zeroize::Zeroizing<String>, GmError> {
        self.secret.to_pkcs8_pem(sm2::pkcs8::LineEnding::LF).map_err(|_| GmError::PrivateKey)
    }

    /// The private number, big endian.
    #[must_use]
    pub fn to_bytes(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.secret.to_bytes().into())
    }

    /// The public half, of the default identity.
    ///
    /// # Errors
    /// [`GmError::PrivateKey`], which a key made here never brings.
    pub fn public_key(&self) -> Result<PublicKey, GmError> {
        Ok(PublicKey(self.signer.verifying_key().clone()))
    }

    /// Signs the parts, one after another, with the default identity. The nonce is derived from key and message (RFC 6979).
    ///
    /// # Errors
    /// [`GmError::Signature`] in one of 2^256 cases.
    pub fn sign(&self, message: &[&[u8]]) -> Result<Signature, GmError> {
        self.signer.try_multipart_sign(message).map(Signature).map_err(|_| GmError::Signature)
    }

    fn of(secret: sm2::SecretKey) -> Result<Self, GmError> {
        let signer = SigningKey::new(DEFAULT_USER_ID, &secret).map_err(|_| GmError::PrivateKey)?;
        Ok(Self { secret, signer: Box::new(signer) })
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey")
    }
}

#[cfg(test)]
mod openssl;

#[cfg(test)]
mod tests {
    use super::*;

    // GB/T 32918.5 annex A.2.
    const D: &str = "3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8";
    const P: &str = "0409F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020\
                     CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13";
    const R: &str = "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3";
    const S: &str = "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA";
    const N: &str = "FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123";
    const ZERO: &str = "0000000000000000000000000000000000000000000000000000000000000000";

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    fn key() -> PublicKey {
        PublicKey::from_point(&hex(P)).unwrap()
    }

    /// DER of r and s as they are given, minimal or not.
    fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
        let integer = |bytes: &[u8]| [&[2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
        let body = [integer(r), integer(s)].concat();
        [&[0x30, u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
    }

    fn unsigned(text: &str) -> Vec<u8> {
        let bytes = hex(text);
        if bytes[0] >= 0x80 { [&[0], bytes.as_slice()].concat() } else { bytes }
    }

    /// n minus the number.
    fn n_minus(text: &str) -> String {
        let (n, x) = (hex(N), hex(text));
        let mut borrow = 0i16;
        let mut out = [0u8; 32];
        for at in (0..32).rev() {
            let difference = i16::from(n[at]) - i16::from(x[at]) - borrow;
            borrow = i16::from(difference < 0);
            out[at] = u8::try_from(difference.rem_euclid(256)).unwrap();
        }
        out.iter().map(|b| format!("{b:02X}")).collect()
    }

    #[test]
    fn sm3_gives_the_standards_digests() {
        let expect = |message: &[u8], digest: &str| assert_eq!(sm3(&[message]).to_vec(), hex(digest));
        expect(b"abc", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0");
        expect(&b"abcd".repeat(16), "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732");
        assert_eq!(sm3(&[b"a", b"", b"bc"]), sm3(&[b"abc"]));
    }

    #[test]
    fn the_standards_signature_verifies_and_no_other_message_key_or_identity_does() {
        let signature = Signature::from_raw(&hex(&[R, S].concat())).unwrap();
        key().verify(&[b"message", b" digest"], &signature).unwrap();
        assert!(key().verify(&[b"message digesu"], &signature).is_err());
        let other_id = PublicKey::from_point_of("1234567812345679", &hex(P)).unwrap();
        assert!(other_id.verify(&[b"message digest"], &signature).is_err());
        let other_key = PrivateKey::from_bytes(&[7; 32]).unwrap().public_key().unwrap();
        assert!(other_key.verify(&[b"message digest"], &signature).is_err());
    }

    #[test]
    fn the_standards_key_pair_belongs_together_and_signs_what_verifies() {
        let private = PrivateKey::from_bytes(&hex(D).try_into().unwrap()).unwrap();
        assert_eq!(private.public_key().unwrap(), key());
        for at in 0..200u8 {
            let message = vec![at; usize::from(at)];
            let signature = private.sign(&[&message]).unwrap();
            key().verify(&[&message], &signature).unwrap();
            assert_eq!(Signature::from_der(&signature.to_der()).unwrap(), signature);
            assert_eq!(Signature::from_either(&signature.to_raw()).unwrap(), (signature, Encoding::Raw));
        }
    }

    #[test]
    fn numbers_outside_one_to_n_are_no_signature() {
        for (r, s) in [(ZERO, S), (R, ZERO), (N, S), (R, N), (ZERO, ZERO), (&"F".repeat(64), S), (R, &"F".repeat(64))] {
            assert_eq!(Signature::from_raw(&hex(&[r, s].concat())), Err(GmError::Signature), "{r} {s}");
            assert_eq!(Signature::from_der(&der(&unsigned(r), &unsigned(s))), Err(GmError::Signature), "{r} {s}");
        }
    }

    #[test]
    fn r_plus_s_equal_to_n_never_verifies() {
        let signature = Signature::from_raw(&hex(&[R, &n_minus(R)].concat())).unwrap();
        assert_eq!(key().verify(&[b"message digest"], &signature), Err(GmError::Unverified));
    }

    #[test]
    fn a_signature_has_one_der_encoding() {
        let (r, s) = (unsigned(R), unsigned(S));
        let good = der(&r, &s);
        assert!(Signature::from_der(&good).is_ok());
        let padded = [&[0], r.as_slice()].concat();
        let long_length = [&[0x30, 0x81, u8::try_from(good.len() - 2).unwrap()], &good[2..]].concat();
        let bad: [(&str, Vec<u8>); 8] = [
            ("trailing byte", [good.as_slice(), &[0]].concat()),
            ("non-minimal r", der(&padded, &s)),
            ("non-minimal s", der(&r, &[&[0], s.as_slice()].concat())),
            ("negative r", der(&hex(R), &s)),
            ("long length", long_length),
            ("cut short", good[..good.len() - 1].to_vec()),
            ("another tag", [&[0x31], &good[1..]].concat()),
            ("a third number", {
                let body = [&good[2..], &[2, 1, 1]].concat();
                [&[0x30, u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
            }),
        ];
        for (name, bytes) in bad {
            assert_eq!(Signature::from_der(&bytes), Err(GmError::Signature), "{name}");
        }
        assert_eq!(Signature::from_raw(&[1; 63]), Err(GmError::Signature));
        assert_eq!(Signature::from_raw(&[1; 65]), Err(GmError::Signature));
    }

    #[test]
    fn only_uncompressed_points_on_the_curve_are_keys() {
        let good = hex(P);
        let mut off_curve = good.clone();
        off_curve[64] ^= 1;
        let mut hybrid = good.clone();
        hybrid[0] = 6;
        let compressed = [&[3], &good[1..33]].concat();
        let zero = [&[4], [0; 64].as_slice()].concat();
        let not_reduced = [&[4], [0xff; 64].as_slice()].concat();
        for bad in [off_curve, hybrid, compressed, vec![0], zero, not_reduced, good[..64].to_vec(), vec![]] {
            assert!(PublicKey::from_point(&bad).is_err(), "{bad:02x?}");
        }
    }

    #[test]
    fn private_keys_that_cannot_sign_are_refused() {
        let mut n_less_one: [u8; 32] = hex(N).try_into().unwrap();
        n_less_one[31] -= 1;
        for bad in [[0; 32], hex(N).try_into().unwrap(), n_less_one, [0xff; 32]] {
            assert!(PrivateKey::from_bytes(&bad).is_err());
        }
        let (one, two) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        assert_ne!(one.to_bytes(), two.to_bytes());
    }
}
