//! Generates Rust from `proto/` with protox, so that no protoc is needed on the machine.
use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files =
        ["library", "receipt", "exchange", "licence", "intake", "catalogue"].map(|p| format!("wuku/{p}/v1/{p}.proto"));
    let descriptors = protox::Compiler::new(["proto"])?
        .include_imports(true)
        .include_source_info(true)
        .open_files(files)?
        .file_descriptor_set();
    let out = env::var("OUT_DIR")?;
    fs::write(Path::new(&out).join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    #[cfg(feature = "hub")]
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    #[cfg(not(feature = "hub"))]
    prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;
    Ok(())
}
