//! A disk with a volatile cache: what was not synced when the power goes is gone, in part or whole, and never in the order written.
//!
//! - **Files**: written pages live in the cache until `fsync` of their file. At a cut each unsynced page is kept or dropped by chance,
//!   one is torn at 512 bytes, and the file's length is the old one, the new one or one between; a dropped page reads as before, or
//!   as zeroes where there was nothing before.
//! - **Folders**: names made, renamed and removed live in the cache until `fsync` of their folder. At a cut a beginning of them, by
//!   chance of any length, is kept; a file whose name is lost is lost, synced or not.
use crate::chance::Rng;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};

const PAGE: usize = 4096;
const SECTOR: usize = 512;
/// The number of the root folder.
pub const ROOT: u64 = 1;

/// What a call fails with, as Linux counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Errno {
    NoEntry = 2,
    Io = 5,
    Exists = 17,
    NotFolder = 20,
    IsFolder = 21,
    Invalid = 22,
    NotImplemented = 38,
    NotEmpty = 39,
    NotSupported = 95,
}

/// What is known of a file or folder.
#[derive(Clone, Copy, Debug)]
pub struct Attributes {
    pub number: u64,
    pub mode: u32,
    pub bytes: u64,
}

/// What cuts have taken, and what the disk has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    pub cuts: u64,
    pub pages_dropped: u64,
    pub pages_torn: u64,
    pub names_lost: u64,
    pub syncs: u64,
    pub syncs_ignored: u64,
}

enum Node {
    File(File),
    Folder(Folder),
}

#[derive(Default)]
struct File {
    mode: u32,
    /// As whoever reads it sees it.
    cached: Vec<u8>,
    /// As the platter has it.
    stable: Vec<u8>,
    /// Pages in which the two differ.
    dirty: BTreeSet<usize>,
}

#[derive(Default)]
struct Folder {
    mode: u32,
    cached: BTreeMap<OsString, u64>,
    stable: BTreeMap<OsString, u64>,
    /// What was done since the last sync, in order.
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Put(OsString, u64),
    Remove(OsString),
    Rename(OsString, OsString, u64),
}

impl Change {
    fn apply(self, names: &mut BTreeMap<OsString, u64>) {
        match self {
            Self::Put(name, number) => _ = names.insert(name, number),
            Self::Remove(name) => _ = names.remove(&name),
            Self::Rename(from, to, number) => {
                names.remove(&from);
                names.insert(to, number);
            }
        }
    }
}

/// The disk, with its cache.
pub struct Disk {
    nodes: HashMap<u64, Node>,
    next: u64,
    rng: Rng,
    off: bool,
    /// Operations until the power goes by itself.
    fuse: Option<u64>,
    /// Syncs of files with these beginnings or ends of their names are acknowledged and not done.
    lies: &'static [&'static str],
    names: HashMap<u64, OsString>,
    taken: Taken,
}

impl Disk {
    pub fn new(rng: Rng) -> Self {
        let root = Folder { mode: 0o700, ..Folder::default() };
        Self {
            nodes: HashMap::from([(ROOT, Node::Folder(root))]),
            next: ROOT + 1,
            rng,
            off: false,
            fuse: None,
            lies: &[],
            names: HashMap::new(),
            taken: Taken::default(),
        }
    }

    /// Lets the power go at this operation from now.
    pub fn cut_at(&mut self, operation: u64) {
        self.fuse = Some(operation);
    }

    /// Whether the power is gone.
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// From now on syncs of files so named do nothing, and say that they did.
    pub fn lie_about(&mut self, names: &'static [&'static str]) {
        self.lies = names;
    }

    pub fn taken(&self) -> Taken {
        self.taken
    }

    /// Every operation begins here: without power there is none.
    pub fn operation(&mut self) -> Result<(), Errno> {
        if let Some(left) = self.fuse.as_mut() {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.off();
            }
        }
        if self.off { Err(Errno::Io) } else { Ok(()) }
    }

    /// The power goes: the cache with it.
    pub fn off(&mut self) {
        if self.off {
            return;
        }
        self.off = true;
        self.fuse = None;
        self.taken.cuts += 1;
        // A disk mostly loses all, or nothing but a little, or by halves.
        let (kept_pages, kept_names) = ([0, 50, 50, 90][self.rng.below(4)], self.rng.below(3));
        for number in self.nodes.keys().copied().collect::<BTreeSet<_>>() {
            let lied = self.lied_about(number);
            match self.nodes.get_mut(&number) {
                Some(Node::File(file)) => {
                    let kept = if lied { 0 } else { kept_pages };
                    file.lose(&mut self.rng, kept, lied, &mut self.taken);
                }
                Some(Node::Folder(folder)) => folder.lose(&mut self.rng, kept_names, &mut self.taken),
                None => {}
            }
        }
        let mut reached = HashSet::new();
        let mut to_do = vec![ROOT];
        while let Some(number) = to_do.pop() {
            if reached.insert(number)
                && let Some(Node::Folder(folder)) = self.nodes.get(&number)
            {
                to_do.extend(folder.cached.values());
            }
        }
        self.nodes.retain(|number, _| reached.contains(number));
    }

    /// The power is back.
    pub fn on(&mut self) {
        assert!(self.off);
        self.off = false;
    }

    pub fn attributes(&self, number: u64) -> Result<Attributes, Errno> {
        match self.nodes.get(&number).ok_or(Errno::NoEntry)? {
            Node::File(file) => Ok(Attributes { number, mode: 0o100_000 | file.mode, bytes: file.cached.len() as u64 }),
            Node::Folder(folder) => Ok(Attributes { number, mode: 0o040_000 | folder.mode, bytes: 0 }),
        }
    }

    pub fn look_up(&self, folder: u64, name: &OsStr) -> Result<Attributes, Errno> {
        self.attributes(*self.folder(folder)?.cached.get(name).ok_or(Errno::NoEntry)?)
    }

    pub fn make_file(&mut self, folder: u64, name: &OsStr, mode: u32) -> Result<Attributes, Errno> {
        self.make(folder, name, Node::File(File { mode: mode & 0o777, ..File::default() }))
    }

    pub fn make_folder(&mut self, folder: u64, name: &OsStr, mode: u32) -> Result<Attributes, Errno> {
        self.make(folder, name, Node::Folder(Folder { mode: mode & 0o777, ..Folder::default() }))
    }

    fn make(&mut self, folder: u64, name: &OsStr, node: Node) -> Result<Attributes, Errno> {
        let number = self.next;
        let parent = self.folder_mut(folder)?;
        if parent.cached.contains_key(name) {
            return Err(Errno::Exists);
        }
        parent.change(Change::Put(name.into(), number));
        self.next += 1;
        self.nodes.insert(number, node);
        self.names.insert(number, name.into());
        self.attributes(number)
    }

    pub fn remove(&mut self, folder: u64, name: &OsStr) -> Result<(), Errno> {
        let number = *self.folder(folder)?.cached.get(name).ok_or(Errno::NoEntry)?;
        if matches!(self.nodes.get(&number), Some(Node::Folder(inner)) if !inner.cached.is_empty()) {
            return Err(Errno::NotEmpty);
        }
        self.folder_mut(folder)?.change(Change::Remove(name.into()));
        Ok(())
    }

    pub fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> Result<(), Errno> {
        let number = *self.folder(from.0)?.cached.get(from.1).ok_or(Errno::NoEntry)?;
        if from.0 == to.0 {
            self.folder_mut(to.0)?.change(Change::Rename(from.1.into(), to.1.into(), number));
        } else {
            self.folder_mut(to.0)?.change(Change::Put(to.1.into(), number));
            self.folder_mut(from.0)?.change(Change::Remove(from.1.into()));
        }
        self.names.insert(number, to.1.into());
        Ok(())
    }

    pub fn set_mode(&mut self, number: u64, mode: u32) -> Result<(), Errno> {
        match self.nodes.get_mut(&number).ok_or(Errno::NoEntry)? {
            Node::File(file) => file.mode = mode & 0o777,
            Node::Folder(folder) => folder.mode = mode & 0o777,
        }
        Ok(())
    }

    pub fn set_length(&mut self, number: u64, bytes: usize) -> Result<(), Errno> {
        let file = self.file_mut(number)?;
        let (less, more) = (bytes.min(file.cached.len()), bytes.max(file.cached.len()));
        file.cached.resize(bytes, 0);
        file.dirty.extend(less / PAGE..more.div_ceil(PAGE));
        Ok(())
    }

    pub fn read(&self, number: u64, offset: usize, bytes: usize) -> Result<&[u8], Errno> {
        match self.nodes.get(&number) {
            Some(Node::File(file)) => {
                let start = offset.min(file.cached.len());
                Ok(&file.cached[start..(start + bytes).min(file.cached.len())])
            }
            Some(Node::Folder(_)) => Err(Errno::IsFolder),
            None => Err(Errno::NoEntry),
        }
    }

    pub fn write(&mut self, number: u64, offset: usize, bytes: &[u8]) -> Result<(), Errno> {
        let file = self.file_mut(number)?;
        let end = offset + bytes.len();
        if file.cached.len() < end {
            file.dirty.extend(file.cached.len() / PAGE..end.div_ceil(PAGE));
            file.cached.resize(end, 0);
        }
        file.cached[offset..end].copy_from_slice(bytes);
        file.dirty.extend(offset / PAGE..end.div_ceil(PAGE));
        Ok(())
    }

    /// `fsync` and `fdatasync` of a file.
    pub fn sync(&mut self, number: u64) -> Result<(), Errno> {
        if self.lied_about(number) {
            self.taken.syncs_ignored += 1;
            return Ok(());
        }
        self.taken.syncs += 1;
        let file = self.file_mut(number)?;
        let length = file.cached.len();
        file.stable.resize(length, 0);
        for page in std::mem::take(&mut file.dirty) {
            let range = (page * PAGE).min(length)..((page + 1) * PAGE).min(length);
            file.stable[range.clone()].copy_from_slice(&file.cached[range]);
        }
        Ok(())
    }

    /// `fsync` of a folder: names, not contents.
    pub fn sync_folder(&mut self, number: u64) -> Result<(), Errno> {
        self.taken.syncs += 1;
        let folder = self.folder_mut(number)?;
        folder.pending.clear();
        folder.stable = folder.cached.clone();
        Ok(())
    }

    /// What a folder holds.
    pub fn list(&self, number: u64) -> Result<Vec<(OsString, Attributes)>, Errno> {
        let names = &self.folder(number)?.cached;
        Ok(names.iter().filter_map(|(name, number)| Some((name.clone(), self.attributes(*number).ok()?))).collect())
    }

    fn lied_about(&self, number: u64) -> bool {
        let name = self.names.get(&number).map(|name| name.to_string_lossy());
        name.is_some_and(|name| self.lies.iter().any(|lie| name.starts_with(lie) || name.ends_with(lie)))
    }

    fn folder(&self, number: u64) -> Result<&Folder, Errno> {
        match self.nodes.get(&number) {
            Some(Node::Folder(folder)) => Ok(folder),
            Some(Node::File(_)) => Err(Errno::NotFolder),
            None => Err(Errno::NoEntry),
        }
    }

    fn folder_mut(&mut self, number: u64) -> Result<&mut Folder, Errno> {
        match self.nodes.get_mut(&number) {
            Some(Node::Folder(folder)) => Ok(folder),
            Some(Node::File(_)) => Err(Errno::NotFolder),
            None => Err(Errno::NoEntry),
        }
    }

    fn file_mut(&mut self, number: u64) -> Result<&mut File, Errno> {
        match self.nodes.get_mut(&number) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Folder(_)) => Err(Errno::IsFolder),
            None => Err(Errno::NoEntry),
        }
    }
}

impl Folder {
    fn change(&mut self, change: Change) {
        change.clone().apply(&mut self.cached);
        self.pending.push(change);
    }

    /// 0: nothing unsynced is kept, 1: all of it, else a beginning.
    fn lose(&mut self, rng: &mut Rng, how: usize, taken: &mut Taken) {
        let pending = std::mem::take(&mut self.pending);
        let kept = match how {
            0 => 0,
            1 => pending.len(),
            _ => rng.below(pending.len() + 1),
        };
        taken.names_lost += (pending.len() - kept) as u64;
        pending.into_iter().take(kept).for_each(|change| change.apply(&mut self.stable));
        self.cached = self.stable.clone();
    }
}

impl File {
    /// Each unsynced page is kept with so many chances in a hundred.
    fn lose(&mut self, rng: &mut Rng, kept: usize, lied: bool, taken: &mut Taken) {
        let dirty = std::mem::take(&mut self.dirty);
        let (old, new) = (self.stable.len(), self.cached.len());
        if dirty.is_empty() {
            self.cached = self.stable.clone();
            return;
        }
        let length = match (lied, rng.below(3)) {
            (true, _) | (false, 0) => old,
            (false, 1) => new,
            _ => old.min(new) + rng.below(old.abs_diff(new) + 1),
        };
        self.stable.resize(length, 0);
        let torn = if lied { None } else { dirty.iter().rev().find(|page| *page * PAGE < length).copied() };
        for page in dirty {
            let start = page * PAGE;
            let whole = (start + PAGE).min(length).min(new);
            let end = match torn {
                Some(torn) if torn == page => {
                    taken.pages_torn += 1;
                    whole.min(start + SECTOR * rng.below(PAGE / SECTOR))
                }
                _ if rng.below(100) < kept => whole,
                _ => start,
            };
            if start < end {
                self.stable[start..end].copy_from_slice(&self.cached[start..end]);
            }
            if end < whole {
                taken.pages_dropped += 1;
            }
        }
        self.cached = self.stable.clone();
    }
}

#[test]
fn what_was_synced_survives_a_cut_and_what_was_not_may_not() {
    let mut disk = Disk::new(Rng::of(7));
    let name = OsStr::new("a");
    let file = disk.make_file(ROOT, name, 0o600).unwrap().number;
    disk.write(file, 0, &[1; 10_000]).unwrap();
    disk.sync(file).unwrap();
    disk.sync_folder(ROOT).unwrap();
    for _ in 0..50 {
        disk.write(file, 9_000, &[2; 50_000]).unwrap();
        disk.off();
        assert_eq!(disk.operation(), Err(Errno::Io), "no power, no disk");
        disk.on();
        let length = usize::try_from(disk.look_up(ROOT, name).unwrap().bytes).unwrap();
        assert!((10_000..=59_000).contains(&length));
        assert_eq!(disk.read(file, 0, 9_000).unwrap(), [1; 9_000]);
        disk.set_length(file, 10_000).unwrap();
        disk.write(file, 0, &[1; 10_000]).unwrap();
        disk.sync(file).unwrap();
    }
    assert!(disk.taken().pages_dropped > 100 && disk.taken().pages_torn > 10, "{:?}", disk.taken());
}

#[test]
fn a_name_that_was_not_synced_may_be_lost_and_a_rename_is_whole() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 1..100 {
        let mut disk = Disk::new(Rng::of(seed));
        let old = disk.make_file(ROOT, OsStr::new("CURRENT"), 0o600).unwrap().number;
        disk.sync_folder(ROOT).unwrap();
        let new = disk.make_file(ROOT, OsStr::new("tmp"), 0o600).unwrap().number;
        disk.write(new, 0, b"new").unwrap();
        disk.sync(new).unwrap();
        disk.rename((ROOT, OsStr::new("tmp")), (ROOT, OsStr::new("CURRENT"))).unwrap();
        disk.off();
        disk.on();
        match disk.look_up(ROOT, OsStr::new("CURRENT")).unwrap().number {
            number if number == new => kept += 1,
            number if number == old => lost += 1,
            other => panic!("{other}"),
        }
    }
    assert!(kept > 10 && lost > 10, "{kept} {lost}");
}
