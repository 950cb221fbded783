//! What honest and malicious hubs hand out, and what must be said about it.
//!
//! A malicious hub holds its log key: it can log and sign whatever it likes. What it cannot do is have it called good.

use prost::bytes::Bytes;
use wuku::log::entry::commitment;
use wuku::log::merkle::verify_consistency;
use wuku::log::note::{Note, SignatureLine};
use wuku::log::proof::{HashSource, consistency_path};
use wuku::log::{Checkpoint, Ed25519, Frontier, Hash, LogKey, NodeId, Suite, SuiteName, in_suite};
use wuku::receipt::trust::{KeyState, TrustedKey};
use wuku::receipt::verify::{Options, Step};
use wuku::receipt::{Evidence, Outcome, Receipt, Trust, evidence, verify};
use wuku::wire::proto::exchange::v1::AsOf;

use crate::hub::{
    Draft, INDEX, LOG_SEED, SIZE, TIME_S, context, in_each_suite, key, leaf_hash, log_key, nonce, origin, other_kinds,
    root_key, suite, trust,
};

/// A piece of evidence, what the verifier knows, and what it must say.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub evidence: Vec<u8>,
    pub trust: Trust,
    pub now_s: u64,
    pub max_age_s: Option<u64>,
    pub nonce: Option<Vec<u8>>,
    /// `None` means good.
    pub failed_step: Option<Step>,
}

impl Case {
    fn new(name: &str, evidence: &Evidence, failed_step: Option<Step>) -> Self {
        Self::file(name, evidence::to_json(evidence), failed_step)
    }

    fn file(name: &str, evidence: Vec<u8>, failed_step: Option<Step>) -> Self {
        let (trust, now_s, nonce) = (trust(), TIME_S + 3600, Some(nonce()));
        Self { name: name.into(), evidence, trust, now_s, max_age_s: None, nonce, failed_step }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub fn check(&self) {
        let options = Options {
            now_s: Some(self.now_s),
            max_age_s: self.max_age_s,
            nonce: self.nonce.as_deref(),
            question: None,
        };
        let verdict = verify(&self.evidence, &self.trust, &options);
        assert_eq!(verdict.failed_step, self.failed_step, "{}: {}", self.name, verdict.detail);
        assert_eq!(verdict.good, self.failed_step.is_none(), "{}", self.name);
    }
}

pub fn all() -> Vec<Case> {
    let mut cases = [honest(), receipts(), checkpoints(), keys(), statements(), payloads(), readers()].concat();
    if suite() == SuiteName::Sm2 {
        cases.extend(of_sm2());
    }
    cases
}

fn honest() -> Vec<Case> {
    let mut cases = vec![Case::new("look-up, found", &Draft::found().evidence(), None)];
    for (name, draft) in other_kinds() {
        let case = Case::new(name, &draft.evidence(), None);
        // A change echoes its request id instead of a nonce.
        cases.push(if name.starts_with("issue") { case.with(|c| c.nonce = None) } else { case });
    }
    let alone = Draft::found();
    let mut draft = alone.clone();
    draft.statement.position = 0;
    let leaf = leaf_hash(&draft.entry());
    cases.push(Case::new("first and only entry: no path", &draft.logged(0, 1, &log_key(), leaf), None));
    let leaf = leaf_hash(&alone.entry());
    cases.push(Case::new("last entry of a ragged tree", &alone.logged(12, 13, &log_key(), leaf), None));
    cases.push(Case::new("the largest batch", &alone.logged(700, 1500, &log_key(), leaf), None));
    let mut past = Draft::found();
    set_question(&mut past, |q| {
        q.context.as_mut().unwrap().as_of = Some(AsOf { recorded_position: 3, ..AsOf::default() })
    });
    past.payload.valid_at_ms -= 90 * 86_400_000;
    cases.push(Case::new("asked as of another day", &past.evidence(), None));
    cases
}

/// The receipt changed after it was given out.
fn receipts() -> Vec<Case> {
    let neighbour: Hash = leaf_hash(b"neighbour");
    let bend = |name: &str, step: Step, bend: &dyn Fn(&mut Receipt)| {
        let mut evidence = Draft::found().evidence();
        bend(evidence.receipt.as_mut().unwrap());
        Case::new(name, &evidence, Some(step))
    };
    let cut = |bytes: &Bytes, by: usize| Bytes::copy_from_slice(&bytes[..bytes.len() - by]);
    let longer = |bytes: &Bytes, by: &[u8]| Bytes::from([bytes, by].concat());
    vec![
        bend("swapped index", Step::Root, &|r| r.leaf_index = 4),
        bend("index outside the tree", Step::IndexInTree, &|r| r.leaf_index = SIZE as u64),
        bend("index at the end of numbers", Step::IndexInTree, &|r| r.leaf_index = u64::MAX),
        bend("truncated path", Step::PathLength, &|r| r.path = cut(&r.path, 32)),
        bend("no path", Step::PathLength, &|r| r.path = Bytes::new()),
        bend("extended path", Step::PathLength, &|r| r.path = longer(&r.path, &neighbour)),
        bend("path with a broken hash", Step::ReceiptForm, &|r| r.path = cut(&r.path, 1)),
        bend("neighbour's salt", Step::Root, &|r| r.salt = vec![4; 32].into()),
        bend("short salt", Step::ReceiptForm, &|r| r.salt = cut(&r.salt, 1)),
        bend("other time", Step::Root, &|r| r.time_s += 1),
        bend("time at the end of numbers", Step::Root, &|r| r.time_s = u64::MAX),
        bend("no checkpoint", Step::CheckpointForm, &|r| r.checkpoint = Bytes::new()),
        bend("no statement", Step::Root, &|r| r.statement = Bytes::new()),
        {
            let evidence = Evidence { receipt: None, ..Draft::found().evidence() };
            Case::new("no receipt", &evidence, Some(Step::ReceiptForm))
        },
        {
            // The hub hashes the entry as if it were an inner node, so that it may later claim two leaves below it.
            let draft = Draft::found();
            let leaf = suite().hash(&[&[0x01], &draft.entry()]);
            Case::new("leaf as node", &draft.logged(INDEX, SIZE, &log_key(), leaf), Some(Step::Root))
        },
        {
            let draft = Draft::found();
            let leaf = suite().hash(&[&draft.entry()]);
            Case::new("leaf without its prefix", &draft.logged(INDEX, SIZE, &log_key(), leaf), Some(Step::Root))
        },
        {
            let draft = Draft::found();
            let leaf = leaf_hash(&in_suite!(suite(), S => commitment::<S>(&draft.salt, &draft.statement_bytes())));
            Case::new("leaf over the bare commitment", &draft.logged(INDEX, SIZE, &log_key(), leaf), Some(Step::Root))
        },
    ]
}

/// A checkpoint that says something else, signed by the log's own key wherever that is possible.
fn checkpoints() -> Vec<Case> {
    let good = Draft::found().evidence();
    let signed = good.receipt.as_ref().unwrap().checkpoint.clone();
    let note = Note::parse(&signed).unwrap();
    let checkpoint = Checkpoint::parse_text(&note.text).unwrap();
    let replace = |name: &str, step: Step, bytes: Vec<u8>| {
        let mut evidence = good.clone();
        evidence.receipt.as_mut().unwrap().checkpoint = bytes.into();
        Case::new(name, &evidence, Some(step))
    };
    let sized = |size| Checkpoint { size, ..checkpoint.clone() }.sign(&log_key()).unwrap();
    let with_lines = |lines: Vec<SignatureLine>| Note { signatures: lines, ..note.clone() }.to_bytes();
    let line = note.signatures[0].clone();
    let witness = Note::sign(&note.text, &[&key("witness.example", [9; 32])]).unwrap().signatures[0].clone();
    let extended = Note::sign(&format!("{}extension\n", note.text), &[&log_key()]).unwrap().to_bytes();
    let mut other_type = line.clone();
    other_type.id = [1, 2, 3, 4];
    let mut bent = line.clone();
    bent.signature[40] ^= 1;
    let under = |name: &str, seed| {
        let text = note.text.replacen(&origin(1).to_string(), name, 1);
        Note::sign(&text, &[&key(name, seed)]).unwrap().to_bytes()
    };
    vec![
        replace("right root, next size over a power of two", Step::PathLength, sized(17)),
        replace("right root, smaller size", Step::PathLength, sized(6)),
        replace("right root, size without the leaf", Step::IndexInTree, sized(5)),
        replace("right root, size 0", Step::IndexInTree, sized(0)),
        replace("duplicate signature lines", Step::CheckpointForm, with_lines(vec![line.clone(), line.clone()])),
        replace(
            "a cosignature beside the log's line",
            Step::CheckpointForm,
            with_lines(vec![line.clone(), witness.clone()]),
        ),
        replace("a witness instead of the log", Step::CheckpointForm, with_lines(vec![witness])),
        replace("extension line", Step::CheckpointForm, extended),
        replace("other suite: a key id of another type", Step::KeyTrusted, with_lines(vec![other_type])),
        replace("bent signature", Step::Signature, with_lines(vec![bent])),
        replace("other origin of a stranger", Step::OriginTrusted, under("other.example/wuku/1", LOG_SEED)),
        replace("other origin of the same hub", Step::OriginTrusted, under(&origin(2).to_string(), LOG_SEED)),
        replace("right origin, stranger's key", Step::KeyTrusted, under(&origin(1).to_string(), [7; 32])),
        replace(
            "size with a leading zero",
            Step::CheckpointForm,
            String::from_utf8(signed.to_vec()).unwrap().replacen("\n13\n", "\n013\n", 1).into_bytes(),
        ),
        replace("a blank at the end", Step::CheckpointForm, [signed.as_ref(), b"\n"].concat()),
    ]
}

/// What only a hub of the `sm2` suite can try.
fn of_sm2() -> Vec<Case> {
    let good = Draft::found().evidence();
    let checkpoint = good.receipt.as_ref().unwrap().checkpoint.clone();
    let note = Note::parse(&checkpoint).unwrap();
    let line = &note.signatures[0];
    let signed = |name: &str, step: Step, line: SignatureLine| {
        let mut evidence = good.clone();
        let note = Note { signatures: vec![line], ..note.clone() };
        evidence.receipt.as_mut().unwrap().checkpoint = note.to_bytes().into();
        Case::new(name, &evidence, Some(step))
    };
    let with = |signature: Vec<u8>| SignatureLine { signature, ..line.clone() };
    let der = wuku::gm::Signature::from_raw(&line.signature).unwrap().to_der();
    let (r, s) = line.signature.split_at(32);
    let other = LogKey::from_seed(line.name.as_str(), SuiteName::Ed25519, &LOG_SEED).unwrap();
    let others = Note::sign(&note.text, &[&other]).unwrap().signatures[0].clone();
    let draft = Draft::found();
    vec![
        signed("signature in DER", Step::Signature, with(der)),
        signed("a byte behind the signature", Step::Signature, with([line.signature.as_slice(), &[0]].concat())),
        signed("r is zero", Step::Signature, with([&[0; 32], s].concat())),
        signed("s is zero", Step::Signature, with([r, &[0; 32]].concat())),
        signed("r and s above the order", Step::Signature, with(vec![0xff; 64])),
        signed("r and s swapped", Step::Signature, with([s, r].concat())),
        signed("other suite: an Ed25519 key of the same seed", Step::KeyTrusted, others.clone()),
        signed("other suite: its signature under our key's id", Step::Signature, with(others.signature)),
        Case::new(
            "other suite: the leaf hashed with SHA-256",
            &draft.logged(INDEX, SIZE, &log_key(), Ed25519::hash(&[&[0], &draft.entry()])),
            Some(Step::Root),
        ),
    ]
}

/// What the trust file says about the key.
fn keys() -> Vec<Case> {
    let case = |name: &str, step: Option<Step>, change: &dyn Fn(&mut TrustedKey)| {
        Case::new(name, &Draft::found().evidence(), step).with(|c| change(&mut c.trust.logs[0].keys[0]))
    };
    let size = SIZE as u64;
    let live = key(&origin(1).to_string(), [3; 32]);
    let rotated = |c: &mut Case| {
        c.trust.logs[0].keys[0].state = KeyState::Compromised;
        let open = TrustedKey { key: live.verifier().clone(), from_size: 5, to_size: None, state: KeyState::Active };
        c.trust.logs[0].keys.push(open);
    };
    let draft = Draft::found();
    let refreshed = draft.logged(INDEX, 40, &live, leaf_hash(&draft.entry()));
    vec![
        case("retired key inside its sizes", None, &|k| {
            (k.from_size, k.to_size, k.state) = (size, Some(size), KeyState::Retired);
        }),
        case("compromised key", Some(Step::KeyNotCompromised), &|k| k.state = KeyState::Compromised),
        case("size below the key's", Some(Step::KeyCoversSize), &|k| k.from_size = size + 1),
        case("size above the key's", Some(Step::KeyCoversSize), &|k| k.to_size = Some(size - 1)),
        Case::new("compromised key, another one live", &Draft::found().evidence(), Some(Step::KeyNotCompromised))
            .with(rotated),
        Case::new("refreshed under the live key", &refreshed, None).with(rotated),
        Case::new("entry after the log was closed", &Draft::found().evidence(), Some(Step::LogOpen))
            .with(|c| c.trust.logs[0].closed_at_s = Some(TIME_S - 1)),
        Case::new("entry in the second the log was closed", &Draft::found().evidence(), None)
            .with(|c| c.trust.logs[0].closed_at_s = Some(TIME_S)),
    ]
}

/// Statements that are truly in the log but should not be.
fn statements() -> Vec<Case> {
    let case = |name: &str, step: Option<Step>, change: &dyn Fn(&mut Draft)| {
        let mut draft = Draft::found();
        change(&mut draft);
        Case::new(name, &draft.evidence(), step)
    };
    vec![
        case("decided in the last millisecond of the entry's second", None, &|d| {
            d.statement.decided_ms = TIME_S * 1000 + 999;
        }),
        case("decided after the entry", Some(Step::DecidedBeforeEntry), &|d| {
            d.statement.decided_ms = (TIME_S + 1) * 1000
        }),
        case("decided at the end of numbers", Some(Step::DecidedBeforeEntry), &|d| d.statement.decided_ms = u64::MAX),
        case("another hub's statement", Some(Step::Hub), &|d| d.statement.hub = "other.example".into()),
        case("decided from a position after itself", Some(Step::PositionBeforeEntry), &|d| {
            d.statement.position = INDEX as u64 + 1;
        }),
        case("unknown field in the statement", Some(Step::StatementForm), &|d| d.statement_tail = vec![0xa8, 0x06, 1]),
        case("default spelled out in the statement", Some(Step::StatementForm), &|d| {
            d.statement_tail = vec![0x8a, 1, 0]
        }),
        case("statement of another format", Some(Step::StatementForm), &|d| d.statement.format = 2),
        case("unknown kind", Some(Step::StatementForm), &|d| d.statement.kind = 77),
        case("no outcome", Some(Step::StatementForm), &|d| d.statement.outcome = 0),
        case("subject reference of a wrong length", Some(Step::StatementForm), &|d| {
            d.statement.subject_ref = vec![1; 32].into();
        }),
        case("digest of another payload", Some(Step::PayloadDigest), &|d| {
            d.statement.payload_digest = vec![1; 32].into()
        }),
        case("payload of an unknown type", Some(Step::PayloadName), &|d| {
            d.payload_name = "wuku.exchange.v2.Payload".into()
        }),
        case("purpose that the caller did not state", Some(Step::QuestionEcho), &|d| {
            d.statement.purpose.as_mut().unwrap().item = "331099-000102".into();
        }),
        case("operator that the caller did not state", Some(Step::QuestionEcho), &|d| d.statement.operator = None),
    ]
}

/// Payloads with the right digest, truly in the log, that should not be.
fn payloads() -> Vec<Case> {
    let case = |name: &str, step: Step, change: &dyn Fn(&mut Draft)| {
        let mut draft = Draft::found();
        change(&mut draft);
        Case::new(name, &draft.evidence(), Some(step))
    };
    let swapped = |name: &str, step: Step, change: &dyn Fn(&mut Evidence)| {
        let mut evidence = Draft::found().evidence();
        change(&mut evidence);
        Case::new(name, &evidence, Some(step))
    };
    let mut other = Draft::found();
    other.payload.blind = vec![0xb2; 16].into();
    vec![
        swapped("another payload", Step::PayloadDigest, &|e| e.payload = other.payload_bytes().into()),
        swapped("no payload", Step::PayloadDigest, &|e| e.payload = Bytes::new()),
        swapped("payload under another name", Step::PayloadName, &|e| {
            e.payload_name = "wuku.exchange.v1.Change".into()
        }),
        case("unknown field in the payload", Step::PayloadForm, &|d| d.payload_tail = vec![0xa8, 0x06, 1]),
        case("payload of another format", Step::PayloadForm, &|d| d.payload.format = 2),
        case("short blind", Step::PayloadForm, &|d| d.payload.blind = vec![0; 15].into()),
        case("outcomes that differ", Step::Outcome, &|d| d.statement.outcome = Outcome::Absent.into()),
        case("a record under a refusal", Step::Outcome, &|d| {
            (d.statement.outcome, d.payload.outcome) = (Outcome::Refused.into(), Outcome::Refused.into());
        }),
        case("judged at another time", Step::ValidAt, &|d| d.payload.valid_at_ms -= 61_000),
        case("judged at no time", Step::ValidAt, &|d| d.payload.valid_at_ms = 0),
        case("question that is not one", Step::QuestionForm, &|d| d.payload.question = vec![0xff].into()),
        case("unknown field in the question", Step::QuestionForm, &|d| {
            d.payload.question = [d.payload.question.as_ref(), &[0xa8, 0x06, 1]].concat().into();
        }),
        case("short nonce", Step::QuestionForm, &|d| {
            set_question(d, |q| q.context.as_mut().unwrap().nonce = vec![1; 15].into());
        }),
        case("no context", Step::QuestionForm, &|d| set_question(d, |q| q.context = None)),
        case("replayed answer: another nonce", Step::Nonce, &|d| {
            set_question(d, |q| q.context.as_mut().unwrap().nonce = vec![1; 16].into());
        }),
    ]
}

/// What depends on who reads, and when.
fn readers() -> Vec<Case> {
    let good = || Draft::found().evidence();
    let text = String::from_utf8(evidence::to_json(&good())).unwrap();
    let unreadable = |name: &str, file: &str| Case::file(name, file.as_bytes().to_vec(), Some(Step::Readable));
    vec![
        Case::new("just young enough", &good(), None).with(|c| c.max_age_s = Some(3600)),
        Case::new("too old", &good(), Some(Step::MaxAge)).with(|c| c.max_age_s = Some(3599)),
        Case::new("verifier's clock a little behind", &good(), None).with(|c| c.now_s = TIME_S - 300),
        Case::new("entry from the future", &good(), Some(Step::NotFromFuture)).with(|c| c.now_s = TIME_S - 301),
        unreadable("white space", &text.replacen(',', ", ", 1)),
        unreadable("no final newline", text.trim_end()),
        unreadable("unknown key", &text.replacen("\"payload\"", "\"more\":\"\",\"payload\"", 1)),
        unreadable("number instead of string", &text.replacen(&format!("\"{TIME_S}\""), &TIME_S.to_string(), 1)),
        unreadable("unpadded base64", &text.replacen('=', "", 1)),
        unreadable("empty", ""),
    ]
}

fn set_question(draft: &mut Draft, change: impl FnOnce(&mut wuku::wire::proto::exchange::v1::LookUpQuestion)) {
    use prost::Message as _;
    let mut question =
        wuku::wire::proto::exchange::v1::LookUpQuestion::decode(draft.payload.question.as_ref()).unwrap();
    assert_eq!(question.context, Some(context()));
    change(&mut question);
    draft.payload.question = question.encode_to_vec().into();
}

#[test]
fn a_malicious_hub_never_has_its_evidence_called_good() {
    in_each_suite(|_| {
        let cases = all();
        cases.iter().for_each(Case::check);
        let steps: Vec<Step> = cases.iter().filter_map(|case| case.failed_step).collect();
        for step in Step::ALL.iter().filter(|step| **step != Step::Question) {
            assert!(steps.contains(step), "no case fails at {step}");
        }
    });
}

#[test]
fn an_answer_to_another_question_is_not_mine() {
    in_each_suite(|_| {
        let evidence = Draft::found().evidence();
        let question = Draft::found().payload.question;
        let with = |question| Options { question: Some(question), ..Options::default() };
        assert!(wuku::receipt::verify::verify_message(&evidence, &trust(), &with(&question)).good);
        let verdict = wuku::receipt::verify::verify_message(&evidence, &trust(), &with(b"other"));
        assert_eq!(verdict.failed_step, Some(Step::Question));
    });
}

/// A max-age that cannot be judged is not passed over.
#[test]
fn a_time_limit_without_a_clock_is_not_good() {
    let options = Options { max_age_s: Some(u64::MAX), ..Options::default() };
    let verdict = wuku::receipt::verify::verify_message(&Draft::found().evidence(), &trust(), &options);
    assert_eq!(verdict.failed_step, Some(Step::MaxAge));
}

struct Leaves(Vec<Hash>);
impl HashSource for Leaves {
    type Error = wuku::log::merkle::ProofError;
    fn node(&self, node: NodeId) -> Result<Hash, Self::Error> {
        let start = (node.index << node.level) as usize;
        let leaves = &self.0[start..start + (1 << node.level)];
        Ok(in_suite!(suite(), S => Frontier::<S>::new().append(leaves).into_frontier().root()))
    }
}

/// A size that asks for a path of the same shape cannot be told from one receipt: the path of leaf 5 is the same in a tree of 13
/// and of 14 leaves if the root is. Comparing checkpoints tells it, which is why clients keep the highest one.
#[test]
fn a_wrong_size_that_one_receipt_cannot_show_is_shown_by_consistency() {
    in_each_suite(|_| {
        let draft = Draft::found();
        let evidence = draft.evidence();
        let receipt = evidence.receipt.clone().unwrap();
        let told = Checkpoint::parse_text(&Note::parse(&receipt.checkpoint).unwrap().text).unwrap();
        let lie = Checkpoint { size: 14, ..told.clone() };
        let mut lying = evidence;
        lying.receipt.as_mut().unwrap().checkpoint = lie.sign(&log_key()).unwrap().into();
        assert!(wuku::receipt::verify::verify_message(&lying, &trust(), &Options::default()).good);

        let mut leaves: Vec<Hash> = crate::hub::entries(14).iter().map(|e| leaf_hash(e)).collect();
        leaves[INDEX] = leaf_hash(&draft.entry());
        in_suite!(suite(), S => {
            let proof = consistency_path::<S, _>(&Leaves(leaves), 13, 14).unwrap();
            assert!(verify_consistency::<S>(13, 14, &told.root, &lie.root, &proof).is_err());
        });
    });
}

#[test]
fn the_trust_file_of_these_cases_is_one() {
    in_each_suite(|_| {
        let file = trust().sign(&root_key()).unwrap();
        assert!(Trust::open(&file, wuku::receipt::trust::Root::Key(root_key().verifier())).is_ok());
    });
}
