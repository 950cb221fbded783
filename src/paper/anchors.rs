//! Whom to believe, for what: read from files an operator put there.
use std::fs;
use std::path::Path;

use crate::seal::certificate::Certificate;
use crate::seal::chain::{Anchors, RevocationList};

/// Bytes of one file of anchors.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Reads what `--anchors` names, each one of:
/// - a folder with any of `seal-maker.pem`, `signer.pem`, `time-stamp.pem`, `licence-issuer.pem`, `intermediate.pem`, `*.crl`;
/// - `USE=FILE.pem`, the use being one of those names, or `revocation=FILE`;
/// - a PEM file alone: for signers and for seal makers.
///
/// # Errors
/// The first thing that cannot be read. An empty result is an error too: who names anchors wants them held.
pub fn read(named: &[String]) -> Result<Anchors, String> {
    let mut anchors = Anchors::default();
    for one in named {
        match one.split_once('=') {
            Some((purpose, file)) => add_file(&mut anchors, purpose, Path::new(file))?,
            None if Path::new(one).is_dir() => add_folder(&mut anchors, Path::new(one))?,
            None => {
                add_file(&mut anchors, "signer", Path::new(one))?;
                add_file(&mut anchors, "seal-maker", Path::new(one))?;
            }
        }
    }
    Ok(anchors)
}

fn add_folder(anchors: &mut Anchors, folder: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut files: Vec<_> = fs::read_dir(folder)
        .map_err(failed)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    files.sort();
    let mut any = false;
    for file in files {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("pem") => add_file(anchors, stem, &file)?,
            Some("crl") => add_file(anchors, "revocation", &file)?,
            _ => continue,
        }
        any = true;
    }
    if any { Ok(()) } else { Err(format!("{}: neither *.pem nor *.crl", folder.display())) }
}

fn add_file(anchors: &mut Anchors, purpose: &str, file: &Path) -> Result<(), String> {
    let failed = |why: String| format!("{}: {why}", file.display());
    let length = fs::metadata(file).map_err(|error| failed(error.to_string()))?.len();
    if length > FILE_BYTES_MAX {
        return Err(failed("too large".to_owned()));
    }
    let bytes = fs::read(file).map_err(|error| failed(error.to_string()))?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    if purpose == "revocation" {
        let lists = if text.contains("-----BEGIN") {
            RevocationList::from_pem_file(text)
        } else {
            RevocationList::from_der(&bytes).map(|list| vec![list])
        };
        anchors.revocation_lists.extend(lists.map_err(|error| failed(error.to_string()))?);
        return Ok(());
    }
    let list = match purpose {
        "seal-maker" => &mut anchors.seal_makers,
        "signer" => &mut anchors.signers,
        "time-stamp" => &mut anchors.time_stamps,
        "licence-issuer" => &mut anchors.licence_issuers,
        "intermediate" => &mut anchors.intermediates,
        other => {
            return Err(failed(format!(
                "no such use: {other} (seal-maker, signer, time-stamp, licence-issuer, intermediate, revocation)"
            )));
        }
    };
    list.extend(Certificate::from_pem_file(text).map_err(|error| failed(error.to_string()))?);
    Ok(())
}
