//! SM2 and SM3 held against OpenSSL's, both ways. Where the `openssl` command is missing these are red.
use super::{DEFAULT_USER_ID, GmError, PrivateKey, PublicKey, Signature, sm3};
use std::path::PathBuf;
use std::process::{Command, Output};

struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn openssl(&self, words: &[&str]) -> Output {
        Command::new("openssl").current_dir(self.0.path()).args(words).output().unwrap()
    }

    fn must(&self, words: &[&str]) {
        let said = self.openssl(words);
        assert!(said.status.success(), "openssl {words:?}: {}", String::from_utf8_lossy(&said.stderr));
    }

    /// A key of OpenSSL's making: ours in PKCS#8, and the point.
    fn their_key(&self) -> (PrivateKey, PublicKey) {
        self.must(&["genpkey", "-algorithm", "SM2", "-out", "key.pem"]);
        self.must(&["pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-outform", "DER", "-out", "key.der"]);
        self.must(&["pkey", "-in", "key.pem", "-pubout", "-outform", "DER", "-out", "public.der"]);
        let private = PrivateKey::from_pkcs8_der(&std::fs::read(self.path("key.der")).unwrap()).unwrap();
        // A SubjectPublicKeyInfo ends with the point.
        let public = std::fs::read(self.path("public.der")).unwrap();
        (private, PublicKey::from_point(&public[public.len() - 65..]).unwrap())
    }

    fn sign(&self, user_id: &str) -> Vec<u8> {
        let id = format!("distid:{user_id}");
        let words = ["pkeyutl", "-sign", "-rawin", "-digest", "sm3", "-pkeyopt", &id, "-inkey", "key.pem"];
        self.must(&[&words[..], &["-in", "message", "-out", "signature"]].concat());
        std::fs::read(self.path("signature")).unwrap()
    }

    fn verifies(&self, user_id: &str) -> bool {
        let id = format!("distid:{user_id}");
        let words = ["pkeyutl", "-verify", "-rawin", "-digest", "sm3", "-pkeyopt", &id, "-inkey", "key.pem"];
        self.openssl(&[&words[..], &["-in", "message", "-sigfile", "signature"]].concat()).status.success()
    }
}

fn message(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(167) >> 3) as u8).collect()
}

#[test]
fn openssl_gives_the_same_digest_of_every_length() {
    let desk = Desk::new();
    // Every length around the block of 64 bytes and its padding, and some long ones.
    let lengths: Vec<usize> = (0..=320).chain([1_023, 1_024, 4_095, 65_536, 1_000_003]).collect();
    let names: Vec<String> = lengths.iter().map(|length| format!("m{length}")).collect();
    for (name, length) in names.iter().zip(&lengths) {
        desk.put(name, &message(*length));
    }
    let words: Vec<&str> = ["dgst", "-sm3", "-r"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let said = desk.openssl(&words);
    assert!(said.status.success());
    let said = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.lines().count(), lengths.len());
    for (line, length) in said.lines().zip(lengths) {
        let ours: String = sm3(&[&message(length)]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(line.split_whitespace().next(), Some(ours.as_str()), "{length} bytes");
    }
}

#[test]
fn what_openssl_signs_verifies_here_for_its_user_id_alone() {
    for length in [1, 31, 32, 64, 65, 1_000, 70_000] {
        let desk = Desk::new();
        let (_, public) = desk.their_key();
        desk.put("message", &message(length));
        let signature = Signature::from_der(&desk.sign(DEFAULT_USER_ID)).unwrap();
        public.verify(&[&message(length)], &signature).unwrap();
        let mut altered = message(length);
        altered[length / 2] ^= 1;
        assert_eq!(public.verify(&[&altered], &signature), Err(GmError::Unverified), "{length}");
        let other = Signature::from_der(&desk.sign("ALICE123@YAHOO.COM")).unwrap();
        assert_eq!(public.verify(&[&message(length)], &other), Err(GmError::Unverified), "{length}");
        let alice = PublicKey::from_point_of("ALICE123@YAHOO.COM", &public.point()).unwrap();
        alice.verify(&[&message(length)], &other).unwrap();
    }
}

#[test]
fn what_is_signed_here_verifies_with_openssl_for_our_user_id_alone() {
    for length in [1, 31, 32, 64, 65, 1_000, 70_000] {
        let desk = Desk::new();
        let (private, public) = desk.their_key();
        assert_eq!(private.public_key().unwrap(), public, "the pair is one pair on both sides");
        desk.put("message", &message(length));
        let signature = private.sign(&[&message(length)]).unwrap();
        desk.put("signature", &signature.to_der());
        assert!(desk.verifies(DEFAULT_USER_ID), "{length}");
        assert!(!desk.verifies("1234567812345679"), "{length}");
        desk.put("message", &message(length + 1));
        assert!(!desk.verifies(DEFAULT_USER_ID), "{length}");
    }
}

#[test]
fn keys_made_here_are_keys_there() {
    let desk = Desk::new();
    let private = PrivateKey::generate().unwrap();
    desk.put("key.pem", private.to_pkcs8_pem().unwrap().as_bytes());
    desk.put("message", b"message");
    desk.put("signature", &private.sign(&[b"message"]).unwrap().to_der());
    assert!(desk.verifies(DEFAULT_USER_ID));
    let signature = Signature::from_der(&desk.sign(DEFAULT_USER_ID)).unwrap();
    private.public_key().unwrap().verify(&[b"message"], &signature).unwrap();
}
