//! Bytes that survive a crash before anything is done with them: sealed parts, each durable before it is acknowledged.
use super::state::{Import, damaged};
use crate::exchange::Exchange;
use crate::failure::{Failure, Reason};
use crate::library::record::from_store;
use crate::receipt::sequencer::Unit;
use crate::store::space::For;
use crate::store::vault::Class;
use crate::store::{Direction, Key, key_space};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

/// Plain bytes of one part.
pub(super) const PART_BYTES: usize = 48 << 10;
/// Part numbers from here on hold runs of keys, not bytes of the file.
pub(super) const FIRST_RUN_PART: u32 = 1 << 31;
/// Bytes of one message of the stream.
pub(super) const MESSAGE_BYTES_MAX: usize = 256 << 10;
/// Rows removed with one commit.
const DELETES: usize = 800;
/// Parts read from one snapshot: far less than its five seconds.
const PARTS_A_READ: u32 = 16;

/// Makes the next bytes of the file durable.
///
/// # Errors
/// [`Reason::ImportOffsetWrong`] where they do not begin where the staged ones end; [`Reason::RequestMalformed`] for more than
/// the manifest announced.
pub(super) async fn stage(exchange: &Exchange, import: &mut Import, offset: u64, bytes: &Bytes) -> Result<(), Failure> {
    if offset != import.stored.staged_bytes {
        return Err(Failure::new(Reason::ImportOffsetWrong));
    }
    if bytes.is_empty() || bytes.len() > MESSAGE_BYTES_MAX {
        return Err(Failure::field("part.bytes", "每段 1 字节至 256 KiB。", "A part has 1 byte to 256 KiB."));
    }
    let mut stored = import.stored.clone();
    stored.staged_bytes = offset.saturating_add(bytes.len() as u64);
    if stored.staged_bytes > import.manifest.file_bytes {
        let zh = "超过清单所载文件大小。";
        return Err(Failure::field("part.bytes", zh, "More bytes than the manifest announces."));
    }
    let mut unit = Unit::default();
    for part in bytes.chunks(PART_BYTES) {
        if stored.parts >= FIRST_RUN_PART {
            return Err(Failure::field("part.bytes", "分段过多。", "Too many parts: send larger ones."));
        }
        unit.puts.push(sealed_part(exchange, import, stored.parts, part)?);
        stored.parts += 1;
    }
    // A crash before the commit: the sender reads the old `staged_bytes` and sends these again. After it: goes on behind them.
    import.commit(exchange.recorder.ledger(), &exchange.vault, stored, unit).await
}

/// A part as it is stored.
pub(super) fn sealed_part(exchange: &Exchange, import: &Import, n: u32, plain: &[u8]) -> Result<(Key, Bytes), Failure> {
    let key = key_space::import_part(&import.id.0, n);
    let sealed = exchange.vault.seal_row(Class::Imports, 1, key.as_bytes(), plain);
    Ok((key, sealed.map_err(|e| Failure::new(Reason::Internal).because(e))?))
}

/// Reads parts `first .. first + count` back.
pub(super) async fn read_parts(exchange: &Exchange, import: &Import, parts: &[u32]) -> Result<Vec<Bytes>, Failure> {
    let keys: Vec<Key> = parts.iter().map(|n| key_space::import_part(&import.id.0, *n)).collect();
    let snapshot = exchange.store.snapshot().await.map_err(from_store)?;
    let rows = snapshot.multi_get(&keys).await.map_err(from_store)?;
    let open = |(key, row): (&Key, Option<crate::store::Versioned>)| {
        let row = row.ok_or_else(|| damaged("a staged part is missing"))?;
        exchange.vault.open_row(Class::Imports, 1, key.as_bytes(), &row.body).map(Bytes::from).map_err(damaged)
    };
    keys.iter().zip(rows).map(open).collect()
}

/// Sends the staged file, in order, to whoever reads it. Ends early, without an error, when nobody does any more.
pub(super) async fn feed(exchange: &Exchange, import: &Import, out: mpsc::Sender<Bytes>) -> Result<(), Failure> {
    let mut next = 0;
    while next < import.stored.parts {
        let end = next.saturating_add(PARTS_A_READ).min(import.stored.parts);
        let numbers: Vec<u32> = (next..end).collect();
        for part in read_parts(exchange, import, &numbers).await? {
            if out.send(part).await.is_err() {
                return Ok(());
            }
        }
        next = end;
    }
    Ok(())
}

/// Whether the staged bytes are those the manifest names.
pub(super) async fn digest_holds(exchange: &Exchange, import: &Import) -> Result<bool, Failure> {
    let mut hash = Sha256::new();
    let mut next = 0;
    while next < import.stored.parts {
        let end = next.saturating_add(PARTS_A_READ).min(import.stored.parts);
        let numbers: Vec<u32> = (next..end).collect();
        for part in read_parts(exchange, import, &numbers).await? {
            hash.update(&part);
        }
        next = end;
        tokio::task::yield_now().await;
    }
    Ok(hash.finalize().as_slice() == import.manifest.file_sha256.as_ref())
}

/// Removes the staged parts and the runs of an import that has ended. A crash half-way leaves parts that the next start
/// removes, since the state does not say `cleaned` yet.
pub(super) async fn clean(exchange: &Exchange, import: &mut Import) -> Result<(), Failure> {
    let mut next = 0;
    while next < import.stored.parts {
        let end = next.saturating_add(DELETES as u32).min(import.stored.parts);
        let deletes = (next..end).map(|n| key_space::import_part(&import.id.0, n)).collect();
        import
            .commit_beside(exchange.recorder.ledger(), Unit { occasion: For::Clearing, deletes, ..Unit::default() })
            .await?;
        next = end;
    }
    clean_runs(exchange, import).await?;
    let mut stored = import.stored.clone();
    (stored.cleaned, stored.parts, stored.runs) = (true, 0, Vec::new());
    let clearing = Unit { occasion: For::Clearing, ..Unit::default() };
    import.commit(exchange.recorder.ledger(), &exchange.vault, stored, clearing).await
}

/// Removes run rows, those of a checking pass that a crash cut short included.
pub(super) async fn clean_runs(exchange: &Exchange, import: &Import) -> Result<(), Failure> {
    let first = key_space::import_part(&import.id.0, FIRST_RUN_PART);
    remove_all(exchange, import, key_space::import_parts(&import.id.0).from_key(&first)).await
}

/// Removes every row of a range that belongs to this import.
pub(super) async fn remove_all(
    exchange: &Exchange,
    import: &Import,
    range: crate::store::KeyRange,
) -> Result<(), Failure> {
    loop {
        let snapshot = exchange.store.snapshot().await.map_err(from_store)?;
        let page = snapshot.scan(range.clone(), Direction::Forward, DELETES).await.map_err(from_store)?;
        if page.rows.is_empty() {
            return Ok(());
        }
        let deletes = page.rows.into_iter().map(|(key, _)| key).collect();
        import
            .commit_beside(exchange.recorder.ledger(), Unit { occasion: For::Clearing, deletes, ..Unit::default() })
            .await?;
    }
}
