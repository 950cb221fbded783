//! A [`Disk`] mounted: as much of the FUSE protocol (`linux/fuse.h`, version 7.31) as a store needs, over `/dev/fuse`.
//!
//! Spoken by ourselves: the crates that do it switch on features of what half of our dependencies stand on, and this is small. The
//! mount itself is done by mount(8), which is handed the device as its standard input; so this needs root, or a user namespace.
use crate::power_disk::{Attributes, Disk, Errno, ROOT};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const WRITE_BYTES_MAX: usize = 128 << 10;
const HEADER: usize = 40;
const BIG_WRITES: u32 = 1 << 5;
/// How long the kernel may trust a name or attribute: nobody else changes the disk.
const VALID_S: u64 = 60;

mod op {
    pub const LOOKUP: u32 = 1;
    pub const FORGET: u32 = 2;
    pub const GETATTR: u32 = 3;
    pub const SETATTR: u32 = 4;
    pub const MKDIR: u32 = 9;
    pub const UNLINK: u32 = 10;
    pub const RMDIR: u32 = 11;
    pub const RENAME: u32 = 12;
    pub const OPEN: u32 = 14;
    pub const READ: u32 = 15;
    pub const WRITE: u32 = 16;
    pub const STATFS: u32 = 17;
    pub const RELEASE: u32 = 18;
    pub const FSYNC: u32 = 20;
    pub const INIT: u32 = 26;
    pub const OPENDIR: u32 = 27;
    pub const READDIR: u32 = 28;
    pub const RELEASEDIR: u32 = 29;
    pub const FSYNCDIR: u32 = 30;
    pub const CREATE: u32 = 35;
    pub const INTERRUPT: u32 = 36;
    pub const BATCH_FORGET: u32 = 42;
    pub const FALLOCATE: u32 = 43;
    pub const RENAME2: u32 = 45;
}

/// A disk under a path, until dropped.
pub struct Mount {
    path: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl Mount {
    /// Mounts a disk. `sync_takes`: how long a sync is under way before it is done, so that cuts fall into it.
    pub fn new(disk: Arc<Mutex<Disk>>, path: &Path, sync_takes: Duration) -> Self {
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let device = device.expect("this harness needs /dev/fuse (modprobe fuse)");
        let mut server = Server { device: device.try_clone().unwrap(), disk, sync_takes };
        let thread = std::thread::spawn(move || server.serve());
        let mounted = Command::new("mount")
            .args(["-i", "-t", "fuse", "-o", "fd=0,rootmode=40000,user_id=0,group_id=0", "wuku-disk"])
            .arg(path)
            .stdin(Stdio::from(device))
            .output()
            .unwrap();
        let why = String::from_utf8_lossy(&mounted.stderr);
        assert!(
            mounted.status.success(),
            "this harness needs a mount (root, or unshare --map-root-user --mount): {why}"
        );
        Self { path: path.into(), thread: Some(thread) }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let until = Instant::now() + Duration::from_secs(5);
        // Whoever was killed a moment ago may still hold it.
        while !Command::new("umount").arg(&self.path).stderr(Stdio::null()).status().unwrap().success() {
            if Instant::now() > until {
                let _ = Command::new("umount").arg("-l").arg(&self.path).status();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Server {
    device: File,
    disk: Arc<Mutex<Disk>>,
    sync_takes: Duration,
}

/// A request's fixed fields, read in order.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn u32(&mut self) -> u32 {
        let (value, rest) = self.0.split_first_chunk::<4>().unwrap();
        self.0 = rest;
        u32::from_ne_bytes(*value)
    }

    fn u64(&mut self) -> u64 {
        let (value, rest) = self.0.split_first_chunk::<8>().unwrap();
        self.0 = rest;
        u64::from_ne_bytes(*value)
    }

    fn size(&mut self) -> usize {
        usize::try_from(self.u64()).unwrap()
    }

    fn name(&mut self) -> OsString {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap();
        let (name, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        OsString::from_vec(name.to_vec())
    }
}

/// A reply put together.
#[derive(Default)]
struct Reply(Vec<u8>);

impl Reply {
    fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn attributes(self, of: &Attributes) -> Self {
        let times =
            self.u64(of.number).u64(of.bytes).u64(of.bytes.div_ceil(512)).u64(0).u64(0).u64(0).u32(0).u32(0).u32(0);
        times.u32(of.mode).u32(1).u32(0).u32(0).u32(0).u32(4096).u32(0)
    }

    fn entry(self, of: &Attributes) -> Self {
        self.u64(of.number).u64(0).u64(VALID_S).u64(VALID_S).u32(0).u32(0).attributes(of)
    }

    fn attribute_reply(self, of: &Attributes) -> Self {
        self.u64(VALID_S).u32(0).u32(0).attributes(of)
    }

    fn opened(self) -> Self {
        self.u64(0).u32(0).u32(0)
    }
}

impl Server {
    fn serve(&mut self) {
        let mut buffer = vec![0; WRITE_BYTES_MAX + (64 << 10)];
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            let read = match self.device.read(&mut buffer) {
                Ok(read) => read,
                // Not mounted yet.
                Err(error) if error.kind() == ErrorKind::PermissionDenied && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                }
                // Taken back by who asked.
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::NotFound) => continue,
                Err(_) => return, // unmounted
            };
            let mut fields = Fields(&buffer[..read]);
            let (_, opcode, unique, node) = (fields.u32(), fields.u32(), fields.u64(), fields.u64());
            fields.0 = &buffer[HEADER..read];
            if matches!(opcode, op::FORGET | op::BATCH_FORGET | op::INTERRUPT) {
                continue;
            }
            if matches!(opcode, op::FSYNC | op::FSYNCDIR) {
                std::thread::sleep(self.sync_takes);
            }
            let answer = self.answer(opcode, node, fields);
            let (error, body) = match answer {
                Ok(reply) => (0, reply.0),
                Err(errno) => (-(errno as i32), Vec::new()),
            };
            let length = u32::try_from(16 + body.len()).unwrap();
            let reply = Reply::default().u32(length).bytes(&error.to_ne_bytes()).u64(unique).bytes(&body);
            let _ = self.device.write(&reply.0); // fails where the asker has been killed meanwhile
        }
    }

    fn answer(&self, opcode: u32, node: u64, mut fields: Fields<'_>) -> Result<Reply, Errno> {
        let reply = Reply::default();
        if opcode == op::INIT {
            let (_, minor) = (fields.u32(), fields.u32());
            let (readahead, _) = (fields.u32(), fields.u32());
            let head = reply.u32(7).u32(minor.min(31)).u32(readahead).u32(BIG_WRITES);
            return Ok(head.u32(16 | 12 << 16).u32(u32::try_from(WRITE_BYTES_MAX).unwrap()).u32(1).bytes(&[0; 36]));
        }
        let mut disk = self.disk.lock().unwrap();
        disk.operation()?;
        match opcode {
            op::LOOKUP => Ok(reply.entry(&disk.look_up(node, &fields.name())?)),
            op::GETATTR => Ok(reply.attribute_reply(&disk.attributes(node)?)),
            op::SETATTR => {
                let (valid, _, _, size) = (fields.u32(), fields.u32(), fields.u64(), fields.size());
                let mode = Fields(fields.0.get(44..).unwrap()).u32();
                if valid & 1 != 0 {
                    disk.set_mode(node, mode)?;
                }
                if valid & 8 != 0 {
                    disk.set_length(node, size)?;
                }
                Ok(reply.attribute_reply(&disk.attributes(node)?))
            }
            op::MKDIR => {
                let (mode, mask) = (fields.u32(), fields.u32());
                Ok(reply.entry(&disk.make_folder(node, &fields.name(), mode & !mask)?))
            }
            op::CREATE => {
                let (_, mode, mask, _) = (fields.u32(), fields.u32(), fields.u32(), fields.u32());
                Ok(reply.entry(&disk.make_file(node, &fields.name(), mode & !mask)?).opened())
            }
            op::UNLINK | op::RMDIR => disk.remove(node, &fields.name()).map(|()| reply),
            op::RENAME | op::RENAME2 => {
                let folder = fields.u64();
                if opcode == op::RENAME2 && (fields.u32(), fields.u32()).0 != 0 {
                    return Err(Errno::Invalid);
                }
                let (from, to) = (fields.name(), fields.name());
                disk.rename((node, &from), (folder, &to)).map(|()| reply)
            }
            op::OPEN | op::OPENDIR => disk.attributes(node).map(|_| reply.opened()),
            op::READ => {
                let (_, offset, size) = (fields.u64(), fields.size(), fields.u32());
                Ok(reply.bytes(disk.read(node, offset, size as usize)?))
            }
            op::WRITE => {
                let (_, offset, size, _, _, _) =
                    (fields.u64(), fields.size(), fields.u32(), fields.u32(), fields.u64(), fields.u64());
                disk.write(node, offset, fields.0.get(..size as usize).ok_or(Errno::Invalid)?)?;
                Ok(reply.u32(size).u32(0))
            }
            op::FSYNC => disk.sync(node).map(|()| reply),
            op::FSYNCDIR => disk.sync_folder(node).map(|()| reply),
            op::READDIR => {
                let (_, offset, size) = (fields.u64(), fields.size(), fields.u32() as usize);
                Ok(reply.bytes(&folder_page(&disk, node, offset, size)?))
            }
            op::STATFS => {
                let blocks = reply.u64(1 << 24).u64(1 << 23).u64(1 << 23).u64(1 << 20).u64(1 << 19);
                Ok(blocks.u32(4096).u32(255).u32(4096).bytes(&[0; 28]))
            }
            op::RELEASE | op::RELEASEDIR => Ok(reply),
            op::FALLOCATE => Err(Errno::NotSupported),
            _ => Err(Errno::NotImplemented),
        }
    }
}

/// Entries of a folder from the n-th on, as many as fit.
fn folder_page(disk: &Disk, folder: u64, offset: usize, size: usize) -> Result<Vec<u8>, Errno> {
    let me = disk.attributes(folder)?;
    let dots = [".", ".."].map(|name| (OsString::from(name), Attributes { number: ROOT, ..me }));
    let mut page = Vec::new();
    for (at, (name, of)) in dots.into_iter().chain(disk.list(folder)?).enumerate().skip(offset) {
        let name: &OsStr = &name;
        let mut entry = Reply::default()
            .u64(of.number)
            .u64(at as u64 + 1)
            .u32(u32::try_from(name.len()).unwrap())
            .u32(of.mode >> 12)
            .bytes(name.as_bytes())
            .0;
        entry.resize(entry.len().next_multiple_of(8), 0);
        if page.len() + entry.len() > size {
            break;
        }
        page.extend(entry);
    }
    Ok(page)
}
