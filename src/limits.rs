//! Ceilings that no operator should move, and how they hang together.

/// Items of one batch question.
pub const BATCH_ITEMS_MAX: usize = 200;
/// Mutations of one store batch (design 8: every engine must bear it).
pub const STORE_MUTATIONS_MAX: usize = 1_000;
/// Bytes of one store batch.
pub const STORE_BATCH_BYTES_MAX: usize = 1 << 20;
/// Bytes of a stored key.
pub const STORE_KEY_BYTES_MAX: usize = 1_024;
/// Bytes of a stored value; larger things go in chunks.
pub const STORE_VALUE_BYTES_MAX: usize = 64 << 10;
/// Rows of one import chunk.
pub const IMPORT_CHUNK_ROWS_MAX: usize = 200;
/// Bytes of one import chunk.
pub const IMPORT_CHUNK_BYTES_MAX: usize = 256 << 10;
/// Mutations of one import chunk.
pub const IMPORT_CHUNK_MUTATIONS_MAX: usize = 900;
/// Characters of a use cause (申请事由).
pub const USE_CAUSE_CHARS_MAX: usize = 200;
/// Bytes of a caller's nonce, least and most.
pub const NONCE_BYTES: std::ops::RangeInclusive<usize> = 16..=64;
/// Bytes of a public log entry.
pub const PUBLIC_EVENT_BYTES_MAX: usize = 65_535;
/// Milliseconds most calls should take at most; while they take longer, fewer are let in at once.
pub const CALL_MS_WANTED: u64 = 150;
/// Calls let in at once however long they take.
pub const IN_FLIGHT_LEAST: usize = 64;
/// Milliseconds a caller has to send the message of a call that is no stream.
pub const CALL_BODY_MS_MAX: u64 = 5_000;
/// Milliseconds a caller has to send a paper: 20 MiB over a line of 6 Mbit/s.
pub const DOCUMENT_BODY_MS_MAX: u64 = 30_000;
/// Milliseconds the judging of one paper may take. What the limits of a container leave takes a second at most.
pub const DOCUMENT_JUDGED_MS_MAX: u64 = 3_000;
/// Papers in hand at once: each may hold its 20 MiB and what is read of it.
pub const DOCUMENTS_AT_ONCE: usize = 6;
/// Papers of one caller in hand at once.
pub const DOCUMENTS_PER_CALLER: usize = 2;

const _: () = assert!(DOCUMENTS_PER_CALLER < DOCUMENTS_AT_ONCE);
const _: () = assert!(IMPORT_CHUNK_MUTATIONS_MAX < STORE_MUTATIONS_MAX);
const _: () = assert!(IMPORT_CHUNK_BYTES_MAX < STORE_BATCH_BYTES_MAX);
const _: () = assert!(STORE_VALUE_BYTES_MAX < IMPORT_CHUNK_BYTES_MAX);
