//! Generated code, and the only conversions between it and the domain.
//!
//! Nothing here decides anything: a message either becomes a domain type or names every field that is wrong.
#![allow(missing_docs, clippy::all, rustdoc::all)]

#[cfg(feature = "hub")]
pub mod access; // who looked at a subject
#[cfg(feature = "hub")]
pub mod document; // papers: the question, and a report as a message
#[cfg(feature = "hub")]
pub mod geometry; // whole numbers of 1e-9 degree
#[cfg(feature = "hub")]
pub mod order; // changes from their requests
#[cfg(feature = "hub")]
pub mod question; // questions from their bytes
#[cfg(feature = "rows")]
pub mod rows; // files of source departments from their bytes
#[cfg(feature = "hub")]
pub mod seal; // who used a seal

/// Messages generated from `proto/`, one module a package.
pub mod proto {
    pub mod library {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/wuku.library.v1.rs"));
        }
    }
    pub mod receipt {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/wuku.receipt.v1.rs"));
        }
    }
    pub mod exchange {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/wuku.exchange.v1.rs"));
        }
    }
    pub mod licence {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/wuku.licence.v1.rs"));
        }
    }
    pub mod intake {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/wuku.intake.v1.rs"));
        }
    }
    pub mod document {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/wuku.document.v1.rs"));
        }
    }
    pub mod catalogue {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/wuku.catalogue.v1.rs"));
        }
    }
    pub mod seal {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/wuku.seal.v1.rs"));
        }
    }
    #[cfg(feature = "hub")]
    pub mod sealsystem {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/theirs/wuku.sealsystem.v1.rs"));
        }
    }
}

/// The compiled descriptors of `proto/`, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
