//! Generates Rust from `proto/` with protox, so that no protoc is needed on the machine.
use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = ["library", "receipt", "exchange", "licence", "intake", "catalogue", "seal", "document"]
        .map(|p| format!("wuku/{p}/v1/{p}.proto"));
    // What the hub serves: reflection shows it. The seal system's contract is another party's.
    let descriptors = protox::Compiler::new(["proto"])?
        .include_imports(true)
        .include_source_info(true)
        .open_files(files)?
        .file_descriptor_set();
    let out = env::var("OUT_DIR")?;
    fs::write(Path::new(&out).join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    #[cfg(feature = "hub")]
    {
        tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
        let theirs = protox::Compiler::new(["proto"])?
            .include_imports(true)
            .include_source_info(true)
            .open_file("wuku/sealsystem/v1/sealsystem.proto")?
            .file_descriptor_set();
        // A folder of its own: what it imports is generated above, and must not be overwritten with nothing.
        let folder = Path::new(&out).join("theirs");
        fs::create_dir_all(&folder)?;
        tonic_prost_build::configure()
            .bytes(".")
            .out_dir(folder)
            .extern_path(".wuku.receipt.v1", "crate::wire::proto::receipt::v1")
            .compile_fds(theirs)?;
    }
    #[cfg(not(feature = "hub"))]
    prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;
    Ok(())
}
