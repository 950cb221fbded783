//! One file per subcommand.
pub mod client;
pub mod dev_certs;
