//! What is asked: questions made ahead, from a city that follows from its seed or from a file of codes.
use super::super::connection::PurposeArgs;
use super::super::{CliError, CliResult};
use super::link::framed;
use super::load::Call;
use super::rpc::Rpc;
use crate::demo::city::City;
use crate::demo::random::Random;
use crate::library::codes::HolderCode;
use crate::wire::proto::exchange::v1 as x;
use crate::wire::proto::library::v1 as lib;
use crate::wire::proto::receipt::v1::{Operator, Purpose, PurposeKind};
use bytes::Bytes;
use prost::Message;
use std::path::Path;

/// Residents before this one are the city's hard cases; a measure of speed asks about ordinary people.
const FIRST_ORDINARY: u64 = 16;
/// The fields of a base record that a marriage registry needs.
const FIELDS: [&str; 4] = ["name", "sex", "birth_date", "marital_status"];
/// The fields of a licence that a service window needs.
const LICENCE_FIELDS: [&str; 4] = ["licence_id", "type_name", "holder_name", "valid_until"];

/// Somebody to ask about.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Subject {
    pub(super) code: HolderCode,
    /// Empty where the file has no names.
    pub(super) name: String,
}

/// Where subjects come from.
pub(super) enum Subjects {
    /// Anybody of a city.
    City(Box<City>),
    /// The lines of a file, in their order.
    File(Vec<Subject>),
}

impl Subjects {
    /// `CODE[,NAME]` a line; empty lines and a heading that is no code are skipped.
    ///
    /// # Errors
    /// A line that is no code, named by its number.
    pub(super) fn read(path: &Path) -> CliResult<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| CliError(format!("{}: {e}", path.display())))?;
        let mut all = Vec::new();
        for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let (code, name) = line.split_once(',').unwrap_or((line, ""));
            let (code, name) = (code.trim(), name.trim().to_owned());
            // A citizen's number has a birthday in it, a credit code has not: nothing is both.
            let parsed = HolderCode::parse("111", code).or_else(|_| HolderCode::parse("001", code));
            match parsed {
                Ok(code) => all.push(Subject { code, name }),
                Err(_) if code.is_empty() || at == 0 => {}
                Err(fault) => return Err(CliError(format!("{} line {}: {fault}", path.display(), at + 1))),
            }
        }
        if all.is_empty() {
            return Err(CliError(format!("{} has no codes", path.display())));
        }
        Ok(Self::File(all))
    }

    /// The subject number `at` of a run.
    fn pick(&self, at: u64, random: &mut Random) -> CliResult<Subject> {
        match self {
            Self::City(city) => {
                let ordinary = city.people().saturating_sub(FIRST_ORDINARY);
                let resident = city.resident(FIRST_ORDINARY.saturating_add(random.below(ordinary)))?;
                Ok(Subject { code: resident.code, name: resident.name })
            }
            Self::File(all) => {
                let at = usize::try_from(at)?.checked_rem(all.len()).unwrap_or_default();
                all.get(at).cloned().ok_or_else(|| CliError("no codes".into()))
            }
        }
    }
}

/// Makes questions.
pub(super) struct Asker {
    /// About whom.
    pub(super) subjects: Subjects,
    /// Why, for subjects of a file.
    pub(super) purpose: PurposeArgs,
    /// Fields wanted, for subjects of a file.
    pub(super) fields: Vec<String>,
    /// What the choice of subjects and the nonces follow from.
    pub(super) seed: u64,
}

impl Asker {
    /// Base records by key.
    pub(super) fn single(&self, count: u64) -> CliResult<Vec<Call>> {
        self.each("single", count, |subject, random| {
            Ok(call(
                Rpc::LookUp,
                &x::LookUpRequest { question: self.look_up(&subject, random), ..Default::default() },
                1,
            ))
        })
    }

    /// The same, so many in a call.
    pub(super) fn batch(&self, count: u64, size: u32) -> CliResult<Vec<Call>> {
        let mut random = Random::of(self.seed, "batch", 0);
        let one = |at: u64, random: &mut Random| Ok(self.look_up(&self.subjects.pick(at, random)?, random));
        let calls = (0..count).map(|at| {
            let first = at.saturating_mul(size.into());
            let questions: CliResult<Vec<Bytes>> =
                (0..u64::from(size)).map(|of| one(first.saturating_add(of), &mut random)).collect();
            Ok(call(Rpc::Batch, &x::BatchLookUpRequest { questions: questions?, ..Default::default() }, size))
        });
        calls.collect()
    }

    /// Does the name belong to the code? It does.
    pub(super) fn matches(&self, count: u64) -> CliResult<Vec<Call>> {
        self.each("match", count, |subject, random| {
            if subject.name.is_empty() {
                return Err(CliError("a match needs names: give CODE,NAME lines".into()));
            }
            let context = Some(self.context("330131001001", random));
            let question = x::MatchQuestion { context, holder: Some(wire(&subject.code)), name: subject.name };
            let request = x::MatchRequest { question: question.encode_to_vec().into(), ..Default::default() };
            Ok(call(Rpc::Match, &request, 1))
        })
    }

    /// Every licence of a holder.
    pub(super) fn holders(&self, count: u64) -> CliResult<Vec<Call>> {
        self.each("holder", count, |subject, random| {
            let question = x::HolderQuestion {
                context: Some(self.context("330131001001", random)),
                holder: Some(wire(&subject.code)),
                licence_types: Vec::new(),
                libraries: Vec::new(),
                fields: self.fields(&LICENCE_FIELDS),
            };
            let request = x::LookUpHolderRequest { question: question.encode_to_vec().into(), ..Default::default() };
            Ok(call(Rpc::Holder, &request, 1))
        })
    }

    fn each(
        &self,
        mode: &str,
        count: u64,
        make: impl Fn(Subject, &mut Random) -> CliResult<Call>,
    ) -> CliResult<Vec<Call>> {
        let mut random = Random::of(self.seed, mode, 0);
        (0..count).map(|at| make(self.subjects.pick(at, &mut random)?, &mut random)).collect()
    }

    fn look_up(&self, subject: &Subject, random: &mut Random) -> Bytes {
        let key = if subject.code.code_type().is_person() {
            lib::record_key::Key::Person(wire(&subject.code))
        } else {
            lib::record_key::Key::Uscc(subject.code.code().to_owned())
        };
        let question = x::LookUpQuestion {
            context: Some(self.context("330711001001", random)),
            key: Some(lib::RecordKey { key: Some(key) }),
            fields: self.fields(&FIELDS),
            ..Default::default()
        };
        question.encode_to_vec().into()
    }

    fn fields(&self, of_city: &[&str]) -> Vec<String> {
        match self.subjects {
            Subjects::City(_) => of_city.iter().map(|name| (*name).to_owned()).collect(),
            Subjects::File(_) => self.fields.clone(),
        }
    }

    /// The city's purpose is the service item; a file's is what the command line says.
    fn context(&self, item: &str, random: &mut Random) -> x::Context {
        match self.subjects {
            Subjects::City(_) => handling(item, random),
            Subjects::File(_) => x::Context {
                nonce: nonce(random),
                purpose: Some(self.purpose.of_question()),
                operator: self.purpose.operator(),
                ..Default::default()
            },
        }
    }
}

/// A call of one message.
pub(super) fn call(rpc: Rpc, request: &impl Message, items: u32) -> Call {
    Call { rpc, framed: framed(request), items }
}

/// The context of a case at a desk of the city.
pub(super) fn handling(item: &str, random: &mut Random) -> x::Context {
    let case = random.below(1_000_000);
    let purpose = Purpose {
        kind: PurposeKind::Handling as i32,
        item: item.to_owned(),
        reference: format!("TT-2026-{case:06}"),
        use_cause: "办件核验".to_owned(),
    };
    let operator = Operator { id: format!("clerk-{:02}", case % 90), window: format!("A{:02}", case % 30) };
    x::Context { nonce: nonce(random), purpose: Some(purpose), operator: Some(operator), ..Default::default() }
}

/// 16 bytes that differ in every question of a run. Not secret: nobody is kept from guessing what a load generator asks.
fn nonce(random: &mut Random) -> Bytes {
    let bytes = u128::from(random.number()) << 64 | u128::from(random.number());
    Bytes::copy_from_slice(&bytes.to_be_bytes())
}

/// A code as the contract has it.
pub(super) fn wire(code: &HolderCode) -> lib::HolderCode {
    lib::HolderCode { code_type: code.code_type().as_str().to_owned(), code: code.code().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::codes::CalendarDate;

    fn asker() -> Asker {
        let city = City::new(7, 1_000, CalendarDate::new(2026, 6, 1).unwrap()).unwrap();
        let subjects = Subjects::City(Box::new(city));
        Asker { subjects, purpose: PurposeArgs::default(), fields: Vec::new(), seed: 3 }
    }

    #[test]
    fn the_same_seed_asks_the_same_and_no_two_questions_are_equal() {
        let (once, again) = (asker().single(200).unwrap(), asker().single(200).unwrap());
        let bytes = |calls: &[Call]| calls.iter().map(|call| call.framed.clone()).collect::<Vec<_>>();
        assert_eq!(bytes(&once), bytes(&again));
        let different: std::collections::HashSet<_> = bytes(&once).into_iter().collect();
        assert_eq!(different.len(), 200);
    }

    #[test]
    fn a_batch_holds_as_many_questions_as_it_says() {
        let calls = asker().batch(3, 200).unwrap();
        let request = x::BatchLookUpRequest::decode(calls[0].framed.slice(5..)).unwrap();
        assert_eq!((calls.len(), calls[0].items, request.questions.len()), (3, 200, 200));
    }

    #[test]
    fn a_file_of_codes_may_have_a_heading_and_names_but_no_wrong_code() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codes.csv");
        let Subjects::City(city) = asker().subjects else { panic!() };
        let person = city.resident(20).unwrap();
        std::fs::write(&path, format!("code,name\n{},{}\n\n", person.code.code(), person.name)).unwrap();
        let Ok(Subjects::File(all)) = Subjects::read(&path) else { panic!() };
        assert_eq!(all, [Subject { code: person.code.clone(), name: person.name }]);
        std::fs::write(&path, format!("{}\n331099199001010019\n", person.code.code())).unwrap();
        assert!(Subjects::read(&path).is_err_and(|e| e.0.contains("line 2")));
    }
}
