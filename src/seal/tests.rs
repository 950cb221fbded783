//! Seals and signatures nobody here made, held against what an independent check found.
use super::certificate::Certificate;
use super::chain::{Anchors, Fault, Path, Use};
use super::judge::{self, Check, Container, Grounds};
use super::ses::{Generation, Seal, SealSignature};
use super::step::{Outcome, Profile, Step};

const V1: &[u8] = include_bytes!("../../tests/samples/seal/UserV1.esl");
const V4: &[u8] = include_bytes!("../../tests/samples/seal/UserV4.esl");
const V5: &[u8] = include_bytes!("../../tests/samples/seal/UserV5.esl");
const BAD: &[u8] = include_bytes!("../../tests/samples/seal/SESealData-badsig.esl");
const OVER_ZEROS: &[u8] = include_bytes!("../../tests/samples/seal/SignedValueV4.dat");
const ROOT: &str = include_str!("../../tests/samples/cert/ofdrw-root.pem");
const USER: &str = include_str!("../../tests/samples/cert/ofdrw-user.pem");
/// 2021-01-01.
const IN_2021: u64 = 1_609_459_200;

fn certificate(pem: &str) -> Certificate {
    Certificate::from_pem_file(pem).unwrap().remove(0)
}

fn rooted() -> Anchors {
    Anchors { seal_makers: vec![certificate(ROOT)], signers: vec![certificate(ROOT)], ..Anchors::default() }
}

fn judged(bytes: &[u8], anchors: &Anchors) -> judge::SealReport {
    judge::seal(Seal::parse(bytes).unwrap(), IN_2021, Grounds { anchors, now_s: IN_2021, issuer: None })
}

#[test]
fn seals_of_three_generations_verify_up_to_their_root() {
    for (bytes, generation, name) in [
        (V1, Generation::V1, "OFDRW测试用印章"),
        (V4, Generation::V4, "OFD R&W 测试用印章"),
        (V5, Generation::V5, "OFD R&W V5测试用印章"),
    ] {
        let report = judged(bytes, &rooted());
        assert_eq!(
            (report.seal.generation, report.seal.name.as_str(), report.signature),
            (generation, name, Check::Ok)
        );
        let chain = report.findings.iter().find(|f| f.step == Step::MakerCertificate).unwrap();
        assert_eq!(chain.outcome, Outcome::Ok, "{generation:?}: {}", chain.detail);
    }
    assert_eq!(Profile::Gbt2020.reasons(&judged(V4, &rooted()).findings), vec![]);
    assert_eq!(Profile::Strict2025.reasons(&judged(V4, &rooted()).findings), vec![Step::MakerRevocation]);
    // Made in 2026 by a certificate that ended in 2022, and not yet good in 2021.
    let v5 = Profile::Gbt2020.reasons(&judged(V5, &rooted()).findings);
    assert_eq!(v5, vec![Step::SealDates], "its making is 2025's question");
}

#[test]
fn a_seal_whose_maker_did_not_sign_it_is_found_out() {
    let report = judged(BAD, &Anchors::default());
    assert_eq!(report.signature, Check::Bad);
    assert_eq!(report.maker_valid_at_creation, Some(false));
    assert!(Profile::LenientHistory.reasons(&report.findings).contains(&Step::SealSignature));
}

#[test]
fn no_byte_of_a_seal_can_change() {
    for good in [V1, V4, V5] {
        let parsed = Seal::parse(good).unwrap();
        let picture = good.windows(64).position(|window| window == &parsed.picture.data[..64]).unwrap();
        let places = (0..picture + 8).chain(good.len() - 700..good.len()).step_by(3);
        for at in places {
            let mut altered = good.to_vec();
            altered[at] ^= 1;
            let fine = Seal::parse(&altered).is_ok_and(|seal| {
                let grounds = Grounds { anchors: &rooted(), now_s: IN_2021, issuer: None };
                Profile::LenientHistory.reasons(&judge::seal(seal, IN_2021, grounds).findings).is_empty()
            });
            assert!(!fine, "byte {at} of {}", good.len());
        }
    }
}

#[test]
fn a_seals_signature_is_over_one_document() {
    let parsed = SealSignature::parse(OVER_ZEROS).unwrap();
    assert_eq!(parsed.data_hash, [0; 32]);
    let anchors = rooted();
    let grounds = Grounds { anchors: &anchors, now_s: IN_2021, issuer: None };
    let report = judge::signature(OVER_ZEROS, b"another document", None, grounds);
    assert_eq!((report.signature, report.data_hash), (Check::Ok, Check::Bad));
    assert_eq!(report.container, Container::Ses(Generation::V4));
    assert_eq!(Profile::Gbt2020.reasons(&report.findings), vec![Step::DataHash]);
}

#[test]
fn an_anchor_vouches_only_for_the_use_and_the_moment_it_is_listed_for() {
    let (root, user) = (certificate(ROOT), certificate(USER));
    let path = |anchors: &Anchors, purpose, at_s| anchors.path(&user, purpose, at_s, &[]);
    let good = Path::Good { revocation_checked: false };
    let makers = Anchors { seal_makers: vec![root.clone()], ..Anchors::default() };
    assert_eq!(path(&makers, Use::SealMaker, IN_2021), good);
    assert_eq!(path(&makers, Use::Signer, IN_2021), Path::NoAnchors);
    assert!(matches!(path(&makers, Use::SealMaker, 1_700_000_000), Path::None(Fault::OutsideDates(_))));
    let pinned = Anchors { signers: vec![user.clone()], ..Anchors::default() };
    assert_eq!(path(&pinned, Use::Signer, IN_2021), Path::Good { revocation_checked: true });
    // An end entity that the list pins vouches for nobody but itself.
    let other = Anchors {
        signers: vec![certificate(include_str!("../../tests/samples/cert/ofdrw-sealer.pem"))],
        ..Anchors::default()
    };
    assert_eq!(path(&other, Use::Signer, IN_2021), Path::None(Fault::Unanchored));
    assert_eq!(user.shown(), certificate(USER).shown());
}
