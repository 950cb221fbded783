//! A licence as a file, to try things with: one page of OFD (GB/T 33190) under a demo seal. Every one says 演示.
//!
//! Real files come from a department's own system; the hub makes none. Parts are stored, in one order and with one time, so that the
//! same content under the same signature is the same file.
use crate::gm::{self, Digest};
use crate::paper::container::{Container, LIMITS};
use crate::seal::maker::{self, Authority, Pair, Subject};
use crate::seal::ses::Picture;
use crate::seal::write::{self, SealDraft, UseDraft};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;
use std::path::Path;

const DAY_S: u64 = 86_400;
const NAMESPACE: &str = "xmlns:ofd=\"http://www.ofdspec.org/2016\"";
const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
const DESCRIPTION: &str = "Doc_0/Signs/Sign_0/Signature.xml";

/// A department's demo seal, with the authority that vouches for it.
pub struct DemoSeal {
    authority: Authority,
    signer: Pair,
    seal: Vec<u8>,
}

impl DemoSeal {
    /// A new one for the department of this credit code and name, good for a month around `now_s` (Unix seconds).
    ///
    /// # Errors
    /// No randomness.
    pub fn make(uscc: &str, name: &str, now_s: u64) -> Result<Self, String> {
        let (from_s, until_s) = (now_s.saturating_sub(DAY_S), now_s.saturating_add(30 * DAY_S));
        let failed = |error: crate::seal::asn1::Malformed| error.to_string();
        let authority = Authority::make("DEV 演示制章机构", from_s, until_s).map_err(failed)?;
        let id = "33109900000001";
        let organisation = format!("{uscc}{name}");
        let subject = Subject { common_name: id, organisation: &organisation };
        let signer = authority.issue(subject, from_s, until_s).map_err(failed)?;
        let maker = Subject { common_name: "DEV 演示制章系统", organisation: "DEV 演示" };
        let maker = authority.issue(maker, from_s, until_s).map_err(failed)?;
        let draft = SealDraft {
            vendor: "WUKUDEV".into(),
            id: id.into(),
            kind: 4,
            name: format!("{name}电子证照专用章（演示）"),
            signers: vec![signer.certificate.clone()],
            created_s: now_s.saturating_sub(3_600),
            valid_from_s: from_s,
            valid_until_s: until_s,
            picture: Picture { kind: "png".into(), data: Vec::new(), width_mm: 40, height_mm: 40 },
            extensions: Vec::new(),
        };
        let seal = maker::demo_seal(draft, &maker).map_err(failed)?;
        Ok(Self { authority, signer, seal })
    }

    /// Writes what a verifier must believe into a folder: `signer.pem` and `seal-maker.pem`.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_anchors(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let body = STANDARD.encode(&self.authority.own().certificate);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        std::fs::write(folder.join("signer.pem"), &pem)?;
        std::fs::write(folder.join("seal-maker.pem"), &pem)
    }

    /// A sealed paper of this licence, with these lines on its page.
    ///
    /// # Errors
    /// What cannot be written.
    pub fn paper(&self, licence_id: &str, lines: &[String], at_s: u64) -> Result<Vec<u8>, String> {
        let mut parts = contents(licence_id, lines);
        let list = format!(
            "{HEAD}<ofd:Signatures {NAMESPACE}><ofd:MaxSignId>1</ofd:MaxSignId><ofd:Signature ID=\"1\" Type=\"Seal\" \
             BaseLoc=\"/{DESCRIPTION}\"/></ofd:Signatures>"
        );
        parts.push(("Doc_0/Signs/Signatures.xml".to_owned(), list.into_bytes()));
        let description = describe(&parts).into_bytes();
        let property = format!("/{DESCRIPTION}");
        let used = UseDraft { seal: &self.seal, at_s, data_hash: gm::sm3(&[&description]), property: &property };
        let to_sign = used.to_sign().map_err(|e| e.to_string())?;
        let signature = self.signer.key.sign(&[&to_sign]).map_err(|e| e.to_string())?;
        let value = write::signature(&to_sign, &self.signer.certificate, &signature).map_err(|e| e.to_string())?;
        parts.push((DESCRIPTION.to_owned(), description));
        parts.push(("Doc_0/Signs/Sign_0/SignedValue.dat".to_owned(), value));
        Ok(pack(&parts))
    }
}

impl std::fmt::Debug for DemoSeal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DemoSeal")
    }
}

/// A copy of a paper with one word of its page replaced and its ZIP in order: what a forger makes.
///
/// # Errors
/// A paper that cannot be read, or without the word.
pub fn altered(paper: &[u8], word: &str, other: &str) -> Result<Vec<u8>, String> {
    let container = Container::open(paper, &LIMITS).map_err(|e| e.to_string())?;
    let (mut parts, mut found) = (Vec::new(), false);
    for name in container.parts() {
        let mut bytes = container.read(name).map_err(|e| e.to_string())?.unwrap_or_default();
        if name.ends_with("Content.xml") {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            found |= text.contains(word);
            bytes = text.replacen(word, other, 1).into_bytes();
        }
        parts.push((name.to_owned(), bytes));
    }
    if found { Ok(pack(&parts)) } else { Err(format!("no {word} on the page")) }
}

/// What is on the page, and the licence it is of.
fn contents(licence_id: &str, lines: &[String]) -> Vec<(String, Vec<u8>)> {
    let mut texts = String::new();
    for (at, line) in lines.iter().enumerate() {
        let top = 30 + 10 * at;
        let _ = write!(
            texts,
            "<ofd:TextObject ID=\"{}\" Boundary=\"20 {top} 170 8\" Font=\"1\" Size=\"5\"><ofd:TextCode X=\"0\" Y=\"5\">{}</ofd:TextCode></ofd:TextObject>",
            at + 10,
            escaped(line)
        );
    }
    let id: String = gm::sm3(&[licence_id.as_bytes()]).iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let licence_id = escaped(licence_id);
    vec![
        (
            "OFD.xml".to_owned(),
            format!(
                "{HEAD}<ofd:OFD {NAMESPACE} Version=\"1.0\" DocType=\"OFD\"><ofd:DocBody><ofd:DocInfo><ofd:DocID>{id}</ofd:DocID>\
                 <ofd:Title>演示电子证照</ofd:Title><ofd:CustomDatas><ofd:CustomData Name=\"证照标识\">{licence_id}</ofd:CustomData>\
                 </ofd:CustomDatas></ofd:DocInfo><ofd:DocRoot>Doc_0/Document.xml</ofd:DocRoot>\
                 <ofd:Signatures>/Doc_0/Signs/Signatures.xml</ofd:Signatures></ofd:DocBody></ofd:OFD>"
            )
            .into_bytes(),
        ),
        (
            "Doc_0/Document.xml".to_owned(),
            format!(
                "{HEAD}<ofd:Document {NAMESPACE}><ofd:CommonData><ofd:MaxUnitID>99</ofd:MaxUnitID><ofd:PageArea>\
                 <ofd:PhysicalBox>0 0 210 297</ofd:PhysicalBox></ofd:PageArea><ofd:PublicRes>PublicRes.xml</ofd:PublicRes>\
                 </ofd:CommonData><ofd:Pages><ofd:Page ID=\"2\" BaseLoc=\"Pages/Page_0/Content.xml\"/></ofd:Pages></ofd:Document>"
            )
            .into_bytes(),
        ),
        (
            "Doc_0/PublicRes.xml".to_owned(),
            format!(
                "{HEAD}<ofd:Res {NAMESPACE} BaseLoc=\"Res\"><ofd:Fonts><ofd:Font ID=\"1\" FontName=\"宋体\"/></ofd:Fonts></ofd:Res>"
            )
            .into_bytes(),
        ),
        (
            "Doc_0/Pages/Page_0/Content.xml".to_owned(),
            format!(
                "{HEAD}<ofd:Page {NAMESPACE}><ofd:Content><ofd:Layer ID=\"3\">{texts}</ofd:Layer></ofd:Content></ofd:Page>"
            )
            .into_bytes(),
        ),
    ]
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The list of parts with their digests: what the seal is put under.
fn describe(parts: &[(String, Vec<u8>)]) -> String {
    let mut rows = String::new();
    for (name, bytes) in parts {
        let digest: Digest = gm::sm3(&[bytes]);
        let _ = write!(
            rows,
            "<ofd:Reference FileRef=\"/{name}\"><ofd:CheckValue>{}</ofd:CheckValue></ofd:Reference>",
            STANDARD.encode(digest)
        );
    }
    format!(
        "{HEAD}<ofd:Signature {NAMESPACE}><ofd:SignedInfo><ofd:Provider ProviderName=\"wuku dev 演示\"/>\
         <ofd:SignatureMethod>1.2.156.10197.1.501</ofd:SignatureMethod><ofd:References CheckMethod=\"1.2.156.10197.1.401\">{rows}\
         </ofd:References><ofd:StampAnnot ID=\"5\" PageRef=\"2\" Boundary=\"140 220 40 40\"/></ofd:SignedInfo>\
         <ofd:SignedValue>SignedValue.dat</ofd:SignedValue></ofd:Signature>"
    )
}

/// A ZIP of stored parts.
fn pack(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in parts {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let common = [
            &[20, 0, 0, 8, 0, 0, 0, 0, 33, 0][..], // version 2.0, names in UTF-8, stored, 1 January 1980
            &crc.sum().to_le_bytes(),
            &count(bytes.len()).to_le_bytes(),
            &count(bytes.len()).to_le_bytes(),
            &short(name.len()).to_le_bytes(),
            &[0, 0],
        ]
        .concat();
        let at = count(out.len()).to_le_bytes();
        out.extend([b"PK\x03\x04", common.as_slice(), name.as_bytes(), bytes].concat());
        directory.extend([b"PK\x01\x02\x14\x00", common.as_slice(), &[0; 10], &at, name.as_bytes()].concat());
    }
    let (rows, size, at) = (short(parts.len()).to_le_bytes(), count(directory.len()), count(out.len()));
    out.extend(directory);
    let end = [b"PK\x05\x06\0\0\0\0", &rows[..], &rows, &size.to_le_bytes(), &at.to_le_bytes(), &[0, 0]];
    out.extend(end.concat());
    out
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::{anchors, report};
    use crate::seal::judge::Grounds;
    use crate::seal::step::Profile;

    const NOW_S: u64 = 1_795_305_600;

    #[test]
    fn a_demo_paper_is_wholly_valid_for_who_believes_its_authority_and_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let seal = DemoSeal::make("11331023MB0T74698J", "演示市场监督管理局", NOW_S).unwrap();
        seal.write_anchors(folder.path()).unwrap();
        let lines = ["食品经营许可证（演示）".to_owned(), "持证主体：<演示> & 演示".to_owned()];
        let paper = seal.paper("1.2.156.3005.2.x", &lines, NOW_S).unwrap();
        let believed = anchors::read(&[folder.path().display().to_string()]).unwrap();
        let judged =
            |anchors, issuer| report::of_file(&paper, Profile::Gbt2020, Grounds { anchors, now_s: NOW_S, issuer });
        let report = judged(&believed, Some("11331023MB0T74698J"));
        assert_eq!(report.verdict.as_str(), "valid", "{:#}", report.json);
        assert_eq!((report.named[0].value.as_str(), report.named[0].covered), ("1.2.156.3005.2.x", true));
        assert_eq!(judged(&believed, Some("11331023MB0T74699X")).verdict.as_str(), "not-valid");
        assert_eq!(judged(&Default::default(), None).verdict.as_str(), "valid-but-not-anchored");
        let forged = altered(&paper, "食品", "药品").unwrap();
        let grounds = Grounds { anchors: &believed, now_s: NOW_S, issuer: None };
        let report = report::of_file(&forged, Profile::Gbt2020, grounds);
        assert_eq!(report.verdict.as_str(), "not-valid");
        assert!(altered(&paper, "没有这个词", "").is_err());
    }
}
