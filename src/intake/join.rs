//! The file's keys against the records its resource holds, both in key order, neither in memory.
use super::runs::{Entry, Reader};
use super::state::{Import, Run};
use crate::exchange::Exchange;
use crate::failure::Failure;
use crate::library::record::LinkKind;
use crate::library::schema::Library;
use crate::store::key_space::IndexKey;
use std::collections::VecDeque;

/// Links read at once.
const LINKS: usize = 1_000;

/// One key: the rows of the file that have it, and whether the resource holds a record of it.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) key: IndexKey,
    /// In file order.
    pub(super) rows: Vec<Entry>,
    pub(super) held: bool,
}

/// A full outer join in key order.
pub(super) struct Join<'a> {
    exchange: &'a Exchange,
    import: &'a Import,
    reader: Reader,
    ahead: Option<Entry>,
    held: Held,
}

impl<'a> Join<'a> {
    /// Begins at the smallest key. `against_held` false: what is held is not looked at.
    pub(super) async fn open(
        exchange: &'a Exchange,
        import: &'a Import,
        runs: &[Run],
        library: Library,
        against_held: bool,
    ) -> Result<Self, Failure> {
        let mut reader = Reader::open(exchange, import, runs).await?;
        let ahead = reader.next(exchange, import).await?;
        let from = exchange.vault.index_key(Library::Resource.number(), "resource", &import.manifest.resource);
        let held = Held { from, library, page: VecDeque::new(), after: None, ended: !against_held };
        Ok(Self { exchange, import, reader, ahead, held })
    }

    /// The next key.
    pub(super) async fn next(&mut self) -> Result<Option<Joined>, Failure> {
        let held = self.held.peek(self.exchange).await?;
        let key = match (self.ahead.map(|entry| entry.key), held) {
            (None, None) => return Ok(None),
            (Some(key), None) | (None, Some(key)) => key,
            (Some(file), Some(held)) => file.min(held),
        };
        let mut rows = Vec::new();
        while let Some(entry) = self.ahead.filter(|entry| entry.key == key) {
            rows.push(entry);
            self.ahead = self.reader.next(self.exchange, self.import).await?;
        }
        let held = held == Some(key);
        if held {
            self.held.page.pop_front();
        }
        Ok(Some(Joined { key, rows, held }))
    }
}

/// The keys of the records a resource holds, in order.
struct Held {
    from: IndexKey,
    library: Library,
    page: VecDeque<IndexKey>,
    after: Option<IndexKey>,
    ended: bool,
}

impl Held {
    async fn peek(&mut self, exchange: &Exchange) -> Result<Option<IndexKey>, Failure> {
        if self.page.is_empty() && !self.ended {
            // A fresh view each time: pages of links outlive no snapshot.
            let view = exchange.view().await?;
            let links = view.links(LinkKind::Resource, &self.from, Some(self.library), self.after, LINKS).await?;
            self.ended = links.len() < LINKS;
            self.after = links.last().map(|(_, key)| *key).or(self.after);
            self.page = links.into_iter().map(|(_, key)| key).collect();
        }
        Ok(self.page.front().copied())
    }
}
