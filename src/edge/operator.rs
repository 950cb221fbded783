//! The operator's door: how a command on the hub's own machine reaches the running hub (backup, rotation).
//!
//! A local socket in the kernel's abstract name space: it has no file, leaves nothing behind after a crash, and its name is
//! made from the data folder itself (path, device, inode), so that a command never reaches another hub. The kernel says who is
//! at the other end; only the hub's own user and root are answered. One JSON object on a line each way, one command at a time.
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener, UnixStream as StdStream};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;

use super::identity::hex;

const LINE_BYTES_MAX: u64 = 64 << 10;
/// To send one line.
const LINE: Duration = Duration::from_secs(5);
/// After `accept` failed, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Does what a command asks: its result, or why not, in words.
pub type Act = Arc<dyn Fn(Value) -> Pin<Box<dyn Future<Output = Result<Value, String>> + Send>> + Send + Sync>;

/// Why a command got no result from a running hub.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The system refused the socket.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Neither the hub's own user nor root, or not the hub.
    #[error(
        "枢纽只听从运行它的用户和 root：请换用该用户。The hub obeys only the user it runs as and root: run this as that user."
    )]
    NotAllowed,
    /// What the hub said.
    #[error("{0}")]
    Said(String),
}

/// Opens the door of the hub that has this data folder. One that is taken belongs to another process on the same folder.
///
/// # Errors
/// What the system says.
pub fn bind(data: &Path) -> io::Result<UnixListener> {
    let listener = StdListener::bind_addr(&address(data)?)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Obeys until `shutdown` completes.
pub async fn serve(listener: UnixListener, act: Act, shutdown: impl Future<Output = ()>) {
    let turn = Arc::new(Mutex::new(()));
    let Ok(own) = own_uid() else { return };
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        match stream.peer_cred().map(|peer| peer.uid()) {
            Ok(uid) if uid == own || uid == 0 => {}
            _ => {
                tracing::warn!("somebody who is neither the hub's user nor root knocked at the operator's door");
                continue;
            }
        }
        let (act, turn) = (Arc::clone(&act), Arc::clone(&turn));
        tokio::spawn(async move {
            let _one_at_a_time = turn.lock().await;
            if let Err(error) = obey(stream, &act).await {
                tracing::info!(%error, "an operator's command went away");
            }
        });
    }
}

/// Asks the running hub of a data folder. `None`: no hub runs there.
///
/// # Errors
/// [`OperatorError`].
pub async fn ask(data: &Path, command: &Value) -> Result<Option<Value>, OperatorError> {
    let stream = match StdStream::connect_addr(&address(data)?) {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    stream.set_nonblocking(true)?;
    let mut stream = UnixStream::from_std(stream)?;
    // Whoever holds the name must be who owns the data, or it is somebody's trap.
    if stream.peer_cred()?.uid() != std::fs::metadata(data)?.uid() {
        return Err(OperatorError::NotAllowed);
    }
    stream.write_all(format!("{command}\n").as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(&mut stream).read_line(&mut line).await?;
    if line.is_empty() {
        return Err(OperatorError::NotAllowed); // hung up on
    }
    let mut said: Value = serde_json::from_str(&line).map_err(io::Error::other)?;
    match said.get_mut("done") {
        Some(done) => Ok(Some(done.take())),
        None => Err(OperatorError::Said(said.get("failed").and_then(Value::as_str).unwrap_or(&line).to_owned())),
    }
}

async fn obey(stream: UnixStream, act: &Act) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut lines = BufReader::new(read.take(LINE_BYTES_MAX));
    tokio::time::timeout(LINE, lines.read_line(&mut line)).await??;
    let said = match serde_json::from_str(&line) {
        Ok(command) => match act(command).await {
            Ok(done) => json!({ "done": done }),
            Err(why) => json!({ "failed": why }),
        },
        Err(error) => json!({ "failed": format!("not a command: {error}") }),
    };
    write.write_all(format!("{said}\n").as_bytes()).await
}

/// Path, device and inode: two containers with one path are two hubs.
fn address(data: &Path) -> io::Result<SocketAddr> {
    use std::os::unix::ffi::OsStrExt;
    let real = data.canonicalize()?;
    let place = real.metadata()?;
    let mut digest = Sha256::new();
    digest.update(place.dev().to_be_bytes());
    digest.update(place.ino().to_be_bytes());
    digest.update(real.as_os_str().as_bytes());
    SocketAddr::from_abstract_name(format!("wuku/{}", hex(&digest.finalize())))
}

fn own_uid() -> io::Result<u32> {
    let (one, _other) = UnixStream::pair()?;
    Ok(one.peer_cred()?.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo() -> Act {
        Arc::new(|command| {
            Box::pin(async move {
                match command.get("do").and_then(Value::as_str) {
                    Some("fail") => Err("不行 no".to_owned()),
                    _ => Ok(command),
                }
            })
        })
    }

    #[tokio::test]
    async fn a_command_reaches_the_hub_of_its_own_data_folder_and_no_other() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert!(ask(one.path(), &json!({})).await.unwrap().is_none(), "nobody is there");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let door = bind(one.path()).unwrap();
        assert!(bind(one.path()).is_err(), "one hub, one door");
        let serving = tokio::spawn(serve(door, echo(), async { _ = stopped.await }));
        assert_eq!(ask(one.path(), &json!({"do": "x"})).await.unwrap(), Some(json!({"do": "x"})));
        assert!(ask(other.path(), &json!({"do": "x"})).await.unwrap().is_none());
        match ask(one.path(), &json!({"do": "fail"})).await {
            Err(OperatorError::Said(why)) => assert_eq!(why, "不行 no"),
            said => panic!("{said:?}"),
        }
        stop.send(()).unwrap();
        serving.await.unwrap();
        assert!(ask(one.path(), &json!({})).await.unwrap().is_none(), "nothing is left behind");
        drop(bind(one.path()).unwrap());
    }
}
