//! The calls that are made, and how their replies are read when a sample of them is looked at.
use crate::receipt::verify::{Options, verify_message};
use crate::receipt::{Evidence, Outcome, Receipt, Trust, statement};
use crate::wire::proto::exchange::v1::{BatchLookUpResponse, LookUpResponse, RecordedItem};
use prost::Message;

/// The rpcs of the exchange, and the baseline's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Rpc {
    LookUp,
    Batch,
    Match,
    Derive,
    Holder,
    Area,
    Echo,
}

impl Rpc {
    /// All, in the order of their numbers.
    pub(super) const ALL: [Self; 7] =
        [Self::LookUp, Self::Batch, Self::Match, Self::Derive, Self::Holder, Self::Area, Self::Echo];

    /// Its path.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::LookUp => "/wuku.exchange.v1.ExchangeService/LookUp",
            Self::Batch => "/wuku.exchange.v1.ExchangeService/BatchLookUp",
            Self::Match => "/wuku.exchange.v1.ExchangeService/Match",
            Self::Derive => "/wuku.exchange.v1.ExchangeService/Derive",
            Self::Holder => "/wuku.exchange.v1.ExchangeService/LookUpHolder",
            Self::Area => "/wuku.exchange.v1.ExchangeService/LookUpArea",
            Self::Echo => super::echo::PATH,
        }
    }

    /// The recorded answers in a reply. Fields 1 and 2 are payload and receipt wherever there is one answer, and items and checkpoint
    /// wherever there are several.
    fn items(self, reply: &[u8]) -> Result<Vec<RecordedItem>, prost::DecodeError> {
        match self {
            Self::Echo => Ok(Vec::new()),
            Self::LookUp | Self::Match | Self::Derive => {
                let LookUpResponse { payload, receipt, .. } = LookUpResponse::decode(reply)?;
                Ok(vec![RecordedItem { payload, receipt, seal: None }])
            }
            Self::Batch | Self::Holder | Self::Area => {
                let BatchLookUpResponse { items, checkpoint } = BatchLookUpResponse::decode(reply)?;
                let whole = |item: RecordedItem| RecordedItem {
                    receipt: item.receipt.map(|r| Receipt { checkpoint: checkpoint.clone(), ..r }),
                    ..item
                };
                Ok(items.into_iter().map(whole).collect())
            }
        }
    }
}

/// What a look at a sample of the replies showed.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Checked {
    /// Receipts that verify under the trust file.
    pub(super) good: u64,
    /// Those that do not.
    pub(super) bad: u64,
    /// Answers that found a record, or said yes or no.
    pub(super) found: u64,
    /// What was wrong with the first bad one.
    pub(super) first_fault: Option<String>,
}

impl Checked {
    /// Looks at one reply: each receipt must be good, and each answer must be to a question that was asked.
    pub(super) fn look_at(&mut self, rpc: Rpc, asked: &[u8], reply: &[u8], trust: &Trust) {
        match rpc.items(reply) {
            Err(error) => self.wrong(error.to_string()),
            Ok(items) => items.into_iter().for_each(|item| self.look_at_item(asked, item, trust)),
        }
    }

    fn look_at_item(&mut self, asked: &[u8], item: RecordedItem, trust: &Trust) {
        let name = statement::PAYLOAD_NAME.to_owned();
        let evidence = Evidence { payload_name: name, payload: item.payload, receipt: item.receipt };
        let verdict = verify_message(&evidence, trust, &Options::default());
        let payload = verdict.payload.unwrap_or_default();
        let ours = !payload.question.is_empty() && asked.windows(payload.question.len()).any(|w| w == payload.question);
        match (verdict.good, ours) {
            (true, true) => self.good = self.good.saturating_add(1),
            (true, false) => self.wrong("the answer is to another question".into()),
            (false, _) => self.wrong(verdict.failed_step.map(|step| step.to_string()).unwrap_or_default()),
        }
        if payload.outcome() == Outcome::Found {
            self.found = self.found.saturating_add(1);
        }
    }

    fn wrong(&mut self, why: String) {
        self.bad = self.bad.saturating_add(1);
        self.first_fault.get_or_insert(why);
    }
}
