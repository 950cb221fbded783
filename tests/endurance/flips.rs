//! One changed bit anywhere in what a hub keeps: never a wrong answer.
//!
//! A folder with residents, licences, grants, statements and tiles in table files and in the log is copied, one bit of one file is
//! flipped, and everything known is read through the code that answers: it is the same, or it is refused. What is refused names the
//! file or the row; what nobody read is found by `fsck`. Three hundred flips, 5,000 in the long form, `WUKU_FLIPS` for another number.
use crate::chance::Rng;
use crate::client;
use crate::figure::{self, Target};
use crate::harness::Hub;
use crate::wal::folder_in_memory;
use crate::world::{CONSOLE, PEOPLE, WINDOW, draft, full_grant, people, people_resource, resident};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use wuku::clock::Clock;
use wuku::failure::Reason;
use wuku::library::record::View;
use wuku::library::schema::Library;
use wuku::log::{Ed25519, Entry, LogKey, Origin};
use wuku::receipt::fsck::{Subject, check};
use wuku::receipt::recorder::KeptStatement;
use wuku::receipt::start::compare;
use wuku::receipt::{head, proofs};
use wuku::store::fence::Fence;
use wuku::store::key_space::{IndexKey, Prefix};
use wuku::store::rocks::{Rocks, RocksSettings};
use wuku::store::vault::{Kek, Vault};
use wuku::store::{Direction, Snapshot, Store, key_space};
use wuku::wire::proto::intake::v1::{ImportPhase, ImportScope};

const FLIPS: u32 = 300;
const FLIPS_LONG: u32 = 5_000;
const RESIDENTS: u32 = 900;
/// Every so many leaves one inclusion proof is made.
const PROOF_EVERY: u64 = 40;

/// Where a bit is flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Table,
    Log,
    Manifest,
    Current,
    Fence,
    Key,
}

/// What a hub at rest keeps, and everything that was known from it.
struct Kept {
    folder: TempDir,
    hub: String,
    origin: Origin,
    vkey: String,
    known: Known,
}

/// Everything that can be read, each under a name of its own, as a hash or bytes.
type Known = BTreeMap<String, Vec<u8>>;

/// What came of a flip.
#[derive(Debug, Default)]
struct Came {
    /// Why the hub does not start.
    refused: Option<String>,
    /// Read as before.
    same: usize,
    /// Not given out, each with its reason.
    withheld: Vec<String>,
    /// Given out and not what was stored, or said to be absent.
    wrong: Vec<String>,
    /// What `fsck` says.
    found: Option<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn one_changed_bit_never_gives_a_wrong_answer_and_is_found_and_named() {
    let mut rng = Rng::seeded();
    let kept = Arc::new(make().await);
    let usual = if figure::long() { FLIPS_LONG } else { FLIPS };
    let flips = std::env::var("WUKU_FLIPS").map_or(usual, |n| n.parse().unwrap());
    let (mut tally, mut shares): (BTreeMap<(Place, &str), u32>, Vec<f64>) = Default::default();
    let mut unnamed = Vec::new();
    let mut running = tokio::task::JoinSet::new();
    for n in 0..flips {
        if n > 0 && n % 500 == 0 {
            eprintln!("flips: {n} of {flips}");
        }
        let (shared, mut rng) = (kept.clone(), rng.fork());
        running.spawn_blocking(move || {
            let flip = Flip::choose(&shared, &mut rng, n);
            let came = tokio::runtime::Handle::current().block_on(shared.read_with(&flip));
            (flip, came)
        });
        if running.len() < 3 && n + 1 < flips {
            continue;
        }
        while let Some(done) = running.join_next().await {
            let (flip, came) = done.unwrap();
            assert!(came.wrong.is_empty(), "{flip:?}: answered wrongly: {:?}", came.wrong);
            let outcome = match &came {
                Came { refused: Some(_), .. } => "refused to start",
                Came { withheld, .. } if !withheld.is_empty() => "refused to answer",
                Came { found: Some(_), .. } => "found by fsck",
                _ => "nothing depends on it",
            };
            *tally.entry((flip.place, outcome)).or_default() += 1;
            let said = came.refused.iter().chain(&came.withheld).chain(&came.found);
            unnamed.extend(said.filter(|said| !flip.named_in(said)).map(|said| format!("{flip:?}: {said}")));
            if came.refused.is_none() {
                shares.push(came.same as f64 / kept.known.len() as f64);
            }
            if n + 1 < flips {
                break;
            }
        }
    }
    for ((place, outcome), count) in &tally {
        eprintln!("{place:?}: {outcome}: {count}");
    }
    assert_eq!(unnamed, Vec::<String>::new(), "what is wrong must be named");
    let unseen: u32 =
        tally.iter().filter(|((_, outcome), _)| *outcome == "nothing depends on it").map(|(_, n)| n).sum();
    let elsewhere: u32 = tally
        .iter()
        .filter(|((place, outcome), _)| *place != Place::Table && *outcome == "nothing depends on it")
        .map(|(_, n)| n)
        .sum();
    assert_eq!(elsewhere, 0, "outside of table files every bit is looked at: {tally:?}");
    let served = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
    figure::note("flips", "flips", f64::from(flips), "flips", Target::AtLeast(f64::from(usual)));
    figure::note("flips", "wrong answers", 0.0, "answers", Target::Exactly(0.0));
    figure::note("flips", "still answered where the hub starts", served, "share", Target::AtLeast(0.99));
    figure::note("flips", "changed nothing that anybody reads", f64::from(unseen), "flips", Target::None);
}

/// The control: without checksums, and past the vault, a changed byte comes through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_checks_off_a_changed_byte_comes_through() {
    let mut rng = Rng::seeded();
    let kept = make().await;
    let rows = raw_rows(&kept.folder.path().join("data")).unwrap();
    let mut through = 0;
    for _ in 0..60 {
        let flip = Flip::of(&kept, &mut rng, Place::Table);
        let copy = kept.copy(&flip);
        // Where the engine does not even open it, or stops, nothing comes through.
        let read = raw_rows(&copy.path().join("data")).unwrap_or_default();
        through += u32::from(read.iter().any(|(key, value)| rows.get(key).is_none_or(|stored| stored != value)));
    }
    eprintln!("60 flips in table files: {through} changed what an unchecked reader sees");
    assert!(through > 20, "the flips do not reach what is read: {through}");
}

/// Every row as the bare engine gives it, unchecked, whichever family it stands in.
fn raw_rows(path: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, rocksdb::Error> {
    let mut options = rocksdb::Options::default();
    options.set_paranoid_checks(false);
    let families = rocksdb::DB::list_cf(&options, path)?;
    let db = rocksdb::DB::open_cf_for_read_only(&options, path, &families, false)?;
    let mut all = BTreeMap::new();
    for family in &families {
        let Some(family) = db.cf_handle(family) else { continue };
        let mut unchecked = rocksdb::ReadOptions::default();
        unchecked.set_verify_checksums(false);
        let rows = db.iterator_cf_opt(&family, unchecked, rocksdb::IteratorMode::Start);
        all.extend(rows.map_while(Result::ok).map(|(key, value)| (key.into_vec(), value.into_vec())));
    }
    Ok(all)
}

/// A hub's folders after three starts: the older rows in table files, the newest in the log.
async fn make() -> Kept {
    let mut hub = Hub::new().await;
    hub.grant_food().await;
    hub.caller(CONSOLE).put_resource(people_resource()).await.unwrap();
    hub.grant(WINDOW, full_grant(PEOPLE, &["name"])).await;
    for part in 0..3 {
        let ids = RESIDENTS / 3 * part + 1..=RESIDENTS / 3 * (part + 1);
        let (ids, rows): (Vec<String>, Vec<String>) = ids.map(|n| resident(n, "演示样本甲")).unzip();
        let batch = format!("flips-{part}");
        let report = hub.import(&people(ImportScope::Increment, &rows, &batch)).await.unwrap();
        assert_eq!(report.phase(), ImportPhase::Done);
        for some in ids[..130].chunks(26) {
            let questions: Vec<_> = some.iter().map(|id| client::person(id, &["name"])).collect();
            // A machine that runs other tests meanwhile may keep a snapshot waiting for longer than it lives.
            while let Err(status) = hub.caller(WINDOW).batch(&questions).await {
                assert_eq!(client::reason(&status), Reason::HubOverloaded);
            }
        }
        hub.issue(draft()).await;
        if part < 2 {
            hub.kill(); // what the log holds goes into a table at the next start
            hub.start();
        }
    }
    assert!(hub.stop().await.success());
    let folder = folder_in_memory();
    for (from, to) in [(&hub.config.data.path, "data"), (&hub.config.fence.path, "fence")] {
        std::fs::create_dir(folder.path().join(to)).unwrap();
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            std::fs::copy(entry.path(), folder.path().join(to).join(entry.file_name())).unwrap();
        }
    }
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    std::fs::copy(&hub.config.keys.kek_file, folder.path().join("keys/kek")).unwrap();
    std::fs::copy(&hub.config.keys.log_key_file, folder.path().join("keys/log.key")).unwrap();
    let vkey = hub.trust.logs[0].keys[0].key.to_string();
    let origin = Origin::parse(&hub.config.origin()).unwrap();
    let name = hub.config.hub.name.to_string();
    hub.audit().await;
    let mut kept = Kept { folder, hub: name, origin, vkey, known: Known::new() };
    let pristine = kept.read(kept.copy_whole().path()).await;
    assert!(pristine.1.refused.is_none() && pristine.1.found.is_none(), "{:?}", pristine.1);
    kept.known = pristine.0;
    assert!(kept.known.len() > RESIDENTS as usize + 300, "{}", kept.known.len());
    kept
}

impl Kept {
    fn copy_whole(&self) -> TempDir {
        let copy = folder_in_memory();
        for part in ["data", "fence", "keys"] {
            std::fs::create_dir(copy.path().join(part)).unwrap();
            for entry in std::fs::read_dir(self.folder.path().join(part)).unwrap().map(Result::unwrap) {
                std::fs::copy(entry.path(), copy.path().join(part).join(entry.file_name())).unwrap();
            }
        }
        copy
    }

    fn copy(&self, flip: &Flip) -> TempDir {
        let copy = self.copy_whole();
        let file = copy.path().join(&flip.file);
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[flip.byte] ^= 1 << flip.bit;
        std::fs::write(&file, bytes).unwrap();
        copy
    }

    /// Reads everything from a copy with a flipped bit, against what is known.
    async fn read_with(&self, flip: &Flip) -> Came {
        let copy = self.copy(flip);
        let (read, mut came) = self.read(copy.path()).await;
        if came.refused.is_some() {
            return came;
        }
        for (name, bytes) in &read {
            match self.known.get(name) {
                Some(known) if known == bytes => came.same += 1,
                Some(_) => came.wrong.push(format!("{name} is another")),
                None => came.wrong.push(format!("{name} was never there")),
            }
        }
        // What was neither read nor refused was said to be absent.
        for name in self.known.keys().filter(|name| !read.contains_key(*name)) {
            let refused = format!("{name}: ");
            if !came.withheld.iter().any(|withheld| withheld.starts_with(&refused)) {
                came.wrong.push(format!("{name} is said to be absent"));
            }
        }
        came
    }

    /// Starts as the hub does, and reads everything by the names known, or all there is where nothing is known yet.
    async fn read(&self, at: &Path) -> (Known, Came) {
        let mut read = Known::new();
        let mut came = Came::default();
        let opened = match self.open(at).await {
            Ok(opened) => opened,
            Err(why) => return (read, Came { refused: Some(why), ..came }),
        };
        let names = if self.known.is_empty() { all_names(&opened).await } else { self.known.keys().cloned().collect() };
        let snapshot = opened.store.snapshot().await.unwrap();
        let size = opened.size;
        for (n, name) in names.iter().enumerate() {
            // A snapshot lives five seconds.
            let snapshot = if n % 200 == 0 { opened.store.snapshot().await.unwrap() } else { snapshot.clone() };
            match value(&opened, &snapshot, size, name).await {
                Ok(Some(bytes)) => _ = read.insert(name.clone(), bytes),
                Ok(None) => {}
                Err(why) => came.withheld.push(format!("{name}: {why}")),
            }
        }
        drop(snapshot);
        if came.withheld.is_empty() {
            let fence = at.join("fence");
            let subject =
                Subject { store: opened.store.as_ref(), vault: &opened.vault, hub: &self.hub, fence: Some(&fence) };
            came.found = match check(subject, &mut |_| {}).await {
                Err(why) => Some(why.to_string()),
                Ok(report) if report.is_clean() => None,
                Ok(report) => {
                    let first = &report.findings[0];
                    Some(format!("{} {}: {}", first.what.name(), first.place, first.detail))
                }
            };
        }
        (read, came)
    }

    /// What a start looks at, in its order.
    async fn open(&self, at: &Path) -> Result<Opened, String> {
        let data = at.join("data");
        let settings = RocksSettings { block_cache_bytes: 4 << 20, ..RocksSettings::default() };
        let store = Rocks::open(&data, &settings, Clock::system()).map_err(|e| e.to_string())?;
        let store: Arc<dyn Store> = Arc::new(store);
        let kek = Kek::load(&at.join("keys/kek"), &data).map_err(|e| e.to_string())?;
        let vault = Vault::open(&kek, store.as_ref()).await.map_err(|e| e.to_string())?;
        let text =
            String::from_utf8(std::fs::read(at.join("keys/log.key")).unwrap()).map_err(|e| format!("log.key: {e}"))?;
        let key = LogKey::parse(&text).map_err(|e| format!("log.key: {e}"))?;
        if key.verifier().to_string() != self.vkey {
            return Err("another key would sign".into()); // never: then nothing is named
        }
        let fence = Fence::open(&at.join("fence")).map_err(|e| e.to_string())?;
        compare::<Ed25519>(store.as_ref(), fence.newest(), &self.origin).await.map_err(|e| e.to_string())?;
        let stored = head::load::<Ed25519>(store.as_ref(), &self.origin).await.map_err(|e| e.to_string())?;
        Ok(Opened { vault: Arc::new(vault), size: stored.frontier.size(), store })
    }
}

struct Opened {
    store: Arc<dyn Store>,
    vault: Arc<Vault>,
    size: u64,
}

/// Names of everything a whole store holds: records, entries with their statements, some proofs.
async fn all_names(opened: &Opened) -> Vec<String> {
    let mut names = Vec::new();
    for library in Library::ALL {
        let mut rest = Some(key_space::library_rows(library.number()));
        while let Some(range) = rest {
            let snapshot = opened.store.snapshot().await.unwrap();
            let page = snapshot.scan(range, Direction::Forward, 200).await.unwrap();
            for (key, _) in page.rows {
                let (number, index, version) = key_space::parse_record_row(&key).unwrap();
                if version == 1 {
                    names.push(format!(
                        "record {number} {}",
                        index.0.iter().map(|b| format!("{b:02x}")).collect::<String>()
                    ));
                }
            }
            rest = page.next;
        }
    }
    names.extend((0..opened.size).map(|index| format!("entry {index}")));
    names.extend((0..opened.size).filter(|index| index % PROOF_EVERY == 0).map(|index| format!("proof {index}")));
    let snapshot = opened.store.snapshot().await.unwrap();
    let tiles = snapshot.scan(Prefix::Tile.range(), Direction::Forward, 200).await.unwrap();
    assert!(!tiles.rows.is_empty(), "no tile is full");
    names
}

/// One of them, through the code that answers.
async fn value(
    opened: &Opened,
    snapshot: &Arc<dyn Snapshot>,
    size: u64,
    name: &str,
) -> Result<Option<Vec<u8>>, wuku::failure::Failure> {
    let words: Vec<&str> = name.split(' ').collect();
    match words.as_slice() {
        ["record", number, index] => {
            let library = Library::from_number(number.parse().unwrap()).unwrap();
            let index: Vec<u8> = (0..16).map(|n| u8::from_str_radix(&index[2 * n..2 * n + 2], 16).unwrap()).collect();
            let view = View::new(snapshot.clone(), opened.vault.clone(), size, 0, &Clock::system());
            let newest = view.newest(library, &IndexKey(index.try_into().unwrap())).await?;
            let Some(newest) = newest else { return Ok(None) };
            Ok(Some([&newest.version.to_be_bytes(), newest.digest.as_slice()].concat()))
        }
        ["entry", index] => {
            let index = index.parse().unwrap();
            let entry = head::entry_at(snapshot.as_ref(), index).await?;
            let bytes = entry.to_bytes().unwrap();
            let Entry::Statement { commitment, .. } = &entry else { return Ok(Some(bytes)) };
            let row =
                snapshot.get(&key_space::statement_row(index)).await.map_err(wuku::library::record::from_store)?;
            let Some(row) = row else { return Ok(None) };
            let kept = KeptStatement::open(&opened.vault, commitment, &row.body)?;
            Ok(Some([bytes.as_slice(), &kept.statement, &kept.salt, &kept.question].concat()))
        }
        ["proof", index] => {
            let path = proofs::inclusion::<Ed25519>(snapshot.as_ref(), size, index.parse().unwrap(), size).await?;
            Ok(Some(path.to_vec()))
        }
        other => panic!("{other:?}"),
    }
}

/// One bit of one file.
#[derive(Clone, Debug)]
struct Flip {
    place: Place,
    /// Below the folder.
    file: PathBuf,
    byte: usize,
    bit: u8,
}

impl Flip {
    fn choose(kept: &Kept, rng: &mut Rng, n: u32) -> Self {
        let place = match n % 20 {
            0..=9 => Place::Table,
            10..=14 => Place::Log,
            15 | 16 => Place::Manifest,
            17 => Place::Current,
            18 => Place::Fence,
            _ => Place::Key,
        };
        Self::of(kept, rng, place)
    }

    /// A bit of a file of this kind; of tables each byte alike, whichever file it is in.
    fn of(kept: &Kept, rng: &mut Rng, place: Place) -> Self {
        let folder = match place {
            Place::Fence => "fence",
            Place::Key => "keys",
            _ => "data",
        };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(kept.folder.path().join(folder)).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let wanted = match place {
                Place::Table => name.ends_with(".sst"),
                Place::Log => name.ends_with(".log"),
                Place::Manifest => name.starts_with("MANIFEST-"),
                Place::Current => name == "CURRENT",
                Place::Fence | Place::Key => true,
            };
            let bytes = usize::try_from(entry.metadata().unwrap().len()).unwrap();
            if wanted && bytes > 0 {
                files.push((Path::new(folder).join(name), bytes));
            }
        }
        files.sort();
        let mut at = rng.below(files.iter().map(|(_, bytes)| bytes).sum());
        let (file, byte) = files
            .into_iter()
            .find_map(|(file, bytes)| {
                if at < bytes {
                    Some((file, at))
                } else {
                    at -= bytes;
                    None
                }
            })
            .unwrap();
        Self { place, file, byte, bit: u8::try_from(rng.below(8)).unwrap() }
    }

    /// Whether what was said leads somebody to the place: the file, the row, or the key and fence by their name.
    fn named_in(&self, said: &str) -> bool {
        let file = self.file.file_name().unwrap().to_str().unwrap();
        let by_name: &[&str] = match self.place {
            Place::Key => &["key-encryption key", "log.key"],
            Place::Fence => &["fence", "slot-"],
            Place::Current => &["CURRENT", "MANIFEST"],
            Place::Log => &["fence has seen"],
            Place::Table | Place::Manifest => &[],
        };
        said.contains(file) || by_name.iter().any(|name| said.to_lowercase().contains(&name.to_lowercase()))
    }
}
