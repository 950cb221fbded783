//! Ledger, links, cells and answered requests: each leads to what is there.
use super::{Pages, Walk, What, hex};
use crate::failure::Failure;
use crate::library::record::{LinkKind, Stamp, from_store};
use crate::library::schema::Library;
use crate::log::Suite;
use crate::receipt::recorder::{KeptItem, KeptRequest};
use crate::receipt::statement::{PAYLOAD_NAME, payload_digest};
use crate::store::key_space::{self, IndexKey, Prefix};
use crate::store::{Direction, Snapshot};
use bytes::Bytes;

const LINK_KINDS: [LinkKind; 6] = [
    LinkKind::Holder,
    LinkKind::Scope,
    LinkKind::Resource,
    LinkKind::Table,
    LinkKind::SystemGrants,
    LinkKind::ResourceGrants,
];

impl<S: Suite> Walk<'_, S> {
    /// Every statement with a subject has its ledger row (seen before), so equal counts mean that no row is too many.
    pub(super) async fn ledger(&mut self) -> Result<(), Failure> {
        let mut rows_total = 0_u64;
        let mut pages = Pages::over(self.subject.store, Prefix::Ledger.range());
        while let Some((_, rows)) = pages.next().await? {
            rows_total = rows_total.saturating_add(u64::try_from(rows.len()).unwrap_or(u64::MAX));
            self.tell("ledger", rows_total, Some(self.subjects));
        }
        if rows_total == self.subjects {
            return Ok(());
        }
        let mut pages = Pages::over(self.subject.store, Prefix::Ledger.range());
        while let Some((snapshot, rows)) = pages.next().await? {
            for (key, _) in rows {
                let Some((subject_ref, index)) = key_space::parse_ledger(&key) else {
                    self.find(What::LedgerDiffers, hex(key.as_bytes()), "a key of a strange length");
                    continue;
                };
                let said = self.said(snapshot.as_ref(), index).await?;
                if said.is_none_or(|said| said.statement.subject_ref != subject_ref.as_slice()) {
                    let place = format!("subject {} entry {index}", hex(&subject_ref));
                    self.find_unless_erased(index, What::LedgerDiffers, place, "that entry is not about this subject");
                }
            }
        }
        Ok(())
    }

    /// Links and cells lead to records.
    pub(super) async fn links(&mut self) -> Result<(), Failure> {
        let mut pages = Pages::over(self.subject.store, Prefix::Link.range());
        while let Some((snapshot, rows)) = pages.next().await? {
            for (key, _) in rows {
                self.report.links = self.report.links.saturating_add(1);
                let Some((kind, from, library, to)) = key_space::parse_link(&key) else {
                    self.find(What::LinkDangles, hex(key.as_bytes()), "a key of a strange length");
                    continue;
                };
                let known = LINK_KINDS.iter().any(|known| *known as u8 == kind);
                if !known || !leads(snapshot.as_ref(), library, &IndexKey(to)).await? {
                    let place = format!("link kind {kind} from {} to library {library} {}", hex(&from), hex(&to));
                    self.find(What::LinkDangles, place, if known { "no such record" } else { "no such kind of link" });
                }
            }
            self.tell("links", self.report.links, None);
        }
        let mut pages = Pages::over(self.subject.store, Prefix::Cell.range());
        while let Some((snapshot, rows)) = pages.next().await? {
            for (key, _) in rows {
                self.report.links = self.report.links.saturating_add(1);
                let Some((cell, feature)) = key_space::parse_cell(&key) else {
                    self.find(What::LinkDangles, hex(key.as_bytes()), "a key of a strange length");
                    continue;
                };
                if !leads(snapshot.as_ref(), Library::Geospatial.number(), &feature).await? {
                    let place = format!("cell {cell:x} to feature {}", hex(&feature.0));
                    self.find(What::LinkDangles, place, "no such record");
                }
            }
            self.tell("links", self.report.links, None);
        }
        Ok(())
    }

    /// Answered requests open, and hold the payloads that their statements were made over.
    pub(super) async fn requests(&mut self) -> Result<(), Failure> {
        let mut pages = Pages::over(self.subject.store, Prefix::Request.range());
        while let Some((snapshot, rows)) = pages.next().await? {
            for (key, value) in rows {
                self.report.requests = self.report.requests.saturating_add(1);
                let Some((place, (stamp, body))) = key_space::parse_request(&key).zip(Stamp::split(&value.body)) else {
                    self.find(What::RequestDamaged, hex(key.as_bytes()), "key or row are too short");
                    continue;
                };
                match KeptRequest::open(self.subject.vault, &place, 0, &body) {
                    Ok(kept) => self.request(snapshot.as_ref(), &place, stamp, kept).await?,
                    Err(_) if KeptRequest::is_further(self.subject.vault, &place, &body) => {} // looked at from its first row
                    Err(_) => self.find(What::RequestDamaged, format!("request {}", hex(&place)), "it does not open"),
                }
            }
            self.tell("requests", self.report.requests, None);
        }
        Ok(())
    }

    /// One request with its further rows.
    async fn request(
        &mut self,
        snapshot: &dyn Snapshot,
        place: &[u8; 16],
        stamp: Stamp,
        kept: KeptRequest,
    ) -> Result<(), Failure> {
        let mut items: Vec<KeptItem> = kept.items;
        for row in 1..=kept.more_rows {
            let further = KeptRequest::row_place(self.subject.vault, place, row);
            let stored = snapshot.get(&key_space::request(&further)).await.map_err(from_store)?;
            let body: Option<Bytes> = stored.and_then(|stored| Stamp::split(&stored.body)).map(|(_, body)| body);
            let opened = body.and_then(|body| KeptRequest::open(self.subject.vault, place, row, &body).ok());
            let Some(opened) = opened else {
                let detail = format!("row {row} of it is missing or does not open");
                self.find(What::RequestDamaged, format!("request {}", hex(place)), detail);
                return Ok(());
            };
            items.extend(opened.items);
        }
        for (item, index) in KeptItem::whole(items).iter().zip(stamp.index..) {
            let digest = payload_digest::<S>(PAYLOAD_NAME, &item.payload);
            let said = self.said(snapshot, index).await?;
            if said.is_none_or(|said| said.statement.payload_digest != digest.as_slice()) {
                let detail = format!("not the payload of entry {index}");
                self.find_unless_erased(index, What::RequestDamaged, format!("request {}", hex(place)), detail);
            }
        }
        Ok(())
    }
}

/// Whether a record has any version.
async fn leads(snapshot: &dyn Snapshot, library: u16, to: &IndexKey) -> Result<bool, Failure> {
    let page = snapshot.scan(key_space::record_rows(library, to), Direction::Forward, 1).await.map_err(from_store)?;
    Ok(!page.rows.is_empty())
}
