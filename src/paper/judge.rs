//! Judging a paper: each of its signatures, and what none of them covers.
use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::container::{Container, LIMITS, Patience, Unreadable};
use super::package::{Body, Description, Found, Package, SignatureEntry, read_xml, resolve};
use crate::gm::{self, Digest};
use crate::seal::judge::{Check, Container as Wrapping, Grounds, SignatureReport, signature};
use crate::seal::step::{Finding, Outcome, Profile, Step};

/// What a paper is worth as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every signature is good, together they cover the whole document, and configured anchors vouch for who signed.
    Valid,
    /// As valid, but nobody configured vouches for who signed: anybody can make such a file, under any name.
    NotAnchored,
    /// A signature is not good, there is none, or the document is not whole.
    NotValid,
    /// The signatures are good, but there is content none of them covers.
    PartlyCovered,
    /// Of a kind that is kept, and not judged.
    NotVerified,
    /// Not a file that can be judged.
    Unreadable,
}

/// Why a document is not valid apart from its signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody signed it.
    Unsigned,
    /// It names parts that are not there.
    PartsMissing,
    /// There is more than one document in the file.
    SeveralDocuments,
    /// Its list of signatures names one twice, or none that can be read.
    SignatureList,
}

/// A paper, judged.
#[derive(Clone, Debug)]
pub struct PaperReport {
    /// The verdict.
    pub verdict: Verdict,
    /// What is wrong with the document itself.
    pub faults: Vec<(Fault, String)>,
    /// Its signatures.
    pub signatures: Vec<PaperSignature>,
    /// Content that no good signature covers.
    pub uncovered: Vec<String>,
    /// Its documents.
    pub bodies: Vec<Body>,
    /// Whether every signer leads to a configured anchor.
    pub trusted: bool,
}

/// One signature of a paper.
#[derive(Clone, Debug)]
pub struct PaperSignature {
    /// As the list names it.
    pub entry: SignatureEntry,
    /// What was found out about its value.
    pub report: SignatureReport,
    /// Parts whose digest is as listed.
    pub references_ok: usize,
    /// Parts whose digest is not, or which are not there.
    pub references_bad: Vec<String>,
    /// The seal beside it against the seal inside; `None`: there is none beside it.
    pub seal_file_matches: Option<bool>,
    /// Parts it does not cover.
    pub uncovered: Vec<Uncovered>,
    /// The steps that make it not valid; none: valid.
    pub reasons: Vec<Step>,
    /// Pages that show it.
    pub stamps: usize,
    covered: BTreeSet<String>,
    housekeeping: BTreeSet<String>,
}

/// A part a signature does not cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncovered {
    /// Which.
    pub part: String,
    /// Whether it belongs to another signature, which answers for itself.
    pub other_signature: bool,
}

/// Judges an OFD file.
///
/// # Errors
/// Where it cannot be read, with the reason.
pub fn paper(
    bytes: &[u8],
    profile: Profile,
    grounds: Grounds<'_>,
    patience: Patience<'_>,
) -> Result<PaperReport, Unreadable> {
    let container = Container::open_within(bytes, &LIMITS, patience)?;
    let digests = digests(&container)?;
    let package = Package::read(&container)?;
    let mut faults = Vec::new();
    if package.bodies.len() > 1 {
        faults.push((Fault::SeveralDocuments, format!("{} documents", package.bodies.len())));
    }
    let mut signatures = Vec::new();
    let mut irregular = Vec::new();
    let (mut lists, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for body in &package.bodies {
        faults.extend(body.missing.iter().map(|path| (Fault::PartsMissing, path.clone())));
        if body.pages.is_empty() {
            faults.push((Fault::PartsMissing, "no pages".to_owned()));
        }
        let Some(list) = &body.signatures else { continue };
        lists.insert(list.path.clone());
        irregular.extend(list.irregular.iter().map(|what| (list.path.clone(), what.clone())));
        for entry in &list.entries {
            let id_is_new = seen.insert(format!("id {}", entry.id));
            let path_is_new = entry.path.as_ref().is_none_or(|path| seen.insert(path.clone()));
            if !id_is_new || !path_is_new {
                faults.push((Fault::SignatureList, format!("signature {} stands twice", entry.id)));
            }
            container.patience()?;
            signatures.push(match path_is_new {
                true => one(&container, &digests, entry, &list.path, profile, grounds)?,
                // Judged once already; a list of the same one many times would only cost.
                false => PaperSignature::broken(entry, format!("{} is listed before", entry.written)),
            });
        }
    }
    if signatures.is_empty() {
        faults.push((Fault::Unsigned, String::new()));
    }
    let own_parts: BTreeSet<String> = signatures.iter().flat_map(|s| s.housekeeping.iter().cloned()).collect();
    for signature in &mut signatures {
        signature.name_uncovered(&container, &lists, &own_parts);
    }
    let uncovered = uncovered(&container, &signatures, &lists, &own_parts, &irregular);
    let good = faults.is_empty() && signatures.iter().all(|signature| signature.reasons.is_empty());
    let trusted = !signatures.is_empty() && signatures.iter().all(|s| is_trusted(&s.report));
    let verdict = match (good, uncovered.is_empty(), trusted) {
        (false, ..) => Verdict::NotValid,
        (true, false, _) => Verdict::PartlyCovered,
        (true, true, false) => Verdict::NotAnchored,
        (true, true, true) => Verdict::Valid,
    };
    Ok(PaperReport { verdict, faults, signatures, uncovered, bodies: package.bodies, trusted })
}

/// Whether signer and, where there is a seal, its maker lead to configured anchors.
#[must_use]
pub fn is_trusted(report: &SignatureReport) -> bool {
    let holds = |step| report.findings.iter().any(|f: &Finding| f.step == step && f.outcome == Outcome::Ok);
    holds(Step::SignerCertificate) && (report.seal.is_none() || holds(Step::MakerCertificate))
}

/// SM3 of every part: unpacking each once also proves that each unpacks.
fn digests(container: &Container<'_>) -> Result<BTreeMap<String, Digest>, Unreadable> {
    use sm3::Digest as _;
    let mut digests = BTreeMap::new();
    for part in container.parts() {
        let mut hasher = sm3::Sm3::new();
        container.stream(part, |bytes| hasher.update(bytes))?;
        digests.insert(part.to_owned(), hasher.finalize().into());
    }
    Ok(digests)
}

fn one(
    container: &Container<'_>,
    digests: &BTreeMap<String, Digest>,
    entry: &SignatureEntry,
    list: &str,
    profile: Profile,
    grounds: Grounds<'_>,
) -> Result<PaperSignature, Unreadable> {
    let Some(path) = &entry.path else {
        return Ok(PaperSignature::broken(entry, format!("{} leads to no part", entry.written)));
    };
    let Some((bytes, document)) = read_xml(container, path)? else {
        return Ok(PaperSignature::broken(entry, format!("{path} is not there")));
    };
    let described = Description::read(&document, path)?;
    let value_path = described.signed_value.as_deref().map(|written| resolve(container, path, written));
    let Some(Found::Part(value_path)) = value_path else {
        return Ok(PaperSignature::broken(entry, "the signature's value is not there".to_owned()));
    };
    let value = container.read(&value_path)?.unwrap_or_default();
    let mut signature = PaperSignature {
        entry: entry.clone(),
        report: signature(&value, &bytes, Some(path), grounds),
        references_ok: 0,
        references_bad: Vec::new(),
        seal_file_matches: None,
        uncovered: Vec::new(),
        reasons: Vec::new(),
        stamps: described.stamps,
        covered: BTreeSet::new(),
        housekeeping: BTreeSet::from([path.clone(), value_path]),
    };
    signature.hold_references(container, digests, &described, path);
    signature.hold_seal_file(container, &described, path)?;
    signature.hold_kind(entry, &described, list);
    signature.reasons = profile.reasons(&signature.report.findings);
    Ok(signature)
}

impl PaperSignature {
    /// A signature that is listed and cannot be judged.
    fn broken(entry: &SignatureEntry, why: String) -> Self {
        let mut report = signature(&[], &[], None, Grounds { anchors: &Default::default(), now_s: 0, issuer: None });
        report.findings = vec![Finding { step: Step::Format, outcome: Outcome::Bad, detail: why }];
        report.signature = Check::Absent;
        Self {
            entry: entry.clone(),
            report,
            references_ok: 0,
            references_bad: Vec::new(),
            seal_file_matches: None,
            uncovered: Vec::new(),
            reasons: vec![Step::Format],
            stamps: 0,
            covered: BTreeSet::new(),
            housekeeping: BTreeSet::new(),
        }
    }

    fn hold_references(
        &mut self,
        container: &Container<'_>,
        digests: &BTreeMap<String, Digest>,
        described: &Description,
        path: &str,
    ) {
        let sm3 = described.is_sm3();
        let mut listed = BTreeSet::new();
        for (written, value) in &described.references {
            let part = match resolve(container, path, written) {
                Found::Part(part) => part,
                Found::Nothing | Found::Two => {
                    self.references_bad.push(written.trim_start_matches('/').to_owned());
                    continue;
                }
            };
            let stated = STANDARD.decode(value).ok();
            let digest = digests.get(&part).map(Digest::as_slice);
            // Twice with one value says nothing new; twice with two values, one of them is wrong.
            listed.insert(part.clone());
            if sm3 && stated.is_some() && stated.as_deref() == digest {
                self.references_ok += 1;
            } else {
                self.references_bad.push(part.clone());
            }
        }
        self.covered = listed;
        let bad = self.references_bad.join(", ");
        let outcome = match (self.references_bad.is_empty(), described.references.is_empty()) {
            (true, false) => Outcome::Ok,
            _ => Outcome::Bad,
        };
        let detail = if described.references.is_empty() { "it lists no parts".to_owned() } else { bad };
        self.report.findings.push(Finding { step: Step::References, outcome, detail });
        let named = described.check_method.as_deref().unwrap_or("MD5, as none is named");
        let outcome = if sm3 { Outcome::Ok } else { Outcome::Bad };
        self.report.findings.push(Finding { step: Step::DigestMethod, outcome, detail: named.to_owned() });
    }

    fn hold_seal_file(
        &mut self,
        container: &Container<'_>,
        described: &Description,
        path: &str,
    ) -> Result<(), Unreadable> {
        let Some(written) = &described.seal else {
            if self.report.seal.is_some() {
                self.report.findings.push(Finding {
                    step: Step::SealFile,
                    outcome: Outcome::Absent,
                    detail: String::new(),
                });
            }
            return Ok(());
        };
        let part = resolve(container, path, written).part();
        let beside = part.as_ref().map(|part| container.read(part)).transpose()?.flatten();
        let inside = self.report.seal.as_ref().map(|report| report.seal.bytes.as_slice());
        let matches = beside.is_some() && beside.as_deref() == inside;
        self.seal_file_matches = Some(matches);
        if let (Some(part), true) = (part, matches) {
            self.housekeeping.insert(part);
        }
        let outcome = if matches { Outcome::Ok } else { Outcome::Bad };
        self.report.findings.push(Finding { step: Step::SealFile, outcome, detail: written.clone() });
        Ok(())
    }

    /// The list says Seal or Sign, the description names an algorithm: neither may contradict the value.
    fn hold_kind(&mut self, entry: &SignatureEntry, described: &Description, list: &str) {
        if !described.is_sm2() {
            let detail = format!("the description names {}", described.method.as_deref().unwrap_or_default());
            self.report.findings.push(Finding { step: Step::Algorithm, outcome: Outcome::Bad, detail });
        }
        let sealed = matches!(self.report.container, Wrapping::Ses(_));
        let fits = match entry.kind.as_deref() {
            None | Some("Seal") => sealed,
            Some("Sign") => true,
            Some(_) => false,
        };
        if !fits && self.report.container != Wrapping::Unknown {
            let detail = format!("{list} calls it {}", entry.kind.as_deref().unwrap_or("a seal by saying nothing"));
            self.report.findings.push(Finding { step: Step::Format, outcome: Outcome::Bad, detail });
        }
    }

    fn name_uncovered(&mut self, container: &Container<'_>, lists: &BTreeSet<String>, own_parts: &BTreeSet<String>) {
        let not_mine = container.parts().filter(|part| {
            !self.covered.contains(*part) && !self.housekeeping.contains(*part) && !lists.contains(*part)
        });
        self.uncovered = not_mine
            .map(|part| Uncovered { part: part.to_owned(), other_signature: own_parts.contains(part) })
            .collect();
    }
}

/// Content that no good signature covers. A signature's own parts answer for themselves: description and value are what was verified.
fn uncovered(
    container: &Container<'_>,
    signatures: &[PaperSignature],
    lists: &BTreeSet<String>,
    own_parts: &BTreeSet<String>,
    irregular: &[(String, String)],
) -> Vec<String> {
    let covers = |part: &str| signatures.iter().any(|s| s.reasons.is_empty() && s.covered.contains(part));
    let open = |part: &&str| !covers(part) && !own_parts.contains(*part) && !lists.contains(*part);
    let mut found: Vec<String> = container.parts().filter(open).map(str::to_owned).collect();
    found.extend(irregular.iter().filter(|(list, _)| !covers(list)).map(|(list, what)| format!("{list} ({what})")));
    found.extend(
        signatures.iter().filter_map(|s| s.report.unprotected.map(|what| format!("signature {} ({what})", s.entry.id))),
    );
    found
}

/// SM3 of a file.
#[must_use]
pub fn sm3_of(bytes: &[u8]) -> Digest {
    gm::sm3(&[bytes])
}

/// SM3 of a file, in hex.
#[must_use]
pub fn hash_of(bytes: &[u8]) -> String {
    sm3_of(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
