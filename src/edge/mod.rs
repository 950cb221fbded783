//! Who is calling, and within which limits.
//!
//! A caller is a connection whose client certificate verified ([`listener`], [`trust`]) and names one system
//! ([`identity`]). Every call passes one short stack ([`stack`]) before a service sees it.
pub mod admin;
mod body;
pub mod caller;
pub mod catalogue_service;
pub mod exchange_service;
pub mod identity;
pub mod licence_service;
pub mod listener;
pub mod page;
pub mod stack;
pub mod status;
#[cfg(test)]
mod tests;
pub mod trust;
