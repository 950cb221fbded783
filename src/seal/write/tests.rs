//! What we write, held against our own judge in every step, against openssl, and against itself.
use super::*;
use crate::gm::{PublicKey, sm3};
use crate::seal::certificate::Certificate;
use crate::seal::chain::{Anchors, RevocationList};
use crate::seal::judge::{self, Check, Container, Grounds};
use crate::seal::maker::{Authority, Pair, Subject, demo_seal};
use crate::seal::ses::{Generation, Seal, SealSignature, Signers};
use crate::seal::step::{Outcome, Profile, Step};
use proptest::prelude::*;
use std::process::Command;

const FROM_S: u64 = 1_700_000_000;
const UNTIL_S: u64 = 1_900_000_000;
const NOW_S: u64 = 1_750_000_000;
const USCC: &str = "11331099MB00000021";
const PROPERTY: &str = "/Doc_0/Signs/Sign_0/Signature.xml";

struct City {
    authority: Authority,
    maker: Pair,
    signer: Pair,
    seal: Vec<u8>,
}

fn city() -> City {
    let authority = Authority::make("DEV 演示根", FROM_S, UNTIL_S).unwrap();
    let of = |common_name: &str, organisation: &str| {
        authority.issue(Subject { common_name, organisation }, FROM_S, UNTIL_S).unwrap()
    };
    let (maker, signer) = (of("DEV 演示制章系统", "演示"), of("33109900000001", &format!("{USCC}演示局")));
    let seal = demo_seal(draft(&signer), &maker).unwrap();
    City { authority, maker, signer, seal }
}

fn draft(signer: &Pair) -> SealDraft {
    SealDraft {
        vendor: "WUKU-DEV".into(),
        id: "33109900000001".into(),
        kind: 1,
        name: "演示局电子证照专用章".into(),
        signers: vec![signer.certificate.clone()],
        created_s: FROM_S + 10,
        valid_from_s: FROM_S + 10,
        valid_until_s: UNTIL_S,
        picture: Picture { kind: "png".into(), data: vec![1], width_mm: 40, height_mm: 40 },
        extensions: Vec::new(),
    }
}

impl City {
    fn anchors(&self) -> Anchors {
        let root = Certificate::from_der(&self.authority.own().certificate).unwrap();
        let list = self.authority.revocation_list(&[], FROM_S, UNTIL_S).unwrap();
        Anchors {
            seal_makers: vec![root.clone()],
            signers: vec![root],
            revocation_lists: vec![RevocationList::from_der(&list).unwrap()],
            ..Anchors::default()
        }
    }

    fn to_sign(&self, document: &[u8]) -> Vec<u8> {
        UseDraft { seal: &self.seal, at_s: NOW_S, data_hash: sm3(&[document]), property: PROPERTY }.to_sign().unwrap()
    }

    fn sealed(&self, document: &[u8]) -> Vec<u8> {
        let to_sign = self.to_sign(document);
        let value = self.signer.key.sign(&[&to_sign]).unwrap();
        signature(&to_sign, &self.signer.certificate, &value).unwrap()
    }
}

#[test]
fn what_is_written_holds_in_every_step_of_the_strictest_profile() {
    let city = city();
    let anchors = city.anchors();
    let grounds = Grounds { anchors: &anchors, now_s: NOW_S, issuer: Some(USCC) };
    let report = judge::signature(&city.sealed(b"a document"), b"a document", Some(PROPERTY), grounds);
    assert_eq!((report.signature, report.data_hash), (Check::Ok, Check::Ok));
    assert_eq!(report.container, Container::Ses(Generation::V4));
    let fine = [Outcome::Ok, Outcome::Absent];
    let unwell: Vec<_> = report.findings.iter().filter(|f| !fine.contains(&f.outcome)).collect();
    assert!(unwell.is_empty(), "{unwell:?}");
    assert!(report.findings.iter().any(|f| f.step == Step::IssuingAuthority && f.outcome == Outcome::Ok));
    for profile in Profile::ALL {
        assert_eq!(profile.reasons(&report.findings), vec![]);
    }
    let other = judge::signature(&city.sealed(b"a document"), b"another", Some(PROPERTY), grounds);
    assert_eq!(Profile::LenientHistory.reasons(&other.findings), vec![Step::DataHash]);
}

#[test]
fn a_demo_seal_says_so_by_name_and_face() {
    let city = city();
    let seal = Seal::parse(&city.seal).unwrap();
    assert!(seal.name.contains("演示"));
    assert!(seal.picture.kind == "png" && seal.picture.data.starts_with(b"\x89PNG\r\n\x1a\n"));
    let nameless = SealDraft { name: "某局公章".into(), ..draft(&city.signer) };
    assert_eq!(Seal::parse(&demo_seal(nameless, &city.maker).unwrap()).unwrap().name, "演示·某局公章");
}

/// A seal written from what was read of one; the two must be the same bytes.
fn again(seal: &Seal) -> Vec<u8> {
    let Signers::Certificates(signers) = seal.signers.clone() else { panic!("a list of digests") };
    let draft = SealDraft {
        vendor: seal.vendor.clone(),
        id: seal.id.clone(),
        kind: seal.kind,
        name: seal.name.clone(),
        signers,
        created_s: seal.created_s,
        valid_from_s: seal.valid_from_s,
        valid_until_s: seal.valid_until_s,
        picture: seal.picture.clone(),
        extensions: seal.extensions.clone(),
    };
    let value = Signature::from_der(&seal.signature).unwrap();
    super::seal(&draft.to_sign().unwrap(), &seal.maker_certificate, &value).unwrap()
}

#[test]
fn a_seal_of_another_maker_is_written_as_it_was_read() {
    let theirs = include_bytes!("../../../tests/samples/seal/UserV4.esl");
    assert_eq!(again(&Seal::parse(theirs).unwrap()), theirs);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_written_is_read_back_and_written_again_as_the_same_bytes(
        id in "[ -~]{0,40}", vendor in "[ -~]{0,20}", name in "\\PC{0,40}", kind in 0_u32..,
        moments in prop::array::uniform3(0_u64..253_402_300_800), face in prop::collection::vec(any::<u8>(), 0..300),
        signers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4),
        extended in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..3),
        hash in any::<Digest>(), property in "[ -~]{0,60}", numbers in prop::array::uniform2(1_u8..),
    ) {
        let value = Signature::from_raw(&[[&[0; 31], &numbers[..1]].concat(), [&[0; 31], &numbers[1..]].concat()].concat()).unwrap();
        let oid = ObjectIdentifier::new_unwrap("1.2.156.10197.6.7.2.2.1");
        let extension = |(critical, value)| Extension { id: oid, critical, value };
        let written = SealDraft {
            vendor, id, kind, name, signers,
            created_s: moments[0], valid_from_s: moments[1], valid_until_s: moments[2],
            picture: Picture { kind: "png".into(), data: face, width_mm: 40, height_mm: 30 },
            extensions: extended.into_iter().map(extension).collect(),
        };
        let bytes = seal(&written.to_sign().unwrap(), &[0x30, 0], &value).unwrap();
        let read = Seal::parse(&bytes).unwrap();
        prop_assert_eq!((&read.id, &read.name, &read.vendor, read.kind), (&written.id, &written.name, &written.vendor, kind));
        prop_assert_eq!(&read.signed, &written.to_sign().unwrap());
        prop_assert_eq!(&again(&read), &bytes);
        let to_sign = UseDraft { seal: &bytes, at_s: moments[0], data_hash: hash, property: &property }.to_sign().unwrap();
        let sealed = signature(&to_sign, &[0x30, 0], &value).unwrap();
        let parsed = SealSignature::parse(&sealed).unwrap();
        prop_assert_eq!(&parsed.signed, &to_sign);
        prop_assert_eq!((parsed.at_s, &parsed.data_hash[..], &parsed.property), (Some(moments[0]), &hash[..], &property));
        let rewritten = UseDraft { seal: &parsed.seal.bytes, at_s: moments[0], data_hash: hash, property: &parsed.property };
        prop_assert_eq!(signature(&rewritten.to_sign().unwrap(), &parsed.certificate, &value).unwrap(), sealed);
    }
}

#[test]
fn what_has_no_encoding_is_not_written() {
    let signer = Pair { certificate: vec![0x30, 0], key: crate::gm::PrivateKey::generate().unwrap() };
    let good = draft(&signer);
    assert!(SealDraft { id: "编号".into(), ..good.clone() }.to_sign().is_err(), "an identifier that is not ASCII");
    assert!(SealDraft { created_s: u64::MAX, ..good }.to_sign().is_err(), "a moment beyond the year 9999");
    let draft = UseDraft { seal: b"no seal", at_s: 0, data_hash: [0; 32], property: "x" };
    assert!(draft.to_sign().is_err());
    assert!(UseDraft { seal: &[0x30, 0], property: "签", ..draft }.to_sign().is_err());
}

/// The independent check: openssl verifies both SM2 signatures and the certificates they are under.
#[test]
fn openssl_agrees_with_seal_signature_and_certificates() {
    let city = city();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let run = |words: &[&str]| {
        let out = Command::new("openssl").args(words).output().expect("openssl is installed");
        assert!(out.status.success(), "openssl {words:?}: {}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    };
    let id = "distid:1234567812345678";
    let check = |name: &str, certificate: &[u8], message: &[u8], value: &[u8]| {
        let der = file(&format!("{name}.der"), certificate);
        let key = file(&format!("{name}.pub"), &run(&["x509", "-inform", "DER", "-in", &der, "-pubkey", "-noout"]));
        let (message, value) = (file(&format!("{name}.msg"), message), file(&format!("{name}.sig"), value));
        let words = ["pkeyutl", "-verify", "-rawin", "-digest", "sm3", "-pubin", "-inkey", &key, "-in", &message];
        run(&[&words[..], &["-sigfile", &value, "-pkeyopt", id]].concat());
        run(&["x509", "-inform", "DER", "-in", &der, "-out", &file(&format!("{name}.pem"), &[])]);
    };
    let signature = SealSignature::parse(&city.sealed(b"a document")).unwrap();
    check("signer", &signature.certificate, &signature.signed, &signature.signature);
    check("maker", &signature.seal.maker_certificate, &signature.seal.signed, &signature.seal.signature);
    let root = file("root.der", &city.authority.own().certificate);
    let anchor = file("root.pem", &[]);
    run(&["x509", "-inform", "DER", "-in", &root, "-out", &anchor]);
    for name in ["signer.pem", "maker.pem"] {
        let path = folder.path().join(name);
        let at = ["-attime", "1750000000", "-vfyopt", id, path.to_str().unwrap()];
        run(&[&["verify", "-CAfile", &anchor][..], &at].concat());
    }
    let list = file("list.der", &city.authority.revocation_list(&[&[0x41, 2]], FROM_S, UNTIL_S).unwrap());
    let shown = run(&["crl", "-inform", "DER", "-in", &list, "-text", "-noout"]);
    assert!(String::from_utf8_lossy(&shown).contains("Serial Number: 4102"));
    assert!(PublicKey::from_point(&[0; 65]).is_err());
}
