//! Ciphers and keyed hashes of the two suites, behind one form.
//!
//! | suite | cipher | keyed hash |
//! |---|---|---|
//! | `ed25519` | AES-256-GCM-SIV (RFC 8452) | HMAC-SHA-256 |
//! | `sm2` | SM4-GCM (GB/T 32907, RFC 8998) under a key of its own for each row | HMAC-SM3 |
//!
//! GCM gives everything away when a nonce repeats under one key. So nothing is ever sealed under a key that is kept: each seal's
//! SM4 key is `HMAC-SM3(kept key, nonce ‖ associated data)[..16]`. Nonces are random; one that repeats at another place, version
//! or class costs nothing, and the associated data is bound twice.
use aes_gcm::AesGcm;
use aes_gcm_siv::aead::consts::U12;
use aes_gcm_siv::aead::{AeadInOut, KeyInit, array::Array};
use aes_gcm_siv::{Aes256GcmSiv, Nonce, Tag};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use sm3::Sm3;
use sm4::Sm4;
use zeroize::Zeroizing;

use super::vault::{NONCE_BYTES, Secret};
use crate::log::SuiteName;

/// Bytes that a cipher of either suite adds at the end.
pub(super) const TAG_BYTES: usize = 16;

type Sm4Gcm = AesGcm<Sm4, U12>;

/// A keyed hash, the key's own blocks hashed already: every hash begins from a copy.
#[derive(Clone)]
pub(super) enum Keyed {
    /// HMAC-SHA-256.
    Sha256(Hmac<Sha256>),
    /// HMAC-SM3.
    Sm3(Hmac<Sm3>),
}

impl Keyed {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104)")]
    pub(super) fn new(suite: SuiteName, key: &Secret) -> Self {
        match suite {
            SuiteName::Ed25519 => Self::Sha256(Hmac::new_from_slice(key.as_slice()).expect("any length")),
            SuiteName::Sm2 => Self::Sm3(Hmac::new_from_slice(key.as_slice()).expect("any length")),
        }
    }

    /// The hash of the parts, one after the other.
    pub(super) fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        fn of<M: Mac + Clone>(mac: &M, parts: &[&[u8]]) -> Array<u8, M::OutputSize> {
            let mut mac = mac.clone();
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes()
        }
        match self {
            Self::Sha256(mac) => of(mac, parts).into(),
            Self::Sm3(mac) => of(mac, parts).into(),
        }
    }
}

/// An authenticated cipher under one kept key.
pub(super) enum Cipher {
    /// AES-256-GCM-SIV under the key itself.
    AesGcmSiv(Box<Aes256GcmSiv>),
    /// SM4-GCM under a key made from this one for each seal.
    Sm4Gcm(Keyed),
}

impl Cipher {
    pub(super) fn new(suite: SuiteName, key: &Secret) -> Self {
        match suite {
            SuiteName::Ed25519 => Self::AesGcmSiv(Box::new(Aes256GcmSiv::new((&**key).into()))),
            SuiteName::Sm2 => Self::Sm4Gcm(Keyed::new(suite, key)),
        }
    }

    /// Encrypts in place and gives the tag; `None` for more than a cipher takes, which no row is.
    pub(super) fn seal(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], body: &mut [u8]) -> Option<[u8; TAG_BYTES]> {
        let at = Nonce::from(*nonce);
        let tag = match self {
            Self::AesGcmSiv(cipher) => cipher.encrypt_inout_detached(&at, aad, body.into()),
            Self::Sm4Gcm(kept) => of_one_seal(kept, nonce, aad).encrypt_inout_detached(&at, aad, body.into()),
        };
        tag.ok().map(Into::into)
    }

    /// What `sealed`, ciphertext and tag, opens to; `None` where it was not sealed under this key, nonce and associated data.
    pub(super) fn open(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (body, tag) = sealed.split_last_chunk::<TAG_BYTES>()?;
        let (at, tag) = (Nonce::from(*nonce), Tag::from(*tag));
        let mut body = body.to_vec();
        let whole = body.as_mut_slice().into();
        let opened = match self {
            Self::AesGcmSiv(cipher) => cipher.decrypt_inout_detached(&at, aad, whole, &tag),
            Self::Sm4Gcm(kept) => of_one_seal(kept, nonce, aad).decrypt_inout_detached(&at, aad, whole, &tag),
        };
        opened.ok().map(|()| body)
    }
}

fn of_one_seal(kept: &Keyed, nonce: &[u8; NONCE_BYTES], aad: &[u8]) -> Sm4Gcm {
    let derived = Zeroizing::new(kept.hash(&[nonce, aad]));
    let (key, _) = derived.split_at(16);
    // Sixteen of 32 bytes: always there.
    Sm4Gcm::new(<&Array<u8, _>>::try_from(key).unwrap_or(&Array::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// RFC 8998 appendix A.1.
    #[test]
    fn sm4_gcm_gives_the_published_vector() {
        let key: [u8; 16] = hex("0123456789ABCDEFFEDCBA9876543210").try_into().unwrap();
        let nonce: [u8; NONCE_BYTES] = hex("00001234567800000000ABCD").try_into().unwrap();
        let aad = hex("FEEDFACEDEADBEEFFEEDFACEDEADBEEFABADDAD2");
        let mut body = hex("AAAAAAAAAAAAAAAABBBBBBBBBBBBBBBBCCCCCCCCCCCCCCCCDDDDDDDDDDDDDDDD\
             EEEEEEEEEEEEEEEEFFFFFFFFFFFFFFFFEEEEEEEEEEEEEEEEAAAAAAAAAAAAAAAA");
        let cipher = Sm4Gcm::new(&key.into());
        let tag = cipher.encrypt_inout_detached(&nonce.into(), &aad, body.as_mut_slice().into()).unwrap();
        let sealed = "17F399F08C67D5EE19D0DC9969C4BB7D5FD46FD3756489069157B282BB200735\
                      D82710CA5C22F0CCFA7CBF93D496AC15A56834CBCF98C397B4024A2691233B8D";
        assert_eq!(body, hex(sealed));
        assert_eq!(tag.to_vec(), hex("83DE3541E4C2B58177E065A9BF7B62EC"));
    }

    /// Computed with OpenSSL 3: `openssl dgst -sm3 -mac HMAC -macopt hexkey:…`.
    #[test]
    fn hmac_sm3_is_what_openssl_computes() {
        let key = Zeroizing::new([7; 32]);
        let expected = hex("7ff0f67f559c63c15d853168adfa2b55e92b58641292a64aef3f1759753f0681");
        let keyed = Keyed::new(SuiteName::Sm2, &key);
        assert_eq!(keyed.hash(&[b"wu", b"", b"ku"]).to_vec(), expected);
        assert_ne!(keyed.hash(&[b"wuku"]), Keyed::new(SuiteName::Ed25519, &key).hash(&[b"wuku"]));
    }

    #[test]
    fn under_sm4_a_nonce_that_repeats_at_another_place_gives_another_key_stream() {
        let (cipher, nonce) = (Cipher::new(SuiteName::Sm2, &Zeroizing::new([7; 32])), [1; NONCE_BYTES]);
        let [mut here, mut there] = [[0_u8; 64]; 2];
        let tag = cipher.seal(&nonce, b"here", &mut here).unwrap();
        cipher.seal(&nonce, b"there", &mut there).unwrap();
        assert_ne!(here, there, "of zeros the ciphertext is the key stream");
        let sealed = [here.as_slice(), &tag].concat();
        assert_eq!(cipher.open(&nonce, b"here", &sealed), Some(vec![0; 64]));
        assert_eq!(cipher.open(&nonce, b"there", &sealed), None);
    }
}
